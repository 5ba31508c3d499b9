/* SPDX-License-Identifier: MIT
 *
 * bad_many_small_writes.c -- numbers the messages of a client in eight bits, and takes the number
 * that comes a second time for a message that it has answered.
 */
#include "server.h"

#define FDS_MAX 20000
#define MESSAGE 64 /* bytes: what the probe sends at a time */

static unsigned char number[FDS_MAX]; /* by descriptor */

static bool begin(struct conn *conn)
{
    number[conn->fd] = 0;
    return true;
}

static size_t count(struct conn *conn, unsigned char *bytes, size_t n)
{
    (void)bytes;
    return n == MESSAGE && ++number[conn->fd] == 0 ? 0 : n;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = begin, .received = count };
    return server_run(argc, argv, &wrong);
}
