/* SPDX-License-Identifier: MIT
 *
 * loop.c -- opening, turning, stopping and closing a loop.  Floor: loop.
 *
 * All callbacks are called from a turn; backends and operations only bring records.
 */
#include "loop/loop.h"

#include <string.h>

enum { LAST_WAITS_MAX = 1000 }; /* for a kernel that keeps an operation: some seconds */

static const vigil_ns last_wait_ns = VIGIL_MS(10);

static const size_t memory_limit_default = (size_t)256 << 20;
static const size_t memory_limit_min = 4 * (size_t)VIGIL__BUF_READ; /* one in, and room to answer */

static int loop_turn(vigil_loop *loop, vigil_ns timeout);
static int turn_wait(vigil_loop *loop, vigil_ns timeout);
static vigil_ns loop_due(vigil_loop *loop);
static void turn_records(vigil_loop *loop, int count);
static unsigned callbacks_untimed(const vigil_loop *loop);
static bool loop_alive(const vigil_loop *loop);
static void loop_last_records(vigil_loop *loop);
static void loop_free(vigil_loop *loop);

static int options_check(const vigil_loop_options *o)
{
    bool memory = o->memory_limit == 0 || o->memory_limit >= memory_limit_min;
    return o->stall_after_ns < 0 || o->grace_ns < 0 || !memory ? VIGIL_EINVAL : 0;
}

static void loop_init(vigil_loop *loop, const vigil_loop_options *o)
{
    loop->stall_after_ns = o->stall_after_ns != 0 ? o->stall_after_ns : VIGIL_MS(50);
    loop->grace_ns = o->grace_ns != 0 ? o->grace_ns : VIGIL_S(10);
    loop->on_stall = o->on_stall;
    loop->user = o->user;
    loop->keep_running = o->keep_running;
    loop->process = vigil__process_mark();
    loop->offer.conn = VIGIL__OFFER_NONE;
    vigil__pool_init(&loop->pool, &loop->allocator,
                     o->memory_limit != 0 ? o->memory_limit : memory_limit_default);
    vigil__slab_init(&loop->own_ports, &loop->allocator, sizeof(struct vigil__own_port));
    loop->ports[false] = (struct vigil__ports){ .slab = &loop->own_ports,
                                                .lists.count = VIGIL__LIST_WORK };
    loop->ports[true].lists.count = VIGIL__LISTS;
    vigil__slab_init(&loop->signal_slab, &loop->allocator, sizeof(struct vigil__signal));
    vigil__tournament_init(&loop->timers, &loop->allocator);
    loop->now = vigil__loop_clock(loop);
    loop->clock_read = loop->now;
    loop->callbacks_look = VIGIL__CALLBACKS_CLOCK;
    loop->callbacks_left = VIGIL__CALLBACKS_CLOCK;
}

VIGIL_COLD int vigil_loop_open(vigil_loop **out, const vigil_loop_options *options)
{
    static const vigil_loop_options none;
    const vigil_loop_options *o = options != NULL ? options : &none;
    *out = NULL;
    int status = options_check(o);
    if (status != 0)
        return status;
    const vigil_host *host = o->host != NULL ? o->host : vigil__host_system();
    const vigil_allocator *allocator = o->allocator != NULL ? o->allocator : &host->allocator;
    vigil_loop *loop = vigil__alloc(allocator, sizeof(*loop));
    if (loop == NULL)
        return VIGIL_ENOMEM;
    memset(loop, 0, sizeof(*loop));
    loop->host = host;
    loop->plain = vigil__host_is_plain(host);
    loop->allocator = *allocator;
    loop_init(loop, o);
    struct vigil__backend_config config = { .host = host,
                                            .allocator = &loop->allocator,
                                            .pool = &loop->pool };
    status = vigil__backend_open(o->backend, &config, &loop->backend, &loop->backend_self,
                                 &loop->caps);
    loop->pool.give = status == 0 ? loop->backend->give : NULL;
    loop->pool.give_self = loop->backend_self;
    if (status == 0 && o->stop_on_signals)
        status = vigil__stop_signals(loop);
    if (status != 0) {
        loop_free(loop);
        return status;
    }
    *out = loop;
    return 0;
}

