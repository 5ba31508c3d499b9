/* SPDX-License-Identifier: MIT
 *
 * stream.h -- the bytes that `vigil send` sends on every connection, by their offset from the
 * start.  A window of them is kept: from the first that is not echoed everywhere to the newest.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_STREAM_H
#define TOOL_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
    unsigned char *bytes;
    size_t cap;
    size_t start;  /* of the window in `bytes` */
    size_t len;    /* of the window */
    uint64_t base; /* offset of the window's first byte */
};

/* Room for `cap` bytes; false when there is no memory. */
bool stream_open(struct stream *stream, size_t cap);
void stream_close(struct stream *stream);

/* Where new bytes go, and how many fit; then how many came. */
unsigned char *stream_room(struct stream *stream, size_t *room);
void stream_grew(struct stream *stream, size_t n);

/* The byte at `offset`, which must be in the window, and those behind it. */
const unsigned char *stream_at(const struct stream *stream, uint64_t offset);

/* Offset behind the newest byte. */
uint64_t stream_end(const struct stream *stream);

/* Forgets what is before `offset`. */
void stream_release(struct stream *stream, uint64_t offset);

#endif /* TOOL_STREAM_H */
