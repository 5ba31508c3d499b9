/* SPDX-License-Identifier: MIT
 *
 * differential.c -- one seeded random program on every backend: per connection the same bytes, then
 * the same eof, then the same why, and the order of its callbacks as the contract says.
 *
 * What must come of a program is worked out without I/O (program.h) and is the same for all, so a
 * backend that differs from another differs from that.  VIGIL_SEEDS=N runs N programs on each
 * backend; VIGIL_SEED=K begins with, or runs alone, that one.
 */
#include "conn_rig.h"
#include "order.h"
#include "program.h"
#include "seeds.h"
#include "virtual/observe.h"

enum { LENT_MAX = 65536, NAP_STEPS = 30, QUIET_STEPS = 20 };

struct world;
struct side;

struct handle {
    struct side *side;
    unsigned number;
};

/* A connection of the loop's. */
struct side {
    struct world *world;
    const struct script *script;
    struct side *partner; /* or NULL */
    struct side *to;      /* whose output its sends are for */
    vigil_conn conn;
    vigil_listener listener;
    struct handle handles[2]; /* ctx is one of them */
    unsigned ctx, ops;        /* which one, now */
    bool made, opened, eof, closed, paused, hopping, in_data, nibbled, grown;
    size_t at, progress; /* the step, and how much of it is done */
    size_t out_at;       /* in the stream that goes out of it */
    bool cut_self;       /* data left something behind a send to itself that was cut */
    size_t low, cut_at;  /* and its output, which ended there, must sink to that */
    int hop_steps;       /* until the program goes on outside of callbacks */
    int why;
    uint8_t *got; /* what its steps used */
    size_t got_len;
    long lent, done;
    FILE *file; /* what goes out of it */
    struct order order;
};

/* The other end of it, a plain one. */
struct peer {
    int listener, in, out; /* -1: none */
    bool talks, ended_out, finished;
    bool reset;     /* its sends were told: then its reads are told of an end */
    uint8_t *input; /* what it sends */
    size_t sent;
    uint8_t *got;
    size_t got_len;
    int end;
    int nap;
};

struct lent {
    struct side *side;
    long number;
};

struct world {
    struct program *program;
    vigil_loop *loop;
    vigil_remote *remote;
    struct test_allocator memory;
    struct side sides[CONNS_MAX];
    struct peer peers[CONNS_MAX];
    struct lent lent[LENT_MAX];
    size_t lent_count;
    int hops; /* under way */
    bool in_callback, draining;
    uint32_t pace; /* decides who does how much when: no difference may come of it */
    char folder[32];
};

static size_t play(struct side *side, const uint8_t *p, size_t n);
static void side_make(struct side *side);

static int index_of(const struct side *side)
{
    return (int)(side - side->world->sides);
}

static unsigned dice(struct world *world, unsigned sides)
{
    world->pace = world->pace * 1664525 + 1013904223;
    return (unsigned)((uint64_t)(world->pace >> 8) * sides >> 24);
}

static size_t queued_of(const struct side *side)
{
    vigil_conn_info info;
    return vigil_conn_info_get(side->world->loop, side->conn, &info) == 0 ? info.queued : 0;
}

/* ---- steps: what a connection does -------------------------------------------------------- */

static void note_cut(struct side *side)
{
    struct side *to = side->to;
    order_note(&to->order, ORDER_CUT, 0);
    if (!side->in_data)
        return;
    order_note(&side->order, ORDER_BLOCK, 0);
    side->cut_self = to == side;
    side->cut_at = side->out_at;
    side->low = queued_of(to) > to->script->out_low ? to->script->out_low : 0;
}

static void use(struct side *side, const uint8_t *p, size_t n)
{
    REQUIRE(side->got_len + n <= OUT_MAX);
    memcpy(side->got + side->got_len, p, n);
    side->got_len += n;
    side->progress += n;
}

static bool step_read(struct side *side, const struct step *step, const uint8_t *p, size_t n,
                      size_t *used)
{
    size_t there = n - *used, left = step->len - side->progress;
    size_t take = there < left ? there : left;
    if (side->eof)
        return true;
    if (step->how == READ_WHOLE && take < left)
        return false;
    if (step->how == READ_NIBBLE) {
        take = side->nibbled ? 0 : take < 7 ? take : 7;
        side->nibbled = true;
    }
    if (take > 0)
        use(side, p + *used, take);
    *used += take;
    return side->progress == step->len;
}

static bool step_echo(struct side *side, const struct step *step, const uint8_t *p, size_t n,
                      size_t *used)
{
    size_t there = n - *used, left = step->len - side->progress;
    size_t take = there < left ? there : left;
    if (side->eof)
        return true;
    if (take == 0)
        return false;
    size_t took = vigil_send(side->world->loop, side->to->conn, p + *used, take);
    if (took < take)
        note_cut(side);
    if (took > 0)
        use(side, p + *used, took);
    side->to->out_at += took;
    *used += took;
    return side->progress == step->len;
}

static void on_done(void *arg)
{
    struct lent *lent = arg;
    order_note(&lent->side->order, ORDER_DONE, lent->number);
}

