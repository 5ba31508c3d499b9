/* SPDX-License-Identifier: MIT
 *
 * sorting_is_no_callback.c -- what it takes to sort a great many timers that are due was counted as
 * time of the first callbacks: a stall was reported that nobody had made, and a thousand turns then
 * read the clock behind every callback.
 */
#include "conform/loop_rig.h"
#include "sys/host.h"

enum { COUNT = 2000 }; /* of room for 2048, so that sorting asks for memory */

static vigil_ns clock_ns, memory_takes_ns;
static int asked;

static vigil_ns read_clock(void *self)
{
    (void)self;
    return clock_ns;
}

/* By what it takes the sorting has its time. */
static void *slow_resize(void *ctx, void *old, size_t old_size, size_t size)
{
    (void)ctx, (void)old_size;
    if (size == 0) {
        free(old);
        return NULL;
    }
    asked += memory_takes_ns > 0;
    clock_ns += memory_takes_ns;
    return realloc(old, size);
}

static void take_time(vigil_loop *loop, void *arg)
{
    (void)loop;
    clock_ns += *(const vigil_ns *)arg;
}

CONFORM(sorting_many_timers_was_reported_as_a_stall)
{
    static vigil_ns none = 0, long_ns = VIGIL_MS(60);
    static const vigil_allocator slow = { slow_resize, NULL };
    vigil_host host = *vigil__host_system();
    host.now = read_clock;
    clock_ns = VIGIL_S(1000);
    vigil_loop_options options = { .backend = backend, .host = &host, .allocator = &slow };
    for (int row = 0; row < 2; row++) { /* and a callback that takes that long still is */
        vigil_loop *loop;
        REQUIRE(vigil_loop_open(&loop, &options) == 0);
        for (int i = 0; i < COUNT; i++) {
            vigil_ns *takes = row == 1 && i == COUNT / 2 ? &long_ns : &none;
            EQ_INT(0, vigil_after(loop, VIGIL_US(i + 1), take_time, takes, NULL));
        }
        clock_ns += VIGIL_S(1);
        asked = 0;
        memory_takes_ns = long_ns;
        EQ_INT(COUNT, vigil_loop_turn(loop, VIGIL_NOWAIT));
        memory_takes_ns = 0;
        OK(asked > 0, "sorting asked for memory");
        EQ_INT(row, stats_of(loop).stalls);
        vigil_loop_close(loop);
    }
}
