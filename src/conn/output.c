/* SPDX-License-Identifier: MIT
 *
 * output.c -- what goes out: the queue, the sends, and the end of output.  Floor: conn.
 *
 * The queue is a chain of pieces: copied bytes, buffers kept by reference, memory or files of the
 * caller's.  One send is under way at a time.  Nothing here enters the kernel but from
 * vigil__output_flush(), which the turn calls after each callback.
 */
#include "conn/conn.h"

#include <string.h>

enum {
    PIPE_WRITE_MAX = 4096,  /* a pipe that reports room takes PIPE_BUF bytes at once: pipe(7) */
    REFER_MIN = 4096,       /* less is cheaper to copy than to keep a buffer for */
    FILE_WEIGHT = 64 << 10, /* what a file counts against the marks: the window that is loaded */
    PIECES_KEPT_MAX = 256,  /* for reuse: a turn's worth */
    SENDS_MAX = 16,         /* sends of one connection in a row before others have their turn */
};

static struct vigil__piece *piece_take(vigil_loop *loop);
static struct vigil__piece *piece_append(vigil_loop *loop, struct vigil__conn *c);
static void piece_free(vigil_loop *loop, struct vigil__piece *piece);
static void piece_end(vigil_loop *loop, struct vigil__piece *piece);
static void output_fill(vigil_loop *loop, struct vigil__conn *c);
static void output_sent(vigil_loop *loop, struct vigil__conn *c, size_t n);

/* ---- marks ---- */

static void queued_add(vigil_loop *loop, struct vigil__conn *c, size_t n)
{
    if (n == 0)
        return;
    if (c->busy->queued == 0) {
        vigil__conns(loop)->holders++;
        c->busy->sent_at = loop->now;
    }
    c->busy->queued += n;
}

static void queued_take(vigil_loop *loop, struct vigil__conn *c, size_t n)
{
    VIGIL_ASSERT(c->busy->queued >= n);
    if (n == 0)
        return;
    c->busy->queued -= n;
    if (c->busy->queued == 0)
        vigil__conns(loop)->holders--;
}

/* Notes that a send was cut short: `writable` and a `data` that runs will be called again. */
static void output_cut(vigil_loop *loop, struct vigil__conn *c, bool memory)
{
    struct vigil__conns *conns = vigil__conns(loop);
    c->writable_due = vigil__conn_ops(loop, c)->writable != NULL;
    if (memory) {
        if (c->busy->queued == 0 && c->writable_due)
            vigil__memory_wait(loop, c);
        if (c->busy->queued == 0)
            conns->cut_on = VIGIL__CUT_MEMORY;
    }
    if (!memory || c->busy->queued > 0) {
        c->cut = true;
        c->wake_at_empty = c->busy->queued <= vigil__conn_limits(loop, c)->out_low;
        if (conns->cut_on != VIGIL__CUT_MEMORY)
            conns->cut_on = vigil__conn_handle(c).v;
    }
}

void vigil__output_lowered(vigil_loop *loop, struct vigil__conn *c)
{
    if (VIGIL_LIKELY(!c->cut))
        return;
    if (c->busy->queued > (c->wake_at_empty ? 0 : vigil__conn_limits(loop, c)->out_low))
        return;
    c->cut = false;
    c->wake_at_empty = false;
    if (c->writable_due) {
        c->writable_due = false;
        vigil__conn_todo(loop, c, VIGIL__TODO_WRITABLE);
    }
    vigil__waiters_wake(loop, c);
}

void vigil__waiters_wake(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__link *waiters = &c->busy->waiters;
    while (c->busy->conn != NULL && !vigil__list_empty(waiters)) {
        struct vigil__busy *waiter = VIGIL_OWNER(waiters->next, struct vigil__busy, blocked);
        vigil__input_unblock(waiter->conn);
        vigil__conn_todo(loop, waiter->conn, VIGIL__TODO_OFFER | VIGIL__TODO_READ);
    }
}

void vigil__output_later(vigil_loop *loop, struct vigil__conn *c)
{
    vigil__wait(loop, c, VIGIL__LIST_FLUSH);
}

/* ---- queueing ---- */

