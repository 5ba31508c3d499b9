/* SPDX-License-Identifier: MIT
 *
 * conn.c -- the life of a connection: made, opened, worked for, closed.  Floor: conn.
 *
 * Ending begins with vigil__conn_close(), which stops everything and calls nobody; `close` runs in
 * the last step of the turn, when no operation is under way any more.
 */
#include "conn/conn.h"

#include <string.h>

/* Parts for so many connections are there before they are needed, and one for the straight way. */
enum { BUSY_KEPT = 64 + 1 };

const struct vigil__busy vigil__not_busy = {
    .fd_out = VIGIL_FD_NONE,
    .linger_due = VIGIL_FOREVER,
    .own_due = VIGIL_FOREVER,
};

static const struct vigil__above conns_above;

static bool busy_reserve(vigil_loop *loop);
static void busy_give(vigil_loop *loop, struct vigil__conn *c);
static void busy_clear(vigil_loop *loop);
static void busy_init(struct vigil__busy *busy);
static void conn_ports_close(vigil_loop *loop, struct vigil__conn *c);
static void conn_free(vigil_loop *loop, struct vigil__conn *c, bool tell);

/* ---- plugging in ---- */

int vigil__conns_need(vigil_loop *loop)
{
    if (loop->above != NULL)
        return 0;
    struct vigil__conns *conns = vigil__alloc(&loop->allocator, sizeof(*conns));
    if (conns == NULL)
        return VIGIL_ENOMEM;
    memset(conns, 0, sizeof(*conns));
    conns->loop = loop;
    vigil__slab_init(&conns->conns, &loop->allocator, sizeof(struct vigil__conn));
    vigil__slab_init(&conns->listeners, &loop->allocator, sizeof(struct vigil__listener));
    vigil__heap_init(&conns->deadlines, &loop->allocator);
    vigil__list_init(&conns->all_listeners);
    conns->rest_due = VIGIL_FOREVER;
    vigil__slab_init(&conns->shared, &loop->allocator, sizeof(struct vigil__shared));
    loop->ports[true].slab = &conns->conns;
    loop->above_state = conns;
    loop->above = &conns_above;
    return 0;
}

/* Connections are left when the kernel would not give their operations back. */
VIGIL_COLD static void conns_destroy(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    bool tell = vigil__process_is(loop->process); /* nobody is called in a forked child */
    while (!vigil__list_empty(&conns->all_listeners))
        vigil__listener_free(loop,
                             VIGIL_OWNER(conns->all_listeners.next, struct vigil__listener, all));
    struct vigil__conn *c;
    for (uint32_t at = 0; (c = vigil__conn_from(loop, &at)) != NULL;)
        conn_free(loop, c, tell);
    vigil__straight_rest(loop);
    vigil__slab_clear(&conns->conns);
    vigil__slab_clear(&conns->listeners);
    vigil__slab_clear(&conns->shared);
    vigil__free(&loop->allocator, conns->shared_at, conns->shared_room * sizeof(*conns->shared_at));
    vigil__pieces_clear(loop);
    busy_clear(loop);
    vigil__heap_clear(&conns->deadlines);
    vigil__free(&loop->allocator, conns, sizeof(*conns));
    loop->ports[true].slab = NULL;
    loop->above = NULL;
    loop->above_state = NULL;
}

/* ---- making ---- */

struct vigil__conn *vigil__conn_find(vigil_loop *loop, vigil_conn conn)
{
    if (vigil__loop_check(loop) != 0 || loop->above == NULL)
        return NULL;
    vigil__straight_look(loop);
    struct vigil__conn *c = vigil__slab_find(&vigil__conns(loop)->conns, conn.v);
    return c != NULL && !c->closing ? c : NULL;
}

int vigil__conn_get(vigil_loop *loop, vigil_conn conn, struct vigil__conn **out)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    *out = vigil__conn_find(loop, conn);
    return *out != NULL ? 0 : VIGIL_ESTALE;
}

