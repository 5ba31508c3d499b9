/* SPDX-License-Identifier: MIT
 *
 * driver.c -- the load on an echo server: connections that keep messages in flight.
 *
 * It checks every byte that comes back, on raw epoll, cheaply: it must never be what is measured.
 * In step with its runner through stdin and stdout: it connects and echoes once on each
 * connection, says "ready", waits for a line, loads the server for the time given, waits for
 * what is in flight, and says "MESSAGES NANOSECONDS"; at the end of stdin it leaves.
 *
 * Usage: driver A.B.C.D PORT CONNECTIONS SIZE DEPTH MILLISECONDS
 *        driver --contenders   prints the table of contender.h, tab-separated
 * Exit 0; 1 the server or the system failed; 2 usage; 3 a byte came back wrong. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "contender.h"

enum {
    PERIOD = 65521, /* of the pattern sent: a prime, so that no buffer's size divides it */
    PIECE = 65536,  /* the most that is read or sent at once */
    EVENTS_MAX = 256,
    OPENED_AT_ONCE = 64, /* few beside a backlog of 4096 */
    STUCK_MS = 10000     /* nothing for so long: the server has stopped */
};

struct stream {
    int fd;
    bool blocked; /* waiting for room to send the rest up to `allowed` */
    uint64_t allowed, sent, received;
};

struct load {
    int epoll;
    size_t count, size, depth;
    struct stream *streams;
    uint64_t in_flight; /* bytes allowed and not yet back */
    uint64_t messages;
    int64_t deadline_ns; /* no new message from then on */
};

static unsigned char pattern[PERIOD + PIECE];

static void die(const char *what)
{
    (void)fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void pattern_fill(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof pattern; i++) {
        state = state * 1664525 + 1013904223;
        pattern[i] = i < PERIOD ? (unsigned char)(state >> 24) : pattern[i - PERIOD];
    }
}

static void stream_watch(const struct load *load, struct stream *stream, int operation)
{
    struct epoll_event event = { .events = EPOLLIN | (stream->blocked ? EPOLLOUT : 0),
                                 .data.ptr = stream };
    if (epoll_ctl(load->epoll, operation, stream->fd, &event) < 0)
        die("epoll_ctl");
}

/* Sends up to `allowed`; what finds no room waits for EPOLLOUT. */
static void stream_send(const struct load *load, struct stream *stream)
{
    bool blocked = false;
    while (stream->sent < stream->allowed && !blocked) {
        uint64_t left = stream->allowed - stream->sent;
        ssize_t sent = send(stream->fd, pattern + stream->sent % PERIOD,
                            left < PIECE ? (size_t)left : PIECE, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            die("send");
        blocked = sent < 0;
        if (sent > 0)
            stream->sent += (uint64_t)sent;
    }
    if (blocked == stream->blocked)
        return;
    stream->blocked = blocked;
    stream_watch(load, stream, EPOLL_CTL_MOD);
}

static void stream_allow(struct load *load, struct stream *stream, uint64_t messages)
{
    stream->allowed += messages * load->size;
    load->in_flight += messages * load->size;
    stream_send(load, stream);
}

/* Takes what came back; answers how many messages that completed. */
static uint64_t stream_receive(struct load *load, struct stream *stream)
{
    unsigned char bytes[PIECE];
    ssize_t got = recv(stream->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        die(got < 0 ? "recv" : "closed by the server");
    if (stream->received + (uint64_t)got > stream->sent ||
        memcmp(bytes, pattern + stream->received % PERIOD, (size_t)got) != 0) {
        (void)fprintf(stderr, "driver: wrong byte within %zd behind offset %llu\n", got,
                      (unsigned long long)stream->received);
        exit(3);
    }
    uint64_t before = stream->received / load->size;
    stream->received += (uint64_t)got;
    load->in_flight -= (uint64_t)got;
    return stream->received / load->size - before;
}

/* Runs until the deadline has passed and nothing is in flight any more. */
static void load_run(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    while (load->in_flight > 0) {
        int count = epoll_wait(load->epoll, events, EVENTS_MAX, STUCK_MS);
        if (count == 0)
            errno = ETIMEDOUT;
        if (count <= 0)
            die("waiting for the server");
        bool go_on = now_ns() < load->deadline_ns;
        for (int i = 0; i < count; i++) {
            struct stream *stream = events[i].data.ptr;
            uint64_t complete = stream_receive(load, stream);
            load->messages += complete;
            if (go_on && complete > 0)
                stream_allow(load, stream, complete);
            else if (stream->blocked)
                stream_send(load, stream);
        }
    }
}

static void load_open(struct load *load, const struct sockaddr_in *address)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* where it matters socket() will tell */
    }
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->streams = calloc(load->count, sizeof *load->streams);
    if (load->epoll < 0 || !load->streams)
        die("start");
    for (size_t i = 0; i < load->count; i++) {
        const struct linger reset = { .l_onoff = 1 }; /* leaves no port waiting behind */
        int on = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            die("connect");
        load->streams[i].fd = fd;
        stream_watch(load, &load->streams[i], EPOLL_CTL_ADD);
        stream_allow(load, &load->streams[i], 1);
        if (i % OPENED_AT_ONCE == OPENED_AT_ONCE - 1 || i == load->count - 1)
            load_run(load); /* all are accepted; so the backlog stays short */
    }
}

/* One step of the runner: answers false at the end of stdin. */
static bool told_to_go(void)
{
    char line[16];
    (void)fflush(stdout); /* a runner that is gone shows at stdin */
    return fgets(line, sizeof line, stdin) != NULL;
}

static size_t number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > max) {
        (void)fprintf(stderr, "driver: %s: want a number from 1 to %ld\n", text, max);
        exit(2);
    }
    return (size_t)value;
}

static int print_contenders(void)
{
#define CONTENDER_PRINT(name, program, backend, group) \
    puts(name "\t" program "\t" backend "\t" group);
    CONTENDER_MAP(CONTENDER_PRINT)
#undef CONTENDER_PRINT
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    if (argc == 2 && strcmp(argv[1], "--contenders") == 0)
        return print_contenders();
    if (argc != 7 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) {
        (void)fprintf(stderr, "driver: want A.B.C.D PORT CONNECTIONS SIZE DEPTH MILLISECONDS\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)number(argv[2], 65535));
    struct load load = { .count = number(argv[3], 100000),
                         .size = number(argv[4], 1 << 24),
                         .depth = number(argv[5], 1 << 16) };
    int64_t duration_ns = (int64_t)number(argv[6], 3600000) * 1000000;
    pattern_fill();
    load_open(&load, &address);
    for (puts("ready"); told_to_go();) {
        int64_t began = now_ns();
        load.deadline_ns = began + duration_ns;
        load.messages = 0;
        for (size_t i = 0; i < load.count; i++)
            stream_allow(&load, &load.streams[i], load.depth);
        load_run(&load);
        printf("%llu %lld\n", (unsigned long long)load.messages, (long long)(now_ns() - began));
    }
    return 0;
}
