/* SPDX-License-Identifier: MIT
 *
 * pipes_epoll.c -- the yardstick for pipes: epoll by hand, with the idle limits of raw_epoll.c.
 *
 * An event stores the turn's time, and once in a second all pipes are looked at.  System headers
 * only. */
#define _GNU_SOURCE
#include <sys/epoll.h>

#include "pipes.h"

enum { EVENTS_MAX = 256, SWEEP_NS = 1000000000 };

static int epoll;
static int64_t now, sweep, active[PIPES_MAX];

static void loop_open(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        pipes_die("pipes: epoll_create1");
    now = now_ns();
    sweep = now + SWEEP_NS;
}

static void pipe_watch(unsigned pipe)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = pipe };
    active[pipe] = now;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[pipe].in, &event) < 0)
        pipes_die("pipes: epoll_ctl");
}

static void pipes_sweep(void)
{
    for (unsigned i = 0; i < pipe_count; i++)
        if (now - active[i] >= pipes[i].limit_ms * (int64_t)1000000)
            pipe_silent();
    sweep = now + SWEEP_NS;
}

static void loop_turn(void)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll, events, EVENTS_MAX, timed ? SWEEP_NS / 1000000 : -1);
    if (count < 0)
        pipes_die("pipes: epoll_wait");
    if (timed)
        now = now_ns();
    for (int i = 0; i < count; i++) {
        unsigned pipe = events[i].data.u32;
        active[pipe] = now;
        pipe_ready(pipe);
    }
    if (timed && now >= sweep)
        pipes_sweep();
}
