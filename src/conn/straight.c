/* SPDX-License-Identifier: MIT
 *
 * straight.c -- the straight way of a message: received, given to `data`, and what that sends on
 * brought away.  Floor: conn.
 *
 * On a backend that tells readiness, a connection on which nothing waits needs no record, no
 * operation and no queue for that.  So this does at once what op_ready.c, input.c and output.c do
 * in steps, for as long as all goes as it mostly does: `data` uses all, and does nothing but pass
 * it on to who brought it, or answer it with a few other bytes, or not even that.  Nothing is
 * written into the connection meanwhile but what was counted.  As soon as a callback looks at any
 * connection, or something else comes up, a rest that is held, a send that is cut short, it is put
 * into the form in which the others know it, and is theirs.  Where the kernel receives and sends,
 * what is passed on, or the answer, is what it is asked to send, and is queued until it has.
 */
#include "conn/conn.h"

#include <string.h>

#include "sys/message_calls.h"

/* Of an answer: no mark of a connection that goes the straight way is below, even where memory is
 * short (memory.c). */
enum {
    ANSWER_MAX = 4096,
    ANSWER_SMALL = ANSWER_MAX / 4, /* the next class of buffers */
};

/* What a message needs if it does not go all the way: it shall not be stopped for that.  False: no
 * memory. */
static bool straight_spare(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (conns->part == NULL)
        conns->part = vigil__busy_get(loop);
    return conns->part != NULL && (conns->spare != NULL || vigil__piece_spare(loop));
}

static uint64_t receives_now(const vigil_loop *loop)
{
    return atomic_load_explicit(&loop->stats.receives, memory_order_relaxed) +
           vigil__conns(loop)->tally.receives;
}

/* What is received into, kept from the first message of a turn to the last.  False: for want of
 * memory, or while that is short, each has to see for itself what it can have. */
VIGIL_HOT VIGIL_APART static bool straight_take(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (!straight_spare(loop))
        return false;
    if (conns->reading != NULL)
        return true;
    conns->reading = vigil__buf_take(&loop->pool, VIGIL__BUF_READ, VIGIL__BUF_INPUT);
    conns->reading_since = receives_now(loop);
    return conns->reading != NULL;
}

VIGIL_HOT void vigil__straight_rest(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (conns->reading != NULL) {
        bool for_nothing = conns->reading_since == receives_now(loop); /* no sign of memory */
        (for_nothing ? vigil__buf_untake : vigil__buf_drop)(&loop->pool, conns->reading);
    }
    conns->reading = NULL;
    if (conns->answer != NULL)
        vigil__buf_untake(&loop->pool, conns->answer);
    conns->answer = NULL;
    if (conns->part != NULL)
        vigil__busy_put(loop, conns->part);
    conns->part = NULL;
}

/* Whether nothing is under way or waits: only messages come and go. */
static inline bool conn_steady(const struct vigil__conn *c)
{
    const struct vigil__busy *busy = c->busy;
    return c->unsteady == 0 &&
           (VIGIL_LIKELY(busy == &vigil__not_busy) ||
            (busy->head == NULL && busy->held == NULL && busy->couple_to.v == 0));
}

/* ---- leaving it ---- */

static inline void offer_ends(vigil_loop *loop, struct vigil__conns *conns)
{
    loop->offer.conn = VIGIL__OFFER_NONE;
    conns->reader = NULL;
}

void vigil__straight_lend(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__conn *c = conns->reader;
    bool passed = loop->offer.conn == VIGIL__OFFER_PASSED;
    bool answered = loop->offer.conn == VIGIL__OFFER_ANSWERED;
    conns->reader_ops = conns->shared_at[c->shared]->ops; /* before it may get others */
    loop->offer.conn = VIGIL__OFFER_NONE;
    if (c->busy == &vigil__not_busy) {
        conns->part->conn = c;
        c->busy = conns->part;
    }
    c->busy->held = conns->offered;
    c->busy->held_at = (size_t)((const uint8_t *)loop->offer.p - conns->offered->data);
    c->busy->held_len = loop->offer.n;
    c->busy->queued = passed ? loop->offer.n : 0;
    conns->cut_on = 0;
    if (answered)
        vigil__output_answered(loop, c);
}