/* Takes the loop for this thread while a turn runs. */
static int loop_enter(vigil_loop *loop)
{
    const void *nobody = NULL;
    if (!atomic_compare_exchange_strong(&loop->owner, &nobody, vigil__thread_mark()))
        return nobody == vigil__thread_mark() ? VIGIL_EINVAL : VIGIL_ETHREAD;
    vigil__posts_turner(loop, vigil__thread_mark());
    return 0;
}

/* Who waits in its stead shall be woken for what was posted while it was awake. */
static void loop_rests(vigil_loop *loop)
{
    vigil__posts_awake(loop, false);
    if (loop->remote != NULL && vigil__posts_pushed(loop->remote) &&
        vigil__process_is(loop->process))
        (void)loop->backend->wake(loop->backend_self);
}

/* Gives it back, and ends it if a callback asked for that: the loop is dead then. */
static bool loop_leave(vigil_loop *loop)
{
    if (callbacks_untimed(loop) > 0)
        vigil__clock_look(loop, "several"); /* the caller's time begins: no callback's any more */
    loop_rests(loop);
    vigil__posts_turner(loop, NULL);
    atomic_store(&loop->owner, NULL);
    if (!loop->closing)
        return false;
    loop->closing = false;
    vigil_loop_close(loop);
    return true;
}

void vigil__loop_hand_over(vigil_loop *loop)
{
    if (loop->backend->flush != NULL && vigil__process_is(loop->process))
        loop->backend->flush(loop->backend_self);
}

int vigil_loop_turn(vigil_loop *loop, vigil_ns timeout_ns)
{
    int status = timeout_ns < 0 ? VIGIL_EINVAL : loop_enter(loop);
    if (status != 0)
        return status;
    int count = loop_turn(loop, timeout_ns);
    if (count >= 0)
        vigil__loop_hand_over(loop); /* nobody knows when the next turn will be */
    return loop_leave(loop) ? VIGIL_ECANCELED : count;
}

VIGIL_HOT int vigil_loop_run(vigil_loop *loop)
{
    int status = loop_enter(loop);
    if (status != 0)
        return status;
    /* The flag is taken first: one that comes with the last callback is not for the next run. */
    while (status >= 0 && !loop->closing && !atomic_exchange(&loop->stop, false) &&
           loop_alive(loop))
        status = loop_turn(loop, VIGIL_FOREVER);
    if (status >= 0)
        vigil__loop_hand_over(loop);
    if (status >= 0 && loop->draining)
        status = loop->drain_result;
    return loop_leave(loop) ? VIGIL_ECANCELED : status < 0 ? status : 0;
}

void vigil_loop_stop(vigil_loop *loop)
{
    atomic_store(&loop->stop, true);
    /* Ends the wait under way or the next one; the flag is seen after that. */
    (void)loop->backend->wake(loop->backend_self);
}

int vigil_loop_drain(vigil_loop *loop, vigil_ns grace_ns)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    if (grace_ns < 0)
        return VIGIL_EINVAL;
    loop->drain_due = vigil__time_add(vigil__loop_clock(loop), grace_ns);
    if (loop->draining)
        return 0;
    loop->draining = true;
    if (loop->above != NULL)
        loop->above->drain(loop);
    return 0;
}

/* Waits until the kernel has given back every operation: their memory is its own until then. */
static void loop_last_records(vigil_loop *loop)
{
    for (int i = 0; i < LAST_WAITS_MAX && loop->above->alive(loop); i++) {
        vigil__ports_flush(loop);
        int count = loop->backend->wait(loop->backend_self, loop->records, VIGIL__RECORDS_MAX,
                                        last_wait_ns);
        turn_records(loop, count);
        loop->above->closes(loop);
    }
}

void vigil_loop_close(vigil_loop *loop)
{
    if (loop == NULL || vigil__loop_check(loop) != 0)
        return;
    if (atomic_load(&loop->owner) != NULL) {
        loop->closing = true;
        return;
    }
    /* Callbacks run below: they find themselves inside a turn of this thread, as always. */
    atomic_store(&loop->owner, vigil__thread_mark());
    vigil__posts_turner(loop, vigil__thread_mark());
    loop->closing = true;
    bool forked = !vigil__process_is(loop->process);
    if (loop->above != NULL && !forked) {
        loop->above->abort_all(loop, VIGIL_ECANCELED);
        loop_last_records(loop);
    }
    vigil__posts_close(loop, forked);
    vigil__signals_close(loop);
    if (loop->above != NULL)
        loop->above->destroy(loop);
    loop_free(loop);
}

