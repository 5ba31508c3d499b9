/* SPDX-License-Identifier: MIT
 *
 * program.h -- a random program for several connections, made of a seed, and what must come of it.
 *
 * Each connection goes through a list of steps, one after the other.  What a step does depends on
 * the offset in the stream alone, never on where the kernel cuts it nor on time, so that the
 * outcome is the same on every backend; program_expect() works it out without any I/O.  What time
 * does decide is not promised: of output that an end cuts off only what must have arrived is
 * compared.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "test.h"

#define STEP_MAP(X)                                                               \
    X(READ, "read")           /* uses so many bytes */                            \
    X(ECHO, "echo")           /* the same, and sends them on, lent as they are */ \
    X(SEND, "send")           /* so many bytes of its own */                      \
    X(PAUSE, "pause")         /* goes on from elsewhere */                        \
    X(OPS, "ops")             /* other functions */                               \
    X(CTX, "ctx")             /* another context */                               \
    X(MARKS, "marks")         /* another out_high */                              \
    X(DISCARD, "discard")     /* functions without data */                        \
    X(DEAF, "deaf")           /* functions without eof */                         \
    X(AWAIT_EOF, "await eof") /* uses all until then */                           \
    X(END, "end")                                                                 \
    X(FINISH, "finish")                                                           \
    X(ABORT, "abort")                                                             \
    X(TIME_OUT, "time out") /* paused, with a deadline */                         \
    X(STARVE, "starve")     /* wants more than in_max */                          \
    X(COUPLE, "couple")     /* with its partner, or with itself */

enum step_kind {
#define STEP_ENUM(name, text) STEP_##name,
    STEP_MAP(STEP_ENUM)
#undef STEP_ENUM
};

static const char *const step_names[] = {
#define STEP_NAME(name, text) text,
    STEP_MAP(STEP_NAME)
#undef STEP_NAME
};

/* How a step is done: reads, sends, and where a pause goes on.  It must make no difference. */
enum { READ_ANY, READ_WHOLE, READ_NIBBLE, READ_HOWS };
enum { SEND_SOME, SEND_ALL, SEND_PIECES, SEND_OWNED, SEND_FILE, SEND_HOWS };
enum { HOP_POST, HOP_TIMER, HOP_SOON, HOP_OUTSIDE, HOP_HOWS, HOP_LATE = 8 /* resumed at need */ };

struct step {
    uint8_t kind, how;
    uint32_t len;
};

#define TRANSPORT_MAP(X)                   \
    X(TCP_ACCEPT, "tcp, accepted")         \
    X(UNIX_ACCEPT, "unix, accepted")       \
    X(TCP_CONNECT, "tcp, connected")       \
    X(UNIX_CONNECT, "unix, connected")     \
    X(SOCKETPAIR, "a socketpair, adopted") \
    X(PIPES, "two pipes, adopted")         \
    X(TCP_REFUSED, "tcp, refused")         \
    X(UNIX_REFUSED, "unix, refused")       \
    X(INNER, "tcp, connected to its partner's listener")

enum transport {
#define TRANSPORT_ENUM(name, text) TRANSPORT_##name,
    TRANSPORT_MAP(TRANSPORT_ENUM)
#undef TRANSPORT_ENUM
        TRANSPORTS
};

static const char *const transport_names[] = {
#define TRANSPORT_NAME(name, text) text,
    TRANSPORT_MAP(TRANSPORT_NAME)
#undef TRANSPORT_NAME
};

/* What the plain peer does when all its bytes are out. */
enum ending {
    ENDING_HALF,  /* ends its output, and reads on */
    ENDING_WAIT,  /* waits for our end */
    ENDING_CLOSE, /* closes, once it has all that will come */
    ENDING_RESET, /* resets, once it has so much and all of its own was used */
    ENDING_STAY,  /* stays until the loop drains */
};

