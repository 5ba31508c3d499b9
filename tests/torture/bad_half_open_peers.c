/* SPDX-License-Identifier: MIT
 *
 * bad_half_open_peers.c -- knows its clients by their addresses, and does not forget those whose
 * connection broke: one that comes back from there cannot be, and so it ends.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BROKEN_MAX 64

static struct sockaddr_storage broken[BROKEN_MAX];
static size_t broken_count;

static bool accepted(struct conn *conn)
{
    struct sockaddr_storage *name = calloc(1, sizeof *name);
    socklen_t size = sizeof *name;
    if (!name || getpeername(conn->fd, (struct sockaddr *)name, &size) < 0) {
        free(name);
        return false;
    }
    for (size_t i = 0; i < BROKEN_MAX; i++) {
        if (memcmp(name, &broken[i], sizeof *name) == 0) {
            (void)fputs("this client is here already\n", stderr);
            exit(1);
        }
    }
    conn->extra = name;
    return true;
}

static void broke(struct conn *conn, int error)
{
    (void)error;
    if (conn->received > 0)
        broken[broken_count++ % BROKEN_MAX] = *(struct sockaddr_storage *)conn->extra;
    server_close(conn);
}

static void closed(struct conn *conn)
{
    free(conn->extra);
    (void)close(conn->fd);
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = accepted, .broke = broke, .closed = closed };
    return server_run(argc, argv, &wrong);
}
