/* SPDX-License-Identifier: MIT
 *
 * tournament.c -- timers by what is due when: a tournament tree, lazily kept.  Floor: base.
 */
#include "base/tournament.h"

#include <string.h>

enum {
    WIDTH = VIGIL__TOURNAMENT_WIDTH,
    MANY = 256,   /* from so many on it is faster to go to another array and back, by digits of */
    WIDE_BITS = 9 /* measured: 10 ns for one of a million; 8 take 23, 11 take 17, in place 35 */
};

/* Times from `first` to `last`, told apart by the upper 32 of so many bits. */
struct span {
    vigil_ns first, last;
    uint32_t bits, below; /* those that differ at all; and of these the ones that a key lacks */
};

static void tournament_settle(struct vigil__tournament *t);
static vigil_ns node_collect(struct vigil__tournament *t, const struct span *span, uint32_t level,
                             uint32_t node);
static struct span span_of(vigil_ns first, vigil_ns last);
static void run_sort_all(const struct vigil__tournament *t, const struct span *span);

static vigil_ns *node_bound(const struct vigil__tournament *t, uint32_t level, uint32_t node)
{
    return &t->bounds[t->level_at[level] + node];
}

void vigil__tournament_init(struct vigil__tournament *t, const vigil_allocator *allocator)
{
    *t = (struct vigil__tournament){ .allocator = allocator,
                                     .free_head = UINT32_MAX,
                                     .generation = 1 };
}

void vigil__tournament_lower(struct vigil__tournament *t, uint32_t index, vigil_ns due)
{
    uint32_t node = index / (WIDTH * WIDTH);
    for (uint32_t level = 1; due < *node_bound(t, level, node); level++) {
        *node_bound(t, level, node) = due;
        if (level == t->top) {
            t->settled = true;
            return;
        }
        node /= WIDTH;
    }
}

vigil_ns vigil__tournament_first(struct vigil__tournament *t)
{
    if (!t->settled)
        tournament_settle(t);
    t->settled = true;
    return *t->last;
}

uint32_t vigil__tournament_collect(struct vigil__tournament *t, vigil_ns now)
{
    t->run_count = 0;
    if (now == VIGIL_FOREVER)
        now--; /* what is due then never is */
    if (t->count == 0 || *t->last > now)
        return 0;
    struct span span = span_of(*t->last, now);
    (void)node_collect(t, &span, t->top, 0); /* the last bound says it, too */
    t->settled = false;                      /* bounds above `now` were not looked below */
    if (t->run_count > 1)
        run_sort_all(t, &span);
    return t->run_count;
}

/* ---- looking: every bound that is passed becomes the truth ---- */

/* When each child of a node is due, or what is below it; `space` is for those that lie apart. */
static const vigil_ns *node_children(const struct vigil__tournament *t, uint32_t level,
                                     uint32_t node, vigil_ns space[WIDTH])
{
    if (level > 0)
        return node_bound(t, level - 1, node * WIDTH);
    const struct vigil__timer *timers = &t->timers[node * WIDTH];
    for (int i = 0; i < WIDTH; i++)
        space[i] = timers[i].due;
    return space;
}

/* Which child is the first, without a branch on that: nobody could foretell it. */
static uint32_t children_first(const vigil_ns due[WIDTH])
{
    vigil_ns least = due[0];
    uint32_t those = 0; /* bit per child */
    for (int i = 1; i < WIDTH; i++)
        least = due[i] < least ? due[i] : least;
    for (int i = 0; i < WIDTH; i++)
        those |= (uint32_t)(due[i] == least) << i;
    return (uint32_t)__builtin_ctz(those);
}

/* Goes down to a timer that is due when the last bound says, and up again where there is none. */
static void tournament_settle(struct vigil__tournament *t)
{
    uint32_t level = t->top, node = 0;
    for (;;) {
        vigil_ns space[WIDTH], *bound = node_bound(t, level, node);
        const vigil_ns *due = node_children(t, level, node, space);
        uint32_t first = children_first(due);
        bool too_low = due[first] != *bound; /* those above may be, too */
        *bound = due[first];
        if (too_low && level < t->top) {
            level++;
            node /= WIDTH;
            continue;
        }
        if (level == 0)
            return;
        level--;
        node = node * WIDTH + first;
    }
}