/* More is to be sent: what was passed straight on stands before it in the queue. */
static void output_behind(vigil_loop *loop, struct vigil__conn *c)
{
    if (vigil__conn_in_data(loop, c) && vigil__straight_passed(c))
        vigil__output_passed(loop, c);
}

/* Whether a message of `n` bytes may be queued whole now. */
static int output_admit(vigil_loop *loop, vigil_conn conn, size_t n, struct vigil__conn **out)
{
    int status = vigil__conn_get(loop, conn, out);
    if (status != 0)
        return status;
    struct vigil__conn *c = *out;
    if (c->end_asked)
        return VIGIL_ECLOSED;
    size_t hard = vigil__conn_limits(loop, c)->out_hard;
    if (n > hard)
        return VIGIL_ELIMIT;
    if (c->busy->queued > 0 &&
        (c->busy->queued >= vigil__memory_high(loop, c) || n > hard - c->busy->queued)) {
        output_cut(loop, c, false);
        return VIGIL_EFULL;
    }
    output_behind(loop, c);
    return 0;
}

/* Copies into the room behind the last piece; answers how much fitted. */
static size_t copy_to_tail(struct vigil__conn *c, const uint8_t *p, size_t n)
{
    struct vigil__piece *tail = c->busy->tail;
    if (tail == NULL || tail->buf == NULL || tail->shared || tail->file)
        return 0;
    size_t room = tail->buf->cap - (size_t)(tail->p - tail->buf->data) - tail->n;
    size_t fit = vigil__min(room, n);
    memcpy((uint8_t *)(uintptr_t)tail->p + tail->n, p, fit);
    tail->n += fit;
    return fit;
}

/* Room behind the last piece, for some of `n` bytes.  False: no memory. */
static bool tail_append(vigil_loop *loop, struct vigil__conn *c, size_t n)
{
    /* Larger buffers as the queue grows: few pieces, and no large buffer for a small answer. */
    size_t size = vigil__min(vigil__max(n, c->busy->queued / 2), VIGIL__BUF_READ);
    struct vigil__buf *buf = vigil__buf_take(&loop->pool, size, VIGIL__BUF_OUTPUT);
    struct vigil__piece *piece = buf != NULL ? piece_append(loop, c) : NULL;
    if (piece == NULL) {
        if (buf != NULL)
            vigil__buf_untake(&loop->pool, buf);
        return false;
    }
    piece->buf = buf;
    piece->p = buf->data;
    return true;
}

/* Copies `n` bytes to the end of the queue; answers how many, less when memory is short. */
static size_t output_copy(vigil_loop *loop, struct vigil__conn *c, const uint8_t *p, size_t n)
{
    size_t done = 0;
    do
        done += copy_to_tail(c, p + done, n - done);
    while (done < n && tail_append(loop, c, n - done));
    queued_add(loop, c, done);
    return done;
}

/* Takes the last `n` bytes, all of them copied, back out of the queue. */
static void output_uncopy(vigil_loop *loop, struct vigil__conn *c, struct vigil__piece *tail,
                          size_t tail_len, size_t n)
{
    if (c->busy->conn == NULL)
        return; /* there was no memory for the first of them */
    struct vigil__piece *extra = tail != NULL ? tail->next : c->busy->head;
    if (tail != NULL) {
        tail->n = tail_len;
        tail->next = NULL;
    } else {
        c->busy->head = NULL;
    }
    c->busy->tail = tail;
    while (extra != NULL) {
        struct vigil__piece *next = extra->next;
        vigil__buf_untake(&loop->pool, extra->buf);
        piece_free(loop, extra);
        extra = next;
    }
    queued_take(loop, c, n);
}

static size_t output_refer(vigil_loop *loop, struct vigil__conn *c, struct vigil__buf *buf,
                           const uint8_t *p, size_t n)
{
    struct vigil__piece *piece = piece_append(loop, c);
    if (piece == NULL)
        return 0;
    piece->buf = vigil__buf_keep(buf);
    piece->shared = true;
    piece->p = p;
    piece->n = n;
    queued_add(loop, c, n);
    return n;
}

