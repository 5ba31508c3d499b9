/* SPDX-License-Identifier: MIT
 *
 * post_pool.c -- threads that take blocks from a pool and put them back, in thousands of orders.
 *
 * A block is one thread's at a time, comes as it was put, and none is lost.  (In posts.c, where the
 * whole way of a post is taken, the orders in which a pool goes wrong are too rare to be found.)
 */
#include "base/base.h"

#include "scheduler.h"

#include "loop/post_pool.c"

enum { HOLDERS = 3, ROUNDS = 4, AT_ONCE_MAX = 2 };

static struct {
    struct vigil__post_pool pool;
    bool held[VIGIL__POST_BLOCKS + 1];
    uint32_t left[VIGIL__POST_BLOCKS + 1]; /* the next of its posts, when it was put; 0: never */
    const char *fault;
} run;

static void fault(const char *what)
{
    run.fault = run.fault != NULL ? run.fault : what;
}

static uint32_t block_get(void)
{
    uint32_t next = 0;
    if (vigil__post_pool_get(&run.pool, &next) != 0)
        fault("there is no block");
    uint32_t which = next / VIGIL__POST_NUMBERS;
    if (run.held[which])
        fault("two threads have one block");
    if (run.left[which] != 0 && run.left[which] != next)
        fault("a block comes otherwise than it was put");
    run.held[which] = true;
    return next;
}

static void block_put(uint32_t next)
{
    uint32_t which = next / VIGIL__POST_NUMBERS;
    next = vigil__post_is(next + 1) ? next + 1 : which * VIGIL__POST_NUMBERS + 1;
    run.left[which] = next;
    run.held[which] = false;
    vigil__post_pool_put(&run.pool, next);
}

static void holder_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS && run.fault == NULL; i++) {
        uint32_t next[AT_ONCE_MAX];
        unsigned count = 1 + choose(AT_ONCE_MAX);
        for (unsigned n = 0; n < count; n++)
            next[n] = block_get();
        switch_point();
        for (unsigned n = 0; n < count; n++)
            block_put(next[n]);
    }
}

/* All blocks there are can be had again, and no other. */
static void run_check(void)
{
    uint32_t blocks = atomic_load(&run.pool.blocks);
    for (uint32_t i = 0; i < blocks && run.fault == NULL; i++)
        (void)block_get();
    if (atomic_load(&run.pool.blocks) != blocks)
        fault("a block is lost");
}

static struct test_allocator memory;
static const vigil_allocator *allocator;

static const char *run_order(uint64_t seed)
{
    memset(&run, 0, sizeof(run));
    run.pool.allocator = allocator;
    scheduler_seed(seed);
    for (int i = 0; i < HOLDERS; i++)
        thread_add(holder_thread, NULL);
    if (!scheduler_run())
        fault("threads stand still");
    run_check();
    vigil__post_pool_clear(&run.pool);
    return run.fault;
}

TEST(every_block_is_one_threads_at_a_time)
{
    allocator = test_counting_allocator(&memory);
    orders_run(run_order, 20000);
    OK_ALLOCATOR_EMPTY(&memory);
}
