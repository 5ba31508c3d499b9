/* SPDX-License-Identifier: MIT
 *
 * libuv.c -- the echo server that libuv's guide teaches: what was read is written with uv_write(),
 * and the end of input closes the handle.
 */
#include <uv.h>

#include "peer.h"

static void on_connection(uv_stream_t *server, int status);
static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf);
static void on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *buf);
static void on_written(uv_write_t *request, int status);
static void on_close(uv_handle_t *handle);

int main(int argc, char **argv)
{
    struct sockaddr_in name;
    uv_tcp_t server;
    uv_loop_t *loop = uv_default_loop();
    uv_ip4_addr("127.0.0.1", peer_port(argc, argv), &name);
    uv_tcp_init(loop, &server);
    if (uv_tcp_bind(&server, (const struct sockaddr *)&name, 0) < 0 ||
        uv_listen((uv_stream_t *)&server, 128, on_connection) < 0)
        return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}

static void on_connection(uv_stream_t *server, int status)
{
    uv_tcp_t *client = malloc(sizeof *client);
    if (status < 0 || !client) {
        free(client);
        return;
    }
    uv_tcp_init(server->loop, client);
    if (uv_accept(server, (uv_stream_t *)client) == 0)
        uv_read_start((uv_stream_t *)client, on_alloc, on_read);
    else
        uv_close((uv_handle_t *)client, on_close);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)handle;
    *buf = uv_buf_init(malloc(size), (unsigned)size);
}

static void on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *buf)
{
    if (n > 0) {
        uv_write_t *request = malloc(sizeof *request);
        uv_buf_t bytes = uv_buf_init(buf->base, (unsigned)n);
        request->data = buf->base;
        uv_write(request, client, &bytes, 1, on_written);
        return;
    }
    if (n < 0)
        uv_close((uv_handle_t *)client, on_close);
    free(buf->base);
}

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request->data);
    free(request);
}

static void on_close(uv_handle_t *handle)
{
    free(handle);
}