/* Sends a piece whole or not at all; what is lent lives as long as the program. */
static int send_piece(struct side *side, unsigned how, const uint8_t *p, size_t n)
{
    struct world *world = side->world;
    struct side *to = side->to;
    struct lent *lent = &world->lent[world->lent_count];
    int status;
    if (how == SEND_ALL)
        return vigil_send_all(world->loop, to->conn, p, n);
    if (how == SEND_PIECES) {
        vigil_iov iov[3] = { { p, n / 3 }, { p + n / 3, 0 }, { p + n / 3, n - n / 3 } };
        return vigil_sendv(world->loop, to->conn, iov, 3);
    }
    REQUIRE(world->lent_count < LENT_MAX);
    *lent = (struct lent){ to, to->lent };
    if (how == SEND_OWNED)
        status = vigil_send_owned(world->loop, to->conn, p, n, on_done, lent);
    else
        status = vigil_send_file(world->loop, to->conn, fileno(to->file), (int64_t)to->out_at,
                                 (int64_t)n, on_done, lent);
    if (status == 0) {
        order_note(&to->order, ORDER_LEND, to->lent++);
        world->lent_count++;
    }
    return status;
}

static bool step_send(struct side *side, const struct step *step)
{
    const struct expected *expected = &side->world->program->expected[index_of(side->to)];
    struct side *to = side->to;
    while (side->progress < step->len) {
        size_t left = step->len - side->progress, took = 0;
        size_t piece = 200 + (to->out_at * 2654435761u >> 7) % 5000;
        const uint8_t *p = expected->out + to->out_at;
        REQUIRE(to->out_at + left <= expected->out_len, "it sends more than there is");
        piece = step->how != SEND_FILE && piece < left ? piece : left;
        int status = 0;
        if (step->how == SEND_SOME)
            took = vigil_send(side->world->loop, to->conn, p, left);
        else
            status = send_piece(side, step->how, p, piece);
        took = step->how == SEND_SOME ? took : status == 0 ? piece : 0;
        side->progress += took;
        to->out_at += took;
        if (status == VIGIL_ESTALE)
            return false; /* its peer is gone, and `close` will say so */
        OK(status == 0 || status == VIGIL_EFULL, "%s: %s", step_names[step->kind],
           vigil_err_name(status));
        if (status != 0 || (step->how == SEND_SOME && side->progress < step->len)) {
            note_cut(side);
            return false;
        }
    }
    return true;
}

/* ---- pauses: where the program goes on ---- */

static void side_resume(struct side *side)
{
    if (side->paused && !side->closed && vigil_resume(side->world->loop, side->conn) == 0)
        order_note(&side->order, ORDER_RESUME, 0);
    side->paused = false;
}

static void hop(struct side *side)
{
    side->world->hops--;
    side->hopping = false;
    if (side->closed)
        return;
    if ((side->script->steps[side->at - 1].how & HOP_LATE) == 0)
        side_resume(side);
    (void)play(side, NULL, 0);
}

static void hop_posted(vigil_loop *loop, void *arg, int status)
{
    (void)loop;
    EQ_INT(0, status);
    hop(arg);
}

static void hop_timer(vigil_loop *loop, void *arg)
{
    (void)loop;
    hop(arg);
}

static void step_pause(struct side *side, const struct step *step)
{
    struct world *world = side->world;
    if (vigil_pause(world->loop, side->conn) == 0)
        order_note(&side->order, ORDER_PAUSE, 0);
    side->paused = side->hopping = true;
    world->hops++;
    int status = 0;
    switch (step->how & ~HOP_LATE) {
    case HOP_POST:
        status = vigil_post(world->remote, hop_posted, side);
        break;
    case HOP_TIMER:
        status = vigil_after(world->loop, VIGIL_US(500) * dice(world, 4), hop_timer, side, NULL);
        break;
    case HOP_SOON:
        status = vigil_turn_soon(world->loop, hop_timer, side);
        break;
    default:
        side->hop_steps = 1 + (int)dice(world, 5);
    }
    EQ_INT(0, status);
}

/* ---- callbacks ---- */

/* Every callback begins and ends with these; `number` is of the functions that are called. */
static struct side *called(vigil_conn conn, void *ctx, unsigned number)
{
    struct handle *handle = ctx;
    struct side *side = handle->side;
    EQ_INT(side->conn.v, conn.v);
    EQ_INT(side->ctx, handle->number, "the context of before");
    EQ_INT(side->ops, number, "the functions of before");
    OK(!side->world->in_callback, "a callback within another");
    side->world->in_callback = true;
    return side;
}

static void left(struct side *side)
{
    side->world->in_callback = false;
}

static void on_open(vigil_loop *loop, vigil_conn conn, void *ctx, unsigned number)
{
    struct side *side = called(conn, ctx, number);
    observe_open(loop, conn);
    order_note(&side->order, ORDER_OPEN, 0);
    side->opened = true;
    if (side->listener.v != 0)
        EQ_INT(0, vigil_listener_close(loop, side->listener));
    if (side->script->small)
        (void)vigil_conn_option(loop, conn, VIGIL_SNDBUF, 4096); /* a pipe has none */
    if (side->partner != NULL && side->partner->script->second)
        side_make(side->partner);
    (void)play(side, NULL, 0);
    left(side);
}

static size_t on_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n,
                      unsigned number)
{
    (void)loop;
    struct side *side = called(conn, ctx, number);
    if (side->cut_self && side->cut_at == side->out_at && queued_of(side) > side->low)
        order_note(&side->order, ORDER_FULL, 0);
    order_note(&side->order, ORDER_DATA, (long)n);
    side->in_data = true;
    side->cut_self = side->nibbled = false;
    size_t used = play(side, p, n);
    side->in_data = false;
    side->cut_self = side->cut_self && used < n;
    order_note(&side->order, ORDER_USED, (long)used);
    left(side);
    return used;
}