/* Whether these bytes lie in the buffer lent to `data`, and make up most of it.  One of the
 * kernel's is not kept while it runs out of them. */
static bool worth_referring(const vigil_loop *loop, const struct vigil__buf *lent, const void *p,
                            size_t n)
{
    if (lent == NULL || n < REFER_MIN || n < lent->cap / 2)
        return false;
    if (lent->size_class == VIGIL__BUF_LENT && vigil__pool_lent_low(&loop->pool))
        return false;
    uintptr_t at = (uintptr_t)p;
    uintptr_t begin = (uintptr_t)lent->data;
    return at >= begin && at + n <= begin + lent->cap;
}

/* Whether these are all the bytes that `data` was offered, on their way to a connection that asks
 * the system when that returns, and has nothing else to send: most likely they all go, and then no
 * copy was needed. */
static bool passes_through(const vigil_loop *loop, const struct vigil__conn *c, const void *p,
                           size_t n)
{
    const struct vigil__conn *reader = vigil__conns(loop)->reader;
    return reader != NULL && n == reader->busy->held_len &&
           p == reader->busy->held->data + reader->busy->held_at && c->busy->head == NULL &&
           c->busy->queued == 0 && c->busy->op_out.flags == 0 && !c->unopened &&
           c->busy->connecting == NULL && !vigil__op_native(loop, VIGIL__OP_SEND);
}

static size_t output_pass(vigil_loop *loop, struct vigil__conn *c, const void *p, size_t n)
{
    size_t took = output_refer(loop, c, vigil__conns(loop)->reader->busy->held, p, n);
    if (took > 0)
        c->busy->tail->passing = true;
    return took;
}

/* The system did not take all of what passes through.  What is left waits with us, so it may move:
 * few bytes shall not pin a large buffer.  Without memory for them they do. */
static void output_settle(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__piece *piece = c->busy->head;
    if (!piece->passing)
        return;
    piece->passing = false;
    if (worth_referring(loop, piece->buf, piece->p, piece->n))
        return;
    struct vigil__buf *buf = vigil__buf_take(&loop->pool, piece->n, VIGIL__BUF_OUTPUT);
    if (buf == NULL)
        return;
    memcpy(buf->data, piece->p, piece->n);
    vigil__buf_drop(&loop->pool, piece->buf);
    piece->buf = buf;
    piece->p = buf->data;
    piece->shared = false;
    output_fill(loop, c);
}

/* What `data` is lent, if that runs. */
static struct vigil__buf *lent(const vigil_loop *loop)
{
    const struct vigil__conn *reader = vigil__conns(loop)->reader;
    return reader != NULL ? reader->busy->held : NULL;
}

size_t vigil__output_take(vigil_loop *loop, struct vigil__conn *c, struct vigil__buf *lent,
                          const void *p, size_t n)
{
    return worth_referring(loop, lent, p, n) ? output_refer(loop, c, lent, p, n)
                                             : output_copy(loop, c, p, n);
}

bool vigil__piece_spare(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (conns->spare == NULL)
        conns->spare = piece_take(loop);
    return conns->spare != NULL;
}

/* These bytes of the buffer become the head of the queue; takes over one reference of it. */
static void output_head(vigil_loop *loop, struct vigil__conn *c, struct vigil__buf *buf,
                        const uint8_t *p, size_t n)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__piece *piece = conns->spare;
    conns->spare = NULL;
    *piece = (struct vigil__piece){
        .buf = buf, .p = p, .n = n, .shared = true, .passing = true, .file_fd = VIGIL_FD_NONE
    };
    c->busy->head = piece;
    c->busy->tail = piece;
    c->busy->queued = 0;
    queued_add(loop, c, n);
}

void vigil__output_passed(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__buf *offered = vigil__buf_keep(vigil__conns(loop)->offered);
    output_head(loop, c, offered, loop->offer.p, loop->offer.n);
    vigil__output_later(loop, c);
}

void vigil__output_answered(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conns *conns = vigil__conns(loop);
    size_t n = conns->answered;
    conns->answered = 0;
    /* Few bytes pin a large buffer only while there is no memory for a small one. */
    if (output_copy(loop, c, conns->answer->data, n) < n) {
        output_head(loop, c, conns->answer, conns->answer->data, n);
        conns->answer = NULL;
    }
    vigil__output_later(loop, c);
}

