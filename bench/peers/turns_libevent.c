/* SPDX-License-Identifier: MIT
 *
 * turns_libevent.c -- turns of libevent: event_base_loop() over an event for each connection.
 *
 * The limit is the event's own timeout, a common one as in libevent.c. */
#define _GNU_SOURCE
#include <event2/event.h>

#include "../turns.h"

static struct event_base *base;
static const struct timeval *limit;

static void on_event(int fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    exit(1); /* nothing was sent, or the machine was too slow for this to be a measurement */
}

static void loop_open(void)
{
    const struct timeval idle = { .tv_sec = IDLE_S };
    base = event_base_new();
    limit = base ? event_base_init_common_timeout(base, &idle) : NULL;
    if (!limit)
        exit(1);
}

static void connection_add(int fd)
{
    struct event *event = event_new(base, fd, EV_READ | EV_PERSIST, on_event, NULL);
    if (!event || event_add(event, limit) < 0)
        exit(1);
}

static void loop_turn(void)
{
    if (event_base_loop(base, EVLOOP_NONBLOCK) != 0)
        exit(1);
}
