/* SPDX-License-Identifier: MIT
 *
 * libev.c -- the usual echo server on libev, which has watchers and no buffers: what was received
 * is sent at once, and what does not fit is not looked at.
 */
#include <arpa/inet.h>
#include <ev.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

static void on_readable(struct ev_loop *loop, ev_io *client, int events)
{
    char buf[4096];
    const ssize_t n = recv(client->fd, buf, sizeof buf, 0);
    (void)events;
    if (n > 0) {
        (void)send(client->fd, buf, (size_t)n, 0);
        return;
    }
    ev_io_stop(loop, client);
    close(client->fd);
    free(client);
}

static void on_acceptable(struct ev_loop *loop, ev_io *server, int events)
{
    ev_io *client = malloc(sizeof *client);
    const int fd = accept(server->fd, NULL, NULL);
    (void)events;
    if (fd < 0) {
        free(client);
        return;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ev_io_init(client, on_readable, fd, EV_READ);
    ev_io_start(loop, client);
}

int main(int argc, char **argv)
{
    struct ev_loop *loop = ev_default_loop(0);
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name;
    ev_io server;
    memset(&name, 0, sizeof name);
    name.sin_family = AF_INET;
    name.sin_port = htons((unsigned short)peer_port(argc, argv));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 128) < 0)
        return 1;
    ev_io_init(&server, on_acceptable, fd, EV_READ);
    ev_io_start(loop, &server);
    return ev_run(loop, 0);
}
