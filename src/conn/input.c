/* SPDX-License-Identifier: MIT
 *
 * input.c -- what comes in: the law of `data`, end of input, pause and resume.  Floor: conn.
 *
 * New bytes join what is held, `data` is offered all of it, and what it leaves stays held.  A
 * connection reads in one of two ways: while it holds nothing, one operation brings record after
 * record; while it holds something it wants more of, single receives bring no more than in_max
 * allows.
 */
#include "conn/conn.h"

#include <string.h>

static void input_after(vigil_loop *loop, struct vigil__conn *c);
static void input_drained(vigil_loop *loop, struct vigil__conn *c);

/* ---- reading or not ---- */

static bool input_wanted(const struct vigil__conn *c)
{
    if (c->eof_seen || c->unopened || vigil__conn_port(c, true) == NULL)
        return false;
    return c->finishing ? !c->memory_wait : !vigil__input_waits(c);
}

/* Whether somebody listens to what still comes.  Who paused may wait for output that has failed,
 * and who is coupled is about to be aborted. */
static bool input_heard(const struct vigil__conn *c)
{
    return !c->unopened && vigil__conn_port(c, true) != NULL && !c->eof_told && !c->finishing &&
           !c->paused && c->busy->couple_to.v == 0;
}

void vigil__input_op(const vigil_loop *loop, const struct vigil__conn *c, struct vigil__op *op)
{
    (void)loop;
    unsigned flags = (c->in.multi ? VIGIL__OP_MULTI : 0) | (c->in.nowait ? VIGIL__OP_NOWAIT : 0);
    if (c->two_ways && c->busy->blocking_in)
        flags |= VIGIL__OP_BLOCKING;
    *op = (struct vigil__op){
        .key = vigil__key(VIGIL__KEY_OP, VIGIL__OWNER_CONN_IN, c->port.slot.generation,
                          c->port.slot.index),
        .fd = c->port.fd,
        .ticket = c->in_ticket,
        .port = vigil__conn_port(c, true),
        .kind = vigil__conn_socket_in(c) ? VIGIL__OP_RECV : VIGIL__OP_READ,
        .flags = (uint8_t)flags,
        .active = c->in.active,
        .native = c->in.native,
        .u.len = (size_t)c->in_len + 1,
    };
}

static void input_keep(struct vigil__conn *c, const struct vigil__op *op)
{
    c->in_ticket = op->ticket;
    c->in_len = (uint16_t)(op->u.len - 1);
    c->in.active = op->active;
    c->in.native = op->native;
    c->in.multi = (op->flags & VIGIL__OP_MULTI) != 0;
    c->in.nowait = (op->flags & VIGIL__OP_NOWAIT) != 0;
}

bool vigil__input_cancel(vigil_loop *loop, struct vigil__conn *c)
{
    if (!c->in.active)
        return true;
    struct vigil__op op;
    vigil__input_op(loop, c, &op);
    bool over = vigil__op_cancel(loop, &op);
    c->in.active = op.active;
    return over;
}

/* The operation as it should be now. */
static void input_shape(const vigil_loop *loop, const struct vigil__conn *c, struct vigil__op *op)
{
    size_t in_max = vigil__conn_limits(loop, c)->in_max;
    size_t held = c->busy->held_len;
    bool native = op->kind == VIGIL__OP_RECV && vigil__op_native(loop, VIGIL__OP_RECV);
    op->flags &= VIGIL__OP_BLOCKING;
    if (c->drain && !c->finishing)
        op->flags |= VIGIL__OP_NOWAIT;
    else if (held == 0 && !(native && (c->modest || vigil__memory_short(loop))))
        op->flags |= VIGIL__OP_MULTI; /* the kernel's knows no len */
    op->u.len = vigil__min(in_max - (held < in_max ? held : 0), VIGIL__BUF_READ);
    op->u.len = vigil__min(op->u.len, vigil__memory_read(loop, c));
}

static void set_starved(vigil_loop *loop, struct vigil__conn *c, bool starved)
{
    c->starved = starved;
    vigil__conns(loop)->some_starved |= starved;
}

