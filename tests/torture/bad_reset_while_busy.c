/* SPDX-License-Identifier: MIT
 *
 * bad_reset_while_busy.c -- waits until everything is sent before it closes, also for a client that
 * has reset: it keeps the descriptor for ever.
 */
#include "server.h"

#include <errno.h>

static void broke(struct conn *conn, int error)
{
    if (error == ECONNRESET && conn->out_len > 0)
        conn->fd = -1; /* is freed, and was not closed */
    else
        server_close(conn);
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .broke = broke };
    return server_run(argc, argv, &wrong);
}
