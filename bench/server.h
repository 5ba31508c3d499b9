/* SPDX-License-Identifier: MIT
 *
 * server.h -- what the echo servers in C and C++ share that is not measured.
 *
 * Arguments, the listening socket, accepting, and the limits that all of them have: 64 KiB are
 * read at once and at most that is kept for a peer who does not take it, TCP_NODELAY, a backlog of
 * 4096, 100 ms of rest for a listener without descriptors, 30 s for the peer who is silent.
 * An answer "skip REASON" on the first line tells the runner that there is nothing to measure. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum {
    READ_SIZE = 65536,
    BACKLOG = 4096,
    ACCEPTS_MAX = 64, /* per wake-up, so that newcomers do not starve those who are served */
    REST_MS = 100,
    IDLE_MS = 30000
};

enum { NOBODY_WAITS = -1, STARVED = -2 }; /* of server_accept() */

struct server_arguments {
    struct sockaddr_in address;
    bool idle; /* close who was silent for IDLE_MS */
};

static inline void server_die(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Usage of every server: PROGRAM [--idle] tcp://A.B.C.D:PORT, or PROGRAM --version. */
static inline struct server_arguments server_arguments(int argc, char **argv, const char *version)
{
    struct server_arguments arguments;
    char host[INET_ADDRSTRLEN];
    unsigned short port;
    const char *where = argv[argc - 1];
    if (argc == 2 && strcmp(where, "--version") == 0) {
        puts(version);
        exit(0);
    }
    memset(&arguments, 0, sizeof arguments);
    arguments.address.sin_family = AF_INET;
    arguments.idle = argc == 3 && strcmp(argv[1], "--idle") == 0;
    if (argc != (arguments.idle ? 3 : 2) ||
        sscanf(where, "tcp://%15[0-9.]:%hu", host, &port) != 2 ||
        inet_pton(AF_INET, host, &arguments.address.sin_addr) != 1) {
        (void)fprintf(stderr, "%s: want [--idle] tcp://A.B.C.D:PORT, or --version\n", argv[0]);
        exit(2);
    }
    arguments.address.sin_port = htons(port);
    return arguments;
}

/* A listening socket that does not block; the address bound is printed.  Whom it accepts has its
 * TCP_NODELAY, on Linux without a call.  Whoever is gone when something is sent is told by the
 * send, not by a signal. */
static inline int server_listen(const struct server_arguments *arguments)
{
    struct sockaddr_in address = arguments->address;
    socklen_t size = sizeof address;
    char host[INET_ADDRSTRLEN];
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)signal(SIGPIPE, SIG_IGN);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        server_die("listen");
    (void)inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
    printf("tcp://%s:%u\n", host, ntohs(address.sin_port));
    (void)fflush(stdout); /* a reader that is gone is no reason not to serve */
    return fd;
}

static inline bool server_starved(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* The next connection, NOBODY_WAITS, or STARVED of descriptors or memory. */
static inline int server_accept(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno == EAGAIN)
            return NOBODY_WAITS;
        if (server_starved(errno))
            return STARVED;
    } /* any other error is that of one connection: the next, please */
}

/* Sends what it can.  Answers how many bytes went out, 0 when there is no room, -1 for an error. */
static inline ssize_t server_send(int fd, const unsigned char *bytes, size_t length)
{
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
}

/* For those who note when they last heard of each connection. */
static inline int64_t server_now_ms(void)
{
    return now_ns() / 1000000;
}

#endif /* BENCH_SERVER_H */
