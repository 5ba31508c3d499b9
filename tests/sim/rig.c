/* SPDX-License-Identifier: MIT
 *
 * rig.c -- a server, its clients, and what must hold of them.
 */
#include "sim/rig.h"

#include <string.h>

static const char where[] = "10.0.0.1:7";
static const vigil_ns finish_within = VIGIL_S(400); /* connect, idle and stall limits, and more */

static void client_push(vigil_loop *loop, void *arg);

/* ---- what is said: no two pieces of it look alike ---- */

enum { APART = 1009 }; /* where each client's begins, behind that of the one before */

static uint8_t stream[CLIENT_BYTES_MAX + CLIENTS_MAX * APART];

static void stream_fill(void)
{
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof(stream); i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        stream[i] = (uint8_t)(random >> 56);
    }
}

const uint8_t *rig_stream(size_t at)
{
    if (stream[0] == 0) /* which it is not, once it is filled */
        stream_fill();
    return stream + at;
}

static const uint8_t *client_stream(const struct client *c, size_t at)
{
    return rig_stream(c->number * APART + at);
}

/* How many bytes of `p` are as they should be. */
static size_t count_right(const uint8_t *p, const uint8_t *right, size_t n)
{
    size_t i = 0;
    if (memcmp(p, right, n) == 0)
        return n;
    while (p[i] == right[i])
        i++;
    return i;
}

/* ---- clients ---- */

/* Whether a fault was injected into its connection; asked while there is a descriptor. */
static void client_look(struct client *c)
{
    struct rig *rig = c->rig;
    vigil_fd fd = vigil_conn_fd(rig->client_loop, c->conn);
    const struct sim_file *file = vigil__sim_fd_file(vigil__sim_host_of(rig->client_host), fd);
    if (file != NULL && file->hurt)
        c->excused = true;
}

static void client_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *c = ctx;
    (void)conn;
    vigil_sim_always(c->rig->sim, "open comes once, and first", !c->opened && !c->closed,
                     "client %u", c->number);
    c->opened = true;
    c->paused = c->never;
    if (c->never)
        (void)vigil_pause(loop, conn); /* it lives */
    client_push(loop, c);
}

/* Later, or at once where there is no memory for a timer. */
static void client_later(vigil_loop *loop, struct client *c, vigil_timer_fn *fn)
{
    vigil_ns delay = VIGIL_US(100) * (1 + vigil_sim_choose(c->rig->sim, "client pause", 2000));
    if (vigil_after(loop, delay, fn, c, &c->timer) < 0)
        fn(loop, c);
}

/* Sends until the connection takes no more, or a pause is due; then the end. */
static void client_push(vigil_loop *loop, void *arg)
{
    struct client *c = arg;
    uint8_t piece[2048];
    while (c->sent < c->total && !c->closed) {
        size_t n = sizeof(piece) - vigil_sim_choose(c->rig->sim, "piece", sizeof(piece));
        n = vigil__min(n, c->total - c->sent);
        memcpy(piece, client_stream(c, c->sent), n); /* it is the library's during the call alone */
        size_t took = vigil_send(loop, c->conn, piece, n);
        c->sent += (uint32_t)took;
        if (took < n)
            return; /* `writable` goes on */
        if (c->sent < c->total && vigil_sim_choose(c->rig->sim, "send later", 8) == 7) {
            client_later(loop, c, client_push);
            return;
        }
    }
    c->ended = true;
    if (!c->closed)
        (void)vigil_end(loop, c->conn); /* it lives */
}

static void client_resume(vigil_loop *loop, void *arg)
{
    struct client *c = arg;
    c->paused = false;
    if (!c->closed)
        (void)vigil_resume(loop, c->conn); /* it lives */
}