void vigil__input_update(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->closing)
        return;
    if (vigil__conn_failed(c) && !input_heard(c)) {
        vigil__conn_close(loop, c, c->why);
        return;
    }
    if (!c->finishing && c->busy->couple_to.v == 0 &&
        c->busy->held_len >= vigil__conn_limits(loop, c)->in_max && input_wanted(c)) {
        /* The limit was lowered to below what is held; or it was blocked, and is asked first. */
        if ((c->todo & VIGIL__TODO_OFFER) == 0)
            vigil__conn_close(loop, c, VIGIL_ELIMIT);
        return;
    }
    if (!input_wanted(c)) {
        (void)vigil__input_cancel(loop, c); /* looked at again with its last record */
        if (c->drain && !c->unopened && c->eof_told)
            input_drained(loop, c);
        return;
    }
    struct vigil__op op, shape;
    vigil__input_op(loop, c, &op);
    shape = op;
    input_shape(loop, c, &shape);
    set_starved(loop, c, shape.u.len == 0);
    /* Where memory is short its own output, which takes some, must go first. */
    if (c->starved) {
        (void)vigil__input_cancel(loop, c); /* as above */
        return;
    }
    if (op.active) {
        bool same = op.flags == shape.flags && op.u.len == shape.u.len;
        if (same || !vigil__input_cancel(loop, c))
            return;
        shape.active = false;
    }
    struct vigil__record record;
    int status = vigil__op_start(loop, &shape, &record);
    input_keep(c, &shape);
    if (status == VIGIL_EFULL)
        vigil__conn_todo(loop, c, VIGIL__TODO_READ); /* behind the next wait there is room */
    else if (status < 0)
        vigil__memory_wait(loop, c);
    else if (status > 0)
        vigil__input_record(loop, c, &record);
}

void vigil__input_unblock(struct vigil__conn *c)
{
    if (c->busy->blocked_on.v == 0)
        return;
    vigil__list_remove(&c->busy->blocked);
    c->busy->blocked_on = (vigil_conn){ 0 };
}

void vigil__input_block_on(struct vigil__conn *c, struct vigil__conn *target)
{
    c->busy->blocked_on = vigil__conn_handle(target);
    vigil__list_append(&target->busy->waiters, &c->busy->blocked);
}

int vigil_pause(vigil_loop *loop, vigil_conn conn)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    if (!c->finishing) {
        c->paused = true;
        if (!vigil__conn_in_data(loop, c)) /* what that answers counts; then this is looked at */
            vigil__input_update(loop, c);
    }
    return 0;
}

int vigil_resume(vigil_loop *loop, vigil_conn conn)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    if (c->paused) {
        c->paused = false;
        vigil__conn_todo(loop, c, VIGIL__TODO_OFFER | VIGIL__TODO_READ);
    }
    return 0;
}

int vigil_conn_held(vigil_loop *loop, vigil_conn conn, const void **p, size_t *n)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    *p = c->busy->held_len > 0 ? c->busy->held->data + c->busy->held_at : NULL;
    *n = c->busy->held_len;
    return 0;
}

/* ---- what is held ---- */

void vigil__input_drop(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->busy->held == NULL)
        return;
    vigil__count(&loop->stats.dropped_in, c->busy->held_len);
    vigil__buf_drop(&loop->pool, c->busy->held);
    c->busy->held = NULL;
    c->busy->held_len = 0;
    c->busy->held_at = 0;
}

/* Puts what is held into a buffer of at least `size`.  False: no memory. */
static bool held_move(vigil_loop *loop, struct vigil__conn *c, size_t size)
{
    /* These bytes are here already: they may use what is kept back for output. */
    struct vigil__buf *buf = vigil__buf_take(&loop->pool, size, VIGIL__BUF_OUTPUT);
    if (buf == NULL)
        return false;
    memcpy(buf->data, c->busy->held->data + c->busy->held_at, c->busy->held_len);
    vigil__buf_drop(&loop->pool, c->busy->held);
    c->busy->held = buf;
    c->busy->held_at = 0;
    return true;
}

