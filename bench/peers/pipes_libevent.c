/* SPDX-License-Identifier: MIT
 *
 * pipes_libevent.c -- pipes watched by libevent: an event each, with a timeout of its own, which
 * libevent arms anew by itself because the event is persistent. */
#define _GNU_SOURCE
#include <event2/event.h>

#include "../pipes.h"

static struct event_base *base;

static void loop_open(void)
{
    base = event_base_new();
    if (!base)
        pipes_die("pipes: event_base_new");
}

static void on_ready(int fd, short what, void *arg)
{
    (void)fd;
    if (what & EV_TIMEOUT)
        pipe_silent();
    pipe_ready((unsigned)((struct pipe_ends *)arg - pipes));
}

static void pipe_watch(unsigned pipe)
{
    const struct timeval limit = { .tv_sec = pipes[pipe].limit_ms / 1000,
                                   .tv_usec = pipes[pipe].limit_ms % 1000 * 1000 };
    struct event *event = event_new(base, pipes[pipe].in, EV_READ | EV_PERSIST, on_ready,
                                    &pipes[pipe]);
    if (!event || event_add(event, timed ? &limit : NULL) < 0)
        pipes_die("pipes: event_add");
}

static void loop_turn(void)
{
    if (event_base_loop(base, EVLOOP_ONCE) != 0)
        pipes_die("pipes: event_base_loop");
}
