/* SPDX-License-Identifier: MIT
 *
 * order.c -- the order of callbacks within a connection, under a program that does anything at any
 * time.  What comes of it depends on time; the order in which it comes must be right all the same.
 *
 * VIGIL_SEEDS=N runs N programs on each backend, VIGIL_SEED=K begins with, or runs alone, that one.
 */
#include "order.h"
#include "seeds.h"
#include "virtual/observe.h"

/* ---- the state machine can fail ---- */

static const struct {
    const char *order, *fault; /* NULL: there is none */
} order_rows[] = {
    { "open data(4) used(4) eof(0) end close(0)", NULL },
    { "open data(4) used(1) data(3) used(3) close(0)", NULL },
    { "open data(4) used(0) data(5) used(5) close(0)", NULL },
    { "open data(4) pause used(0) resume data(4) used(4) close(0)", NULL },
    { "open data(4) cut block used(1) data(3) used(3) writable close(0)", NULL },
    { "open data(4) used(0) ops data(4) used(4) close(0)", NULL },
    { "open data(4) ops used(0) data(4) used(4) close(0)", NULL },
    { "open data(4) used(0) eof(4) close(0)", NULL },
    { "open data(4) finish used(0) close(0)", NULL },
    { "open lend(0) lend(1) done(0) done(1) close(0)", NULL },
    { "open pause finish close(0)", NULL },
    { "open data(4) discard used(2) eof(0) close(0)", NULL },
    { "open cut cut writable writable close(0)", NULL },
    { "open cut cut writable close(0)", NULL },
    { "close(-7)", NULL }, /* refused: it never opened */
    { "abort close(-9)", NULL },

    { "data(4) used(4) close(0)", "a callback before open" },
    { "eof(0) open close(0)", "a callback before open" },
    { "cut writable open close(0)", "a callback before open" },
    { "open open close(0)", "open twice" },
    { "open data(0) used(0) close(0)", "data without bytes" },
    { "open data(4) data(4) used(4) used(4) close(0)", "a callback within data" },
    { "open data(4) used(0) data(3) used(3) close(0)", "data with less than was held" },
    { "open data(4) used(0) data(4) used(4) close(0)",
      "the same offered again to a data that wants more" },
    { "open pause data(4) used(4) close(0)", "data while paused" },
    { "open data(4) pause used(0) data(5) used(5) close(0)", "data while paused" },
    { "open pause eof(0) close(0)", "eof while paused" },
    { "open data(4) cut block used(0) full data(4) used(4) close(0)", "data while blocked" },
    { "open data(4) cut block used(0) eof(4) close(0)", "eof while blocked" },
    { "open data(4) used(2) eof(2) close(0)", "eof before what is held was offered" },
    { "open data(4) pause used(2) resume eof(2) close(0)", "eof before what is held was offered" },
    { "open data(4) used(0) eof(0) close(0)", "eof with more or less than data left" },
    { "open data(4) used(4) eof(0) eof(0) close(0)", "eof twice" },
    { "open eof(0) data(4) used(4) close(0)", "data after eof" },
    { "open finish data(4) used(4) close(0)", "data when the program has done with input" },
    { "open finish eof(0) close(0)", "eof when the program has done with input" },
    { "open couple data(4) used(4) close(0)", "data when the program has done with input" },
    { "open discard data(4) used(4) close(0)", "data when the program has done with input" },
    { "open writable close(0)", "writable without a send that was cut" },
    { "open cut writable writable close(0)", "writable without a send that was cut" },
    { "open cut end writable close(0)", "writable after the end of output" },
    { "open lend(0) close(0) done(0)", "close before the last done" },
    { "open lend(0) lend(1) done(1) done(0) close(0)", "done twice, out of turn, or of nothing" },
    { "open lend(0) done(0) done(0) close(0)", "done twice, out of turn, or of nothing" },
    { "open abort data(4) used(4) close(-9)", "a callback after abort" },
    { "open abort close(0)", "an abort that closes for another reason" },
    { "open close(0) close(0)", "something after close" },
    { "open close(0) data(1)", "something after close" },
    { "open data(4) used(4)", "close never came" },
};

TEST(each_wrong_order_is_found)
{
    for (size_t i = 0; i < TEST_COUNT(order_rows); i++) {
        struct order order = { 0 };
        size_t at;
        OK(order_read(&order, order_rows[i].order), "%s", order_rows[i].order);
        EQ_STR(order_rows[i].order, order_text(&order, order.count));
        EQ_STR(order_rows[i].fault, order_fault(&order, &at), "%s", order_rows[i].order);
        order_clear(&order);
    }
}

/* ---- a random program ---- */

enum { ACTORS = 8, STEPS = 4000, STEPS_FEW = 300 };

