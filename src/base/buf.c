/* SPDX-License-Identifier: MIT
 *
 * buf.c -- counted references to buffers, and the pool of one loop.  Floor: base.
 */
#include "base/buf.h"

/* Each class has four times the size of the one before. */
static inline size_t class_size(uint8_t size_class)
{
    return (size_t)VIGIL__BUF_MIN << 2 * size_class;
}

/* The smallest that holds `size`. */
static inline uint8_t class_for(size_t size)
{
    if (size <= VIGIL__BUF_MIN)
        return 0;
    if (size > VIGIL__BUF_READ)
        return VIGIL__BUF_CLASSES;
    unsigned bits = 32 - (unsigned)__builtin_clz((uint32_t)size - 1); /* size - 1 < 2^bits */
    return (uint8_t)((bits - 7) / 2);
}

struct vigil__buf *vigil__buf_new(const vigil_allocator *allocator, size_t cap)
{
    struct vigil__buf *buf = vigil__alloc(allocator, vigil__buf_size(cap));
    if (buf == NULL)
        return NULL;
    buf->cap = cap;
    buf->data = (uint8_t *)(buf + 1);
    if (cap >= VIGIL__BUF_READ)
        buf->data += -(uintptr_t)buf->data & (VIGIL__BUF_PAGE - 1);
    return buf;
}

void vigil__buf_free(const vigil_allocator *allocator, struct vigil__buf *buf)
{
    vigil__free(allocator, buf, vigil__buf_size(buf->cap));
}

void vigil__pool_init(struct vigil__pool *pool, const vigil_allocator *allocator, size_t limit)
{
    *pool = (struct vigil__pool){ .allocator = allocator, .limit = limit };
}

void vigil__pool_clear(struct vigil__pool *pool)
{
    for (size_t i = 0; i < VIGIL__BUF_CLASSES; i++) {
        while (pool->free[i] != NULL) {
            struct vigil__buf *buf = pool->free[i];
            pool->free[i] = buf->next_free;
            vigil__buf_free(pool->allocator, buf);
        }
    }
    pool->cached = 0;
}

static void buf_count(struct vigil__pool *pool, struct vigil__buf *buf)
{
    buf->refs = 1;
    buf->next_free = NULL;
    pool->used += buf->cap;
    if (pool->used > pool->used_max)
        pool->used_max = pool->used;
}

/* Frees what is kept for reuse, large ones first, until `cap` more bytes are within the limit. */
static void cached_trim(struct vigil__pool *pool, size_t cap)
{
    for (size_t i = VIGIL__BUF_CLASSES; i-- > 0;) {
        while (pool->free[i] != NULL && pool->used + pool->cached + cap > pool->limit) {
            struct vigil__buf *buf = pool->free[i];
            pool->free[i] = buf->next_free;
            pool->cached -= buf->cap;
            vigil__buf_free(pool->allocator, buf);
        }
    }
}

/* One of which none was kept. */
VIGIL_COLD static struct vigil__buf *buf_make(struct vigil__pool *pool, uint8_t size_class,
                                              size_t cap)
{
    cached_trim(pool, cap);
    struct vigil__buf *buf = vigil__buf_new(pool->allocator, cap);
    if (buf == NULL)
        return NULL;
    buf->size_class = size_class;
    buf_count(pool, buf);
    return buf;
}

VIGIL_HOT struct vigil__buf *vigil__buf_take(struct vigil__pool *pool, size_t size,
                                             enum vigil__buf_use use)
{
    uint8_t size_class = class_for(size);
    size_t cap = size_class < VIGIL__BUF_CLASSES ? class_size(size_class) : size;
    size_t limit = use == VIGIL__BUF_INPUT ? pool->limit - pool->limit / 4 : pool->limit;
    if (cap > limit || pool->used > limit - cap)
        return NULL;
    struct vigil__buf *buf = size_class < VIGIL__BUF_CLASSES ? pool->free[size_class] : NULL;
    if (VIGIL_UNLIKELY(buf == NULL))
        return buf_make(pool, size_class, cap);
    pool->free[size_class] = buf->next_free;
    pool->cached -= cap;
    buf_count(pool, buf);
    return buf;
}

void vigil__buf_lend(struct vigil__pool *pool, struct vigil__buf *buf)
{
    VIGIL_ASSERT(buf->size_class == VIGIL__BUF_LENT);
    if (buf->refs > 0) {
        buf->refs++;
        return;
    }
    pool->lent++;
    buf_count(pool, buf);
}

VIGIL_HOT void vigil__buf_drop(struct vigil__pool *pool, struct vigil__buf *buf)
{
    VIGIL_ASSERT(buf->refs > 0);
    if (--buf->refs > 0)
        return;
    VIGIL_ASSERT(pool->used >= buf->cap);
    pool->used -= buf->cap;
    pool->returned = true;
    if (buf->size_class >= VIGIL__BUF_CLASSES || pool->cached + buf->cap > VIGIL__BUF_CACHED_MAX) {
        if (buf->size_class != VIGIL__BUF_LENT) {
            vigil__buf_free(pool->allocator, buf);
        } else {
            pool->lent--;
            if (pool->give != NULL)
                pool->give(pool->give_self, buf);
        }
        return;
    }
    buf->next_free = pool->free[buf->size_class];
    pool->free[buf->size_class] = buf;
    pool->cached += buf->cap;
}

void vigil__buf_untake(struct vigil__pool *pool, struct vigil__buf *buf)
{
    bool returned = pool->returned;
    vigil__buf_drop(pool, buf);
    pool->returned = returned;
}
