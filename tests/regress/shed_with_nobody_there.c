/* SPDX-License-Identifier: MIT
 *
 * shed_with_nobody_there.c -- io_uring says that descriptors are out before anybody has come.  To
 * shed, one was accepted on a listener that blocks, and the loop stood still.
 */
#include <sys/resource.h>

#include "conform/conn_rig.h"

static int blocking_listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = { .sin_family = AF_INET };
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 8) == 0);
    return fd;
}

CONFORM(out_of_descriptors_it_waited_for_one_to_shed)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    vigil_listen_options o = { .ops = &rig.ops, .user = &rig, .shed = true };
    EQ_INT(0, vigil_listen_fd(rig.loop, blocking_listener(), &o, &rig.listener));
    EQ_INT(0, vigil_listener_address(rig.loop, rig.listener, &rig.addr));
    struct rlimit before;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    int lowest = dup(0);
    close(lowest);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ (rlim_t)lowest, before.rlim_max }) == 0);
    for (int i = 0; i < 20; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(10)) >= 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, rig_stats(&rig).accept_shed);
    close(fd);
    rig_close(&rig);
}
