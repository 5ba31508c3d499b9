/* SPDX-License-Identifier: MIT
 *
 * uring_bufs.c -- the buffers that the kernel fills when bytes come, a ring of them for all
 * connections of a loop.  Floor: poller.
 *
 * A buffer is in the kernel's hands, or lent to whoever has a reference, or, where it is filled bit
 * by bit, both; when neither has it, it goes back into the ring.  All together they are at most an
 * eighth of the loop's memory, so that no connection can pin more than that, however fast it is.
 */
#include "poller/uring.h"

#ifdef __linux__

#include <stdatomic.h>
#include <string.h>

/* Few and large where the kernel fills them bit by bit: a stream then comes in as few pieces as on
 * the other backends; else many and small, for then a message of some bytes takes a whole one. */
static const struct {
    uint32_t bytes_max, size_max;
} measures[] = {
    [false] = { 512 << 10, 4096 },
    [true] = { 512 << 10, VIGIL__BUF_READ },
};

enum {
    MEMORY_SHARE = 8,
    COUNT_MIN = 8,
    SIZE_MIN = 4096,
    GROUP = 0,
};

static int bufs_register(struct vigil__uring *uring);
static void buf_offer(struct vigil__uring *uring, uint32_t id);

static void bufs_measure(struct vigil__uring *uring)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    bufs->incremental = uring->found.incremental;
    size_t size = measures[bufs->incremental].size_max;
    size_t bytes = vigil__min(measures[bufs->incremental].bytes_max,
                              uring->pool->limit / MEMORY_SHARE);
    while (size > SIZE_MIN && bytes / size < COUNT_MIN)
        size /= 2;
    uint32_t count = 1;
    while (count * 2 * size <= bytes)
        count *= 2;
    bufs->size = (uint32_t)size;
    bufs->count = count;
}

static void bufs_free(struct vigil__uring *uring)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    for (uint32_t i = 0; i < bufs->count; i++) {
        struct vigil__buf *buf = bufs->lent[i].buf;
        if (buf != NULL)
            vigil__buf_free(uring->allocator, buf);
    }
    vigil__free(uring->allocator, bufs->lent, bufs->count * sizeof(*bufs->lent));
    *bufs = (struct vigil__uring_bufs){ 0 };
}

VIGIL_COLD static int bufs_make(struct vigil__uring *uring)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    bufs_measure(uring);
    bufs->lent = vigil__alloc(uring->allocator, bufs->count * sizeof(*bufs->lent));
    if (bufs->lent == NULL) {
        *bufs = (struct vigil__uring_bufs){ 0 };
        return VIGIL_ENOMEM;
    }
    memset(bufs->lent, 0, bufs->count * sizeof(*bufs->lent));
    for (uint32_t i = 0; i < bufs->count; i++) {
        struct vigil__buf *buf = vigil__buf_new(uring->allocator, bufs->size);
        if (buf == NULL) {
            bufs_free(uring);
            return VIGIL_ENOMEM;
        }
        buf->refs = 0;
        buf->size_class = VIGIL__BUF_LENT;
        buf->lender_id = (uint16_t)i;
        bufs->lent[i].buf = buf;
    }
    return 0;
}

int vigil__uring_bufs_need(struct vigil__uring *uring)
{
    if (VIGIL_LIKELY(uring->bufs.registered))
        return 0;
    int err = uring->bufs.count > 0 ? 0 : bufs_make(uring);
    if (err == 0)
        err = bufs_register(uring);
    uring->pool->lendable = uring->bufs.count;
    return err;
}

void vigil__uring_bufs_clear(struct vigil__uring *uring)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    if (bufs->places != NULL)
        vigil__call_uring_unmap(bufs->places, bufs->places_size);
    bufs_free(uring);
}