void *vigil__straight_answer(vigil_loop *loop, vigil_conn conn, size_t n)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (conn.v != vigil__conn_handle(conns->reader).v || n == 0 || n > ANSWER_MAX - conns->answered)
        return NULL;
    if (conns->answer == NULL)
        conns->answer = vigil__buf_take(&loop->pool, ANSWER_MAX, VIGIL__BUF_OUTPUT);
    if (conns->answer == NULL)
        return NULL;
    void *room = conns->answer->data + conns->answered;
    conns->answered += n;
    loop->offer.conn = VIGIL__OFFER_ANSWERED;
    return room;
}

/* `data` has returned, and the connection is to look as it does to all others. */
static void straight_returned(vigil_loop *loop)
{
    vigil__straight_look(loop);
    vigil__conns(loop)->reader = NULL;
}

/* `data` has had its say: nothing is held any more. */
static void straight_unhold(struct vigil__busy *busy)
{
    busy->held = NULL;
    busy->held_at = 0;
    busy->held_len = 0;
}

/* The connection needs the loop's part for longer than its message. */
static void straight_keep(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (c->busy != conns->part)
        return;
    vigil__busy_own(c, c->busy);
    conns->part = NULL;
}

/* `data` used less than all, or something is otherwise now than it mostly is. */
static void straight_left(vigil_loop *loop, struct vigil__conn *c, size_t used)
{
    struct vigil__conns *conns = vigil__conns(loop);
    straight_keep(loop, c);
    if (vigil__straight_passed(c))
        vigil__output_passed(loop, c);
    if (conns->offered == conns->reading)
        conns->reading = NULL; /* it is the connection's now */
    vigil__input_offered(loop, c, conns->reader_ops, used);
    vigil__conn_rest(loop, c);
}

/* What is queued leaves, and may have the buffer that was received into. */
static void straight_others(vigil_loop *loop, struct vigil__conn *c)
{
    vigil__conns_flush(loop);
    vigil__straight_rest(loop); /* the next takes another, if memory allows */
    vigil__conn_rest(loop, c);
}

/* Counts the callback, which may call who hears of a stall, and that one may do anything.  Whether
 * the connection goes on as before. */
static bool straight_counted(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    bool queued = vigil__somebody_waits(loop, VIGIL__LIST_FLUSH) || conns->offered->refs > 1;
    if (queued)
        straight_keep(loop, c);      /* who hears of a stall may give it back */
    else if (c->busy == conns->part) /* there is nothing in it */
        c->busy = vigil__conn_not_busy();
    vigil__callback_counted(loop, "data");
    if (!queued && c->unsteady == 0 && !vigil__somebody_waits(loop, VIGIL__LIST_FLUSH))
        return true;
    straight_others(loop, c);
    return false;
}

/* The system took less than all that was passed on, or failed. */
VIGIL_COLD static bool straight_cut(vigil_loop *loop, struct vigil__conn *c, int sent)
{
    straight_returned(loop);
    straight_unhold(c->busy);
    straight_keep(loop, c);
    if (vigil__straight_passed(c))
        vigil__output_passed(loop, c);
    vigil__output_cut_short(loop, c, sent);
    return straight_counted(loop, c);
}

/* `data` did more than to use what it was offered, or less. */
VIGIL_APART static bool straight_otherwise(vigil_loop *loop, struct vigil__conn *c, size_t used)
{
    straight_returned(loop);
    if (used < loop->offer.n || c->unsteady != 0) {
        straight_left(loop, c, used);
        return false;
    }
    straight_unhold(c->busy);
    if (vigil__straight_passed(c)) {
        straight_keep(loop, c);
        vigil__output_passed(loop, c);
    }
    return straight_counted(loop, c);
}

