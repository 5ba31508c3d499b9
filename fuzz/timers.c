/* SPDX-License-Identifier: MIT
 *
 * timers.c -- fuzz target: timers by the public calls, on a clock of ours, against a plain list.
 *
 * Never early, never late within a turn, in the order of their times and then of their setting,
 * each once; a handle of one that has fired or was cancelled is stale for ever.  Callbacks do what
 * the main program does, the end of the loop included.
 */
#include "machine.h"

enum { TIMERS = 400, STEPS = 400 };

struct timer {
    vigil_timer handle;
    bool live;
    bool nameless; /* no handle was asked for */
    vigil_ns due;
    uint64_t order; /* of the last set */
    unsigned turn;  /* in which it was set, 0 outside */
};

static struct {
    struct fuzz_in in;
    vigil_loop *loop;
    struct timer timers[TIMERS];
    unsigned count, live;
    uint64_t next_order, fired;
    unsigned turn; /* the one that runs, or 0 */
    unsigned turns;
    vigil_ns turn_now; /* its reading of the clock, when the first fired; -1: not yet */
    unsigned steps;
    bool closing, closed;
} t;

static void act(void);

/* The one that must fire next in this turn, or NULL. */
static struct timer *first_due(vigil_ns now)
{
    struct timer *first = NULL;
    for (unsigned i = 0; i < t.count; i++) {
        struct timer *timer = &t.timers[i];
        if (!timer->live || timer->due > now || (t.turn != 0 && timer->turn == t.turn))
            continue;
        if (first == NULL || timer->due < first->due ||
            (timer->due == first->due && timer->order < first->order))
            first = timer;
    }
    return first;
}

static void fire(vigil_loop *loop, void *arg)
{
    struct timer *timer = arg;
    CHECK(loop == t.loop && t.turn != 0 && !t.closing, "a timer fires outside of a turn");
    if (t.turn_now < 0)
        t.turn_now = machine.now; /* nothing ran in this turn before */
    CHECK(timer->live, "one that has fired, or was cancelled");
    CHECK(timer->due <= t.turn_now, "early by %lld ns", (long long)(timer->due - t.turn_now));
    CHECK(timer->turn != t.turn, "set in this very turn");
    CHECK(first_due(t.turn_now) == timer, "another one was first");
    timer->live = false;
    t.live--;
    t.fired++;
    unsigned actions = fuzz_below(&t.in, 4);
    for (unsigned i = 0; i < actions; i++)
        act();
}

static vigil_ns some_delay(void)
{
    static const vigil_ns delays[] = {
        0, 0, 1, 2, 3, 10, 50, 1000, VIGIL_MS(1), VIGIL_S(1), VIGIL_FOREVER - 1, VIGIL_FOREVER, -1,
    };
    return FUZZ_OF(&t.in, delays);
}

static void set(struct timer *timer, vigil_ns delay)
{
    timer->due = vigil__time_add(machine.now, delay);
    timer->order = t.next_order++;
    timer->turn = t.turn;
}

static void act_after(void)
{
    vigil_ns delay = some_delay();
    if (t.count == TIMERS)
        return;
    struct timer *timer = &t.timers[t.count];
    bool named = fuzz_below(&t.in, 4) != 0;
    int err = vigil_after(t.loop, delay, fire, timer, named ? &timer->handle : NULL);
    CHECK(err == (delay < 0 ? VIGIL_EINVAL : 0) || (err == VIGIL_ENOMEM && machine.memory_failed),
          "%d", err);
    if (err != 0)
        return;
    t.count++;
    t.live++;
    timer->live = true;
    timer->nameless = !named;
    set(timer, delay);
}

/* One of those that were ever made, or a name that never was one. */
static struct timer *some_timer(void)
{
    static struct timer nobody;
    unsigned i = fuzz_below(&t.in, 95);
    if (t.count == 0 || i == 94) {
        nobody = (struct timer){ .handle = { fuzz_byte(&t.in) } };
        return &nobody;
    }
    return &t.timers[t.count > 94 ? t.count - 1 - i : i % t.count];
}

