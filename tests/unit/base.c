/* SPDX-License-Identifier: MIT
 *
 * base.c -- the base floor: slab, heap, pool, list, statuses.  They are driven against plain
 * models, on an allocator that counts and that can be made to fail.
 */
#include "test.h"

#include "base/buf.h"
#include "base/gaps.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/queue.h"
#include "base/slab.h"

/* The same numbers in every run: a failure repeats. */
static uint32_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* ---- slab -------------------------------------------------------------------------------- */

struct thing {
    struct vigil__slot slot;
    uint64_t payload;
};

TEST(slab_stale_handle_misses)
{
    struct test_allocator counting;
    struct vigil__slab slab;
    vigil__slab_init(&slab, test_counting_allocator(&counting), sizeof(struct thing));
    struct thing *first = vigil__slab_take(&slab);
    REQUIRE(first != NULL);
    uint64_t handle = vigil__slot_handle(&first->slot);
    OK(handle != 0);
    EQ_PTR(first, vigil__slab_find(&slab, handle));
    vigil__slab_give(&slab, first);
    EQ_PTR(NULL, vigil__slab_find(&slab, handle));

    struct thing *second = vigil__slab_take(&slab);
    EQ_PTR(first, second, "the slot is used again");
    EQ_PTR(NULL, vigil__slab_find(&slab, handle), "the old name still misses");
    EQ_PTR(second, vigil__slab_find(&slab, vigil__slot_handle(&second->slot)));
    EQ_INT(1, slab.live);
    vigil__slab_clear(&slab);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(slab_wrong_handles_miss)
{
    struct test_allocator counting;
    struct vigil__slab slab;
    vigil__slab_init(&slab, test_counting_allocator(&counting), sizeof(struct thing));
    EQ_PTR(NULL, vigil__slab_find(&slab, 0), "an empty slab");
    struct thing *thing = vigil__slab_take(&slab);
    REQUIRE(thing != NULL);
    uint64_t handle = vigil__slot_handle(&thing->slot);
    struct thing *gone = vigil__slab_take(&slab);
    REQUIRE(gone != NULL);
    vigil__slab_give(&slab, gone);
    const uint64_t wrong[] = {
        0,
        1,
        UINT64_MAX,
        handle + 1,
        handle + (UINT64_C(1) << 32),
        handle + (UINT64_C(2) << 32),
        (handle & ~(uint64_t)UINT32_MAX) | 1000000, /* a slot that never was, */
        (handle & ~(uint64_t)UINT32_MAX) | 5,       /* one that has memory already, */
        vigil__slot_handle(&gone->slot),            /* and one that is free again */
    };
    for (size_t i = 0; i < TEST_COUNT(wrong); i++)
        EQ_PTR(NULL, vigil__slab_find(&slab, wrong[i]), "row %zu", i);
    vigil__slab_clear(&slab);
}

TEST(slab_things_are_zeroed_and_stay_where_they_are)
{
    enum { COUNT = 1000 };
    struct test_allocator counting;
    struct vigil__slab slab;
    vigil__slab_init(&slab, test_counting_allocator(&counting), sizeof(struct thing));
    static struct thing *things[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        things[i] = vigil__slab_take(&slab);
        REQUIRE(things[i] != NULL);
        EQ_INT(0, things[i]->payload);
        EQ_INT(i, things[i]->slot.index, "slots are given out in order");
        things[i]->payload = i;
    }
    EQ_INT(COUNT, slab.live);
    for (uint32_t i = 0; i < COUNT; i++) {
        EQ_INT(i, things[i]->payload);
        EQ_PTR(things[i], vigil__slab_at(&slab, i));
    }
    for (uint32_t i = 0; i < COUNT; i += 2)
        vigil__slab_give(&slab, things[i]);
    uint32_t slots = vigil__slab_slots(&slab);
    for (uint32_t i = 0; i < COUNT; i += 2) {
        struct thing *thing = vigil__slab_take(&slab);
        REQUIRE(thing != NULL);
        EQ_INT(0, thing->payload);
        OK(thing->slot.index % 2 == 0 || thing->slot.index >= COUNT, "slot %u", thing->slot.index);
    }
    EQ_INT(COUNT, slots, "a walk sees none that nobody ever took");
    EQ_INT(slots, vigil__slab_slots(&slab), "freed slots come before new memory");
    vigil__slab_clear(&slab);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(slab_out_of_memory_loses_nothing)
{
    for (size_t fail_after = 0; fail_after < 6; fail_after++) {
        struct test_allocator counting;
        struct vigil__slab slab;
        vigil__slab_init(&slab, test_counting_allocator(&counting), sizeof(struct thing));
        counting.fail_after = fail_after;
        uint32_t taken = 0;
        while (taken < 500 && vigil__slab_take(&slab) != NULL)
            taken++;
        EQ_INT(taken, slab.live, "fail after %zu", fail_after);
        OK(taken < 500, "it failed at some point");
        counting.fail_after = SIZE_MAX;
        OK(vigil__slab_take(&slab) != NULL, "memory came back");
        vigil__slab_clear(&slab);
        OK_ALLOCATOR_EMPTY(&counting);
    }
}

/* ---- heap -------------------------------------------------------------------------------- */

enum { OWNERS = 300 };

struct heap_model {
    bool in[OWNERS];
    vigil_ns due[OWNERS];
    uint64_t order[OWNERS]; /* when it was set */
    uint64_t clock;
};

/* Who is first by the plain rule: the earliest, among equals the one set first. */
static uint32_t model_first(const struct heap_model *model)
{
    uint32_t first = VIGIL__HEAP_NONE;
    for (uint32_t i = 0; i < OWNERS; i++) {
        if (!model->in[i])
            continue;
        if (first == VIGIL__HEAP_NONE || model->due[i] < model->due[first] ||
            (model->due[i] == model->due[first] && model->order[i] < model->order[first]))
            first = i;
    }
    return first;
}

static void compare_first(const struct vigil__heap *heap, const struct heap_model *model, int step)
{
    uint32_t first = model_first(model);
    if (first == VIGIL__HEAP_NONE) {
        EQ_INT(0, heap->count, "step %d", step);
        EQ_INT(VIGIL_FOREVER, vigil__heap_due(heap), "step %d", step);
        return;
    }
    REQUIRE(heap->count > 0, "step %d", step);
    EQ_INT(model->due[first], vigil__heap_due(heap), "step %d", step);
    EQ_INT(first, heap->entries[0].owner, "step %d", step);
}

static void heap_random(uint32_t sequence_start)
{
    struct test_allocator counting;
    struct vigil__heap heap;
    vigil__heap_init(&heap, test_counting_allocator(&counting));
    heap.sequence = sequence_start;
    struct heap_model model = { .clock = 0 };
    uint64_t seed = 42;
    for (int step = 0; step < 20000; step++) {
        uint32_t owner = random_next(&seed) % OWNERS;
        uint32_t action = random_next(&seed) % 8;
        if (action < 5) {
            vigil_ns due = random_next(&seed) % 50; /* few values: many ties */
            OK(vigil__heap_set(&heap, owner, due));
            model.in[owner] = true;
            model.due[owner] = due;
            model.order[owner] = model.clock++;
        } else {
            if (action == 7 && heap.count > 0)
                owner = heap.entries[0].owner;
            vigil__heap_remove(&heap, owner);
            model.in[owner] = false;
        }
        EQ_INT(model.in[owner], vigil__heap_has(&heap, owner), "step %d", step);
        REQUIRE(vigil__heap_check(&heap), "step %d", step);
        compare_first(&heap, &model, step);
    }
    vigil__heap_clear(&heap);
    OK_ALLOCATOR_EMPTY(&counting);
}

/* Two queues in one block, which grows while some wait at any place of it. */
TEST(queues_keep_their_order_when_they_grow)
{
    struct test_allocator counting;
    const vigil_allocator *allocator = test_counting_allocator(&counting);
    struct vigil__queues queues = { .count = 2 };
    uint32_t pushed[2] = { 0 }, popped[2] = { 0 };
    uint64_t seed = 7;
    for (uint32_t slots = 60; slots < 2000; slots += 97) {
        REQUIRE(vigil__queues_reserve(&queues, allocator, slots));
        for (int step = 0; step < 1000; step++) {
            unsigned queue = random_next(&seed) & 1;
            uint32_t waiting = pushed[queue] - popped[queue];
            EQ_INT(waiting > 0, vigil__queue_waits(&queues, queue));
            if (waiting < slots && random_next(&seed) % 3 != 0)
                vigil__queue_push(&queues, queue, pushed[queue]++ ^ queue);
            else if (waiting > 0)
                EQ_INT(popped[queue]++ ^ queue, vigil__queue_pop(&queues, queue));
        }
    }
    uint32_t end = vigil__queue_end(&queues, 0);
    vigil__queue_rewind(&queues, 0);
    EQ_INT(end, vigil__queue_end(&queues, 0), "some wait: it does not begin anew");
    while (vigil__queue_waits(&queues, 0))
        EQ_INT(popped[0]++, vigil__queue_pop(&queues, 0));
    vigil__queue_rewind(&queues, 0);
    EQ_INT(0, vigil__queue_end(&queues, 0));
    counting.fail_after = counting.calls;
    OK(!vigil__queues_reserve(&queues, allocator, 100000));
    OK(vigil__queues_reserve(&queues, allocator, 1900), "what there is stays");
    vigil__queues_clear(&queues, allocator);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(heap_agrees_with_a_model)
{
    heap_random(0);
}

TEST(heap_sequence_may_wrap)
{
    heap_random(UINT32_MAX - 5000);
}

TEST(heap_ties_come_in_order)
{
    struct test_allocator counting;
    struct vigil__heap heap;
    vigil__heap_init(&heap, test_counting_allocator(&counting));
    for (uint32_t owner = 0; owner < 1000; owner++)
        REQUIRE(vigil__heap_set(&heap, owner, 7));
    OK(vigil__heap_set(&heap, 0, 7), "a move makes it the newest among equals");
    for (uint32_t i = 1; i <= 1000; i++) {
        EQ_INT(i % 1000, heap.entries[0].owner);
        vigil__heap_remove(&heap, heap.entries[0].owner);
    }
    EQ_INT(0, heap.count);
    vigil__heap_remove(&heap, 3); /* of none: nothing happens */
    vigil__heap_remove(&heap, 1u << 30);
    vigil__heap_clear(&heap);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(heap_check_sees_damage)
{
    struct test_allocator counting;
    struct vigil__heap heap;
    vigil__heap_init(&heap, test_counting_allocator(&counting));
    for (uint32_t owner = 0; owner < 20; owner++)
        REQUIRE(vigil__heap_set(&heap, owner, owner));
    OK(vigil__heap_check(&heap));
    heap.entries[19].due = -1;
    OK(!vigil__heap_check(&heap), "an entry before its parent");
    heap.entries[19].due = 19;
    heap.places[3] = 4;
    OK(!vigil__heap_check(&heap), "a place that is not so");
    vigil__heap_clear(&heap);
}

TEST(heap_out_of_memory_keeps_what_is_in)
{
    struct test_allocator counting;
    struct vigil__heap heap;
    vigil__heap_init(&heap, test_counting_allocator(&counting));
    OK(vigil__heap_set(&heap, 1, 10));
    counting.fail_after = 0;
    uint32_t owner = 2;
    while (owner < 1000 && vigil__heap_set(&heap, owner, 5))
        owner++;
    OK(owner < 1000, "it failed at some point");
    OK(!vigil__heap_has(&heap, owner));
    OK(vigil__heap_set(&heap, 1, 3), "a move needs no memory");
    OK(vigil__heap_check(&heap));
    EQ_INT(1, heap.entries[0].owner);
    vigil__heap_clear(&heap);
    OK_ALLOCATOR_EMPTY(&counting);
}

/* ---- pool -------------------------------------------------------------------------------- */

TEST(pool_sizes_are_rounded_up)
{
    static const struct {
        size_t asked, cap;
    } rows[] = {
        { 0, 256 },       { 1, 256 },       { 256, 256 },         { 257, 1024 },
        { 1024, 1024 },   { 1025, 4096 },   { 4097, 16384 },      { 16385, 65536 },
        { 65536, 65536 }, { 65537, 65537 }, { 1000000, 1000000 },
    };
    struct test_allocator counting;
    struct vigil__pool pool;
    vigil__pool_init(&pool, test_counting_allocator(&counting), SIZE_MAX);
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct vigil__buf *buf = vigil__buf_take(&pool, rows[i].asked, VIGIL__BUF_OUTPUT);
        REQUIRE(buf != NULL, "%zu", rows[i].asked);
        EQ_INT(rows[i].cap, buf->cap, "%zu", rows[i].asked);
        EQ_INT(rows[i].cap, pool.used, "%zu", rows[i].asked);
        memset(buf->data, 0xa5, buf->cap); /* the memory checkers watch the end */
        vigil__buf_drop(&pool, buf);
        EQ_INT(0, pool.used, "%zu", rows[i].asked);
    }
    EQ_INT(1000000, pool.used_max);
    vigil__pool_clear(&pool);
    OK_ALLOCATOR_EMPTY(&counting);
}

/* Wherever the allocator puts them, and to their last byte. */
TEST(pool_large_buffers_begin_with_a_page)
{
    struct test_allocator counting;
    struct vigil__pool pool;
    vigil__pool_init(&pool, test_counting_allocator(&counting), SIZE_MAX);
    struct vigil__buf *bufs[32];
    for (size_t i = 0; i < 32; i++) {
        size_t size = i % 2 == 0 ? VIGIL__BUF_READ : 70000 + i * 16;
        bufs[i] = vigil__buf_take(&pool, size, VIGIL__BUF_INPUT);
        REQUIRE(bufs[i] != NULL);
        EQ_INT(0, (uintptr_t)bufs[i]->data % VIGIL__BUF_PAGE);
        memset(bufs[i]->data, 0xff, bufs[i]->cap);
    }
    for (size_t i = 0; i < 32; i++)
        vigil__buf_drop(&pool, bufs[i]);
    vigil__pool_clear(&pool);
    OK_ALLOCATOR_EMPTY(&counting);
}

/* How many buffers of 4 KiB a pool of `limit` gives for `use`. */
static size_t count_buffers(struct vigil__pool *pool, enum vigil__buf_use use,
                            struct vigil__buf **taken, size_t max)
{
    size_t n = 0;
    while (n < max && (taken[n] = vigil__buf_take(pool, 4096, use)) != NULL)
        n++;
    return n;
}

TEST(pool_input_stops_at_three_quarters)
{
    enum { MAX = 64 };
    struct vigil__buf *input[MAX], *output[MAX];
    struct test_allocator counting;
    struct vigil__pool pool;
    vigil__pool_init(&pool, test_counting_allocator(&counting), 16 * 4096);
    size_t inputs = count_buffers(&pool, VIGIL__BUF_INPUT, input, MAX);
    EQ_INT(12, inputs);
    size_t outputs = count_buffers(&pool, VIGIL__BUF_OUTPUT, output, MAX);
    EQ_INT(4, outputs, "the last quarter is for output");
    EQ_INT(16 * 4096, pool.used);
    OK(!pool.returned, "nothing came back yet");
    vigil__buf_drop(&pool, input[--inputs]);
    OK(pool.returned);
    EQ_PTR(NULL, vigil__buf_take(&pool, 4096, VIGIL__BUF_INPUT), "still above three quarters");
    output[outputs++] = vigil__buf_take(&pool, 4096, VIGIL__BUF_OUTPUT);
    OK(output[outputs - 1] != NULL, "one came back");
    while (inputs > 0)
        vigil__buf_drop(&pool, input[--inputs]);
    while (outputs > 0)
        vigil__buf_drop(&pool, output[--outputs]);
    EQ_INT(0, pool.used);
    EQ_INT(16 * 4096, pool.used_max);
    EQ_PTR(NULL, vigil__buf_take(&pool, 16 * 4096 + 1, VIGIL__BUF_OUTPUT), "more than the limit");
    vigil__pool_clear(&pool);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(pool_references_and_reuse)
{
    struct test_allocator counting;
    struct vigil__pool pool;
    vigil__pool_init(&pool, test_counting_allocator(&counting), SIZE_MAX);
    struct vigil__buf *buf = vigil__buf_take(&pool, 100, VIGIL__BUF_INPUT);
    REQUIRE(buf != NULL);
    EQ_PTR(buf, vigil__buf_keep(buf));
    vigil__buf_drop(&pool, buf);
    EQ_INT(256, pool.used, "a reference is left");
    OK(!pool.returned);
    vigil__buf_drop(&pool, buf);
    EQ_INT(0, pool.used);
    EQ_INT(256, pool.cached);
    EQ_PTR(buf, vigil__buf_take(&pool, 200, VIGIL__BUF_INPUT), "kept for reuse");
    EQ_INT(0, pool.cached);
    vigil__buf_drop(&pool, buf);
    vigil__pool_clear(&pool);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(pool_keeps_no_more_than_it_may)
{
    enum { COUNT = 40 };
    struct vigil__buf *bufs[COUNT];
    struct test_allocator counting;
    struct vigil__pool pool;
    vigil__pool_init(&pool, test_counting_allocator(&counting), SIZE_MAX);
    for (size_t i = 0; i < COUNT; i++) {
        bufs[i] = vigil__buf_take(&pool, VIGIL__BUF_READ, VIGIL__BUF_INPUT);
        REQUIRE(bufs[i] != NULL);
    }
    for (size_t i = 0; i < COUNT; i++)
        vigil__buf_drop(&pool, bufs[i]);
    EQ_INT(VIGIL__BUF_CACHED_MAX, pool.cached);
    EQ_INT(VIGIL__BUF_CACHED_MAX / VIGIL__BUF_READ, counting.blocks);
    counting.fail_after = 0;
    OK(vigil__buf_take(&pool, VIGIL__BUF_READ, VIGIL__BUF_INPUT) == bufs[15], "from the cache");
    EQ_PTR(NULL, vigil__buf_take(&pool, 100, VIGIL__BUF_INPUT), "out of memory");
    vigil__buf_drop(&pool, bufs[15]);
    vigil__pool_clear(&pool);
    OK_ALLOCATOR_EMPTY(&counting);
}

/* ---- gaps -------------------------------------------------------------------------------- */

TEST(gaps_that_are_kept_are_exact)
{
    struct vigil__gaps gaps = { 0 };
    vigil__gaps_note(&gaps, VIGIL_S(1), VIGIL_S(1) + 5);
    vigil__gaps_note(&gaps, VIGIL_S(2), VIGIL_S(2)); /* none */
    vigil__gaps_note(&gaps, VIGIL_S(3), VIGIL_S(8));
    EQ_INT(VIGIL_S(1) + 5, vigil__gaps_latest(&gaps, VIGIL_S(1)));
    EQ_INT(VIGIL_S(8), vigil__gaps_latest(&gaps, VIGIL_S(3)));
    EQ_INT(VIGIL_S(9), vigil__gaps_latest(&gaps, VIGIL_S(9)), "nothing since then");
}

/* Against a list of them all: never earlier than the next look, and not much later than the longest
 * gap allows. */
TEST(gaps_are_never_early_and_hardly_late)
{
    enum { LOOKS = 2000 };
    static vigil_ns looks[LOOKS];
    struct vigil__gaps gaps = { 0 };
    uint64_t random = 7;
    looks[0] = VIGIL_S(5);
    for (int i = 1; i < LOOKS; i++) {
        vigil_ns gap = (vigil_ns)(random_next(&random) >> random_next(&random) % 31);
        looks[i] = looks[i - 1] + gap;
        vigil__gaps_note(&gaps, looks[i - 1], looks[i]);
    }
    vigil_ns longest = 0;
    for (int i = LOOKS - 1; i-- > 0;) {
        longest = looks[i + 1] - looks[i] > longest ? looks[i + 1] - looks[i] : longest;
        vigil_ns latest = vigil__gaps_latest(&gaps, looks[i]);
        vigil_ns bound = longest < 131072 ? 131072 : longest;
        REQUIRE(latest >= looks[i + 1]);
        REQUIRE(latest <= looks[i] + bound + bound / 4 + 1);
    }
}

TEST(gaps_of_any_length)
{
    for (int bits = 0; bits < 62; bits++) {
        struct vigil__gaps gaps = { 0 };
        vigil_ns from = VIGIL_S(1), length = (vigil_ns)1 << bits;
        vigil__gaps_note(&gaps, from, from + length);
        EQ_INT(from + length, vigil__gaps_latest(&gaps, from), "%d", bits);
        OK(vigil__gaps_latest(&gaps, from - 1) >= from - 1 + length, "%d", bits);
    }
    struct vigil__gaps gaps = { 0 };
    vigil__gaps_note(&gaps, 100, INT64_MAX);
    EQ_INT(INT64_MAX, vigil__gaps_latest(&gaps, 100));
    EQ_INT(INT64_MAX, vigil__gaps_latest(&gaps, 99));
}

/* ---- list -------------------------------------------------------------------------------- */

struct item {
    int number;
    struct vigil__link link;
};

/* The list's numbers as text, forwards; backwards it must read the same from the other end. */
static const char *list_text(const struct vigil__link *list)
{
    static char text[64];
    size_t n = 0;
    for (const struct vigil__link *at = list->next; at != list && n < sizeof(text) - 1;
         at = at->next)
        text[n++] = (char)('0' + VIGIL_OWNER(at, struct item, link)->number);
    text[n] = '\0';
    for (const struct vigil__link *at = list->prev; at != list; at = at->prev)
        if (n == 0 || text[--n] != '0' + VIGIL_OWNER(at, struct item, link)->number)
            return "the links back differ";
    return n == 0 ? text : "the links back are fewer";
}

TEST(list_append_remove_move)
{
    struct vigil__link list, other;
    struct item items[5];
    vigil__list_init(&list);
    OK(vigil__list_empty(&list));
    EQ_STR("", list_text(&list));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        vigil__list_append(&list, &items[i].link);
    }
    EQ_STR("01234", list_text(&list));
    vigil__list_remove(&items[0].link);
    vigil__list_remove(&items[2].link);
    vigil__list_remove(&items[2].link); /* twice is harmless */
    vigil__list_remove(&items[4].link);
    EQ_STR("13", list_text(&list));
    vigil__list_append(&list, &items[2].link);
    EQ_STR("132", list_text(&list));
    vigil__list_move(&other, &list);
    EQ_STR("132", list_text(&other));
    OK(vigil__list_empty(&list));
    vigil__list_remove(&items[3].link);
    EQ_STR("12", list_text(&other), "removed from the snapshot");
    vigil__list_move(&other, &list);
    EQ_STR("", list_text(&other), "nothing moved is an empty list");
}

/* ---- statuses ---------------------------------------------------------------------------- */

TEST(status_names_and_texts)
{
    static const struct {
        const char *name;
        int value;
        const char *text;
    } rows[] = {
#define STATUS_ROW(name, value, text) { "VIGIL_" #name, value, text },
        VIGIL_STATUS_MAP(STATUS_ROW)
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        EQ_STR(rows[i].name, vigil_err_name(rows[i].value));
        EQ_STR(rows[i].text, vigil_strerror(rows[i].value));
        for (size_t j = 0; j < i; j++)
            OK(rows[i].value != rows[j].value, "%s and %s", rows[i].name, rows[j].name);
    }
    EQ_INT(0, VIGIL_OK);
    EQ_INT(-12, VIGIL_EINVAL, "values are for ever: they stand in recorded traces");
    EQ_INT(-99, VIGIL_ESYS);
    const int unknown[] = { 1, -98, -100, -1000, VIGIL__EAGAIN };
    for (size_t i = 0; i < TEST_COUNT(unknown); i++) {
        EQ_STR("VIGIL_E?", vigil_err_name(unknown[i]), "%d", unknown[i]);
        EQ_STR("unknown status", vigil_strerror(unknown[i]), "%d", unknown[i]);
    }
}

TEST(version_of_the_library_is_the_header_s)
{
    char text[32];
    snprintf(text, sizeof(text), "%d.%d.%d", VIGIL_VERSION_MAJOR, VIGIL_VERSION_MINOR,
             VIGIL_VERSION_PATCH);
    EQ_STR(text, vigil_version());
}

TEST(time_sums_stop_at_for_ever)
{
    EQ_INT(3, vigil__time_add(1, 2));
    EQ_INT(VIGIL_FOREVER, vigil__time_add(1, VIGIL_FOREVER));
    EQ_INT(VIGIL_FOREVER, vigil__time_add(VIGIL_FOREVER - 5, 6));
    EQ_INT(VIGIL_FOREVER - 1, vigil__time_add(VIGIL_FOREVER - 5, 4));
}