/* Its input has ended, or failed. */
VIGIL_COLD static void straight_over(vigil_loop *loop, struct vigil__conn *c, int res)
{
    struct vigil__op op;
    vigil__input_op(loop, c, &op);
    vigil__op_ended(loop, &op, res);
}

/* ---- going it ---- */

/* How it went. */
enum straight { ODD, WELL, FULL /* well, and there may be more */ };

static VIGIL_INSIDE ptrdiff_t straight_recv(const vigil_loop *loop, bool plain, vigil_fd fd,
                                            void *p, size_t n)
{
    const vigil_host *host = loop->host;
    return plain ? vigil__call_recv(fd, p, n) : host->recv(host->self, fd, p, n);
}

static VIGIL_INSIDE ptrdiff_t straight_send(const vigil_loop *loop, bool plain, vigil_fd fd,
                                            const void *p, size_t n)
{
    const vigil_host *host = loop->host;
    return plain ? vigil__call_send(fd, p, n) : host->send(host->self, fd, p, n);
}

/* Offers `n` bytes, which have been received, to `data`; answers how many it used. */
static inline size_t straight_offer(vigil_loop *loop, struct vigil__conns *conns,
                                    struct vigil__conn *c, const void *p, size_t n)
{
    c->bytes_in += n;
    conns->tally.bytes_in += n;
    conns->tally.receives++;
    c->moved_at = loop->now;
    conns->reader = c;
    loop->offer.n = n;
    loop->offer.conn = vigil__conn_handle(c).v;
    const vigil_conn_ops *ops = conns->shared_at[c->shared]->ops;
    return ops->data(loop, vigil__conn_handle(c), c->ctx, p, n);
}

static inline void straight_went(struct vigil__conns *conns, struct vigil__conn *c, size_t n)
{
    c->bytes_out += n;
    conns->tally.bytes_out += n;
    conns->tally.sends++;
}

/* Sends what `data` answered.  Whether that all went; else *sent is what the system said. */
VIGIL_APART static bool straight_answered(vigil_loop *loop, struct vigil__conn *c, int *sent)
{
    struct vigil__conns *conns = vigil__conns(loop);
    size_t n = conns->answered;
    *sent = (int)straight_send(loop, loop->plain, c->port.fd, conns->answer->data, n);
    if (VIGIL_UNLIKELY((size_t)*sent != n))
        return false;
    conns->answered = 0;
    straight_went(conns, c, n);
    return true;
}

/* The same with a message, and sends on what `data` does.  Whether all went as it mostly does. */
static VIGIL_INSIDE bool straight_message(vigil_loop *loop, bool plain, struct vigil__conns *conns,
                                          struct vigil__conn *c, const void *p, size_t n)
{
    size_t used = straight_offer(loop, conns, c, p, n);
    if (VIGIL_LIKELY(used >= n && loop->offer.conn == VIGIL__OFFER_PASSED)) {
        ptrdiff_t sent = straight_send(loop, plain, c->port.fd, p, n);
        if (VIGIL_UNLIKELY((size_t)sent != n))
            return straight_cut(loop, c, (int)sent);
        straight_went(conns, c, n);
    } else if (used >= n && loop->offer.conn == VIGIL__OFFER_ANSWERED) {
        int sent;
        if (VIGIL_UNLIKELY(!straight_answered(loop, c, &sent)))
            return straight_cut(loop, c, sent);
    } else if (used < n || loop->offer.conn != vigil__conn_handle(c).v) {
        return straight_otherwise(loop, c, used);
    }
    if (VIGIL_LIKELY(--loop->callbacks_left > 0))
        return true;
    loop->callbacks_left++; /* it counts below, where a look at the clock is due */
    offer_ends(loop, conns);
    return straight_counted(loop, c);
}