/* What a time within the span is sorted by. */
static uint32_t span_key(const struct span *span, vigil_ns due)
{
    return (uint32_t)((due - span->first) >> span->below);
}

/* Moves what is due below the node to the run, and answers the bound of what is left. */
static vigil_ns node_collect(struct vigil__tournament *t, const struct span *span, uint32_t level,
                             uint32_t node)
{
    vigil_ns space[WIDTH], first = VIGIL_FOREVER;
    const vigil_ns *due = node_children(t, level, node, space);
    uint32_t those = 0; /* bit per child that is due, or below which something is */
    for (int i = 0; i < WIDTH; i++) {
        vigil_ns later = due[i] > span->last ? due[i] : VIGIL_FOREVER;
        first = later < first ? later : first;
        those |= (uint32_t)(due[i] <= span->last) << i;
    }
    for (; those != 0; those &= those - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(those), child = node * WIDTH + i;
        if (level == 0) {
            t->run[t->run_count++] = (struct vigil__due){ span_key(span, due[i]), child };
            continue;
        }
        vigil_ns left = node_collect(t, span, level - 1, child);
        first = left < first ? left : first;
    }
    return *node_bound(t, level, node) = first;
}

/* ---- sorting ---- */

/* In place, however many: by insertion, first among those far apart, at last among all. */
static void sort_in_place(struct vigil__due *run, uint32_t count)
{
    uint32_t gap = 1;
    while (gap < count / 9)
        gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3) {
        for (uint32_t i = gap; i < count; i++) {
            struct vigil__due due = run[i];
            uint32_t at = i;
            for (; at >= gap && due.key < run[at - gap].key; at -= gap)
                run[at] = run[at - gap];
            run[at] = due;
        }
    }
}

/* By all digits of so many bits, the last one first, over to the other array and back. */
static void sort_across(struct vigil__due *run, struct vigil__due *other, uint32_t count,
                        uint32_t bits)
{
    uint32_t passes = (bits + WIDE_BITS - 1) / WIDE_BITS;
    uint32_t width = (bits + passes - 1) / passes;
    uint32_t mask = (1U << width) - 1;
    struct vigil__due *from = run, *to = other;
    for (uint32_t shift = 0; shift < bits; shift += width) {
        uint32_t at[1 << WIDE_BITS] = { 0 };
        for (uint32_t i = 0; i < count; i++)
            at[from[i].key >> shift & mask]++;
        for (uint32_t digit = 0, sum = 0; digit <= mask; digit++) {
            uint32_t of_digit = at[digit];
            at[digit] = sum;
            sum += of_digit;
        }
        for (uint32_t i = 0; i < count; i++)
            to[at[from[i].key >> shift & mask]++] = from[i];
        struct vigil__due *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != run)
        memcpy(run, from, count * sizeof(*run));
}

static struct span span_of(vigil_ns first, vigil_ns last)
{
    uint64_t span = (uint64_t)(last - first);
    uint32_t bits = span == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(span);
    return (struct span){ first, last, bits, bits > 32 ? bits - 32 : 0 };
}

/* Sorts what has keys of the span: by these, what has the same by the bits that they lack, and what
 * is due at the same time by its sequence. */
static void run_sort(const struct vigil__tournament *t, const struct span *span,
                     struct vigil__due *run, struct vigil__due *other, uint32_t count)
{
    bool equal = span->bits == 0;
    for (uint32_t i = 0; i < count && equal; i++) /* the next sequence is above all of them */
        run[i].key = t->timers[run[i].index].sequence - t->sequence;
    uint32_t bits = equal ? 32 : span->bits - span->below;
    if (count >= MANY && other != NULL)
        sort_across(run, other, count, bits);
    else
        sort_in_place(run, count);
    if (equal)
        return;
    for (uint32_t begin = 0, end = 0; begin < count; begin = end) {
        uint32_t key = run[begin].key;
        while (end < count && run[end].key == key)
            end++;
        if (end - begin < 2)
            continue;
        vigil_ns first = span->first + ((vigil_ns)key << span->below);
        struct span same = span_of(first, first + ((vigil_ns)1 << span->below) - 1);
        for (uint32_t i = begin; i < end; i++)
            run[i].key = span_key(&same, t->timers[run[i].index].due);
        run_sort(t, &same, run + begin, other, end - begin);
    }
}

