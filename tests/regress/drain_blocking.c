/* SPDX-License-Identifier: MIT
 *
 * drain_blocking.c -- a drain asks descriptors that may block, too, whether anything is there.
 */
#include "conform/conn_rig.h"
#include "sys/host.h"

/* A blocking socket that listens, as a supervisor hands one over. */
static void rig_listen_blocking(struct rig *rig)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    REQUIRE(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 100) == 0);
    vigil_listen_options options = { .ops = &rig->ops, .user = rig };
    EQ_INT(0, vigil_listen_fd(rig->loop, fd, &options, &rig->listener));
    EQ_INT(0, vigil_listener_address(rig->loop, rig->listener, &rig->addr));
}

CONFORM(who_waited_on_a_blocking_socket_was_forgotten_by_the_drain)
{
    enum { CLIENTS = 70 }; /* more than are taken in one go */
    struct rig rig;
    int fds[CLIENTS];
    rig_open_loop(&rig, backend, NULL);
    rig_listen_blocking(&rig);
    rig.on_data = rig_echo;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = rig_client(&rig);
        client_send(fds[i], "I was here");
    }
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    for (int i = 0; i < CLIENTS; i++) {
        char text[11] = "";
        rig_client_gets(&rig, fds[i], text, 10);
        EQ_STR("I was here", text);
        close(fds[i]);
    }
    EQ_INT(0, vigil_loop_run(rig.loop)); /* hangs if it accepts once too often */
    EQ_INT(CLIENTS, rig.closed);
    rig_close(&rig);
}

static int cannot_reopen(void *self, vigil_fd fd)
{
    (void)self, (void)fd;
    return VIGIL_ENOTSUP;
}

/* Its writer lives on: the end never comes. */
CONFORM(a_blocking_pipe_held_up_the_drain_until_its_grace_was_over)
{
    static vigil_host host;
    host = *vigil__host_system();
    host.reopen = cannot_reopen;
    struct rig rig;
    int in[2], out[2];
    char text[5] = "";
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    REQUIRE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    rig.on_data = rig_echo;
    EQ_INT(0, rig_adopt(&rig, in[0], out[1], NULL));
    RIG_UNTIL(&rig, rig.opened == 1);
    REQUIRE(write(in[1], "last", 4) == 4);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(3600)));
    EQ_INT(0, vigil_loop_run(rig.loop));
    EQ_INT(4, read(out[0], text, 4));
    EQ_STR("last", text);
    EQ_INT(VIGIL_OK, rig.why);
    close(in[1]);
    close(out[0]);
    rig_close(&rig);
}