struct actor {
    struct play *play;
    vigil_conn conn;
    int fd; /* the peer's end, or -1 */
    bool live, open;
    unsigned ops; /* which of the two */
    struct order order;
};

struct play {
    vigil_loop *loop;
    struct actor actors[ACTORS];
    struct actor *reader; /* whose data runs */
    uint32_t seed, random;
    int opens, closes;
    bool in_callback;
    vigil_conn_ops ops[2]; /* alike: what is new is offered what is held */
};

static unsigned dice(struct play *play, unsigned sides)
{
    play->random = play->random * 1664525 + 1013904223;
    return (play->random >> 16) % sides;
}

static vigil_conn_state state_of(const struct actor *actor)
{
    vigil_conn_info info;
    int status = vigil_conn_info_get(actor->play->loop, actor->conn, &info);
    return status == 0 ? info.state : VIGIL_CLOSING;
}

/* Sends in one of three ways, and notes what that means for whom. */
static void actor_send(struct play *play, struct actor *to)
{
    static const char block[3000];
    size_t n = dice(play, sizeof(block));
    vigil_conn_state state = state_of(to);
    bool cut;
    switch (dice(play, 5)) {
    case 0:
        cut = vigil_send_all(play->loop, to->conn, block, n) == VIGIL_EFULL;
        break;
    case 1:
        cut = vigil_send_owned(play->loop, to->conn, block, n, NULL, NULL) == VIGIL_EFULL;
        break;
    default:
        cut = vigil_send(play->loop, to->conn, block, n) < n;
    }
    if (!cut || !to->live || (state != VIGIL_OPEN && state != VIGIL_HALF_OUT))
        return;
    order_note(&to->order, ORDER_CUT, 0);
    if (play->reader != NULL)
        order_note(&play->reader->order, ORDER_BLOCK, 0);
}

/* Notes what the library has accepted. */
static void note_if(struct actor *actor, int status, enum order_kind kind)
{
    if (status == 0 && actor->live)
        order_note(&actor->order, kind, 0);
}

/* Something that a callback, or the program, does to a connection. */
static void act(struct play *play, struct actor *actor)
{
    vigil_loop *loop = play->loop;
    vigil_conn conn = actor->conn;
    struct actor *other = &play->actors[dice(play, ACTORS)];
    switch (dice(play, 14)) {
    case 0:
    case 1:
    case 2:
    case 3:
        actor_send(play, actor);
        break;
    case 4:
        note_if(actor, vigil_pause(loop, conn), ORDER_PAUSE);
        break;
    case 5:
    case 6:
        note_if(actor, vigil_resume(loop, conn), ORDER_RESUME);
        break;
    case 7:
        actor_send(play, other);
        break;
    case 8:
        if (dice(play, 4) == 0)
            note_if(actor, vigil_end(loop, conn), ORDER_END);
        break;
    case 9:
        if (dice(play, 4) == 0)
            note_if(actor, vigil_finish(loop, conn), ORDER_FINISH);
        break;
    case 10:
        if (dice(play, 6) == 0)
            note_if(other, vigil_abort(loop, other->conn), ORDER_ABORT);
        break;
    case 11:
        if (dice(play, 6) == 0)
            note_if(actor, vigil_couple(loop, conn, other->conn), ORDER_COUPLE);
        break;
    case 12:
        (void)vigil_conn_deadline(loop, conn, dice(play, 3) == 0 ? VIGIL_MS(1) : VIGIL_FOREVER);
        break;
    default:
        if (dice(play, 4) == 0)
            note_if(actor, vigil_conn_set_ops(loop, conn, &play->ops[++actor->ops % 2]), ORDER_OPS);
    }
}

/* Every callback begins and ends with these. */
static void actor_called(struct actor *actor, vigil_conn conn, enum order_kind kind, long value)
{
    EQ_INT(actor->conn.v, conn.v);
    OK(!actor->play->in_callback, "a callback within another");
    actor->play->in_callback = true;
    order_note(&actor->order, kind, value);
}

static void actor_left(struct actor *actor)
{
    actor->play->in_callback = false;
}

static void actor_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct actor *actor = ctx;
    observe_open(loop, conn);
    EQ_PTR(actor->play->loop, loop);
    actor_called(actor, conn, ORDER_OPEN, 0);
    actor->open = true;
    actor->play->opens++;
    act(actor->play, actor);
    actor_left(actor);
}

static size_t actor_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)loop;
    struct actor *actor = ctx;
    struct play *play = actor->play;
    actor_called(actor, conn, ORDER_DATA, (long)n);
    OK(p != NULL);
    play->reader = actor;
    act(play, actor);
    play->reader = NULL;
    size_t used = dice(play, 3) == 0 ? dice(play, (unsigned)n + 1) : n;
    order_note(&actor->order, ORDER_USED, (long)used);
    actor_left(actor);
    return used;
}

