/* SPDX-License-Identifier: MIT
 *
 * output.c -- fuzz target: what is sent on connections, against a plain list of pieces.
 *
 * Two connections on a machine of ours get every kind of send, from the program and from their
 * callbacks, while the other sides take what they like, fail, and bring input that is echoed.
 * Every byte taken comes out once and in order; what a send answers is what the header says; `done`
 * and `close` run once, `writable` once for sends that were cut short; the end of output comes
 * behind all of it; and once nothing goes wrong any more everything goes out.
 */
#include "machine.h"

enum { PEERS = 2, PIECES = 512, STEPS = 250, FILE_WINDOW = 64 << 10, REASONS = 32, TURNS = 400 };

struct owned {
    char *copy;
    bool gone; /* its bytes are out, or never will be */
    struct peer *peer;
    struct owned *next;
};

struct piece {
    size_t at, left; /* in the pattern */
    bool file;
    struct owned *owned;
};

struct peer {
    vigil_conn conn;
    vigil_fd fd, fd_in;
    vigil_limits limits;
    bool closed, ended, finished, aborted, failed;
    unsigned cuts;        /* sends that were, for which `writable` may still come */
    bool cut;             /* one was, behind the last `writable` */
    bool armed, at_empty; /* room is to be told of: below the low mark, or when it is empty */
    unsigned rooms;       /* times there was */
    bool eof;             /* was called */
    bool may[REASONS];    /* close, and why, by -status */
    unsigned manner;      /* of `data` */
    size_t in_at;         /* where in the pattern the input goes on */
    struct piece pieces[PIECES];
    unsigned head, count;
    size_t queued;
    uint64_t out;
    unsigned owned; /* `done` is due for so many */
};

static struct {
    struct fuzz_in in;
    vigil_loop *loop;
    struct peer peers[PEERS];
    struct owned *owned;
    vigil_fd file;
    bool complete; /* the backend performs sends: what went out is told later */
    bool little;   /* memory has a low limit */
    bool turning;
    unsigned steps;
} t;

static void act(void);

/* Whether a send may be refused for want of memory. */
static bool memory_trouble(void)
{
    return t.little || machine.memory_failed;
}

static void may_close(struct peer *p, int why)
{
    p->may[-why] = true;
}

/* Memory that ran out may end anyone from then on, in the very turn in which it did. */
static bool may_end(const struct peer *p, int why)
{
    return p->may[-why] || (why == VIGIL_ENOMEM && memory_trouble());
}

/* Whether what is queued may be dropped. */
static bool may_drop(const struct peer *p)
{
    return p->aborted || p->failed || may_end(p, VIGIL_ENOMEM) || p->may[-VIGIL_EPROTO] ||
           p->may[-VIGIL_ELIMIT] || p->may[-VIGIL_ECONNRESET] || p->may[-VIGIL_ECANCELED];
}

/* The mark at which there is room again. */
static size_t low_mark(const struct peer *p)
{
    size_t low = p->limits.out_low;
    return low != 0 ? low : p->limits.out_high / 4;
}

/* ---- the list of pieces ---- */

static size_t weight(const struct piece *piece)
{
    return piece->file && piece->left > FILE_WINDOW ? FILE_WINDOW : piece->left;
}

static void pieces_settle(struct peer *p)
{
    while (p->count > 0 && p->pieces[p->head % PIECES].left == 0) {
        struct owned *owned = p->pieces[p->head % PIECES].owned;
        if (owned != NULL)
            owned->gone = true;
        p->head++;
        p->count--;
    }
}

static void append(struct peer *p, size_t at, size_t n, bool file, struct owned *owned)
{
    CHECK(p->count < PIECES, "the target is too small");
    struct piece piece = { at, n, file, owned };
    p->pieces[(p->head + p->count++) % PIECES] = piece;
    p->queued += weight(&piece);
    pieces_settle(p);
}

static struct peer *peer_of(vigil_fd fd)
{
    for (int i = 0; i < PEERS; i++)
        if (t.peers[i].fd == fd)
            return &t.peers[i];
    return NULL;
}

