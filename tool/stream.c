/* SPDX-License-Identifier: MIT
 *
 * stream.c -- a window of a byte stream, addressed by the offset from its start, so that an echo of
 * any length is compared in bounded memory.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "stream.h"

#include <stdlib.h>
#include <string.h>

bool stream_open(struct stream *stream, size_t cap)
{
    *stream = (struct stream){ .cap = cap };
    stream->bytes = malloc(cap + 1); /* + 1: a stream of nothing is a stream */
    return stream->bytes != NULL;
}

void stream_close(struct stream *stream)
{
    free(stream->bytes);
    *stream = (struct stream){ 0 };
}

unsigned char *stream_room(struct stream *stream, size_t *room)
{
    *room = stream->cap - stream->start - stream->len;
    return stream->bytes + stream->start + stream->len;
}

void stream_grew(struct stream *stream, size_t n)
{
    stream->len += n;
}

const unsigned char *stream_at(const struct stream *stream, uint64_t offset)
{
    return stream->bytes + stream->start + (size_t)(offset - stream->base);
}

uint64_t stream_end(const struct stream *stream)
{
    return stream->base + stream->len;
}

void stream_release(struct stream *stream, uint64_t offset)
{
    size_t n = (size_t)(offset - stream->base);
    stream->base = offset;
    stream->start += n;
    stream->len -= n;
    if (stream->start < stream->len)
        return; /* moving now would cost more than the bytes that were released */
    memmove(stream->bytes, stream->bytes + stream->start, stream->len);
    stream->start = 0;
}