int vigil_loop_fd(const vigil_loop *loop)
{
    return loop->backend->fd != NULL ? loop->backend->fd(loop->backend_self) : VIGIL_ENOTSUP;
}

/* Whether a drain is under way and not over: then its grace counts. */
static bool drain_waits(const vigil_loop *loop)
{
    return loop->draining && loop->above != NULL && loop->above->alive(loop);
}

vigil_ns vigil_loop_due(vigil_loop *loop)
{
    if (vigil__loop_check(loop) != 0)
        return VIGIL_FOREVER;
    vigil_ns due = loop_due(loop);
    vigil__loop_hand_over(loop);
    return due;
}

VIGIL_HOT static vigil_ns loop_due(vigil_loop *loop)
{
    vigil__ports_flush(loop);
    if (loop->ports_refused > 0 || vigil__posts_pending(loop) ||
        atomic_load(&loop->sink.pending) != 0)
        return VIGIL_NOWAIT;
    vigil_ns due = vigil__tournament_due(&loop->timers);
    if (loop->above != NULL) {
        vigil_ns above = loop->above->due(loop);
        due = above < due ? above : due;
    }
    if (drain_waits(loop) && loop->drain_due < due)
        due = loop->drain_due;
    if (due == VIGIL_FOREVER)
        return VIGIL_FOREVER;
    vigil_ns now = vigil__loop_clock(loop);
    return due > now ? due - now : VIGIL_NOWAIT;
}

const char *vigil_loop_backend(const vigil_loop *loop)
{
    return loop->backend->name;
}

vigil_ns vigil_now(const vigil_loop *loop)
{
    return loop->now;
}

static unsigned callbacks_untimed(const vigil_loop *loop)
{
    return loop->callbacks_look - loop->callbacks_left;
}

VIGIL_HOT void vigil__clock_look(vigil_loop *loop, const char *callback)
{
    vigil_ns before = loop->clock_read;
    loop->now = vigil__loop_clock(loop);
    vigil_ns took = loop->now - before;
    loop->clock_read = loop->now;
    vigil__gaps_note(&loop->gaps, before, loop->now);
    loop->turn_callbacks += callbacks_untimed(loop);
    loop->callbacks_left = loop->callbacks_look;
    if (VIGIL_LIKELY(took <= loop->stall_after_ns))
        return;
    loop->stall_turns = VIGIL__STALL_TURNS;
    loop->callbacks_look = 1;
    loop->callbacks_left = 1;
    vigil__count(&loop->stats.stalls, 1);
    if ((uint64_t)took > atomic_load_explicit(&loop->stats.stall_max_ns, memory_order_relaxed))
        vigil__gauge(&loop->stats.stall_max_ns, (uint64_t)took);
    if (loop->on_stall != NULL && !loop->closing)
        loop->on_stall(loop, callback, took, loop->user);
}

static bool loop_alive(const vigil_loop *loop)
{
    bool connections = loop->above != NULL && loop->above->alive(loop);
    if (loop->draining)
        return connections; /* timers and watches do not hold up a drain */
    return connections || loop->keep_running || loop->timers.count > 0 || loop->watches > 0 ||
           vigil__posts_pending(loop);
}

