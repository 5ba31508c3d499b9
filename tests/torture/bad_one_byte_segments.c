/* SPDX-License-Identifier: MIT
 *
 * bad_one_byte_segments.c -- takes a read of a single byte for the rest of something it has seen:
 * the hundredth in a row is lost.
 */
#include "server.h"

#define FDS_MAX 20000

static unsigned short in_a_row[FDS_MAX]; /* by descriptor */

static bool begin(struct conn *conn)
{
    in_a_row[conn->fd] = 0;
    return true;
}

static size_t lose_one(struct conn *conn, unsigned char *bytes, size_t n)
{
    unsigned short *count = &in_a_row[conn->fd];
    (void)bytes;
    *count = n == 1 ? (unsigned short)(*count + 1) : 0;
    return *count == 100 ? 0 : n;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = begin, .received = lose_one };
    return server_run(argc, argv, &wrong);
}