bool vigil__output_was_straight(vigil_loop *loop, struct vigil__conn *c, int res)
{
    struct vigil__tally *tally = &vigil__conns(loop)->tally;
    struct vigil__busy *busy = c->busy;
    struct vigil__piece *piece = busy->head;
    bool all = piece->next == NULL && (unsigned)res == piece->n;
    if (!all || !piece->shared || busy->iov_buf != NULL)
        return false;
    busy->op_out.active = false;
    busy->head = busy->tail = NULL;
    queued_take(loop, c, piece->n);
    c->moved_at = loop->now;
    c->bytes_out += piece->n;
    tally->bytes_out += piece->n;
    tally->sends++;
    vigil__buf_drop(&loop->pool, piece->buf);
    piece_free(loop, piece);
    return true;
}

/* Whether this is all that a `data` is offered, to which it came straight, and goes back to who
 * brought it, and nothing else was done before: then straight.c sends it. */
static inline bool passes_straight(const vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    const struct vigil__offer *offer = &loop->offer;
    return vigil__loop_here(loop) && conn.v == offer->conn && p == offer->p && n == offer->n &&
           VIGIL_LIKELY(conn.v < VIGIL__OFFER_ANSWERED); /* else it is one that somebody made up */
}

VIGIL_APART static size_t send_queued(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    struct vigil__conn *c = vigil__conn_find(loop, conn);
    if (c == NULL || c->end_asked || n == 0)
        return 0;
    size_t high = vigil__memory_high(loop, c);
    size_t fits = vigil__min(n, c->busy->queued < high ? high - c->busy->queued : 0);
    size_t took = 0;
    if (VIGIL_LIKELY(fits == n) && passes_through(loop, c, p, n))
        took = output_pass(loop, c, p, n);
    else if (fits > 0)
        took = vigil__output_take(loop, c, lent(loop), p, fits);
    if (took > 0)
        vigil__output_later(loop, c);
    if (took < n)
        output_cut(loop, c, took < fits);
    return took;
}

VIGIL_APART static size_t send_answer(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    void *room = vigil__straight_answer(loop, conn, n);
    if (room == NULL)
        return send_queued(loop, conn, p, n);
    memcpy(room, p, n);
    return n;
}

VIGIL_HOT size_t vigil_send(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    if (VIGIL_LIKELY(passes_straight(loop, conn, p, n))) {
        loop->offer.conn = VIGIL__OFFER_PASSED;
        return n;
    }
    return (vigil__straight_asked(loop) ? send_answer : send_queued)(loop, conn, p, n);
}

static void answer_fill(uint8_t *room, const vigil_iov *iov, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (iov[i].len > 0) {
            memcpy(room, iov[i].base, iov[i].len);
            room += iov[i].len;
        }
}

int vigil_sendv(vigil_loop *loop, vigil_conn conn, const vigil_iov *iov, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (iov[i].len > SIZE_MAX - n)
            return VIGIL_EINVAL;
        n += iov[i].len;
    }
    bool asked = vigil__straight_asked(loop);
    void *room = asked ? vigil__straight_answer(loop, conn, n) : NULL;
    if (room != NULL) {
        answer_fill(room, iov, count);
        return 0;
    }
    struct vigil__conn *c;
    int status = output_admit(loop, conn, n, &c);
    if (status != 0)
        return status;
    struct vigil__piece *tail = c->busy->tail;
    size_t tail_len = tail != NULL ? tail->n : 0;
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        size_t took = iov[i].len > 0 ? output_copy(loop, c, iov[i].base, iov[i].len) : 0;
        done += took;
        if (took < iov[i].len) {
            output_uncopy(loop, c, tail, tail_len, done);
            output_cut(loop, c, true);
            return VIGIL_ENOMEM;
        }
    }
    if (n > 0)
        vigil__output_later(loop, c);
    return 0;
}

int vigil_send_all(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    return vigil_sendv(loop, conn, &(vigil_iov){ p, n }, 1);
}

