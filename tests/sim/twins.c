/* SPDX-License-Identifier: MIT
 *
 * twins.c -- scenario: the same program on every backend that a host offers, without faults: each
 * connection sees the same, in the same order; and where nothing is left to chance (the zero
 * choice, and a quarter of all worlds), at the same times, in the same pieces, and beside the
 * others in the same order.
 */
#include "sim/rig.h"

#include <string.h>

enum { CONNS = 5, LOG_MAX = 400, SAID_MAX = 9000 };

struct logged {
    struct twin *twin;
    uint32_t number;
    uint64_t pieces_hash;
    uint64_t bursts_hash; /* of what came without time passing between it, and when */
    vigil_ns burst_at;
    size_t burst; /* bytes of the one under way */
    size_t bytes, log_len;
    uint8_t said[SAID_MAX]; /* the bytes */
    char log[LOG_MAX];      /* o open, d data, e eof, w writable, c close: the order of callbacks */
};

struct twin {
    vigil_sim *sim;
    struct logged conns[CONNS];
    uint32_t accepted;
    uint64_t order_hash; /* of callbacks: whose, and which */
    const struct logged *last;
};

static void mix(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * 0x100000001b3u;
}

static void burst_end(struct logged *l)
{
    mix(&l->bursts_hash, (uint64_t)l->burst_at);
    mix(&l->bursts_hash, l->burst);
    l->burst = 0;
}

static void note(struct logged *l, char what)
{
    struct twin *twin = l->twin;
    bool again = l->log_len > 0 && l->log[l->log_len - 1] == what; /* pieces are counted apart */
    if (!again && l->log_len + 1 < LOG_MAX)
        l->log[l->log_len++] = what;
    if (again && twin->last == l)
        return;
    mix(&twin->order_hash, l->number);
    mix(&twin->order_hash, (uint64_t)what);
    twin->last = l;
}

static void twin_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)loop;
    (void)conn;
    note(ctx, 'o');
}

static size_t twin_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct logged *l = ctx;
    size_t took = vigil_send(loop, conn, p, n);
    size_t at = vigil__min(l->bytes, SAID_MAX);
    memcpy(l->said + at, p, vigil__min(took, SAID_MAX - at));
    mix(&l->pieces_hash, took);
    vigil_ns now = vigil_sim_now(l->twin->sim);
    if (now != l->burst_at)
        burst_end(l);
    l->burst_at = now;
    l->burst += took;
    l->bytes += took;
    note(l, 'd');
    return took;
}

static void twin_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    note(ctx, 'e');
    (void)vigil_finish(loop, conn); /* it lives */
}

static void twin_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop;
    (void)conn;
    burst_end(ctx);
    note(ctx, why == VIGIL_OK ? 'c' : 'C');
}

static const vigil_conn_ops twin_ops = { twin_open, twin_data, twin_eof, NULL, twin_close };

static void *twin_ctx(vigil_loop *loop, vigil_conn conn, void *user)
{
    struct twin *twin = user;
    (void)loop;
    (void)conn;
    if (twin->accepted == CONNS)
        return NULL;
    struct logged *l = &twin->conns[twin->accepted];
    *l = (struct logged){ .twin = twin, .number = twin->accepted++ };
    return l;
}

/* What the clients do is drawn from one seed, so both twins see the same. */
struct talker {
    vigil_sim *sim;
    uint64_t random;
    uint32_t total, sent;
};

static uint32_t draw(struct talker *t, uint32_t n)
{
    t->random = t->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(t->random >> 33) % n;
}

static void talk(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct talker *t = ctx;
    uint8_t piece[1500];
    while (t->sent < t->total) {
        size_t n = vigil__min(1 + draw(t, sizeof(piece)), t->total - t->sent);
        memcpy(piece, rig_stream(t->total + t->sent), n); /* as in a client of the rig */
        size_t took = vigil_send(loop, conn, piece, n);
        t->sent += (uint32_t)took;
        if (took < n)
            return;
    }
    (void)vigil_end(loop, conn); /* it lives */
}

static const vigil_conn_ops talker_ops = { .open = talk, .writable = talk };