static void actor_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct actor *actor = ctx;
    const void *p;
    size_t held = 0;
    EQ_INT(0, vigil_conn_held(loop, conn, &p, &held));
    actor_called(actor, conn, ORDER_EOF, (long)held);
    act(actor->play, actor);
    if (dice(actor->play, 2) == 0)
        note_if(actor, vigil_end(loop, conn), ORDER_END);
    actor_left(actor);
}

static void actor_writable(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)loop;
    struct actor *actor = ctx;
    actor_called(actor, conn, ORDER_WRITABLE, 0);
    act(actor->play, actor);
    actor_left(actor);
}

static void actor_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct actor *actor = ctx;
    struct play *play = actor->play;
    observe_close(loop, conn, why);
    OK(actor->live, "close twice");
    actor_called(actor, conn, ORDER_CLOSE, why);
    OK_ORDER(&actor->order, "seed %u, actor %td", play->seed, actor - play->actors);
    actor->live = false;
    play->closes++;
    act(play, actor); /* all of it is stale, or another's */
    actor_left(actor);
}

static void actor_begin(struct play *play, struct actor *actor)
{
    int fds[2];
    if (actor->fd >= 0)
        close(actor->fd);
    order_clear(&actor->order);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    *actor = (struct actor){ .play = play, .fd = fds[1], .live = true };
    vigil_conn_options options = {
        .ops = &play->ops[0],
        .ctx = actor,
        .limits = { .out_high = 2000, .in_max = 4096, .linger_ns = VIGIL_MS(5) },
    };
    int status = vigil_adopt(play->loop, fds[0], fds[0], &options, &actor->conn);
    EQ_INT(0, status);
    if (status == 0)
        observe_made(play->loop, actor->conn, fds[0]);
}

/* What the peer does: talks, listens, ends, leaves. */
static void peer_acts(struct play *play, struct actor *actor)
{
    static char block[4000];
    if (actor->fd < 0)
        return;
    switch (dice(play, 8)) {
    case 0:
    case 1:
    case 2:
        (void)!send(actor->fd, block, 1 + dice(play, 3999), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 3:
    case 4:
    case 5:
        (void)!recv(actor->fd, block, sizeof(block), MSG_DONTWAIT);
        break;
    case 6:
        if (dice(play, 6) == 0)
            shutdown(actor->fd, SHUT_WR);
        break;
    default:
        if (dice(play, 12) == 0) {
            close(actor->fd);
            actor->fd = -1;
        }
    }
}

static void play_random(const char *backend, uint32_t seed)
{
    struct play play = { .random = seed, .seed = seed };
    struct test_allocator memory;
    vigil_loop_options options = { .backend = backend,
                                   .allocator = test_counting_allocator(&memory) };
    for (int i = 0; i < 2; i++)
        play.ops[i] = (vigil_conn_ops){ actor_open, actor_data, actor_eof, actor_writable,
                                        actor_close };
    int status = vigil_loop_open(&play.loop, &options);
    REQUIRE(status == 0, "vigil_loop_open: %s", vigil_strerror(status));
    int begun = 0;
    for (int i = 0; i < ACTORS; i++)
        play.actors[i] = (struct actor){ .play = &play, .fd = -1 };
    int steps = test_many(STEPS, STEPS_FEW);
    for (int step = 0; step < steps && test_state.test_failures == 0; step++) {
        struct actor *actor = &play.actors[dice(&play, ACTORS)];
        if (!actor->live) {
            actor_begin(&play, actor);
            begun++;
        } else if (actor->open && dice(&play, 4) == 0) {
            act(&play, actor);
        } else {
            peer_acts(&play, actor);
        }
        if (dice(&play, 2) == 0)
            REQUIRE(vigil_loop_turn(play.loop, VIGIL_NOWAIT) >= 0);
    }
    REQUIRE(vigil_loop_turn(play.loop, VIGIL_NOWAIT) >= 0); /* the last one opens */
    vigil_loop_close(play.loop);
    OK(play.opens > ACTORS && play.opens <= begun, "%d opened", play.opens);
    EQ_INT(begun, play.closes, "seed %u", seed);
    OK_ALLOCATOR_EMPTY(&memory);
    for (int i = 0; i < ACTORS; i++) {
        if (play.actors[i].fd >= 0)
            close(play.actors[i].fd);
        order_clear(&play.actors[i].order);
    }
}

CONFORM(the_order_of_callbacks_under_a_random_program)
{
    skip_unless_here(backend);
    struct seeds seeds = seeds_asked(test_time_scale() > 1 ? 3 : (uint32_t)test_many(20, 1));
    for (uint32_t seed; seeds_next(&seeds, &seed);)
        play_random(backend, seed);
    seeds_replay(&seeds, "the_order_of_callbacks_under_a_random_program", backend);
}
