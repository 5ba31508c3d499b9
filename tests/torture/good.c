/* SPDX-License-Identifier: MIT
 *
 * good.c -- is right in everything: every probe passes, in every mode.
 */
#include "server.h"

int main(int argc, char **argv)
{
    const struct behaviour right = { 0 };
    return server_run(argc, argv, &right);
}
