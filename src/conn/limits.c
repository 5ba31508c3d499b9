/* SPDX-License-Identifier: MIT
 *
 * limits.c -- limits, and the deadlines that follow from them.  Floor: conn.
 *
 * Every connection stands once in a heap.  A byte that moves only stores the time; when an entry
 * comes due, the real deadline is worked out anew, and the entry moved if it is later.
 */
#include "conn/conn.h"

#include <string.h>

enum { SHARED_LOOK_MAX = 16 };

static void or_default(size_t *value, size_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static bool or_default_ns(vigil_ns *value, vigil_ns otherwise)
{
    if (*value == 0)
        *value = otherwise;
    return *value > 0;
}

static int limits_fill(vigil_limits *v, bool stream)
{
    or_default(&v->out_high, (size_t)256 << 10);
    or_default(&v->out_low, v->out_high / 4);
    or_default(&v->out_hard, vigil__max((size_t)1 << 20, v->out_high));
    or_default(&v->in_max, (size_t)64 << 10);
    bool times = or_default_ns(&v->connect_ns, VIGIL_S(10));
    times = or_default_ns(&v->idle_ns, VIGIL_FOREVER) && times;
    times = or_default_ns(&v->stall_ns, stream ? VIGIL_S(60) : VIGIL_FOREVER) && times;
    times = or_default_ns(&v->linger_ns, VIGIL_S(5)) && times;
    bool ordered = v->out_low <= v->out_high && v->out_high <= v->out_hard;
    return times && ordered ? 0 : VIGIL_EINVAL;
}

/* One that is there already, of the first few: mostly there are not more. */
static struct vigil__shared *shared_find(const vigil_loop *loop, const struct vigil__shared *like)
{
    const struct vigil__slab *slab = &vigil__conns(loop)->shared;
    size_t slots = vigil__min(vigil__slab_slots(slab), SHARED_LOOK_MAX);
    for (uint32_t i = 0; i < slots; i++) {
        struct vigil__shared *shared = vigil__slab_at(slab, i);
        if (vigil__slot_taken(&shared->slot) && shared->ops == like->ops &&
            shared->listener.v == like->listener.v &&
            memcmp(&shared->limits, &like->limits, sizeof(like->limits)) == 0)
            return shared;
    }
    return NULL;
}

static struct vigil__shared *shared_make(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    uint32_t slot = vigil__slab_next(&conns->shared);
    if (slot >= conns->shared_room) {
        uint32_t room = conns->shared_room == 0 ? SHARED_LOOK_MAX : conns->shared_room * 2;
        struct vigil__shared **at = vigil__resize(
            &loop->allocator, conns->shared_at, conns->shared_room * sizeof(struct vigil__shared *),
            room * sizeof(struct vigil__shared *));
        if (at == NULL)
            return NULL;
        conns->shared_at = at;
        conns->shared_room = room;
    }
    struct vigil__shared *shared = vigil__slab_take(&conns->shared);
    if (shared != NULL)
        conns->shared_at[slot] = shared;
    return shared;
}

static struct vigil__shared *shared_take(vigil_loop *loop, const struct vigil__shared *like)
{
    struct vigil__shared *shared = shared_find(loop, like);
    if (shared == NULL)
        shared = shared_make(loop);
    if (shared == NULL)
        return NULL;
    shared->refs++;
    shared->listener = like->listener;
    shared->ops = like->ops;
    shared->limits = like->limits;
    return shared;
}

int vigil__shared_new(vigil_loop *loop, const vigil_conn_ops *ops, const vigil_limits *limits,
                      bool stream, vigil_listener listener, struct vigil__shared **out)
{
    static const vigil_conn_ops none;
    struct vigil__shared like = { .listener = listener,
                                  .ops = ops != NULL ? ops : &none,
                                  .limits = *limits };
    int status = limits_fill(&like.limits, stream);
    if (status == 0)
        *out = shared_take(loop, &like);
    return status == 0 && *out == NULL ? VIGIL_ENOMEM : status;
}

struct vigil__shared *vigil__shared_with(vigil_loop *loop, const struct vigil__shared *like,
                                         const vigil_conn_ops *ops)
{
    struct vigil__shared other = *like;
    other.ops = ops;
    return shared_take(loop, &other);
}

void vigil__shared_drop(vigil_loop *loop, struct vigil__shared *shared)
{
    if (shared != NULL && --shared->refs == 0)
        vigil__slab_give(&vigil__conns(loop)->shared, shared);
}

void vigil__conn_share(vigil_loop *loop, struct vigil__conn *c, struct vigil__shared *shared)
{
    vigil__shared_drop(loop, vigil__conn_shared(loop, c));
    c->shared = shared->slot.index;
    vigil__conn_shared_changed(c, shared);
}

int vigil_conn_set_limits(vigil_loop *loop, vigil_conn conn, const vigil_limits *limits)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    if (limits == NULL)
        return VIGIL_EINVAL;
    const struct vigil__shared *before = vigil__conn_shared(loop, c);
    struct vigil__shared *fresh;
    status = vigil__shared_new(loop, before->ops, limits, vigil__conn_socket_out(c),
                               before->listener, &fresh);
    if (status != 0)
        return status;
    vigil__conn_share(loop, c, fresh);
    vigil__deadline_arm(loop, c);
    vigil__conn_todo(loop, c, VIGIL__TODO_READ); /* in_max may have grown */
    return 0;
}