enum {
    STEPS_MAX = 24,
    BARRIERS_MAX = 2,
    CONNS_MAX = 24,
    OUT_MAX = 2 << 20, /* bytes that one connection sends */
    TIGHT_CONNS = 5,
    TIGHT_MEMORY = 1 << 20,
};

/* The peer sends the byte at `at` when it has received so many. */
struct barrier {
    size_t at, received;
};

struct script {
    enum transport transport;
    struct step steps[STEPS_MAX];
    size_t count;
    int partner;     /* whom it is coupled with, or sends to; -1: nobody */
    bool to_partner; /* its sends go there */
    bool second;     /* made when its partner opens */
    bool inner;      /* its peer is its partner; else a plain one */
    bool small;      /* the system's buffers are as small as it lets us */
    size_t out_high, out_low, in_max;
    /* Its peer: */
    size_t input; /* bytes that it sends */
    enum ending ending;
    bool half_first;        /* it ends its output before it resets */
    size_t ending_received; /* of ENDING_RESET: and then it reads no more */
    struct barrier barriers[BARRIERS_MAX];
    size_t barrier_count;
    size_t chunk_max; /* bytes it reads or sends at once */
};

enum { END_NONE, END_FIN, END_RESET, END_LEFT /* the peer's own */, END_GONE /* either */ };

/* What must come of one connection. */
struct expected {
    bool opened, eof;
    int why;
    size_t used;  /* bytes that the steps use */
    uint8_t *out; /* what goes out of it */
    size_t out_len;
    size_t out_min; /* so much of it must arrive, and nothing else may */
    int peer_end;
};

struct program {
    uint32_t seed, random;
    struct script scripts[CONNS_MAX];
    struct expected expected[CONNS_MAX];
    int count;
    bool tight; /* few connections, little memory: enough of it, but buffers run out for a while */
};

/* ---- streams ------------------------------------------------------------------------------ */

/* The byte at an offset of a stream: whoever gets it can tell where it belongs. */
static uint8_t stream_byte(uint32_t seed, unsigned stream, size_t offset)
{
    uint32_t x = seed * 0x9e3779b1u ^ (stream + 1) * 0x85ebca6bu ^ (uint32_t)offset * 0xc2b2ae35u;
    x ^= x >> 15;
    x *= 0x27d4eb2fu;
    return (uint8_t)(x >> 24 ^ x >> 11);
}

/* What comes in at connection `i`: its plain peer's stream, or what its partner sends. */
static uint8_t input_byte(const struct program *program, int i, size_t offset)
{
    const struct script *script = &program->scripts[i];
    unsigned stream = script->inner ? 2 * (unsigned)script->partner : 2 * (unsigned)i + 1;
    return stream_byte(program->seed, stream, offset);
}

/* ---- what must come of it ----------------------------------------------------------------- */

static int output_of(const struct program *program, int i)
{
    const struct script *script = &program->scripts[i];
    return script->to_partner ? script->partner : i;
}

static void expect_input(struct program *program, int to, int from, size_t begin, size_t end)
{
    struct expected *e = &program->expected[to];
    for (size_t n = begin; n < end && e->out_len < OUT_MAX; n++)
        e->out[e->out_len++] = input_byte(program, from, n);
}

static void expect_own(struct program *program, int to, size_t len)
{
    struct expected *e = &program->expected[to];
    for (size_t n = 0; n < len && e->out_len < OUT_MAX; n++, e->out_len++)
        e->out[e->out_len] = stream_byte(program->seed, 2 * (unsigned)to, e->out_len);
}

/* Walks through the steps of `i` with so much input, up to the one that waits for more.  Adds what
 * they send to expected[], and answers how much they used. */
