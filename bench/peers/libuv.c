/* SPDX-License-Identifier: MIT
 *
 * libuv.c -- the contender on libuv: uv_tcp_t, answered by uv_try_write(), the rest by uv_write().
 *
 * What the system does not take is kept with its request, which is there no longer than that.
 * Newcomers are accepted by ourselves behind a uv_poll_t: uv_listen() would close them, unserved,
 * when there are no descriptors.  The idle limit is what libuv's guide sends its reader to libev's
 * manual for: a message stores the turn's time, and a uv_timer_t that is due looks at that and
 * starts anew for what is left.
 * libuv decides by itself: up to 32 reads in a row while each fills the buffer; level-triggered
 * epoll, registered late, by the next turn; a binary heap of timers. */
#define _GNU_SOURCE
#include <uv.h>

#include "../server.h"

struct connection {
    uv_tcp_t stream;
    uv_timer_t timer;
    int handles;     /* of these, not closed yet */
    uint64_t active; /* when it was last heard of, if there is a limit */
};

/* What the system did not take; nothing is read meanwhile. */
struct pending {
    uv_write_t write;
    unsigned char bytes[];
};

static unsigned char bytes[READ_SIZE];
static uv_poll_t listener;
static uv_timer_t rest;
static int listener_fd;
static bool idle;

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    if (--connection->handles == 0)
        free(connection);
}

static void connection_close(struct connection *connection)
{
    if (uv_is_closing((uv_handle_t *)&connection->stream))
        return;
    uv_close((uv_handle_t *)&connection->stream, on_closed);
    uv_close((uv_handle_t *)&connection->timer, on_closed);
}

static void on_due(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    uint64_t end = connection->active + IDLE_MS, now = uv_now(timer->loop);
    if (now >= end || uv_timer_start(timer, on_due, end - now, 0) < 0)
        connection_close(connection);
}

static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init((char *)bytes, sizeof bytes);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);

static void on_written(uv_write_t *write, int status)
{
    uv_stream_t *stream = write->handle;
    struct connection *connection = stream->data;
    free(write->data);
    if (idle)
        connection->active = uv_now(stream->loop);
    if (status < 0 || uv_read_start(stream, on_buffer, on_read) < 0)
        connection_close(connection);
}

/* Keeps what the system did not take, and reads no further until it has gone. */
static bool pending_write(uv_stream_t *stream, const unsigned char *from, size_t length)
{
    struct pending *pending = malloc(sizeof *pending + length);
    if (!pending)
        return false;
    memcpy(pending->bytes, from, length);
    pending->write.data = pending;
    uv_buf_t buf = uv_buf_init((char *)pending->bytes, (unsigned)length);
    (void)uv_read_stop(stream); /* it always succeeds */
    if (uv_write(&pending->write, stream, &buf, 1, on_written) == 0)
        return true;
    free(pending);
    return false;
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct connection *connection = stream->data;
    if (got == 0)
        return;
    if (got < 0) { /* at the end of input nothing is pending */
        connection_close(connection);
        return;
    }
    if (idle)
        connection->active = uv_now(stream->loop);
    uv_buf_t answer = uv_buf_init(buf->base, (unsigned)got);
    ssize_t sent = uv_try_write(stream, &answer, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0 || (sent < got && !pending_write(stream, bytes + sent, (size_t)(got - sent))))
        connection_close(connection);
}

static void connection_add(int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return;
    }
    connection->handles = 2;
    connection->active = uv_now(listener.loop);
    connection->stream.data = connection->timer.data = connection;
    (void)uv_tcp_init(listener.loop, &connection->stream); /* neither of the two can fail */
    (void)uv_timer_init(listener.loop, &connection->timer);
    if (uv_tcp_open(&connection->stream, fd) < 0)
        close(fd);
    else if (uv_read_start((uv_stream_t *)&connection->stream, on_buffer, on_read) == 0 &&
             (!idle || uv_timer_start(&connection->timer, on_due, IDLE_MS, 0) == 0))
        return;
    connection_close(connection);
}

static void on_waiting(uv_poll_t *poll, int status, int events);

static void on_rested(uv_timer_t *timer)
{
    (void)timer;
    if (uv_poll_start(&listener, UV_READABLE, on_waiting) < 0)
        server_die("uv_poll_start");
}

static void on_waiting(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = server_accept(listener_fd);
        if (fd >= 0) {
            connection_add(fd);
            continue;
        }
        if (fd == STARVED && uv_poll_stop(poll) == 0)
            (void)uv_timer_start(&rest, on_rested, REST_MS, 0); /* it has a callback */
        return;
    }
}

int main(int argc, char **argv)
{
    struct server_arguments arguments = server_arguments(argc, argv, uv_version_string());
    uv_loop_t *loop = uv_default_loop();
    idle = arguments.idle;
    listener_fd = server_listen(&arguments);
    if (!loop || uv_timer_init(loop, &rest) < 0 || uv_poll_init(loop, &listener, listener_fd) < 0)
        server_die("start");
    on_rested(&rest);
    return uv_run(loop, UV_RUN_DEFAULT);
}
