/* SPDX-License-Identifier: MIT
 *
 * timers_vigil.c -- a million timers of this library: vigil_after() and what goes with it.
 *
 * Every call reads the clock, as the header says that a delay begins with the call; every handle
 * is checked.  Public header only. */
#include <vigil.h>

#include "timers.h"

static vigil_loop *loop;
static vigil_timer *timers;
static const size_t timer_handle = sizeof *timers;

static void timers_open(void)
{
    timers = malloc(TIMERS * sizeof *timers);
    if (!timers || vigil_loop_open(&loop, NULL) < 0)
        exit(1);
}

static void on_due(vigil_loop *of, void *arg)
{
    (void)of;
    (void)arg;
    timers_fired++;
}

static void timer_insert(uint32_t timer, uint32_t delay)
{
    if (vigil_after(loop, VIGIL_MS(delay), on_due, NULL, &timers[timer]) < 0)
        exit(1);
}

static void timer_move(uint32_t timer, uint32_t delay)
{
    if (vigil_timer_set(loop, timers[timer], VIGIL_MS(delay)) < 0)
        exit(1);
}

static void timer_cancel(uint32_t timer)
{
    if (vigil_cancel(loop, timers[timer]) < 0)
        exit(1);
}

static void timers_turn(void)
{
    if (vigil_loop_turn(loop, VIGIL_NOWAIT) < 0)
        exit(1);
}
