/* SPDX-License-Identifier: MIT
 *
 * turns.h -- a turn that finds nothing due: what that costs in one library.
 *
 * A program defines the functions below.  It prints "CONNECTIONS NANOSECONDS", of CPU time, for a
 * turn that does not wait, with 1 and with 10,000 connections in the loop, each read from and with
 * an idle limit of 30 s; an empty loop is none that every library would turn.  With the argument
 * "counted" it turns some times in turn_counted(), from counting_begins() to counting_ends(), and
 * prints "CONNECTIONS TURNS". */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "clock.h"

enum { IDLE_S = 30, TURNS = 100000, TURNS_WARM = 100, TURNS_COUNTED = 1000, CONNECTIONS = 10000 };

static void loop_open(void);
static void connection_add(int fd); /* never readable */
static void loop_turn(void);        /* without waiting */

__attribute__((noinline)) static void turn_counted(void)
{
    loop_turn();
}

__attribute__((noinline)) static void counting_begins(void)
{
    __asm__ volatile(""); /* it is there for its name */
}

__attribute__((noinline)) static void counting_ends(int connections)
{
    printf("%d %d\n", connections, TURNS_COUNTED);
}

static void turns_measure(int connections, int counted)
{
    for (int i = 0; i < TURNS_WARM; i++)
        loop_turn();
    if (counted) {
        counting_begins();
        for (int i = 0; i < TURNS_COUNTED; i++)
            turn_counted();
        counting_ends(connections);
        return;
    }
    int64_t began = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < TURNS; i++)
        loop_turn();
    printf("%d %.1f\n", connections, (double)(read_ns(CLOCK_PROCESS_CPUTIME_ID) - began) / TURNS);
}

int main(int argc, char **argv)
{
    int counted = argc > 1 && strcmp(argv[1], "counted") == 0, ends[2];
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* where it matters socketpair() will tell */
    }
    loop_open();
    for (int i = 0; i < CONNECTIONS; i++) {
        if (i % 2 == 0 &&
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0) {
            perror("turns: socketpair");
            exit(1);
        }
        connection_add(ends[i % 2]); /* each is the peer of another */
        if (i == 0)
            turns_measure(1, counted);
    }
    turns_measure(CONNECTIONS, counted);
    return 0;
}

#endif /* BENCH_TURNS_H */
