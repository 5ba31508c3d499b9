/* SPDX-License-Identifier: MIT
 *
 * uring_inside.c -- what went wrong between io_uring and the loop, in an order of calls that a loop
 * comes to seldom: the backend alone, called as a loop calls it.
 */
#include "conform/uring_alone.h"

static void *wait_there(void *arg)
{
    struct ring *ring = arg;
    (void)ring_wait(ring, 16, VIGIL_NOWAIT);
    return NULL;
}

static struct vigil__op receive(int fd, uint32_t slot)
{
    return (struct vigil__op){
        .key = vigil__key(VIGIL__KEY_OP, 1, 1, slot), .fd = fd, .kind = VIGIL__OP_RECV, .u.len = 100
    };
}

/* Its last record was brought, but not told yet: what it had was another's already. */
TEST(the_cancel_of_one_that_had_ended_took_another)
{
    struct ring ring;
    ring_open(&ring);
    int a[2], b[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b) == 0);
    REQUIRE(write(a[1], "x", 1) == 1);
    struct vigil__op first = receive(a[0], 1);
    EQ_INT(0, ring.backend->submit(ring.self, &first));
    REQUIRE(ring_wait(&ring, 16, VIGIL_S(10)) == 1);
    vigil__buf_drop(&ring.pool, ring.records[0].buf);
    struct vigil__op second = receive(b[0], 2);
    EQ_INT(0, ring.backend->submit(ring.self, &second));
    ring.backend->cancel(ring.self, &first);
    EQ_INT(0, ring_wait(&ring, 16, VIGIL_MS(20)));
    ring.backend->cancel(ring.self, &second);
    EQ_INT(1, ring_wait(&ring, 16, VIGIL_S(10)));
    EQ_INT(VIGIL_ECANCELED, ring.records[0].res);
    ring_close(&ring);
    for (int i = 0; i < 2; i++)
        REQUIRE(close(a[i]) == 0 && close(b[i]) == 0);
}

/* Stands behind each block, to be found as it was. */
enum { GUARD = 64 };

static bool guard_broken;

static void *guarded_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx;
    for (size_t i = 0; old != NULL && i < GUARD; i++)
        guard_broken = guard_broken || ((unsigned char *)old)[old_size + i] != 0xa5;
    if (size == 0) {
        free(old);
        return NULL;
    }
    unsigned char *p = realloc(old, size + GUARD);
    if (p != NULL)
        memset(p + size, 0xa5, GUARD);
    return p;
}

/* A wake that had come, but found no place among the records, took one of those that were counted
 * for the operations, when the ring was left. */
TEST(a_wake_took_the_place_of_an_operation_when_the_ring_was_left)
{
    static const vigil_allocator guarded = { guarded_resize, NULL };
    struct ring ring;
    guard_broken = false;
    ring_open(&ring);
    ring_close(&ring);
    vigil__pool_init(&ring.pool, &guarded, 1 << 20);
    struct vigil__backend_config config = { .host = vigil__host_system(),
                                            .allocator = &guarded,
                                            .pool = &ring.pool };
    REQUIRE(ring.backend->open(&ring.self, &config, &ring.caps) == 0);
    int pair[2], fds[4];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    for (int i = 0; i < 4; i++)
        fds[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(read(fds[0], &(uint64_t){ 0 }, 8) == 8);
    struct vigil__op op = receive(pair[0], 1);
    EQ_INT(0, ring.backend->submit(ring.self, &op));
    EQ_INT(0, ring_set(&ring, fds[0], 0, VIGIL_IN, 0));
    EQ_INT(0, ring_wait(&ring, 16, VIGIL_NOWAIT));
    EQ_INT(0, ring.backend->wake(ring.self));
    EQ_INT(0, ring_set(&ring, fds[0], VIGIL_IN, 0, 0)); /* brings the wake's */
    for (int i = 1; i < 4; i++)
        EQ_INT(0, ring_set(&ring, fds[i], 0, VIGIL_IN | VIGIL_EDGE, 0));
    EQ_INT(1, ring_wait(&ring, 1, VIGIL_NOWAIT));
    in_another_thread(wait_there, &ring);
    EQ_INT(4, ring.count); /* two edges, the wake, the operation */
    EQ_INT(VIGIL_ECANCELED, ring.records[3].res);
    ring.backend->close(ring.self);
    OK(!guard_broken);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close(pair[0]);
    close(pair[1]);
}

static void *close_there(void *arg)
{
    struct ring *ring = arg;
    struct rlimit before;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, before.rlim_max }) == 0);
    ring_close(ring);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    return NULL;
}

/* The ring could not be left for another, for want of a descriptor. */
TEST(a_close_that_was_put_off_was_forgotten)
{
    struct ring ring;
    ring_open(&ring);
    int pair[2];
    char scratch;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    EQ_INT(0, ring_wait(&ring, 16, VIGIL_NOWAIT));
    EQ_INT(0, ring.backend->close_fd(ring.self, pair[0]));
    in_another_thread(close_there, &ring);
    EQ_INT(0, recv(pair[1], &scratch, 1, MSG_DONTWAIT));
    close(pair[1]);
}