static VIGIL_INSIDE enum straight straight_once(vigil_loop *loop, bool plain,
                                                struct vigil__conns *conns, struct vigil__conn *c,
                                                void *p)
{
    ptrdiff_t got = straight_recv(loop, plain, c->port.fd, p, (size_t)c->in_len + 1);
    if (VIGIL_LIKELY(got > 0)) {
        size_t n = (size_t)got;
        bool well = straight_message(loop, plain, conns, c, p, n);
        return !well ? ODD : VIGIL_UNLIKELY(n > c->in_len) ? FULL : WELL;
    }
    offer_ends(loop, conns);
    if (got != VIGIL__EAGAIN)
        straight_over(loop, c, (int)got);
    return ODD;
}

/* Whose input a record tells of, if it may go the straight way; or NULL. */
static inline struct vigil__conn *straight_conn(const vigil_loop *loop,
                                                const struct vigil__conns *conns,
                                                const struct vigil__record *record)
{
    const uint32_t of_conn = (uint32_t)(vigil__key(VIGIL__KEY_WATCH, 1, 0, 0) >> 32);
    uint32_t generation = (uint32_t)(record->key >> 32) - of_conn;
    if (VIGIL_UNLIKELY(generation > 0xffffff || record->res != VIGIL_IN || loop->closing))
        return NULL;
    struct vigil__conn *c = vigil__slab_at(&conns->conns, vigil__key_slot(record->key));
    const union vigil__in_way parked = { .active = true, .multi = true };
    bool stale = ((c->port.slot.generation ^ generation) & 0xffffff) != 0;
    return VIGIL_LIKELY(c->in.all == parked.all && !stale && conn_steady(c)) ? c : NULL;
}

static VIGIL_INSIDE int straight_ready(vigil_loop *loop, bool plain,
                                       const struct vigil__record *records, int count)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__conn *c = straight_conn(loop, conns, records);
    bool ready = conns->reading != NULL && conns->part != NULL;
    if (c == NULL || vigil__memory_short(loop) || (!ready && !straight_take(loop)))
        return 0;
    void *p = conns->reading->data;
    conns->offered = conns->reading;
    loop->offer.p = p;
    const struct vigil__record *record = records, *end = records + count;
    const struct vigil__conn *full = NULL; /* who filled the last buffer, */
    int reads = 0;                         /* so many times in a row */
    while (c != NULL) {
        enum straight how = straight_once(loop, plain, conns, c, p);
        if (VIGIL_UNLIKELY(how == FULL)) {
            reads = c == full ? reads + 1 : 1;
            full = c;
            if (reads < VIGIL__READS_MAX && !loop->closing)
                continue;
        }
        record++;
        if (VIGIL_UNLIKELY(how == ODD || record == end))
            break;
        c = straight_conn(loop, conns, record);
    }
    offer_ends(loop, conns);
    return (int)(record - records);
}

VIGIL_HOT static int straight_plain(vigil_loop *loop, const struct vigil__record *records,
                                    int count)
{
    return straight_ready(loop, true, records, count);
}

VIGIL_COLD static int straight_by_table(vigil_loop *loop, const struct vigil__record *records,
                                        int count)
{
    return straight_ready(loop, false, records, count);
}

/* ---- where the kernel receives and sends ---- */

/* The answer is what goes back in place of the message, as if that had been it.  The kernel has it
 * for a while: if it is small, in a small buffer. */
static void straight_answer_offered(vigil_loop *loop, struct vigil__conns *conns)
{
    size_t n = conns->answered;
    struct vigil__buf *buf = NULL;
    if (n <= ANSWER_SMALL)
        buf = vigil__buf_take(&loop->pool, n, VIGIL__BUF_OUTPUT);
    if (buf != NULL) {
        memcpy(buf->data, conns->answer->data, n);
    } else {
        buf = conns->answer;
        conns->answer = NULL;
    }
    conns->answered = 0;
    conns->offered = buf;
    loop->offer.p = buf->data;
    loop->offer.n = n;
}

