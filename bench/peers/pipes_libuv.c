/* SPDX-License-Identifier: MIT
 *
 * pipes_libuv.c -- pipes watched by libuv: a uv_poll_t each, and a uv_timer_t, set again by
 * uv_timer_again(). */
#define _GNU_SOURCE
#include <uv.h>

#include "../pipes.h"

static uv_loop_t *loop;
static struct {
    uv_poll_t poll;
    uv_timer_t timer;
} handles[PIPES_MAX];

static void must(int status)
{
    if (status >= 0)
        return;
    (void)fprintf(stderr, "pipes: %s\n", uv_strerror(status));
    exit(1);
}

static void loop_open(void)
{
    loop = uv_default_loop();
    if (!loop)
        pipes_die("pipes: uv_default_loop");
}

static void on_silence(uv_timer_t *timer)
{
    (void)timer;
    pipe_silent();
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    unsigned pipe = (unsigned)((struct pipe_ends *)poll->data - pipes);
    (void)events;
    must(status);
    if (timed)
        must(uv_timer_again(&handles[pipe].timer));
    pipe_ready(pipe);
}

static void pipe_watch(unsigned pipe)
{
    must(uv_poll_init(loop, &handles[pipe].poll, pipes[pipe].in));
    must(uv_timer_init(loop, &handles[pipe].timer));
    handles[pipe].poll.data = &pipes[pipe];
    must(uv_poll_start(&handles[pipe].poll, UV_READABLE, on_ready));
    if (timed)
        must(uv_timer_start(&handles[pipe].timer, on_silence, pipes[pipe].limit_ms,
                            pipes[pipe].limit_ms));
}

static void loop_turn(void)
{
    (void)uv_run(loop, UV_RUN_ONCE); /* answers whether something is left */
}
