/* SPDX-License-Identifier: MIT
 *
 * pipes_libev.c -- pipes watched by libev: an ev_io each, and an ev_timer, set again by
 * ev_timer_again(). */
#define _GNU_SOURCE
#include <ev.h>

#include "../pipes.h"

static struct ev_loop *loop;
static struct {
    ev_io io;
    ev_timer timer;
} watchers[PIPES_MAX];

static void loop_open(void)
{
    loop = ev_default_loop(EVFLAG_AUTO);
    if (!loop)
        pipes_die("pipes: ev_default_loop");
}

static void on_silence(struct ev_loop *of, ev_timer *timer, int events)
{
    (void)of, (void)timer, (void)events;
    pipe_silent();
}

static void on_ready(struct ev_loop *of, ev_io *io, int events)
{
    unsigned pipe = (unsigned)((struct pipe_ends *)io->data - pipes);
    (void)events;
    if (timed)
        ev_timer_again(of, &watchers[pipe].timer);
    pipe_ready(pipe);
}

static void pipe_watch(unsigned pipe)
{
    ev_io_init(&watchers[pipe].io, on_ready, pipes[pipe].in, EV_READ);
    watchers[pipe].io.data = &pipes[pipe];
    ev_io_start(loop, &watchers[pipe].io);
    ev_init(&watchers[pipe].timer, on_silence);
    watchers[pipe].timer.repeat = pipes[pipe].limit_ms / 1000.0;
    if (timed)
        ev_timer_again(loop, &watchers[pipe].timer);
}

static void loop_turn(void)
{
    (void)ev_run(loop, EVRUN_ONCE); /* answers whether something is left */
}