static void on_eof(vigil_loop *loop, vigil_conn conn, void *ctx, unsigned number)
{
    struct side *side = called(conn, ctx, number);
    const void *p;
    size_t held = 0;
    EQ_INT(0, vigil_conn_held(loop, conn, &p, &held));
    order_note(&side->order, ORDER_EOF, (long)held);
    side->eof = true;
    (void)play(side, NULL, 0);
    left(side);
}

static void on_writable(vigil_loop *loop, vigil_conn conn, void *ctx, unsigned number)
{
    (void)loop;
    struct side *side = called(conn, ctx, number);
    order_note(&side->order, ORDER_WRITABLE, 0);
    (void)play(side, NULL, 0);
    if (side->partner != NULL && side->partner->to == side)
        (void)play(side->partner, NULL, 0);
    left(side);
}

static void on_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why, unsigned number)
{
    struct side *side = called(conn, ctx, number);
    observe_close(loop, conn, why);
    order_note(&side->order, ORDER_CLOSE, why);
    OK(!side->closed, "close twice");
    side->closed = true;
    side->why = why;
    left(side);
}

/* Two tables that do the same, so that a change can be seen; then one without data, one without
 * eof. */
enum { OPS_DISCARD = 2, OPS_DEAF = 3, OPS_TABLES = 4 };

#define OPS_FUNCTIONS(i)                                                                   \
    static void open_##i(vigil_loop *loop, vigil_conn conn, void *ctx)                     \
    {                                                                                      \
        on_open(loop, conn, ctx, i);                                                       \
    }                                                                                      \
    TEST_MAYBE_UNUSED static size_t data_##i(vigil_loop *loop, vigil_conn conn, void *ctx, \
                                             const void *p, size_t n)                      \
    {                                                                                      \
        return on_data(loop, conn, ctx, p, n, i);                                          \
    }                                                                                      \
    TEST_MAYBE_UNUSED static void eof_##i(vigil_loop *loop, vigil_conn conn, void *ctx)    \
    {                                                                                      \
        on_eof(loop, conn, ctx, i);                                                        \
    }                                                                                      \
    static void writable_##i(vigil_loop *loop, vigil_conn conn, void *ctx)                 \
    {                                                                                      \
        on_writable(loop, conn, ctx, i);                                                   \
    }                                                                                      \
    static void close_##i(vigil_loop *loop, vigil_conn conn, void *ctx, int why)           \
    {                                                                                      \
        on_close(loop, conn, ctx, why, i);                                                 \
    }

OPS_FUNCTIONS(0)
OPS_FUNCTIONS(1)
OPS_FUNCTIONS(2)
OPS_FUNCTIONS(3)

static const vigil_conn_ops ops_tables[OPS_TABLES] = {
    { open_0, data_0, eof_0, writable_0, close_0 },
    { open_1, data_1, eof_1, writable_1, close_1 },
    { open_2, NULL, eof_2, writable_2, close_2 },
    { open_3, data_3, NULL, writable_3, close_3 },
};

/* ---- going through the steps ---- */

static void side_ops(struct side *side, unsigned ops)
{
    EQ_INT(0, vigil_conn_set_ops(side->world->loop, side->conn, &ops_tables[ops]));
    order_note(&side->order, ops == OPS_DISCARD ? ORDER_DISCARD : ORDER_OPS, 0);
    side->ops = ops;
}

static vigil_limits limits_of(const struct script *script)
{
    return (vigil_limits){ .out_high = script->out_high,
                           .out_low = script->out_low,
                           .in_max = script->in_max,
                           .connect_ns = VIGIL_FOREVER,
                           .stall_ns = VIGIL_FOREVER,
                           .linger_ns = VIGIL_FOREVER };
}

static void side_marks(struct side *side)
{
    vigil_limits limits = limits_of(side->script);
    side->grown = !side->grown;
    limits.out_high <<= side->grown;
    EQ_INT(0, vigil_conn_set_limits(side->world->loop, side->conn, &limits));
}

/* One that changes or ends something and needs neither input nor room. */
static void step_do(struct side *side, const struct step *step)
{
    vigil_loop *loop = side->world->loop;
    struct side *other = side->partner != NULL ? side->partner : side;
    int status = 0;
    switch ((enum step_kind)step->kind) {
    case STEP_PAUSE:
        step_pause(side, step);
        break;
    case STEP_OPS:
        side_ops(side, side->ops ^ 1);
        break;
    case STEP_DISCARD:
        side_ops(side, OPS_DISCARD);
        break;
    case STEP_DEAF:
        side_ops(side, OPS_DEAF);
        break;
    case STEP_CTX:
        side->ctx ^= 1;
        status = vigil_conn_set_ctx(loop, side->conn, &side->handles[side->ctx]);
        break;
    case STEP_MARKS:
        side_marks(side);
        break;
    case STEP_COUPLE:
        order_note(&side->order, ORDER_COUPLE, 0);
        status = vigil_couple(loop, side->conn, other->conn);
        break;
    case STEP_FINISH:
        order_note(&side->order, ORDER_FINISH, 0);
        status = vigil_finish(loop, side->conn);
        break;
    case STEP_ABORT:
        order_note(&side->order, ORDER_ABORT, 0);
        status = vigil_abort(loop, side->conn);
        break;
    case STEP_TIME_OUT:
        status = vigil_pause(loop, side->conn);
        order_note(&side->order, ORDER_PAUSE, 0);
        if (status == 0)
            status = vigil_conn_deadline(loop, side->conn, VIGIL_US(500) * dice(side->world, 4));
        break;
    default: /* STEP_END */
        order_note(&side->order, ORDER_END, 0);
        status = vigil_end(loop, side->conn);
        if (status == 0 && side->to != side) {
            order_note(&side->to->order, ORDER_END, 0);
            status = vigil_end(loop, side->to->conn);
        }
    }
    EQ_INT(0, status, "connection %d: %s", index_of(side), step_names[step->kind]);
}

