/* SPDX-License-Identifier: MIT
 *
 * contender.h -- who is measured: one row per echo server, X(name, program, argument).
 *
 * A program is bench/PROGRAM of the build, called with the address to listen on and the argument
 * if it has one; it prints the address bound on its first line, or "skip REASON" where it cannot
 * run, and serves until SIGTERM.  The first row is what the others are compared with; the last is
 * that again, and its ratio says how far the machine's noise goes. */
#ifndef BENCH_CONTENDER_H
#define BENCH_CONTENDER_H

#define CONTENDER_MAP(X)                     \
    X("raw epoll", "raw_epoll", "")          \
    X("vigil epoll", "vigil", "epoll")       \
    X("raw io_uring", "raw_uring", "")       \
    X("vigil io_uring", "vigil", "io_uring") \
    X("vigil poll", "vigil", "poll")         \
    X("vigil select", "vigil", "select")     \
    X("raw epoll again", "raw_epoll", "")

#endif /* BENCH_CONTENDER_H */
