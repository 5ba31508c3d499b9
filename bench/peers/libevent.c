/* SPDX-License-Identifier: MIT
 *
 * libevent.c -- the contender on libevent's events: recv() and send() are our own.
 *
 * A connection has one persistent event to read and one to write, of which one is added.  The idle
 * limit is what libevent's documentation has for it, the event's own timeout, which libevent arms
 * anew with every message because the event is persistent; and a common timeout, as all are equal.
 * libevent decides by itself: level-triggered epoll, up to 4,096 events a turn. */
#define _GNU_SOURCE
#include <event2/event_struct.h>

#include "../listener_libevent.h"
#include "../pending.h"

struct connection {
    int fd;
    struct pending pending;
    struct event in, out;
};

static void connection_close(struct connection *connection)
{
    (void)event_del(&connection->in); /* deleting what is not added is no failure */
    (void)event_del(&connection->out);
    close(connection->fd);
    free(connection->pending.bytes);
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
    if (!pending_fill(&connection->pending, bytes, length))
        return false;
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
    ssize_t left = what & EV_TIMEOUT ? -1 : pending_send(fd, &connection->pending);
    if (left < 0)
        connection_close(connection);
    else if (left == 0)
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

int main(int argc, char **argv)
{
    return base_run(argc, argv);
}