/* Goes on with a step; answers whether it is done. */
static bool step_go(struct side *side, const struct step *step, const uint8_t *p, size_t n,
                    size_t *used)
{
    switch ((enum step_kind)step->kind) {
    case STEP_READ:
        return step_read(side, step, p, n, used);
    case STEP_ECHO:
        return step_echo(side, step, p, n, used);
    case STEP_SEND:
        return step_send(side, step);
    case STEP_AWAIT_EOF:
        if (side->ops == OPS_DISCARD)
            return side->eof; /* what is left is nobody's */
        if (n > *used)
            use(side, p + *used, n - *used);
        *used = n;
        return side->eof;
    case STEP_STARVE:
        return false;
    default:
        step_do(side, step);
        return true;
    }
}

static bool step_needs_input(const struct step *step)
{
    return step->kind == STEP_READ || step->kind == STEP_ECHO || step->kind == STEP_AWAIT_EOF ||
           step->kind == STEP_STARVE || step->kind == STEP_COUPLE;
}

/* Goes through the steps as far as input and room allow; answers how much of the input it used. */
static size_t play(struct side *side, const uint8_t *p, size_t n)
{
    const struct script *script = side->script;
    size_t used = 0;
    while (side->at < script->count && !side->hopping && !side->closed) {
        const struct step *step = &script->steps[side->at];
        if (step_needs_input(step) && side->paused)
            side_resume(side);
        if (!side->opened && step->kind != STEP_SEND)
            break; /* sends may come before open */
        if (step->kind == STEP_PAUSE)
            side->at++; /* it may go on elsewhere before this returns */
        bool done = step_go(side, step, p, n, &used);
        if (!done)
            break;
        side->at += step->kind != STEP_PAUSE;
        side->progress = 0;
    }
    if (side->at == script->count && !side->hopping && script->count > 0 &&
        last_step(script) != STEP_TIME_OUT)
        side_resume(side);
    return used;
}

/* ---- peers -------------------------------------------------------------------------------- */

