/* SPDX-License-Identifier: MIT
 *
 * posts.h -- what a call costs that is posted to a loop, for those whose wake-up carries one: by
 * the loop's own thread, by another on the same processor, and by one on another (see wakes.h).
 *
 * A program defines post() and turn(), and says call_made() in every call.  While another thread
 * posts on the same processor, the loop's is one that the scheduler does not let in as soon as it
 * is woken: otherwise the two may switch at every single post for as long as the loop has had less
 * time than the poster, and the figure is the scheduler's. */
#ifndef BENCH_POSTS_H
#define BENCH_POSTS_H

#include <sched.h>
#include <stdatomic.h>

#include "wakes.h"

enum { LINE = 64 }; /* of the cache: what different threads write lies in different ones */

static struct {
    _Alignas(LINE) _Atomic unsigned calls;
} made; /* by the loop's thread */

static void post(unsigned i); /* the i-th call; any thread */
static void turn(void);       /* waits until there is something to do, and does it */

static inline void call_made(void)
{
    unsigned calls = atomic_load_explicit(&made.calls, memory_order_relaxed);
    atomic_store_explicit(&made.calls, calls + 1, memory_order_release);
}

static inline unsigned calls_made(void)
{
    return atomic_load_explicit(&made.calls, memory_order_acquire);
}

static void *post_all(void *where)
{
    if (where && sched_setaffinity(0, sizeof(cpu_set_t), where) < 0)
        exit(1);
    for (unsigned i = 0; i < POSTS; i++)
        post(i);
    return NULL;
}

/* Nanoseconds per call that another thread posts as fast as it can, from there if that is said. */
static double flood(cpu_set_t *where)
{
    pthread_t other;
    atomic_store(&made.calls, 0);
    const int64_t began = now_ns();
    if (pthread_create(&other, NULL, post_all, where) != 0)
        exit(1);
    while (calls_made() < POSTS)
        turn();
    const int64_t took = now_ns() - began;
    (void)pthread_join(other, NULL); /* it has posted everything */
    return (double)took / POSTS;
}

static void measure_posts(void)
{
    const struct sched_param none = { 0 };
    const char *another = getenv("POSTER_CPU");
    const int64_t began = now_ns();
    while (calls_made() < POSTS) {
        const unsigned first = calls_made();
        for (unsigned i = 0; i < POSTS_AT_ONCE; i++)
            post(first + i);
        while (calls_made() < first + POSTS_AT_ONCE)
            turn();
    }
    printf("post %.1f\n", (double)(now_ns() - began) / POSTS);
    (void)sched_setscheduler(0, SCHED_BATCH, &none); /* needs no right; without it, see above */
    (void)flood(NULL); /* the memory for as many as may wait is fetched from the kernel here */
    printf("post-other %.1f\n", flood(NULL));
    if (!another)
        return;
    cpu_set_t where;
    CPU_ZERO(&where);
    CPU_SET((size_t)atoi(another), &where);
    (void)sched_setscheduler(0, SCHED_OTHER, &none);
    (void)flood(&where);
    printf("post-across %.1f\n", flood(&where));
}

#endif /* BENCH_POSTS_H */
