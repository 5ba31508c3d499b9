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
    return slab->free_head != UINT32_MAX || slab_grow(slab);
}

void *vigil__slab_take(struct vigil__slab *slab)
{
    if (!vigil__slab_reserve(slab))
        return NULL;
    uint32_t index = slab->free_head;
    struct vigil__slot *slot = vigil__slab_at(slab, index);
    VIGIL_ASSERT(!vigil__slot_taken(slot));
    slab->free_head = slot->index;
    slab->live++;
    uint32_t generation = slot->generation + 1;
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
    size_t size = (size_t)slab->item_size * VIGIL__SLAB_CHUNK;
    char *chunk = vigil__alloc(slab->allocator, size);
    if (chunk == NULL)
        return false;
    memset(chunk, 0, size);
    uint32_t first = vigil__slab_slots(slab);
    slab->chunks[slab->chunk_count++] = chunk;
    for (uint32_t i = VIGIL__SLAB_CHUNK; i-- > 0;) {
        struct vigil__slot *slot = vigil__slab_at(slab, first + i);
        slot->index = slab->free_head;
        slab->free_head = first + i;
    }
    return true;
}
