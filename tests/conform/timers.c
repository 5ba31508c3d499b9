/* SPDX-License-Identifier: MIT
 *
 * timers.c -- timers of a loop: never early, in order, never in the turn that set them; moving,
 * cancelling, stale handles; ten thousand random steps beside a model; a million at once.
 */
#include "loop/loop.h"
#include "loop_rig.h"

/* ---- time and order ----------------------------------------------------------------------- */

struct due {
    vigil_ns at;
    int fired;
    vigil_ns early; /* by how much, or 0 */
};

static void note_due(vigil_loop *loop, void *arg)
{
    (void)loop;
    struct due *due = arg;
    vigil_ns now = now_ns();
    due->fired++;
    due->early = now < due->at ? due->at - now : 0;
}

CONFORM(never_early)
{
    static const vigil_ns delays[] = { 0,        1,        999,      1000,    50000,
                                       999999,   1000000,  1000001,  1500000, 9999999,
                                       10000000, 33333333, 120000000 };
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct due due;                                   /* a run that fails leaves its timer */
    for (size_t i = 0; i < TEST_COUNT(delays); i++) { /* one by one: each wait has its timeout */
        due = (struct due){ .at = now_ns() + delays[i] };
        EQ_INT(0, vigil_after(loop, delays[i], note_due, &due, NULL));
        EQ_INT(0, vigil_loop_run(loop));
        EQ_INT(1, due.fired, "%" PRId64, delays[i]);
        EQ_INT(0, due.early, "%" PRId64, delays[i]);
    }
    struct due all[TEST_COUNT(delays)] = { { 0 } };
    for (size_t i = 0; i < TEST_COUNT(delays); i++) { /* and together */
        all[i].at = now_ns() + delays[i];
        EQ_INT(0, vigil_after(loop, delays[i], note_due, &all[i], NULL));
    }
    EQ_INT(0, vigil_loop_run(loop));
    for (size_t i = 0; i < TEST_COUNT(delays); i++)
        OK(all[i].fired == 1 && all[i].early == 0, "%" PRId64, delays[i]);
    rig_close(&rig);
}

/* Nobody sets it: a time of day that jumps would make timers late or early. */
CONFORM(the_clock_is_the_one_that_nobody_sets)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_ns before = now_ns();
    EQ_INT(0, vigil_loop_turn(loop, VIGIL_NOWAIT));
    OK(vigil_now(loop) >= before, "%" PRId64 " after %" PRId64, vigil_now(loop), before);
    OK(vigil_now(loop) <= now_ns(), "%" PRId64 " before %" PRId64, vigil_now(loop), now_ns());
    rig_close(&rig);
}

static struct due late_dues[2];

static void set_late(vigil_loop *loop, void *arg)
{
    const vigil_timer *moved = arg;
    busy_for(VIGIL_MS(20)); /* the turn began that long ago */
    late_dues[0] = late_dues[1] = (struct due){ .at = now_ns() + VIGIL_MS(10) };
    EQ_INT(0, vigil_after(loop, VIGIL_MS(10), note_due, &late_dues[0], NULL));
    EQ_INT(0, vigil_timer_set(loop, *moved, VIGIL_MS(10)));
}

CONFORM(set_behind_a_slow_callback_it_is_not_early)
{
    struct rig rig;
    vigil_timer moved;
    vigil_loop *loop = rig_open(&rig, backend);
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), note_due, &late_dues[1], &moved));
    EQ_INT(0, vigil_turn_soon(loop, set_late, &moved));
    EQ_INT(0, vigil_loop_run(loop));
    for (int i = 0; i < 2; i++) {
        EQ_INT(1, late_dues[i].fired, "%s", i == 0 ? "set" : "moved");
        EQ_INT(0, late_dues[i].early, "%s", i == 0 ? "set" : "moved");
    }
    rig_close(&rig);
}

struct sequence {
    int next, wrong;
};

struct numbered {
    struct sequence *sequence;
    int number;
};

static void in_sequence(vigil_loop *loop, void *arg)
{
    (void)loop;
    struct numbered *timer = arg;
    timer->sequence->wrong += timer->number != timer->sequence->next++;
}

