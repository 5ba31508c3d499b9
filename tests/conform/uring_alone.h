/* SPDX-License-Identifier: MIT
 *
 * uring_alone.h -- the backend on io_uring(7) alone, called as a loop calls it.
 */
#ifndef URING_ALONE_H
#define URING_ALONE_H

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "poller/backend.h"
#include "test.h"

struct ring {
    struct test_allocator memory;
    struct vigil__pool pool;
    const struct vigil__backend *backend;
    struct vigil__backend_caps caps;
    void *self;
    struct vigil__record records[16];
    int count; /* of them, or an error */
};

TEST_MAYBE_UNUSED static void ring_open(struct ring *ring)
{
    *ring = (struct ring){ 0 };
    const vigil_allocator *allocator = test_counting_allocator(&ring->memory);
    vigil__pool_init(&ring->pool, allocator, 1 << 20);
    struct vigil__backend_config config = { .host = vigil__host_system(),
                                            .allocator = allocator,
                                            .pool = &ring->pool };
    int err = vigil__backend_open("io_uring", &config, &ring->backend, &ring->self, &ring->caps);
    if (err == VIGIL_EINVAL || err == VIGIL_ENOTSUP)
        SKIP("no io_uring here");
    REQUIRE(err == 0, "%s", vigil_strerror(err));
    ring->pool.give = ring->backend->give;
    ring->pool.give_self = ring->self;
    if (ring->caps.op_kinds == 0) {
        ring->backend->close(ring->self);
        SKIP("this kernel's io_uring performs no operations");
    }
}

TEST_MAYBE_UNUSED static void ring_close(struct ring *ring)
{
    ring->backend->close(ring->self);
    OK_ALLOCATOR_EMPTY(&ring->memory);
}

/* Brings up to `cap` records. */
TEST_MAYBE_UNUSED static int ring_wait(struct ring *ring, int cap, vigil_ns timeout)
{
    ring->count = ring->backend->wait(ring->self, ring->records, cap, timeout);
    return ring->count;
}

TEST_MAYBE_UNUSED static int ring_set(struct ring *ring, vigil_fd fd, uint32_t was, uint32_t want,
                                      uint32_t slot)
{
    return ring->backend->set(ring->self, fd, was, want, vigil__key(VIGIL__KEY_WATCH, 0, 1, slot));
}

TEST_MAYBE_UNUSED static void in_another_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

#endif