int vigil_send_owned(vigil_loop *loop, vigil_conn conn, const void *p, size_t n,
                     vigil_done_fn *done, void *arg)
{
    struct vigil__conn *c;
    int status = output_admit(loop, conn, n, &c);
    if (status != 0)
        return status;
    struct vigil__piece *piece = piece_append(loop, c);
    if (piece == NULL) {
        output_cut(loop, c, true);
        return VIGIL_ENOMEM;
    }
    piece->p = p;
    piece->n = n;
    piece->done = done;
    piece->arg = arg;
    queued_add(loop, c, n);
    vigil__output_later(loop, c);
    return 0;
}

static size_t file_weight(int64_t left)
{
    return left < FILE_WEIGHT ? (size_t)left : FILE_WEIGHT;
}

int vigil_send_file(vigil_loop *loop, vigil_conn conn, vigil_fd file, int64_t offset, int64_t n,
                    vigil_done_fn *done, void *arg)
{
    int64_t size = 0;
    int status = vigil__loop_check(loop);
    if (status == 0)
        status = loop->host->file_size(loop->host->self, file, &size);
    if (status == 0 && (offset < 0 || offset > size))
        status = VIGIL_EINVAL;
    if (status != 0)
        return status;
    int64_t left = n < 0 ? size - offset : n;
    struct vigil__conn *c;
    status = output_admit(loop, conn, file_weight(left), &c);
    if (status != 0)
        return status;
    struct vigil__piece *piece = piece_append(loop, c);
    if (piece == NULL) {
        output_cut(loop, c, true);
        return VIGIL_ENOMEM;
    }
    piece->file = true;
    piece->file_fd = file;
    piece->file_at = offset;
    piece->file_left = left;
    piece->done = done;
    piece->arg = arg;
    queued_add(loop, c, file_weight(left));
    vigil__output_later(loop, c);
    return 0;
}

/* ---- pieces ---- */

static struct vigil__piece *piece_take(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__piece *piece = conns->free_pieces;
    if (piece == NULL)
        return vigil__alloc(&loop->allocator, sizeof(*piece));
    conns->free_pieces = piece->next;
    conns->free_count--;
    return piece;
}

VIGIL_APART static struct vigil__piece *piece_append(vigil_loop *loop, struct vigil__conn *c)
{
    output_behind(loop, c);
    if (vigil__conn_busy(loop, c) == NULL)
        return NULL;
    struct vigil__piece *piece = piece_take(loop);
    if (piece == NULL)
        return NULL;
    *piece = (struct vigil__piece){ .file_fd = VIGIL_FD_NONE };
    if (c->busy->tail != NULL)
        c->busy->tail->next = piece;
    else
        c->busy->head = piece;
    c->busy->tail = piece;
    return piece;
}

static void piece_free(vigil_loop *loop, struct vigil__piece *piece)
{
    struct vigil__conns *conns = vigil__conns(loop);
    if (conns->free_count == PIECES_KEPT_MAX) {
        vigil__free(&loop->allocator, piece, sizeof(*piece));
        return;
    }
    piece->next = conns->free_pieces;
    conns->free_pieces = piece;
    conns->free_count++;
}

void vigil__pieces_clear(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    while (conns->free_pieces != NULL) {
        struct vigil__piece *piece = conns->free_pieces;
        conns->free_pieces = piece->next;
        vigil__free(&loop->allocator, piece, sizeof(*piece));
    }
    vigil__free(&loop->allocator, conns->spare, sizeof(*conns->spare));
}

/* Its bytes have gone out, or never will. */
static void piece_end(vigil_loop *loop, struct vigil__piece *piece)
{
    vigil_done_fn *done = piece->done;
    void *arg = piece->arg;
    if (piece->buf != NULL)
        vigil__buf_drop(&loop->pool, piece->buf);
    piece_free(loop, piece);
    if (done != NULL && vigil__process_is(loop->process)) { /* nobody is called in a forked child */
        done(arg);
        loop->turn_callbacks++;
    }
}

