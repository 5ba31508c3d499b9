/* SPDX-License-Identifier: MIT
 *
 * tournament.c -- the timers' tree: beside a plain list that is searched and sorted, with times of
 * many kinds; handles; memory that fails, grows under a run, and goes back.
 */
#include "test.h"

#include "base/tournament.h"

enum { TIMERS = 1500, STEPS = 60000 };

/* A plain list of timers.  `order` never wraps. */
struct model_timer {
    uint64_t handle; /* 0: not set */
    vigil_ns due;
    uint64_t order;
};

struct model {
    struct test_allocator counting;
    struct vigil__tournament t;
    struct model_timer timers[TIMERS];
    struct model_timer *sorted[TIMERS];
    uint64_t order, random;
    uint32_t count;
};

/* The same numbers in every run: a failure repeats. */
static uint64_t random_below(struct model *m, uint64_t below)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t high = m->random >> 32;
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (high << 32 | m->random >> 32) % below;
}

/* Nothing is due before a bound above it says, and what is settled is the truth. */
static bool bounds_hold(const struct vigil__tournament *t)
{
    vigil_ns first = VIGIL_FOREVER;
    for (uint32_t i = 0; i < t->used; i++) {
        vigil_ns due = t->timers[i].due;
        first = due < first ? due : first;
        for (uint32_t level = 0, node = i; level <= t->top; level++) {
            node /= VIGIL__TOURNAMENT_WIDTH;
            if (t->bounds[t->level_at[level] + node] > due)
                return false;
        }
    }
    return t->count == 0 || !t->settled || *t->last == first;
}

static void model_open(struct model *m, uint64_t seed)
{
    memset(m, 0, sizeof(*m));
    m->random = seed;
    vigil__tournament_init(&m->t, test_counting_allocator(&m->counting));
}

static void model_close(struct model *m)
{
    vigil__tournament_clear(&m->t);
    OK_ALLOCATOR_EMPTY(&m->counting);
}

static struct vigil__timer *timer_of(struct model *m, const struct model_timer *timer)
{
    return vigil__tournament_find(&m->t, timer->handle);
}

static void model_set(struct model *m, struct model_timer *timer, vigil_ns due)
{
    struct vigil__timer *found = timer_of(m, timer);
    if (timer->handle == 0) {
        found = vigil__tournament_take(&m->t);
        REQUIRE(found != NULL);
        found->arg = timer;
        timer->handle = vigil__tournament_handle(&m->t, found);
        m->count++;
    }
    REQUIRE(found != NULL && found->arg == timer);
    vigil__tournament_set(&m->t, found, due);
    timer->due = due;
    timer->order = m->order++;
}

static void model_end(struct model *m, struct model_timer *timer)
{
    struct vigil__timer *found = timer_of(m, timer);
    EQ_INT(timer->handle != 0, found != NULL);
    if (found == NULL)
        return;
    EQ_PTR(timer, found->arg);
    vigil__tournament_give(&m->t, found);
    EQ_PTR(NULL, timer_of(m, timer), "it has ended");
    timer->handle = 0;
    m->count--;
}

static vigil_ns model_due(const struct model *m)
{
    vigil_ns first = VIGIL_FOREVER;
    for (uint32_t i = 0; i < TIMERS; i++)
        if (m->timers[i].handle != 0 && m->timers[i].due < first)
            first = m->timers[i].due;
    return first;
}

static int compare(const void *left, const void *right)
{
    const struct model_timer *a = *(struct model_timer *const *)left;
    const struct model_timer *b = *(struct model_timer *const *)right;
    if (a->due != b->due)
        return a->due < b->due ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* Collects what is due.  All of it ends, or half of it, or none: the others are set anew. */
static void model_collect(struct model *m, vigil_ns now, int step)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TIMERS; i++)
        if (m->timers[i].handle != 0 && m->timers[i].due <= now && m->timers[i].due < VIGIL_FOREVER)
            m->sorted[count++] = &m->timers[i];
    qsort(m->sorted, count, sizeof(m->sorted[0]), compare);
    REQUIRE(vigil__tournament_collect(&m->t, now) == count, "step %d", step);
    for (uint32_t i = 0; i < count; i++)
        REQUIRE(m->t.timers[m->t.run[i].index].arg == m->sorted[i], "step %d, %u of %u", step, i,
                count);
    uint64_t of_three = random_below(m, 3);
    for (uint32_t i = 0; i < count; i++)
        if (of_three == 0 || (of_three == 1 && i % 2 == 0))
            model_end(m, m->sorted[i]);
        else
            model_set(m, m->sorted[i], m->sorted[i]->due);
}

