/* SPDX-License-Identifier: MIT
 *
 * libevent.c -- the contender on libevent's events: recv() and send() are our own.
 *
 * A connection has one persistent event to read and one to write, of which one is added.  The idle
 * limit is the event's own timeout, which every message re-arms, as a common timeout: all are
 * equal, which is the cheapest that libevent has.
 * libevent decides by itself: level-triggered epoll, up to 4,096 events a turn. */
#define _GNU_SOURCE
#include <event2/event.h>
#include <event2/event_struct.h>

#include "../server.h"

struct connection {
    int fd;
    size_t start, length; /* of what is left in pending; nothing is read meanwhile */
    unsigned char *pending;
    struct event in, out;
};

static struct event_base *base;
static struct event listener, rest;
static const struct timeval *idle; /* NULL: no limit */

static void connection_close(struct connection *connection)
{
    (void)event_del(&connection->in); /* deleting what is not added is no failure */
    (void)event_del(&connection->out);
    close(connection->fd);
    free(connection->pending);
    free(connection);
}

/* Goes from reading to writing or back. */
static void turn_over(struct connection *connection, struct event *from, struct event *to)
{
    if (event_del(from) < 0 || event_add(to, idle) < 0)
        connection_close(connection);
}

static bool pending_keep(struct connection *connection, const unsigned char *bytes, size_t length)
{
    connection->pending = malloc(length);
    if (!connection->pending)
        return false;
    memcpy(connection->pending, bytes, length);
    connection->start = 0;
    connection->length = length;
    turn_over(connection, &connection->in, &connection->out);
    return true;
}

static void on_readable(int fd, short what, void *arg)
{
    static unsigned char bytes[READ_SIZE];
    struct connection *connection = arg;
    ssize_t got = what & EV_TIMEOUT ? 0 : recv(fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ssize_t sent = got > 0 ? server_send(fd, bytes, (size_t)got) : -1;
    if (sent < 0 || (sent < got && !pending_keep(connection, bytes + sent, (size_t)(got - sent))))
        connection_close(connection); /* at the end of input nothing is pending */
}

static void on_writable(int fd, short what, void *arg)
{
    struct connection *connection = arg;
    ssize_t sent = what & EV_TIMEOUT ? -1
                                     : server_send(fd, connection->pending + connection->start,
                                                   connection->length);
    if (sent < 0) {
        connection_close(connection);
        return;
    }
    connection->start += (size_t)sent;
    connection->length -= (size_t)sent;
    if (connection->length > 0)
        return;
    free(connection->pending);
    connection->pending = NULL;
    turn_over(connection, &connection->out, &connection->in);
}

static void connection_add(int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return;
    }
    connection->fd = fd;
    (void)event_assign(&connection->in, base, fd, EV_READ | EV_PERSIST, on_readable, connection);
    (void)event_assign(&connection->out, base, fd, EV_WRITE | EV_PERSIST, on_writable, connection);
    if (event_add(&connection->in, idle) < 0)
        connection_close(connection);
}

static void on_waiting(int fd, short what, void *arg)
{
    static const struct timeval rest_time = { .tv_usec = REST_MS * 1000 };
    (void)what;
    (void)arg;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int newcomer = server_accept(fd);
        if (newcomer >= 0) {
            connection_add(newcomer);
            continue;
        }
        if (newcomer == STARVED && event_add(&rest, &rest_time) == 0)
            (void)event_del(&listener); /* it comes back with the timer */
        return;
    }
}

static void on_rested(int fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    if (event_add(&listener, NULL) < 0)
        server_die("event_add");
}

int main(int argc, char **argv)
{
    struct server_arguments arguments = server_arguments(argc, argv, event_get_version());
    const struct timeval limit = { .tv_sec = IDLE_MS / 1000 };
    int fd = server_listen(&arguments);
    base = event_base_new();
    idle = base && arguments.idle ? event_base_init_common_timeout(base, &limit) : NULL;
    if (!base || (arguments.idle && !idle))
        server_die("start");
    (void)event_assign(&listener, base, fd, EV_READ | EV_PERSIST, on_waiting, NULL);
    (void)event_assign(&rest, base, -1, 0, on_rested, NULL);
    on_rested(-1, 0, NULL);
    return event_base_dispatch(base);
}
