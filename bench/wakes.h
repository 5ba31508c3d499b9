/* SPDX-License-Identifier: MIT
 *
 * wakes.h -- two threads wake each other: what that costs in one library.
 *
 * A program defines the functions below.  It prints "NAME NANOSECONDS", of real time, as a thread
 * that waits uses none:
 *   round-trip  another thread wakes the loop, whose callback answers through an eventfd that the
 *               other waits for
 *   post        a call posted from the loop's own thread and made, 10,000 at a time; where the
 *               library carries calls
 *   post-other  the same posted by another thread, as fast as it can, while the loop turns; the
 *               second time, when the memory is there.  Both are on the processor of the process
 *   post-across the same with the other thread on the processor that POSTER_CPU names in the
 *               environment, and with the usual scheduling; without it, this is left out
 * A library whose wake-up carries nothing has round-trip alone. */
#ifndef BENCH_WAKES_H
#define BENCH_WAKES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"

enum { ROUND_TRIPS = 20000, POSTS = 1000000, POSTS_AT_ONCE = 10000 };

static int answers;           /* the eventfd */
static unsigned wakes_served; /* by the loop's thread */

static void loop_open(void);
static void loop_wake(void);  /* any thread; its callback calls wake_served() */
static void loop_serve(void); /* turns until ROUND_TRIPS wakes were served */

static void wake_served(void)
{
    const uint64_t one = 1;
    wakes_served++;
    if (write(answers, &one, sizeof one) != sizeof one)
        exit(1);
}

static void *wake_again_and_again(void *ignored)
{
    uint64_t count;
    int64_t began = now_ns();
    for (int i = 0; i < ROUND_TRIPS; i++) {
        loop_wake();
        if (read(answers, &count, sizeof count) != sizeof count)
            exit(1);
    }
    printf("round-trip %.1f\n", (double)(now_ns() - began) / ROUND_TRIPS);
    return ignored;
}

static void measure_round_trips(void)
{
    pthread_t other;
    answers = eventfd(0, EFD_CLOEXEC);
    loop_open();
    if (answers < 0 || pthread_create(&other, NULL, wake_again_and_again, NULL) != 0)
        exit(1);
    loop_serve();
    if (pthread_join(other, NULL) != 0)
        exit(1);
}

#endif /* BENCH_WAKES_H */