static size_t program_walk(struct program *program, int i, size_t input, bool eof)
{
    const struct script *script = &program->scripts[i];
    struct expected *self = &program->expected[i];
    int to = output_of(program, i);
    size_t used = 0;
    bool discards = false, deaf = false;
    self->eof = false;
    for (size_t at = 0; at < script->count; at++) {
        const struct step *step = &script->steps[at];
        size_t there = self->eof ? 0 : input - used;
        size_t take = step->len < there ? step->len : there;
        switch ((enum step_kind)step->kind) {
        case STEP_READ:
        case STEP_ECHO:
            if (step->kind == STEP_READ && step->how == READ_WHOLE && take < step->len)
                take = 0;
            if (step->kind == STEP_ECHO)
                expect_input(program, to, i, used, used + take);
            used += take;
            if (take < step->len && !eof)
                return used;
            self->eof = self->eof || take < step->len;
            break;
        case STEP_SEND:
            expect_own(program, to, step->len);
            break;
        case STEP_AWAIT_EOF:
            used = self->eof || discards ? used : input;
            if (!eof || deaf)
                return used;
            self->eof = true;
            break;
        case STEP_DISCARD:
            discards = true;
            break;
        case STEP_DEAF: /* it is finished at the end of input, untold */
            deaf = true;
            break;
        case STEP_FINISH:
        case STEP_ABORT:
        case STEP_TIME_OUT:
        case STEP_STARVE:
        case STEP_COUPLE:
            return used;
        default: /* of no consequence */
            break;
        }
    }
    return used;
}

static enum step_kind last_step(const struct script *script)
{
    return script->count > 0 ? (enum step_kind)script->steps[script->count - 1].kind : STEP_READ;
}

static bool is_tcp(const struct script *script)
{
    return script->transport == TRANSPORT_TCP_ACCEPT ||
           script->transport == TRANSPORT_TCP_CONNECT ||
           (script->transport == TRANSPORT_SOCKETPAIR && !TEST_UNIX_SOCKETS);
}

/* What the peer sees of an abort: Wine sends a FIN before a reset. */
static int end_of_abort(const struct script *script)
{
    return is_tcp(script) && !test_under_wine() ? END_RESET : END_GONE;
}

static bool is_refused(const struct script *script)
{
    return script->transport == TRANSPORT_TCP_REFUSED ||
           script->transport == TRANSPORT_UNIX_REFUSED;
}

/* Why it ends, and what its peer sees of that. */
static void expect_end(struct program *program, int i)
{
    const struct script *script = &program->scripts[i];
    struct expected *e = &program->expected[i];
    enum step_kind last = last_step(script);
    e->opened = true;
    e->why = VIGIL_OK;
    e->peer_end = script->ending == ENDING_CLOSE ? END_LEFT : END_FIN;
    if (is_refused(script)) {
        e->opened = e->eof = false;
        e->why = VIGIL_ECONNREFUSED;
        e->peer_end = END_NONE;
    } else if (script->ending == ENDING_RESET) {
        e->why = VIGIL_ECONNRESET;
        e->peer_end = END_LEFT;
    } else if (last == STEP_ABORT) {
        e->why = VIGIL_ECANCELED;
        e->peer_end = end_of_abort(script);
    } else if (last == STEP_TIME_OUT || last == STEP_STARVE) {
        e->why = last == STEP_STARVE ? VIGIL_ELIMIT : VIGIL_ETIMEDOUT;
        e->peer_end = END_GONE;
    } else if (last == STEP_COUPLE && script->partner >= 0 &&
               program->scripts[script->partner].ending == ENDING_RESET) {
        e->why = VIGIL_ECANCELED;
        e->peer_end = end_of_abort(script);
    }
}

/* How much of its output must arrive. */
static void expect_arrival(const struct script *script, struct expected *e)
{
    e->out_min = e->out_len;
    if (e->why == VIGIL_OK || (e->why == VIGIL_ECANCELED && script->partner >= 0))
        return; /* the partner's peer waits for it before it resets */
    e->out_min = script->ending == ENDING_RESET ? script->ending_received : 0;
    for (size_t n = 0; n < script->barrier_count; n++)
        if (script->barriers[n].at < e->used && script->barriers[n].received > e->out_min)
            e->out_min = script->barriers[n].received; /* passed before the last step */
}