static void peer_socket(struct peer *peer, int fd)
{
    peer->in = peer->out = fd;
    peer->talks = true;
    REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static bool is_socket(const struct peer *peer)
{
    return peer->in == peer->out;
}

static void peer_close(struct peer *peer)
{
    if (peer->out >= 0 && peer->out != peer->in)
        close(peer->out);
    if (peer->in >= 0)
        close(peer->in);
    peer->in = peer->out = -1;
    peer->finished = true;
}

/* Whether so much has arrived at both ends that the outcome no longer depends on time. */
static bool peer_may_end(struct world *world, int i)
{
    const struct side *side = &world->sides[i];
    const struct script *script = side->script;
    const struct expected *expected = &world->program->expected[i];
    const struct peer *peer = &world->peers[i];
    bool used = side->got_len == expected->used;
    if (script->ending == ENDING_HALF || script->ending == ENDING_WAIT)
        return true;
    if (script->ending != ENDING_RESET)
        return used && peer->got_len == expected->out_len;
    if (script->partner >= 0 && (world->peers[script->partner].got_len !=
                                 world->program->expected[script->partner].out_len))
        return false;
    return used && peer->got_len >= script->ending_received;
}

static void peer_half(struct peer *peer)
{
    if (is_socket(peer)) {
        shutdown(peer->out, SHUT_WR);
    } else if (peer->out >= 0) {
        close(peer->out);
        peer->out = -1;
    }
    peer->ended_out = true;
}

static void peer_end(struct world *world, int i)
{
    struct peer *peer = &world->peers[i];
    const struct script *script = world->sides[i].script;
    if (script->half_first && !peer->ended_out)
        peer_half(peer);
    if (!peer_may_end(world, i))
        return;
    switch (script->ending) {
    case ENDING_HALF:
        peer_half(peer);
        break;
    case ENDING_RESET:
        if (is_tcp(script))
            setsockopt(peer->in, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                       sizeof(struct linger));
        peer->end = END_LEFT;
        peer_close(peer);
        break;
    case ENDING_CLOSE:
        peer->end = END_LEFT;
        peer_close(peer);
        break;
    default:
        peer->ended_out = true;
    }
}

/* Up to where it may send now. */
static size_t peer_bound(const struct script *script, const struct peer *peer)
{
    for (size_t n = 0; n < script->barrier_count; n++)
        if (peer->got_len < script->barriers[n].received)
            return script->barriers[n].at;
    return script->input;
}

static bool peer_writes(struct world *world, int i)
{
    struct peer *peer = &world->peers[i];
    const struct script *script = world->sides[i].script;
    size_t bound = peer_bound(script, peer), left = bound > peer->sent ? bound - peer->sent : 0;
    size_t n = 1 + dice(world, (unsigned)script->chunk_max);
    n = n < left ? n : left;
    if (n == 0)
        return false;
    ssize_t sent = is_socket(peer) ? send(peer->out, peer->input + peer->sent, n, MSG_NOSIGNAL)
                                   : write(peer->out, peer->input + peer->sent, n);
    if (sent > 0)
        peer->sent += (size_t)sent;
    else if (errno != EAGAIN)
        peer->sent = script->input, peer->ended_out = peer->reset = true;
    return sent > 0;
}

static bool peer_reads(struct world *world, int i)
{
    struct peer *peer = &world->peers[i];
    const struct script *script = world->sides[i].script;
    size_t most = script->ending == ENDING_RESET ? script->ending_received : OUT_MAX;
    size_t n = 1 + dice(world, (unsigned)script->chunk_max);
    n = n < most - peer->got_len ? n : most - peer->got_len;
    if (n == 0)
        return false;
    ssize_t got = read(peer->in, peer->got + peer->got_len, n);
    if (got > 0)
        peer->got_len += (size_t)got;
    else if (got == 0)
        peer->end = peer->reset ? END_RESET : END_FIN;
    else if (errno != EAGAIN)
        peer->end = END_RESET;
    return got > 0;
}

static bool peer_step(struct world *world, int i)
{
    struct peer *peer = &world->peers[i];
    if (peer->listener >= 0 && !peer->talks) {
        int fd = accept(peer->listener, NULL, NULL);
        if (fd >= 0)
            peer_socket(peer, fd);
        return fd >= 0;
    }
    if (!peer->talks || peer->finished)
        return false;
    if (peer->nap > 0) {
        peer->nap--;
        return false;
    }
    if (dice(world, 50) == 0)
        peer->nap = (int)dice(world, NAP_STEPS);
    bool moved = false;
    if (!peer->ended_out && dice(world, 3) > 0)
        moved = peer_writes(world, i);
    if (peer->sent == world->sides[i].script->input && !peer->finished)
        if (!peer->ended_out || world->sides[i].script->half_first)
            peer_end(world, i);
    if (!peer->finished && peer->end == END_NONE && dice(world, 3) > 0)
        moved = peer_reads(world, i) || moved;
    if (!peer->finished && peer->end != END_NONE &&
        (peer->ended_out || peer->end == END_RESET || world->sides[i].closed))
        peer_close(peer);
    return moved;
}

/* ---- making both ends --------------------------------------------------------------------- */

static void small_buffers(const struct script *script, int fd)
{
    int size = 4096;
    if (script->small)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* A plain socket that is bound, and listens if `backlog` > 0; `where` is its address for us. */
static int plain_socket(struct world *world, const struct side *side, bool tcp, int backlog,
                        char where[VIGIL_ADDR_TEXT_MAX])
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    socklen_t len = sizeof(in);
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    small_buffers(side->script, fd);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/p%d", world->folder, index_of(side));
    if (tcp) {
        REQUIRE(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 &&
                getsockname(fd, (struct sockaddr *)&in, &len) == 0);
        snprintf(where, VIGIL_ADDR_TEXT_MAX, "tcp://127.0.0.1:%u", ntohs(in.sin_port));
    } else {
        REQUIRE(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0, "%s", strerror(errno));
        snprintf(where, VIGIL_ADDR_TEXT_MAX, "unix:%s", un.sun_path);
    }
    REQUIRE(backlog == 0 || listen(fd, backlog) == 0);
    return fd;
}

/* A plain socket that is connected to a listener of ours; the backlog takes it. */
static int plain_connect(const struct side *side, const vigil_addr *addr)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(addr->port) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    bool tcp = addr->family == VIGIL_FAMILY_INET;
    int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    small_buffers(side->script, fd);
    memcpy(&in.sin_addr, addr->ip, 4);
    memcpy(un.sun_path, addr->path, addr->path_len);
    int status = tcp ? connect(fd, (struct sockaddr *)&in, sizeof(in))
                     : connect(fd, (struct sockaddr *)&un, sizeof(un));
    REQUIRE(status == 0, "connect: %s", strerror(errno));
    return fd;
}

static void *accepted(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)loop;
    struct side *side = user;
    side->conn = conn;
    return &side->handles[0];
}

static vigil_addr side_listen(struct side *side, bool tcp)
{
    char where[VIGIL_ADDR_TEXT_MAX] = "tcp://127.0.0.1:0";
    vigil_addr addr;
    vigil_listen_options options = {
        .ops = &ops_tables[0], .ctx = accepted, .user = side, .limits = limits_of(side->script)
    };
    if (!tcp)
        snprintf(where, sizeof(where), "unix:%s/s%d", side->world->folder, index_of(side));
    int status = vigil_listen(side->world->loop, where, &options, &side->listener);
    REQUIRE(status == 0, "vigil_listen %s: %s", where, vigil_strerror(status));
    EQ_INT(0, vigil_listener_address(side->world->loop, side->listener, &addr));
    return addr;
}

static void side_give(struct side *side, int in, int out, const vigil_conn_options *options)
{
    int status = vigil_adopt(side->world->loop, in, out, options, &side->conn);
    EQ_INT(0, status);
    if (status == 0)
        observe_made(side->world->loop, side->conn, out);
}

static void side_adopt(struct side *side, bool pipes, const vigil_conn_options *options)
{
    struct peer *peer = &side->world->peers[index_of(side)];
    int there[2], back[2];
    if (pipes) {
        REQUIRE(pipe2(there, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
        peer->out = there[1];
        peer->in = back[0];
        peer->talks = true;
        REQUIRE(fcntl(peer->out, F_SETFL, O_NONBLOCK) == 0);
        REQUIRE(fcntl(peer->in, F_SETFL, O_NONBLOCK) == 0);
        side_give(side, there[0], back[1], options);
        return;
    }
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, there) == 0);
    peer_socket(peer, there[1]);
    side_give(side, there[0], there[0], options);
}