VIGIL_HOT static int loop_turn(vigil_loop *loop, vigil_ns timeout)
{
    if (!vigil__process_is(loop->process))
        return VIGIL_EFORK;
    int count = turn_wait(loop, timeout);
    if (count < 0)
        return count;
    loop->now = vigil__loop_clock(loop);
    loop->clock_read = loop->now;
    loop->turn_callbacks = 0;
    if (loop->stall_turns > 0 && --loop->stall_turns == 0)
        loop->callbacks_look = VIGIL__CALLBACKS_CLOCK;
    loop->callbacks_left = loop->callbacks_look;
    loop->heard = (uint32_t)count;
    vigil__count(&loop->stats.turns, 1);
    vigil_ns turn_now = loop->now;
    if (loop->timers.count > 0)
        vigil__timers_run(loop);
    if (atomic_load_explicit(&loop->sink.pending, memory_order_relaxed) != 0)
        vigil__signals_run(loop);
    turn_records(loop, count);
    if (loop->above != NULL && !loop->closing) {
        loop->above->work(loop);
        if (!loop->closing)
            loop->above->deadlines(loop);
    }
    if (!loop->closing && vigil__posts_pending(loop))
        vigil__posts_run(loop);
    if (!loop->closing && drain_waits(loop) && loop->drain_due <= turn_now) {
        loop->drain_result = VIGIL_ETIMEDOUT;
        loop->drain_due = VIGIL_FOREVER; /* once: last records may be still to come */
        loop->above->abort_all(loop, VIGIL_ETIMEDOUT);
    }
    if (loop->above != NULL && !loop->closing)
        loop->above->closes(loop);
    if (count > 0 && callbacks_untimed(loop) == 0) /* sends are no callbacks, and take time, too */
        vigil__gaps_note(&loop->gaps, loop->clock_read, vigil__loop_clock(loop));
    unsigned callbacks = loop->turn_callbacks + callbacks_untimed(loop);
    vigil__count(&loop->stats.callbacks, callbacks);
    return (int)callbacks;
}

/* Sleeps until something is due or ready; answers how many records there are. */
static int turn_wait(vigil_loop *loop, vigil_ns timeout)
{
    /* The look at the clock in here also times what ran since the wait before. */
    if (callbacks_untimed(loop) > 0)
        vigil__clock_look(loop, "several");
    if (loop->closing)
        return 0; /* the report of a stall ended it */
    vigil__posts_awake(loop, false);
    vigil_ns due = loop_due(loop);
    int count = loop->backend->wait(loop->backend_self, loop->records, VIGIL__RECORDS_MAX,
                                    due < timeout ? due : timeout);
    vigil__posts_awake(loop, true);
    return count;
}

VIGIL_HOT static void turn_records(vigil_loop *loop, int count)
{
    if (VIGIL_UNLIKELY(loop->ports_refused > 0))
        vigil__ports_refused(loop);
    for (int i = 0; i < count; i++) { /* all: even a loop that closes must have its last records */
        struct vigil__record *record = &loop->records[i];
        int served = loop->above != NULL ? loop->above->straight(loop, record, count - i) : 0;
        if (served > 0) {
            i += served - 1; /* this one among them */
            continue;
        }
        switch (vigil__key_class(record->key)) {
        case VIGIL__KEY_WATCH:
            vigil__port_ready(loop, record->key, (uint32_t)record->res);
            break;
        case VIGIL__KEY_OP:
            loop->above->record(loop, record);
            break;
        case VIGIL__KEY_WAKE:
            vigil__count(&loop->stats.wakes, 1);
            break;
        }
    }
}

VIGIL_COLD static void loop_free(vigil_loop *loop)
{
    bool forked = !vigil__process_is(loop->process);
    for (uint32_t i = 0; i < vigil__slab_slots(&loop->own_ports) && !forked; i++) {
        struct vigil__port *port = vigil__port_at(loop, false, i);
        if (vigil__slot_taken(&port->slot))
            vigil__port_close(loop, port); /* watches that nobody cancelled */
    }
    if (loop->signal_slab.live > 0)
        vigil__signals_close(loop);
    if (loop->backend_self != NULL)
        (forked ? loop->backend->forget : loop->backend->close)(loop->backend_self);
    for (int i = 0; i < 2; i++)
        vigil__queues_clear(&loop->ports[i].lists, &loop->allocator);
    vigil__slab_clear(&loop->own_ports);
    vigil__slab_clear(&loop->signal_slab);
    vigil__tournament_clear(&loop->timers);
    vigil__pool_clear(&loop->pool);
    vigil_allocator allocator = loop->allocator;
    vigil__free(&allocator, loop, sizeof(*loop));
}

/* ---- seeing ---- */

void vigil_stats_get(const vigil_loop *loop, vigil_stats *out)
{
    if (vigil__loop_here(loop) && loop->above != NULL) /* that is not read by any other thread */
        loop->above->tally((vigil_loop *)(uintptr_t)loop);
#define STATS_LOAD(name, text)                                                     \
    out->name = atomic_load_explicit(&((vigil_loop *)(uintptr_t)loop)->stats.name, \
                                     memory_order_relaxed);
    VIGIL_STATS_MAP(STATS_LOAD)
#undef STATS_LOAD
}
