/* SPDX-License-Identifier: MIT
 *
 * timers_libuv.c -- a million uv_timer_t.
 *
 * Setting one stops and starts it, in a binary heap of nodes that point at each other.  libuv
 * decides by itself: a delay begins with the time of the turn; whole milliseconds. */
#define _GNU_SOURCE
#include <uv.h>

#include "../timers.h"

static uv_loop_t *loop;
static uv_timer_t *timers;
static const size_t timer_handle = 0;

static void timers_open(void)
{
    loop = uv_default_loop();
    timers = malloc(TIMERS * sizeof *timers);
    if (!loop || !timers)
        exit(1);
}

static void on_due(uv_timer_t *timer)
{
    (void)timer;
    timers_fired++;
}

static void timer_insert(uint32_t timer, uint32_t delay)
{
    if (uv_timer_init(loop, &timers[timer]) < 0)
        exit(1);
    timer_move(timer, delay);
}

static void timer_move(uint32_t timer, uint32_t delay)
{
    if (uv_timer_start(&timers[timer], on_due, delay, 0) < 0)
        exit(1);
}

static void timer_cancel(uint32_t timer)
{
    if (uv_timer_stop(&timers[timer]) < 0)
        exit(1);
}

static void timers_turn(void)
{
    (void)uv_run(loop, UV_RUN_NOWAIT); /* answers whether something is left */
}
