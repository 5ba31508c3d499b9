/* SPDX-License-Identifier: MIT
 *
 * order.h -- what happened to one connection, in order, and the contract of vigil.h as a state
 * machine that such an order is run through.
 *
 * An order is a list of events: what the library called, and what the program did that matters for
 * what may be called next.  As text it reads "open data(5) used(3) data(2) used(2) eof(0)
 * close(0)", so that a row of a table, and a failure, are legible.
 */
#ifndef ORDER_H
#define ORDER_H

#include "test.h"

#define ORDER_MAP(X)                                                         \
    X(OPEN, "open")                                                          \
    X(DATA, "data") /* with so many bytes */                                 \
    X(EOF, "eof")   /* with so many bytes held */                            \
    X(WRITABLE, "writable")                                                  \
    X(DONE, "done")   /* of the so-manieth that was lent */                  \
    X(CLOSE, "close") /* with this reason */                                 \
    X(USED, "used")   /* what data answered */                               \
    X(FULL, "full")   /* seen in data: where its send was cut is no room */  \
    X(CUT, "cut")     /* a send to this connection was cut or refused */     \
    X(BLOCK, "block") /* a send was cut, to whomever, while data ran */      \
    X(LEND, "lend")   /* memory with a `done` */                             \
    X(PAUSE, "pause")                                                        \
    X(RESUME, "resume")                                                      \
    X(OPS, "ops")                                                            \
    X(COUPLE, "couple")   /* this one's input goes to another */             \
    X(DISCARD, "discard") /* and now to nobody: there is no data any more */ \
    X(END, "end")                                                            \
    X(FINISH, "finish")                                                      \
    X(ABORT, "abort")

enum order_kind {
#define ORDER_ENUM(name, text) ORDER_##name,
    ORDER_MAP(ORDER_ENUM)
#undef ORDER_ENUM
        ORDER_KINDS
};

static const char *const order_names[ORDER_KINDS] = {
#define ORDER_NAME(name, text) text,
    ORDER_MAP(ORDER_NAME)
#undef ORDER_NAME
};

struct order_event {
    enum order_kind kind;
    long value;
};

struct order {
    struct order_event *events;
    size_t count, cap;
};

TEST_MAYBE_UNUSED static void order_note(struct order *order, enum order_kind kind, long value)
{
    if (order->count == order->cap) {
        size_t cap = order->cap > 0 ? order->cap * 2 : 32;
        void *events = realloc(order->events, cap * sizeof(*order->events));
        if (events == NULL) {
            OK(false, "no memory for the order of callbacks");
            return;
        }
        order->events = events;
        order->cap = cap;
    }
    order->events[order->count++] = (struct order_event){ kind, value };
}

TEST_MAYBE_UNUSED static void order_clear(struct order *order)
{
    free(order->events);
    *order = (struct order){ 0 };
}

static bool order_has_value(enum order_kind kind)
{
    return kind == ORDER_DATA || kind == ORDER_EOF || kind == ORDER_DONE || kind == ORDER_CLOSE ||
           kind == ORDER_USED || kind == ORDER_LEND;
}

/* The events before `end`, the last ones when there is no room for all. */
TEST_MAYBE_UNUSED static const char *order_text(const struct order *order, size_t end)
{
    static char text[1024];
    size_t begin = end > 40 ? end - 40 : 0;
    int len = snprintf(text, sizeof(text), "%s", begin > 0 ? "..." : "");
    for (size_t i = begin; i < end && len + 40 < (int)sizeof(text); i++) {
        const struct order_event *event = &order->events[i];
        len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%s", len > 0 ? " " : "",
                        order_names[event->kind]);
        if (order_has_value(event->kind))
            len += snprintf(text + len, sizeof(text) - (size_t)len, "(%ld)", event->value);
    }
    return text;
}

/* Reads what order_text() writes.  False: no such event. */
TEST_MAYBE_UNUSED static bool order_read(struct order *order, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, " (");
        int kind = 0;
        while (kind < ORDER_KINDS &&
               (strncmp(text, order_names[kind], len) != 0 || order_names[kind][len] != '\0'))
            kind++;
        if (kind == ORDER_KINDS)
            return false;
        text += len;
        order_note(order, (enum order_kind)kind, *text == '(' ? atol(text + 1) : 0);
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    return true;
}

/* ---- the contract ------------------------------------------------------------------------- */

struct order_state {
    bool open, eof, closed, in_data;
    bool paused, ended, finished, aborted, coupled, discards;
    bool cut_in_data, resumed_in_data;
    bool blocked; /* data left something behind a send that was cut */
    bool full;    /* and there is no room yet */
    bool again;   /* data may be called with nothing new */
    bool owed;    /* what is held must be offered before the end of input */
    long offered; /* to the data that runs */
    long held;    /* what it left */
    long lent, done;
    long cuts; /* of sends, that it was not told of room for; one `writable` may be for several */
};

static const char *order_data(struct order_state *s, long n)
{
    if (s->eof)
        return "data after eof";
    if (s->finished || s->coupled || s->discards)
        return "data when the program has done with input";
    if (s->paused)
        return "data while paused";
    if (s->blocked && s->full)
        return "data while blocked";
    if (n <= 0)
        return "data without bytes";
    if (n < s->held)
        return "data with less than was held";
    if (n == s->held && !s->again && !s->blocked)
        return "the same offered again to a data that wants more";
    s->in_data = true;
    s->offered = n;
    s->cut_in_data = s->resumed_in_data = s->blocked = s->again = s->owed = false;
    return NULL;
}

