/* SPDX-License-Identifier: MIT
 *
 * wakes_vigil.c -- wake-ups and posts of this library: vigil_post().
 *
 * A post that finds 65,536 waiting is refused; it is tried again.  Public header only. */
#define _GNU_SOURCE
#include <sched.h>

#include <vigil.h>

#include "posts.h"

static vigil_loop *loop;
static vigil_remote *remote;

static void loop_open(void)
{
    if (vigil_loop_open(&loop, NULL) < 0 || vigil_remote_open(loop, &remote) < 0)
        exit(1);
}

static void on_wake(vigil_loop *of, void *arg, int status)
{
    (void)of;
    (void)arg;
    (void)status;
    wake_served();
}

static void loop_wake(void)
{
    if (vigil_post(remote, on_wake, NULL) < 0)
        exit(1);
}

static void turn(void)
{
    if (vigil_loop_turn(loop, VIGIL_FOREVER) < 0)
        exit(1);
}

static void loop_serve(void)
{
    while (wakes_served < ROUND_TRIPS)
        turn();
}

static void on_call(vigil_loop *of, void *arg, int status)
{
    (void)of;
    (void)arg;
    (void)status;
    call_made();
}

static void post(unsigned i)
{
    (void)i; /* all are the same */
    int err;
    while ((err = vigil_post(remote, on_call, NULL)) == VIGIL_EFULL)
        (void)sched_yield(); /* it always succeeds */
    if (err < 0)
        exit(1);
}

int main(void)
{
    measure_round_trips();
    measure_posts();
    return 0;
}