static size_t client_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct client *c = ctx;
    vigil_sim *sim = c->rig->sim;
    vigil_sim_always(sim, "no callback after close", !c->closed, "client %u", c->number);
    vigil_sim_always(sim, "who pauses is left alone", !c->paused, "client %u", c->number);
    size_t from = vigil__min(c->got, c->sent);
    size_t right = count_right(p, client_stream(c, from), vigil__min(n, c->sent - from));
    vigil_sim_always(sim, "what comes back is a prefix of what was sent", right == n,
                     "client %u: byte %zu of %u sent is wrong", c->number, c->got + right, c->sent);
    c->got += (uint32_t)n;
    client_look(c);
    if (c->rude && c->got * 2 > c->total) {
        (void)vigil_abort(loop, conn); /* it lives */
        vigil_sim_always(sim, "no callback inside a call", !c->closed, "client %u", c->number);
    } else if (c->slow && c->ended && vigil_sim_choose(sim, "read later", 4) == 3) {
        (void)vigil_pause(loop, conn); /* it lives */
        c->paused = true;
        client_later(loop, c, client_resume);
    }
    return n;
}

/* A server that drains owes what had reached it; any other owes all. */
static bool is_whole(const struct client *c)
{
    return c->drained ? c->got >= c->owed : c->got == c->total && c->sent == c->total;
}

static void client_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *c = ctx;
    c->eof = true;
    vigil_sim_always(c->rig->sim, "the end comes behind everything", is_whole(c),
                     "client %u: %u of %u bytes, %u sent", c->number, c->got, c->total, c->sent);
    (void)vigil_finish(loop, conn); /* it lives */
}

static void client_writable(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *c = ctx;
    vigil_conn_info info = { 0 };
    (void)vigil_conn_info_get(loop, conn, &info); /* it lives */
    vigil_sim_always(c->rig->sim, "writable comes at the low mark",
                     info.queued <= c->rig->limits.out_high / 4, "%zu bytes are queued",
                     info.queued);
    if (!c->ended)
        client_push(loop, c);
}

/* Why it may have ended so.  A failure of the machine explains one connection, not all. */
static bool is_explained(struct client *c)
{
    vigil_sim *sim = c->rig->sim;
    bool behind_a_dead_one = c->why == VIGIL_ETIMEDOUT && sim->hits[VIGIL_SIM_VANISH] > 0;
    if (c->excused || c->declared || c->never || (c->rude && c->why == VIGIL_ECANCELED))
        return true;
    if (c->crowded && (!c->opened || behind_a_dead_one))
        return true;
    if (c->far && (sim->hits[VIGIL_SIM_VANISH] > 0 || sim->hits[VIGIL_SIM_RESET] > 0))
        return true;
    if (sim->credits == 0)
        return false;
    sim->credits--;
    return true;
}

static void client_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct client *c = ctx;
    vigil_sim *sim = c->rig->sim;
    (void)conn;
    client_look(c);
    (void)vigil_cancel(loop, c->timer); /* or it has fired */
    vigil_sim_always(sim, "close comes once", !c->closed, "client %u", c->number);
    c->closed = true;
    c->why = why;
    if (why == VIGIL_OK)
        vigil_sim_always(sim, "a clean end is a whole one", is_whole(c),
                         "client %u: %u of %u bytes", c->number, c->got, c->total);
    else
        vigil_sim_always(sim, "every bad end is explained", is_explained(c),
                         "client %u: %s after %u of %u bytes", c->number, vigil_err_name(why),
                         c->got, c->total);
}

static const vigil_conn_ops client_ops = {
    client_open, client_data, client_eof, client_writable, client_close,
};

static void client_begin(void *arg)
{
    struct client *c = arg;
    struct rig *rig = c->rig;
    const vigil_conn_options options = { &client_ops, c, rig->limits };
    c->started = true;
    int err = vigil_connect(rig->client_loop, where, &options, &c->conn);
    if (err < 0) {
        c->closed = true;
        c->why = err;
        vigil_sim_always(rig->sim, "every bad end is explained", is_explained(c),
                         "client %u: vigil_connect: %s", c->number, vigil_err_name(err));
    }
}

