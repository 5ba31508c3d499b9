/* SPDX-License-Identifier: MIT
 *
 * turns_libuv.c -- turns of libuv: uv_run() over a stream and a uv_timer_t for each connection. */
#define _GNU_SOURCE
#include <uv.h>

#include "../turns.h"

static uv_loop_t *loop;

static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle, (void)suggested, (void)buf;
    exit(1); /* nothing was sent */
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)stream, (void)got, (void)buf;
}

static void on_silence(uv_timer_t *timer)
{
    (void)timer;
    exit(1); /* the machine was too slow for this to be a measurement */
}

static void loop_open(void)
{
    loop = uv_default_loop();
    if (!loop)
        exit(1);
}

static void connection_add(int fd)
{
    struct {
        uv_pipe_t stream;
        uv_timer_t timer;
    } *connection = calloc(1, sizeof *connection);
    if (!connection || uv_pipe_init(loop, &connection->stream, 0) < 0 ||
        uv_pipe_open(&connection->stream, fd) < 0 ||
        uv_read_start((uv_stream_t *)&connection->stream, on_buffer, on_read) < 0 ||
        uv_timer_init(loop, &connection->timer) < 0 ||
        uv_timer_start(&connection->timer, on_silence, IDLE_S * 1000, IDLE_S * 1000) < 0)
        exit(1);
}

static void loop_turn(void)
{
    (void)uv_run(loop, UV_RUN_NOWAIT); /* answers whether something is left */
}