CONFORM(equals_fire_in_the_order_in_which_they_were_set)
{
    enum { COUNT = 1000 };
    static struct numbered timers[COUNT];
    static const vigil_ns delays[] = { 0, VIGIL_MS(3) };
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    for (size_t row = 0; row < TEST_COUNT(delays); row++) {
        struct sequence sequence = { 0 };
        for (int i = 0; i < COUNT; i++) {
            timers[i] = (struct numbered){ &sequence, i };
            EQ_INT(0, vigil_after(loop, delays[row], in_sequence, &timers[i], NULL));
        }
        EQ_INT(0, vigil_loop_run(loop));
        EQ_INT(COUNT, sequence.next);
        EQ_INT(0, sequence.wrong);
    }
    rig_close(&rig);
}

static vigil_ns stopped_at;

static vigil_ns stopped_clock(void *self)
{
    (void)self;
    return stopped_at;
}

/* A loop on this machine, but for the clock, which stands still. */
static vigil_loop *loop_on_stopped_clock(const char *backend, vigil_host *host)
{
    vigil_loop_options options = { .backend = backend, .host = host };
    vigil_loop *loop;
    *host = *vigil__host_system();
    stopped_at = VIGIL_S(100);
    host->now = stopped_clock;
    REQUIRE(vigil_loop_open(&loop, &options) == 0);
    return loop;
}

/* By a clock that stands still meanwhile, so that they are due at the very same time. */
CONFORM(timers_of_the_same_time_fire_in_the_order_in_which_they_were_set)
{
    enum { COUNT = 100 };
    struct sequence sequence = { 0 };
    struct numbered timers[COUNT];
    vigil_host host;
    vigil_loop *loop = loop_on_stopped_clock(backend, &host);
    for (int i = 0; i < COUNT; i++) {
        timers[i] = (struct numbered){ &sequence, i };
        EQ_INT(0, vigil_after(loop, VIGIL_MS(1), in_sequence, &timers[i], NULL));
    }
    EQ_INT(0, vigil_loop_turn(loop, VIGIL_NOWAIT));
    stopped_at += VIGIL_MS(1);
    EQ_INT(COUNT, vigil_loop_turn(loop, VIGIL_NOWAIT));
    EQ_INT(0, sequence.wrong);
    vigil_loop_close(loop);
}

static void due_in(vigil_loop *loop, vigil_ns want)
{
    EQ_INT(want, vigil_loop_due(loop));
}

/* A loop that wakes for a timer that is not there any more has nothing to do. */
CONFORM(what_is_due_first_is_told_exactly)
{
    enum { COUNT = 600 };
    static vigil_timer timers[COUNT];
    vigil_host host = *vigil__host_system();
    vigil_loop_options options = { .backend = backend, .host = &host };
    vigil_loop *loop;
    int fired = 0;
    stopped_at = VIGIL_S(100);
    host.now = stopped_clock;
    REQUIRE(vigil_loop_open(&loop, &options) == 0);
    due_in(loop, VIGIL_FOREVER);
    for (int i = 0; i < COUNT; i++)
        EQ_INT(0, vigil_after(loop, VIGIL_S(1000) + i, count_timer, &fired, &timers[i]));
    due_in(loop, VIGIL_S(1000));
    EQ_INT(0, vigil_cancel(loop, timers[0]));
    due_in(loop, VIGIL_S(1000) + 1);
    EQ_INT(0, vigil_timer_set(loop, timers[1], VIGIL_S(2000)));
    due_in(loop, VIGIL_S(1000) + 2);
    EQ_INT(0, vigil_timer_set(loop, timers[COUNT - 1], VIGIL_S(999)));
    due_in(loop, VIGIL_S(999));
    for (int i = 2; i < COUNT; i++)
        EQ_INT(0, vigil_cancel(loop, timers[i]));
    due_in(loop, VIGIL_S(2000));
    EQ_INT(0, vigil_timer_set(loop, timers[1], 0));
    due_in(loop, VIGIL_NOWAIT);
    EQ_INT(1, vigil_loop_turn(loop, VIGIL_NOWAIT));
    due_in(loop, VIGIL_FOREVER);
    EQ_INT(1, fired);
    vigil_loop_close(loop);
}

/* ---- turns -------------------------------------------------------------------------------- */

