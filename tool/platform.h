/* SPDX-License-Identifier: MIT
 *
 * platform.h -- what the command asks of the system itself: its standard streams, and its reasons.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_PLATFORM_H
#define TOOL_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

/* Makes the standard streams fit for use, first of all.  False: one is closed, and nothing can
 * take its place. */
bool platform_begin(void);

/* Why stdin cannot be what is sent, or NULL. */
const char *platform_stdin_fault(void);

/* The descriptor of stdin, to wait for. */
enum { PLATFORM_STDIN = 0 };

/* As read(2) of stdin. */
long platform_read_stdin(void *p, size_t n);

/* Why a loop or a backend cannot be had, right after it could not: our words, and behind them the
 * system's own where it has some.  Static storage. */
const char *platform_reason(int err);

#endif /* TOOL_PLATFORM_H */