static void went_out(struct peer *p, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        CHECK(p->count > 0, "%zu bytes that nobody sent", n);
        struct piece *piece = &p->pieces[p->head % PIECES];
        size_t k = vigil__min(n, piece->left);
        CHECK(memcmp(machine_pattern + piece->at, bytes, k) == 0, "other bytes than were sent");
        size_t before = weight(piece);
        piece->at += k;
        piece->left -= k;
        p->queued -= before - weight(piece);
        p->out += k;
        bytes += k;
        n -= k;
        pieces_settle(p);
    }
    if (p->armed && p->queued <= (p->at_empty ? 0 : low_mark(p))) {
        p->armed = false;
        p->rooms++;
    }
}

static void on_sent(vigil_fd fd, const vigil_iov *iov, size_t n)
{
    struct peer *p = peer_of(fd);
    CHECK(p != NULL && !p->closed && !p->failed, "output after the end");
    for (; n > 0; iov++) {
        size_t k = vigil__min(n, iov->len);
        went_out(p, iov->base, k);
        n -= k;
    }
}

static void on_failed(vigil_fd fd, int error)
{
    struct peer *p = peer_of(fd);
    CHECK(p != NULL && !p->closed && !p->failed, "output after the end");
    p->failed = true;
    may_close(p, error);
    while (p->count > 0) {
        p->pieces[p->head % PIECES].left = 0;
        pieces_settle(p);
    }
    p->queued = 0;
}

static void on_ended(vigil_fd fd)
{
    const struct peer *p = peer_of(fd);
    CHECK(p == NULL || p->count == 0 || may_drop(p), "the end comes before %zu bytes", p->queued);
    CHECK(p == NULL || p->ended || may_drop(p) || p->closed, "nobody ended it");
}

/* ---- sending ---- */

/* How much is queued, as the connection says; false: it is gone. */
static bool queued_now(struct peer *p, size_t *queued)
{
    vigil_conn_info info;
    int status = vigil_conn_info_get(t.loop, p->conn, &info);
    if (status != 0 || info.state == VIGIL_CLOSING || p->closed || p->aborted) {
        CHECK(status == 0 || status == VIGIL_ESTALE);
        CHECK(p->closed || p->ended || may_drop(p), "it is gone, and nobody knows why");
        return false;
    }
    *queued = info.queued;
    CHECK(t.complete || p->queued == info.queued, "%zu bytes are queued, want %zu", info.queued,
          p->queued);
    return true;
}

/* Whether a send that takes nothing is right whatever else is true. */
static bool over(const struct peer *p)
{
    return p->ended || p->failed;
}

static void note_cut(struct peer *p, bool cut)
{
    p->cuts += cut;
    p->cut = p->cut || cut;
    p->armed = p->armed || cut;
    if (cut)
        p->at_empty = p->queued <= low_mark(p);
}

static size_t send_some(struct peer *p, const void *bytes, size_t at, size_t n)
{
    size_t before;
    bool there = queued_now(p, &before);
    size_t took = vigil_send(t.loop, p->conn, bytes, n);
    if (!there || p->ended || (p->failed && !t.complete)) {
        CHECK(took == 0, "taken by one that has ended");
        return 0;
    }
    size_t high = p->limits.out_high;
    size_t want = vigil__min(n, before < high ? high - before : 0);
    CHECK(took <= want, "took %zu, want %zu", took, want);
    CHECK(took == want || memory_trouble() || p->failed, "took %zu, want %zu", took, want);
    if (p->failed)
        return 0; /* its queue is dropped as soon as the loop hears of that */
    append(p, at, took, false, NULL);
    note_cut(p, took < n);
    return took;
}

/* What a send of all or nothing answers, when memory does not matter. */
static int all_expected(struct peer *p, size_t n, bool there, size_t before)
{
    if (!there)
        return VIGIL_ESTALE;
    if (over(p))
        return VIGIL_ECLOSED;
    if (n > p->limits.out_hard)
        return VIGIL_ELIMIT;
    bool full = before >= p->limits.out_high || n > p->limits.out_hard - before;
    return before > 0 && full ? VIGIL_EFULL : 0;
}

static bool all_answered(struct peer *p, size_t n, bool there, size_t before, int status)
{
    int want = all_expected(p, n, there, before);
    bool memory = memory_trouble() && want == 0 &&
                  (status == VIGIL_ENOMEM || (before > 0 && status == VIGIL_EFULL));
    bool late = t.complete && there && p->failed && status != VIGIL_ESTALE;
    CHECK(status == want || memory || late, "%d, want %d", status, want);
    if (late)
        return false;
    note_cut(p, status == VIGIL_EFULL || status == VIGIL_ENOMEM);
    return status == 0;
}

