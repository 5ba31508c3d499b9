/* SPDX-License-Identifier: MIT
 *
 * wakes_vigil.c -- wake-ups and posts of this library: vigil_post().
 *
 * A post that finds 65,536 waiting is refused; it is tried again.  Public header only. */
#include <sched.h>

#include <vigil.h>

#include "wakes.h"

static vigil_loop *loop;
static vigil_remote *remote;
static unsigned called;

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
    called++;
}

static void *post_all(void *ignored)
{
    for (unsigned i = 0; i < POSTS; i++) {
        int err;
        while ((err = vigil_post(remote, on_call, NULL)) == VIGIL_EFULL)
            (void)sched_yield(); /* it always succeeds */
        if (err < 0)
            exit(1);
    }
    return ignored;
}

static void measure_posts(void)
{
    pthread_t other;
    int64_t began = now_ns();
    while (called < POSTS) {
        for (unsigned i = 0; i < POSTS_AT_ONCE; i++)
            if (vigil_post(remote, on_call, NULL) < 0)
                exit(1);
        for (unsigned end = (called / POSTS_AT_ONCE + 1) * POSTS_AT_ONCE; called < end;)
            turn();
    }
    printf("post %.1f\n", (double)(now_ns() - began) / POSTS);
    called = 0;
    began = now_ns();
    if (pthread_create(&other, NULL, post_all, NULL) != 0)
        exit(1);
    while (called < POSTS)
        turn();
    printf("post-other %.1f\n", (double)(now_ns() - began) / POSTS);
    (void)pthread_join(other, NULL); /* it has posted everything */
}

int main(void)
{
    measure_round_trips();
    measure_posts();
    return 0;
}