struct client *rig_client(struct rig *rig, uint32_t bytes_max, vigil_ns within_ns)
{
    struct client *c = &rig->clients[rig->client_count];
    vigil_sim *sim = rig->sim;
    uint32_t us = (uint32_t)(within_ns / VIGIL_US(1));
    *c = (struct client){ .rig = rig, .number = rig->client_count++ };
    c->total = bytes_max - vigil_sim_choose(sim, "bytes", bytes_max);
    if (vigil_sim_after(sim, VIGIL_US(vigil_sim_choose(sim, "begin us", us)), client_begin, c) < 0)
        c->closed = true;
    return c;
}

bool rig_clients_closed(void *arg)
{
    const struct rig *rig = arg;
    for (uint32_t i = 0; i < rig->client_count; i++)
        if (!rig->clients[i].closed)
            return false;
    return true;
}

/* ---- the server ---- */

static void *served_ctx(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)loop;
    return rig_serve(user, conn);
}

struct served *rig_serve(struct rig *rig, vigil_conn conn)
{
    for (size_t i = 0; i < SERVED_MAX; i++) {
        struct served *served = &rig->served[i];
        if (served->used)
            continue;
        *served = (struct served){ .rig = rig, .used = true, .conn = conn };
        return served;
    }
    return NULL;
}

static void served_alive(const struct served *served)
{
    struct rig *rig = served->rig;
    vigil_sim_always(rig->sim, "no callback after close", served->used && !served->closed,
                     "of the server");
    vigil_sim_always(rig->sim, "a stale handle is stale",
                     rig->stale.v == 0 || vigil_pause(rig->server, rig->stale) == VIGIL_ESTALE,
                     "it names another");
}

void served_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    (void)loop;
    (void)conn;
    served_alive(served);
    served->rig->opened++;
}

size_t served_echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    served_alive(ctx);
    return vigil_send(loop, conn, p, n);
}

void served_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    served_alive(ctx);
    (void)vigil_finish(loop, conn); /* it lives */
}

void served_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct served *served = ctx;
    (void)loop;
    (void)why;
    served_alive(served);
    served->closed = true;
    served->used = false;
    served->rig->stale = conn;
    served->rig->closed++;
}

const vigil_conn_ops echo_ops = { served_open, served_echo, served_eof, NULL, served_close };

bool rig_listen(struct rig *rig, const vigil_conn_ops *ops, const vigil_listen_options *options)
{
    vigil_listen_options o = options != NULL ? *options : (vigil_listen_options){ 0 };
    rig->server_ops = ops;
    o.ops = ops;
    o.ctx = served_ctx;
    o.user = rig;
    o.limits = rig->limits;
    rig->max_conns = o.max_conns;
    int err = vigil_listen(rig->server, where, &o, &rig->listener);
    vigil_sim_always(rig->sim, "every bad end is explained", err == 0 || rig->sim->credits > 0,
                     "vigil_listen: %s", vigil_err_name(err));
    return err == 0;
}

/* ---- what must hold after every step ---- */

static bool outputs_bounded(void *arg)
{
    struct rig *rig = arg;
    vigil_conn conn = { 0 };
    while ((conn = vigil_conn_next(rig->server, conn)).v != 0) {
        vigil_conn_info info;
        if (vigil_conn_info_get(rig->server, conn, &info) == 0 && info.queued > rig->out_bound)
            return false;
    }
    return true;
}

static bool memory_bounded(void *arg)
{
    const struct rig *rig = arg;
    vigil_stats stats;
    vigil_stats_get(rig->server, &stats);
    return stats.memory <= rig->memory_limit && stats.memory_max <= rig->memory_limit;
}

/* What the loop counts is what the world saw. */
static bool counters_agree(void *arg)
{
    const struct rig *rig = arg;
    const struct sim_host *host = vigil__sim_host_of(rig->server_host);
    vigil_stats stats;
    vigil_stats_get(rig->server, &stats);
    /* A kernel may have sent what the loop will be told of: tests/model/calls. */
    bool told_later = strcmp(vigil_loop_backend(rig->server), "io_uring") == 0;
    bool out = told_later ? stats.bytes_out <= host->bytes_out : stats.bytes_out == host->bytes_out;
    return out && stats.bytes_in <= host->bytes_in && rig->opened - rig->closed <= stats.conns &&
           (rig->max_conns == 0 || stats.conns <= rig->max_conns);
}

