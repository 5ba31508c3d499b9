/* SPDX-License-Identifier: MIT
 *
 * where.h -- a WHERE on the command line: tcp://host:port, unix:/path, a bare host:port.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_WHERE_H
#define TOOL_WHERE_H

#include <stdbool.h>
#include <stddef.h>

#define WHERE_DEFAULT  "tcp://localhost:10000" /* the tutorial's */
#define WHERE_TEXT_MAX 256

/* Whether it is well formed; if not, complains on behalf of the subcommand `name`. */
bool where_check(const char *name, const char *where);

/* The same for one to connect to, which "every address" and port 0 are not. */
bool where_check_peer(const char *name, const char *where);

/* Writes at most `max` WHEREs that vigil_connect() takes, in the order to try them: `where` itself
 * unless it names a host that must be looked up, which blocks.  Answers how many, or a negative
 * vigil_status. */
int where_resolve(const char *where, char out[][WHERE_TEXT_MAX], int max);

#endif /* TOOL_WHERE_H */