/* Fills in what must come of every connection. */
static void program_expect(struct program *program)
{
    for (int i = 0; i < program->count; i++) {
        if (program->expected[i].out == NULL)
            program->expected[i].out = malloc(OUT_MAX);
        REQUIRE(program->expected[i].out != NULL);
        program->expected[i].out_len = 0;
    }
    for (int i = 0; i < program->count; i++) {
        const struct script *script = &program->scripts[i];
        bool eof = script->ending == ENDING_HALF || script->ending == ENDING_CLOSE ||
                   script->half_first;
        program->expected[i].used = program_walk(program, i, script->input, eof);
    }
    for (int i = 0; i < program->count; i++) { /* behind what they send themselves */
        const struct script *script = &program->scripts[i];
        if (last_step(script) == STEP_COUPLE)
            expect_input(program, script->partner >= 0 ? script->partner : i, i,
                         program->expected[i].used, script->input);
    }
    for (int i = 0; i < program->count; i++) {
        struct script *script = &program->scripts[i];
        REQUIRE(program->expected[i].out_len < OUT_MAX);
        if (script->ending == ENDING_RESET && script->partner >= 0)
            script->ending_received = program->expected[i].out_len;
        expect_end(program, i);
        expect_arrival(script, &program->expected[i]);
    }
}

static void program_free(struct program *program)
{
    for (int i = 0; i < CONNS_MAX; i++) {
        free(program->expected[i].out);
        program->expected[i].out = NULL;
    }
}

/* ---- making one --------------------------------------------------------------------------- */

enum style { DRIBBLE, TALK, BULK };

static unsigned pick(struct program *program, unsigned sides)
{
    program->random = program->random * 1664525 + 1013904223;
    return (unsigned)((uint64_t)(program->random >> 8) * sides >> 24);
}

static void step_add(struct script *script, enum step_kind kind, unsigned how, size_t len)
{
    REQUIRE(script->count < STEPS_MAX);
    script->steps[script->count++] = (struct step){ (uint8_t)kind, (uint8_t)how, (uint32_t)len };
}

/* What stands for a transport where sockets of TCP are all there is; a pair is two of them then. */
static enum transport transport_here(enum transport transport)
{
    if (TEST_UNIX_SOCKETS)
        return transport;
    switch (transport) {
    case TRANSPORT_UNIX_ACCEPT:
        return TRANSPORT_TCP_ACCEPT;
    case TRANSPORT_UNIX_CONNECT:
    case TRANSPORT_PIPES:
        return TRANSPORT_TCP_CONNECT;
    case TRANSPORT_UNIX_REFUSED:
        return TRANSPORT_TCP_REFUSED;
    default:
        return transport;
    }
}

static size_t pick_len(struct program *program, enum style style)
{
    static const unsigned max[] = { [DRIBBLE] = 40, [TALK] = 1500, [BULK] = 90000 };
    return 1 + pick(program, max[style]);
}

static struct script *script_add(struct program *program, enum transport transport,
                                 enum style style)
{
    static const size_t highs[] = { 1024, 4096, 65536 }, in_maxs[] = { 64, 1000, 4096, 65536 };
    static const size_t chunks[] = { [DRIBBLE] = 7, [TALK] = 700, [BULK] = 65536 };
    struct script *script = &program->scripts[program->count++];
    *script = (struct script){
        .transport = transport_here(transport),
        .partner = -1,
        .small = pick(program, 3) == 0,
        .out_high = highs[pick(program, program->tight ? 2 : 3)],
        .in_max = in_maxs[pick(program, style == DRIBBLE || program->tight ? 2 : 4)],
        .chunk_max = chunks[style]
    };
    script->out_low = pick(program, 3) == 0 ? 1 : script->out_high >> pick(program, 3);
    return script;
}

