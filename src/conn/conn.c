/* SPDX-License-Identifier: MIT
 *
 * conn.c -- the life of a connection: made, opened, worked for, closed.  Floor: conn.
 *
 * Ending begins with vigil__conn_close(), which stops everything and calls nobody; `close` runs in
 * the last step of the turn, when no operation is under way any more.
 */
#include "conn/conn.h"

#include <string.h>

static const struct vigil__above conns_above;

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
    vigil__list_init(&conns->all);
    vigil__list_init(&conns->all_listeners);
    vigil__list_init(&conns->work);
    vigil__list_init(&conns->flush);
    vigil__list_init(&conns->closes);
    vigil__list_init(&conns->memory);
    vigil__list_init(&conns->dry);
    loop->above_state = conns;
    loop->above = &conns_above;
    return 0;
}

/* Connections are left when the kernel would not give their operations back. */
static void conns_destroy(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    bool tell = vigil__process_is(loop->process); /* nobody is called in a forked child */
    while (!vigil__list_empty(&conns->all_listeners))
        vigil__listener_free(loop,
                             VIGIL_OWNER(conns->all_listeners.next, struct vigil__listener, all));
    while (!vigil__list_empty(&conns->all))
        conn_free(loop, VIGIL_OWNER(conns->all.next, struct vigil__conn, all), tell);
    vigil__straight_rest(loop);
    vigil__slab_clear(&conns->conns);
    vigil__slab_clear(&conns->listeners);
    vigil__pieces_clear(loop);
    vigil__heap_clear(&conns->deadlines);
    vigil__free(&loop->allocator, conns, sizeof(*conns));
    loop->above = NULL;
    loop->above_state = NULL;
}

/* ---- making ---- */

struct vigil__conn *vigil__conn_find(vigil_loop *loop, vigil_conn conn)
{
    if (loop->above == NULL || vigil__loop_check(loop) != 0)
        return NULL;
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
    *out = loop->above != NULL ? vigil__slab_find(&vigil__conns(loop)->conns, conn.v) : NULL;
    return *out != NULL ? 0 : VIGIL_ESTALE;
}

static void conn_init(vigil_loop *loop, struct vigil__conn *c)
{
    vigil__list_init(&c->all);
    vigil__list_init(&c->work);
    vigil__list_init(&c->flush);
    vigil__list_init(&c->memory);
    vigil__list_init(&c->blocked);
    vigil__list_init(&c->waiters);
    c->fd_in = VIGIL_FD_NONE;
    c->fd_out = VIGIL_FD_NONE;
    c->opened_at = loop->now;
    c->moved_at = loop->now;
    c->sent_at = loop->now;
    c->linger_due = VIGIL_FOREVER;
    c->own_due = VIGIL_FOREVER;
    uint32_t generation = c->slot.generation;
    uint32_t index = c->slot.index;
    c->op_in.key = vigil__key(VIGIL__KEY_OP, VIGIL__OWNER_CONN_IN, generation, index);
    c->op_out.key = vigil__key(VIGIL__KEY_OP, VIGIL__OWNER_CONN_OUT, generation, index);
}

bool vigil__conn_reserve(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    return vigil__slab_reserve(&conns->conns) && vigil__slab_reserve(&loop->ports) &&
           vigil__heap_reserve(&conns->deadlines, vigil__slab_next(&conns->conns) * 2);
}

int vigil__conn_new(vigil_loop *loop, const vigil_conn_ops *ops, void *ctx,
                    struct vigil__limits *limits, struct vigil__conn **out)
{
    static const vigil_conn_ops none;
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__conn *c = vigil__slab_take(&conns->conns);
    if (c == NULL)
        return VIGIL_ENOMEM;
    if (!vigil__heap_set(&conns->deadlines, c->slot.index * 2, VIGIL_FOREVER)) {
        vigil__slab_give(&conns->conns, c);
        return VIGIL_ENOMEM;
    }
    conn_init(loop, c);
    vigil__conn_set_ops(c, ops != NULL ? ops : &none);
    c->ctx = ctx;
    c->limits = limits;
    c->narrow = limits->value.out_high < VIGIL__BUF_READ;
    limits->refs++;
    vigil__list_append(&conns->all, &c->all);
    vigil__gauge(&loop->stats.conns, conns->conns.live);
    *out = c;
    return 0;
}