int vigil_conn_deadline(vigil_loop *loop, vigil_conn conn, vigil_ns delay_ns)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    if (delay_ns < 0)
        return VIGIL_EINVAL;
    if (delay_ns == VIGIL_FOREVER && c->busy->own_due == VIGIL_FOREVER)
        return 0;
    struct vigil__busy *busy = vigil__conn_busy(loop, c);
    if (busy == NULL)
        return VIGIL_ENOMEM;
    busy->own_due = vigil__time_add(vigil__loop_clock(loop), delay_ns);
    vigil__output_later(loop, c); /* where it rests, if that was all */
    vigil__deadline_arm(loop, c);
    return 0;
}

static vigil_ns earlier(vigil_ns a, vigil_ns b)
{
    return a < b ? a : b;
}

/* When the first of its limits of time is up, where it moved and sent its last byte then. */
static vigil_ns due_since(const vigil_loop *loop, const struct vigil__conn *c, vigil_ns moved_at,
                          vigil_ns sent_at)
{
    const vigil_limits *v = vigil__conn_limits(loop, c);
    vigil_ns due = earlier(c->busy->own_due, c->busy->linger_due);
    if (c->busy->connecting != NULL) {
        due = earlier(due, vigil__time_add(c->opened_at, v->connect_ns));
        return earlier(due, c->busy->connecting->retry_due);
    }
    if (c->lingers)
        due = earlier(due, vigil__time_add(moved_at, v->linger_ns));
    due = earlier(due, vigil__time_add(moved_at, v->idle_ns));
    if (c->busy->queued > 0)
        due = earlier(due, vigil__time_add(sent_at, v->stall_ns));
    return due;
}

/* The earliest that it may be: time for another look. */
static vigil_ns conn_due(const vigil_loop *loop, const struct vigil__conn *c)
{
    return due_since(loop, c, c->moved_at, c->busy->sent_at);
}

/* When it is for sure. */
static vigil_ns conn_due_surely(const vigil_loop *loop, const struct vigil__conn *c)
{
    return due_since(loop, c, vigil__gaps_latest(&loop->gaps, c->moved_at),
                     vigil__gaps_latest(&loop->gaps, c->busy->sent_at));
}

void vigil__deadline_arm(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__heap *heap = &vigil__conns(loop)->deadlines;
    uint32_t owner = c->port.slot.index;
    vigil_ns due = conn_due(loop, c);
    if (heap->entries[heap->places[owner]].due <= due)
        return; /* looked at early enough */
    bool moved = vigil__heap_set(heap, owner, due);
    VIGIL_ASSERT(moved); /* every connection stands in the heap: a move takes no memory */
}

static void conn_expired(vigil_loop *loop, struct vigil__conn *c, vigil_ns now)
{
    const vigil_limits *v = vigil__conn_limits(loop, c);
    if (c->busy->connecting != NULL) {
        if (c->busy->connecting->retry_due <= now &&
            vigil__time_add(c->opened_at, v->connect_ns) > now) {
            vigil__connect_work(loop, c);
            return;
        }
        vigil__count(&loop->stats.connect_failed, 1);
    }
    vigil__conn_close(loop, c, VIGIL_ETIMEDOUT);
}

static void conn_look(vigil_loop *loop, struct vigil__conn *c, vigil_ns now)
{
    struct vigil__heap *heap = &vigil__conns(loop)->deadlines;
    vigil_ns due = c->closing ? VIGIL_FOREVER : conn_due_surely(loop, c);
    bool late = due <= now;
    bool moved = vigil__heap_set(heap, c->port.slot.index, late ? VIGIL_FOREVER : due);
    VIGIL_ASSERT(moved);
    if (!late)
        return;
    conn_expired(loop, c, now);
    if (!c->closing)
        vigil__deadline_arm(loop, c);
}

VIGIL_APART static void first_look(vigil_loop *loop, vigil_ns now)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    conn_look(loop, vigil__slab_at(&conns->conns, conns->deadlines.entries[0].owner), now);
}

/* Until when everybody who had something to say has been heard.  The clock of this turn is no such
 * time: bytes may have come since the wait, while callbacks or a stopped process took their time.
 * That of the turn before is, unless a wait was full, or some wait for a buffer: then the next
 * ones tell of the others. */
static vigil_ns deadlines_heard(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    uint32_t batch = loop->caps.batch != 0 ? loop->caps.batch : VIGIL__RECORDS_MAX;
    bool full = loop->heard >= batch;          /* there may be others */
    if (conns->waiting[VIGIL__LIST_DRY] > 0) { /* a wait hears as many as there are buffers, then */
        batch = (uint32_t)vigil__min(batch, vigil__max(loop->pool.lendable, 1));
        full = true;
    }
    conns->waits++;
    if (!full || (uint64_t)conns->waits * batch >= loop->own_ports.live + conns->conns.live) {
        conns->heard = conns->hearing;
        conns->hearing = loop->now;
        conns->waits = 0;
    }
    return conns->heard;
}

VIGIL_HOT void vigil__deadlines_run(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil_ns now = deadlines_heard(loop);
    while (vigil__heap_due(&conns->deadlines) <= now)
        first_look(loop, now);
    if (VIGIL_UNLIKELY(conns->rest_due <= now))
        vigil__listeners_rested(loop, now);
}
