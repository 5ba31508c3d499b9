/* SPDX-License-Identifier: MIT
 *
 * tournament.c -- timers by what is due when: a tournament tree, lazily kept.  Floor: base.
 */
#include "base/tournament.h"

#include <string.h>

enum {
    WIDTH = VIGIL__TOURNAMENT_WIDTH,
    FEW = 24,       /* so few are sorted by insertion, and more by their keys' digits, of */
    DIGIT_BITS = 6, /* measured: 5 to 8 are the same within a tenth, and this takes least stack */
    DIGITS = 1 << DIGIT_BITS
};

static void tournament_settle(struct vigil__tournament *t);
static vigil_ns node_collect(struct vigil__tournament *t, uint32_t level, uint32_t node,
                             vigil_ns now);
static void run_sort(const struct vigil__tournament *t, struct vigil__due *run, uint32_t count,
                     vigil_ns first, uint32_t bits);

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
    uint32_t node = index / WIDTH;
    for (uint32_t level = 0; due < *node_bound(t, level, node); level++) {
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
    vigil_ns first = *t->last;
    (void)node_collect(t, t->top, 0, now); /* the last bound says it, too */
    t->settled = false;                    /* bounds above `now` were not looked below */
    uint32_t bits = 0;
    while ((now - first) >> bits != 0)
        bits++;
    run_sort(t, t->run, t->run_count, first, bits);
    return t->run_count;
}

bool vigil__tournament_check(const struct vigil__tournament *t)
{
    vigil_ns first = VIGIL_FOREVER;
    for (uint32_t i = 0; i < t->used; i++) {
        vigil_ns due = t->timers[i].due;
        first = due < first ? due : first;
        for (uint32_t level = 0, node = i / WIDTH; level <= t->top; level++, node /= WIDTH)
            if (*node_bound(t, level, node) > due)
                return false;
    }
    return t->count == 0 || !t->settled || *t->last == first;
}

/* ---- looking: every bound that is passed becomes the truth ---- */

/* The least of what a node's children say. */
static vigil_ns node_least(const struct vigil__tournament *t, uint32_t level, uint32_t node)
{
    vigil_ns least = VIGIL_FOREVER;
    if (level == 0) {
        const struct vigil__timer *timers = &t->timers[node * WIDTH];
        for (uint32_t i = 0; i < WIDTH; i++)
            least = timers[i].due < least ? timers[i].due : least;
        return least;
    }
    const vigil_ns *bounds = node_bound(t, level - 1, node * WIDTH);
    for (uint32_t i = 0; i < WIDTH; i++)
        least = bounds[i] < least ? bounds[i] : least;
    return least;
}

/* Goes down to a timer that is due when the last bound says, and up again where there is none. */
static void tournament_settle(struct vigil__tournament *t)
{
    uint32_t level = t->top, node = 0;
    for (;;) {
        vigil_ns *bound = node_bound(t, level, node);
        vigil_ns least = node_least(t, level, node);
        if (least != *bound && level < t->top) { /* too low: those above may be, too */
            *bound = least;
            level++;
            node /= WIDTH;
            continue;
        }
        *bound = least;
        if (level == 0)
            return;
        level--;
        node *= WIDTH;
        while (*node_bound(t, level, node) != least)
            node++;
    }
}

/* Moves what is due below the node to the run, and answers the bound of what is left. */
static vigil_ns node_collect(struct vigil__tournament *t, uint32_t level, uint32_t node,
                             vigil_ns now)
{
    vigil_ns first = VIGIL_FOREVER;
    for (uint32_t child = node * WIDTH; child < (node + 1) * WIDTH; child++) {
        vigil_ns due = level == 0 ? t->timers[child].due : *node_bound(t, level - 1, child);
        if (due <= now && level == 0) {
            t->run[t->run_count++].index = child;
            continue;
        }
        if (due <= now)
            due = node_collect(t, level - 1, child, now);
        first = due < first ? due : first;
    }
    return *node_bound(t, level, node) = first;
}

/* ---- sorting ---- */

static void insertion_sort(struct vigil__due *run, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct vigil__due due = run[i];
        uint32_t at = i;
        for (; at > 0 && due.key < run[at - 1].key; at--)
            run[at] = run[at - 1];
        run[at] = due;
    }
}

static uint32_t key_digit(uint32_t key, uint32_t shift)
{
    return key >> shift & (DIGITS - 1);
}

/* By the key's digit at `shift`, in place; then what has it in common by the digits below. */
static void radix_sort(struct vigil__due *run, uint32_t count, uint32_t shift)
{
    if (count <= FEW) {
        insertion_sort(run, count);
        return;
    }
    uint32_t at[DIGITS] = { 0 }, end[DIGITS]; /* of each digit's part: what is not there yet */
    for (uint32_t i = 0; i < count; i++)
        at[key_digit(run[i].key, shift)]++;
    for (uint32_t digit = 0, sum = 0; digit < DIGITS; digit++) {
        end[digit] = sum + at[digit];
        at[digit] = sum;
        sum = end[digit];
    }
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        while (at[digit] < end[digit]) {
            struct vigil__due due = run[at[digit]];
            uint32_t its;
            while ((its = key_digit(due.key, shift)) != digit) {
                struct vigil__due other = run[at[its]];
                run[at[its]++] = due;
                due = other;
            }
            run[at[digit]++] = due;
        }
    }
    if (shift == 0)
        return;
    uint32_t below = shift > DIGIT_BITS ? shift - DIGIT_BITS : 0;
    for (uint32_t digit = 0, begin = 0; digit < DIGITS; begin = end[digit++])
        radix_sort(run + begin, end[digit] - begin, below);
}

/* Sorts what is due within 2 to the power of `bits` from `first`: by the upper 32 of these bits,
 * what has them in common by those below, and what is due at the same time by its sequence. */
static void run_sort(const struct vigil__tournament *t, struct vigil__due *run, uint32_t count,
                     vigil_ns first, uint32_t bits)
{
    if (count < 2)
        return;
    uint32_t below = bits > 32 ? bits - 32 : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct vigil__timer *timer = &t->timers[run[i].index];
        run[i].key = bits == 0 ? timer->sequence - t->sequence /* the next is above all of them */
                               : (uint32_t)((timer->due - first) >> below);
    }
    uint32_t key_bits = bits == 0 ? 32 : bits - below;
    radix_sort(run, count, key_bits > DIGIT_BITS ? key_bits - DIGIT_BITS : 0);
    if (bits == 0)
        return;
    for (uint32_t begin = 0, end = 0; begin < count; begin = end) {
        while (end < count && run[end].key == run[begin].key)
            end++;
        run_sort(t, run + begin, end - begin, first + ((vigil_ns)run[begin].key << below), below);
    }
}

/* ---- memory ---- */

/* How many bounds there are above so many timers, every node having all of its children.  Tells
 * where each level begins. */
static uint32_t bounds_lay_out(uint32_t room, uint32_t *level_at, uint32_t *top)
{
    uint32_t total = 0;
    uint32_t nodes = room / WIDTH;
    for (uint32_t level = 0; nodes > 1; level++) {
        level_at[level] = total;
        *top = level + 1;
        nodes = (nodes + WIDTH - 1) / WIDTH;
        total += nodes * WIDTH;
    }
    if (total == 0)
        *top = 0;
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
static bool tournament_resize(struct vigil__tournament *t)
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
