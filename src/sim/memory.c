/* SPDX-License-Identifier: MIT
 *
 * memory.c -- the memory of simulated hosts: counted, limited, and poisoned once it is freed, so
 * that who uses it afterwards is found.  Floor: sim.
 */
#include "sim/sim.h"

#include <string.h>

#ifdef __has_feature /* clang says so, gcc by a macro */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
    POISON = 0xdd,
    POISON_MAX = 4096,   /* bytes of a block: who is wrong about it begins at its beginning */
    FREED_MAX = 4 << 20, /* bytes kept when freed: some turns' worth, and a seed stays quick */
};

union sim_block { /* stands before each block */
    struct {
        struct vigil__link link; /* of its host's, or of what was freed */
        size_t size;
    } is;
    max_align_t align;
};

static union sim_block *block_at(struct vigil__link *link)
{
    return VIGIL_OWNER(link, union sim_block, is.link);
}

static void poison(union sim_block *block)
{
    memset(block + 1, POISON, vigil__min(block->is.size, POISON_MAX));
}

static bool still_poisoned(const union sim_block *block)
{
    const uint8_t *p = (const uint8_t *)(block + 1);
    size_t n = vigil__min(block->is.size, POISON_MAX);
    ASAN_UNPOISON_MEMORY_REGION(p, block->is.size);
    return p[0] == POISON && memcmp(p, p + 1, n - 1) == 0; /* each as the one before */
}

static bool freed_release(vigil_sim *sim, union sim_block *block)
{
    bool whole = still_poisoned(block);
    sim->freed_bytes -= block->is.size;
    vigil__list_remove(&block->is.link);
    vigil__free(&sim->memory, block, sizeof(*block) + block->is.size);
    return whole;
}

static void check_poison(vigil_sim *sim, bool whole)
{
    vigil__sim_oracle_count(sim, "freed memory is left alone");
    if (!whole)
        vigil__sim_fail(sim, "freed memory is left alone",
                        "a block was written to after it was freed");
}

static void block_free(struct sim_host *host, union sim_block *block)
{
    vigil_sim *sim = host->sim;
    host->memory -= block->is.size;
    vigil__list_remove(&block->is.link);
    poison(block);
    ASAN_POISON_MEMORY_REGION(block + 1, block->is.size);
    vigil__list_append(&sim->freed, &block->is.link);
    sim->freed_bytes += block->is.size;
    while (sim->freed_bytes > FREED_MAX)
        check_poison(sim, freed_release(sim, block_at(sim->freed.next)));
}

static union sim_block *block_new(struct sim_host *host, size_t size)
{
    vigil_sim *sim = host->sim;
    int planned = vigil__sim_call(host, VIGIL_SIM_CALL_ALLOCATE);
    if (planned != 0 || vigil__sim_short_of_memory(host))
        return NULL;
    if (size > host->memory_limit - vigil__min(host->memory, host->memory_limit)) {
        vigil__sim_hurt(host);
        return NULL;
    }
    union sim_block *block = vigil__alloc(&sim->memory, sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    block->is.size = size;
    poison(block); /* nobody may count on zeros */
    vigil__list_append(&host->blocks, &block->is.link);
    host->memory += size;
    return block;
}

/* A block always moves when it is resized: who kept a pointer into the old one is found. */
void *vigil__sim_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    struct sim_host *host = ctx;
    union sim_block *was = old != NULL ? (union sim_block *)old - 1 : NULL;
    if (was != NULL && was->is.size != old_size)
        vigil__sim_fail(host->sim, "sizes of blocks", "a block of %zu bytes is called one of %zu",
                        was->is.size, old_size);
    union sim_block *block = NULL;
    if (new_size > 0) {
        block = block_new(host, new_size);
        if (block == NULL)
            return NULL;
    }
    if (was != NULL && block != NULL)
        memcpy(block + 1, was + 1, vigil__min(was->is.size, new_size));
    if (was != NULL)
        block_free(host, was);
    return block != NULL ? block + 1 : NULL;
}

bool vigil__sim_memory_check(vigil_sim *sim)
{
    bool whole = true;
    while (!vigil__list_empty(&sim->freed))
        whole = freed_release(sim, block_at(sim->freed.next)) && whole;
    check_poison(sim, whole);
    return whole;
}

void vigil__sim_memory_clear(vigil_sim *sim)
{
    for (struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        struct sim_host *host = VIGIL_OWNER(at, struct sim_host, link);
        while (!vigil__list_empty(&host->blocks)) /* of loops that nobody closed */
            block_free(host, block_at(host->blocks.next));
    }
    while (!vigil__list_empty(&sim->freed))
        (void)freed_release(sim, block_at(sim->freed.next)); /* nobody asks any more */
}
