/* SPDX-License-Identifier: MIT
 *
 * bad_accept_burst.c -- has places for 150 clients, and closes those that come beyond.
 */
#include "server.h"

#define PLACES 150

static bool has_place(struct conn *conn)
{
    (void)conn;
    return server_conn_count <= PLACES; /* it is counted already */
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = has_place };
    return server_run(argc, argv, &wrong);
}
