/* SPDX-License-Identifier: MIT
 *
 * wakes_libevent.c -- wake-ups of libevent: event_active() from another thread, with its locks. */
#define _GNU_SOURCE
#include <event2/event.h>
#include <event2/thread.h>

#include "../wakes.h"

static struct event_base *base;
static struct event *event;

static void on_wake(int fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    wake_served();
    if (wakes_served == ROUND_TRIPS && event_base_loopbreak(base) < 0)
        exit(1);
}

static void loop_open(void)
{
    base = evthread_use_pthreads() == 0 ? event_base_new() : NULL;
    event = base ? event_new(base, -1, EV_PERSIST, on_wake, NULL) : NULL;
    if (!event)
        exit(1);
}

static void loop_wake(void)
{
    event_active(event, EV_WRITE, 0);
}

static void loop_serve(void)
{
    if (event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
        exit(1);
}

int main(void)
{
    measure_round_trips();
    return 0;
}
