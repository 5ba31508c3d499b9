/* SPDX-License-Identifier: MIT
 *
 * bad_leak.c -- notes something down about each client and never frees it.
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#define NOTE_BYTES 4096

static bool accepted(struct conn *conn)
{
    conn->extra = malloc(NOTE_BYTES);
    if (conn->extra)
        memset(conn->extra, 1, NOTE_BYTES);
    return true;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = accepted };
    return server_run(argc, argv, &wrong);
}
