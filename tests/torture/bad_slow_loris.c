/* SPDX-License-Identifier: MIT
 *
 * bad_slow_loris.c -- stays with a client until its first line is whole, whoever else waits.
 */
#include <poll.h>
#include <sys/socket.h>

#include "server.h"

#define LINE 64 /* bytes: the probes' */

static size_t read_line(struct conn *conn, unsigned char *bytes, size_t n)
{
    size_t total = n;
    if (conn->received > 0 || n >= LINE)
        return n;
    (void)send(conn->fd, bytes, n, MSG_NOSIGNAL); /* so little always has room */
    while (total < LINE) {
        struct pollfd readable = { .fd = conn->fd, .events = POLLIN };
        (void)poll(&readable, 1, -1);
        const ssize_t got = recv(conn->fd, bytes, LINE - total, 0);
        if (got <= 0)
            break; /* the next read tells */
        (void)send(conn->fd, bytes, (size_t)got, MSG_NOSIGNAL);
        total += (size_t)got;
    }
    return 0; /* all was sent */
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .received = read_line };
    return server_run(argc, argv, &wrong);
}
