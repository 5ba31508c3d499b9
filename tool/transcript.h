/* SPDX-License-Identifier: MIT
 *
 * transcript.h -- addresses and payloads as the tutorial's programs print them under Python 3.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_TRANSCRIPT_H
#define TOOL_TRANSCRIPT_H

#include <stddef.h>

#include "vigil.h"

#define TRANSCRIPT_NAME_MAX 160 /* room for every address in this form */

/* "('127.0.0.1', 55821)", "('::1', 55821, 0, 0)" or "unix:/path".  A Unix client has mostly no
 * name: "unix client 3", by its number. */
void transcript_name(char out[TRANSCRIPT_NAME_MAX], const vigil_addr *addr, unsigned long number);

/* "localhost port 10000" for "tcp://localhost:10000"; with `port` above 0, that one instead.
 * A WHERE without a port stays as it is. */
void transcript_endpoint(char out[TRANSCRIPT_NAME_MAX], const char *where, unsigned port);

/* One line on stderr: `before`, the payload in quotes, `after`.  What is not printable ASCII, and
 * the backslash, is written \xNN. */
void transcript_payload(const char *before, const void *bytes, size_t len, const char *after);

/* One line on stderr. */
void transcript_line(const char *format, ...) __attribute__((format(__printf__, 1, 2)));

#endif /* TOOL_TRANSCRIPT_H */
