/* SPDX-License-Identifier: MIT
 *
 * uring_bufs.c -- rings of provided buffers, in the model of io_uring(7).
 *
 * Each buffer is in one hand at a time: offering one that was not given back yet fails the world.
 */
#include "uring.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 32768, PAGE = 4096 };

enum { NEVER_SEEN, WITH_US, WITH_THEM }; /* in whose hands a buffer is */

static struct group *group_at(struct ring *ring, uint16_t number)
{
    return number < GROUPS_MAX && ring->groups[number].places != NULL ? &ring->groups[number]
                                                                      : NULL;
}

int group_register(struct ring *ring, const struct vigil__uring_buf_ring *asked)
{
    const struct world_kernel *kernel = ring->kernel;
    uint16_t known = kernel->incremental ? VIGIL__URING_BUF_RING_INCREMENTAL : 0;
    if (!kernel->ring_of_bufs || (asked->flags & ~known) != 0 || asked->addr == 0 ||
        asked->addr % PAGE != 0 || asked->entries == 0 || asked->entries > ENTRIES_MAX ||
        (asked->entries & (asked->entries - 1)) != 0 || asked->group >= GROUPS_MAX)
        return VIGIL_EINVAL;
    if (group_at(ring, asked->group) != NULL)
        return VIGIL_ETHREAD; /* EEXIST, and that is how the call answers it */
    if (world.host != NULL && vigil__sim_short_of_buffers(world.host) != 0)
        return VIGIL_ENOMEM;
    ring->groups[asked->group] = (struct group){
        .places = (struct vigil__uring_buf *)(uintptr_t)asked->addr,
        .entries = asked->entries,
        .incremental = (asked->flags & VIGIL__URING_BUF_RING_INCREMENTAL) != 0,
    };
    return 0;
}

int group_unregister(struct ring *ring, uint16_t number)
{
    struct group *group = group_at(ring, number);
    if (group == NULL)
        return VIGIL_ENOENT;
    free(group->hands);
    *group = (struct group){ 0 };
    return 0;
}

void groups_clear(struct ring *ring)
{
    for (uint16_t i = 0; i < GROUPS_MAX; i++)
        (void)group_unregister(ring, i); /* those that are there */
}

static struct vigil__uring_buf *place_at(const struct group *group, uint16_t i)
{
    return &group->places[i & (group->entries - 1)];
}

static void note_offered(struct ring *ring, struct group *group, uint16_t id)
{
    if (id >= group->ids_room) {
        uint32_t room = id + 64u;
        uint8_t *grown = realloc(group->hands, room);
        if (grown == NULL)
            return; /* that one is not looked after */
        memset(grown + group->ids_room, 0, room - group->ids_room);
        group->hands = grown;
        group->ids_room = room;
    }
    if (group->hands[id] == WITH_US)
        vigil__sim_fail(ring->sim, "each buffer is offered once",
                        "buffer %u was in the ring already", id);
    group->hands[id] = WITH_US;
}

/* How many are there.  What was offered since the last look is noted. */
static uint16_t group_count(struct ring *ring, struct group *group)
{
    const _Atomic uint16_t *shared =
        (const _Atomic uint16_t *)(const void *)&group->places[0].reserved;
    uint16_t tail = atomic_load_explicit(shared, memory_order_acquire);
    vigil__sim_oracle_count(ring->sim, "each buffer is offered once");
    if ((uint16_t)(tail - group->head) > group->entries)
        vigil__sim_fail(ring->sim, "each buffer is offered once", "more buffers than places");
    for (; group->seen != tail; group->seen++)
        note_offered(ring, group, place_at(group, group->seen)->id);
    return (uint16_t)(tail - group->head);
}

uint32_t groups_missing(struct ring *ring)
{
    uint32_t missing = 0;
    for (uint16_t i = 0; i < GROUPS_MAX; i++) {
        struct group *group = group_at(ring, i);
        if (group == NULL)
            continue;
        (void)group_count(ring, group); /* sees what was offered last */
        for (uint32_t id = 0; id < group->ids_room; id++)
            missing += group->hands[id] == WITH_THEM;
    }
    return missing;
}

bool group_peek(struct ring *ring, uint16_t number, vigil_iov *space)
{
    struct group *group = group_at(ring, number);
    if (group == NULL || group_count(ring, group) == 0)
        return false;
    const struct vigil__uring_buf *place = place_at(group, group->head);
    *space = (vigil_iov){ (void *)(uintptr_t)place->addr, place->len };
    return true;
}

uint32_t group_filled(struct ring *ring, uint16_t number, uint32_t n)
{
    struct group *group = group_at(ring, number);
    struct vigil__uring_buf *place = place_at(group, group->head);
    uint32_t flags = VIGIL__URING_CQE_BUFFER | (uint32_t)place->id << VIGIL__URING_CQE_BUFFER_SHIFT;
    if (group->incremental && n < place->len) {
        place->addr += n;
        place->len -= n;
        return flags | VIGIL__URING_CQE_BUF_MORE;
    }
    if (group->incremental)
        place->len = 0;
    if (place->id < group->ids_room)
        group->hands[place->id] = WITH_THEM;
    group->head++;
    return flags;
}
