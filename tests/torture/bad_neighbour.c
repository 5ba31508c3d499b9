/* SPDX-License-Identifier: MIT
 *
 * bad_neighbour.c -- has four workers, each of which waits until its client has taken what it got:
 * while four clients do not read, nobody else is served.
 */
#include <poll.h>

#include "server.h"

#define WORKERS   4
#define CONNS_MAX 20000

static int wait_for_worker(void)
{
    static struct pollfd at_work[CONNS_MAX];
    nfds_t count = 0;
    for (size_t i = 0; i < server_conn_count; i++) {
        if (server_conns[i]->out_len > 0)
            at_work[count++] = (struct pollfd){ .fd = server_conns[i]->fd, .events = POLLOUT };
    }
    if (count >= WORKERS)
        (void)poll(at_work, count, -1);
    return -1;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .turn = wait_for_worker };
    return server_run(argc, argv, &wrong);
}
