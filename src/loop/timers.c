/* SPDX-License-Identifier: MIT
 *
 * timers.c -- calls at a time.  Floor: loop.
 */
#include "loop/loop.h"

static struct vigil__timer *timer_find(vigil_loop *loop, vigil_timer timer)
{
    return vigil__slab_find(&loop->timer_slab, timer.v);
}

static void timer_end(vigil_loop *loop, struct vigil__timer *timer)
{
    vigil__heap_remove(&loop->timers, timer->slot.index);
    vigil__slab_give(&loop->timer_slab, timer);
    vigil__gauge(&loop->stats.timers, loop->timers.count);
}

int vigil_after(vigil_loop *loop, vigil_ns delay_ns, vigil_timer_fn *fn, void *arg,
                vigil_timer *out)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    if (delay_ns < 0 || fn == NULL)
        return VIGIL_EINVAL;
    struct vigil__timer *timer = vigil__slab_take(&loop->timer_slab);
    if (timer == NULL)
        return VIGIL_ENOMEM;
    timer->fn = fn;
    timer->arg = arg;
    vigil_ns due = vigil__time_add(vigil__loop_clock(loop), delay_ns);
    if (!vigil__heap_set(&loop->timers, timer->slot.index, due)) {
        vigil__slab_give(&loop->timer_slab, timer);
        return VIGIL_ENOMEM;
    }
    vigil__gauge(&loop->stats.timers, loop->timers.count);
    if (out != NULL)
        out->v = vigil__slot_handle(&timer->slot);
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
    struct vigil__timer *found = timer_find(loop, timer);
    if (found == NULL)
        return VIGIL_ESTALE;
    vigil_ns due = vigil__time_add(vigil__loop_clock(loop), delay_ns);
    bool moved = vigil__heap_set(&loop->timers, found->slot.index, due);
    VIGIL_ASSERT(moved); /* a move takes no memory */
    return 0;
}

int vigil_cancel(vigil_loop *loop, vigil_timer timer)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    struct vigil__timer *found = timer_find(loop, timer);
    if (found == NULL)
        return VIGIL_ESTALE;
    timer_end(loop, found);
    return 0;
}

void vigil__timers_run(vigil_loop *loop)
{
    vigil_ns now = loop->now; /* this turn's: callbacks may read the clock again */
    uint32_t first_new = loop->timers.sequence;
    while (loop->timers.count > 0 && !loop->closing) {
        struct vigil__heap_entry first = loop->timers.entries[0];
        /* One set in this turn waits for the next.  Its time is at least this turn's, so only among
         * equals need the sequence be asked, which wraps and means nothing for one set long ago. */
        if (first.due > now || (first.due == now && (int32_t)(first.sequence - first_new) >= 0))
            break;
        struct vigil__timer *timer = vigil__slab_at(&loop->timer_slab, first.owner);
        vigil_timer_fn *fn = timer->fn;
        void *arg = timer->arg;
        timer_end(loop, timer);
        vigil__count(&loop->stats.timers_fired, 1);
        fn(loop, arg);
        vigil__callback_ran(loop, "timer");
    }
}
