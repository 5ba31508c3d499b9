/* SPDX-License-Identifier: MIT
 *
 * libev.c -- the contender on libev: one ev_io per connection, recv() and send() are our own.
 *
 * The watcher turns from reading to writing while something is pending.  The idle limit is what its
 * manual calls usually most efficient ("Be smart about timeouts", the third way): a message stores
 * the turn's time, and an ev_timer that is due looks at that and starts anew for what is left.
 * libev decides by itself: level-triggered epoll, changes made by the next turn; a 4-ary heap. */
#define _GNU_SOURCE
#include <ev.h>

#include "../pending.h"

struct connection {
    ev_io io;
    ev_timer timer;
    struct pending pending;
    ev_tstamp active; /* when it was last heard of, if there is a limit */
};

static ev_io listener;
static ev_timer rest;
static bool idle;

static void connection_close(struct ev_loop *loop, struct connection *connection)
{
    ev_io_stop(loop, &connection->io);
    ev_timer_stop(loop, &connection->timer);
    close(connection->io.fd);
    free(connection->pending.bytes);
    free(connection);
}

static void turn_to(struct ev_loop *loop, struct connection *connection, int events)
{
    ev_io_stop(loop, &connection->io);
    ev_io_set(&connection->io, connection->io.fd, events);
    ev_io_start(loop, &connection->io);
}

static bool pending_keep(struct ev_loop *loop, struct connection *connection,
                         const unsigned char *bytes, size_t length)
{
    if (!pending_fill(&connection->pending, bytes, length))
        return false;
    turn_to(loop, connection, EV_WRITE);
    return true;
}

/* One read, echoed.  At the end of input nothing of ours is pending. */
static void echo_once(struct ev_loop *loop, struct connection *connection)
{
    static unsigned char bytes[READ_SIZE];
    ssize_t got = recv(connection->io.fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ssize_t sent = got > 0 ? server_send(connection->io.fd, bytes, (size_t)got) : -1;
    if (sent < 0 ||
        (sent < got && !pending_keep(loop, connection, bytes + sent, (size_t)(got - sent))))
        connection_close(loop, connection);
}

static void flush(struct ev_loop *loop, struct connection *connection)
{
    ssize_t left = pending_send(connection->io.fd, &connection->pending);
    if (left < 0)
        connection_close(loop, connection);
    else if (left == 0)
        turn_to(loop, connection, EV_READ);
}

static void on_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *connection = io->data;
    (void)events;
    if (idle)
        connection->active = ev_now(loop);
    if (connection->pending.length > 0)
        flush(loop, connection);
    else
        echo_once(loop, connection);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct connection *connection = timer->data;
    ev_tstamp left = connection->active + IDLE_MS / 1000.0 - ev_now(loop);
    (void)events;
    if (left <= 0) {
        connection_close(loop, connection);
        return;
    }
    ev_timer_set(timer, left, 0);
    ev_timer_start(loop, timer);
}

static void connection_add(struct ev_loop *loop, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return;
    }
    ev_io_init(&connection->io, on_ready, fd, EV_READ);
    ev_init(&connection->timer, on_due);
    connection->io.data = connection->timer.data = connection;
    connection->active = ev_now(loop);
    ev_io_start(loop, &connection->io);
    if (idle)
        on_due(loop, &connection->timer, EV_TIMER); /* which starts it */
}

static void on_waiting(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = server_accept(io->fd);
        if (fd >= 0) {
            connection_add(loop, fd);
            continue;
        }
        if (fd == STARVED) {
            ev_io_stop(loop, io);
            ev_timer_again(loop, &rest);
        }
        return;
    }
}

static void on_rested(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    ev_timer_stop(loop, timer);
    ev_io_start(loop, &listener);
}

int main(int argc, char **argv)
{
    char version[32];
    (void)snprintf(version, sizeof version, "%d.%d", ev_version_major(), ev_version_minor());
    struct server_arguments arguments = server_arguments(argc, argv, version);
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    if (!loop)
        server_die("ev_default_loop");
    idle = arguments.idle;
    ev_io_init(&listener, on_waiting, server_listen(&arguments), EV_READ);
    ev_io_start(loop, &listener);
    ev_init(&rest, on_rested);
    rest.repeat = REST_MS / 1000.0;
    return ev_run(loop, 0) ? 0 : 1;
}