void vigil__conn_set_ops(struct vigil__conn *c, const vigil_conn_ops *ops)
{
    c->ops = ops;
    c->deaf = ops->data == NULL;
}

int vigil__conn_socket(vigil_loop *loop, struct vigil__conn *c, vigil_fd fd)
{
    struct vigil__port *port;
    int status = vigil__port_open(loop, fd, &port);
    if (status != 0)
        return status;
    c->fd_in = fd;
    c->fd_out = fd;
    c->port_in = port;
    c->port_out = port;
    c->socket_in = true;
    c->socket_out = true;
    return 0;
}

void vigil__conn_undo(vigil_loop *loop, struct vigil__conn *c)
{
    vigil__conn_close(loop, c, VIGIL_ECANCELED); /* a ctx function may have sent or coupled */
    c->fd_in = VIGIL_FD_NONE;                    /* they stay whose they were */
    c->fd_out = VIGIL_FD_NONE;
    conn_free(loop, c, false);
}

/* ---- working ---- */

void vigil__conn_todo(vigil_loop *loop, struct vigil__conn *c, unsigned todo)
{
    if (c->closing)
        return;
    c->todo = (uint8_t)(c->todo | todo);
    if (vigil__list_empty(&c->work)) /* one that waits keeps its place */
        vigil__list_append(&vigil__conns(loop)->work, &c->work);
}

