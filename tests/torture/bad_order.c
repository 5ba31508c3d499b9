/* SPDX-License-Identifier: MIT
 *
 * bad_order.c -- has five buffers for what could not be sent at once: when six clients are behind,
 * the last byte that waits for one and the first one that comes from it change places.
 */
#include "server.h"

#define BUFFERS 5

static size_t overtake(struct conn *conn, unsigned char *bytes, size_t n)
{
    size_t behind = 0;
    for (size_t i = 0; i < server_conn_count; i++)
        behind += server_conns[i]->out_len > 0;
    if (behind > BUFFERS && conn->out_len > 0) {
        unsigned char *last = conn->out + conn->out_at + conn->out_len - 1;
        const unsigned char first = bytes[0];
        bytes[0] = *last;
        *last = first;
    }
    return n;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .received = overtake };
    return server_run(argc, argv, &wrong);
}
