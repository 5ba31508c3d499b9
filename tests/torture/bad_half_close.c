/* SPDX-License-Identifier: MIT
 *
 * bad_half_close.c -- closes at the client's end of input, with whatever was still to be sent.
 */
#include "server.h"

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .input_ended = server_close, .queue_max = 1 << 20 };
    return server_run(argc, argv, &wrong);
}
