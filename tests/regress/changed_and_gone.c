/* SPDX-License-Identifier: MIT
 *
 * changed_and_gone.c -- a watch on io_uring that was changed and then cancelled, before the loop
 * waited again: the request of before the change was still there and held the file, so that the
 * peer of the descriptor saw no end when it was closed.
 */
#include "conform/situations.h"

static void on_ready(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch;
    *(unsigned *)arg |= events;
}

static void sees_the_end(int peer)
{
    char byte;
    EQ_INT(0, recv(peer, &byte, 1, MSG_DONTWAIT));
}

CONFORM(a_watch_was_changed_and_cancelled)
{
    vigil_loop *loop;
    vigil_watch watch;
    int fds[2];
    unsigned events = 0;
    REQUIRE(vigil_loop_open(&loop, &(vigil_loop_options){ .backend = backend }) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, on_ready, &events, &watch));
    REQUIRE(vigil_loop_turn(loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_PRI));
    (void)vigil_on_ready(loop, fds[0], VIGIL_IN, on_ready, &events, NULL); /* tells the backend */
    EQ_INT(0, vigil_watch_cancel(loop, watch));
    close(fds[0]);
    sees_the_end(fds[1]);
    close(fds[1]);
    vigil_loop_close(loop);
}

/* The same where nobody asked: what cannot be masked makes another request of a level. */
CONFORM(a_watch_of_a_peer_that_had_ended_was_cancelled)
{
    vigil_loop *loop;
    vigil_watch watch;
    int fds[2];
    unsigned events = 0;
    char bytes[65536];
    REQUIRE(vigil_loop_open(&loop, &(vigil_loop_options){ .backend = backend }) == 0);
    unix_pair(fds);
    fill(fds[0]);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_OUT, on_ready, &events, &watch));
    REQUIRE(shutdown(fds[1], SHUT_WR) == 0);
    REQUIRE(vigil_loop_turn(loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(0, events);
    while (recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    REQUIRE(vigil_loop_turn(loop, VIGIL_S(5)) >= 0);
    EQ_INT(VIGIL_OUT, events & VIGIL_OUT);
    EQ_INT(0, vigil_watch_cancel(loop, watch));
    close(fds[0]);
    sees_the_end(fds[1]);
    close(fds[1]);
    vigil_loop_close(loop);
}
