/* SPDX-License-Identifier: MIT
 *
 * pipes.h -- pipes chained: many are watched, few are active; what an event costs in one library.
 *
 * libevent's classic.  A hundred bytes go round a ring of pipes: a callback that is told of a byte
 * reads it and writes it into the next pipe.  A program defines the functions below, and prints
 * "PIPES NANOSECONDS", of CPU time per event, the two system calls included, for 100, 1,000 and
 * 9,900 pipes; and the same with a timer of each pipe, 30 s and up to one more, which every event
 * arms anew, as "PIPES+timers".  Each is measured in a process of its own. */
#ifndef BENCH_PIPES_H
#define BENCH_PIPES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

enum {
    PIPES_MAX = 9900, /* of two descriptors each: 20,000 are what a process can count on */
    ACTIVE = 100,
    EVENTS = 100000, /* measured */
    WARM = 20000,    /* and before: every pipe has been ready at least once */
    LIMIT_MS = 30000
};

struct pipe_ends {
    int in, out;
    uint32_t limit_ms; /* of its timer */
};

static struct pipe_ends pipes[PIPES_MAX];
static unsigned pipe_count;
static bool timed;       /* every event arms the timer of its pipe anew */
static unsigned handled; /* events; loop_turn() is called until they are enough */
static unsigned to_pass; /* of them, after whom a byte goes on */

static void loop_open(void);
static void pipe_watch(unsigned pipe); /* its event calls pipe_ready(); timed: and arms the timer */
static void loop_turn(void);           /* waits for something */

static inline void pipes_die(const char *what)
{
    perror(what);
    exit(1);
}

static void pipe_ready(unsigned pipe)
{
    char byte;
    if (read(pipes[pipe].in, &byte, 1) != 1)
        pipes_die("pipes: read");
    handled++;
    if (to_pass == 0)
        return;
    to_pass--;
    if (write(pipes[pipe + 1 < pipe_count ? pipe + 1 : 0].out, &byte, 1) != 1)
        pipes_die("pipes: write");
}

/* A timer that fires is none that was armed anew: the machine was too slow for a measurement. */
static inline void pipe_silent(void)
{
    (void)fprintf(stderr, "pipes: a pipe was silent for 30 s\n");
    exit(1);
}

/* The bytes start at equal distances. */
static void events_handle(unsigned events)
{
    handled = 0;
    to_pass = events - ACTIVE;
    for (unsigned i = 0; i < ACTIVE; i++)
        if (write(pipes[i * (pipe_count / ACTIVE)].out, "", 1) != 1)
            pipes_die("pipes: write");
    while (handled < events)
        loop_turn();
}

static void pipes_measure(void)
{
    uint32_t random = 1;
    for (unsigned i = 0; i < pipe_count; i++) {
        int ends[2];
        if (pipe(ends) < 0)
            pipes_die("pipes: pipe");
        random = random * 1664525 + 1013904223;
        pipes[i] = (struct pipe_ends){ ends[0], ends[1], LIMIT_MS + (random >> 16) % 1000 };
    }
    loop_open();
    for (unsigned i = 0; i < pipe_count; i++)
        pipe_watch(i);
    events_handle(WARM);
    int64_t began = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    events_handle(EVENTS);
    printf("%u%s %.1f\n", pipe_count, timed ? "+timers" : "",
           (double)(read_ns(CLOCK_PROCESS_CPUTIME_ID) - began) / EVENTS);
}

int main(void)
{
    static const unsigned counts[] = { 100, 1000, PIPES_MAX };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* where it matters pipe() will tell */
    }
    for (int i = 0; i < 6; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            timed = i >= 3;
            pipe_count = counts[i % 3];
            pipes_measure();
            return 0;
        }
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
            return 1;
    }
    return 0;
}

#endif /* BENCH_PIPES_H */
