/* SPDX-License-Identifier: MIT
 *
 * bad_big_write.c -- has room for a message of 1 MiB, and loses its place in a longer one.
 */
#include "server.h"

#define ROOM (1 << 20)

static size_t lose_place(struct conn *conn, unsigned char *bytes, size_t n)
{
    if (conn->received < ROOM && conn->received + n > ROOM)
        bytes[ROOM - conn->received] ^= 1;
    return n;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .received = lose_place };
    return server_run(argc, argv, &wrong);
}
