/* SPDX-License-Identifier: MIT
 *
 * timers.h -- a million timers: what each of five operations costs, in one library.
 *
 * A program defines the functions below and counts what fired.  It prints, per timer,
 * "NAME NANOSECONDS" for
 *   insert  a timer, 60 to 120 s from now
 *   later   the same moved to 120 to 240 s, as activity does
 *   sooner  moved to 30 to 60 s
 *   cancel  all of them, in an order that has nothing to do with their times
 *   fire    a million that are due, inserted in random order of time, with a callback that counts
 *   clock   a read of it alone, for who reads it in each of the first three
 * and "bytes" of memory for a timer, all that the program keeps for it included, of which "handle"
 * are kept beside the library's only to name it.  Delays are in milliseconds, which is what all of
 * them have; what is counted is CPU time. */
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"

enum {
    TIMERS = 1000000,
    STRIDE = 611953, /* a prime that does not divide TIMERS */
    DUE_WITHIN_MS = 16
};

static uint32_t timers_fired; /* counted by the callback of every timer */

static const size_t timer_handle; /* 0: its number, or the structure that it is, is its name */
static void timers_open(void);
static void timer_insert(uint32_t timer, uint32_t delay); /* each of the numbers below TIMERS */
static void timer_move(uint32_t timer, uint32_t delay);
static void timer_cancel(uint32_t timer);
static void timers_turn(void); /* fires what is due, without waiting */

/* What is done here is computed: the time in which others had the processor does not count. */
static int64_t used_ns(void)
{
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* Between `low` and twice that, the same in every run. */
static uint32_t delay_ms(uint32_t low)
{
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return low + (uint32_t)(((uint64_t)state * low) >> 32);
}

static long resident_bytes(void)
{
    long pages = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld %ld", &pages, &shared) != 2)
        exit(1);
    (void)fclose(file); /* it was only read */
    return (pages - shared) * sysconf(_SC_PAGESIZE);
}

static void timers_say(const char *name, int64_t began_ns)
{
    printf("%s %.1f\n", name, (double)(used_ns() - began_ns) / TIMERS);
}

int main(void)
{
    timers_open();
    long before = resident_bytes();
    int64_t began = used_ns();
    for (uint32_t i = 0; i < TIMERS; i++)
        timer_insert(i, delay_ms(60000));
    timers_say("insert", began);
    long after = resident_bytes();
    began = used_ns();
    for (uint32_t i = 0; i < TIMERS; i++)
        timer_move(i, delay_ms(120000));
    timers_say("later", began);
    began = used_ns();
    for (uint32_t i = 0; i < TIMERS; i++)
        timer_move(i, delay_ms(30000));
    timers_say("sooner", began);
    began = used_ns();
    for (uint32_t i = 0; i < TIMERS; i++)
        timer_cancel((uint32_t)((uint64_t)i * STRIDE % TIMERS));
    timers_say("cancel", began);
    if (timers_fired != 0)
        exit(1);
    for (uint32_t i = 0; i < TIMERS; i++)
        timer_insert(i, delay_ms(DUE_WITHIN_MS / 2));
    int64_t due = read_ns(CLOCK_MONOTONIC) + (DUE_WITHIN_MS + 4) * (int64_t)1000000;
    while (read_ns(CLOCK_MONOTONIC) < due)
        ;
    began = used_ns();
    while (timers_fired < TIMERS)
        timers_turn();
    timers_say("fire", began);
    began = used_ns();
    for (uint32_t i = 0; i < TIMERS; i++)
        (void)now_ns(); /* the call is what counts */
    timers_say("clock", began);
    printf("bytes %.1f\n", (double)(after - before) / TIMERS);
    printf("handle %.1f\n", (double)timer_handle);
    return 0;
}

#endif /* BENCH_TIMERS_H */