/* Makes a connection and its peer, as far as they can be made now. */
static void side_make(struct side *side)
{
    struct world *world = side->world;
    struct peer *peer = &world->peers[index_of(side)];
    vigil_conn_options options = { .ops = &ops_tables[0],
                                   .ctx = &side->handles[0],
                                   .limits = limits_of(side->script) };
    char where[VIGIL_ADDR_TEXT_MAX];
    vigil_addr addr;
    bool tcp = false;
    side->made = true;
    switch (side->script->transport) {
    case TRANSPORT_TCP_ACCEPT:
        tcp = true;
        /* fall through */
    case TRANSPORT_UNIX_ACCEPT:
        addr = side_listen(side, tcp);
        if (!side->script->inner)
            peer_socket(peer, plain_connect(side, &addr));
        return;
    case TRANSPORT_SOCKETPAIR:
    case TRANSPORT_PIPES:
        side_adopt(side, side->script->transport == TRANSPORT_PIPES, &options);
        break;
    case TRANSPORT_INNER:
        EQ_INT(0, vigil_listener_address(world->loop, side->partner->listener, &addr));
        vigil_addr_format(&addr, where, sizeof(where));
        EQ_INT(0, vigil_connect(world->loop, where, &options, &side->conn));
        break;
    default:
        tcp = is_tcp(side->script) || side->script->transport == TRANSPORT_TCP_REFUSED;
        peer->listener = plain_socket(world, side, tcp, is_refused(side->script) ? 0 : 8, where);
        EQ_INT(0, vigil_connect(world->loop, where, &options, &side->conn));
    }
    (void)play(side, NULL, 0);
}

static FILE *file_of(const struct expected *expected)
{
    FILE *file = tmpfile();
    REQUIRE(file != NULL && fwrite(expected->out, 1, expected->out_len, file) == expected->out_len);
    REQUIRE(fflush(file) == 0);
    return file;
}

static void side_init(struct world *world, int i)
{
    struct side *side = &world->sides[i];
    struct peer *peer = &world->peers[i];
    const struct script *script = &world->program->scripts[i];
    *side = (struct side){ .world = world, .script = script };
    side->partner = script->partner >= 0 ? &world->sides[script->partner] : NULL;
    side->to = script->to_partner ? side->partner : side;
    for (unsigned n = 0; n < 2; n++)
        side->handles[n] = (struct handle){ side, n };
    side->got = malloc(OUT_MAX);
    *peer = (struct peer){ .listener = -1, .in = -1, .out = -1 };
    peer->got = malloc(OUT_MAX);
    peer->input = malloc(script->input + 1);
    REQUIRE(side->got != NULL && peer->got != NULL && peer->input != NULL);
    for (size_t n = 0; n < script->input; n++)
        peer->input[n] = input_byte(world->program, i, n);
    peer->finished = script->inner || is_refused(script);
    side->file = file_of(&world->program->expected[i]);
}

static void world_open(struct world *world, struct program *program, const char *backend)
{
    *world = (struct world){ .program = program, .pace = program->seed + 77 };
    vigil_loop_options options = { .backend = backend,
                                   .allocator = test_counting_allocator(&world->memory),
                                   .memory_limit = program->tight ? TIGHT_MEMORY : 0 };
    strcpy(world->folder, "/tmp/vigil-diff-XXXXXX");
    REQUIRE(!TEST_UNIX_SOCKETS || mkdtemp(world->folder) != NULL);
    int status = vigil_loop_open(&world->loop, &options);
    REQUIRE(status == 0, "vigil_loop_open: %s", vigil_strerror(status));
    EQ_INT(0, vigil_remote_open(world->loop, &world->remote));
    for (int i = 0; i < program->count; i++)
        side_init(world, i);
    for (int i = 0; i < program->count; i++)
        if (!world->sides[i].script->second)
            side_make(&world->sides[i]);
}

/* ---- running ------------------------------------------------------------------------------ */

/* Whether all is over but for those who stay until the drain; `stayers`: those are ready for it. */
static bool world_over(struct world *world, bool *stayers)
{
    *stayers = false;
    for (int i = 0; i < world->program->count; i++) {
        const struct side *side = &world->sides[i];
        bool stays = side->script->ending == ENDING_STAY && !world->draining;
        *stayers = *stayers || stays;
        if (stays ? !peer_may_end(world, i) || !world->peers[i].ended_out
                  : !side->closed || !world->peers[i].finished)
            return false;
    }
    return world->hops == 0;
}

static void dump_line(void *arg, const char *text, size_t len)
{
    (void)arg;
    fprintf(stderr, "# %.*s", (int)len, text);
}

static void tell_who_is_left(struct world *world)
{
    for (int i = 0; i < world->program->count; i++) {
        const struct side *side = &world->sides[i];
        const struct peer *peer = &world->peers[i];
        const struct side *partner = side->partner != NULL ? side->partner : side;
        if (side->closed && peer->finished && partner->closed)
            continue;
        fprintf(stderr,
                "# connection %d (%s): step %zu of: %s\n#   used %zu of %zu, %s; its peer sent %zu "
                "of %zu, got %zu of %zu%s\n#   %s\n",
                i, transport_names[side->script->transport], side->at + 1,
                script_text(side->script), side->got_len, world->program->expected[i].used,
                side->closed   ? "closed"
                : side->opened ? "open"
                               : "not open yet",
                peer->sent, side->script->input, peer->got_len, world->program->expected[i].out_len,
                peer->finished ? ", gone" : "", order_text(&side->order, side->order.count));
    }
    (void)vigil_dump(world->loop, dump_line, NULL);
}

