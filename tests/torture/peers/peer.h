/* SPDX-License-Identifier: MIT
 *
 * peer.h -- what the servers of other libraries share: the port that they listen on.
 *
 * Each has the shape of the example that its project ships or that everybody writes, from the
 * library's documentation, so that `vigil torture` tells what a program gets that follows it.
 */
#ifndef TESTS_TORTURE_PEER_H
#define TESTS_TORTURE_PEER_H

#include <stdlib.h>

/* On 127.0.0.1, from the command line. */
static inline int peer_port(int argc, char **argv)
{
    return argc > 1 ? atoi(argv[1]) : 10000;
}

#endif /* TESTS_TORTURE_PEER_H */
