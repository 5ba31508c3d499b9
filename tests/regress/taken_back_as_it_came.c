/* SPDX-License-Identifier: MIT
 *
 * taken_back_as_it_came.c -- a request of io_uring's to poll for edges was taken back while the
 * kernel had an event of it in hand: it said "already", and the request went on.  A loop that was
 * closed right behind a post waited a second for an end that did not come.
 */
#include "conform/uring_rig.h"

enum { ENTERS_MAX = 50 }; /* some ten are enough */

static void on_post(vigil_loop *loop, void *arg, int status)
{
    (void)loop;
    *(int *)arg = status;
}

TEST(a_close_behind_a_wake_waited_for_a_request_that_went_on)
{
    struct rig rig;
    vigil_remote *remote;
    int status = 0;
    uring_needed();
    uring_open_loop(&rig);
    EQ_INT(0, vigil_remote_open(rig.loop, &remote));
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(0, vigil_post(remote, on_post, &status));
    unsigned before = seen.enters;
    rig_close(&rig);
    OK(seen.enters - before < ENTERS_MAX, "%u calls", seen.enters - before);
    EQ_INT(VIGIL_ECANCELED, status);
    vigil_remote_drop(remote);
}

static void on_edge(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch, (void)events;
    ++*(int *)arg;
}

/* The peer of a descriptor that is closed sees the end, whatever the kernel had in hand. */
TEST(a_watch_that_left_as_an_edge_came_held_the_file)
{
    struct rig rig;
    vigil_watch watch;
    int ends[2], edges = 0;
    char byte;
    uring_needed();
    uring_open_loop(&rig);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    EQ_INT(0, vigil_on_ready(rig.loop, ends[0], VIGIL_IN | VIGIL_EDGE, on_edge, &edges, &watch));
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    REQUIRE(write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1);
    unsigned before = seen.enters;
    EQ_INT(0, vigil_watch_cancel(rig.loop, watch));
    OK(seen.enters - before < ENTERS_MAX, "%u calls", seen.enters - before);
    close(ends[0]);
    EQ_INT(0, recv(ends[1], &byte, 1, MSG_DONTWAIT));
    close(ends[1]);
    rig_close(&rig);
}
