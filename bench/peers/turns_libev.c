/* SPDX-License-Identifier: MIT
 *
 * turns_libev.c -- turns of libev: ev_run() over an ev_io and an ev_timer for each connection. */
#define _GNU_SOURCE
#include <ev.h>

#include "../turns.h"

static struct ev_loop *loop;

static void on_readable(struct ev_loop *of, ev_io *io, int events)
{
    (void)of, (void)io, (void)events;
    exit(1); /* nothing was sent */
}

static void on_silence(struct ev_loop *of, ev_timer *timer, int events)
{
    (void)of, (void)timer, (void)events;
    exit(1); /* the machine was too slow for this to be a measurement */
}

static void loop_open(void)
{
    loop = ev_default_loop(EVFLAG_AUTO);
    if (!loop)
        exit(1);
}

static void connection_add(int fd)
{
    struct {
        ev_io io;
        ev_timer timer;
    } *connection = calloc(1, sizeof *connection);
    if (!connection)
        exit(1);
    ev_io_init(&connection->io, on_readable, fd, EV_READ);
    ev_init(&connection->timer, on_silence);
    connection->timer.repeat = IDLE_S;
    ev_io_start(loop, &connection->io);
    ev_timer_again(loop, &connection->timer);
}

static void loop_turn(void)
{
    (void)ev_run(loop, EVRUN_NOWAIT); /* answers whether something is left */
}
