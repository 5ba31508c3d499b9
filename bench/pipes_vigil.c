/* SPDX-License-Identifier: MIT
 *
 * pipes_vigil.c -- pipes watched by this library: vigil_on_ready(), and vigil_timer_set().
 *
 * Setting a timer reads the clock, as the header says that a delay begins with the call.
 * VIGIL_BACKEND chooses the backend.  Public header only. */
#define _GNU_SOURCE
#include <vigil.h>

#include "pipes.h"

static vigil_loop *loop;
static vigil_timer timers[PIPES_MAX];

static void must(int status)
{
    if (status >= 0)
        return;
    (void)fprintf(stderr, "pipes: %s\n", vigil_strerror(status));
    exit(1);
}

static void loop_open(void)
{
    const char *backend = getenv("VIGIL_BACKEND");
    int err = backend != NULL ? vigil_backend_try(backend) : 0;
    if (err < 0) {
        printf("skip %s: %s\n", backend, vigil_strerror(err));
        exit(1); /* the other cells are not tried */
    }
    must(vigil_loop_open(&loop, NULL));
}

static void on_silence(vigil_loop *of, void *arg)
{
    (void)of, (void)arg;
    pipe_silent();
}

static void on_ready(vigil_loop *of, vigil_watch watch, unsigned events, void *arg)
{
    unsigned pipe = (unsigned)((struct pipe_ends *)arg - pipes);
    (void)watch, (void)events;
    if (timed)
        must(vigil_timer_set(of, timers[pipe], VIGIL_MS(pipes[pipe].limit_ms)));
    pipe_ready(pipe);
}

static void pipe_watch(unsigned pipe)
{
    vigil_watch watch;
    must(vigil_on_ready(loop, pipes[pipe].in, VIGIL_IN, on_ready, &pipes[pipe], &watch));
    if (timed)
        must(vigil_after(loop, VIGIL_MS(pipes[pipe].limit_ms), on_silence, NULL, &timers[pipe]));
}

static void loop_turn(void)
{
    must(vigil_loop_turn(loop, VIGIL_FOREVER));
}