struct again {
    int fired, left;
};

static void arm_again(vigil_loop *loop, void *arg)
{
    struct again *again = arg;
    again->fired++;
    if (again->left-- > 0) {
        int status = again->fired % 2 == 0 ? vigil_turn_soon(loop, arm_again, arg)
                                           : vigil_after(loop, 0, arm_again, arg, NULL);
        EQ_INT(0, status);
    }
}

CONFORM(delay_0_waits_for_the_next_turn)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct again again = { .left = 100 };
    EQ_INT(0, vigil_turn_soon(loop, arm_again, &again));
    for (int turn = 1; turn <= 101; turn++) {
        EQ_INT(1, vigil_loop_turn(loop, VIGIL_FOREVER));
        EQ_INT(turn, again.fired);
    }
    EQ_INT(0, vigil_loop_turn(loop, VIGIL_NOWAIT));
    again = (struct again){ .left = 1000 };
    EQ_INT(0, vigil_turn_soon(loop, arm_again, &again));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1001, again.fired);
    rig_close(&rig);
}

struct pair {
    vigil_timer self, other;
    int fired, status;
    vigil_ns delay; /* for what is moved */
};

static void cancel_other(vigil_loop *loop, void *arg)
{
    struct pair *pair = arg;
    pair->fired++;
    pair->status = vigil_cancel(loop, pair->other);
    EQ_INT(VIGIL_ESTALE, vigil_cancel(loop, pair->self), "it has fired");
    EQ_INT(VIGIL_ESTALE, vigil_timer_set(loop, pair->self, 0));
}

CONFORM(cancelled_in_the_turn_in_which_it_is_due)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct pair pair = { .status = 1 };
    int other = 0;
    EQ_INT(0, vigil_after(loop, 0, cancel_other, &pair, &pair.self));
    EQ_INT(0, vigil_after(loop, 0, count_timer, &other, &pair.other));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1, pair.fired);
    EQ_INT(0, pair.status);
    EQ_INT(0, other);
    rig_close(&rig);
}

static void move_other(vigil_loop *loop, void *arg)
{
    struct pair *pair = arg;
    pair->fired++;
    pair->status = vigil_timer_set(loop, pair->other, pair->delay);
}

CONFORM(moved_in_the_turn_in_which_it_is_due)
{
    static const vigil_ns delays[] = { 0, VIGIL_MS(5) };
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    for (size_t row = 0; row < TEST_COUNT(delays); row++) {
        struct pair pair = { .status = 1, .delay = delays[row] };
        struct due other = { .at = now_ns() + delays[row] };
        EQ_INT(0, vigil_after(loop, 0, move_other, &pair, &pair.self));
        EQ_INT(0, vigil_after(loop, 0, note_due, &other, &pair.other));
        EQ_INT(1, vigil_loop_turn(loop, VIGIL_FOREVER), "the other waits for another turn");
        EQ_INT(0, other.fired);
        EQ_INT(0, vigil_loop_run(loop));
        EQ_INT(1, other.fired);
        EQ_INT(0, other.early);
        EQ_INT(0, pair.status);
    }
    rig_close(&rig);
}

static void set_for_other(vigil_loop *loop, void *arg)
{
    struct pair *pair = arg;
    pair->status = vigil_cancel(loop, pair->other);
    EQ_INT(0, vigil_after(loop, 0, count_timer, &pair->fired, NULL));
}

/* What was set takes the memory of one that was due in this turn, and by a clock that stands still
 * is due now as well. */
CONFORM(set_in_the_place_of_one_that_was_due)
{
    struct pair pair = { .status = 1 };
    int other = 0;
    vigil_host host;
    vigil_loop *loop = loop_on_stopped_clock(backend, &host);
    EQ_INT(0, vigil_after(loop, 0, set_for_other, &pair, &pair.self));
    EQ_INT(0, vigil_after(loop, 0, count_timer, &other, &pair.other));
    EQ_INT(1, vigil_loop_turn(loop, VIGIL_NOWAIT));
    EQ_INT(0, pair.status);
    EQ_INT(0, pair.fired, "it waits for the next turn");
    EQ_INT(1, vigil_loop_turn(loop, VIGIL_NOWAIT));
    EQ_INT(1, pair.fired);
    EQ_INT(0, other);
    vigil_loop_close(loop);
}