/* Behind the run there mostly is room for as many more; else there may be memory; else without. */
static void run_sort_all(const struct vigil__tournament *t, const struct span *span)
{
    struct vigil__due *other = t->run + t->run_count, *taken = NULL;
    if (t->run_count >= MANY && t->run_count > t->room - t->run_count)
        other = taken = vigil__alloc(t->allocator, t->run_count * sizeof(*taken));
    run_sort(t, span, t->run, other, t->run_count);
    vigil__free(t->allocator, taken, t->run_count * sizeof(*taken));
}

/* ---- memory ---- */

/* How many bounds there are above so many timers, every node having all of its children.  Tells
 * where each level begins. */
static VIGIL_COLD uint32_t bounds_lay_out(uint32_t room, uint32_t *level_at, uint32_t *top)
{
    uint32_t total = 0, nodes = room / WIDTH;
    *top = 0;
    do {
        level_at[(*top)++] = total;
        nodes = (nodes + WIDTH - 1) / WIDTH;
        total += nodes * WIDTH;
    } while (nodes > 1);
    level_at[*top] = total;
    return total + nodes;
}

static size_t block_size(uint32_t room, uint32_t bounds)
{
    return room * (sizeof(struct vigil__timer) + sizeof(struct vigil__due)) +
           bounds * sizeof(vigil_ns);
}

void vigil__tournament_clear(struct vigil__tournament *t)
{
    uint32_t bounds = bounds_lay_out(t->room, t->level_at, &t->top);
    vigil__free(t->allocator, t->timers, block_size(t->room, bounds));
    vigil__tournament_init(t, t->allocator);
}

void vigil__tournament_trim(struct vigil__tournament *t)
{
    VIGIL_ASSERT(t->count == 0);
    uint32_t generation = t->generation, sequence = t->sequence;
    vigil__tournament_clear(t);
    t->generation = generation;
    t->sequence = sequence;
}

/* Takes over what the bounds were, to their new place.  What was all is the first of its level now,
 * and what is above says the same. */
static void bounds_move(struct vigil__tournament *t, const struct vigil__tournament *old,
                        const vigil_ns *bounds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        t->bounds[i] = VIGIL_FOREVER;
    t->above = node_bound(t, 1, 0);
    t->last = node_bound(t, t->top, 0);
    if (old->room == 0)
        return;
    for (uint32_t level = 0; level < old->top; level++)
        memcpy(node_bound(t, level, 0), bounds + old->level_at[level],
               (old->level_at[level + 1] - old->level_at[level]) * sizeof(*bounds));
    for (uint32_t level = old->top; level <= t->top; level++)
        *node_bound(t, level, 0) = bounds[old->level_at[old->top]];
}

/* Twice the room: the timers stay at the start of the block, what follows moves to its end. */
static VIGIL_COLD bool tournament_resize(struct vigil__tournament *t)
{
    struct vigil__tournament old = *t;
    if (old.room > UINT32_MAX / 2)
        return false;
    uint32_t old_count = bounds_lay_out(old.room, old.level_at, &old.top);
    t->room = old.room == 0 ? WIDTH : old.room * 2;
    uint32_t count = bounds_lay_out(t->room, t->level_at, &t->top);
    char *block = vigil__resize(t->allocator, old.timers, block_size(old.room, old_count),
                                block_size(t->room, count));
    if (block == NULL) {
        *t = old;
        return false;
    }
    t->timers = (struct vigil__timer *)(void *)block;
    t->bounds = (vigil_ns *)(t->timers + t->room);
    t->run = (struct vigil__due *)(t->bounds + count);
    const vigil_ns *old_bounds = (vigil_ns *)(t->timers + old.room);
    if (t->run_count > 0) /* it is being walked */
        memmove(t->run, old_bounds + old_count, t->run_count * sizeof(*t->run));
    bounds_move(t, &old, old_bounds, count);
    return true;
}

bool vigil__tournament_grow(struct vigil__tournament *t)
{
    if (t->used == t->room && !tournament_resize(t))
        return false;
    for (uint32_t i = WIDTH; i-- > 0;) {
        t->timers[t->used + i] = (struct vigil__timer){ .due = VIGIL_FOREVER,
                                                        .sequence = t->free_head };
        t->free_head = t->used + i;
    }
    t->used += WIDTH;
    return true;
}