void vigil__input_unpin(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->busy->held != NULL && c->busy->held->size_class == VIGIL__BUF_LENT)
        (void)held_move(loop, c, c->busy->held_len); /* without memory for it, it is asked again */
}

/* Joins a record's bytes to what is held.  Takes its buffer.  False: no memory, they are lost. */
static bool held_join(vigil_loop *loop, struct vigil__conn *c, const struct vigil__record *record)
{
    size_t n = (size_t)record->res;
    if (vigil__conn_busy(loop, c) == NULL) {
        vigil__count(&loop->stats.dropped_in, n);
        vigil__buf_drop(&loop->pool, record->buf);
        return false;
    }
    if (c->busy->held_len == 0) {
        if (c->busy->held != NULL)
            vigil__buf_drop(&loop->pool, c->busy->held);
        c->busy->held = record->buf;
        c->busy->held_at = record->offset;
        c->busy->held_len = n;
        return true;
    }
    /* One that is lent may be filled further by the kernel, with what is another's. */
    bool ours = c->busy->held->refs == 1 && c->busy->held->size_class != VIGIL__BUF_LENT;
    bool fits = ours && c->busy->held->cap - c->busy->held_at - c->busy->held_len >= n;
    if (!fits && !held_move(loop, c, vigil__max(c->busy->held_len + n, 2 * c->busy->held_len))) {
        vigil__count(&loop->stats.dropped_in, n);
        vigil__buf_drop(&loop->pool, record->buf);
        return false;
    }
    memcpy(c->busy->held->data + c->busy->held_at + c->busy->held_len,
           record->buf->data + record->offset, n);
    c->busy->held_len += n;
    vigil__buf_drop(&loop->pool, record->buf);
    return true;
}

void vigil__input_consume(vigil_loop *loop, struct vigil__conn *c, size_t n)
{
    c->busy->held_at += n;
    c->busy->held_len -= n;
    if (c->busy->held_len == 0) {
        vigil__buf_drop(&loop->pool, c->busy->held);
        c->busy->held = NULL;
        c->busy->held_at = 0;
    }
}

/* Few bytes do not pin a large buffer, nor any of the kernel's while it runs out of them. */
static void held_settle(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->busy->held_len == 0)
        return;
    bool few = c->busy->held_len * 4 < c->busy->held->cap && c->busy->held->size_class > 0;
    bool lent = c->busy->held->size_class == VIGIL__BUF_LENT;
    if (few || (lent && vigil__pool_lent_low(&loop->pool)))
        (void)held_move(loop, c, c->busy->held_len); /* without memory for it they do */
}

/* ---- records ---- */

static void input_end(vigil_loop *loop, struct vigil__conn *c)
{
    c->eof_seen = true;
    if (vigil__conn_failed(c)) { /* a reset ends like this too, once a send has taken the error */
        vigil__conn_close(loop, c, c->why);
        return;
    }
    if (c->finishing) {
        c->eof_told = true;
        vigil__conn_settle(loop, c);
        return;
    }
    input_after(loop, c);
}

static void input_bytes(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record)
{
    c->bytes_in += (uint64_t)record->res;
    c->modest = false;
    c->moved_at = loop->now;
    vigil__count(&loop->stats.bytes_in, (uint64_t)record->res);
    vigil__count(&loop->stats.receives, 1);
    if (c->finishing) {
        vigil__count(&loop->stats.dropped_in, (uint64_t)record->res);
        vigil__buf_drop(&loop->pool, record->buf);
        if (!c->in.active)
            vigil__conn_todo(loop, c, VIGIL__TODO_READ);
        return;
    }
    if (!held_join(loop, c, record)) {
        vigil__memory_shed(loop, c);
        return;
    }
    vigil__input_offer(loop, c);
}