static void set_many(vigil_loop *loop, void *arg)
{
    static int never;
    in_sequence(loop, arg);
    for (int i = 0; i < 100; i++)
        EQ_INT(0, vigil_after(loop, VIGIL_S(3600), count_timer, &never, NULL));
}

CONFORM(many_set_while_others_fire)
{
    enum { COUNT = 100 };
    struct rig rig;
    struct sequence sequence = { 0 };
    struct numbered timers[COUNT];
    vigil_loop *loop = rig_open(&rig, backend);
    for (int i = 0; i < COUNT; i++) {
        timers[i] = (struct numbered){ &sequence, i };
        EQ_INT(0, vigil_after(loop, VIGIL_MS(1), set_many, &timers[i], NULL));
    }
    turns_until(loop, &sequence.next, COUNT);
    EQ_INT(0, sequence.wrong);
    EQ_INT(100 * COUNT, stats_of(loop).timers);
    rig_close(&rig);
}

CONFORM(moved_earlier_and_later)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct due early = { 0 }, late = { 0 };
    vigil_timer to_early, to_late, far;
    int fired = 0;
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), note_due, &early, &to_early));
    EQ_INT(0, vigil_after(loop, VIGIL_MS(1), note_due, &late, &to_late));
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), count_timer, &fired, &far));
    early.at = now_ns() + VIGIL_MS(2);
    EQ_INT(0, vigil_timer_set(loop, to_early, VIGIL_MS(2)));
    late.at = now_ns() + VIGIL_MS(30);
    EQ_INT(0, vigil_timer_set(loop, to_late, VIGIL_MS(30)));
    turns_until(loop, &early.fired, 1);
    turns_until(loop, &late.fired, 1);
    EQ_INT(0, early.early);
    EQ_INT(0, late.early);
    EQ_INT(0, fired);
    EQ_INT(1, stats_of(loop).timers);
    EQ_INT(0, vigil_cancel(loop, far));
    EQ_INT(0, vigil_loop_run(loop), "nothing is left");
    EQ_INT(0, stats_of(loop).timers);
    EQ_INT(2, stats_of(loop).timers_fired);
    rig_close(&rig);
}

/* ---- bad input, stale handles ------------------------------------------------------------- */

CONFORM(bad_arguments)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_timer timer;
    int count = 0;
    EQ_INT(VIGIL_EINVAL, vigil_after(loop, -1, count_timer, &count, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_after(loop, INT64_MIN, count_timer, &count, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_after(loop, 0, NULL, &count, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_turn_soon(loop, NULL, &count));
    EQ_INT(0, vigil_after(loop, 0, count_timer, &count, &timer));
    EQ_INT(VIGIL_EINVAL, vigil_timer_set(loop, timer, -1));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1, count);
    rig_close(&rig);
}

CONFORM(forever_never_comes)
{
    static const vigil_ns rows[] = { VIGIL_FOREVER, VIGIL_FOREVER - 1, VIGIL_S(9000000000) };
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        int never = 0, now = 0;
        vigil_timer timer;
        EQ_INT(0, vigil_after(loop, rows[i], count_timer, &never, &timer));
        if (i == 0)
            EQ_INT(VIGIL_FOREVER, vigil_loop_due(loop));
        EQ_INT(0, vigil_loop_turn(loop, VIGIL_MS(2)), "a wait of that length works");
        EQ_INT(0, vigil_after(loop, VIGIL_MS(1), count_timer, &now, NULL));
        turns_until(loop, &now, 1);
        turns_now(loop, 3);
        EQ_INT(0, never);
        EQ_INT(0, vigil_after(loop, VIGIL_MS(1), stop_timer, NULL, NULL));
        EQ_INT(0, vigil_loop_run(loop), "it keeps run running");
        EQ_INT(0, vigil_timer_set(loop, timer, 0));
        turns_until(loop, &never, 1);
    }
    EQ_INT(0, vigil_loop_run(loop));
    rig_close(&rig);
}

