/* SPDX-License-Identifier: MIT
 *
 * turns_epoll.c -- the yardstick for turns: epoll by hand, with the idle limits of raw_epoll.c.
 *
 * A turn reads the clock once; once in a second all connections are looked at.  System headers
 * only. */
#define _GNU_SOURCE
#include <sys/epoll.h>

#include "turns.h"

enum { EVENTS_MAX = 256, SWEEP_NS = 1000000000 };

static int epoll;
static int64_t now, sweep, active[CONNECTIONS];
static int count;

static void loop_open(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        exit(1);
    now = now_ns();
    sweep = now + SWEEP_NS;
}

static void connection_add(int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    active[count++] = now;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        exit(1);
}

static void loop_turn(void)
{
    struct epoll_event events[EVENTS_MAX];
    if (epoll_wait(epoll, events, EVENTS_MAX, 0) != 0)
        exit(1);
    now = now_ns();
    if (now < sweep)
        return;
    for (int i = 0; i < count; i++)
        if (now - active[i] >= IDLE_S * (int64_t)1000000000)
            exit(1); /* the machine was too slow for this to be a measurement */
    sweep = now + SWEEP_NS;
}
