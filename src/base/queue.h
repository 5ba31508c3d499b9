/* SPDX-License-Identifier: MIT
 *
 * queue.h -- numbers of slots that wait, in several queues, first come first served.  Floor: base.
 *
 * In each there is room for every slot of a slab, made when the slab grows, so to wait never needs
 * memory.  All stand in one block, of which pages that nobody has waited in are not touched.  A
 * slot stands once at most in each, and who puts it there knows whether it does.
 */
#ifndef VIGIL_QUEUE_H
#define VIGIL_QUEUE_H

#include "base/base.h"

enum { VIGIL__QUEUES_MAX = 7 };

struct vigil__queues {
    uint32_t *slots; /* `room` for each queue, one behind the other */
    uint32_t room;   /* 0, or a power of two */
    uint32_t count;  /* of queues */
    struct {
        uint32_t pushed, popped; /* in all: those between wait, each at its number modulo room */
    } of[VIGIL__QUEUES_MAX];
};

/* Room for slots below `slots` in each.  False: out of memory. */
bool vigil__queues_reserve(struct vigil__queues *queues, const vigil_allocator *allocator,
                           uint32_t slots);
void vigil__queues_clear(struct vigil__queues *queues, const vigil_allocator *allocator);

static inline uint32_t *vigil__queue_place(const struct vigil__queues *queues, unsigned queue,
                                           uint32_t number)
{
    return &queues->slots[(size_t)queue * queues->room + (number & (queues->room - 1))];
}

static inline void vigil__queue_push(struct vigil__queues *queues, unsigned queue, uint32_t slot)
{
    *vigil__queue_place(queues, queue, queues->of[queue].pushed++) = slot;
}

/* The one that waits longest; there is one. */
static inline uint32_t vigil__queue_pop(struct vigil__queues *queues, unsigned queue)
{
    return *vigil__queue_place(queues, queue, queues->of[queue].popped++);
}

static inline bool vigil__queue_waits(const struct vigil__queues *queues, unsigned queue)
{
    return queues->of[queue].pushed != queues->of[queue].popped;
}

/* Up to where it goes now: a snapshot to work through. */
static inline uint32_t vigil__queue_end(const struct vigil__queues *queues, unsigned queue)
{
    return queues->of[queue].pushed;
}

/* If nobody waits it begins at the front again, so that only the pages it needs are ever used.
 * Snapshots are over then. */
static inline void vigil__queue_rewind(struct vigil__queues *queues, unsigned queue)
{
    if (queues->of[queue].pushed == queues->of[queue].popped)
        queues->of[queue].pushed = queues->of[queue].popped = 0;
}

#endif