static size_t some_size(void)
{
    static const size_t sizes[] = { 0,     1,     2,     3,     10,    100,    255,    256,
                                    257,   1000,  1024,  4095,  4096,  4097,   16383,  16384,
                                    20000, 32768, 65535, 65536, 65537, 100000, 262144, 300000 };
    return FUZZ_OF(&t.in, sizes);
}

static size_t some_place(void)
{
    return fuzz_byte(&t.in) * (size_t)4099 % MACHINE_PATTERN;
}

/* Bytes that are gone right behind the call: who keeps a pointer to them is found. */
static char *copy_of(size_t at, size_t n)
{
    char *copy = malloc(n + 1);
    CHECK(copy != NULL);
    memcpy(copy, machine_pattern + at, n);
    return copy;
}

static void act_send(struct peer *p)
{
    size_t at = some_place(), n = some_size();
    char *copy = copy_of(at, n);
    (void)send_some(p, copy, at, n);
    free(copy);
}

static void act_sendv(struct peer *p)
{
    enum { CUTS = 5 };
    size_t at = some_place(), n = some_size(), begin = 0, before = 0;
    char *copy = copy_of(at, n);
    vigil_iov iov[CUTS];
    size_t count = 1 + fuzz_below(&t.in, CUTS);
    for (size_t i = 0; i < count; i++) {
        size_t len = i + 1 == count ? n - begin : (n - begin) * fuzz_below(&t.in, 3) / 2;
        iov[i] = (vigil_iov){ copy + begin, len };
        begin += len;
    }
    bool there = queued_now(p, &before);
    int status = count == 1 ? vigil_send_all(t.loop, p->conn, copy, n)
                            : vigil_sendv(t.loop, p->conn, iov, count);
    free(copy);
    if (all_answered(p, n, there, before, status))
        append(p, at, n, false, NULL);
}

static void on_done(void *arg)
{
    struct owned *owned = arg;
    struct peer *p = owned->peer;
    CHECK(owned->copy != NULL, "done twice");
    CHECK(owned->gone || may_drop(p), "done before its bytes are out");
    CHECK(!p->closed, "done after close");
    free(owned->copy);
    owned->copy = NULL;
    p->owned--;
}

static void act_owned(struct peer *p)
{
    size_t at = some_place(), n = some_size(), before = 0;
    struct owned *owned = malloc(sizeof *owned);
    CHECK(owned != NULL);
    *owned = (struct owned){ .copy = copy_of(at, n), .peer = p, .next = t.owned };
    bool there = queued_now(p, &before);
    int status = vigil_send_owned(t.loop, p->conn, owned->copy, n, on_done, owned);
    bool taken = status == 0;
    if (all_answered(p, n, there, before, status))
        append(p, at, n, false, owned);
    if (!taken) { /* it stayed ours */
        free(owned->copy);
        free(owned);
        return;
    }
    owned->gone = owned->gone || p->failed;
    t.owned = owned;
    p->owned++;
}

static void act_file(struct peer *p)
{
    size_t at = some_place() % 200000, size = machine.fds[t.file].file_size, before = 0;
    size_t asked = some_size();
    bool to_its_end = fuzz_below(&t.in, 2) == 0;
    size_t n = !to_its_end ? asked : at <= size ? size - at : 0;
    bool there = queued_now(p, &before);
    int status = vigil_send_file(t.loop, p->conn, t.file, (int64_t)at,
                                 to_its_end ? -1 : (int64_t)asked, NULL, NULL);
    if (at > size) {
        CHECK(status == VIGIL_EINVAL, "%d", status);
        return;
    }
    if (!all_answered(p, vigil__min(n, FILE_WINDOW), there, before, status))
        return;
    append(p, at, n, true, NULL);
    if (n > size - at)
        may_close(p, VIGIL_EPROTO);
}

/* ---- callbacks ---- */

static struct peer *called(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct peer *p = ctx;
    CHECK(loop == t.loop && t.turning, "a callback outside of a turn");
    CHECK(conn.v == p->conn.v && !p->closed, "a callback after close");
    return p;
}

