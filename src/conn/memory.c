/* SPDX-License-Identifier: MIT
 *
 * memory.c -- what happens when the loop's buffers run short.  Floor: conn.
 *
 * Input stops at three quarters of the limit, so the rest can bring output away.  Above half, every
 * connection's mark sinks to its share.  When even that does not help, the connection whose output
 * has stood still longest is shed.
 */
#include "conn/conn.h"

enum {
    HIGH_MIN = 4096, /* a mark below one page would only make more calls */
    READ_SHARE = 8,  /* of a connection's share: with copies and what is held, all stay below 3/4 */
};

static const vigil_ns look_again_ns = VIGIL_MS(10);   /* for memory that an allocator refused */
static const vigil_ns stalled_min_ns = VIGIL_MS(100); /* a reader slower than that is a candidate */

/* What each connection with output may hold of half the memory. */
static size_t memory_share(const vigil_loop *loop)
{
    uint32_t holders = vigil__conns(loop)->holders;
    return loop->pool.limit / (2 * (size_t)(holders != 0 ? holders : 1));
}

size_t vigil__memory_high(const vigil_loop *loop, const struct vigil__conn *c)
{
    size_t high = vigil__conn_limits(loop, c)->out_high;
    if (!vigil__memory_short(loop))
        return high;
    return vigil__min(high, vigil__max(memory_share(loop), HIGH_MIN));
}

/* Sizes of which a buffer is made without loss. */
static size_t read_short(const vigil_loop *loop)
{
    size_t size = memory_share(loop) / READ_SHARE;
    return size >= VIGIL__BUF_READ ? VIGIL__BUF_READ : size >= 16384 ? 16384 : HIGH_MIN;
}

size_t vigil__memory_read(const vigil_loop *loop, const struct vigil__conn *c)
{
    if (!vigil__memory_short(loop))
        return VIGIL__BUF_READ;
    return c->busy->queued > 0 && !c->finishing ? 0 : read_short(loop);
}

void vigil__memory_wait(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (c->memory_wait || c->closing)
        return;
    if (!vigil__somebody_waits(loop, VIGIL__LIST_MEMORY))
        conns->memory_due = vigil__time_add(loop->now, look_again_ns);
    c->memory_wait = true;
    vigil__wait_not(loop, c, VIGIL__LIST_DRY);
    vigil__wait(loop, c, VIGIL__LIST_MEMORY);
}

void vigil__memory_dry(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    c->modest = true; /* or who has much to bring would take all of them again, each time */
    if (!vigil__somebody_waits(loop, VIGIL__LIST_DRY))
        conns->dry_due = loop->now; /* whoever holds some is asked for them at once */
    if (!c->memory_wait)            /* else it waits for more than that */
        vigil__wait(loop, c, VIGIL__LIST_DRY);
}

/* Input that is held in the kernel's buffers is copied out of them.  That has been tried when it
 * came, but then there may have been no memory for it. */
static void dry_unpin(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    conns->dry_due = vigil__time_add(loop->now, look_again_ns);
    struct vigil__conn *c;
    for (uint32_t at = 0; (c = vigil__conn_from(loop, &at)) != NULL;)
        vigil__input_unpin(loop, c);
}

/* First come, first served: as many as there are buffers for. */
static void dry_work(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (loop->pool.lent == loop->pool.lendable && loop->now >= conns->dry_due)
        dry_unpin(loop);
    uint32_t free = loop->pool.lendable - loop->pool.lent;
    uint32_t end = vigil__wait_end(loop, VIGIL__LIST_DRY);
    struct vigil__conn *c;
    for (; free > 0 && (c = vigil__wait_next(loop, VIGIL__LIST_DRY, end)) != NULL; free--)
        vigil__conn_todo(loop, c, VIGIL__TODO_READ);
}

/* Whether its end would give memory back: a queue of the caller's own gives none. */
static bool holds_memory(const struct vigil__conn *c)
{
    const struct vigil__piece *piece = c->busy->head;
    while (piece != NULL && piece->buf == NULL)
        piece = piece->next;
    return piece != NULL || c->busy->held != NULL;
}

void vigil__memory_shed(vigil_loop *loop, struct vigil__conn *c)
{
    if (!c->closing && !vigil__conn_failed(c)) /* else it ends for another reason */
        vigil__count(&loop->stats.closed_memory, 1);
    vigil__conn_reset(loop, c, VIGIL_ENOMEM);
}

/* Resets the connection whose output has stood still longest, of those with memory of ours. */
static void shed_one(vigil_loop *loop)
{
    struct vigil__conn *worst = NULL;
    struct vigil__conn *c;
    for (uint32_t at = 0; (c = vigil__conn_from(loop, &at)) != NULL;) {
        bool longer = worst == NULL || c->busy->sent_at < worst->busy->sent_at;
        if (c->busy->queued > 0 && !c->closing && longer && holds_memory(c))
            worst = c;
    }
    if (worst == NULL || loop->now - worst->busy->sent_at < stalled_min_ns)
        return;
    vigil__memory_shed(loop, worst);
}

/* Those who put their own output first.  It may never go: its peer may do the same, and wait. */
static void starved_work(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    conns->some_starved = false;
    struct vigil__conn *c;
    for (uint32_t at = 0; (c = vigil__conn_from(loop, &at)) != NULL;)
        if (c->starved)
            vigil__conn_todo(loop, c, VIGIL__TODO_READ);
}

static void wake_one(vigil_loop *loop, struct vigil__conn *c)
{
    c->memory_wait = false;
    /* Who waited for memory to read into wants more than what is held. */
    bool offer = c->offer_due || c->busy->couple_to.v != 0;
    vigil__conn_todo(loop, c, VIGIL__TODO_READ | VIGIL__TODO_EOF | (offer ? VIGIL__TODO_OFFER : 0));
    vigil__output_later(loop, c);
    if (c->writable_due && !c->unopened && !c->cut) { /* else when it has opened, or sunk */
        c->writable_due = false;
        vigil__conn_todo(loop, c, VIGIL__TODO_WRITABLE);
    }
}

void vigil__memory_work(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__pool *pool = &loop->pool;
    if (VIGIL_UNLIKELY(vigil__somebody_waits(loop, VIGIL__LIST_DRY)))
        dry_work(loop);
    if (VIGIL_UNLIKELY(conns->some_starved) && !vigil__memory_short(loop))
        starved_work(loop);
    if (VIGIL_LIKELY(!vigil__somebody_waits(loop, VIGIL__LIST_MEMORY)))
        return;
    bool look = loop->now >= conns->memory_due;
    if (!pool->returned && !look)
        return;
    pool->returned = false;
    conns->memory_due = vigil__time_add(loop->now, look_again_ns);
    size_t input_limit = pool->limit - pool->limit / 4;
    size_t used = pool->used;
    size_t each = vigil__memory_short(loop) ? read_short(loop) : VIGIL__BUF_READ;
    uint32_t end = vigil__wait_end(loop, VIGIL__LIST_MEMORY);
    struct vigil__conn *c;
    while (used + each <= input_limit &&
           (c = vigil__wait_next(loop, VIGIL__LIST_MEMORY, end)) != NULL) {
        used += each; /* what it will take, most likely */
        wake_one(loop, c);
    }
    if (vigil__somebody_waits(loop, VIGIL__LIST_MEMORY) && look)
        shed_one(loop);
}
