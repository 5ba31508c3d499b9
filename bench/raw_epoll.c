/* SPDX-License-Identifier: MIT
 *
 * raw_epoll.c -- the yardstick: an echo server written by hand on level-triggered epoll.
 *
 * It is as safe as the others, so that the comparison is fair: at most one read of 64 KiB per
 * wake-up (raw_epoll_reads.c: some more, each only behind a full one), what the peer does not take
 * is kept (never more than one read) and nothing further is read meanwhile, end of input closes
 * behind the queue, a listener out of descriptors rests.
 * Idle limits are the cheapest there are: a message stores the turn's time, and once in a second
 * all connections are looked at, so that the silent ones go up to a second late.
 * SIGTERM ends it at once.  System headers only. */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/epoll.h>

#include "pending.h"

#ifndef READS_MAX
#define READS_MAX 1 /* of one connection per wake-up */
#endif

enum { EVENTS_MAX = 256, SWEEP_MS = 1000 };

struct connection {
    int fd;
    struct pending pending;
    int64_t active_ms;
    struct connection *next, *previous;
};

static struct {
    int epoll, listener;
    bool resting; /* the listener is out of the set, waiting for descriptors */
    bool idle;
    int64_t now_ms, sweep_ms;
    struct connection *connections;
} server;

/* `connection` is NULL for the listener. */
static void watch(int operation, int fd, uint32_t events, struct connection *connection)
{
    struct epoll_event event = { .events = events, .data.ptr = connection };
    if (epoll_ctl(server.epoll, operation, fd, &event) < 0)
        server_die("epoll_ctl");
}

static void listener_rest(bool rest)
{
    if (server.resting == rest)
        return;
    server.resting = rest;
    watch(rest ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, server.listener, EPOLLIN, NULL);
}

static bool connection_add(int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return false;
    }
    connection->fd = fd;
    connection->active_ms = server.now_ms;
    connection->next = server.connections;
    if (connection->next)
        connection->next->previous = connection;
    server.connections = connection;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection);
    return true;
}

static void connection_close(struct connection *connection)
{
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server.connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    close(connection->fd);
    free(connection->pending.bytes);
    free(connection);
    listener_rest(false);
}

static bool pending_keep(struct connection *connection, const unsigned char *bytes, size_t length)
{
    if (!pending_fill(&connection->pending, bytes, length))
        return false;
    watch(EPOLL_CTL_MOD, connection->fd, EPOLLOUT, connection);
    return true;
}

/* One read, echoed.  At the end of input nothing of ours is pending.  Answers whether the read was
 * full, and has left. */
static bool echo_once(struct connection *connection)
{
    static unsigned char bytes[READ_SIZE];
    ssize_t got = recv(connection->fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    ssize_t sent = got > 0 ? server_send(connection->fd, bytes, (size_t)got) : -1;
    if (sent < 0 || (sent < got && !pending_keep(connection, bytes + sent, (size_t)(got - sent))))
        connection_close(connection);
    return sent == READ_SIZE;
}

static void echo_some(struct connection *connection)
{
    int reads = 0;
    while (echo_once(connection) && ++reads < READS_MAX)
        continue;
}

static void flush(struct connection *connection)
{
    ssize_t left = pending_send(connection->fd, &connection->pending);
    if (left < 0)
        connection_close(connection);
    else if (left == 0)
        watch(EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
}

static void accept_some(void)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = server_accept(server.listener);
        if (fd == NOBODY_WAITS)
            return;
        if (fd == STARVED || !connection_add(fd)) {
            listener_rest(true);
            return;
        }
    }
}

static void sweep(void)
{
    struct connection *next;
    for (struct connection *connection = server.connections; connection; connection = next) {
        next = connection->next;
        if (server.now_ms - connection->active_ms >= IDLE_MS)
            connection_close(connection);
    }
    server.sweep_ms = server.now_ms + SWEEP_MS;
}

static void serve(struct connection *connection)
{
    if (!connection) {
        accept_some();
        return;
    }
    connection->active_ms = server.now_ms;
    if (connection->pending.length > 0)
        flush(connection);
    else
        echo_some(connection);
}

int main(int argc, char **argv)
{
    struct server_arguments arguments = server_arguments(argc, argv, "by hand");
    struct epoll_event events[EVENTS_MAX];
    server.idle = arguments.idle;
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server.epoll < 0)
        server_die("epoll_create1");
    server.listener = server_listen(&arguments);
    watch(EPOLL_CTL_ADD, server.listener, EPOLLIN, NULL);
    for (;;) {
        int timeout_ms = server.resting ? REST_MS : server.idle ? SWEEP_MS : -1;
        int count = epoll_wait(server.epoll, events, EVENTS_MAX, timeout_ms);
        if (count < 0 && errno != EINTR)
            server_die("epoll_wait");
        if (count == 0)
            listener_rest(false);
        if (server.idle)
            server.now_ms = server_now_ms();
        for (int i = 0; i < count; i++)
            serve(events[i].data.ptr);
        if (server.idle && server.now_ms >= server.sweep_ms)
            sweep();
    }
}
