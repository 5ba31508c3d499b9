/* SPDX-License-Identifier: MIT
 *
 * timers_libev.c -- a million ev_timer.
 *
 * One is moved by ev_timer_again(), the fastest that libev has for that.  libev decides by itself:
 * a heap of four children with the times in it; a delay begins with the time of the turn. */
#define _GNU_SOURCE
#include <ev.h>

#include "../timers.h"

static struct ev_loop *loop;
static ev_timer *timers;
static const size_t timer_handle = 0;

static void timers_open(void)
{
    loop = ev_default_loop(EVFLAG_AUTO);
    timers = malloc(TIMERS * sizeof *timers);
    if (!loop || !timers)
        exit(1);
}

static void on_due(struct ev_loop *of, ev_timer *timer, int events)
{
    (void)of;
    (void)timer;
    (void)events;
    timers_fired++;
}

static void timer_insert(uint32_t timer, uint32_t delay)
{
    ev_timer_init(&timers[timer], on_due, delay / 1000.0, 0);
    ev_timer_start(loop, &timers[timer]);
}

static void timer_move(uint32_t timer, uint32_t delay)
{
    timers[timer].repeat = delay / 1000.0;
    ev_timer_again(loop, &timers[timer]);
}

static void timer_cancel(uint32_t timer)
{
    ev_timer_stop(loop, &timers[timer]);
}

static void timers_turn(void)
{
    (void)ev_run(loop, EVRUN_NOWAIT); /* answers whether something is left */
}