/* ---- opening and closing ---- */

static vigil_sim_link choose_link(vigil_sim *sim)
{
    static const size_t buffers[] = { 65536, 16384, 4096, 512 };
    return (vigil_sim_link){
        .latency_ns = VIGIL_US(100) * (1 + vigil_sim_choose(sim, "latency", 100)),
        .jitter_ns = VIGIL_US(100) * vigil_sim_choose(sim, "jitter up to", 50),
        .bytes_per_second = vigil_sim_choose(sim, "bandwidth", 2) * (uint64_t)200000,
        .buffer = buffers[vigil_sim_choose(sim, "link buffer", 4)],
    };
}

static vigil_limits choose_limits(vigil_sim *sim)
{
    static const size_t highs[] = { 262144, 16384, 2048 };
    return (vigil_limits){
        .out_high = highs[vigil_sim_choose(sim, "out_high", 3)],
        .idle_ns = VIGIL_S(60), /* a peer may vanish without a word */
    };
}

static bool loops_open(struct rig *rig)
{
    rig->memory_limit = (size_t)256 << (10 + vigil_sim_choose(rig->sim, "memory limit", 3));
    vigil_loop_options server = { .host = rig->server_host, .memory_limit = rig->memory_limit };
    vigil_loop_options clients = { .host = rig->client_host };
    return vigil_loop_open(&rig->server, &server) == 0 &&
           vigil_loop_open(&rig->client_loop, &clients) == 0;
}

bool rig_open(struct rig *rig, vigil_sim *sim)
{
    memset(rig, 0, sizeof(*rig));
    rig->sim = sim;
    rig->limits = choose_limits(sim);
    rig->out_bound = rig->limits.out_high;
    vigil_sim_host_options clients = { .calm = vigil_sim_choose(sim, "faulty clients", 4) != 3 };
    rig->server_host = vigil_sim_host(sim, "10.0.0.1", NULL);
    rig->client_host = vigil_sim_host(sim, "10.0.0.2", &clients);
    const vigil_sim_link link = choose_link(sim);
    (void)vigil_sim_connect_hosts(sim, rig->server_host, rig->client_host, &link);
    if (!loops_open(rig))
        return false;
    return vigil_sim_invariant(sim, "output is bounded", outputs_bounded, rig) == 0 &&
           vigil_sim_invariant(sim, "memory is bounded", memory_bounded, rig) == 0 &&
           vigil_sim_invariant(sim, "counters agree", counters_agree, rig) == 0;
}

/* Whatever happened: one that comes now is served. */
static void last_client(struct rig *rig)
{
    struct client *last = rig_client(rig, 100, 1);
    last->slow = last->rude = last->never = false;
    /* The places of those who vanished are free when their time is over, one after the other. */
    last->crowded = rig->max_conns != 0 && rig->sim->hits[VIGIL_SIM_VANISH] > 0;
    vigil_sim_eventually(rig->sim, "one who comes late is served", rig_clients_closed, rig,
                         finish_within);
    vigil_sim_always(rig->sim, "accepting survives everything",
                     vigil_sim_failure(rig->sim) != NULL || last->why == VIGIL_OK || last->crowded,
                     "the last client ended with %s", vigil_err_name(last->why));
}

void rig_run(struct rig *rig, vigil_ns for_ns)
{
    vigil_sim *sim = rig->sim;
    if (vigil_sim_run(sim, vigil_sim_now(sim) + for_ns) < 0)
        return;
    if (vigil_sim_eventually(sim, "all clients end", rig_clients_closed, rig, finish_within) == 0)
        last_client(rig);
}

void rig_close(struct rig *rig)
{
    vigil_loop_close(rig->client_loop);
    vigil_loop_close(rig->server);
    vigil_sim_always(rig->sim, "close comes once",
                     rig->opened == rig->closed || vigil_sim_failure(rig->sim) != NULL,
                     "%u opened and %u closed", rig->opened, rig->closed);
    vigil_sim_check_balance(rig->sim);
}
