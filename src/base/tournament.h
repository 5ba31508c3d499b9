/* SPDX-License-Identifier: MIT
 *
 * tournament.h -- timers by what is due when: a tournament tree, lazily kept.  Floor: base.
 *
 * Timers stand in one array, each in the same place for life.  Above it stand the bounds of eight
 * neighbours each, of eight of these each, and so on up to one: nothing below a bound is due
 * earlier, though what it was taken from may since have ended or moved to later.  So ending a timer
 * writes to the timer alone, moving it to the nearest bound as well, and seldom climbs.  Bounds are
 * raised to the truth when somebody asks what is first: that costs no more than the ends and moves
 * since then have saved, whatever their pattern.
 *
 * The tree knows no clock; it is told the time.  Equal times come out in the order of setting.
 */
#ifndef VIGIL_TOURNAMENT_H
#define VIGIL_TOURNAMENT_H

#include "base/base.h"

enum {
    VIGIL__TOURNAMENT_WIDTH = 8,   /* children of a node; their bounds are a line of the cache */
    VIGIL__TOURNAMENT_LEVELS = 11, /* that many to this power are more than there are indexes */
};

struct vigil__timer {
    vigil_ns due;        /* VIGIL_FOREVER while free */
    uint32_t sequence;   /* of its setting; while free: the next free one */
    uint32_t generation; /* 0 while free */
    vigil_timer_fn *fn;
    void *arg;
};

/* One that is due, and what it is sorted by. */
struct vigil__due {
    uint32_t key, index;
};

struct vigil__tournament {
    const vigil_allocator *allocator;
    struct vigil__timer *timers; /* `room` of them begin the one block; bounds and run follow */
    vigil_ns *bounds;            /* level by level; there are two at least */
    vigil_ns *above;             /* of them: the second level */
    vigil_ns *last;              /* of them: that of all */
    uint32_t count, used, room;  /* taken; taken or free; that there is memory for */
    uint32_t free_head;          /* UINT32_MAX: none */
    uint32_t generation;         /* the next one taken gets it: all odd numbers in turn */
    uint32_t sequence;           /* the next one set gets it; it may wrap */
    bool settled;                /* the last bound is the truth */
    uint32_t top;                /* its level */
    uint32_t level_at[VIGIL__TOURNAMENT_LEVELS]; /* in bounds */
    struct vigil__due *run;                      /* what is due, in order */
    uint32_t run_count;
};

void vigil__tournament_init(struct vigil__tournament *t, const vigil_allocator *allocator);
void vigil__tournament_clear(struct vigil__tournament *t);

/* Gives the memory back when no timer is taken.  Old handles stay stale. */
void vigil__tournament_trim(struct vigil__tournament *t);

/* Room for one more that is free.  False: out of memory. */
bool vigil__tournament_grow(struct vigil__tournament *t);

/* Lowers the bounds above a timer, but for the nearest, which say that it is due later. */
void vigil__tournament_lower(struct vigil__tournament *t, uint32_t index, vigil_ns due);

/* When the first is due, those in the run not counted.  Some are taken. */
vigil_ns vigil__tournament_first(struct vigil__tournament *t);

/* The same, or VIGIL_FOREVER when none is. */
static inline vigil_ns vigil__tournament_due(struct vigil__tournament *t)
{
    return t->count == 0 ? VIGIL_FOREVER : vigil__tournament_first(t);
}

/* Moves those due by `now` from the tree into the run, in order, and answers how many.  Each is to
 * be given back or set anew before the next collect. */
uint32_t vigil__tournament_collect(struct vigil__tournament *t, vigil_ns now);

/* Fetches what the next take or a find of that handle will look at into the cache meanwhile: a read
 * of the clock waits for what is being loaded, but not for this. */
static inline void vigil__tournament_prefetch_next(const struct vigil__tournament *t)
{
    if (VIGIL_LIKELY(t->free_head != UINT32_MAX))
        __builtin_prefetch(&t->timers[t->free_head], 1);
}

static inline void vigil__tournament_prefetch(const struct vigil__tournament *t, uint64_t handle)
{
    if (VIGIL_LIKELY((uint32_t)handle < t->used))
        __builtin_prefetch(&t->timers[(uint32_t)handle], 1);
}

/* A new timer, due at no time, whose `fn` and `arg` are the caller's to set; NULL: out of memory.
 * Taking another one may move them all. */
static inline struct vigil__timer *vigil__tournament_take(struct vigil__tournament *t)
{
    if (VIGIL_UNLIKELY(t->free_head == UINT32_MAX) && !vigil__tournament_grow(t))
        return NULL;
    struct vigil__timer *timer = &t->timers[t->free_head];
    t->free_head = timer->sequence;
    timer->generation = t->generation;
    t->generation += 2;
    t->count++;
    return timer;
}

/* It has ended. */
static inline void vigil__tournament_give(struct vigil__tournament *t, struct vigil__timer *timer)
{
    VIGIL_ASSERT(timer->generation != 0);
    if (timer->due == *t->last)
        t->settled = false;
    timer->due = VIGIL_FOREVER;
    timer->generation = 0;
    timer->sequence = t->free_head;
    t->free_head = (uint32_t)(timer - t->timers);
    t->count--;
}

/* It is due then, the newest among equals.  Takes no memory. */
static inline void vigil__tournament_set(struct vigil__tournament *t, struct vigil__timer *timer,
                                         vigil_ns due)
{
    uint32_t index = (uint32_t)(timer - t->timers);
    if (timer->due == *t->last)
        t->settled = false;
    timer->due = due;
    timer->sequence = t->sequence++;
    /* Whether the nearest bound is lowered nobody can foretell, so it is written in any case; the
     * next seldom is, and if not that one, none is above it. */
    vigil_ns *bound = &t->bounds[index / VIGIL__TOURNAMENT_WIDTH];
    *bound = due < *bound ? due : *bound;
    if (due < t->above[index / (VIGIL__TOURNAMENT_WIDTH * VIGIL__TOURNAMENT_WIDTH)])
        vigil__tournament_lower(t, index, due);
}

/* A handle: generation above, index below.  0 is no handle, since a taken generation is odd. */
static inline uint64_t vigil__tournament_handle(const struct vigil__tournament *t,
                                                const struct vigil__timer *timer)
{
    return (uint64_t)timer->generation << 32 | (uint32_t)(timer - t->timers);
}

/* What a handle names, or NULL when that is gone. */
static inline struct vigil__timer *vigil__tournament_find(const struct vigil__tournament *t,
                                                          uint64_t handle)
{
    uint32_t index = (uint32_t)handle;
    uint32_t generation = (uint32_t)(handle >> 32);
    if (VIGIL_UNLIKELY(index >= t->used || generation == 0))
        return NULL;
    struct vigil__timer *timer = &t->timers[index];
    return VIGIL_LIKELY(timer->generation == generation) ? timer : NULL;
}

#endif