/* False: there is no such backend on this host's kernel. */
static bool run_twin(struct twin *twin, const char *backend, uint64_t seed, vigil_ns spread)
{
    vigil_loop *server = NULL, *clients = NULL;
    struct talker talkers[CONNS];
    vigil_sim *sim = twin->sim;
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    const vigil_listen_options listening = { .ops = &twin_ops, .ctx = twin_ctx, .user = twin };
    const vigil_loop_options on = { .host = a, .backend = backend };
    int err = vigil_loop_open(&server, &on);
    if (err == VIGIL_ENOTSUP)
        return false;
    bool open = err == 0 &&
                vigil_loop_open(&clients,
                                &(vigil_loop_options){ .host = b, .backend = "sim-ready" }) == 0 &&
                vigil_listen(server, "10.0.0.1:7", &listening, NULL) == 0;
    vigil_sim_always(sim, "a calm world works", open, "it does not open");
    for (uint32_t i = 0; open && i < CONNS; i++) {
        talkers[i] = (struct talker){ .sim = sim, .random = seed + i, .total = 1 };
        talkers[i].total += draw(&talkers[i], SAID_MAX);
        const vigil_conn_options options = { .ops = &talker_ops, .ctx = &talkers[i] };
        open = vigil_connect(clients, "10.0.0.1:7", &options, NULL) == 0;
        vigil_sim_run_for(sim, spread); /* they come in order */
    }
    vigil_sim_run_for(sim, VIGIL_S(30));
    vigil_loop_close(clients);
    vigil_loop_close(server);
    vigil_sim_check_balance(sim);
    return true;
}

/* The buffers that a kernel was given end where they end, and the next one goes on. */
static bool has_same_pieces(const char *backend)
{
    return strcmp(backend, "io_uring") != 0;
}

/* Where nothing was left to chance. */
static void compare_closely(vigil_sim *sim, const struct twin *first, const struct twin *other,
                            const char *backend)
{
    for (uint32_t i = 0; i < CONNS; i++) {
        const struct logged *a = &first->conns[i], *b = &other->conns[i];
        vigil_sim_always(sim, "at the zero choice the same bytes at the same times",
                         a->bursts_hash == b->bursts_hash, "%s, connection %u", backend, i);
        if (has_same_pieces(backend))
            vigil_sim_always(sim, "at the zero choice in the same pieces",
                             a->pieces_hash == b->pieces_hash, "%s, connection %u", backend, i);
    }
    vigil_sim_always(sim, "at the zero choice in the same order",
                     first->order_hash == other->order_hash, "%s", backend);
}

static void compare(vigil_sim *sim, const struct twin *first, const struct twin *other,
                    const char *backend)
{
    for (uint32_t i = 0; i < CONNS; i++) {
        const struct logged *a = &first->conns[i], *b = &other->conns[i];
        vigil_sim_always(sim, "all backends tell the same story", strcmp(a->log, b->log) == 0,
                         "%s, connection %u: \"%s\" and \"%s\"", backend, i, a->log, b->log);
        vigil_sim_always(sim, "all backends bring the same bytes",
                         a->bytes == b->bytes && a->bytes <= SAID_MAX &&
                             memcmp(a->said, b->said, a->bytes) == 0,
                         "%s, connection %u: %zu and %zu", backend, i, a->bytes, b->bytes);
    }
}

/* What the twins have in common. */
struct play {
    uint64_t said;    /* the seed of what is said */
    uint64_t chances; /* the seed of the twins' worlds; 0: nothing is left to chance */
    vigil_ns spread;
};

/* False: it could not be played. */
static bool play_twin(vigil_sim *sim, struct twin *twin, const char *backend,
                      const struct play *play)
{
    const vigil_sim_options options = { .seed = play->chances, .calm = true };
    memset(twin, 0, sizeof(*twin));
    if (vigil_sim_open(&twin->sim, &options) < 0)
        return false;
    bool played = run_twin(twin, backend, play->said, play->spread);
    const char *failure = vigil_sim_failure(twin->sim);
    vigil_sim_always(sim, "a calm world works", failure == NULL, "%s: %s", backend,
                     failure != NULL ? failure : "");
    sim->connections += twin->sim->connections;
    vigil_sim_close(twin->sim);
    return played;
}

/* The world's own backend, which every host has, is what the others are held to. */
void scenario_twins(vigil_sim *sim)
{
    static const char own[] = "sim-ready";
    struct twin first, other;
    struct play play = { .said = 1 + vigil_sim_choose(sim, "what is said", UINT16_MAX),
                         .spread = VIGIL_MS(1 + vigil_sim_choose(sim, "apart ms", 20)) };
    if (vigil_sim_choose(sim, "left to chance", 4) != 0)
        play.chances = 1 + vigil_sim_choose(sim, "chances", UINT16_MAX);
    const vigil_host *any = vigil_sim_host(sim, "10.0.0.9", NULL);
    if (!play_twin(sim, &first, own, &play))
        return;
    for (size_t i = 0; any->backends[i] != NULL; i++) {
        const char *backend = any->backends[i]->name;
        if (strcmp(backend, own) == 0 || !play_twin(sim, &other, backend, &play))
            continue;
        compare(sim, &first, &other, backend);
        if (play.chances == 0)
            compare_closely(sim, &first, &other, backend);
    }
}