int vigil__conn_seen(vigil_loop *loop, vigil_conn conn, struct vigil__conn **out)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    vigil__straight_look(loop);
    *out = loop->above != NULL ? vigil__slab_find(&vigil__conns(loop)->conns, conn.v) : NULL;
    return *out != NULL ? 0 : VIGIL_ESTALE;
}

static uint64_t conn_key(const struct vigil__conn *c, enum vigil__owner owner)
{
    return vigil__key(VIGIL__KEY_OP, owner, c->port.slot.generation, c->port.slot.index);
}

static void conn_init(vigil_loop *loop, struct vigil__conn *c)
{
    c->port.of_conn = true;
    c->port.fd = VIGIL_FD_NONE;
    c->busy = vigil__conn_not_busy();
    c->unopened = true;
    c->opened_at = loop->now;
    c->moved_at = loop->now;
}

bool vigil__conn_reserve(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    uint32_t slot = vigil__slab_next(&conns->conns);
    return vigil__ports_reserve(loop, true) && busy_reserve(loop) &&
           vigil__heap_reserve(&conns->deadlines, slot);
}

int vigil__conn_new(vigil_loop *loop, void *ctx, struct vigil__shared *shared,
                    struct vigil__conn **out)
{
    struct vigil__conns *conns = vigil__conns(loop);
    uint32_t slot = vigil__slab_next(&conns->conns);
    if (!vigil__conn_reserve(loop) || !vigil__heap_set(&conns->deadlines, slot, VIGIL_FOREVER))
        return VIGIL_ENOMEM;
    uint8_t listed = vigil__ports_listed(&conns->conns);
    struct vigil__conn *c = vigil__slab_take(&conns->conns);
    VIGIL_ASSERT(c != NULL); /* there is room for it */
    conn_init(loop, c);
    c->port.listed = listed;
    c->ctx = ctx;
    c->shared = shared->slot.index;
    shared->refs++;
    vigil__conn_shared_changed(c, shared);
    vigil__gauge(&loop->stats.conns, conns->conns.live);
    *out = c;
    return 0;
}

void vigil__conn_socket(struct vigil__conn *c, vigil_fd fd)
{
    c->port.fd = fd;
}

void vigil__conn_undo(vigil_loop *loop, struct vigil__conn *c)
{
    vigil__conn_close(loop, c, VIGIL_ECANCELED); /* a ctx function may have sent or coupled */
    conn_ports_close(loop, c);
    c->port.fd = VIGIL_FD_NONE; /* they stay whose they were */
    if (c->two_ways)
        c->busy->fd_out = VIGIL_FD_NONE;
    conn_free(loop, c, false);
}

/* ---- what only some have ---- */

VIGIL_COLD static bool busy_make(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__busy *busy = vigil__alloc(&loop->allocator, sizeof(*busy));
    if (busy == NULL)
        return false;
    busy_init(busy);
    busy->next_free = conns->free_busy;
    conns->free_busy = busy;
    conns->busy_count++;
    return true;
}

/* One more connection may need one: while there are few they need not ask for memory when bytes
 * have come.  Where there are many it is not likely that all do at once. */
static bool busy_reserve(vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    uint32_t count = (uint32_t)vigil__min(conns->conns.live + 2, BUSY_KEPT);
    bool done = true;
    while (done && conns->busy_count < count)
        done = busy_make(loop);
    return done;
}

VIGIL_HOT struct vigil__busy *vigil__busy_get(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (VIGIL_UNLIKELY(conns->free_busy == NULL) && !busy_make(loop))
        return NULL;
    struct vigil__busy *busy = conns->free_busy;
    conns->free_busy = busy->next_free;
    return busy;
}

void vigil__busy_own(struct vigil__conn *c, struct vigil__busy *busy)
{
    busy->conn = c;
    busy->op_out.key = conn_key(c, VIGIL__OWNER_CONN_OUT);
    busy->op_out.flags = 0;
    c->busy = busy;
}

