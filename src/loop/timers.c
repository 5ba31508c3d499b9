/* SPDX-License-Identifier: MIT
 *
 * timers.c -- calls at a time.  Floor: loop.
 */
#include "loop/loop.h"

enum {
    AHEAD = 16,      /* timers that are fetched into the cache ahead of their call; 8 is slower */
    CROWD = 1000,    /* to sort so many takes a time that must not be counted as a callback's */
    ROOM_KEPT = 1024 /* for so many timers memory is kept when none is left */
};

static inline void timer_end(vigil_loop *loop, struct vigil__timer *timer)
{
    vigil__tournament_give(&loop->timers, timer);
    vigil__gauge(&loop->stats.timers, loop->timers.count);
}

/* Gives back what a burst has taken, but not what is being walked. */
static VIGIL_COLD void timers_trim(struct vigil__tournament *t)
{
    if (t->run_count == 0 && t->room > ROOM_KEPT)
        vigil__tournament_trim(t);
}

int vigil_after(vigil_loop *loop, vigil_ns delay_ns, vigil_timer_fn *fn, void *arg,
                vigil_timer *out)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    if (delay_ns < 0 || fn == NULL)
        return VIGIL_EINVAL;
    vigil__tournament_prefetch_next(&loop->timers);
    vigil_ns due = vigil__time_add(vigil__loop_clock(loop), delay_ns);
    struct vigil__timer *timer = vigil__tournament_take(&loop->timers);
    if (timer == NULL)
        return VIGIL_ENOMEM;
    timer->fn = fn;
    timer->arg = arg;
    vigil__tournament_set(&loop->timers, timer, due);
    vigil__gauge(&loop->stats.timers, loop->timers.count);
    if (out != NULL)
        out->v = vigil__tournament_handle(&loop->timers, timer);
    return 0;
}

int vigil_turn_soon(vigil_loop *loop, vigil_timer_fn *fn, void *arg)
{
    return vigil_after(loop, 0, fn, arg, NULL);
}

int vigil_timer_set(vigil_loop *loop, vigil_timer timer, vigil_ns delay_ns)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    if (delay_ns < 0)
        return VIGIL_EINVAL;
    vigil__tournament_prefetch(&loop->timers, timer.v);
    vigil_ns due = vigil__time_add(vigil__loop_clock(loop), delay_ns);
    struct vigil__timer *found = vigil__tournament_find(&loop->timers, timer.v);
    if (found == NULL)
        return VIGIL_ESTALE;
    vigil__tournament_set(&loop->timers, found, due);
    return 0;
}

int vigil_cancel(vigil_loop *loop, vigil_timer timer)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    struct vigil__timer *found = vigil__tournament_find(&loop->timers, timer.v);
    if (found == NULL)
        return VIGIL_ESTALE;
    timer_end(loop, found);
    if (VIGIL_UNLIKELY(loop->timers.count == 0))
        timers_trim(&loop->timers);
    return 0;
}

/* Whether one that was due when the turn began still is: callbacks end timers, and set them. */
static bool timer_still_due(const struct vigil__tournament *t, const struct vigil__timer *timer,
                            vigil_ns now, uint32_t first_new)
{
    if (timer->due != now)
        return timer->due < now;
    /* One set in this turn waits for the next.  Its time is at least this turn's, so only among
     * equals need the sequence be asked, which wraps and means nothing for one set long ago. */
    return timer->sequence - first_new >= t->sequence - first_new;
}

void vigil__timers_run(vigil_loop *loop)
{
    struct vigil__tournament *t = &loop->timers;
    vigil_ns now = loop->now; /* this turn's: callbacks may read the clock again */
    uint32_t first_new = t->sequence;
    uint32_t count = vigil__tournament_collect(t, now);
    if (count > CROWD) {
        loop->clock_read = vigil__loop_clock(loop);
        loop->now = loop->clock_read; /* what moves from now on is stamped with it */
    }
    for (uint32_t i = 0; i < count && !loop->closing; i++) {
        if (i + AHEAD < count)
            __builtin_prefetch(&t->timers[t->run[i + AHEAD].index]);
        struct vigil__timer *timer = &t->timers[t->run[i].index]; /* callbacks may move them all */
        if (!timer_still_due(t, timer, now, first_new))
            continue;
        vigil_timer_fn *fn = timer->fn;
        void *arg = timer->arg;
        timer_end(loop, timer);
        vigil__count(&loop->stats.timers_fired, 1);
        fn(loop, arg);
        vigil__callback_ran(loop, "timer");
    }
    t->run_count = 0;
    if (t->count == 0)
        timers_trim(t);
}