/* Steps with times between `from` and `from + span`. */
static void random_steps(uint64_t seed, uint32_t sequence, vigil_ns from, vigil_ns span)
{
    static struct model model;
    struct model *m = &model;
    model_open(m, seed);
    m->t.sequence = sequence;
    for (int step = 0; step < STEPS; step++) {
        struct model_timer *timer = &m->timers[random_below(m, TIMERS)];
        vigil_ns due = from + (vigil_ns)random_below(m, (uint64_t)span);
        uint64_t what = random_below(m, 1000);
        if (what == 0)
            model_collect(m, due, step);
        else if (what < 300)
            model_end(m, timer);
        else if (what == 999)
            model_set(m, timer, VIGIL_FOREVER);
        else
            model_set(m, timer, due);
        EQ_INT(m->count, m->t.count);
        if (what % 8 == 0)
            REQUIRE(vigil__tournament_due(&m->t) == model_due(m), "step %d", step);
        if (what % 64 == 0)
            REQUIRE(bounds_hold(&m->t), "step %d", step);
    }
    model_collect(m, from + span, STEPS);
    model_close(m);
}

TEST(agrees_with_a_list)
{
    static const struct {
        uint32_t sequence;
        vigil_ns from, span;
    } rows[] = {
        { 0, 0, 1 }, /* all are equal */
        { 0, VIGIL_S(5), 40 },
        { UINT32_MAX - STEPS / 2, VIGIL_S(5), 3 },     /* sequences wrap */
        { UINT32_MAX / 2 - STEPS / 2, VIGIL_S(5), 3 }, /* their sign changes */
        { 0, VIGIL_S(1), VIGIL_MS(1) },                /* few are equal */
        { 7, 12345, (VIGIL_S(1) << 10) + 1 },          /* more than 32 bits */
        { UINT32_MAX - 3, 0, VIGIL_FOREVER },          /* all 63 */
        { 0, VIGIL_FOREVER - VIGIL_S(1), VIGIL_S(1) },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++)
        random_steps(20240229 + i, rows[i].sequence, rows[i].from, rows[i].span);
}

/* Times in clusters far apart: what has the upper bits in common is told apart by the lower ones,
 * and equals by their sequence. */
TEST(sorts_by_all_bits)
{
    static struct model model;
    struct model *m = &model;
    for (int gap = 0; gap < 62; gap++) {
        model_open(m, (uint64_t)gap);
        for (uint32_t i = 0; i < TIMERS; i++)
            model_set(m, &m->timers[i], (vigil_ns)(random_below(m, 2) << gap | random_below(m, 9)));
        model_collect(m, VIGIL_FOREVER - 1, gap);
        model_close(m);
    }
}

/* Many are sorted by going over to other memory and back, which may not be there. */
TEST(many_come_in_order_with_memory_and_without)
{
    static const uint32_t counts[] = { 255, 256, 257, 500, 700, 1023, 1024, 1025, TIMERS };
    static const uint64_t spans[] = { 1, 7, 1000, 1 << 18, (uint64_t)1 << 31, (uint64_t)1 << 45 };
    static struct model model;
    struct model *m = &model;
    for (size_t row = 0; row < TEST_COUNT(counts) * TEST_COUNT(spans) * 2; row++) {
        uint64_t span = spans[row / 2 % TEST_COUNT(spans)];
        model_open(m, row);
        for (uint32_t i = 0; i < counts[row / 2 / TEST_COUNT(spans)]; i++)
            model_set(m, &m->timers[i], (vigil_ns)random_below(m, span));
        size_t bytes = m->counting.bytes;
        m->counting.fail_after = row % 2 == 0 ? SIZE_MAX : 0;
        model_collect(m, VIGIL_S(100000), (int)row);
        EQ_INT(bytes, m->counting.bytes, "what it takes for that it gives back");
        m->counting.fail_after = SIZE_MAX;
        model_close(m);
    }
}

