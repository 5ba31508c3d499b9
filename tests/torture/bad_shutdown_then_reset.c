/* SPDX-License-Identifier: MIT
 *
 * bad_shutdown_then_reset.c -- writes without MSG_NOSIGNAL: the first write to a client that has
 * reset behind its FIN is its last.
 */
#include "server.h"

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .dies_of_sigpipe = true };
    return server_run(argc, argv, &wrong);
}
