/* SPDX-License-Identifier: MIT
 *
 * shed_owned.c -- short of memory, the one to go is one whose going gives some back: not one
 * that waits longest with bytes of the caller's own.
 */
#include "conform/conn_rig.h"

static const char own[200000];

static void nothing(void *arg)
{
    (void)arg;
}

/* A Unix client whose connection's system takes little. */
static int small_client(struct rig *rig, vigil_conn *conn)
{
    int fds[2], small = 4096;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
    EQ_INT(0, rig_adopt(rig, fds[0], fds[0], conn));
    int before = rig->opened;
    RIG_UNTIL(rig, rig->opened > before);
    return fds[1];
}

CONFORM(one_with_memory_of_the_caller_s_was_shed_for_nothing)
{
    if (!TEST_UNIX_SOCKETS)
        SKIP("how much TCP takes is not certain enough");
    enum { READERS = 4 };
    struct rig rig;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .memory_limit = 256 << 10 });
    vigil_conn owner, reader;
    int fds[READERS], fd = small_client(&rig, &owner);
    EQ_INT(0, vigil_send_owned(rig.loop, owner, own, sizeof(own), nothing, NULL));
    rig_settle(&rig);
    for (int i = 0; i < READERS; i++) { /* they never read, and hold all there is */
        fds[i] = small_client(&rig, &reader);
        while (vigil_send(rig.loop, reader, own, 60000) > 0)
            rig_settle(&rig);
    }
    int good = small_client(&rig, &reader);
    rig.on_data = rig_echo;
    client_send(good, "served");
    char text[7] = "";
    rig_client_gets(&rig, good, text, 6);
    EQ_STR("served", text);
    OK(rig_stats(&rig).closed_memory > 0);
    EQ_INT(sizeof(own), rig_info(&rig, owner).queued + rig_info(&rig, owner).bytes_out);
    close(fd);
    close(good);
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
    rig_close(&rig);
}
