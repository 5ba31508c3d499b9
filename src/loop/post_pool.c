/* SPDX-License-Identifier: MIT
 *
 * post_pool.c -- blocks of posts, put and taken by any thread.  Floor: loop.
 *
 * They are a stack.  Who takes the top one has looked at what is below it, which is only right if
 * that block was the top one all the time; so the top says also how many were taken before, and a
 * block that was taken and put back meanwhile is told from itself.
 */
#include "loop/post_pool.h"

/* The low half of the top is 0 for no block. */
static const uint64_t one_taken = (uint64_t)1 << 32;
static const uint64_t taken_mask = ~(uint64_t)UINT32_MAX;

static int pool_grow(struct vigil__post_pool *pool, uint32_t *next);

int vigil__post_pool_get(struct vigil__post_pool *pool, uint32_t *next)
{
    /* Acquired: where the block is, and how much of it is used, is from who put it there. */
    uint64_t top = atomic_load_explicit(&pool->top, memory_order_acquire);
    while ((uint32_t)top != 0) {
        struct vigil__post_block *block = pool->block[(uint32_t)top];
        uint32_t below = atomic_load_explicit(&block->below, memory_order_relaxed);
        uint64_t rest = ((top & taken_mask) + one_taken) | below;
        if (atomic_compare_exchange_weak_explicit(&pool->top, &top, rest, memory_order_acquire,
                                                  memory_order_acquire)) {
            *next = block->used;
            return 0;
        }
    }
    return pool_grow(pool, next);
}

void vigil__post_pool_put(struct vigil__post_pool *pool, uint32_t next)
{
    struct vigil__post_block *block = vigil__post_block(pool, next);
    uint32_t which = next / VIGIL__POST_NUMBERS;
    uint64_t top = atomic_load_explicit(&pool->top, memory_order_relaxed), with;
    block->used = next;
    do {
        atomic_store_explicit(&block->below, (uint32_t)top, memory_order_relaxed);
        with = (top & taken_mask) | which;
    } while (!atomic_compare_exchange_weak_explicit(&pool->top, &top, with, memory_order_release,
                                                    memory_order_relaxed));
}

static int pool_grow(struct vigil__post_pool *pool, uint32_t *next)
{
    if (atomic_load_explicit(&pool->blocks, memory_order_relaxed) >= VIGIL__POST_BLOCKS)
        return VIGIL_EFULL;
    struct vigil__post_block *block = vigil__alloc(pool->allocator, sizeof(*block));
    if (block == NULL)
        return VIGIL_ENOMEM;
    uint32_t which = atomic_fetch_add_explicit(&pool->blocks, 1, memory_order_relaxed) + 1;
    if (which > VIGIL__POST_BLOCKS) { /* others were faster: there are fewer than are counted */
        vigil__free(pool->allocator, block, sizeof(*block));
        return VIGIL_EFULL;
    }
    atomic_init(&block->below, 0);
    block->ran = 0;
    for (int i = 0; i < VIGIL__POST_WORDS; i++)
        atomic_init(&block->begins[i], 0);
    pool->block[which] = block;
    *next = which * VIGIL__POST_NUMBERS + 1;
    return 0;
}

void vigil__post_pool_clear(struct vigil__post_pool *pool)
{
    uint32_t blocks = atomic_load_explicit(&pool->blocks, memory_order_relaxed);
    for (uint32_t i = 1; i <= blocks && i <= VIGIL__POST_BLOCKS; i++)
        vigil__free(pool->allocator, pool->block[i], sizeof(*pool->block[i]));
}