static bool outside_hops(struct world *world)
{
    bool moved = false;
    for (int i = 0; i < world->program->count; i++) {
        struct side *side = &world->sides[i];
        if (side->hop_steps > 0 && --side->hop_steps == 0) {
            moved = true;
            hop(side);
        }
    }
    return moved;
}

/* Lets everybody act in turn until all has ended.  False: it got stuck. */
static bool world_run(struct world *world)
{
    vigil_ns deadline = rig_clock() + VIGIL_S(20) * test_time_scale();
    bool stayers;
    for (int quiet = 0; test_state.test_failures == 0;) {
        bool moved = outside_hops(world);
        for (int i = 0; i < world->program->count; i++)
            moved = peer_step(world, i) || moved;
        int ran = vigil_loop_turn(world->loop, quiet > QUIET_STEPS ? VIGIL_MS(1) : VIGIL_NOWAIT);
        REQUIRE(ran >= 0, "vigil_loop_turn: %s", vigil_strerror(ran));
        quiet = moved || ran > 0 ? 0 : quiet + 1;
        if (world_over(world, &stayers) && !stayers)
            return true;
        if (world_over(world, &stayers)) {
            world->draining = true;
            EQ_INT(0, vigil_loop_drain(world->loop, VIGIL_FOREVER));
        }
        if (rig_clock() > deadline) {
            OK(false, "seed %u: it got stuck", world->program->seed);
            tell_who_is_left(world);
        }
    }
    return false;
}

static void world_close(struct world *world)
{
    vigil_remote_drop(world->remote);
    vigil_loop_close(world->loop);
    OK_ALLOCATOR_EMPTY(&world->memory);
    for (int i = 0; i < world->program->count; i++) {
        struct side *side = &world->sides[i];
        struct peer *peer = &world->peers[i];
        char path[64];
        for (int n = 0; n < 2 && TEST_UNIX_SOCKETS; n++) {
            snprintf(path, sizeof(path), "%s/%c%d", world->folder, "ps"[n], i);
            (void)unlink(path); /* most have none */
        }
        peer_close(peer);
        if (peer->listener >= 0)
            close(peer->listener);
        fclose(side->file);
        free(side->got);
        free(peer->got);
        free(peer->input);
        order_clear(&side->order);
    }
    if (TEST_UNIX_SOCKETS)
        EQ_INT(0, rmdir(world->folder));
}

/* ---- comparing ---------------------------------------------------------------------------- */

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t at = 0;
    while (at < n && a[at] == b[at])
        at++;
    return at;
}

static bool bytes_differ(const char *what, const uint8_t *want, size_t min, size_t max,
                         const uint8_t *got, size_t got_len, char text[256])
{
    size_t same = first_difference(want, got, got_len < max ? got_len : max);
    if (same == got_len && got_len >= min && got_len <= max)
        return false;
    if (same < got_len && same < max)
        snprintf(text, 256, "%s: byte %zu: want 0x%02x, got 0x%02x", what, same, want[same],
                 got[same]);
    else
        snprintf(text, 256, "%s: want %s%zu bytes, got %zu", what, min < max ? "at least " : "",
                 min < max && got_len < min ? min : max, got_len);
    return true;
}

static bool ends_match(int want, int got)
{
    return want == got || (want == END_GONE && (got == END_FIN || got == END_RESET));
}

/* The first thing in which a connection is not as it must be, as text; false: there is none. */
static bool side_differs(const struct world *world, int i, char text[256])
{
    static const char *const ends[] = { "nothing", "its end", "a reset", "its own end", "any end" };
    const struct side *side = &world->sides[i];
    const struct peer *peer = &world->peers[i];
    const struct expected *expected = &world->program->expected[i];
    size_t at;
    if (side->opened != expected->opened)
        snprintf(text, 256, "open: want %d, got %d", expected->opened, side->opened);
    else if (bytes_differ("bytes used", peer->input, expected->used, expected->used, side->got,
                          side->got_len, text))
        return true;
    else if (side->eof != expected->eof)
        snprintf(text, 256, "eof: want %d, got %d", expected->eof, side->eof);
    else if (side->why != expected->why)
        snprintf(text, 256, "why: want %s, got %s", vigil_err_name(expected->why),
                 vigil_err_name(side->why));
    else if (order_fault(&side->order, &at) != NULL)
        snprintf(text, 256, "order: %s", order_fault(&side->order, &at));
    else if (side->script->inner)
        return false; /* what it sent is what its partner used */
    else if (bytes_differ("bytes at its peer", expected->out, expected->out_min, expected->out_len,
                          peer->got, peer->got_len, text))
        return true;
    else if (!ends_match(expected->peer_end, peer->end))
        snprintf(text, 256, "its peer sees: want %s, got %s", ends[expected->peer_end],
                 ends[peer->end]);
    else
        return false;
    return true;
}