struct vigil__busy *vigil__busy_take(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__busy *busy = vigil__busy_get(loop);
    if (busy != NULL)
        vigil__busy_own(c, busy);
    return busy;
}

/* What is free has nothing in it, so that to take it is to have it. */
VIGIL_COLD static void busy_init(struct vigil__busy *busy)
{
    *busy = vigil__not_busy;
    vigil__list_init(&busy->blocked);
    vigil__list_init(&busy->waiters);
}

/* Whether it has what an idle connection has not. */
static bool busy_needed(const struct vigil__conn *c)
{
    const struct vigil__busy *busy = c->busy;
    if (busy->held != NULL || busy->head != NULL || busy->op_out.active || c->two_ways)
        return true;
    /* One look at many that are mostly 0. */
    uint64_t some = busy->blocked_on.v | busy->couple_to.v | busy->couple_from.v |
                    (uintptr_t)busy->connecting | (uintptr_t)busy->iov_buf;
    bool due = busy->linger_due != VIGIL_FOREVER || busy->own_due != VIGIL_FOREVER;
    return some != 0 || due || !vigil__list_empty(&busy->waiters);
}

void vigil__busy_rest(vigil_loop *loop, struct vigil__conn *c)
{
    if (busy_needed(c))
        return;
    VIGIL_ASSERT(c->busy->tail == NULL && (c->busy->queued | c->busy->held_len) == 0);
    busy_give(loop, c);
}

static void busy_give(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__busy *busy = c->busy;
    c->busy = vigil__conn_not_busy();
    vigil__busy_put(loop, busy);
}

VIGIL_HOT void vigil__busy_put(vigil_loop *loop, struct vigil__busy *busy)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (conns->busy_count > BUSY_KEPT) {
        vigil__free(&loop->allocator, busy, sizeof(*busy));
        conns->busy_count--;
        return;
    }
    busy->next_free = conns->free_busy;
    conns->free_busy = busy;
}

static void busy_clear(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    while (conns->free_busy != NULL) {
        struct vigil__busy *busy = conns->free_busy;
        conns->free_busy = busy->next_free;
        vigil__free(&loop->allocator, busy, sizeof(*busy));
    }
}

/* ---- working ---- */

struct vigil__conn *vigil__conn_from(const vigil_loop *loop, uint32_t *at)
{
    const struct vigil__slab *slab = &vigil__conns(loop)->conns;
    while (*at < vigil__slab_slots(slab)) {
        struct vigil__conn *c = vigil__slab_at(slab, (*at)++);
        if (vigil__slot_taken(&c->port.slot))
            return c;
    }
    return NULL;
}

struct vigil__conn *vigil__wait_next(vigil_loop *loop, enum vigil__list list, uint32_t end)
{
    struct vigil__port *port;
    while ((port = vigil__port_next(loop, true, list, end)) != NULL) {
        struct vigil__conn *c = VIGIL_OWNER(port, struct vigil__conn, port);
        if (VIGIL_LIKELY(vigil__waits(c, list))) {
            vigil__wait_not(loop, c, list);
            return c;
        }
    }
    return NULL;
}

void vigil__wait(vigil_loop *loop, struct vigil__conn *c, enum vigil__list list)
{
    if (vigil__waits(c, list))
        return;
    c->waits = (c->waits | vigil__wait_bit(list)) & 31;
    vigil__conns(loop)->waiting[list]++;
    vigil__port_listed(loop, &c->port, list);
}

void vigil__wait_nowhere(vigil_loop *loop, struct vigil__conn *c)
{
    for (int list = VIGIL__LIST_WORK; list < VIGIL__LISTS; list++)
        vigil__wait_not(loop, c, (enum vigil__list)list);
}

