/* SPDX-License-Identifier: MIT
 *
 * bad_graceful_stop.c -- ends at once when it is told to, whatever it still has to send.
 */
#include "server.h"

static bool stop(void)
{
    return false;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .stop = stop };
    return server_run(argc, argv, &wrong);
}
