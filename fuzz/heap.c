/* SPDX-License-Identifier: MIT
 *
 * heap.c -- fuzz target: the heap of what is due, against a plain list that is searched.
 *
 * The sequence that orders equals begins shortly before it wraps, in half of the inputs; some
 * allocations fail.
 */
#include "fuzz.h"

#include "base/heap.h"

enum { OWNERS = 90 };

struct model {
    bool in[OWNERS];
    vigil_ns due[OWNERS];
    uint64_t order[OWNERS]; /* of the last set: it never wraps */
    uint64_t next_order;
    uint32_t count;
};

static bool memory_fails;

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    (void)old_size;
    if (new_size > 0)
        return memory_fails ? NULL : realloc(old, new_size);
    free(old);
    return NULL;
}

/* The owner that is due first, or OWNERS. */
static uint32_t model_first(const struct model *m)
{
    uint32_t first = OWNERS;
    for (uint32_t i = 0; i < OWNERS; i++) {
        if (!m->in[i])
            continue;
        bool before = first == OWNERS || m->due[i] < m->due[first] ||
                      (m->due[i] == m->due[first] && m->order[i] < m->order[first]);
        first = before ? i : first;
    }
    return first;
}

static void compare(const struct model *m, const struct vigil__heap *heap)
{
    CHECK(vigil__heap_check(heap));
    CHECK(heap->count == m->count, "%u are in, want %u", heap->count, m->count);
    uint32_t first = model_first(m);
    CHECK(vigil__heap_due(heap) == (first == OWNERS ? VIGIL_FOREVER : m->due[first]));
    CHECK(first == OWNERS || heap->entries[0].owner == first, "%u is first, want %u",
          heap->entries[0].owner, first);
    for (uint32_t i = 0; i < OWNERS; i++)
        CHECK(vigil__heap_has(heap, i) == m->in[i], "owner %u", i);
}

static void set(struct model *m, struct vigil__heap *heap, uint32_t owner, vigil_ns due)
{
    bool done = vigil__heap_set(heap, owner, due);
    CHECK(done || (memory_fails && !m->in[owner]), "a move takes no memory");
    if (!done)
        return;
    m->count += !m->in[owner];
    m->in[owner] = true;
    m->due[owner] = due;
    m->order[owner] = m->next_order++;
}

static void take_out(struct model *m, struct vigil__heap *heap, uint32_t owner)
{
    vigil__heap_remove(heap, owner);
    m->count -= m->in[owner];
    m->in[owner] = false;
}

/* What is reserved can be set, whatever memory does then. */
static void reserve_and_set(struct model *m, struct vigil__heap *heap, uint32_t owner, vigil_ns due)
{
    if (!vigil__heap_reserve(heap, owner)) {
        CHECK(memory_fails);
        return;
    }
    bool failed_before = memory_fails;
    memory_fails = true;
    CHECK(vigil__heap_set(heap, owner, due), "it was reserved");
    memory_fails = failed_before;
    m->count += !m->in[owner];
    m->in[owner] = true;
    m->due[owner] = due;
    m->order[owner] = m->next_order++;
}

static void step(struct fuzz_in *in, struct model *m, struct vigil__heap *heap)
{
    unsigned action = fuzz_below(in, 8);
    uint32_t owner = fuzz_below(in, OWNERS);
    vigil_ns due = fuzz_below(in, 12); /* few times, so that many are equal */
    switch (action) {
    case 0:
        take_out(m, heap, owner);
        break;
    case 1:
        if (model_first(m) != OWNERS)
            take_out(m, heap, model_first(m));
        break;
    case 2:
        memory_fails = !memory_fails;
        break;
    case 3:
        reserve_and_set(m, heap, owner, due);
        break;
    case 4:
        set(m, heap, owner, due == 0 ? VIGIL_FOREVER : VIGIL_FOREVER - due);
        break;
    default:
        set(m, heap, owner, due);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const vigil_allocator allocator = { .resize = resize };
    struct fuzz_in in = { data, size };
    struct model m = { 0 };
    struct vigil__heap heap;
    vigil__heap_init(&heap, &allocator);
    memory_fails = false;
    if (fuzz_below(&in, 2) == 1)
        heap.sequence = UINT32_MAX - fuzz_below(&in, 90);
    while (in.n > 0) {
        step(&in, &m, &heap);
        compare(&m, &heap);
    }
    while (heap.count > 0) {
        take_out(&m, &heap, model_first(&m));
        compare(&m, &heap);
    }
    vigil__heap_clear(&heap);
    return 0;
}
