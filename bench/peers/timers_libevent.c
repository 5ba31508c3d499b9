/* SPDX-License-Identifier: MIT
 *
 * timers_libevent.c -- a million timer events of libevent.
 *
 * One is moved by event_add(), which takes it out of the heap and puts it in.  libevent decides by
 * itself: a binary heap of pointers; the clock is read for every event_add(). */
#define _GNU_SOURCE
#include <event2/event.h>
#include <event2/event_struct.h>

#include "../timers.h"

static struct event_base *base;
static struct event *timers;
static const size_t timer_handle = 0;

static void timers_open(void)
{
    base = event_base_new();
    timers = malloc(TIMERS * sizeof *timers);
    if (!base || !timers)
        exit(1);
}

static void on_due(int fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    timers_fired++;
}

static void timer_insert(uint32_t timer, uint32_t delay)
{
    if (event_assign(&timers[timer], base, -1, 0, on_due, NULL) < 0)
        exit(1);
    timer_move(timer, delay);
}

static void timer_move(uint32_t timer, uint32_t delay)
{
    const struct timeval in = { .tv_sec = delay / 1000, .tv_usec = delay % 1000 * 1000 };
    if (event_add(&timers[timer], &in) < 0)
        exit(1);
}

static void timer_cancel(uint32_t timer)
{
    if (event_del(&timers[timer]) < 0)
        exit(1);
}

static void timers_turn(void)
{
    if (event_base_loop(base, EVLOOP_NONBLOCK) < 0)
        exit(1);
}
