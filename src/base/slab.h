/* SPDX-License-Identifier: MIT
 *
 * slab.h -- things of one size, named by slot and generation.  Floor: base.
 *
 * A slot's generation is odd while it is taken and goes up by one when taken and when freed, so a
 * name that outlived its thing misses.  Things never move; their first member is a vigil__slot.
 */
#ifndef VIGIL_SLAB_H
#define VIGIL_SLAB_H

#include "base/base.h"

enum {
    VIGIL__SLAB_CHUNK_BITS = 6,
    VIGIL__SLAB_CHUNK = 1 << VIGIL__SLAB_CHUNK_BITS,
};

struct vigil__slot {
    uint32_t index;      /* its own; while free: the next free one */
    uint32_t generation; /* odd: taken */
};

struct vigil__slab {
    const vigil_allocator *allocator;
    char **chunks;
    uint32_t chunk_count, chunk_room;
    uint32_t item_size;
    uint32_t used;      /* slots that were taken once; memory behind them is not touched */
    uint32_t free_head; /* of those that were given back; UINT32_MAX: none */
    uint32_t live;
};

void vigil__slab_init(struct vigil__slab *slab, const vigil_allocator *allocator, size_t item_size);

/* Frees all memory; what the things own is the caller's affair. */
void vigil__slab_clear(struct vigil__slab *slab);

/* Sees to it that the next take cannot fail.  False: out of memory. */
bool vigil__slab_reserve(struct vigil__slab *slab);

/* A new thing, zeroed but for its slot; NULL: out of memory. */
void *vigil__slab_take(struct vigil__slab *slab);
void vigil__slab_give(struct vigil__slab *slab, void *item);

/* How many slots there are, taken now or once, to walk them all. */
static inline uint32_t vigil__slab_slots(const struct vigil__slab *slab)
{
    return slab->used;
}

/* The slot of the next thing. */
static inline uint32_t vigil__slab_next(const struct vigil__slab *slab)
{
    return slab->free_head != UINT32_MAX ? slab->free_head : slab->used;
}

/* The slot's thing, taken or not.  `index` is below vigil__slab_slots(). */
static inline void *vigil__slab_at(const struct vigil__slab *slab, uint32_t index)
{
    return slab->chunks[index >> VIGIL__SLAB_CHUNK_BITS] +
           (size_t)(index & (VIGIL__SLAB_CHUNK - 1)) * slab->item_size;
}

static inline bool vigil__slot_taken(const struct vigil__slot *slot)
{
    return (slot->generation & 1) != 0;
}

/* A handle: generation above, slot below.  0 is no handle, since a taken generation is odd. */
static inline uint64_t vigil__slot_handle(const struct vigil__slot *slot)
{
    return (uint64_t)slot->generation << 32 | slot->index;
}

/* What a handle names, or NULL when that is gone. */
static inline void *vigil__slab_find(const struct vigil__slab *slab, uint64_t handle)
{
    uint32_t index = (uint32_t)handle;
    uint32_t generation = (uint32_t)(handle >> 32);
    if (VIGIL_UNLIKELY(index >= vigil__slab_slots(slab) || (generation & 1) == 0))
        return NULL;
    struct vigil__slot *slot = vigil__slab_at(slab, index);
    return VIGIL_LIKELY(slot->generation == generation) ? slot : NULL;
}

#endif