/* Loads the next window of a file.  0, or why the connection cannot go on. */
static int piece_load(vigil_loop *loop, struct vigil__piece *piece)
{
    if (!piece->file || piece->n > 0 || piece->file_left == 0)
        return 0;
    size_t want = file_weight(piece->file_left);
    if (piece->buf == NULL)
        piece->buf = vigil__buf_take(&loop->pool, want, VIGIL__BUF_OUTPUT);
    if (piece->buf == NULL)
        return VIGIL_ENOMEM;
    want = vigil__min(want, piece->buf->cap);
    int n = loop->host->pread(loop->host->self, piece->file_fd, piece->buf->data, want,
                              piece->file_at);
    if (n < 0)
        return n;
    if (n == 0)
        return VIGIL_EPROTO; /* shorter than what was promised to the peer */
    piece->p = piece->buf->data;
    piece->n = (size_t)n;
    piece->file_at += n;
    piece->file_left -= n;
    return 0;
}

void vigil__output_drop(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->busy->queued > 0)
        vigil__count(&loop->stats.dropped_out, c->busy->queued);
    queued_take(loop, c, c->busy->queued);
    while (c->busy->head != NULL) {
        struct vigil__piece *piece = c->busy->head;
        c->busy->head = piece->next;
        if (c->busy->head == NULL)
            c->busy->tail = NULL;
        piece_end(loop, piece);
    }
}

/* ---- sending ---- */

/* Room for several pieces, kept while a send is under way; one piece needs none. */
static const size_t iov_size = VIGIL__IOV_MAX * sizeof(vigil_iov);

static vigil_iov *iov_room(vigil_loop *loop, struct vigil__conn *c, uint32_t *room)
{
    *room = 1;
    if (c->busy->head->next == NULL || c->busy->blocking_out)
        return &c->busy->iov_one;
    if (c->busy->iov_buf == NULL)
        c->busy->iov_buf = vigil__buf_take(&loop->pool, iov_size + VIGIL__OP_ROOM,
                                           VIGIL__BUF_OUTPUT);
    if (c->busy->iov_buf == NULL)
        return &c->busy->iov_one;
    *room = VIGIL__IOV_MAX;
    return (vigil_iov *)(void *)c->busy->iov_buf->data;
}

/* Fills the operation with the one piece that there is, for a socket. */
static void output_fill_one(struct vigil__conn *c)
{
    struct vigil__busy *busy = c->busy;
    busy->iov_one = (vigil_iov){ busy->head->p, busy->head->n };
    busy->asked = busy->head->n;
    busy->op_out.kind = VIGIL__OP_SEND;
    busy->op_out.fd = c->port.fd;
    busy->op_out.port = &c->port;
    busy->op_out.u.io.iov = &busy->iov_one;
    busy->op_out.u.io.count = 1;
    busy->op_out.u.io.room = NULL;
}

/* The same with what is at the head of the queue. */
static void output_fill(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__op *op = &c->busy->op_out;
    uint32_t room;
    vigil_iov *iov = iov_room(loop, c, &room);
    uint32_t count = 0;
    c->busy->asked = 0;
    for (const struct vigil__piece *piece = c->busy->head; piece != NULL && count < room;
         piece = piece->next) {
        if (piece->n > 0)
            iov[count++] = (vigil_iov){ piece->p, piece->n };
        c->busy->asked += piece->n;
        if (piece->file)
            break; /* what is behind it must wait for the rest of the file */
    }
    if (c->busy->blocking_out)
        iov[0].len = c->busy->asked = vigil__min(iov[0].len, PIPE_WRITE_MAX);
    op->kind = vigil__conn_socket_out(c) ? VIGIL__OP_SEND : VIGIL__OP_WRITE;
    op->fd = vigil__conn_fd_out(c);
    op->port = vigil__conn_port(c, false);
    op->u.io.iov = iov;
    op->u.io.count = count;
    op->u.io.room = c->busy->iov_buf != NULL ? c->busy->iov_buf->data + iov_size : NULL;
}

