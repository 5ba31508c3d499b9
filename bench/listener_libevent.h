/* SPDX-License-Identifier: MIT
 *
 * listener_libevent.h -- what the two contenders on libevent share: the base, the listener with its
 * rest, and the idle limit as a common timeout, as all are equal; that is the cheapest it has.
 *
 * A program defines connection_add() and is run by base_run().
 */
#ifndef BENCH_LISTENER_LIBEVENT_H
#define BENCH_LISTENER_LIBEVENT_H

#include <event2/event.h>

#include "server.h"

static struct event_base *base;
static struct event *listener, *rest;
static const struct timeval *idle; /* NULL: no limit */

static void connection_add(int fd);

static void on_waiting(int fd, short what, void *arg)
{
    static const struct timeval rest_time = { .tv_usec = REST_MS * 1000 };
    (void)what;
    (void)arg;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int newcomer = server_accept(fd);
        if (newcomer >= 0) {
            connection_add(newcomer);
            continue;
        }
        if (newcomer == STARVED && event_add(rest, &rest_time) == 0)
            (void)event_del(listener); /* it comes back with the timer */
        return;
    }
}

static void on_rested(int fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    if (event_add(listener, NULL) < 0)
        server_die("event_add");
}

/* Serves for ever; answers the exit status if that ends. */
static int base_run(int argc, char **argv)
{
    struct server_arguments arguments = server_arguments(argc, argv, event_get_version());
    const struct timeval limit = { .tv_sec = IDLE_MS / 1000 };
    int fd = server_listen(&arguments);
    base = event_base_new();
    idle = base && arguments.idle ? event_base_init_common_timeout(base, &limit) : NULL;
    listener = base ? event_new(base, fd, EV_READ | EV_PERSIST, on_waiting, NULL) : NULL;
    rest = base ? event_new(base, -1, 0, on_rested, NULL) : NULL;
    if (!listener || !rest || (arguments.idle && !idle))
        server_die("start");
    on_rested(-1, 0, NULL);
    return event_base_dispatch(base);
}

#endif /* BENCH_LISTENER_LIBEVENT_H */