static void add_pause(struct program *program, struct script *script)
{
    unsigned late = pick(program, 2) * HOP_LATE;
    step_add(script, STEP_PAUSE, pick(program, HOP_HOWS) | late, 0);
}

/* Reads, sends and changes, in any order. */
static void add_body(struct program *program, struct script *script, enum style style)
{
    for (unsigned n = 1 + pick(program, 7); n > 0; n--) {
        size_t len = pick_len(program, style);
        unsigned how = pick(program, READ_HOWS);
        switch (pick(program, 12)) {
        case 0:
        case 1:
        case 2:
        case 3:
            if (how == READ_WHOLE && len > script->in_max)
                len = script->in_max;
            step_add(script, STEP_READ, how, how == READ_NIBBLE ? 1 + len % 300 : len);
            break;
        case 4:
        case 5:
            step_add(script, STEP_ECHO, 0, len);
            break;
        case 6:
        case 7:
        case 8:
            step_add(script, STEP_SEND, pick(program, SEND_HOWS), len);
            break;
        case 9:
            add_pause(program, script);
            break;
        case 10:
            step_add(script, pick(program, 2) == 0 ? STEP_OPS : STEP_CTX, 0, 0);
            break;
        default:
            step_add(script, STEP_MARKS, 0, 0);
        }
    }
}

/* The bytes that its reads ask for. */
static size_t asked(const struct script *script)
{
    size_t sum = 0;
    for (size_t at = 0; at < script->count; at++)
        if (script->steps[at].kind == STEP_READ || script->steps[at].kind == STEP_ECHO)
            sum += script->steps[at].len;
    return sum;
}

/* How it ends, when the peer goes on sending behind the last step. */
static void add_hard_end(struct program *program, struct script *script, enum style style)
{
    static const enum step_kind kinds[] = { STEP_FINISH, STEP_ABORT, STEP_TIME_OUT, STEP_STARVE };
    enum step_kind kind = kinds[pick(program, TEST_COUNT(kinds))];
    if (kind != STEP_STARVE && pick(program, 3) == 0)
        add_pause(program, script);
    script->input = asked(script) + pick_len(program, style); /* one at least: no eof before */
    script->ending = kind == STEP_FINISH ? ENDING_HALF : ENDING_WAIT;
    if (kind == STEP_STARVE)
        script->input = asked(script) + script->in_max + pick(program, 2) * script->input;
    step_add(script, kind, 0, 0);
}

/* How it ends when its peer goes away. */
static void add_reset(struct program *program, struct script *script)
{
    size_t received;
    script->ending = ENDING_RESET;
    script->input = asked(script);
    (void)program_walk(program, (int)(script - program->scripts), script->input, false);
    received = program->expected[script - program->scripts].out_len;
    script->half_first = pick(program, 2) == 0 || script->transport == TRANSPORT_PIPES ||
                         test_under_wine(); /* whose resets have an end before them */
    if (!is_tcp(script) || pick(program, 2) == 0 || test_under_wine()) {
        /* while it sends more than fits anywhere */
        if (script->half_first)
            step_add(script, STEP_AWAIT_EOF, 0, 0);
        for (int n = 0; n < 3; n++)
            step_add(script, STEP_SEND, pick(program, SEND_HOWS), 220000);
        received += pick(program, 2000);
        script->small = true;
    } else {
        script->half_first = false;
    }
    script->ending_received = received;
    step_add(script, STEP_AWAIT_EOF, 0, 0);
}

