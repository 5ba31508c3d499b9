/* SPDX-License-Identifier: MIT
 *
 * heap.c -- what is due when: a 4-ary heap in one array.  Floor: base.
 */
#include "base/heap.h"

#include <string.h>

enum { HEAP_WIDTH = 4 };

static void heap_up(struct vigil__heap *heap, uint32_t at, struct vigil__heap_entry entry);
static void heap_down(struct vigil__heap *heap, uint32_t at, struct vigil__heap_entry entry);

static bool entry_before(const struct vigil__heap_entry *a, const struct vigil__heap_entry *b)
{
    if (a->due != b->due)
        return a->due < b->due;
    return (int32_t)(a->sequence - b->sequence) < 0;
}

static void heap_put(struct vigil__heap *heap, uint32_t at, struct vigil__heap_entry entry)
{
    heap->entries[at] = entry;
    heap->places[entry.owner] = at;
}

void vigil__heap_init(struct vigil__heap *heap, const vigil_allocator *allocator)
{
    *heap = (struct vigil__heap){ .allocator = allocator };
}

void vigil__heap_clear(struct vigil__heap *heap)
{
    vigil__free(heap->allocator, heap->entries, heap->room * sizeof(*heap->entries));
    vigil__free(heap->allocator, heap->places, heap->places_room * sizeof(*heap->places));
    vigil__heap_init(heap, heap->allocator);
}

bool vigil__heap_set(struct vigil__heap *heap, uint32_t owner, vigil_ns due)
{
    VIGIL_ASSERT(owner != VIGIL__HEAP_NONE);
    struct vigil__heap_entry entry = { .due = due, .owner = owner };
    if (vigil__heap_has(heap, owner)) {
        uint32_t at = heap->places[owner];
        bool earlier = due < heap->entries[at].due;
        entry.sequence = heap->sequence++;
        if (earlier)
            heap_up(heap, at, entry);
        else
            heap_down(heap, at, entry);
        return true;
    }
    if (!vigil__heap_reserve(heap, owner))
        return false;
    entry.sequence = heap->sequence++;
    heap_up(heap, heap->count++, entry);
    return true;
}

void vigil__heap_remove(struct vigil__heap *heap, uint32_t owner)
{
    if (!vigil__heap_has(heap, owner))
        return;
    uint32_t at = heap->places[owner];
    heap->places[owner] = VIGIL__HEAP_NONE;
    struct vigil__heap_entry last = heap->entries[--heap->count];
    if (at == heap->count)
        return;
    if (at > 0 && entry_before(&last, &heap->entries[(at - 1) / HEAP_WIDTH]))
        heap_up(heap, at, last);
    else
        heap_down(heap, at, last);
}

bool vigil__heap_check(const struct vigil__heap *heap)
{
    for (uint32_t i = 0; i < heap->count; i++) {
        if (heap->places[heap->entries[i].owner] != i)
            return false;
        if (i > 0 && entry_before(&heap->entries[i], &heap->entries[(i - 1) / HEAP_WIDTH]))
            return false;
    }
    return true;
}

static void heap_up(struct vigil__heap *heap, uint32_t at, struct vigil__heap_entry entry)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / HEAP_WIDTH;
        if (!entry_before(&entry, &heap->entries[parent]))
            break;
        heap_put(heap, at, heap->entries[parent]);
        at = parent;
    }
    heap_put(heap, at, entry);
}

static void heap_down(struct vigil__heap *heap, uint32_t at, struct vigil__heap_entry entry)
{
    for (;;) {
        uint32_t child = at * HEAP_WIDTH + 1;
        if (child >= heap->count)
            break;
        uint32_t end = child + HEAP_WIDTH < heap->count ? child + HEAP_WIDTH : heap->count;
        uint32_t least = child;
        for (uint32_t i = child + 1; i < end; i++)
            if (entry_before(&heap->entries[i], &heap->entries[least]))
                least = i;
        if (!entry_before(&heap->entries[least], &entry))
            break;
        heap_put(heap, at, heap->entries[least]);
        at = least;
    }
    heap_put(heap, at, entry);
}

/* Room for one more entry, and for the place of `owner`. */
bool vigil__heap_reserve(struct vigil__heap *heap, uint32_t owner)
{
    if (heap->count == heap->room) {
        uint32_t room = heap->room == 0 ? 16 : heap->room * 2;
        struct vigil__heap_entry *entries = vigil__resize(
            heap->allocator, heap->entries, heap->room * sizeof(*entries), room * sizeof(*entries));
        if (entries == NULL)
            return false;
        heap->entries = entries;
        heap->room = room;
    }
    if (owner >= heap->places_room) {
        uint32_t room = heap->places_room == 0 ? 16 : heap->places_room;
        while (room <= owner)
            room *= 2;
        uint32_t *places = vigil__resize(heap->allocator, heap->places,
                                         heap->places_room * sizeof(*places),
                                         room * sizeof(*places));
        if (places == NULL)
            return false;
        memset(places + heap->places_room, 0xff, (room - heap->places_room) * sizeof(*places));
        heap->places = places;
        heap->places_room = room;
    }
    return true;
}
