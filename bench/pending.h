/* SPDX-License-Identifier: MIT
 *
 * pending.h -- what servers by hand keep of a read: for those whose library sends nothing for them.
 */
#ifndef BENCH_PENDING_H
#define BENCH_PENDING_H

#include "server.h"

/* What a peer did not take of one read: nothing further is read until it has gone. */
struct pending {
    size_t start, length; /* of what is left */
    unsigned char *bytes; /* NULL: nothing is */
};

static inline bool pending_fill(struct pending *pending, const unsigned char *bytes, size_t length)
{
    pending->bytes = malloc(length);
    if (!pending->bytes)
        return false;
    memcpy(pending->bytes, bytes, length);
    pending->start = 0;
    pending->length = length;
    return true;
}

/* Sends what it can of it.  Answers how many bytes are left, -1 for an error. */
static inline ssize_t pending_send(int fd, struct pending *pending)
{
    ssize_t sent = server_send(fd, pending->bytes + pending->start, pending->length);
    if (sent < 0)
        return -1;
    pending->start += (size_t)sent;
    pending->length -= (size_t)sent;
    if (pending->length == 0) {
        free(pending->bytes);
        pending->bytes = NULL;
    }
    return (ssize_t)pending->length;
}

#endif /* BENCH_PENDING_H */