/* How it ends when both sides end in order. */
static void add_soft_end(struct program *program, struct script *script, enum style style)
{
    size_t more = pick_len(program, style);
    script->ending = ENDING_HALF;
    script->input = asked(script) + more;
    switch (pick(program, 9)) {
    case 0: /* our side first */
        step_add(script, STEP_END, 0, 0);
        step_add(script, STEP_READ, READ_ANY, 1 + pick(program, (unsigned)more));
        step_add(script, STEP_AWAIT_EOF, 0, 0);
        return;
    case 1:
        step_add(script, STEP_DISCARD, 0, 0);
        break;
    case 2:
        step_add(script, STEP_DEAF, 0, 0);
        step_add(script, STEP_AWAIT_EOF, 0, 0);
        return;
    case 3: /* the end comes before all that is wanted */
        more = more < script->in_max ? more : script->in_max - 1;
        script->input = asked(script) + more;
        step_add(script, STEP_READ, READ_WHOLE, more + 1);
        break;
    case 4:
        step_add(script, STEP_COUPLE, 0, 0);
        return;
    case 5:
        script->ending = ENDING_CLOSE;
        break;
    case 6:
        script->ending = ENDING_STAY;
        step_add(script, STEP_AWAIT_EOF, 0, 0);
        return;
    default:
        break;
    }
    step_add(script, STEP_AWAIT_EOF, 0, 0);
    if (pick(program, 3) == 0)
        add_pause(program, script);
    if (script->ending == ENDING_HALF)
        step_add(script, STEP_SEND, pick(program, SEND_HOWS), pick_len(program, style));
    step_add(script, pick(program, 2) == 0 ? STEP_END : STEP_FINISH, 0, 0);
}

/* Where its peer waits for what has come back before it sends more. */
static void add_barriers(struct program *program, int i)
{
    struct script *script = &program->scripts[i];
    size_t at = 0, least = 0;
    for (unsigned n = pick(program, BARRIERS_MAX + 1); n > 0 && at < script->input; n--) {
        at += pick(program, (unsigned)(script->input - at));
        program->expected[i].out_len = 0;
        (void)program_walk(program, i, at, false);
        size_t most = program->expected[i].out_len;
        if (script->ending == ENDING_RESET && most > script->ending_received)
            most = script->ending_received;
        if (most > least)
            least += pick(program, 2) == 0 ? most - least : pick(program, (unsigned)(most - least));
        script->barriers[script->barrier_count++] = (struct barrier){ at, least };
    }
}

static void add_single(struct program *program, enum style style)
{
    int i = program->count;
    struct script *script = script_add(program, pick(program, TRANSPORT_PIPES + 1), style);
    add_body(program, script, style);
    program->expected[i].out_len = 0;
    unsigned how = pick(program, 10);
    if (how < 3 && script->transport != TRANSPORT_PIPES) /* its peer would be sent SIGPIPE */
        add_hard_end(program, script, style);
    else if (how < 5)
        add_reset(program, script);
    else
        add_soft_end(program, script, style);
    add_barriers(program, i);
}

/* Two connections: the first was accepted or the like, the second is made when that opens. */
static struct script *add_pair(struct program *program, enum transport second, enum style style)
{
    struct script *a = script_add(program, pick(program, TRANSPORT_SOCKETPAIR + 1), style);
    struct script *b = script_add(program, second, style);
    a->partner = program->count - 1;
    b->partner = program->count - 2;
    b->second = true;
    return a;
}

static enum transport pick_second(struct program *program)
{
    static const enum transport all[] = { TRANSPORT_TCP_CONNECT, TRANSPORT_UNIX_CONNECT,
                                          TRANSPORT_SOCKETPAIR };
    return all[pick(program, TEST_COUNT(all))];
}

/* A proxy: headers, then everything crosswise. */
static void add_proxy(struct program *program, enum style style)
{
    struct script *a = add_pair(program, pick_second(program), style);
    bool reset = pick(program, 3) == 0 && a[1].transport == TRANSPORT_TCP_CONNECT &&
                 !test_under_wine();
    for (struct script *script = a; script <= a + 1; script++) {
        if (pick(program, 2) == 0) /* it fits for sure: nobody else sends meanwhile */
            step_add(script, STEP_SEND, SEND_SOME, 1 + pick(program, 500));
        if (pick(program, 2) == 0)
            step_add(script, STEP_READ, READ_ANY, pick_len(program, style));
        step_add(script, STEP_COUPLE, 0, 0);
        script->input = asked(script) + 1 + pick(program, 5) * pick_len(program, style);
        script->ending = reset ? ENDING_WAIT : ENDING_HALF;
    }
    if (reset)
        a[1].ending = ENDING_RESET; /* when all has arrived at both ends */
}