static void act_a_little(void)
{
    unsigned actions = fuzz_below(&t.in, 3);
    for (unsigned i = 0; i < actions; i++)
        act();
}

static void on_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    const struct peer *p = called(loop, conn, ctx);
    CHECK(!p->aborted);
    act_a_little();
}

static size_t data_use(struct peer *p, const void *bytes, size_t n)
{
    struct peer *other = &t.peers[p == t.peers];
    switch (p->manner) {
    case 0:
        return send_some(p, bytes, p->in_at, n);
    case 1:
        return n;
    case 2: {
        size_t before = 0;
        bool there = queued_now(p, &before);
        int status = vigil_send_all(t.loop, p->conn, bytes, n);
        if (!all_answered(p, n, there, before, status))
            return 0;
        append(p, p->in_at, n, false, NULL);
        return n;
    }
    case 3:
        return send_some(other, bytes, p->in_at, n);
    default:
        act_a_little();
        return n * fuzz_below(&t.in, 8) / 7;
    }
}

static size_t on_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *bytes, size_t n)
{
    struct peer *p = called(loop, conn, ctx);
    CHECK(!p->aborted && !p->finished && !p->eof, "input that nobody is to hear of");
    CHECK(n > 0 && n <= p->limits.in_max);
    CHECK(memcmp(bytes, machine_pattern + p->in_at, n) == 0, "input out of order");
    bool echo = p->manner == 0; /* what it does may change that */
    size_t used = data_use(p, bytes, n);
    p->in_at = (p->in_at + used) % MACHINE_PATTERN;
    if (used < n && (!echo || over(p)))
        may_close(p, VIGIL_ELIMIT); /* it may go on wanting for ever */
    return used;
}

static void on_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct peer *p = called(loop, conn, ctx);
    CHECK(!p->eof && !p->aborted && !p->finished);
    p->eof = true;
    act_a_little();
}

static void on_writable(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct peer *p = called(loop, conn, ctx);
    CHECK(p->cuts > 0, "no send was cut short");
    CHECK(!p->ended && !p->aborted);
    CHECK(p->rooms > 0 || memory_trouble() || t.complete, "there is no room");
    p->cuts--;
    p->rooms -= p->rooms > 0;
    p->cut = false;
    act_a_little();
}

static void on_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct peer *p = called(loop, conn, ctx);
    CHECK(why <= 0 && why > -REASONS && (why == VIGIL_OK || may_end(p, why)), "closed for %d", why);
    CHECK(p->owned == 0, "close before done");
    if (why == VIGIL_OK) {
        CHECK(p->ended && p->count == 0, "%zu bytes never went out", p->queued);
        CHECK(!p->failed && !p->aborted);
    }
    p->closed = true;
}

static const vigil_conn_ops ops = {
    .open = on_open, .data = on_data, .eof = on_eof, .writable = on_writable, .close = on_close
};

/* ---- actions ---- */

static void act_ending(struct peer *p)
{
    unsigned kind = fuzz_below(&t.in, 8);
    size_t before;
    bool there = queued_now(p, &before);
    int status = kind == 0   ? vigil_abort(t.loop, p->conn)
                 : kind <= 3 ? vigil_finish(t.loop, p->conn)
                             : vigil_end(t.loop, p->conn);
    CHECK(status == (there ? 0 : VIGIL_ESTALE), "%d", status);
    if (status != 0)
        return;
    if (kind == 0) {
        p->aborted = true;
        may_close(p, VIGIL_ECANCELED);
    } else {
        p->ended = true;
        p->finished = p->finished || kind <= 3;
    }
}

/* Limits of time are none: nothing but what is done here ends a connection. */
static vigil_limits some_limits(void)
{
    static const size_t lows[] = { 1, 64 << 10, 4096, 1, 0 };
    static const size_t highs[] = { 256 << 10, 64 << 10, 4096, 1 };
    static const size_t hards[] = { 1 << 20, 512 << 10, 0 };
    vigil_limits limits = { .out_high = FUZZ_OF(&t.in, highs),
                            .out_low = FUZZ_OF(&t.in, lows),
                            .out_hard = FUZZ_OF(&t.in, hards),
                            .in_max = 64 << 10,
                            .idle_ns = VIGIL_FOREVER,
                            .stall_ns = VIGIL_FOREVER,
                            .linger_ns = VIGIL_FOREVER };
    limits.out_low = vigil__min(limits.out_low, limits.out_high);
    if (limits.out_hard == 0)
        limits.out_hard = limits.out_high;
    return limits;
}

