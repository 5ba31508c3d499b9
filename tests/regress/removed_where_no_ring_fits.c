/* SPDX-License-Identifier: MIT
 *
 * removed_where_no_ring_fits.c -- a descriptor left the set of an io_uring that another thread had
 * made.  Where no descriptor was left for a new ring each removal asked a thousand times for one;
 * and where the queue was full of what was asked back, the removal did nothing at all, so that the
 * peer of what was closed then saw no end.
 */
#include "conform/uring_rig.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

enum {
    WATCHED = 400,  /* more than the queue has places for: 256 */
    CALLS_MAX = 50, /* some five are enough */
    END_MS = 10000, /* until a ring that was left has let go: the kernel does it in its own time */
};

struct ring {
    struct test_allocator memory;
    struct vigil__pool pool;
    const struct vigil__backend *backend;
    struct vigil__backend_caps caps;
    void *self;
    int ends[2]; /* of which the first is in the set */
};

static uint64_t key_of(uint32_t slot)
{
    return vigil__key(VIGIL__KEY_WATCH, 0, 1, slot);
}

static void ring_wait(struct ring *ring)
{
    struct vigil__record records[16];
    EQ_INT(0, ring->backend->wait(ring->self, records, 16, VIGIL_NOWAIT));
}

static void ring_open(struct ring *ring)
{
    uring_needed();
    *ring = (struct ring){ 0 };
    const vigil_allocator *allocator = test_counting_allocator(&ring->memory);
    vigil__pool_init(&ring->pool, allocator, 1 << 20);
    struct vigil__backend_config config = { .host = vigil__host_system(),
                                            .allocator = allocator,
                                            .pool = &ring->pool };
    REQUIRE(vigil__backend_open("io_uring", &config, &ring->backend, &ring->self, &ring->caps) ==
            0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ring->ends) == 0);
    EQ_INT(0, ring->backend->set(ring->self, ring->ends[0], 0, VIGIL_IN, key_of(0)));
    ring_wait(ring);
}

static void ring_close(struct ring *ring)
{
    ring->backend->close(ring->self);
    OK_ALLOCATOR_EMPTY(&ring->memory);
    close(ring->ends[1]);
}

static void in_another_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static void peer_sees_the_end(const struct ring *ring)
{
    struct pollfd peer = { .fd = ring->ends[1], .events = POLLIN };
    char byte;
    EQ_INT(1, poll(&peer, 1, END_MS));
    EQ_INT(0, recv(ring->ends[1], &byte, 1, MSG_DONTWAIT));
}

static void *remove_without_a_descriptor(void *arg)
{
    struct ring *ring = arg;
    struct rlimit before;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, before.rlim_max }) == 0);
    unsigned calls = seen.enters + seen.setups;
    EQ_INT(0, ring->backend->set(ring->self, ring->ends[0], VIGIL_IN, 0, 0));
    calls = seen.enters + seen.setups - calls;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    OK(calls < CALLS_MAX, "%u calls", calls);
    close(ring->ends[0]);
    ring_wait(ring); /* there is a descriptor again: it moves */
    peer_sees_the_end(ring);
    return NULL;
}

TEST(a_removal_asked_for_a_ring_a_thousand_times)
{
    struct ring ring;
    ring_open(&ring);
    in_another_thread(remove_without_a_descriptor, &ring);
    ring_close(&ring);
}

static int others[WATCHED];
static bool changed_too; /* what is removed was changed just before */

static void *remove_behind_a_full_queue(void *arg)
{
    struct ring *ring = arg;
    for (uint32_t i = 0; i < WATCHED; i++)
        EQ_INT(0, ring->backend->set(ring->self, others[i], VIGIL_IN, VIGIL_PRI, key_of(i + 1)));
    if (changed_too)
        EQ_INT(0, ring->backend->set(ring->self, ring->ends[0], VIGIL_IN, VIGIL_PRI, key_of(0)));
    EQ_INT(0, ring->backend->set(ring->self, ring->ends[0], VIGIL_IN, 0, 0));
    close(ring->ends[0]);
    peer_sees_the_end(ring); /* before any further call */
    return NULL;
}

static void full_queue(bool changed)
{
    struct ring ring;
    ring_open(&ring);
    for (uint32_t i = 0; i < WATCHED; i++) {
        others[i] = eventfd(0, EFD_CLOEXEC);
        REQUIRE(others[i] >= 0, "%s", strerror(errno));
        EQ_INT(0, ring.backend->set(ring.self, others[i], 0, VIGIL_IN, key_of(i + 1)));
    }
    ring_wait(&ring);
    changed_too = changed;
    in_another_thread(remove_behind_a_full_queue, &ring);
    ring_close(&ring);
    for (uint32_t i = 0; i < WATCHED; i++)
        close(others[i]);
}

TEST(a_removal_behind_a_full_queue_did_nothing)
{
    full_queue(false);
}

TEST(a_removal_of_what_was_changed_behind_a_full_queue_did_nothing)
{
    full_queue(true);
}
