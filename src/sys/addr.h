/* SPDX-License-Identifier: MIT
 *
 * addr.h -- addresses: between our form and the system's, and what a WHERE stands for.  Floor: sys.
 */
#ifndef VIGIL_ADDR_H
#define VIGIL_ADDR_H

#include "sys/host.h"

struct sockaddr_storage;

/* The addresses a WHERE stands for, in the order to try them: itself, when it is numeric, "*" or a
 * Unix path; ::1 and 127.0.0.1 for localhost, without asking anybody; for any other name what
 * `host` resolves it to, if it may.  "*" is [::], which takes both families unless V6ONLY is set.
 * Answers how many, at most `max`, at least 1; VIGIL_EADDR (malformed); VIGIL_ENOENT (a name that
 * must not be resolved, or that nobody knows); VIGIL_EINVAL (max < 1); or why resolving failed. */
int vigil__where_addresses(const vigil_host *host, const char *where, bool may_resolve,
                           vigil_addr *out, int max);

/* Answers the length of the system's form, or 0 when this system has none for the address. */
unsigned vigil__addr_to_system(const vigil_addr *addr, struct sockaddr_storage *out);

/* `length` is what the system said; a family that is not ours gives VIGIL_FAMILY_NONE. */
void vigil__addr_from_system(vigil_addr *out, const struct sockaddr_storage *from, unsigned length);

#endif
