/* SPDX-License-Identifier: MIT
 *
 * timers.c -- scenario: timers that are set, moved and cancelled at random: never early, in order,
 * and none is lost.
 */
#include "sim/rig.h"

enum { TIMERS = 40, STEPS = 120 };

struct timed {
    struct world *world;
    vigil_timer timer;
    vigil_ns due;
    uint64_t sequence;
    uint64_t turn; /* of the loop, if it was armed inside one */
    bool armed;
};

struct world {
    vigil_sim *sim;
    struct side side;
    struct timed timers[TIMERS];
    uint64_t sequence, fired_sequence;
    vigil_ns fired_due;
    uint32_t steps;
};

static void arm(struct world *w, struct timed *t);

static uint64_t turn_of(const struct world *w)
{
    vigil_stats stats;
    vigil_stats_get(w->side.loop, &stats);
    return stats.turns;
}

static void fires(vigil_loop *loop, void *arg)
{
    struct timed *t = arg;
    struct world *w = t->world;
    vigil_sim_always(w->sim, "timers fire once, when armed", t->armed, "a dead one fires");
    side_timer(&w->side, t->due);
    bool in_order = t->due > w->fired_due ||
                    (t->due == w->fired_due && t->sequence > w->fired_sequence);
    vigil_sim_always(w->sim, "timers fire in order", in_order, "one is behind a later one");
    vigil_sim_always(w->sim, "a fired timer is stale", vigil_cancel(loop, t->timer) == VIGIL_ESTALE,
                     "it is not");
    vigil_sim_always(w->sim, "a timer does not fire in the turn that armed it",
                     t->turn != turn_of(w), "it does");
    w->fired_due = t->due;
    w->fired_sequence = t->sequence;
    t->armed = false;
    if (vigil_sim_choose(w->sim, "arm again", 8) == 7) {
        arm(w, t);
        t->turn = turn_of(w);
    }
}

/* The loop's clock is not the world's while it turns: a delay counts from the call. */
static void arm(struct world *w, struct timed *t)
{
    bool at_once = vigil_sim_choose(w->sim, "at once", 4) == 3;
    vigil_ns delay = at_once ? 0 : VIGIL_US(vigil_sim_choose(w->sim, "delay us", 50000));
    vigil_loop *loop = w->side.loop;
    int err = t->armed ? vigil_timer_set(loop, t->timer, delay)
                       : vigil_after(loop, delay, fires, t, &t->timer);
    vigil_sim_always(w->sim, "moving a timer never fails", err == 0 || !t->armed, "%s",
                     vigil_err_name(err));
    if (err != 0)
        return;
    w->side.timers += !t->armed;
    t->armed = true;
    t->turn = 0;
    t->due = vigil_sim_now(w->sim) + delay;
    t->sequence = ++w->sequence;
}

static void step(void *arg)
{
    struct world *w = arg;
    struct timed *t = &w->timers[vigil_sim_choose(w->sim, "which timer", TIMERS)];
    if (t->armed && vigil_sim_choose(w->sim, "cancel", 4) == 3) {
        vigil_sim_always(w->sim, "an armed timer can be cancelled",
                         vigil_cancel(w->side.loop, t->timer) == 0, "it cannot");
        w->side.timers--;
        t->armed = false;
    } else {
        arm(w, t);
    }
    if (++w->steps < STEPS)
        (void)vigil_sim_after(w->sim, VIGIL_US(vigil_sim_choose(w->sim, "step us", 2000)), step, w);
}

static bool side_holds(void *arg)
{
    (void)side_compare(arg);
    return true;
}

static bool none_armed(void *arg)
{
    const struct world *w = arg;
    for (size_t i = 0; i < TIMERS; i++)
        if (w->timers[i].armed)
            return false;
    return w->steps == STEPS;
}

void scenario_timers(vigil_sim *sim)
{
    struct world w = { .sim = sim };
    const vigil_host *host = vigil_sim_host(sim, "10.0.0.1", NULL);
    for (size_t i = 0; i < TIMERS; i++)
        w.timers[i].world = &w;
    if (side_open(&w.side, sim, host, NULL) == 0 &&
        vigil_sim_invariant(sim, "what the loops say is so", side_holds, &w.side) == 0 &&
        vigil_sim_after(sim, 0, step, &w) == 0) {
        vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_MS(100));
        vigil_sim_eventually(sim, "every timer fires", none_armed, &w, VIGIL_S(10));
    }
    side_close(&w.side);
    vigil_sim_check_balance(sim);
}
