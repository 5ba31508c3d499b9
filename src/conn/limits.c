/* SPDX-License-Identifier: MIT
 *
 * limits.c -- limits, and the deadlines that follow from them.  Floor: conn.
 *
 * Every connection stands once in a heap.  A byte that moves only stores the time; when an entry
 * comes due, the real deadline is worked out anew, and the entry moved if it is later.
 */
#include "conn/conn.h"

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

int vigil__limits_new(vigil_loop *loop, const vigil_limits *limits, bool stream,
                      struct vigil__limits **out)
{
    vigil_limits value = *limits;
    int status = limits_fill(&value, stream);
    if (status != 0)
        return status;
    struct vigil__limits *made = vigil__alloc(&loop->allocator, sizeof(*made));
    if (made == NULL)
        return VIGIL_ENOMEM;
    *made = (struct vigil__limits){ .refs = 1, .value = value };
    *out = made;
    return 0;
}

void vigil__limits_drop(vigil_loop *loop, struct vigil__limits *limits)
{
    if (limits != NULL && --limits->refs == 0)
        vigil__free(&loop->allocator, limits, sizeof(*limits));
}

int vigil_conn_set_limits(vigil_loop *loop, vigil_conn conn, const vigil_limits *limits)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    if (limits == NULL)
        return VIGIL_EINVAL;
    struct vigil__limits *fresh;
    status = vigil__limits_new(loop, limits, c->socket_out, &fresh);
    if (status != 0)
        return status;
    vigil__limits_drop(loop, c->limits);
    c->limits = fresh;
    c->narrow = fresh->value.out_high < VIGIL__BUF_READ;
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
    c->own_due = vigil__time_add(vigil__loop_clock(loop), delay_ns);
    vigil__deadline_arm(loop, c);
    return 0;
}

static vigil_ns earlier(vigil_ns a, vigil_ns b)
{
    return a < b ? a : b;
}

/* When the first of its limits of time is up, where it moved and sent its last byte then. */
static vigil_ns due_since(const struct vigil__conn *c, vigil_ns moved_at, vigil_ns sent_at)
{
    const vigil_limits *v = &c->limits->value;
    vigil_ns due = earlier(c->own_due, c->linger_due);
    if (c->connecting != NULL) {
        due = earlier(due, vigil__time_add(c->opened_at, v->connect_ns));
        return earlier(due, c->connecting->retry_due);
    }
    due = earlier(due, vigil__time_add(moved_at, v->idle_ns));
    if (c->queued > 0)
        due = earlier(due, vigil__time_add(sent_at, v->stall_ns));
    return due;
}

/* The earliest that it may be: time for another look. */
static vigil_ns conn_due(const struct vigil__conn *c)
{
    return due_since(c, c->moved_at, c->sent_at);
}

/* When it is for sure. */
static vigil_ns conn_due_surely(const vigil_loop *loop, const struct vigil__conn *c)
{
    return due_since(c, vigil__gaps_latest(&loop->gaps, c->moved_at),
                     vigil__gaps_latest(&loop->gaps, c->sent_at));
}

void vigil__deadline_arm(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__heap *heap = &vigil__conns(loop)->deadlines;
    uint32_t owner = c->slot.index * 2;
    vigil_ns due = conn_due(c);
    if (heap->entries[heap->places[owner]].due <= due)
        return; /* looked at early enough */
    bool moved = vigil__heap_set(heap, owner, due);
    VIGIL_ASSERT(moved); /* every connection stands in the heap: a move takes no memory */
}

static void conn_expired(vigil_loop *loop, struct vigil__conn *c, vigil_ns now)
{
    const vigil_limits *v = &c->limits->value;
    if (c->connecting != NULL) {
        if (c->connecting->retry_due <= now && vigil__time_add(c->opened_at, v->connect_ns) > now) {
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
    bool moved = vigil__heap_set(heap, c->slot.index * 2, late ? VIGIL_FOREVER : due);
    VIGIL_ASSERT(moved);
    if (!late)
        return;
    conn_expired(loop, c, now);
    if (!c->closing)
        vigil__deadline_arm(loop, c);
}

/* Until when everybody who had something to say has been heard.  The clock of this turn is no such
 * time: bytes may have come since the wait, while callbacks or a stopped process took their time.
 * That of the turn before is, unless a wait was full, or some wait for a buffer: then the next
 * ones tell of the others. */
static vigil_ns deadlines_heard(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    uint32_t batch = loop->caps.batch != 0 ? loop->caps.batch : VIGIL__RECORDS_MAX;
    bool full = loop->heard >= batch;      /* there may be others */
    if (!vigil__list_empty(&conns->dry)) { /* a wait hears as many as there are buffers, then */
        batch = (uint32_t)vigil__min(batch, vigil__max(loop->pool.lendable, 1));
        full = true;
    }
    conns->waits++;
    if (!full || (uint64_t)conns->waits * batch >= loop->ports.live) {
        conns->heard = conns->hearing;
        conns->hearing = loop->now;
        conns->waits = 0;
    }
    return conns->heard;
}

void vigil__deadlines_run(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil_ns now = deadlines_heard(loop);
    while (vigil__heap_due(&conns->deadlines) <= now) {
        uint32_t owner = conns->deadlines.entries[0].owner;
        if ((owner & 1) == 0) {
            conn_look(loop, vigil__slab_at(&conns->conns, owner / 2), now);
        } else {
            vigil__listener_rested(loop, vigil__slab_at(&conns->listeners, owner / 2));
        }
    }
}
