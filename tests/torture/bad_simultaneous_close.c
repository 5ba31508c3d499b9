/* SPDX-License-Identifier: MIT
 *
 * bad_simultaneous_close.c -- takes an end of input and an error at once for impossible, and ends.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void input_ended(struct conn *conn)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
        (void)fputs("an error behind the end of input\n", stderr);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .input_ended = input_ended };
    return server_run(argc, argv, &wrong);
}
