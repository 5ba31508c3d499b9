/* SPDX-License-Identifier: MIT
 *
 * posts.h -- what a call costs that is posted to a loop, for those whose wake-up carries one: by
 * the loop's own thread, and by another (see wakes.h).
 *
 * A program defines the functions below, and counts every call in `called`.  While another thread
 * posts, the loop's is one that the scheduler does not let in as soon as it is woken: otherwise, on
 * one processor, the two may switch at every single post for as long as the loop has had less time
 * than the poster, and the figure is the scheduler's. */
#ifndef BENCH_POSTS_H
#define BENCH_POSTS_H

#include <sched.h>

#include "wakes.h"

static unsigned called; /* by the loop's thread */

static void post(unsigned i); /* the i-th call; any thread */
static void turn(void);       /* waits until there is something to do, and does it */

static void *post_all(void *ignored)
{
    for (unsigned i = 0; i < POSTS; i++)
        post(i);
    return ignored;
}

/* Nanoseconds per call that another thread posts as fast as it can. */
static double flood(void)
{
    pthread_t other;
    called = 0;
    const int64_t began = now_ns();
    if (pthread_create(&other, NULL, post_all, NULL) != 0)
        exit(1);
    while (called < POSTS)
        turn();
    const int64_t took = now_ns() - began;
    (void)pthread_join(other, NULL); /* it has posted everything */
    return (double)took / POSTS;
}

static void measure_posts(void)
{
    const int64_t began = now_ns();
    while (called < POSTS) {
        const unsigned first = called;
        for (unsigned i = 0; i < POSTS_AT_ONCE; i++)
            post(first + i);
        while (called < first + POSTS_AT_ONCE)
            turn();
    }
    printf("post %.1f\n", (double)(now_ns() - began) / POSTS);
    const struct sched_param none = { 0 };
    (void)sched_setscheduler(0, SCHED_BATCH, &none); /* needs no right; without it, see above */
    (void)flood(); /* the memory for as many as may wait is fetched from the kernel here */
    printf("post-other %.1f\n", flood());
}

#endif /* BENCH_POSTS_H */