void vigil__conn_todo(vigil_loop *loop, struct vigil__conn *c, unsigned todo)
{
    if (c->closing)
        return;
    c->todo = (c->todo | todo) & VIGIL__TODO_ALL;
    vigil__wait(loop, c, VIGIL__LIST_WORK);
}

static void conn_open(vigil_loop *loop, struct vigil__conn *c)
{
    c->unopened = false;
    c->opened_at = vigil__loop_clock(loop); /* now its time begins, however long this turn takes */
    c->moved_at = c->opened_at;
    if (c->busy->queued > 0)
        c->busy->sent_at = c->opened_at;
    vigil__deadline_arm(loop, c);
    const vigil_conn_ops *ops = vigil__conn_ops(loop, c);
    if (ops->open != NULL) {
        ops->open(loop, vigil__conn_handle(c), c->ctx);
        vigil__callback_ran(loop, "open");
    }
    c->drain = c->drain || loop->draining;
    if (c->closing)
        return;
    if (c->writable_due && !c->cut && !c->memory_wait) { /* there was memory before it opened */
        c->writable_due = false;
        vigil__conn_todo(loop, c, VIGIL__TODO_WRITABLE);
    }
    vigil__output_later(loop, c);
    vigil__input_update(loop, c);
    vigil__conn_settle(loop, c);
}

static void conn_writable(vigil_loop *loop, struct vigil__conn *c)
{
    const vigil_conn_ops *ops = vigil__conn_ops(loop, c);
    if (ops->writable == NULL || c->end_asked)
        return;
    ops->writable(loop, vigil__conn_handle(c), c->ctx);
    vigil__callback_ran(loop, "writable");
}

static void conn_work(vigil_loop *loop, struct vigil__conn *c)
{
    static const struct {
        enum vigil__todo bit;
        void (*run)(vigil_loop *loop, struct vigil__conn *c);
    } steps[] = {
        { VIGIL__TODO_CONNECT, vigil__connect_work }, { VIGIL__TODO_OPEN, conn_open },
        { VIGIL__TODO_OFFER, vigil__input_offer },    { VIGIL__TODO_READ, vigil__input_update },
        { VIGIL__TODO_EOF, vigil__input_eof },        { VIGIL__TODO_WRITABLE, conn_writable },
    };
    unsigned todo = c->todo;
    c->todo = 0;
    for (size_t i = 0; i < VIGIL_COUNT(steps) && !c->closing && !loop->closing; i++)
        if ((todo & steps[i].bit) != 0)
            steps[i].run(loop, c);
}

VIGIL_APART static void conns_flush(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    conns->flushing = true;
    struct vigil__conn *c;
    /* Who has more than its share to send comes again behind that. */
    uint32_t end = vigil__wait_end(loop, VIGIL__LIST_FLUSH);
    while ((c = vigil__wait_next(loop, VIGIL__LIST_FLUSH, end)) != NULL) {
        vigil__output_flush(loop, c);
        vigil__conn_rest(loop, c);
    }
    conns->flushing = false;
}

VIGIL_HOT void vigil__conns_flush(vigil_loop *loop)
{
    if (vigil__somebody_waits(loop, VIGIL__LIST_FLUSH) && !vigil__conns(loop)->flushing)
        conns_flush(loop);
}

/* Adds what was counted in this turn to the loop's counters. */
VIGIL_HOT static void conns_tally(vigil_loop *loop)
{
    struct vigil__tally *tally = &vigil__conns(loop)->tally;
    vigil__count(&loop->stats.bytes_in, tally->bytes_in);
    vigil__count(&loop->stats.bytes_out, tally->bytes_out);
    vigil__count(&loop->stats.receives, tally->receives);
    vigil__count(&loop->stats.sends, tally->sends);
    *tally = (struct vigil__tally){ 0 };
}

