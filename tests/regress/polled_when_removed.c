/* SPDX-License-Identifier: MIT
 *
 * polled_when_removed.c -- a descriptor left the set of an io_uring, which polled it on.
 *
 * So the peer of what was closed then saw no end: where the queue was full of what was asked
 * back, and the ring another thread's, or the kernel had just taken nothing.  Where no descriptor
 * was left for a ring in the place of another thread's each removal asked a thousand times for one.
 */
#include "conform/uring_rig.h"

#include "conform/uring_alone.h"

enum {
    WATCHED = 400,  /* more than the queue has places for: 256 */
    CALLS_MAX = 50, /* some five are enough */
    END_MS = 10000, /* until a ring that was left has let go: the kernel does it in its own time */
};

static struct ring ring;
static int ends[2]; /* of which the first is in the set */

static void begin(void)
{
    uring_needed();
    ring_open(&ring);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    EQ_INT(0, ring_set(&ring, ends[0], 0, VIGIL_IN, 0));
    EQ_INT(0, ring_wait(&ring, 16, VIGIL_NOWAIT));
}

static void end(void)
{
    ring_close(&ring);
    close(ends[1]);
}

static void peer_sees_the_end(void)
{
    struct pollfd peer = { .fd = ends[1], .events = POLLIN };
    char byte;
    EQ_INT(1, poll(&peer, 1, END_MS));
    EQ_INT(0, recv(ends[1], &byte, 1, MSG_DONTWAIT));
}

static void *remove_without_a_descriptor(void *arg)
{
    (void)arg;
    struct rlimit before;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, before.rlim_max }) == 0);
    unsigned calls = seen.enters + seen.setups;
    EQ_INT(0, ring_set(&ring, ends[0], VIGIL_IN, 0, 0));
    calls = seen.enters + seen.setups - calls;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    OK(calls < CALLS_MAX, "%u calls", calls);
    close(ends[0]);
    EQ_INT(0, ring_wait(&ring, 16, VIGIL_NOWAIT)); /* there is a descriptor again: it moves */
    peer_sees_the_end();
    return NULL;
}

TEST(a_removal_asked_for_a_ring_a_thousand_times)
{
    begin();
    in_another_thread(remove_without_a_descriptor, NULL);
    end();
}

static int others[WATCHED];

static void begin_with_others(void)
{
    begin();
    for (uint32_t i = 0; i < WATCHED; i++) {
        others[i] = eventfd(0, EFD_CLOEXEC);
        REQUIRE(others[i] >= 0, "%s", strerror(errno));
        EQ_INT(0, ring_set(&ring, others[i], 0, VIGIL_IN, i + 1));
    }
    EQ_INT(0, ring_wait(&ring, 16, VIGIL_NOWAIT));
}

static void end_with_others(void)
{
    end();
    for (uint32_t i = 0; i < WATCHED; i++)
        close(others[i]);
}

/* Each is one to take back: more than the queue has places for. */
static void change_others(void)
{
    for (uint32_t i = 0; i < WATCHED; i++)
        EQ_INT(0, ring_set(&ring, others[i], VIGIL_IN, VIGIL_PRI, i + 1));
}

static void remove_and_close(uint32_t was)
{
    EQ_INT(0, ring_set(&ring, ends[0], was, 0, 0));
    close(ends[0]);
    peer_sees_the_end(); /* before any further call */
}

static void *remove_behind_a_full_queue(void *changed)
{
    change_others();
    if (changed != NULL)
        EQ_INT(0, ring_set(&ring, ends[0], VIGIL_IN, VIGIL_PRI, 0));
    remove_and_close(changed != NULL ? VIGIL_PRI : VIGIL_IN);
    return NULL;
}

TEST(a_removal_behind_a_full_queue_did_nothing)
{
    begin_with_others();
    in_another_thread(remove_behind_a_full_queue, NULL);
    end_with_others();
}

TEST(a_removal_of_what_was_changed_behind_a_full_queue_did_nothing)
{
    begin_with_others();
    in_another_thread(remove_behind_a_full_queue, &ring);
    end_with_others();
}

TEST(what_was_changed_twice_when_the_kernel_took_nothing_was_polled_on)
{
    begin_with_others();
    seen.refuse = true;
    change_others();
    EQ_INT(0, ring_set(&ring, ends[0], VIGIL_IN, VIGIL_PRI, 0));
    seen.refuse = false;
    EQ_INT(0, ring_wait(&ring, 16, VIGIL_NOWAIT));
    EQ_INT(0, ring_set(&ring, ends[0], VIGIL_PRI, VIGIL_OUT | VIGIL_EDGE, 0));
    remove_and_close(VIGIL_OUT | VIGIL_EDGE);
    end_with_others();
}