void vigil__input_record(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record)
{
    if (VIGIL_LIKELY(record->res > 0)) {
        input_bytes(loop, c, record);
        return;
    }
    switch (record->res) {
    case 0:
        input_end(loop, c);
        break;
    case VIGIL__EAGAIN:
        if (!c->finishing && !vigil__input_waits(c))
            input_drained(loop, c);
        else
            vigil__conn_todo(loop, c, VIGIL__TODO_READ); /* it was asked before that: asks anew */
        break;
    case VIGIL_ENOBUFS:
        if (c->in.native) { /* others have the kernel's buffers just now */
            vigil__memory_dry(loop, c);
            break;
        }
        /* fall through */
    case VIGIL_ENOMEM:
        set_starved(loop, c, c->busy->queued > 0 && vigil__memory_short(loop));
        if (!c->starved)
            vigil__memory_wait(loop, c);
        break;
    case VIGIL_ECANCELED:
        vigil__conn_todo(loop, c, VIGIL__TODO_READ);
        break;
    default: /* what it was still to be sent is not whole, unless it has been told its end */
        (c->out_done ? vigil__conn_close : vigil__conn_reset)(loop, c, record->res);
    }
}

/* ---- the law ---- */

/* Calls `data` with all that is held; answers how much it used. */
static size_t input_call(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    const vigil_conn_ops *ops = vigil__conn_ops(loop, c);
    size_t n = vigil__min(c->busy->held_len,
                          vigil__conn_limits(loop, c)->in_max); /* a burst may have brought more */
    if (ops->data == NULL) {
        vigil__count(&loop->stats.dropped_in, n);
        return n;
    }
    conns->reader = c;
    conns->cut_on = 0;
    size_t used = ops->data(loop, vigil__conn_handle(c), c->ctx,
                            c->busy->held->data + c->busy->held_at, n);
    conns->reader = NULL;
    return vigil__min(used, n);
}

/* Holds the rest until the one whose output was full has room, or there is memory. */
static void input_block(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (conns->cut_on == VIGIL__CUT_MEMORY) {
        vigil__memory_wait(loop, c);
        return;
    }
    struct vigil__conn *target = vigil__conn_find(loop, (vigil_conn){ conns->cut_on });
    if (target == NULL || !target->cut) { /* gone already: offered again, without it */
        vigil__conn_todo(loop, c, VIGIL__TODO_OFFER);
        return;
    }
    vigil__input_block_on(c, target);
}

/* `data` used some of what it was offered.  Whether it is to be called again for the rest. */
static bool offer_again(vigil_loop *loop, struct vigil__conn *c, const vigil_conn_ops *ops,
                        size_t used)
{
    const struct vigil__conns *conns = vigil__conns(loop);
    bool cut = conns->cut_on != 0;
    if (c->finishing || c->closing)
        return false;
    if (used > 0)
        vigil__input_consume(loop, c, used);
    if (c->busy->held_len > 0 && cut && !c->paused)
        input_block(loop, c);
    bool others = vigil__conn_ops(loop, c) != ops; /* they are offered what those before left */
    return (used > 0 || others) && !loop->closing;
}

/* What is held now stays so for a while. */
static void offer_ends(vigil_loop *loop, struct vigil__conn *c)
{
    c->offer_due = vigil__input_waits(c);
    if (c->finishing && !c->closing)
        vigil__input_drop(loop, c);
    held_settle(loop, c);
    if (!c->closing)
        input_after(loop, c);
}

void vigil__input_offer(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->busy->couple_to.v != 0 && !c->finishing) {
        vigil__couple_offer(loop, c);
        held_settle(loop, c);
        if (!c->closing)
            input_after(loop, c);
        return;
    }
    while (c->busy->held_len > 0 && !vigil__input_waits(c) && !c->finishing && !c->closing &&
           c->busy->couple_to.v == 0) {
        c->todo &= VIGIL__TODO_ALL ^ VIGIL__TODO_OFFER; /* this is it: nobody hears it twice */
        const vigil_conn_ops *ops = vigil__conn_ops(loop, c);
        if (!offer_again(loop, c, ops, input_call(loop, c))) {
            offer_ends(loop, c);
            vigil__callback_ran(loop, "data");
            return;
        }
        vigil__callback_ran(loop, "data"); /* output leaves before the next call */
    }
    offer_ends(loop, c);
}

