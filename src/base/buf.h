/* SPDX-License-Identifier: MIT
 *
 * buf.h -- counted references to buffers, and the pool of one loop.  Floor: base.
 *
 * Buffers come in a few sizes and are kept for reuse.  The pool counts what is in use, in whole
 * buffers, and refuses above its limit: input already at three quarters of it, so that there is
 * always memory left to bring output away.
 */
#ifndef VIGIL_BUF_H
#define VIGIL_BUF_H

#include "base/base.h"

enum {
    VIGIL__BUF_CLASSES = 5,          /* 256 B, 1, 4, 16, 64 KiB */
    VIGIL__BUF_MIN = 256,            /* of the first class */
    VIGIL__BUF_LENT = 6,             /* no class: another's, to whom it goes back */
    VIGIL__BUF_READ = 64 * 1024,     /* what one receive brings at most */
    VIGIL__BUF_CACHED_MAX = 1 << 20, /* bytes kept for reuse: enough for a turn's traffic */
    /* Large ones begin with a page, as what the system copies to and from them mostly does: copying
     * to a place that lies a little behind in its page takes up to three times as long. */
    VIGIL__BUF_PAGE = 4096,
};

enum vigil__buf_use { VIGIL__BUF_INPUT, VIGIL__BUF_OUTPUT };

struct vigil__buf {
    uint32_t refs;
    uint8_t size_class; /* VIGIL__BUF_CLASSES: of no class, sized for its one use; or LENT */
    uint16_t lender_id; /* of one that is LENT: whose it is knows it by that */
    size_t cap;
    struct vigil__buf *next_free;
    uint8_t *data; /* `cap` bytes */
};

struct vigil__pool {
    const vigil_allocator *allocator;
    size_t used, used_max, limit;
    size_t cached;
    bool returned; /* a buffer came back since somebody last looked */
    struct vigil__buf *free[VIGIL__BUF_CLASSES];
    void (*give)(void *self, struct vigil__buf *buf); /* takes back what is LENT; or NULL */
    void *give_self;
    uint32_t lent, lendable; /* buffers of another's: now in use, and all there are */
};

/* What a buffer of `cap` bytes takes. */
static inline size_t vigil__buf_size(size_t cap)
{
    return sizeof(struct vigil__buf) + cap + (cap < VIGIL__BUF_READ ? 0 : VIGIL__BUF_PAGE - 1);
}

/* One with its bytes, and nothing else told of it; NULL: out of memory.  And back. */
struct vigil__buf *vigil__buf_new(const vigil_allocator *allocator, size_t cap);
void vigil__buf_free(const vigil_allocator *allocator, struct vigil__buf *buf);

void vigil__pool_init(struct vigil__pool *pool, const vigil_allocator *allocator, size_t limit);
void vigil__pool_clear(struct vigil__pool *pool);

/* A buffer of at least `size` bytes with one reference; NULL: over the limit, or out of memory. */
struct vigil__buf *vigil__buf_take(struct vigil__pool *pool, size_t size, enum vigil__buf_use use);

/* One more reference to a buffer of another's, with VIGIL__BUF_LENT as its class.  While anybody
 * has one the buffer is in use like any other, at its full size; the last drop gives it back.  The
 * limit does not refuse it, for its bytes are there already; the lender has few enough of them. */
void vigil__buf_lend(struct vigil__pool *pool, struct vigil__buf *buf);

/* Whether input has come to its limit, and must wait. */
static inline bool vigil__pool_input_full(const struct vigil__pool *pool)
{
    return pool->used >= pool->limit - pool->limit / 4;
}

/* Whether more than half of another's buffers are in use: then what is kept is copied instead. */
static inline bool vigil__pool_lent_low(const struct vigil__pool *pool)
{
    return pool->lent * 2 > pool->lendable;
}

/* Drops one reference; the last gives the buffer back to the pool, or to whose it is. */
void vigil__buf_drop(struct vigil__pool *pool, struct vigil__buf *buf);

/* Gives back what was taken for nothing.  That is no sign of memory for those who wait for some. */
void vigil__buf_untake(struct vigil__pool *pool, struct vigil__buf *buf);

static inline struct vigil__buf *vigil__buf_keep(struct vigil__buf *buf)
{
    buf->refs++;
    return buf;
}

#endif
