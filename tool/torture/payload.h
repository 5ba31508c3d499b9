/* SPDX-License-Identifier: MIT
 *
 * payload.h -- the bytes that are sent, and compared when they come back: a fixed pattern without
 * end, addressed by offset, so that streams of any length cost no memory.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "torture.h"

/* The pattern is made of lines of this length, the newline included: what ends on a multiple of it
 * has come to the end of a line. */
#define PAYLOAD_LINE 64

/* `bytes`, but to the end of a line. */
uint64_t payload_lines(uint64_t bytes);

/* At most this many bytes can be had in one piece from any offset. */
#define PAYLOAD_PIECE ((size_t)256 * 1024)

/* Makes the pattern: bytes of every value for an echo, printable lines for MODE_LINES. */
void payload_make(enum torture_mode mode);

/* PAYLOAD_PIECE bytes of the pattern from `offset`. */
const unsigned char *payload_at(uint64_t offset);

#endif /* PAYLOAD_H */
