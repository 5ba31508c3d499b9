/* SPDX-License-Identifier: MIT
 *
 * straight.c -- the straight way of a message: received, given to `data`, and what that sends on
 * brought away.  Floor: conn.
 *
 * On a backend that tells readiness, a connection on which nothing waits needs no record, no
 * operation and no queue for that.  So this does at once what op_ready.c, input.c and output.c do
 * in steps, for as long as all goes as it mostly does.  Whatever else comes up, a rest that is
 * held, a send that is cut short, a pause, an end, is put into the form in which they know it, and
 * is theirs.
 */
#include "conn/conn.h"

/* What is received into, kept from the first message of a turn to the last.  False: for want of
 * memory, or while that is short, each has to see for itself what it can have. */
VIGIL_APART static bool straight_take(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (!vigil__piece_spare(loop))
        return false;
    if (conns->part == NULL)
        conns->part = vigil__busy_get(loop);
    if (conns->part == NULL)
        return false;
    if (conns->reading == NULL)
        conns->reading = vigil__buf_take(&loop->pool, VIGIL__BUF_READ, VIGIL__BUF_INPUT);
    return conns->reading != NULL;
}

void vigil__straight_rest(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    bool for_nothing = conns->tally.receives == 0; /* that is no sign of memory for who waits */
    if (conns->reading != NULL)
        (for_nothing ? vigil__buf_untake : vigil__buf_drop)(&loop->pool, conns->reading);
    conns->reading = NULL;
    if (conns->part != NULL)
        vigil__busy_put(loop, conns->part);
    conns->part = NULL;
}

/* Whether nothing is under way or waits: only messages come and go. */
static inline bool conn_steady(const struct vigil__conn *c)
{
    const struct vigil__busy *busy = c->busy;
    return c->unsteady == 0 && (VIGIL_LIKELY(busy == &vigil__not_busy) ||
                                (busy->head == NULL && busy->couple_to.v == 0));
}

/* What the connection has of the loop's for its message is needed by it any longer. */
VIGIL_COLD static void straight_keep(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (c->busy != conns->part)
        return;
    vigil__busy_own(c, c->busy);
    conns->part = NULL;
}

/* `data` has had its say, and something is otherwise than it mostly is. */
VIGIL_COLD static void straight_ends(vigil_loop *loop, struct vigil__conn *c,
                                     const vigil_conn_ops *ops, size_t used)
{
    straight_keep(loop, c);
    if (vigil__straight_passed(c))
        vigil__output_passed(loop, c);
    vigil__conns(loop)->reading = NULL; /* it is the connection's now */
    vigil__input_offered(loop, c, ops, used);
    vigil__conn_rest(loop, c);
}

/* Callbacks queued something, or somebody sends the buffer on by reference. */
VIGIL_COLD static void straight_others(vigil_loop *loop, struct vigil__conn *c)
{
    straight_keep(loop, c);
    vigil__conns_flush(loop);
    vigil__straight_rest(loop); /* the next takes another, if memory allows */
    vigil__conn_rest(loop, c);
}

/* The system took less than all that was passed on, or failed. */
VIGIL_COLD static void straight_cut(vigil_loop *loop, struct vigil__conn *c, int sent)
{
    straight_keep(loop, c);
    vigil__output_passed(loop, c);
    vigil__output_cut_short(loop, c, sent);
}

/* Sends on all that was received.  What does not go waits in the queue. */
static inline void straight_send(vigil_loop *loop, struct vigil__conns *conns,
                                 struct vigil__conn *c, const void *p, size_t n)
{
    const vigil_host *host = loop->host;
    int sent = host->send(host->self, c->port.fd, p, n);
    if (VIGIL_UNLIKELY((unsigned)sent != n)) {
        straight_cut(loop, c, sent);
        return;
    }
    c->busy->queued = 0;
    c->bytes_out += n;
    conns->tally.bytes_out += n;
    conns->tally.sends++;
}

/* What the connection writes to while its message is on the way: mostly the loop's. */
static inline struct vigil__busy *straight_busy(struct vigil__conns *conns, struct vigil__conn *c)
{
    if (VIGIL_UNLIKELY(c->busy != &vigil__not_busy))
        return c->busy;
    struct vigil__busy *part = conns->part;
    part->conn = c;
    c->busy = part;
    return part;
}

/* Gives a message of `n` bytes, which have been received, to `data`, and sends on what that does.
 * Whether all went as it mostly does. */