static void world_compare(const struct world *world, const char *backend)
{
    char text[256];
    for (int i = 0; i < world->program->count && test_state.test_failures == 0; i++) {
        const struct side *side = &world->sides[i];
        OK(!side_differs(world, i, text), "seed %u on %s, connection %d (%s): %s",
           world->program->seed, backend, i, transport_names[side->script->transport], text);
        if (test_state.test_failures == 0)
            continue;
        size_t at = 0;
        bool fault = order_fault(&side->order, &at) != NULL;
        fprintf(stderr, "# its steps: %s\n# its order: %s\n", script_text(side->script),
                order_text(&side->order, fault ? at + 1 : side->order.count));
    }
}

static struct world the_world;
static struct program the_program;

static void run_seed(const char *backend, uint32_t seed)
{
    program_make(&the_program, seed);
    world_open(&the_world, &the_program, backend);
    if (world_run(&the_world))
        world_compare(&the_world, backend);
    world_close(&the_world);
}

CONFORM(the_same_bytes_then_eof_then_why)
{
    skip_unless_here(backend);
    struct seeds seeds = seeds_asked(test_time_scale() > 1 ? 3 : (uint32_t)test_many(10, 1));
    for (uint32_t seed; seeds_next(&seeds, &seed);)
        run_seed(backend, seed);
    seeds_replay(&seeds, "the_same_bytes_then_eof_then_why", backend);
    program_free(&the_program);
}

/* ---- the comparison can fail -------------------------------------------------------------- */

/* Wrongs that a backend could do to a connection, each undone behind the comparison. */
static struct side *wrong_side;
static struct peer *wrong_peer;

static void wrong_open(void)
{
    wrong_side->opened = !wrong_side->opened;
}

static void wrong_byte(void)
{
    wrong_side->got[wrong_side->got_len / 2] ^= 1;
}

static void wrong_order(void)
{
    uint8_t *p = &wrong_side->got[wrong_side->got_len / 2];
    uint8_t first = p[0];
    p[0] = p[1];
    p[1] = first;
}

static void byte_missing(void)
{
    wrong_side->got_len--;
}

static void byte_back(void)
{
    wrong_side->got_len++;
}

static void wrong_eof(void)
{
    wrong_side->eof = !wrong_side->eof;
}

static void wrong_why(void)
{
    wrong_side->why = wrong_side->why == VIGIL_ENOTCONN ? VIGIL_OK : VIGIL_ENOTCONN;
}

static void wrong_output(void)
{
    wrong_peer->got[wrong_peer->got_len - 1] ^= 0x80;
}

static void output_missing(void)
{
    wrong_peer->got_len--;
}

static void output_back(void)
{
    wrong_peer->got_len++;
}

static void output_twice(void)
{
    wrong_peer->got[wrong_peer->got_len++] = 0;
}

static void wrong_end(void)
{
    wrong_peer->end = wrong_peer->end == END_RESET ? END_FIN : END_RESET;
}

static void wrong_last(void)
{
    order_note(&wrong_side->order, ORDER_WRITABLE, 0);
}

static void last_back(void)
{
    wrong_side->order.count--;
}

static const struct {
    void (*wrong)(void), (*right)(void);
    const char *told;
} wrong_rows[] = {
    { wrong_open, wrong_open, "open: want" },
    { wrong_byte, wrong_byte, "bytes used: byte" },
    { wrong_order, wrong_order, "bytes used: byte" },
    { byte_missing, byte_back, "bytes used: want" },
    { wrong_eof, wrong_eof, "eof: want" },
    { wrong_why, NULL, "why: want" },
    { wrong_last, last_back, "order: " },
    { wrong_output, wrong_output, "bytes at its peer: byte" },
    { output_missing, output_back, "bytes at its peer: want" },
    { output_twice, output_missing, "bytes at its peer: want" },
    { wrong_end, wrong_end, "its peer sees: want" },
};

/* A connection in which all of it can be seen: bytes both ways, eof, an end in order. */
static int telling_connection(const struct world *world)
{
    for (int i = 0; i < world->program->count; i++) {
        const struct side *side = &world->sides[i];
        size_t middle = side->got_len / 2;
        if (side->got_len > 20 && side->got[middle] != side->got[middle + 1] && side->eof &&
            side->why == VIGIL_OK && world->peers[i].got_len > 20 && world->peers[i].end == END_FIN)
            return i;
    }
    return -1;
}

CONFORM(a_history_that_is_wrong_in_one_thing_is_told)
{
    skip_unless_here(backend);
    int i = -1;
    for (uint32_t seed = 1; seed < 20 && i < 0; seed++) {
        program_make(&the_program, seed);
        world_open(&the_world, &the_program, backend);
        REQUIRE(world_run(&the_world));
        i = telling_connection(&the_world);
        if (i < 0)
            world_close(&the_world);
    }
    REQUIRE(i >= 0);
    wrong_side = &the_world.sides[i];
    wrong_peer = &the_world.peers[i];
    for (size_t n = 0; n < TEST_COUNT(wrong_rows); n++) {
        char text[256] = "";
        OK(!side_differs(&the_world, i, text), "row %zu: %s", n, text);
        int why = wrong_side->why;
        wrong_rows[n].wrong();
        OK(side_differs(&the_world, i, text), "row %zu: nothing is told", n);
        OK(strncmp(text, wrong_rows[n].told, strlen(wrong_rows[n].told)) == 0, "row %zu: %s", n,
           text);
        if (wrong_rows[n].right != NULL)
            wrong_rows[n].right();
        wrong_side->why = why;
    }
    world_close(&the_world);
    program_free(&the_program);
}
