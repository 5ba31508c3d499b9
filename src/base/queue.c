/* SPDX-License-Identifier: MIT
 *
 * queue.c -- numbers of slots that wait, in several queues, first come first served.  Floor: base.
 */
#include "base/queue.h"

enum { QUEUE_ROOM_MIN = 64 };

static size_t block_size(const struct vigil__queues *queues)
{
    return (size_t)queues->count * queues->room * sizeof(*queues->slots);
}

bool vigil__queues_reserve(struct vigil__queues *queues, const vigil_allocator *allocator,
                           uint32_t slots)
{
    if (VIGIL_LIKELY(slots <= queues->room))
        return true;
    struct vigil__queues grown = *queues;
    grown.room = queues->room == 0 ? QUEUE_ROOM_MIN : queues->room;
    while (grown.room < slots)
        grown.room *= 2;
    grown.slots = vigil__alloc(allocator, block_size(&grown));
    if (grown.slots == NULL)
        return false;
    for (unsigned queue = 0; queue < queues->count; queue++)
        for (uint32_t i = queues->of[queue].popped; i != queues->of[queue].pushed; i++)
            *vigil__queue_place(&grown, queue, i) = *vigil__queue_place(queues, queue, i);
    vigil__queues_clear(queues, allocator);
    *queues = grown;
    return true;
}

void vigil__queues_clear(struct vigil__queues *queues, const vigil_allocator *allocator)
{
    vigil__free(allocator, queues->slots, block_size(queues));
    *queues = (struct vigil__queues){ .count = queues->count };
}
