/* SPDX-License-Identifier: MIT
 *
 * drain_and_listeners.c -- two listeners that drain: one closed in a callback of the other;
 * one that rests.
 */

#include "conform/conn_rig.h"

static vigil_listener other;

static void *close_the_other(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)conn;
    (void)vigil_listener_close(loop, other); /* the second time it is stale */
    return user;
}

CONFORM(a_listener_closed_by_the_ctx_of_another_that_drains_was_ended_twice)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .ctx = close_the_other });
    vigil_addr addr = rig.addr;
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    other = rig.listener;
    rig.addr = addr;
    int fd = rig_client(&rig);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    RIG_UNTIL(&rig, rig.opened == 1);
    close(fd);
    EQ_INT(0, vigil_loop_run(rig.loop));
    rig_close(&rig);
}

/* The first takes its share and has more waiting; the second then finds no descriptor. */
CONFORM(one_that_rests_stopped_the_drain_of_another)
{
    enum { WAITING = 70, SHARE = 64 };
    struct rig rig;
    int fds[WAITING + 1];
    rig_open(&rig, backend, NULL);
    rig.ops.eof = NULL;
    for (int i = 0; i < WAITING; i++)
        fds[i] = rig_client(&rig);
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    fds[WAITING] = rig_client(&rig);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    struct rlimit limit, tight;
    int next = dup(0); /* the lowest that is free; those above are free too */
    close(next);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    tight = (struct rlimit){ .rlim_cur = (rlim_t)next + SHARE, .rlim_max = limit.rlim_max };
    REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    int status = vigil_loop_turn(rig.loop, VIGIL_NOWAIT);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    OK(status >= 0);
    EQ_INT(1, rig_stats(&rig).accept_rests);
    EQ_INT(0, vigil_listener_close(rig.loop, rig.listener));
    RIG_UNTIL(&rig, rig.opened == WAITING);
    for (int i = 0; i <= WAITING; i++)
        close(fds[i]);
    EQ_INT(0, vigil_loop_run(rig.loop));
    rig_close(&rig);
}