/* Into pages of its own, for those of a ring that is left may be in use a little longer. */
VIGIL_COLD static int bufs_register(struct vigil__uring *uring)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    size_t size = bufs->count * sizeof(*bufs->places);
    struct vigil__uring_buf *places = vigil__call_uring_map(VIGIL_FD_NONE, size, 0);
    if (places == NULL)
        return VIGIL_ENOMEM;
    struct vigil__uring_buf_ring ring = {
        .addr = (uint64_t)(uintptr_t)places,
        .entries = bufs->count,
        .group = GROUP,
        .flags = bufs->incremental ? VIGIL__URING_BUF_RING_INCREMENTAL : 0,
    };
    int err = vigil__call_uring_register(uring->ring.fd, VIGIL__URING_REGISTER_BUF_RING, &ring, 1);
    if (err < 0) {
        vigil__call_uring_unmap(places, size);
        return err;
    }
    if (bufs->places != NULL)
        vigil__call_uring_unmap(bufs->places, bufs->places_size);
    bufs->places = places;
    bufs->places_size = size;
    bufs->tail = 0;
    bufs->registered = true;
    for (uint32_t i = 0; i < bufs->count; i++)
        if (bufs->lent[i].buf->refs == 0)
            buf_offer(uring, i);
    return 0;
}

void vigil__uring_bufs_moved(struct vigil__uring *uring)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    bufs->registered = false;
    for (uint32_t i = 0; i < bufs->count; i++)
        bufs->lent[i].in_kernel = false;
}

/* Puts one at the end of the ring. */
static void buf_offer(struct vigil__uring *uring, uint32_t id)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    struct vigil__uring_lent *lent = &bufs->lent[id];
    struct vigil__uring_buf *place = &bufs->places[bufs->tail & (bufs->count - 1)];
    place->addr = (uint64_t)(uintptr_t)lent->buf->data;
    place->len = bufs->size;
    place->id = (uint16_t)id;
    lent->filled = 0;
    lent->in_kernel = true;
    bufs->lent[bufs->last].next = (uint16_t)id;
    bufs->last = (uint16_t)id;
    bufs->tail++;
    _Atomic uint16_t *tail = (_Atomic uint16_t *)(void *)&bufs->places[0].reserved;
    atomic_store_explicit(tail, bufs->tail, memory_order_release);
}

static void buf_filled(struct vigil__uring *uring, uint32_t id)
{
    struct vigil__uring_lent *lent = &uring->bufs.lent[id];
    lent->in_kernel = false;
    if (lent->buf->refs == 0)
        buf_offer(uring, id);
}

uint32_t vigil__uring_bufs_take(struct vigil__uring *uring, uint32_t *id, uint32_t flags,
                                uint32_t left, struct vigil__record *record)
{
    struct vigil__uring_bufs *bufs = &uring->bufs;
    struct vigil__uring_lent *lent = &bufs->lent[*id];
    uint32_t len = (uint32_t)vigil__min(left, bufs->size - lent->filled);
    record->buf = lent->buf;
    record->offset = lent->filled;
    record->res = (int32_t)len;
    lent->filled += len;
    *id = lent->next;
    vigil__buf_lend(uring->pool, lent->buf);
    /* Of a bundle all but the last are full. */
    if (left > len || (flags & VIGIL__URING_CQE_BUF_MORE) == 0)
        lent->in_kernel = false;
    return left - len;
}

void vigil__uring_bufs_return(struct vigil__uring *uring, uint32_t flags)
{
    bool had = (flags & VIGIL__URING_CQE_BUFFER) != 0;
    if (had && (flags & VIGIL__URING_CQE_BUF_MORE) == 0)
        buf_filled(uring, flags >> VIGIL__URING_CQE_BUFFER_SHIFT);
}

void vigil__uring_bufs_give(struct vigil__uring *uring, struct vigil__buf *buf)
{
    bool wanted = uring->bufs.registered && !uring->bufs.lent[buf->lender_id].in_kernel;
    if (wanted && vigil__process_is(uring->process)) /* a forked child has no such ring */
        buf_offer(uring, buf->lender_id);
}

#endif