TEST(equals_come_in_the_order_of_setting_however_many)
{
    enum { MANY = 5000 };
    struct test_allocator counting;
    struct vigil__tournament t;
    vigil__tournament_init(&t, test_counting_allocator(&counting));
    t.sequence = UINT32_MAX - MANY;
    for (uint32_t i = 0; i < MANY; i++) {
        struct vigil__timer *timer = vigil__tournament_take(&t);
        REQUIRE(timer != NULL);
        vigil__tournament_set(&t, timer, 7);
    }
    for (uint32_t i = 0; i < MANY; i += 2)
        vigil__tournament_set(&t, &t.timers[i], 7); /* the newest, now */
    EQ_INT(0, vigil__tournament_collect(&t, 6));
    REQUIRE(vigil__tournament_collect(&t, 7) == MANY);
    for (uint32_t i = 0; i < MANY / 2; i++) {
        EQ_INT(2 * i + 1, t.run[i].index);
        EQ_INT(2 * i, t.run[MANY / 2 + i].index);
    }
    vigil__tournament_clear(&t);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(stale_and_wild_handles_miss)
{
    struct test_allocator counting;
    struct vigil__tournament t;
    vigil__tournament_init(&t, test_counting_allocator(&counting));
    EQ_PTR(NULL, vigil__tournament_find(&t, 0), "none was ever taken");
    EQ_PTR(NULL, vigil__tournament_find(&t, UINT64_C(1) << 32));
    struct vigil__timer *timer = vigil__tournament_take(&t);
    REQUIRE(timer != NULL);
    uint64_t old = vigil__tournament_handle(&t, timer);
    EQ_PTR(timer, vigil__tournament_find(&t, old));
    vigil__tournament_give(&t, timer);
    EQ_PTR(NULL, vigil__tournament_find(&t, old));
    EQ_PTR(NULL, vigil__tournament_find(&t, old + (UINT64_C(1) << 32)), "a free one has no name");
    EQ_PTR(timer, vigil__tournament_take(&t), "memory is used again");
    uint64_t handle = vigil__tournament_handle(&t, timer);
    const uint64_t wild[] = { 0, old, handle + 1, handle ^ UINT64_C(1) << 63, UINT64_MAX };
    for (size_t i = 0; i < TEST_COUNT(wild); i++)
        EQ_PTR(NULL, vigil__tournament_find(&t, wild[i]), "row %zu", i);
    EQ_PTR(timer, vigil__tournament_find(&t, handle));
    vigil__tournament_clear(&t);
    OK_ALLOCATOR_EMPTY(&counting);
}

/* Whatever growth fails, all is as it was; setting takes no memory. */
TEST(out_of_memory_changes_nothing)
{
    struct test_allocator counting;
    struct vigil__tournament t;
    vigil__tournament_init(&t, test_counting_allocator(&counting));
    for (vigil_ns due = 1000; due > 0; due--) {
        counting.fail_after = 0;
        struct vigil__timer *timer = vigil__tournament_take(&t);
        bool failed = timer == NULL;
        EQ_INT(t.count, 1000 - due + !failed);
        REQUIRE(due == 1000 || vigil__tournament_due(&t) == due + 1);
        REQUIRE(bounds_hold(&t));
        counting.fail_after = failed ? SIZE_MAX : 0;
        timer = failed ? vigil__tournament_take(&t) : timer;
        REQUIRE(timer != NULL);
        counting.fail_after = 0;
        vigil__tournament_set(&t, timer, due);
        EQ_INT(due, vigil__tournament_due(&t));
    }
    REQUIRE(vigil__tournament_collect(&t, 1000) == 1000, "nor does collecting");
    vigil__tournament_clear(&t);
    OK_ALLOCATOR_EMPTY(&counting);
}

/* Callbacks set timers while the run is walked. */
TEST(the_run_stays_while_the_tree_grows)
{
    enum { DUE = 100 };
    struct test_allocator counting;
    struct vigil__tournament t;
    vigil__tournament_init(&t, test_counting_allocator(&counting));
    for (uint32_t i = 0; i < DUE; i++)
        vigil__tournament_set(&t, vigil__tournament_take(&t), DUE - (vigil_ns)i);
    REQUIRE(vigil__tournament_collect(&t, DUE) == DUE);
    uint32_t room = t.room;
    for (uint32_t i = 0; i < DUE; i++) {
        EQ_INT(DUE - 1 - i, t.run[i].index);
        vigil__tournament_give(&t, &t.timers[t.run[i].index]);
        for (int n = 0; n < 50; n++)
            vigil__tournament_set(&t, vigil__tournament_take(&t), 5);
    }
    OK(t.room > 16 * room, "it grew");
    OK(bounds_hold(&t));
    vigil__tournament_clear(&t);
    OK_ALLOCATOR_EMPTY(&counting);
}

TEST(memory_goes_back_and_old_handles_stay_stale)
{
    enum { MANY = 3000 };
    static uint64_t old[MANY];
    struct test_allocator counting;
    struct vigil__tournament t;
    vigil__tournament_init(&t, test_counting_allocator(&counting));
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            struct vigil__timer *timer = vigil__tournament_take(&t);
            REQUIRE(timer != NULL);
            EQ_PTR(NULL, vigil__tournament_find(&t, old[i]), "of the round before");
            old[i] = vigil__tournament_handle(&t, timer);
            vigil__tournament_set(&t, timer, i);
        }
        for (uint32_t i = 0; i < MANY; i++)
            vigil__tournament_give(&t, vigil__tournament_find(&t, old[i]));
        vigil__tournament_trim(&t);
        OK_ALLOCATOR_EMPTY(&counting);
        EQ_INT(MANY * (round + 1), t.sequence);
        EQ_INT(VIGIL_FOREVER, vigil__tournament_due(&t));
        EQ_INT(0, vigil__tournament_collect(&t, VIGIL_S(1)));
        EQ_PTR(NULL, vigil__tournament_find(&t, old[0]));
    }
}

TEST(check_sees_damage)
{
    struct test_allocator counting;
    struct vigil__tournament t;
    vigil__tournament_init(&t, test_counting_allocator(&counting));
    for (vigil_ns due = 100; due < 200; due++)
        vigil__tournament_set(&t, vigil__tournament_take(&t), due);
    OK(bounds_hold(&t));
    t.timers[70].due = 99;
    OK(!bounds_hold(&t), "due before its bounds");
    t.timers[70].due = 170;
    t.timers[0].due = 101;
    OK(!bounds_hold(&t), "what is settled is not so");
    vigil__tournament_clear(&t);
    OK_ALLOCATOR_EMPTY(&counting);
}