CONFORM(stale_handles_never_name_another)
{
    enum { ROUNDS = 300 };
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_timer old[ROUNDS], live;
    int fired = 0, others = 0;
    for (int i = 0; i < ROUNDS; i++) {
        EQ_INT(0, vigil_after(loop, 0, count_timer, &others, &old[i]));
        if (i % 2 == 0)
            EQ_INT(0, vigil_cancel(loop, old[i]));
        else
            turns_until(loop, &others, (i + 1) / 2);
    }
    EQ_INT(0, vigil_after(loop, 0, count_timer, &fired, &live)); /* their slot, once more */
    for (int i = 0; i < ROUNDS; i++) {
        EQ_INT(VIGIL_ESTALE, vigil_cancel(loop, old[i]));
        EQ_INT(VIGIL_ESTALE, vigil_timer_set(loop, old[i], VIGIL_S(3600)));
    }
    const vigil_timer wild[] = {
        { 0 }, { UINT64_MAX }, { UINT32_MAX }, { live.v + 1 }, { live.v ^ UINT64_C(1) << 63 }
    };
    for (size_t i = 0; i < TEST_COUNT(wild); i++)
        EQ_INT(VIGIL_ESTALE, vigil_cancel(loop, wild[i]), "row %zu", i);
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1, fired);
    rig_close(&rig);
}

/* Sequence numbers of timers wrap.  A timer older than half of them was taken for one set in this
 * turn: it did not fire when due, and the loop spun.  The counter is moved here as that many calls
 * of vigil_timer_set() would. */
CONFORM(a_timer_fires_after_two_billion_others_were_set)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fired = 0;
    EQ_INT(0, vigil_after(loop, VIGIL_MS(1), count_timer, &fired, NULL));
    loop->timers.sequence += UINT32_MAX / 2 + 100;
    turns_until(loop, &fired, 1);
    OK(stats_of(loop).turns < 10, "%" PRIu64 " turns", stats_of(loop).turns);
    rig_close(&rig);
}

/* The memory of many goes back when none is left, and what was set since has other names. */
CONFORM(stale_handles_of_a_burst_never_name_another)
{
    enum { COUNT = 3000 };
    static vigil_timer old[COUNT], live[COUNT];
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    size_t before = rig.memory.bytes;
    int fired = 0;
    for (int i = 0; i < COUNT; i++)
        EQ_INT(0, vigil_after(loop, 0, count_timer, &fired, &old[i]));
    OK(rig.memory.bytes > before, "they take memory");
    turns_until(loop, &fired, COUNT);
    EQ_INT(before, rig.memory.bytes, "it is back");
    for (int i = 0; i < COUNT; i++)
        EQ_INT(0, vigil_after(loop, 0, count_timer, &fired, &live[i]));
    for (int i = 0; i < COUNT; i++) {
        EQ_INT(VIGIL_ESTALE, vigil_cancel(loop, old[i]), "timer %d", i);
        EQ_INT(VIGIL_ESTALE, vigil_timer_set(loop, old[i], 0), "timer %d", i);
    }
    turns_until(loop, &fired, 2 * COUNT);
    rig_close(&rig);
}

/* ---- beside a model ----------------------------------------------------------------------- */

enum { MODEL_TIMERS = 200, MODEL_STEPS = 10000 };

struct model;

struct model_timer {
    struct model *model;
    vigil_timer handle;
    bool armed;
    vigil_ns from, to; /* it is due in here: the clock before and after it was set */
};

struct model {
    struct model_timer timers[MODEL_TIMERS];
    uint64_t random;
    vigil_ns latest; /* the highest `from` of those that fired */
    int fired, unexpected, early, disorder, steps;
};

static uint32_t model_random(struct model *model, uint32_t below)
{
    model->random = model->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(model->random >> 33) % below;
}

static void model_step(vigil_loop *loop, struct model *model);

static void model_fired(vigil_loop *loop, void *arg)
{
    struct model_timer *timer = arg;
    struct model *model = timer->model;
    model->fired++;
    model->unexpected += !timer->armed;
    model->early += now_ns() < timer->from;
    model->disorder += timer->to < model->latest;
    model->latest = timer->from > model->latest ? timer->from : model->latest;
    timer->armed = false;
    while (model_random(model, 3) == 0) /* steps are taken inside callbacks too */
        model_step(loop, model);
}

