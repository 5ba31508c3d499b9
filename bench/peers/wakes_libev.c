/* SPDX-License-Identifier: MIT
 *
 * wakes_libev.c -- wake-ups of libev: ev_async_send(), which carries nothing. */
#define _GNU_SOURCE
#include <ev.h>

#include "../wakes.h"

static struct ev_loop *loop;
static ev_async async;

static void on_wake(struct ev_loop *of, ev_async *watcher, int events)
{
    (void)events;
    wake_served();
    if (wakes_served == ROUND_TRIPS)
        ev_async_stop(of, watcher);
}

static void loop_open(void)
{
    loop = ev_default_loop(EVFLAG_AUTO);
    if (!loop)
        exit(1);
    ev_async_init(&async, on_wake);
    ev_async_start(loop, &async);
}

static void loop_wake(void)
{
    ev_async_send(loop, &async);
}

static void loop_serve(void)
{
    if (ev_run(loop, 0))
        exit(1);
}

int main(void)
{
    measure_round_trips();
    return 0;
}