/* Whether nobody waits for anything but bytes and time, as in most turns. */
static inline bool conns_quiet(const vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    uint32_t waiting = conns->waiting[VIGIL__LIST_WORK] | conns->waiting[VIGIL__LIST_FLUSH] |
                       conns->waiting[VIGIL__LIST_CLOSES] | conns->waiting[VIGIL__LIST_MEMORY] |
                       conns->waiting[VIGIL__LIST_DRY];
    return (waiting | conns->some_starved | conns->fd_closed | conns->listeners_work) == 0;
}

/* What is noted while this runs waits for the next turn: no chain of it starves the rest. */
VIGIL_APART static void conns_work_some(vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    vigil__memory_work(loop);
    if (conns->listeners_work)
        vigil__listeners_work(loop);
    vigil__conns_flush(loop);
    if (!vigil__somebody_waits(loop, VIGIL__LIST_WORK))
        return;
    struct vigil__conn *c;
    uint32_t end = vigil__wait_end(loop, VIGIL__LIST_WORK);
    while ((c = vigil__wait_next(loop, VIGIL__LIST_WORK, end)) != NULL) {
        conn_work(loop, c);
        vigil__conn_rest(loop, c);
        vigil__conns_flush(loop);
    }
}

VIGIL_HOT static void conns_work(vigil_loop *loop)
{
    vigil__straight_rest(loop);
    conns_tally(loop);
    if (!conns_quiet(loop))
        conns_work_some(loop);
}

static void conns_port_op(const vigil_loop *loop, const struct vigil__port *port, bool input,
                          struct vigil__op *op)
{
    const struct vigil__conn *c = (const struct vigil__conn *)(const void *)port; /* begins so */
    if (input)
        vigil__input_op(loop, c, op);
    else
        *op = c->busy->op_out;
}

static void conns_op(const vigil_loop *loop, uint64_t key, struct vigil__op *op)
{
    unsigned kind = vigil__key_kind(key);
    if (kind >= VIGIL__OWNER_LISTENER) {
        vigil__listener_op(loop, key, op);
        return;
    }
    const struct vigil__port *port = vigil__port_at(loop, true, vigil__key_slot(key));
    conns_port_op(loop, port, kind == VIGIL__OWNER_CONN_IN, op);
}

/* Asked before bytes are received: they are safer with the system than here, to be shed. */
static bool conns_may_hold(vigil_loop *loop, uint64_t key)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    const struct vigil__conn *c = vigil__slab_at(&conns->conns, vigil__key_slot(key));
    return c->busy->conn != NULL || c->finishing || conns->free_busy != NULL || busy_make(loop);
}

/* What an operation still did when its connection had ended. */
static void record_late(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record)
{
    if (record->buf == NULL) {
        if (record->res > 0)
            vigil__output_record(loop, c, record); /* it went out: it is not dropped */
        return;
    }
    c->bytes_in += (uint64_t)record->res;
    vigil__count(&loop->stats.bytes_in, (uint64_t)record->res);
    vigil__count(&loop->stats.receives, 1);
    vigil__count(&loop->stats.dropped_in, (uint64_t)record->res);
    vigil__buf_drop(&loop->pool, record->buf);
}

static void conns_record(vigil_loop *loop, struct vigil__record *record)
{
    unsigned kind = vigil__key_kind(record->key);
    if (kind >= VIGIL__OWNER_LISTENER) {
        vigil__listener_record(loop, record);
        return;
    }
    struct vigil__conn *c = vigil__slab_at(&vigil__conns(loop)->conns,
                                           vigil__key_slot(record->key));
    VIGIL_ASSERT((c->port.slot.generation & 0xffffff) == vigil__key_generation(record->key));
    bool last = (record->flags & VIGIL__RECORD_MORE) == 0;
    if (last && kind == VIGIL__OWNER_CONN_IN)
        c->in.active = false;
    else if (last)
        c->busy->op_out.active = false;
    if (c->closing || loop->closing) {
        record_late(loop, c, record);
        return;
    }
    if (kind == VIGIL__OWNER_CONN_IN)
        vigil__input_record(loop, c, record);
    else
        vigil__output_record(loop, c, record);
    vigil__conn_rest(loop, c);
}