static inline bool straight_message(vigil_loop *loop, struct vigil__conns *conns,
                                    struct vigil__conn *c, struct vigil__buf *buf, size_t n)
{
    const vigil_conn_ops *ops = conns->shared_at[c->shared]->ops;
    struct vigil__busy *busy = straight_busy(conns, c);
    c->bytes_in += n;
    conns->tally.bytes_in += n;
    conns->tally.receives++;
    c->moved_at = loop->now;
    busy->held = buf; /* for as long as `data` runs */
    busy->held_len = n;
    conns->cut_on = 0;
    conns->reader = c;
    conns->straight = vigil__conn_handle(c);
    size_t used = ops->data(loop, conns->straight, c->ctx, buf->data, n);
    conns->straight.v = 0;
    conns->reader = NULL;
    if (VIGIL_UNLIKELY(used < n || c->unsteady != 0)) {
        straight_ends(loop, c, ops, used);
        return false;
    }
    busy->held = NULL;
    busy->held_len = 0;
    if (busy->queued > 0)
        straight_send(loop, conns, c, buf->data, n);
    bool others = conns->waiting[VIGIL__LIST_FLUSH] > 0 || buf->refs > 1;
    if (VIGIL_LIKELY(!others && busy == conns->part)) /* with nothing in it, or it would flush */
        c->busy = vigil__conn_not_busy();
    vigil__callback_counted(loop, "data"); /* who hears of a stall may do anything */
    if (VIGIL_LIKELY(!others && c->unsteady == 0 && conns->waiting[VIGIL__LIST_FLUSH] == 0))
        return true;
    straight_others(loop, c);
    return false;
}

/* Its input has ended, or failed. */
VIGIL_COLD static void straight_over(vigil_loop *loop, struct vigil__conn *c, int res)
{
    struct vigil__op op;
    vigil__input_op(loop, c, &op);
    vigil__op_ended(loop, &op, res);
}

/* How it went. */
enum { ODD, WELL, FULL /* well, and there may be more */ };

static inline int straight_once(vigil_loop *loop, struct vigil__conns *conns, struct vigil__conn *c,
                                struct vigil__buf *buf)
{
    const vigil_host *host = loop->host;
    int got = host->recv(host->self, c->port.fd, buf->data, (size_t)c->in_len + 1);
    if (VIGIL_LIKELY(got > 0)) {
        size_t n = (unsigned)got;
        bool well = straight_message(loop, conns, c, buf, n);
        return !well ? ODD : VIGIL_UNLIKELY(n > c->in_len) ? FULL : WELL;
    }
    if (got != VIGIL__EAGAIN)
        straight_over(loop, c, got);
    return ODD;
}

/* Whose input a record tells of, if it may go the straight way; or NULL. */
static inline struct vigil__conn *straight_conn(const vigil_loop *loop,
                                                const struct vigil__record *record)
{
    const uint64_t of_conn = (uint64_t)VIGIL__KEY_WATCH << 6 | 1;
    if (VIGIL_UNLIKELY(record->key >> 56 != of_conn || record->res != VIGIL_IN || loop->closing))
        return NULL;
    struct vigil__port *port = vigil__port_at(loop, true, vigil__key_slot(record->key));
    struct vigil__conn *c = VIGIL_OWNER(port, struct vigil__conn, port);
    const union vigil__in_way parked = { .active = true, .multi = true };
    bool stale = (port->slot.generation & 0xffffff) != vigil__key_generation(record->key);
    return VIGIL_LIKELY(c->in.all == parked.all && !stale && conn_steady(c)) ? c : NULL;
}

int vigil__straight(vigil_loop *loop, const struct vigil__record *records, int count)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__conn *c = straight_conn(loop, records);
    bool ready = conns->reading != NULL && conns->part != NULL;
    if (c == NULL || vigil__memory_short(loop) || (!ready && !straight_take(loop)))
        return 0;
    struct vigil__buf *buf = conns->reading;
    const struct vigil__record *record = records, *end = records + count;
    for (int reads = 0; c != NULL;) {
        int how = straight_once(loop, conns, c, buf);
        if (VIGIL_UNLIKELY(how == FULL) && ++reads < VIGIL__READS_MAX && !loop->closing)
            continue;
        reads = 0;
        c = ++record < end && VIGIL_LIKELY(how != ODD) ? straight_conn(loop, record) : NULL;
    }
    return (int)(record - records);
}