static void act_limits(struct peer *p)
{
    size_t before;
    bool there = queued_now(p, &before);
    vigil_limits limits = some_limits();
    int status = vigil_conn_set_limits(t.loop, p->conn, &limits);
    CHECK(status == (there ? 0 : VIGIL_ESTALE) || (status == VIGIL_ENOMEM && machine.memory_failed),
          "%d", status);
    if (status == 0)
        p->limits = limits;
}

/* What the other side does. */
static void act_other_side(struct peer *p)
{
    struct machine_fd *out = &machine.fds[p->fd], *input = &machine.fds[p->fd_in];
    if (!out->open || !input->open)
        return;
    switch (fuzz_below(&t.in, 8)) {
    case 0:
        out->take_max = 1 + some_size();
        break;
    case 1:
        input->bring_max = 1 + some_size();
        break;
    case 2:
        out->send_error = fuzz_below(&t.in, 2) == 0 ? VIGIL_ECONNRESET : VIGIL_ECLOSED;
        break;
    case 3:
        input->recv_error = fuzz_below(&t.in, 8) == 0 ? VIGIL_ECONNRESET : 0;
        if (input->recv_error != 0)
            may_close(p, VIGIL_ECONNRESET);
        break;
    case 4:
        input->in_eof = true;
        break;
    case 5:
        input->waiting += input->in_eof ? 0 : some_size();
        break;
    default:
        out->room += some_size();
    }
}

static void act_input(struct peer *p)
{
    unsigned kind = fuzz_below(&t.in, 8);
    if (kind == 0)
        (void)vigil_pause(t.loop, p->conn); /* gone: no matter */
    else if (kind == 1)
        (void)vigil_resume(t.loop, p->conn);
    else if (!p->eof)
        p->manner = kind - 2;
}

/* What the machine does. */
static void act_machine(void)
{
    switch (fuzz_below(&t.in, 6)) {
    case 0:
        machine.spurious = !machine.spurious;
        break;
    case 1:
        machine.full = !machine.full;
        break;
    case 2:
        machine.late = fuzz_below(&t.in, 4);
        break;
    case 3:
        machine.fds[t.file].file_size = some_size();
        for (int i = 0; i < PEERS; i++)
            may_close(&t.peers[i], VIGIL_EPROTO);
        break;
    case 4:
        machine.fds[t.file].bring_max = 1 + some_size();
        break;
    default:
        machine.memory_left = fuzz_below(&t.in, 3) == 0 ? fuzz_below(&t.in, 4) : UINT32_MAX;
    }
}

static void turn(void)
{
    static const vigil_ns timeouts[] = { 0, 1, VIGIL_MS(20), VIGIL_S(1) };
    if (t.turning)
        return;
    t.turning = true;
    int status = vigil_loop_turn(t.loop, FUZZ_OF(&t.in, timeouts));
    CHECK(status >= 0, "%d", status);
    t.turning = false;
    for (int i = 0; i < PEERS; i++) {
        struct peer *p = &t.peers[i];
        size_t queued;
        if (queued_now(p, &queued))
            CHECK(queued == p->queued, "%zu bytes are queued, want %zu", queued, p->queued);
    }
}

static void act(void)
{
    struct peer *p = &t.peers[fuzz_below(&t.in, PEERS)];
    if (t.steps++ >= STEPS)
        return;
    switch (fuzz_below(&t.in, 16)) {
    case 0:
    case 1:
    case 2:
        turn();
        break;
    case 3:
        act_machine();
        break;
    case 4:
        act_ending(p);
        break;
    case 5:
        act_limits(p);
        break;
    case 6:
        act_input(p);
        break;
    case 7:
        act_owned(p);
        break;
    case 8:
        act_file(p);
        break;
    case 9:
        act_sendv(p);
        break;
    case 10:
    case 11:
        act_send(p);
        break;
    default:
        act_other_side(p);
    }
}

/* ---- the whole ---- */

