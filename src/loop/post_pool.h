/* SPDX-License-Identifier: MIT
 *
 * post_pool.h -- where posted calls stand until they run.  Floor: loop.
 *
 * A post has a number, so that one word has room for it and for a count: both change in one step.
 * Posts come in blocks.  Who has a block writes one post after the other into it, without asking
 * anybody; when all have run, it is free again.  Mostly each waits behind the one that lies in
 * front of it, so a block only says where that is not so: there a run of posts begins.  Blocks stay
 * until the remote goes: a thread that was slow may still look at one that is another's by now.
 * Nobody ever holds a lock, so no thread that is stopped, or lost in a fork, holds up another.
 */
#ifndef VIGIL_POST_POOL_H
#define VIGIL_POST_POOL_H

#include <stdatomic.h>

#include "base/base.h"

enum {
#ifdef VIGIL_UNDER_SCHEDULER /* tests/threads: a handful of posts meets every bound */
    VIGIL__POSTS_MAX = 6,
    VIGIL__POST_NUMBERS = 4,
    VIGIL__POST_SLACK = 16,
#else
    VIGIL__POSTS_MAX = 65536,  /* more waiting means that the loop does not keep up: say so */
    VIGIL__POST_NUMBERS = 256, /* of a block: 5 KiB, and 255 posts share what it costs */
    /* Blocks that are neither free nor full of what waits: one or two of each thread with a lane,
     * two of the loop, and one of each other thread that is just inside vigil_post(). */
    VIGIL__POST_SLACK = 124,
#endif
    VIGIL__POST_BLOCK = VIGIL__POST_NUMBERS - 1, /* posts in one: the lowest number is no post's */
    VIGIL__POST_BLOCKS = VIGIL__POSTS_MAX / VIGIL__POST_BLOCK + VIGIL__POST_SLACK,
    VIGIL__POST_MORE = 1 << 20, /* above every number: the unit of a count beside one */
    VIGIL__POST_WORDS = (VIGIL__POST_NUMBERS + 63) / 64,
};

_Static_assert((VIGIL__POST_BLOCKS + 1) * VIGIL__POST_NUMBERS <= VIGIL__POST_MORE &&
                   VIGIL__POST_NUMBERS <= UINT32_MAX / VIGIL__POST_MORE,
               "a number and a count share a word");

struct vigil__post {
    vigil_post_fn *fn;
    void *arg;
};

struct vigil__post_block {
    _Atomic uint32_t below; /* while it is in the pool: the block below */
    uint32_t used;          /* and the number of its first post that was not used */
    uint32_t ran;           /* the loop's */
    /* A bit for each post with which a run may begin: one that may wait behind another than the one
     * that lies in front of it.  And for those, behind which; 0: none. */
    _Atomic uint64_t begins[VIGIL__POST_WORDS];
    uint32_t behind[VIGIL__POST_NUMBERS]; /* the loop: see posts_turned() */
    struct vigil__post posts[VIGIL__POST_NUMBERS];
};

struct vigil__post_pool {
    const vigil_allocator *allocator; /* the process's: any thread may call it */
    _Atomic uint64_t top;             /* the block put last; above it, how many have been taken */
    _Atomic uint32_t blocks;
    /* The first is no block, so no number is 0, nor one above it. */
    struct vigil__post_block *block[VIGIL__POST_BLOCKS + 1];
};

/* Whether a post has that number: the one above a block's last has none. */
static inline bool vigil__post_is(uint32_t number)
{
    return number % VIGIL__POST_NUMBERS != 0;
}

static inline struct vigil__post_block *vigil__post_block(const struct vigil__post_pool *pool,
                                                          uint32_t number)
{
    return pool->block[number / VIGIL__POST_NUMBERS];
}

static inline struct vigil__post *vigil__post_at(const struct vigil__post_pool *pool,
                                                 uint32_t number)
{
    return &vigil__post_block(pool, number)->posts[number % VIGIL__POST_NUMBERS];
}

static inline uint32_t *vigil__post_behind(const struct vigil__post_pool *pool, uint32_t number)
{
    return &vigil__post_block(pool, number)->behind[number % VIGIL__POST_NUMBERS];
}

/* Says behind which one a post waits: a run begins with it.  Only who has the block says so. */
static inline void vigil__post_begins(const struct vigil__post_pool *pool, uint32_t number,
                                      uint32_t newest)
{
    struct vigil__post_block *block = vigil__post_block(pool, number);
    uint32_t at = number % VIGIL__POST_NUMBERS;
    uint64_t bits = atomic_load_explicit(&block->begins[at / 64], memory_order_relaxed);
    atomic_store_explicit(&block->begins[at / 64], bits | (uint64_t)1 << at % 64,
                          memory_order_relaxed);
    block->behind[at] = newest;
}

/* The first of the run that ends with that one. */
static inline uint32_t vigil__post_first(const struct vigil__post_pool *pool, uint32_t number)
{
    struct vigil__post_block *block = vigil__post_block(pool, number);
    uint32_t at = number % VIGIL__POST_NUMBERS, word = at / 64;
    uint64_t bits = atomic_load_explicit(&block->begins[word], memory_order_relaxed);
    bits &= UINT64_MAX >> (63 - at % 64);
    while (bits == 0)
        bits = atomic_load_explicit(&block->begins[--word], memory_order_relaxed);
    return number - at + word * 64 + 63 - (uint32_t)__builtin_clzll(bits);
}

/* A block, the caller's: *next is the first of its posts that was not used.  Any thread.  0;
 * VIGIL_ENOMEM; VIGIL_EFULL: all that there may ever be are in other hands. */
int vigil__post_pool_get(struct vigil__post_pool *pool, uint32_t *next);
/* Gives one back that is not used up: `next` is the first that was not.  Any thread. */
void vigil__post_pool_put(struct vigil__post_pool *pool, uint32_t next);

/* Frees everything.  Nobody may be in there any more. */
void vigil__post_pool_clear(struct vigil__post_pool *pool);

#endif