/* The output has ended: FIN, or the close of a descriptor that is for output only. */
static void output_end(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__port *port = vigil__conn_port(c, false);
    if (port != NULL && vigil__conn_socket_out(c)) {
        int status = loop->host->shutdown(loop->host->self, vigil__conn_fd_out(c));
        if (status < 0 && status != VIGIL_ENOTCONN) {
            vigil__conn_close(loop, c, status);
            return;
        }
    } else if (port != NULL && port != c->busy->port_in) {
        vigil__port_close(loop, port);
        vigil__fd_close(loop, c->busy->fd_out);
        c->busy->port_out = NULL;
        c->busy->fd_out = VIGIL_FD_NONE;
    }
    c->out_done = true;
    if (c->finishing && !c->eof_told && !vigil__conn_socket_in(c)) {
        /* Nothing to linger for: no reset can destroy what was written. */
        vigil__conn_close(loop, c, VIGIL_OK);
        return;
    }
    vigil__conn_linger(loop, c);
    vigil__conn_settle(loop, c);
}

/* Pieces with nothing left in them, such as an empty file, end here. */
static inline bool starts_empty(const struct vigil__piece *piece)
{
    return piece != NULL && piece->n == 0 && piece->file_left == 0;
}

static void output_skip_empty(vigil_loop *loop, struct vigil__conn *c)
{
    while (starts_empty(c->busy->head)) {
        struct vigil__piece *piece = c->busy->head;
        c->busy->head = piece->next;
        if (c->busy->head == NULL)
            c->busy->tail = NULL;
        piece_end(loop, piece);
    }
}

/* What the start of a send answered.  1: it has ended; 0: it is under way, or must wait; below 0:
 * why the connection cannot go on. */
static int output_started(vigil_loop *loop, struct vigil__conn *c, int status)
{
    if (VIGIL_LIKELY(status == 0)) {
        if ((c->busy->op_out.flags & VIGIL__OP_WAIT) == 0)
            c->busy->sent_at = loop->now; /* to wait for room, and to wait again, is no progress */
        if (!c->busy->op_out.native) { /* that one the next wait answers, whatever the peer does */
            output_settle(loop, c);
            vigil__deadline_arm(loop, c); /* the peer is slow: from now on its stall counts */
        }
    } else if (status == VIGIL_ENOMEM) {
        vigil__memory_wait(loop, c);
        status = 0;
    } else if (status == VIGIL_EFULL) {
        vigil__output_later(loop, c); /* behind the next wait there is room */
        status = 0;
    }
    return status;
}

/* Starts the next send.  Answers as that; 1: with *record. */
static int output_start(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record)
{
    bool open = vigil__conn_port(c, false) != NULL;
    int status = open ? piece_load(loop, c->busy->head) : VIGIL_ECLOSED;
    if (status == 0) {
        output_fill(loop, c);
        status = vigil__op_start(loop, &c->busy->op_out, record);
    }
    return output_started(loop, c, status);
}

/* Output is over, and `why` will close the connection.  But what the peer had sent before it went
 * may still be there: as in a drain it is read until the system says that nothing is. */
static void output_failed(vigil_loop *loop, struct vigil__conn *c, int why)
{
    c->why = (int8_t)why;
    c->reset = true; /* whoever still reads there must not take what came for all there was */
    c->end_asked = true;
    c->out_done = true;
    c->drain = true;
    vigil__output_drop(loop, c);
    unsigned offer = 0; /* only to one that waited for this very output: others want more */
    if (c->busy->blocked_on.v == vigil__conn_handle(c).v) {
        vigil__input_unblock(c);
        offer = VIGIL__TODO_OFFER;
    }
    vigil__conn_todo(loop, c, offer | VIGIL__TODO_READ);
}

/* What a send brought: progress, or the end of output. */
static void output_result(vigil_loop *loop, struct vigil__conn *c, int res)
{
    if (res > 0)
        output_sent(loop, c, (size_t)res);
    else if (res == VIGIL__EAGAIN)
        c->busy->op_out.flags |= VIGIL__OP_WAIT;
    else if (res == VIGIL_ENOMEM) /* the system has none for it, or the backend to wait for room */
        vigil__memory_wait(loop, c);
    else if (res < 0 && res != VIGIL_ECANCELED)
        output_failed(loop, c, res);
}