static void model_step(vigil_loop *loop, struct model *model)
{
    struct model_timer *timer = &model->timers[model_random(model, MODEL_TIMERS)];
    uint32_t what = model_random(model, 4);
    vigil_ns delay = what == 0 ? 0 : (vigil_ns)model_random(model, 3000000);
    int want = timer->armed ? 0 : VIGIL_ESTALE;
    model->steps++;
    if (what == 3) {
        EQ_INT(want, vigil_cancel(loop, timer->handle));
        timer->armed = false;
        return;
    }
    vigil_ns from = now_ns() + delay;
    if (what == 2 || timer->armed) {
        EQ_INT(want, vigil_timer_set(loop, timer->handle, delay));
    } else {
        EQ_INT(0, vigil_after(loop, delay, model_fired, timer, &timer->handle));
        timer->armed = true;
    }
    timer->from = from;
    timer->to = now_ns() + delay;
}

CONFORM(ten_thousand_random_steps)
{
    static struct model model;
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    model = (struct model){ .random = 20240229 };
    for (int i = 0; i < MODEL_TIMERS; i++)
        model.timers[i].model = &model;
    while (model.steps < MODEL_STEPS) {
        for (uint32_t n = model_random(&model, 20); n > 0; n--)
            model_step(loop, &model);
        REQUIRE(vigil_loop_turn(loop, model_random(&model, 500000)) >= 0);
        uint64_t armed = 0;
        for (int i = 0; i < MODEL_TIMERS; i++)
            armed += model.timers[i].armed;
        EQ_INT(armed, stats_of(loop).timers);
    }
    model.steps = 0;
    EQ_INT(0, vigil_loop_run(loop));
    for (int i = 0; i < MODEL_TIMERS; i++)
        OK(!model.timers[i].armed, "timer %d", i);
    EQ_INT(0, model.unexpected);
    EQ_INT(0, model.early);
    EQ_INT(0, model.disorder);
    EQ_INT(model.fired, stats_of(loop).timers_fired);
    rig_close(&rig);
}

/* ---- a million ---------------------------------------------------------------------------- */

enum { MILLION = 1000000 };

/* Sets them all, moves them all, cancels every third, and lets the others fire. */
static void a_round_of_many(const struct rig *rig, vigil_loop *loop, vigil_timer *timers, int count)
{
    size_t before = rig->memory.bytes;
    int fired = 0, wrong = 0;
    for (int i = 0; i < count; i++)
        wrong += vigil_after(loop, VIGIL_S(3600) + i % 1009, count_timer, &fired, &timers[i]) != 0;
    EQ_INT(count, stats_of(loop).timers);
    size_t each = (rig->memory.bytes - before) / (size_t)count;
    OK(each < 90, "%zu bytes each", each); /* 42, and twice that behind a growth */
    for (int i = 0; i < count; i++)
        wrong += vigil_timer_set(loop, timers[i], i * (int64_t)7919 % VIGIL_MS(50)) != 0;
    int canceled = 0;
    for (int i = 0; i < count; i += 3, canceled++)
        wrong += vigil_cancel(loop, timers[i]) != 0;
    EQ_INT(0, wrong);
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(count - canceled, fired);
}

CONFORM(a_million_at_once)
{
    int count = test_time_scale() > 1 || TEST_IN_WORLD ? test_many(MILLION / 20, 100) : MILLION;
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_timer *timers = calloc((size_t)count, sizeof(*timers));
    REQUIRE(timers != NULL);
    size_t before = rig.memory.bytes;
    vigil_ns start = cpu_ns();
    a_round_of_many(&rig, loop, timers, count);
    size_t after_one = rig.memory.bytes;
    vigil_ns took = cpu_ns() - start;
    a_round_of_many(&rig, loop, timers, count);
    EQ_INT(after_one, rig.memory.bytes, "the second million takes no more memory");
    OK(after_one <= before + 65536, "%zu bytes are left of %zu", after_one, before);
    fprintf(stderr, "# %d timers set, moved, cancelled or fired: %" PRId64 " ms of CPU\n", count,
            took / VIGIL_MS(1));
    free(timers);
    rig_close(&rig);
}
