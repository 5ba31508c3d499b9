/* SPDX-License-Identifier: MIT
 *
 * contender.h -- who is measured: one row per echo server, X(name, program, backend, group).
 *
 * A program is bench/PROGRAM of the build.  It is called as PROGRAM [--idle] tcp://A.B.C.D:PORT,
 * prints the address bound on its first line, or "skip REASON" where it cannot run, and serves
 * until SIGTERM; --version tells what it stands on.  The backend, if there is one, is put into
 * VIGIL_BACKEND.  What all of them do alike is in server.h.  The first row is what the others are
 * compared with; the last is that again, and its ratio says how far the machine's noise goes.
 * Of the group "more" are those that only the full matrix has; of "streams" those that differ from
 * another one where more than a read is in flight on a connection, and are measured there alone. */
#ifndef BENCH_CONTENDER_H
#define BENCH_CONTENDER_H

#define CONTENDER_MAP(X)                                     \
    X("raw epoll", "raw_epoll", "", "core")                  \
    X("vigil epoll", "vigil", "epoll", "core")               \
    X("raw io_uring", "raw_uring", "", "core")               \
    X("vigil io_uring", "vigil", "io_uring", "core")         \
    X("libuv", "libuv", "", "core")                          \
    X("libevent", "libevent", "", "core")                    \
    X("libevent bufferevent", "bufferevent", "", "core")     \
    X("libev", "libev", "", "core")                          \
    X("Boost.Asio", "asio", "", "core")                      \
    X("vigil poll", "vigil", "poll", "more")                 \
    X("vigil select", "vigil", "select", "more")             \
    X("Go", "golang", "", "more")                            \
    X("Node", "node", "", "more")                            \
    X("Python asyncio", "python", "", "more")                \
    X("raw epoll 4 reads", "raw_epoll_reads", "", "streams") \
    X("raw epoll again", "raw_epoll", "", "core")

#endif /* BENCH_CONTENDER_H */