/* A message that the kernel has received. */
static inline void straight_received(vigil_loop *loop, struct vigil__conns *conns,
                                     struct vigil__conn *c, const struct vigil__record *record)
{
    const void *p = record->buf->data + record->offset;
    size_t n = (size_t)record->res;
    conns->offered = record->buf;
    loop->offer.p = p;
    size_t used = straight_offer(loop, conns, c, p, n);
    bool passed = loop->offer.conn == VIGIL__OFFER_PASSED;
    bool answered = loop->offer.conn == VIGIL__OFFER_ANSWERED;
    bool neither = !passed && !answered;
    if (VIGIL_UNLIKELY(used < n || (neither && loop->offer.conn != vigil__conn_handle(c).v))) {
        straight_returned(loop);
        straight_left(loop, c, used);
        return;
    }
    offer_ends(loop, conns);
    if (VIGIL_UNLIKELY(answered))
        straight_answer_offered(loop, conns);
    if (!neither) {
        if (VIGIL_LIKELY(c->busy == &vigil__not_busy)) {
            vigil__busy_own(c, conns->part);
            conns->part = NULL;
        }
        vigil__output_straight(loop, c);
    }
    if (!passed)
        vigil__buf_drop(&loop->pool, record->buf);
    vigil__callback_ran(loop, "data");
}

/* As straight_conn(), of bytes that the kernel has received.  While it runs out of its buffers they
 * are copied instead. */
static inline struct vigil__conn *straight_receiver(vigil_loop *loop,
                                                    const struct vigil__conns *conns,
                                                    const struct vigil__record *record)
{
    struct vigil__conn *c = vigil__slab_at(&conns->conns, vigil__key_slot(record->key));
    const union vigil__in_way goes_on = { .active = true, .multi = true, .native = true };
    bool steady = c->in.all == goes_on.all && conn_steady(c) &&
                  record->flags == VIGIL__RECORD_MORE && record->buf != NULL &&
                  record->res <= c->in_len + 1; /* the kernel knows no such bound */
    bool spared = conns->part != NULL && conns->spare != NULL;
    if (!steady || vigil__memory_short(loop) || vigil__pool_lent_low(&loop->pool) || loop->closing)
        return NULL;
    return VIGIL_LIKELY(spared) || straight_spare(loop) ? c : NULL;
}

/* Whether a record tells that all has gone which was queued: then nothing is left to do. */
static inline bool straight_sent(vigil_loop *loop, const struct vigil__conns *conns,
                                 const struct vigil__record *record)
{
    struct vigil__conn *c = vigil__slab_at(&conns->conns, vigil__key_slot(record->key));
    bool well = c->unsteady == 0 && !loop->closing &&
                vigil__output_was_straight(loop, c, record->res);
    if (VIGIL_LIKELY(well))
        vigil__conn_rest(loop, c);
    return well;
}

/* Deals with a completion, if that can go the straight way. */
static inline bool straight_completion(vigil_loop *loop, struct vigil__conns *conns,
                                       const struct vigil__record *record)
{
    struct vigil__conn *c;
    switch (record->key >> 56) {
    case (uint64_t)VIGIL__KEY_OP << 6 | VIGIL__OWNER_CONN_IN:
        c = straight_receiver(loop, conns, record);
        if (VIGIL_LIKELY(c != NULL))
            straight_received(loop, conns, c, record);
        return c != NULL;
    case (uint64_t)VIGIL__KEY_OP << 6 | VIGIL__OWNER_CONN_OUT:
        return straight_sent(loop, conns, record);
    default:
        return false;
    }
}

static int straight_done(vigil_loop *loop, const struct vigil__record *records, int count)
{
    struct vigil__conns *conns = vigil__conns(loop);
    int done = 0;
    while (done < count && straight_completion(loop, conns, &records[done]))
        done++;
    return done;
}

VIGIL_HOT int vigil__straight(vigil_loop *loop, const struct vigil__record *records, int count)
{
    if (vigil__key_class(records->key) != VIGIL__KEY_WATCH)
        return straight_done(loop, records, count);
    return (VIGIL_LIKELY(loop->plain) ? straight_plain : straight_by_table)(loop, records, count);
}