/* ---- ending ---- */

void vigil__conn_linger(vigil_loop *loop, struct vigil__conn *c)
{
    if (!c->finishing || !c->out_done || c->eof_told)
        return;
    struct vigil__busy *busy = vigil__conn_busy(loop, c);
    vigil_ns now = vigil__loop_clock(loop);
    if (busy != NULL) {
        busy->linger_due = vigil__time_add(now, vigil__conn_limits(loop, c)->linger_ns);
    } else { /* an end needs no memory: it is as if a last byte had moved now */
        c->lingers = true;
        c->moved_at = now;
    }
    vigil__deadline_arm(loop, c);
}

void vigil__conn_settle(vigil_loop *loop, struct vigil__conn *c)
{
    bool in_over = c->eof_told || vigil__conn_port(c, true) == NULL;
    if (!c->unopened && in_over && c->out_done)
        vigil__conn_close(loop, c, VIGIL_OK);
}

/* Whether the peer has not got all there is: output is left, or still comes from another. */
static bool conn_owes(const struct vigil__conn *c)
{
    uint64_t from = c->busy->couple_from.v;
    bool fed = from != 0 && from != vigil__conn_handle(c).v && !c->end_asked;
    return fed || c->busy->queued > 0;
}

void vigil__conn_close(vigil_loop *loop, struct vigil__conn *c, int why)
{
    if (c->closing)
        return;
    c->closing = true;
    /* Or the peer would take what it got for all there was; and one that does not read would keep
     * the kernel's buffers, too. */
    if (why != VIGIL_OK && conn_owes(c))
        c->reset = true;
    if (c->why == VIGIL_OK || why == VIGIL_ECANCELED)
        c->why = (int8_t)why; /* else output failed before, and why is known */
    c->todo = 0;
    (void)vigil__input_cancel(loop, c); /* conn_free waits for what is still under way */
    (void)vigil__op_cancel(loop, &c->busy->op_out);
    vigil__input_unblock(c);
    vigil__wait_nowhere(loop, c);
    vigil__wait(loop, c, VIGIL__LIST_CLOSES);
    vigil__waiters_wake(loop, c);
    vigil__couple_closed(loop, c);
}

void vigil__conn_reset(vigil_loop *loop, struct vigil__conn *c, int why)
{
    if (c->closing)
        return;
    c->reset = true;
    vigil__conn_close(loop, c, why);
}

VIGIL_APART static void conns_closes_some(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil__conns_flush(loop);
    for (bool waits = false; vigil__somebody_waits(loop, VIGIL__LIST_CLOSES) && !waits;) {
        struct vigil__conn *c;
        uint32_t end = vigil__wait_end(loop, VIGIL__LIST_CLOSES);
        while ((c = vigil__wait_next(loop, VIGIL__LIST_CLOSES, end)) != NULL) {
            if (c->in.active || c->busy->op_out.active) {
                vigil__wait(loop, c, VIGIL__LIST_CLOSES); /* the kernel still has it */
                waits = true;
            } else {
                conn_free(loop, c, true);
            }
        }
    }
    if (conns->fd_closed) {
        conns->fd_closed = false;
        vigil__listeners_fd_closed(loop);
    }
}

VIGIL_HOT static void conns_closes(vigil_loop *loop)
{
    if (!conns_quiet(loop))
        conns_closes_some(loop);
    vigil__gauge(&loop->stats.memory, loop->pool.used);
    vigil__gauge(&loop->stats.memory_max, loop->pool.used_max);
}

