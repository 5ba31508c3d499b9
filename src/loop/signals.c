/* SPDX-License-Identifier: MIT
 *
 * signals.c -- signals as calls in a turn.  Floor: loop.
 *
 * The handler sets a bit per signal and wakes the loop; nothing is queued, so nothing overflows.
 */
#include "loop/loop.h"

enum { SIGNAL_INTERRUPT = 2, SIGNAL_TERMINATE = 15 }; /* the same on all systems */

static void signal_wake(void *arg)
{
    vigil_loop *loop = arg;
    (void)loop->backend->wake(loop->backend_self); /* a handler has nobody to tell */
}

static bool signal_shared(const vigil_loop *loop, const struct vigil__signal *but, int signo)
{
    for (uint32_t i = 0; i < vigil__slab_slots(&loop->signal_slab); i++) {
        const struct vigil__signal *other = vigil__slab_at(&loop->signal_slab, i);
        if (other != but && vigil__slot_taken(&other->slot) && other->signo == signo)
            return true;
    }
    return false;
}

/* One that came and was not told yet is nobody's now, nor that of the next who asks for it. */
static void signal_forget(vigil_loop *loop, int signo)
{
    loop->host->signal_remove(loop->host->self, signo, &loop->sink);
    atomic_fetch_and(&loop->sink.pending, ~(UINT64_C(1) << (signo - 1)));
}

int vigil_on_signal(vigil_loop *loop, int signo, vigil_signal_fn *fn, void *arg, vigil_signal *out)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    if (signo < 1 || signo > VIGIL__SIGNAL_MAX || fn == NULL)
        return VIGIL_EINVAL;
    struct vigil__signal *signal = vigil__slab_take(&loop->signal_slab);
    if (signal == NULL)
        return VIGIL_ENOMEM;
    if (loop->sink.wake == NULL) { /* else handlers may be reading it */
        loop->sink.wake = signal_wake;
        loop->sink.arg = loop;
    }
    if (!signal_shared(loop, signal, signo))
        status = loop->host->signal_add(loop->host->self, signo, &loop->sink);
    if (status != 0) {
        vigil__slab_give(&loop->signal_slab, signal);
        return status;
    }
    signal->signo = signo;
    signal->sequence = loop->signal_sequence++;
    signal->fn = fn;
    signal->arg = arg;
    if (out != NULL)
        out->v = vigil__slot_handle(&signal->slot);
    return 0;
}

int vigil_signal_cancel(vigil_loop *loop, vigil_signal signal)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    struct vigil__signal *found = vigil__slab_find(&loop->signal_slab, signal.v);
    if (found == NULL)
        return VIGIL_ESTALE;
    if (!signal_shared(loop, found, found->signo))
        signal_forget(loop, found->signo);
    vigil__slab_give(&loop->signal_slab, found);
    return 0;
}

/* Calls those who had asked when it was seen; one who asks in a callback waits for the next. */
static void signal_run(vigil_loop *loop, int signo, uint64_t first_new)
{
    for (uint32_t i = 0; i < vigil__slab_slots(&loop->signal_slab) && !loop->closing; i++) {
        struct vigil__signal *signal = vigil__slab_at(&loop->signal_slab, i);
        if (!vigil__slot_taken(&signal->slot) || signal->signo != signo ||
            signal->sequence >= first_new)
            continue;
        signal->fn(loop, signo, signal->arg);
        vigil__callback_ran(loop, "signal");
    }
}

void vigil__signals_run(vigil_loop *loop)
{
    uint64_t first_new = loop->signal_sequence;
    uint64_t pending = atomic_exchange(&loop->sink.pending, 0);
    for (int signo = 1; signo <= VIGIL__SIGNAL_MAX && !loop->closing; signo++)
        if ((pending >> (signo - 1) & 1) != 0)
            signal_run(loop, signo, first_new);
}

void vigil__signals_close(vigil_loop *loop)
{
    for (uint32_t i = 0; i < vigil__slab_slots(&loop->signal_slab); i++) {
        struct vigil__signal *signal = vigil__slab_at(&loop->signal_slab, i);
        if (!vigil__slot_taken(&signal->slot))
            continue;
        /* The child has a signal table of its own: its handlers must not find this loop either. */
        if (!signal_shared(loop, signal, signal->signo))
            signal_forget(loop, signal->signo);
        vigil__slab_give(&loop->signal_slab, signal);
    }
    vigil__slab_clear(&loop->signal_slab);
}

static void on_stop_signal(vigil_loop *loop, int signo, void *arg)
{
    (void)signo, (void)arg;
    if (!loop->draining)
        (void)vigil_loop_drain(loop, loop->grace_ns); /* own thread, good grace: cannot fail */
    else
        loop->drain_due = loop->now; /* asked twice: no more grace */
}

int vigil__stop_signals(vigil_loop *loop)
{
    int status = vigil_on_signal(loop, SIGNAL_INTERRUPT, on_stop_signal, NULL,
                                 &loop->stop_signals[0]);
    if (status != 0)
        return status;
    return vigil_on_signal(loop, SIGNAL_TERMINATE, on_stop_signal, NULL, &loop->stop_signals[1]);
}
