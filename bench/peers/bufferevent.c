/* SPDX-License-Identifier: MIT
 *
 * bufferevent.c -- the contender on libevent's bufferevents, which read and write by themselves.
 *
 * What came in is moved to the output without a copy; with 64 KiB waiting there nothing is read
 * until it has gone.  The idle limits are the bufferevent's own, as a common timeout: libevent's
 * documentation has no other.
 * libevent decides by itself: it asks how much there is (FIONREAD) and reads at most 4 KiB of it
 * at once, whatever is set; it writes when it is told of room, not before. */
#define _GNU_SOURCE
#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "../listener_libevent.h"

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

int main(int argc, char **argv)
{
    return base_run(argc, argv);
}