static void conn_count_close(vigil_loop *loop, const struct vigil__conn *c)
{
    if (c->why == VIGIL_OK) {
        vigil__count(&loop->stats.closed_ok, 1);
        return;
    }
    vigil__count(&loop->stats.closed_error, 1);
    if (c->why == VIGIL_ETIMEDOUT)
        vigil__count(&loop->stats.closed_timeout, 1);
}

void vigil__fd_close(vigil_loop *loop, vigil_fd fd)
{
    (void)loop->host->close(loop->host->self, fd); /* it is gone whatever the answer: close(2) */
    vigil__conns(loop)->fd_closed = true;
}

/* A connection's socket: the kernel closes it with what it is handed next, where it takes that. */
static void socket_close(vigil_loop *loop, vigil_fd fd)
{
    const struct vigil__backend *backend = loop->backend;
    bool taken = vigil__op_native(loop, VIGIL__OP_RECV) && vigil__process_is(loop->process) &&
                 backend->close_fd(loop->backend_self, fd) == 0;
    vigil__conns(loop)->fd_closed = true;
    if (!taken)
        vigil__fd_close(loop, fd);
}

VIGIL_COLD static void conn_ports_close(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__port *in = vigil__conn_port(c, true);
    struct vigil__port *out = vigil__conn_port(c, false);
    if (out != NULL && out != in)
        vigil__port_close(loop, out);
    if (in != NULL)
        vigil__port_close(loop, in);
    if (c->two_ways)
        c->busy->port_in = c->busy->port_out = NULL;
}

static void conn_release(vigil_loop *loop, struct vigil__conn *c)
{
    bool forked = !vigil__process_is(loop->process);
    vigil_fd fd_out = vigil__conn_fd_out(c);
    if (!forked)
        conn_ports_close(loop, c);
    vigil_fd socket = vigil__conn_socket_in(c)    ? c->port.fd
                      : vigil__conn_socket_out(c) ? fd_out
                                                  : VIGIL_FD_NONE;
    if (c->reset && socket != VIGIL_FD_NONE && !forked)
        (void)loop->host->option(loop->host->self, socket, VIGIL__SO_RESET,
                                 1); /* else it is an ordinary close */
    if (fd_out != VIGIL_FD_NONE && fd_out != c->port.fd)
        vigil__fd_close(loop, fd_out);
    if (c->port.fd != VIGIL_FD_NONE)
        (vigil__conn_socket_in(c) ? socket_close : vigil__fd_close)(loop, c->port.fd);
}

/* Calls `close` if `tell`, and frees everything. */
static void conn_free(vigil_loop *loop, struct vigil__conn *c, bool tell)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil__input_drop(loop, c);
    vigil__output_drop(loop, c);
    if (tell) {
        conn_count_close(loop, c);
        const vigil_conn_ops *ops = vigil__conn_ops(loop, c);
        if (ops->close != NULL) {
            ops->close(loop, vigil__conn_handle(c), c->ctx, c->why);
            vigil__callback_ran(loop, "close");
        }
    }
    conn_release(loop, c);
    if (c->busy->iov_buf != NULL)
        vigil__buf_drop(&loop->pool, c->busy->iov_buf);
    vigil__free(&loop->allocator, c->busy->connecting, sizeof(*c->busy->connecting));
    if (c->busy->conn != NULL) {
        busy_init(c->busy);
        c->busy->conn = c;
        busy_give(loop, c);
    }
    vigil__heap_remove(&conns->deadlines, c->port.slot.index);
    vigil__wait_nowhere(loop, c);
    struct vigil__shared *shared = vigil__conn_shared(loop, c);
    vigil_listener listener = shared->listener;
    vigil__shared_drop(loop, shared);
    vigil__slab_give(&conns->conns, c);
    vigil__gauge(&loop->stats.conns, conns->conns.live);
    vigil__listener_left(loop, listener);
}

/* ---- the whole floor ---- */