static void conn_open(vigil_loop *loop, struct vigil__conn *c)
{
    c->opened = true;
    c->opened_at = vigil__loop_clock(loop); /* now its time begins, however long this turn takes */
    c->moved_at = c->opened_at;
    c->sent_at = c->opened_at;
    vigil__deadline_arm(loop, c);
    if (c->ops->open != NULL) {
        c->ops->open(loop, vigil__conn_handle(c), c->ctx);
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
    if (c->ops->writable == NULL || c->end_asked)
        return;
    c->ops->writable(loop, vigil__conn_handle(c), c->ctx);
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

void vigil__conns_flush(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (VIGIL_LIKELY(vigil__list_empty(&conns->flush)) || conns->flushing)
        return;
    conns->flushing = true;
    struct vigil__link flush; /* a snapshot: who has more than its share to send comes again */
    vigil__list_move(&flush, &conns->flush);
    while (!vigil__list_empty(&flush)) {
        struct vigil__conn *c = VIGIL_OWNER(flush.next, struct vigil__conn, flush);
        vigil__list_remove(&c->flush);
        vigil__output_flush(loop, c);
    }
    conns->flushing = false;
}

/* Adds what was counted in this turn to the loop's counters. */
static void conns_tally(vigil_loop *loop)
{
    struct vigil__tally *tally = &vigil__conns(loop)->tally;
    vigil__count(&loop->stats.bytes_in, tally->bytes_in);
    vigil__count(&loop->stats.bytes_out, tally->bytes_out);
    vigil__count(&loop->stats.receives, tally->receives);
    vigil__count(&loop->stats.sends, tally->sends);
    *tally = (struct vigil__tally){ 0 };
}

/* What is noted while this runs waits for the next turn: no chain of it starves the rest. */
static void conns_work(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil__straight_rest(loop);
    conns_tally(loop);
    vigil__memory_work(loop);
    if (conns->listeners_work)
        vigil__listeners_work(loop);
    vigil__conns_flush(loop);
    struct vigil__link todo;
    vigil__list_move(&todo, &conns->work);
    while (!vigil__list_empty(&todo)) {
        struct vigil__conn *c = VIGIL_OWNER(todo.next, struct vigil__conn, work);
        vigil__list_remove(&c->work);
        conn_work(loop, c);
        vigil__conns_flush(loop);
    }
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
    VIGIL_ASSERT((c->slot.generation & 0xffffff) == vigil__key_generation(record->key));
    struct vigil__op *op = kind == VIGIL__OWNER_CONN_IN ? &c->op_in : &c->op_out;
    if ((record->flags & VIGIL__RECORD_MORE) == 0)
        op->active = false;
    if (c->closing || loop->closing) {
        record_late(loop, c, record);
        return;
    }
    if (kind == VIGIL__OWNER_CONN_IN)
        vigil__input_record(loop, c, record);
    else
        vigil__output_record(loop, c, record);
}

/* ---- ending ---- */

void vigil__conn_linger(vigil_loop *loop, struct vigil__conn *c)
{
    if (!c->finishing || !c->out_done || c->eof_told)
        return;
    c->linger_due = vigil__time_add(vigil__loop_clock(loop), c->limits->value.linger_ns);
    vigil__deadline_arm(loop, c);
}

void vigil__conn_settle(vigil_loop *loop, struct vigil__conn *c)
{
    bool in_over = c->eof_told || c->port_in == NULL;
    if (c->opened && in_over && c->out_done)
        vigil__conn_close(loop, c, VIGIL_OK);
}

void vigil__conn_close(vigil_loop *loop, struct vigil__conn *c, int why)
{
    if (c->closing)
        return;
    c->closing = true;
    /* Or the peer would take what it got for all there was; and one that does not read would keep
     * the kernel's buffers, too. */
    if (why != VIGIL_OK && c->queued > 0)
        c->reset = true;
    if (c->why == VIGIL_OK || why == VIGIL_ECANCELED)
        c->why = why; /* else output failed before, and why is known */
    c->todo = 0;
    (void)vigil__op_cancel(loop, &c->op_in); /* conn_free waits for what is still under way */
    (void)vigil__op_cancel(loop, &c->op_out);
    vigil__input_unblock(loop, c);
    vigil__list_remove(&c->memory);
    vigil__list_remove(&c->flush);
    vigil__list_remove(&c->work);
    vigil__list_append(&vigil__conns(loop)->closes, &c->work);
    while (!vigil__list_empty(&c->waiters)) {
        struct vigil__conn *waiter = VIGIL_OWNER(c->waiters.next, struct vigil__conn, blocked);
        vigil__input_unblock(loop, waiter);
        vigil__conn_todo(loop, waiter, VIGIL__TODO_OFFER | VIGIL__TODO_READ);
    }
    vigil__couple_closed(loop, c);
}

void vigil__conn_reset(vigil_loop *loop, struct vigil__conn *c, int why)
{
    if (c->closing)
        return;
    c->reset = true;
    vigil__conn_close(loop, c, why);
}

static void conns_closes(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil__conns_flush(loop);
    while (!vigil__list_empty(&conns->closes)) {
        struct vigil__link closes;
        vigil__list_move(&closes, &conns->closes);
        bool waits = false;
        while (!vigil__list_empty(&closes)) {
            struct vigil__conn *c = VIGIL_OWNER(closes.next, struct vigil__conn, work);
            vigil__list_remove(&c->work);
            if (c->op_in.active || c->op_out.active) {
                vigil__list_append(&conns->closes, &c->work); /* the kernel still has it */
                waits = true;
            } else {
                conn_free(loop, c, true);
            }
        }
        if (waits)
            break;
    }
    if (conns->fd_closed) {
        conns->fd_closed = false;
        vigil__listeners_fd_closed(loop);
    }
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

static void conn_release(vigil_loop *loop, struct vigil__conn *c)
{
    bool forked = !vigil__process_is(loop->process);
    if (c->port_out != NULL && c->port_out != c->port_in && !forked)
        vigil__port_close(loop, c->port_out);
    if (c->port_in != NULL && !forked)
        vigil__port_close(loop, c->port_in);
    vigil_fd socket = c->socket_in ? c->fd_in : c->socket_out ? c->fd_out : VIGIL_FD_NONE;
    if (c->reset && socket != VIGIL_FD_NONE && !forked)
        (void)loop->host->option(loop->host->self, socket, VIGIL__SO_RESET,
                                 1); /* else it is an ordinary close */
    if (c->fd_out != VIGIL_FD_NONE && c->fd_out != c->fd_in)
        vigil__fd_close(loop, c->fd_out);
    if (c->fd_in != VIGIL_FD_NONE)
        (c->socket_in ? socket_close : vigil__fd_close)(loop, c->fd_in);
}

/* Calls `close` if `tell`, and frees everything. */
static void conn_free(vigil_loop *loop, struct vigil__conn *c, bool tell)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil__input_drop(loop, c);
    vigil__output_drop(loop, c);
    if (tell) {
        conn_count_close(loop, c);
        if (c->ops->close != NULL) {
            c->ops->close(loop, vigil__conn_handle(c), c->ctx, c->why);
            vigil__callback_ran(loop, "close");
        }
    }
    conn_release(loop, c);
    if (c->iov_buf != NULL)
        vigil__buf_drop(&loop->pool, c->iov_buf);
    vigil__free(&loop->allocator, c->connecting, sizeof(*c->connecting));
    vigil__limits_drop(loop, c->limits);
    vigil__heap_remove(&conns->deadlines, c->slot.index * 2);
    vigil__list_remove(&c->all);
    vigil__list_remove(&c->work);
    vigil__list_remove(&c->flush);
    vigil_listener listener = c->listener;
    vigil__slab_give(&conns->conns, c);
    vigil__gauge(&loop->stats.conns, conns->conns.live);
    vigil__listener_left(loop, listener);
}

/* ---- the whole floor ---- */

static vigil_ns conns_due(const vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    if (!vigil__list_empty(&conns->work) || !vigil__list_empty(&conns->flush) ||
        conns->listeners_work)
        return VIGIL_NOWAIT;
    for (const struct vigil__link *at = conns->closes.next; at != &conns->closes; at = at->next) {
        const struct vigil__conn *c = VIGIL_OWNER(at, struct vigil__conn, work);
        if (!c->op_in.active && !c->op_out.active)
            return VIGIL_NOWAIT;
    }
    if (!vigil__list_empty(&conns->dry) && loop->pool.lent < loop->pool.lendable)
        return VIGIL_NOWAIT;
    if (conns->some_starved && !vigil__memory_short(loop))
        return VIGIL_NOWAIT;
    vigil_ns due = vigil__heap_due(&conns->deadlines);
    if (!vigil__list_empty(&conns->dry) && conns->dry_due < due)
        due = conns->dry_due;
    if (!vigil__list_empty(&conns->memory))
        due = loop->pool.returned       ? VIGIL_NOWAIT
              : conns->memory_due < due ? conns->memory_due
                                        : due;
    return due;
}

static bool conns_alive(const vigil_loop *loop)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    return conns->conns.live > 0 || conns->listeners.live > 0;
}

static void conns_drain(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    for (struct vigil__link *at = conns->all_listeners.next, *next; at != &conns->all_listeners;
         at = next) {
        next = at->next;
        vigil__listener_drain(loop, VIGIL_OWNER(at, struct vigil__listener, all));
    }
    for (struct vigil__link *at = conns->all.next; at != &conns->all; at = at->next) {
        struct vigil__conn *c = VIGIL_OWNER(at, struct vigil__conn, all);
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
    for (struct vigil__link *at = conns->all.next; at != &conns->all; at = at->next)
        vigil__conn_reset(loop, VIGIL_OWNER(at, struct vigil__conn, all), why);
    conns_closes(loop);
}

static const struct vigil__above conns_above = {
    .record = conns_record,
    .straight = vigil__straight,
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