/* A socket; or a pair of pipes, non-blocking or not. */
static void peer_open(struct peer *p)
{
    unsigned kind = fuzz_below(&t.in, 4);
    enum vigil__fd_kind fd_kind = kind < 2 ? VIGIL__FD_SOCKET : VIGIL__FD_PIPE;
    CHECK(machine_open(fd_kind, &p->fd) == 0);
    p->fd_in = p->fd;
    if (kind >= 2)
        CHECK(machine_open(fd_kind, &p->fd_in) == 0);
    machine.fds[p->fd].nonblocking = machine.fds[p->fd_in].nonblocking = kind == 2;
    p->limits = some_limits();
    vigil_conn_options options = { .ops = &ops, .ctx = p, .limits = p->limits };
    CHECK(vigil_adopt(t.loop, p->fd_in, p->fd, &options, &p->conn) == 0);
}

static void begin(void)
{
    memset(&t.peers, 0, sizeof t.peers);
    t.steps = 0;
    t.owned = NULL;
    t.complete = fuzz_below(&t.in, 2) == 1;
    t.little = fuzz_below(&t.in, 4) == 3;
    machine.sent = on_sent;
    machine.failed = on_failed;
    machine.ended = on_ended;
    CHECK(machine_open(VIGIL__FD_FILE, &t.file) == 0);
    machine.fds[t.file].file_size = 150000;
    vigil_loop_options options = { .backend = t.complete ? "complete" : "ready",
                                   .host = &machine_host,
                                   .memory_limit = t.little ? 256 << 10 : 0,
                                   .stall_after_ns = VIGIL_FOREVER };
    CHECK(vigil_loop_open(&t.loop, &options) == 0);
    for (int i = 0; i < PEERS; i++)
        peer_open(&t.peers[i]);
}

/* Turns until there is nothing to do. */
static void turns(void)
{
    for (int i = 0, idle = 0; idle < 3; i++) {
        CHECK(i < TURNS, "it never comes to rest");
        idle = machine.idle && vigil_loop_due(t.loop) == VIGIL_FOREVER ? idle + 1 : 0;
        t.turning = true;
        int status = vigil_loop_turn(t.loop, VIGIL_MS(20));
        CHECK(status >= 0, "%d", status);
        t.turning = false;
    }
}

/* Nothing goes wrong any more: everything goes out, and whoever waited is told. */
static void settle(struct peer *p)
{
    const void *held;
    size_t queued, n = 0;
    if (!queued_now(p, &queued))
        return;
    CHECK(p->count == 0 && queued == 0, "%zu bytes stay queued", queued);
    CHECK(!p->cut || over(p), "`writable` never came");
    CHECK(vigil_conn_held(t.loop, p->conn, &held, &n) == 0);
    CHECK(n == 0 || p->may[-VIGIL_ELIMIT], "%zu bytes of input are offered to nobody", n);
    CHECK(vigil_finish(t.loop, p->conn) == 0);
    p->ended = p->finished = true;
    machine.fds[p->fd_in].in_eof = true;
}

static void end(void)
{
    bool calm = fuzz_below(&t.in, 4) != 3;
    machine_calm();
    t.steps = STEPS;
    for (int i = 0; i < PEERS; i++) {
        struct peer *p = &t.peers[i];
        p->manner = 1;
        (void)vigil_resume(t.loop, p->conn); /* gone: no matter */
    }
    if (calm) {
        turns();
        for (int i = 0; i < PEERS; i++)
            settle(&t.peers[i]);
        turns();
    }
    for (int i = 0; i < PEERS; i++) {
        CHECK(!calm || t.peers[i].closed, "it never closed");
        may_close(&t.peers[i], VIGIL_ECANCELED);
    }
    t.turning = true;
    vigil_loop_close(t.loop);
    for (int i = 0; i < PEERS; i++)
        CHECK(t.peers[i].closed, "close never ran");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    machine_begin();
    t.in = (struct fuzz_in){ data, size };
    t.turning = false;
    begin();
    while (t.in.n > 0 && t.steps < STEPS)
        act();
    end();
    machine_end(1); /* the file is ours */
    while (t.owned != NULL) {
        struct owned *owned = t.owned;
        t.owned = owned->next;
        CHECK(owned->copy == NULL, "done never ran");
        free(owned);
    }
    return 0;
}
