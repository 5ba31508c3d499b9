/* SPDX-License-Identifier: MIT
 *
 * bad_urgent_data.c -- on SIGURG, takes the next plain byte for the urgent one, and drops it.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "server.h"

static volatile sig_atomic_t urgent;

static void on_urgent(int signo)
{
    urgent = signo;
}

static bool own(struct conn *conn)
{
    urgent = 0; /* of a client that has gone */
    (void)fcntl(conn->fd, F_SETOWN, getpid());
    return true;
}

static size_t drop_urgent(struct conn *conn, unsigned char *bytes, size_t n)
{
    (void)conn;
    if (!urgent)
        return n;
    urgent = 0;
    memmove(bytes, bytes + 1, n - 1);
    return n - 1;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = own, .received = drop_urgent };
    const struct sigaction action = { .sa_handler = on_urgent };
    (void)sigaction(SIGURG, &action, NULL);
    return server_run(argc, argv, &wrong);
}
