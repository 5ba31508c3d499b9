/* SPDX-License-Identifier: MIT
 *
 * slab.c -- things of one size, named by slot and generation.  Floor: base.
 */
#include "base/slab.h"

#include <string.h>

static bool slab_grow(struct vigil__slab *slab);

void vigil__slab_init(struct vigil__slab *slab, const vigil_allocator *allocator, size_t item_size)
{
    VIGIL_ASSERT(item_size >= sizeof(struct vigil__slot));
    *slab = (struct vigil__slab){ .allocator = allocator,
                                  .item_size = (uint32_t)item_size,
                                  .free_head = UINT32_MAX };
}

void vigil__slab_clear(struct vigil__slab *slab)
{
    for (uint32_t i = 0; i < slab->chunk_count; i++)
        vigil__free(slab->allocator, slab->chunks[i], (size_t)slab->item_size * VIGIL__SLAB_CHUNK);
    vigil__free(slab->allocator, slab->chunks, slab->chunk_room * sizeof(*slab->chunks));
    vigil__slab_init(slab, slab->allocator, slab->item_size);
}

bool vigil__slab_reserve(struct vigil__slab *slab)
{
    return vigil__slab_next(slab) < slab->chunk_count << VIGIL__SLAB_CHUNK_BITS || slab_grow(slab);
}

void *vigil__slab_take(struct vigil__slab *slab)
{
    if (!vigil__slab_reserve(slab))
        return NULL;
    uint32_t index = vigil__slab_next(slab);
    uint32_t generation = 1;
    struct vigil__slot *slot = vigil__slab_at(slab, index);
    if (index == slab->used) {
        slab->used++;
    } else {
        VIGIL_ASSERT(!vigil__slot_taken(slot));
        slab->free_head = slot->index;
        generation = slot->generation + 1;
    }
    slab->live++;
    memset(slot, 0, slab->item_size);
    *slot = (struct vigil__slot){ .generation = generation, .index = index };
    return slot;
}

void vigil__slab_give(struct vigil__slab *slab, void *item)
{
    struct vigil__slot *slot = item;
    VIGIL_ASSERT(vigil__slot_taken(slot));
    VIGIL_ASSERT(vigil__slab_at(slab, slot->index) == item);
    uint32_t index = slot->index;
    slot->generation++;
    slot->index = slab->free_head;
    slab->free_head = index;
    slab->live--;
}

static bool slab_grow(struct vigil__slab *slab)
{
    if (slab->chunk_count == slab->chunk_room) {
        uint32_t room = slab->chunk_room == 0 ? 4 : slab->chunk_room * 2;
        char **chunks = vigil__resize(slab->allocator, slab->chunks,
                                      slab->chunk_room * sizeof(*chunks), room * sizeof(*chunks));
        if (chunks == NULL)
            return false;
        slab->chunks = chunks;
        slab->chunk_room = room;
    }
    char *chunk = vigil__alloc(slab->allocator, (size_t)slab->item_size * VIGIL__SLAB_CHUNK);
    if (chunk == NULL)
        return false;
    slab->chunks[slab->chunk_count++] = chunk;
    return true;
}
