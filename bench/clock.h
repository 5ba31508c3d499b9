/* SPDX-License-Identifier: MIT
 *
 * clock.h -- the system's clocks in nanoseconds, for the programs of the benchmark.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t read_ns(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now); /* the clocks asked for here are everywhere */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Of real time, from some moment on. */
static inline int64_t now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

#endif /* BENCH_CLOCK_H */