static void act_set(void)
{
    struct timer *timer = some_timer();
    vigil_ns delay = some_delay();
    if (timer->nameless)
        return;
    int err = vigil_timer_set(t.loop, timer->handle, delay);
    CHECK(err == (delay < 0 ? VIGIL_EINVAL : timer->live ? 0 : VIGIL_ESTALE), "%d", err);
    if (err == 0)
        set(timer, delay);
}

static void act_cancel(void)
{
    struct timer *timer = some_timer();
    if (timer->nameless)
        return;
    int err = vigil_cancel(t.loop, timer->handle);
    CHECK(err == (timer->live ? 0 : VIGIL_ESTALE), "%d", err);
    t.live -= timer->live;
    timer->live = false;
}

static void act_soon(void)
{
    if (t.count == TIMERS)
        return;
    struct timer *timer = &t.timers[t.count];
    int err = vigil_turn_soon(t.loop, fire, timer);
    CHECK(err == 0 || (err == VIGIL_ENOMEM && machine.memory_failed), "%d", err);
    if (err != 0)
        return;
    t.count++;
    t.live++;
    timer->live = timer->nameless = true;
    set(timer, 0);
}

/* What the loop says of itself is what the list says. */
static void compare(void)
{
    vigil_stats stats;
    vigil_stats_get(t.loop, &stats);
    CHECK(stats.timers == t.live, "%llu timers, want %u", (unsigned long long)stats.timers, t.live);
    CHECK(stats.timers_fired == t.fired);
    if (t.turn != 0)
        return;
    vigil_ns due = VIGIL_FOREVER;
    for (unsigned i = 0; i < t.count; i++)
        if (t.timers[i].live && t.timers[i].due < due)
            due = t.timers[i].due;
    vigil_ns left = due == VIGIL_FOREVER ? due : due > machine.now ? due - machine.now : 0;
    CHECK(vigil_loop_due(t.loop) == left);
}

static void turn(void)
{
    vigil_ns timeout = some_delay();
    if (t.turn != 0) {
        CHECK(vigil_loop_turn(t.loop, 0) == VIGIL_EINVAL, "a turn inside a turn");
        return;
    }
    t.turn = ++t.turns;
    t.turn_now = -1;
    int count = vigil_loop_turn(t.loop, timeout);
    if (timeout < 0) {
        CHECK(count == VIGIL_EINVAL);
    } else if (count == VIGIL_ECANCELED) {
        CHECK(t.closing, "the loop is dead");
        t.closed = true;
    } else {
        CHECK(count >= 0, "%d", count);
        vigil_ns now = t.turn_now < 0 ? machine.now : t.turn_now;
        CHECK(first_due(now) == NULL, "one that was due has not fired");
    }
    t.turn = 0;
}

static void act(void)
{
    if (t.steps++ >= STEPS || t.closing || t.closed)
        return;
    switch (fuzz_below(&t.in, 12)) {
    case 0:
        act_set();
        break;
    case 1:
        act_cancel();
        break;
    case 2:
        act_soon();
        break;
    case 3:
        machine.now += fuzz_below(&t.in, 95);
        break;
    case 4:
        machine.late = fuzz_below(&t.in, 3) * 7;
        break;
    case 5:
        machine.memory_left = fuzz_below(&t.in, 3) == 0 ? fuzz_below(&t.in, 4) : UINT32_MAX;
        break;
    case 6:
        if (t.turn != 0 && fuzz_below(&t.in, 8) == 7) {
            vigil_loop_close(t.loop);
            t.closing = true;
            return;
        }
        machine_wake(NULL);
        break;
    case 7:
    case 8:
        turn();
        break;
    default:
        act_after();
    }
    if (!t.closing && !t.closed)
        compare();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    machine_begin();
    memset(&t, 0, sizeof t);
    t.in = (struct fuzz_in){ data, size };
    vigil_loop_options options = { .host = &machine_host, .stall_after_ns = VIGIL_FOREVER };
    CHECK(vigil_loop_open(&t.loop, &options) == 0);
    while (t.in.n > 0 && !t.closed && t.steps < STEPS)
        act();
    if (!t.closed) {
        machine_calm();
        vigil_loop_close(t.loop);
    }
    machine_end(0);
    return 0;
}
