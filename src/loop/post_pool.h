/* SPDX-License-Identifier: MIT
 *
 * post_pool.h -- where posted calls stand until they run.  Floor: loop.
 *
 * A post has a number, so that one word has room for it and for a count: both change in one step.
 * Posts come in blocks.  Who has a block writes one post after the other into it, without asking
 * anybody; when all have run, it is free again.  Blocks stay until the remote goes: a thread
 * that was slow may still look at one that is another's by now.
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
    VIGIL__POST_NUMBERS = 128, /* of a block: 3 KiB, and a hundred posts share what it costs */
    /* Blocks that are neither free nor full of what waits: one or two of each thread with a lane,
     * two of the loop, and one of each other thread that is just inside vigil_post(). */
    VIGIL__POST_SLACK = 124,
#endif
    VIGIL__POST_BLOCK = VIGIL__POST_NUMBERS - 1, /* posts in one: the number 0 is none */
    VIGIL__POST_BLOCKS = VIGIL__POSTS_MAX / VIGIL__POST_BLOCK + VIGIL__POST_SLACK,
};

struct vigil__post {
    vigil_post_fn *fn;
    void *arg;
    uint32_t next;   /* behind it in its list; 0: none */
    uint32_t number; /* its own; 0: none, the end of a block */
};

struct vigil__post_block {
    _Atomic uint32_t below; /* while it is in the pool: the block below */
    uint32_t used;          /* and how many of its posts are */
    uint32_t ran;           /* the loop's */
    struct vigil__post posts[VIGIL__POST_BLOCK + 1];
};

struct vigil__post_pool {
    const vigil_allocator *allocator; /* the process's: any thread may call it */
    _Atomic uint64_t top;             /* the block put last; above it, how many have been taken */
    _Atomic uint32_t blocks;
    struct vigil__post_block *block[VIGIL__POST_BLOCKS];
};

static inline struct vigil__post_block *vigil__post_block(const struct vigil__post_pool *pool,
                                                          uint32_t number)
{
    return pool->block[number / VIGIL__POST_NUMBERS];
}

static inline struct vigil__post *vigil__post_at(const struct vigil__post_pool *pool,
                                                 uint32_t number)
{
    return &vigil__post_block(pool, number)->posts[number % VIGIL__POST_NUMBERS - 1];
}

/* A block, the caller's: *next is the first of its posts that was not used.  Any thread.  0;
 * VIGIL_ENOMEM; VIGIL_EFULL: all that there may ever be are in other hands. */
int vigil__post_pool_get(struct vigil__post_pool *pool, struct vigil__post **next);
/* Gives one back that is not used up: `next` is the first that was not.  Any thread. */
void vigil__post_pool_put(struct vigil__post_pool *pool, const struct vigil__post *next);

/* Frees everything.  Nobody may be in there any more. */
void vigil__post_pool_clear(struct vigil__post_pool *pool);

#endif
