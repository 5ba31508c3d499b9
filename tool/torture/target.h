/* SPDX-License-Identifier: MIT
 *
 * target.h -- the server under torture, as an address to connect to: looked up once, before
 * anything is begun.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "vigil.h"

struct target {
    vigil_addr addr;
    struct sockaddr_storage name; /* the same for connect(2) */
    socklen_t name_len;
    char text[VIGIL_ADDR_TEXT_MAX];
    bool answers; /* a connect(2), when it was looked up */
};

/* Looks `where` up and takes the first address that answers a connect(2), else the first one.
 * Unless `anywhere`, nothing is sent to an address that is neither on this machine nor in a private
 * range (RFC 1918, 3927, 4193, 4291, 6598): that is TARGET_PUBLIC.
 * 0, TARGET_PUBLIC, or a negative vigil_status. */
enum { TARGET_PUBLIC = 1 };
int target_find(struct target *target, const char *where, bool anywhere);

/* A socket for it that does not block, or -1 with errno.  On 127.0.0.0/8 each number `n` gets a
 * source address of its own, so that ports do not run out (28,000 for each). */
int target_socket(const struct target *target, uint64_t n);

/* A socket that is connected to it, within two seconds, or -1. */
int target_connect(const struct target *target);

#endif /* TARGET_H */
