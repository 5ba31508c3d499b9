/* SPDX-License-Identifier: MIT
 *
 * bad_fd_exhaustion.c -- when accept(2) has no descriptor for a client, it asks again at once.
 */
#include "server.h"

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .spins_without_descriptors = true };
    return server_run(argc, argv, &wrong);
}