void vigil__output_cut_short(vigil_loop *loop, struct vigil__conn *c, int res)
{
    output_fill(loop, c);
    output_result(loop, c, res);
}

/* A send has ended at once, with *record, or cannot be started. */
static void output_ended(vigil_loop *loop, struct vigil__conn *c, int status,
                         const struct vigil__record *record)
{
    if (status > 0)
        output_result(loop, c, record->res);
    else
        vigil__conn_reset(loop, c, status);
}

void vigil__output_straight(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__record record;
    output_head(loop, c, vigil__conns(loop)->offered, loop->offer.p, loop->offer.n);
    output_fill_one(c);
    int status = output_started(loop, c, vigil__op_start(loop, &c->busy->op_out, &record));
    if (VIGIL_LIKELY(status == 0))
        return;
    output_ended(loop, c, status, &record);
    if (!c->closing)
        vigil__output_later(loop, c);
}

void vigil__output_flush(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->busy->connecting != NULL || c->unopened)
        return;
    for (int i = 0; i < SENDS_MAX && !c->busy->op_out.active && !c->closing; i++) {
        output_skip_empty(loop, c);
        if (c->closing)
            return; /* a `done` in there aborted it */
        if (c->busy->head == NULL) {
            if (c->end_asked && !c->out_done)
                output_end(loop, c);
            else if (c->end_asked)
                vigil__conn_settle(loop, c);
            return;
        }
        struct vigil__record record;
        int status = output_start(loop, c, &record);
        if (status == 0)
            return;
        output_ended(loop, c, status, &record);
        if (status > 0 && record.res == VIGIL_ENOMEM)
            return;
    }
    if (!c->busy->op_out.active && !c->closing)
        vigil__output_later(loop, c);
}

void vigil__output_record(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record)
{
    if (c->busy->connecting != NULL) {
        vigil__connect_record(loop, c, record->res);
        return;
    }
    output_result(loop, c, record->res);
    if (!c->closing && record->res != VIGIL_ENOMEM)
        vigil__output_later(loop, c);
}

/* `n` bytes have gone to the system. */
static void output_sent(vigil_loop *loop, struct vigil__conn *c, size_t n)
{
    c->bytes_out += n;
    c->busy->sent_at = loop->now;
    c->moved_at = loop->now;
    vigil__count(&loop->stats.bytes_out, n);
    vigil__count(&loop->stats.sends, 1);
    /* Cut short: the system is full, so asking again at once would be for nothing. */
    c->busy->op_out.flags = (uint8_t)((c->busy->op_out.flags & VIGIL__OP_BLOCKING) |
                                      (n < c->busy->asked ? VIGIL__OP_WAIT : 0));
    while (n > 0) {
        struct vigil__piece *piece = c->busy->head;
        size_t took = vigil__min(n, piece->n);
        piece->p += took;
        piece->n -= took;
        n -= took;
        int64_t left = piece->file_left + (int64_t)piece->n;
        queued_take(loop, c,
                    piece->file ? file_weight(left + (int64_t)took) - file_weight(left) : took);
        if (piece->n > 0)
            break;
        output_skip_empty(loop, c);
    }
    if (c->busy->iov_buf != NULL) {
        vigil__buf_drop(&loop->pool, c->busy->iov_buf);
        c->busy->iov_buf = NULL;
    }
    vigil__output_lowered(loop, c);
    if (c->starved && c->busy->queued == 0)
        vigil__conn_todo(loop, c, VIGIL__TODO_READ);
}

/* ---- ending ---- */

int vigil_end(vigil_loop *loop, vigil_conn conn)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    if (!c->end_asked) {
        c->end_asked = true;
        vigil__output_later(loop, c);
    }
    return 0;
}

int vigil_finish(vigil_loop *loop, vigil_conn conn)
{
    struct vigil__conn *c;
    int status = vigil_end(loop, conn);
    if (status == 0)
        status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    vigil__input_finish(loop, c);
    return 0;
}

int vigil_abort(vigil_loop *loop, vigil_conn conn)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    vigil__conn_reset(loop, c, VIGIL_ECANCELED);
    return 0;
}
