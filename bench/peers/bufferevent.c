/* SPDX-License-Identifier: MIT
 *
 * bufferevent.c -- the contender on libevent's bufferevents, which read and write by themselves.
 *
 * What came in is moved to the output without a copy; with 64 KiB waiting there nothing is read
 * until it has gone.  The idle limits are the bufferevent's own, as a common timeout.
 * libevent decides by itself: it asks how much there is (FIONREAD) and reads at most 4 KiB of it
 * at once, whatever is set; it writes when it is told of room, not before. */
#define _GNU_SOURCE
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "../server.h"

static struct event_base *base;
static struct event *listener, *rest;
static const struct timeval *idle; /* NULL: no limit */

static size_t waiting_out(struct bufferevent *connection)
{
    return evbuffer_get_length(bufferevent_get_output(connection));
}

static void on_read(struct bufferevent *connection, void *arg)
{
    (void)arg;
    if (bufferevent_write_buffer(connection, bufferevent_get_input(connection)) < 0)
        bufferevent_free(connection);
    else if (waiting_out(connection) >= READ_SIZE)
        (void)bufferevent_disable(connection, EV_READ); /* else it reads on, and is asked again */
}

static void on_written(struct bufferevent *connection, void *arg)
{
    (void)arg;
    if ((bufferevent_get_enabled(connection) & EV_READ) == 0 &&
        bufferevent_enable(connection, EV_READ) < 0)
        bufferevent_free(connection);
}

static void on_last_written(struct bufferevent *connection, void *arg)
{
    (void)arg;
    bufferevent_free(connection);
}

static void on_last_event(struct bufferevent *connection, short what, void *arg)
{
    (void)arg;
    if (what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
        bufferevent_free(connection);
}

static void on_event(struct bufferevent *connection, short what, void *arg)
{
    (void)arg;
    if ((what & BEV_EVENT_EOF) && waiting_out(connection) > 0)
        bufferevent_setcb(connection, NULL, on_last_written, on_last_event, NULL);
    else
        bufferevent_free(connection);
}

static void connection_add(int fd)
{
    struct bufferevent *connection = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection) {
        close(fd);
        return;
    }
    bufferevent_setcb(connection, on_read, on_written, on_event, NULL);
    if (bufferevent_set_max_single_read(connection, READ_SIZE) < 0 ||
        bufferevent_set_max_single_write(connection, READ_SIZE) < 0 ||
        (idle && bufferevent_set_timeouts(connection, idle, idle) < 0) ||
        bufferevent_enable(connection, EV_READ | EV_WRITE) < 0)
        bufferevent_free(connection);
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
        if (newcomer == STARVED && event_add(rest, &rest_time) == 0)
            (void)event_del(listener); /* it comes back with the timer */
        return;
    }
}

static void on_rested(int fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    if (event_add(listener, NULL) < 0)
        server_die("event_add");
}

int main(int argc, char **argv)
{
    struct server_arguments arguments = server_arguments(argc, argv, event_get_version());
    const struct timeval limit = { .tv_sec = IDLE_MS / 1000 };
    int fd = server_listen(&arguments);
    base = event_base_new();
    idle = base && arguments.idle ? event_base_init_common_timeout(base, &limit) : NULL;
    listener = base ? event_new(base, fd, EV_READ | EV_PERSIST, on_waiting, NULL) : NULL;
    rest = base ? event_new(base, -1, 0, on_rested, NULL) : NULL;
    if (!listener || !rest || (arguments.idle && !idle))
        server_die("start");
    on_rested(-1, 0, NULL);
    return event_base_dispatch(base);
}