void vigil__input_offered(vigil_loop *loop, struct vigil__conn *c, const vigil_conn_ops *ops,
                          size_t used)
{
    bool again = offer_again(loop, c, ops, vigil__min(used, c->busy->held_len));
    if (!again)
        offer_ends(loop, c);
    vigil__callback_ran(loop, "data");
    if (again)
        vigil__input_offer(loop, c);
}

/* Whether it goes on reading just as it does: the case to be quick in. */
static bool input_steady(const vigil_loop *loop, const struct vigil__conn *c)
{
    return c->busy->held_len == 0 && c->in.active && c->in.multi && !c->drain && !c->eof_seen &&
           !c->finishing && !vigil__input_waits(c) && !vigil__memory_short(loop);
}

/* What follows when `data` has had its say: the end of input, the limit, or more reading. */
static void input_after(vigil_loop *loop, struct vigil__conn *c)
{
    if (VIGIL_LIKELY(input_steady(loop, c)))
        return;
    bool waits = vigil__input_waits(c);
    if (c->eof_seen && !waits) {
        if (!c->eof_told)
            vigil__conn_todo(loop, c, VIGIL__TODO_EOF);
        return;
    }
    if (!waits && !c->finishing && c->busy->couple_to.v == 0 &&
        c->busy->held_len >= vigil__conn_limits(loop, c)->in_max) {
        vigil__conn_close(loop, c, VIGIL_ELIMIT);
        return;
    }
    if (c->drain)
        vigil__conn_todo(loop, c, VIGIL__TODO_READ); /* it may answer at once: not from in here */
    else
        vigil__input_update(loop, c);
}

void vigil__input_eof(vigil_loop *loop, struct vigil__conn *c)
{
    if (!c->eof_seen || c->eof_told || vigil__input_waits(c))
        return;
    if ((c->todo & VIGIL__TODO_OFFER) != 0)
        return; /* it was blocked, and is asked first: that looks at the end again */
    if (vigil__conn_failed(c)) { /* behind that no `eof` comes, though this one was seen before */
        vigil__conn_close(loop, c, c->why);
        return;
    }
    c->eof_told = true;
    if (c->busy->couple_to.v != 0) {
        (void)vigil_end(loop, c->busy->couple_to); /* gone is ended too */
    } else if (vigil__conn_ops(loop, c)->eof != NULL) {
        vigil__conn_ops(loop, c)->eof(loop, vigil__conn_handle(c), c->ctx);
        vigil__callback_ran(loop, "eof");
    } else {
        (void)vigil_finish(loop, vigil__conn_handle(c)); /* it is there: cannot fail */
    }
    if (c->closing)
        return;
    vigil__input_drop(loop, c); /* what nobody wanted to wait for */
    if (c->drain)
        input_drained(loop, c);
    vigil__conn_settle(loop, c);
}

void vigil__input_finish(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->finishing)
        return;
    c->finishing = true;
    c->paused = false;
    vigil__input_unblock(c);
    if (!vigil__conn_in_data(loop, c))
        vigil__input_drop(loop, c);
    if (c->eof_seen)
        c->eof_told = true; /* nobody listens any more */
    if (c->busy->couple_to.v != 0)
        (void)vigil_end(loop,
                        c->busy->couple_to); /* nothing more comes for it; gone is ended too */
    vigil__conn_linger(loop, c);
    vigil__conn_todo(loop, c, VIGIL__TODO_READ);
    vigil__output_later(loop, c); /* settles it, if both sides have ended */
}

/* The drain has read what was there.  Who feeds it by coupling may still have something for it, and
 * ends it when that is drained too. */
static void input_drained(vigil_loop *loop, struct vigil__conn *c)
{
    if (vigil__conn_failed(c)) {
        vigil__conn_close(loop, c, c->why);
        return;
    }
    const struct vigil__conn *from = vigil__conn_find(loop, c->busy->couple_from);
    vigil__input_finish(loop, c);
    if (from == NULL || from->finishing)
        (void)vigil_end(loop, vigil__conn_handle(c)); /* it is here: cannot fail */
}