static const char *order_used(struct order_state *s, long used)
{
    if (!s->in_data)
        return "an answer without a data";
    s->in_data = false;
    s->held = used < s->offered ? s->offered - used : 0;
    if (s->finished || s->aborted || s->coupled || s->discards)
        s->held = 0; /* its answer is ignored, or what it left is another's */
    s->blocked = s->cut_in_data && s->held > 0 && !s->paused;
    s->again = used > 0 || s->resumed_in_data;
    s->owed = s->held > 0 && (s->again || s->blocked);
    return NULL;
}

static const char *order_eof(struct order_state *s, long held)
{
    if (s->eof)
        return "eof twice";
    if (s->finished || s->coupled)
        return "eof when the program has done with input";
    if (s->paused)
        return "eof while paused";
    if (s->blocked)
        return "eof while blocked";
    if (held != s->held)
        return "eof with more or less than data left";
    if (s->owed)
        return "eof before what is held was offered";
    s->eof = true;
    s->held = 0;
    return NULL;
}

static const char *order_writable(struct order_state *s)
{
    if (s->ended)
        return "writable after the end of output";
    if (s->cuts == 0)
        return "writable without a send that was cut";
    s->cuts--;
    return NULL;
}

static const char *order_close(struct order_state *s, long why)
{
    if (s->done < s->lent)
        return "close before the last done";
    if (s->aborted && why != VIGIL_ECANCELED)
        return "an abort that closes for another reason";
    s->closed = true;
    return NULL;
}

/* What the library called. */
static const char *order_called(struct order_state *s, const struct order_event *event)
{
    if (s->closed)
        return "something after close";
    if (s->in_data)
        return "a callback within data";
    if (s->aborted && event->kind != ORDER_DONE && event->kind != ORDER_CLOSE)
        return "a callback after abort";
    if (!s->open &&
        (event->kind == ORDER_DATA || event->kind == ORDER_EOF || event->kind == ORDER_WRITABLE))
        return "a callback before open";
    switch (event->kind) {
    case ORDER_OPEN:
        if (s->open)
            return "open twice";
        s->open = true;
        return NULL;
    case ORDER_DATA:
        return order_data(s, event->value);
    case ORDER_EOF:
        return order_eof(s, event->value);
    case ORDER_WRITABLE:
        return order_writable(s);
    case ORDER_DONE:
        if (event->value != s->done || s->done == s->lent)
            return "done twice, out of turn, or of nothing";
        s->done++;
        return NULL;
    default:
        return order_close(s, event->value);
    }
}

/* What is held will be offered once more, if anything is. */
static void order_offer(struct order_state *s)
{
    s->again = s->resumed_in_data = true;
    s->owed = s->held > 0 && !s->eof && !s->finished && !s->coupled;
}

/* What the program did. */
static const char *order_did(struct order_state *s, const struct order_event *event)
{
    switch (event->kind) {
    case ORDER_USED:
        return order_used(s, event->value);
    case ORDER_CUT:
        s->cuts++;
        break;
    case ORDER_BLOCK:
        s->cut_in_data = true;
        break;
    case ORDER_LEND:
        s->lent++;
        break;
    case ORDER_PAUSE:
        s->paused = !s->finished;
        break;
    case ORDER_RESUME:
        if (s->paused)
            order_offer(s);
        s->paused = false;
        break;
    case ORDER_OPS:
        order_offer(s);
        break;
    case ORDER_END:
        s->ended = true;
        break;
    case ORDER_ABORT:
        s->aborted = true;
        break;
    default: /* COUPLE, DISCARD, FINISH: its input is nobody's or another's now */
        s->discards = s->discards || event->kind == ORDER_DISCARD;
        s->coupled = s->coupled || event->kind == ORDER_COUPLE;
        s->finished = s->finished || event->kind == ORDER_FINISH;
        s->ended = s->ended || s->finished;
        s->paused = s->paused && !s->finished;
        s->held = 0;
        s->blocked = s->owed = false;
    }
    return NULL;
}

/* What is wrong with an order, and the event at which it went wrong; NULL: nothing. */
TEST_MAYBE_UNUSED static const char *order_fault(const struct order *order, size_t *at)
{
    struct order_state s = { .open = false };
    for (size_t i = 0; i < order->count; i++) {
        const struct order_event *event = &order->events[i];
        *at = i;
        s.full = event->kind == ORDER_FULL || (s.full && event->kind == ORDER_DATA);
        const char *fault = NULL;
        if (event->kind <= ORDER_CLOSE)
            fault = order_called(&s, event);
        else if (event->kind != ORDER_FULL)
            fault = order_did(&s, event);
        if (fault != NULL)
            return fault;
    }
    *at = order->count;
    return s.closed ? NULL : "close never came";
}

/* The order of a connection that has closed is as the contract says. */
#define OK_ORDER(order, ...)                                                              \
    do {                                                                                  \
        size_t order_at = 0;                                                              \
        const char *order_what = order_fault((order), &order_at);                         \
        if (order_what != NULL) {                                                         \
            char order_title[256];                                                        \
            snprintf(order_title, sizeof(order_title), __VA_ARGS__);                      \
            OK(false, "%s: %s, the last of: %s", order_title, order_what,                 \
               order_text((order), order_at < (order)->count ? order_at + 1 : order_at)); \
        }                                                                                 \
    } while (0)

#endif
