/* SPDX-License-Identifier: MIT
 *
 * heap.h -- what is due when: a 4-ary heap in one array.  Floor: base.
 *
 * The heap knows no clock; it is told the time.  An entry names its owner by a number, and
 * tells the owner its place through an array of places indexed by that number, so that moving and
 * removing need no search.  Equal times come out in the order in which they went in.
 */
#ifndef VIGIL_HEAP_H
#define VIGIL_HEAP_H

#include "base/base.h"

#define VIGIL__HEAP_NONE UINT32_MAX

struct vigil__heap_entry {
    vigil_ns due;
    uint32_t sequence; /* compared as a difference, so it may wrap */
    uint32_t owner;
};

struct vigil__heap {
    const vigil_allocator *allocator;
    struct vigil__heap_entry *entries;
    uint32_t *places; /* owner -> index in entries, or VIGIL__HEAP_NONE */
    uint32_t count, room, places_room;
    uint32_t sequence; /* the next entry gets it */
};

void vigil__heap_init(struct vigil__heap *heap, const vigil_allocator *allocator);
void vigil__heap_clear(struct vigil__heap *heap);

/* Puts `owner` at `due`, or moves it there (it then counts as new among equals).  False: out of
 * memory, which a move never is. */
bool vigil__heap_set(struct vigil__heap *heap, uint32_t owner, vigil_ns due);

/* Sees to it that setting `owner` cannot fail.  False: out of memory. */
bool vigil__heap_reserve(struct vigil__heap *heap, uint32_t owner);

/* Takes `owner` out; nothing happens if it is not in. */
void vigil__heap_remove(struct vigil__heap *heap, uint32_t owner);

static inline bool vigil__heap_has(const struct vigil__heap *heap, uint32_t owner)
{
    return owner < heap->places_room && heap->places[owner] != VIGIL__HEAP_NONE;
}

/* When the first is due, or VIGIL_FOREVER. */
static inline vigil_ns vigil__heap_due(const struct vigil__heap *heap)
{
    return heap->count == 0 ? VIGIL_FOREVER : heap->entries[0].due;
}

/* Whether `owner` is in and every entry and place agree; for tests. */
bool vigil__heap_check(const struct vigil__heap *heap);

#endif
