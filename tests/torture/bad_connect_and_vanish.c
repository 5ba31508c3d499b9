/* SPDX-License-Identifier: MIT
 *
 * bad_connect_and_vanish.c -- asks for the client's address, and ends when there is none: the
 * client had gone before it was accepted.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static bool accepted(struct conn *conn)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    if (getpeername(conn->fd, (struct sockaddr *)&name, &size) < 0) {
        perror("getpeername");
        exit(1);
    }
    return true;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = accepted };
    return server_run(argc, argv, &wrong);
}
