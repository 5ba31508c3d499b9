/* SPDX-License-Identifier: MIT
 *
 * bad_never_reader.c -- keeps whatever a client sends, however much that is.
 */
#include "server.h"

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .queue_max = SIZE_MAX };
    return server_run(argc, argv, &wrong);
}