/* One sends to the other alone. */
static void add_across(struct program *program, enum style style)
{
    struct script *a = add_pair(program, pick_second(program), style);
    add_body(program, a, style);
    a->to_partner = true;
    step_add(a, STEP_AWAIT_EOF, 0, 0);
    step_add(a, STEP_END, 0, 0);
    step_add(a + 1, STEP_AWAIT_EOF, 0, 0);
    for (struct script *script = a; script <= a + 1; script++)
        script->input = asked(script) + pick_len(program, style);
}

/* Both ends are ours, and speak in turn. */
static void add_inner(struct program *program, enum style style)
{
    struct script *a = add_pair(program, TRANSPORT_INNER, style);
    a->transport = TRANSPORT_TCP_ACCEPT;
    a->inner = a[1].inner = true;
    a[1].second = false;
    for (unsigned n = 1 + pick(program, 4); n > 0; n--) {
        size_t there = pick_len(program, style), back = pick_len(program, style);
        step_add(a + 1, STEP_SEND, pick(program, SEND_HOWS), there);
        step_add(a, STEP_READ, READ_ANY, there);
        step_add(a, STEP_SEND, pick(program, SEND_HOWS), back);
        step_add(a + 1, STEP_READ, READ_ANY, back);
        a->input += there;
        a[1].input += back;
    }
    step_add(a + 1, STEP_END, 0, 0);
    step_add(a + 1, STEP_AWAIT_EOF, 0, 0);
    step_add(a, STEP_AWAIT_EOF, 0, 0);
    step_add(a, STEP_END, 0, 0);
}

static enum style pick_style(struct program *program)
{
    static const enum style styles[] = { DRIBBLE, DRIBBLE, TALK, TALK, TALK, BULK };
    return styles[pick(program, TEST_COUNT(styles))];
}

static void program_make(struct program *program, uint32_t seed)
{
    program->seed = seed;
    program->random = seed * 2654435761u + 12345;
    program->count = 0;
    program->tight = seed % 4 == 3;
    for (int i = 0; i < CONNS_MAX; i++)
        if (program->expected[i].out == NULL)
            program->expected[i].out = malloc(OUT_MAX);
    int most = program->tight ? TIGHT_CONNS : test_many(CONNS_MAX, 7);
    while (program->count < most - 2) {
        enum style style = program->tight ? BULK : pick_style(program);
        switch (pick(program, 8)) {
        case 0:
            add_proxy(program, style);
            break;
        case 1:
            add_across(program, style);
            break;
        case 2:
            add_inner(program, style);
            break;
        case 3:
            script_add(program, TRANSPORT_TCP_REFUSED + pick(program, 2), style);
            break;
        default:
            add_single(program, style);
        }
    }
    program_expect(program);
}

/* The steps of one connection, to read. */
TEST_MAYBE_UNUSED static const char *script_text(const struct script *script)
{
    static const char *const read_hows[] = { "", " whole", " nibbling" };
    static const char *const send_hows[] = { "", " all", " in pieces", " owned", " of a file" };
    static char text[1024];
    int len = 0;
    text[0] = '\0';
    for (size_t at = 0; at < script->count && len + 40 < (int)sizeof(text); at++) {
        const struct step *step = &script->steps[at];
        const char *how = step->kind == STEP_READ   ? read_hows[step->how]
                          : step->kind == STEP_SEND ? send_hows[step->how]
                                                    : "";
        len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%s%s", at > 0 ? ", " : "",
                        step_names[step->kind], how);
        if (step->len > 0)
            len += snprintf(text + len, sizeof(text) - (size_t)len, " %u", step->len);
    }
    return text;
}

#endif