/* Whether one that is to be closed has nothing under way any more. */
static bool some_close_now(const vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    if (VIGIL_LIKELY(conns->waiting[VIGIL__LIST_CLOSES] == 0))
        return false;
    const struct vigil__queues *lists = &loop->ports[true].lists;
    uint32_t end = lists->of[VIGIL__LIST_CLOSES].pushed;
    for (uint32_t i = lists->of[VIGIL__LIST_CLOSES].popped; i != end; i++) {
        uint32_t slot = *vigil__queue_place(lists, VIGIL__LIST_CLOSES, i);
        const struct vigil__conn *c = vigil__slab_at(&conns->conns, slot);
        if (vigil__waits(c, VIGIL__LIST_CLOSES) && !c->in.active && !c->busy->op_out.active)
            return true;
    }
    return false;
}

/* When one that waits is to be looked at: VIGIL_NOWAIT, or `due` if not before. */
VIGIL_APART static vigil_ns conns_due_some(const vigil_loop *loop, vigil_ns due)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    if (conns->waiting[VIGIL__LIST_WORK] > 0 || conns->waiting[VIGIL__LIST_FLUSH] > 0 ||
        conns->listeners_work || some_close_now(loop))
        return VIGIL_NOWAIT;
    if (conns->waiting[VIGIL__LIST_DRY] > 0 && loop->pool.lent < loop->pool.lendable)
        return VIGIL_NOWAIT;
    if (conns->some_starved && !vigil__memory_short(loop))
        return VIGIL_NOWAIT;
    if (conns->waiting[VIGIL__LIST_DRY] > 0 && conns->dry_due < due)
        due = conns->dry_due;
    if (conns->waiting[VIGIL__LIST_MEMORY] > 0)
        due = loop->pool.returned       ? VIGIL_NOWAIT
              : conns->memory_due < due ? conns->memory_due
                                        : due;
    return due;
}

VIGIL_HOT static vigil_ns conns_due(const vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    vigil_ns due = vigil__heap_due(&conns->deadlines);
    due = conns->rest_due < due ? conns->rest_due : due;
    return VIGIL_LIKELY(conns_quiet(loop)) ? due : conns_due_some(loop, due);
}

VIGIL_HOT static bool conns_alive(const vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    return conns->conns.live > 0 || conns->listeners.live > 0;
}

static void conns_drain(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil__straight_look(loop);
    for (struct vigil__link *at = conns->all_listeners.next, *next; at != &conns->all_listeners;
         at = next) {
        next = at->next;
        vigil__listener_drain(loop, VIGIL_OWNER(at, struct vigil__listener, all));
    }
    struct vigil__conn *c;
    for (uint32_t at = 0; (c = vigil__conn_from(loop, &at)) != NULL;) {
        c->drain = true;
        vigil__conn_todo(loop, c, VIGIL__TODO_READ);
    }
}

static void conns_abort_all(vigil_loop *loop, int why)
{
    struct vigil__conns *conns = vigil__conns(loop);
    for (struct vigil__link *at = conns->all_listeners.next, *next; at != &conns->all_listeners;
         at = next) {
        next = at->next;
        vigil__listener_end(loop, VIGIL_OWNER(at, struct vigil__listener, all));
    }
    struct vigil__conn *c;
    for (uint32_t at = 0; (c = vigil__conn_from(loop, &at)) != NULL;)
        vigil__conn_reset(loop, c, why);
    conns_closes(loop);
}

static const struct vigil__above conns_above = {
    .record = conns_record,
    .straight = vigil__straight,
    .op = conns_op,
    .port_op = conns_port_op,
    .may_hold = conns_may_hold,
    .after_callback = vigil__conns_flush,
    .tally = conns_tally,
    .work = conns_work,
    .deadlines = vigil__deadlines_run,
    .closes = conns_closes,
    .due = conns_due,
    .alive = conns_alive,
    .drain = conns_drain,
    .abort_all = conns_abort_all,
    .dump = vigil__conns_dump,
    .destroy = conns_destroy,
};
