/* SPDX-License-Identifier: MIT
 *
 * rig.c -- a server, its clients, and what must hold of them.
 */
#include "sim/rig.h"

#include <string.h>

static const char where[] = "10.0.0.1:7";
/* For a client: listeners rest, memory is looked for. */
static const vigil_ns wait_min = VIGIL_S(1);
static const vigil_ns outage_max = VIGIL_S(4); /* one that the seed makes lasts 3 s */

static void client_push(vigil_loop *loop, void *arg);

/* ---- what is said: no two pieces of it look alike ---- */

enum { APART = 1009 }; /* where each client's begins, behind that of the one before */

static uint8_t stream[HEAVY_BYTES_MAX + CLIENTS_MAX * APART];

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

static void client_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *c = ctx;
    end_opened(&c->end);
    c->paused = c->never;
    if (c->never) {
        struct sim_file *file = end_file(&c->end);
        if (file->peer != NULL)
            file->peer->fate.peer_excused = true; /* it will run out of patience, or */
        file->fate.peer_excused = true;           /* this one */
        (void)vigil_pause(loop, conn);            /* it lives */
    }
    client_push(loop, c);
}

static void pause_over(struct client *c)
{
    side_timer(c->end.side, c->timer_due);
    c->timer = (vigil_timer){ 0 };
}

static void client_push_later(vigil_loop *loop, void *arg)
{
    pause_over(arg);
    client_push(loop, arg);
}

static void client_resume(vigil_loop *loop, struct client *c)
{
    c->paused = false;
    if (!c->closed)
        (void)vigil_resume(loop, c->end.conn); /* it lives */
}

static void client_resume_later(vigil_loop *loop, void *arg)
{
    pause_over(arg);
    client_resume(loop, arg);
}

/* False: there is no memory for a timer. */
static bool client_later(vigil_loop *loop, struct client *c, vigil_timer_fn *fn)
{
    vigil_ns delay = VIGIL_US(100) * (1 + vigil_sim_choose(c->rig->sim, "client pause", 2000));
    if (c->timer.v != 0 || vigil_after(loop, delay, fn, c, &c->timer) < 0)
        return false;
    c->timer_due = c->rig->sim->now + delay;
    c->paused_ns += delay;
    c->end.side->timers++;
    return true;
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
        size_t took = vigil_send(loop, c->end.conn, piece, n);
        c->sent += (uint32_t)took;
        c->end.side->took += took;
        if (took < n)
            return; /* `writable` goes on */
        if (c->sent < c->total && vigil_sim_choose(c->rig->sim, "send later", 8) == 7 &&
            client_later(loop, c, client_push_later))
            return;
    }
    c->ended = true;
    if (!c->closed)
        (void)vigil_end(loop, c->end.conn); /* it lives */
}

static size_t client_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct client *c = ctx;
    vigil_sim *sim = c->rig->sim;
    end_reads(&c->end);
    vigil_sim_always(sim, "who pauses is left alone", !c->paused, "client %u", c->number);
    size_t from = vigil__min(c->got, c->sent);
    size_t right = count_right(p, client_stream(c, from), vigil__min(n, c->sent - from));
    vigil_sim_always(sim, "what comes back is a prefix of what was sent", right == n,
                     "client %u: byte %zu of %u sent is wrong", c->number, c->got + right, c->sent);
    c->got += (uint32_t)n;
    if (c->rude && c->got * 2 > c->total) {
        c->end.aborted = true;
        (void)vigil_abort(loop, conn); /* it lives; what it was given is dropped */
        vigil_sim_always(sim, "no callback inside a call", !c->closed, "client %u", c->number);
        return n;
    }
    c->end.side->used += n;
    if (c->slow && c->ended && vigil_sim_choose(sim, "read later", 4) == 3 &&
        client_later(loop, c, client_resume_later)) {
        (void)vigil_pause(loop, conn); /* it lives */
        c->paused = true;
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
    side_called(c->end.side);
    c->eof = true;
    vigil_sim_always(c->rig->sim, "the end comes behind everything", is_whole(c),
                     "client %u: %u of %u bytes, %u sent", c->number, c->got, c->total, c->sent);
    end_finishes(&c->end);
    (void)vigil_finish(loop, conn); /* it lives */
}

static void client_writable(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *c = ctx;
    vigil_conn_info info = { 0 };
    side_called(c->end.side);
    (void)vigil_conn_info_get(loop, conn, &info); /* it lives */
    vigil_sim_always(c->rig->sim, "writable comes at the low mark",
                     info.queued <= c->rig->limits.out_high / 4, "%zu bytes are queued",
                     info.queued);
    if (!c->ended && c->timer.v == 0)
        client_push(loop, c);
}

/* How long it may take, once nothing is in the way any more: what it may wait for, and the time
 * that all its bytes take there and back, were only one window of them under way at once. */
static vigil_ns client_wait(const struct client *c)
{
    const struct rig *rig = c->rig;
    const vigil_sim_link *link = &rig->link;
    vigil_ns way = link->latency_ns + link->jitter_ns;
    vigil_ns windows = (vigil_ns)(2 * c->total / link->buffer + 8);
    vigil_ns ways = windows * way;
    if (link->bytes_per_second > 0)
        ways += (vigil_ns)(2 * c->total * (uint64_t)VIGIL_S(1) / link->bytes_per_second);
    vigil_ns wait = 2 * ways + c->paused_ns + wait_min;
    /* Only the end of others may let it go on: a place that is free when the time of a dead one is
     * over may be taken by one that died waiting, which has its time then. */
    if (c->never || c->crowded)
        wait += 2 * rig->limits.idle_ns;
    const uint64_t *hits = rig->sim->hits;
    if (hits[VIGIL_SIM_PARTITION] > 0 || hits[VIGIL_SIM_KILL] > 0)
        wait += outage_max; /* anybody's bytes are sent again when it is over */
    if (end_hurt(&c->end) || c->crowded || c->never)
        wait += VIGIL_S(10) + rig->limits.idle_ns + VIGIL_S(5); /* connect, idle, linger */
    if (c->crowded)
        wait += rig->client_count * (c->paused_ns + 2 * ways);
    return wait;
}

static void check_deadline(const struct client *c)
{
    const struct rig *rig = c->rig;
    vigil_ns from = c->began > rig->calm_at ? c->began : rig->calm_at;
    if (rig->calm_at == 0 || !c->started || rig->sim->now - from < wait_min)
        return;
    vigil_ns late = rig->sim->now - from - client_wait(c);
    vigil_sim_always(rig->sim, "every client ends within its time", late <= 0,
                     "client %u is %.3f ms late", c->number, (double)late / (double)VIGIL_MS(1));
}

static void client_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct client *c = ctx;
    (void)conn;
    check_deadline(c);
    end_closes(&c->end, why);
    if (vigil_cancel(loop, c->timer) == 0) /* else it has fired */
        c->end.side->timers--;
    c->closed = true;
    c->why = why;
    if (why == VIGIL_OK)
        vigil_sim_always(c->rig->sim, "a clean end is a whole one", is_whole(c),
                         "client %u: %u of %u bytes", c->number, c->got, c->total);
}

static const vigil_conn_ops client_ops = {
    client_open, client_data, client_eof, client_writable, client_close,
};

static void client_begin(void *arg)
{
    struct client *c = arg;
    struct rig *rig = c->rig;
    const vigil_conn_options options = { &client_ops, c, rig->limits };
    vigil_conn conn;
    c->started = true;
    c->began = rig->sim->now;
    int err = vigil_connect(rig->clients_side.loop, where, &options, &conn);
    if (err == 0) {
        c->end.may_wait = c->crowded;
        /* Whom such a kernel has no descriptor for, the loop turns away at some later time. */
        c->end.excused |= rig->server.sheds && rig->server.told_later;
        end_begin(&c->end, &rig->clients_side, conn, true);
        return;
    }
    c->closed = true;
    c->why = err;
    end_never_began(&rig->clients_side, err);
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

static bool clients_closed(void *arg)
{
    const struct rig *rig = arg;
    for (uint32_t i = 0; i < rig->client_count; i++) {
        const struct client *c = &rig->clients[i];
        if (c->closed)
            continue;
        check_deadline(c); /* of the first: the others' turn comes, at their ends at the latest */
        return false;
    }
    return true;
}

/* ---- the server ---- */

static void *served_ctx(vigil_loop *loop, vigil_conn conn, void *user)
{
    struct rig *rig = user;
    (void)loop;
    if (rig->refuses != 0 &&
        vigil_sim_choose(rig->sim, "refuse", rig->refuses) == rig->refuses - 1) {
        struct end refused = { .excused = true };
        end_begin(&refused, &rig->server, conn, false);
        end_refused(&refused);
        return NULL;
    }
    return rig_serve(rig, &rig->server, conn);
}

struct served *rig_serve(struct rig *rig, struct side *side, vigil_conn conn)
{
    for (size_t i = 0; i < SERVED_MAX; i++) {
        struct served *served = &rig->served[i];
        if (served->used)
            continue;
        *served = (struct served){ .rig = rig, .used = true };
        served->end.excused = rig->starves;
        end_begin(&served->end, side, conn, false);
        return served;
    }
    return NULL;
}

static void served_alive(const struct served *served)
{
    struct rig *rig = served->rig;
    vigil_sim_always(rig->sim, "no callback after close", served->used && !served->end.closed,
                     "of the server");
    vigil_sim_always(rig->sim, "a stale handle is stale",
                     rig->stale.v == 0 || vigil_pause(rig->server.loop, rig->stale) == VIGIL_ESTALE,
                     "it names another");
}

void served_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    (void)loop;
    (void)conn;
    served_alive(served);
    end_opened(&served->end);
}

size_t served_echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct served *served = ctx;
    served_alive(served);
    end_reads(&served->end);
    size_t took = vigil_send(loop, conn, p, n);
    served->end.side->took += took;
    served->end.side->used += took;
    return took;
}

void served_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    served_alive(served);
    side_called(served->end.side);
    end_finishes(&served->end);
    (void)vigil_finish(loop, conn); /* it lives */
}

void served_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct served *served = ctx;
    (void)loop;
    served_alive(served);
    end_closes(&served->end, why);
    served->used = served->other.side != NULL && !served->other.closed;
    served->rig->stale = conn;
}

const vigil_conn_ops echo_ops = { served_open, served_echo, served_eof, NULL, served_close };

bool rig_listen(struct rig *rig, const vigil_conn_ops *ops, const vigil_listen_options *options)
{
    vigil_listen_options o = options != NULL ? *options : (vigil_listen_options){ 0 };
    o.ops = ops;
    o.ctx = served_ctx;
    o.user = rig;
    o.limits = rig->limits;
    rig->server.max_conns = o.max_conns;
    rig->server.sheds = o.shed;
    int err = vigil_listen(rig->server.loop, where, &o, &rig->listener);
    if (err == 0)
        rig->server.listeners = 1;
    else
        end_never_began(&rig->server, err);
    return err == 0;
}

/* ---- what must hold after every step ---- */

/* What the loops count is what came and what the world saw.  That the queues are as long as the
 * loop says is part of it: the bytes of all of them are what was sent and has not left. */
static bool sides_hold(void *arg)
{
    struct rig *rig = arg;
    bool turned = side_compare(&rig->server);
    (void)side_compare(&rig->clients_side);
    if (turned)
        vigil_sim_always(rig->sim, "output is bounded", rig->server.queued_most <= rig->out_bound,
                         "%zu bytes are queued", rig->server.queued_most);
    return true;
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
    static const size_t reads[] = { 0, 1024 };
    return (vigil_limits){
        .out_high = highs[vigil_sim_choose(sim, "out_high", 3)],
        .in_max = reads[vigil_sim_choose(sim, "in_max", 4) == 3],
        .idle_ns = VIGIL_S(60), /* a peer may vanish without a word */
    };
}

static bool loops_open(struct rig *rig)
{
    size_t limit = (size_t)256 << (10 + vigil_sim_choose(rig->sim, "memory limit", 3));
    int err = side_open(&rig->server, rig->sim, rig->server_host,
                        &(vigil_loop_options){ .memory_limit = limit });
    if (err == 0)
        err = side_open(&rig->clients_side, rig->sim, rig->client_host, NULL);
    rig->server.limits = rig->clients_side.limits = rig->limits;
    return err == 0;
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
    rig->link = choose_link(sim);
    (void)vigil_sim_connect_hosts(sim, rig->server_host, rig->client_host, &rig->link);
    if (!loops_open(rig))
        return false;
    return vigil_sim_invariant(sim, "what the loops say is so", sides_hold, rig) == 0;
}

bool rig_await(struct rig *rig, const char *oracle)
{
    static const vigil_ns never = VIGIL_S(4000); /* each client's own time is over long before */
    vigil_sim_faults(rig->sim, false);
    if (rig->calm_at == 0)
        rig->calm_at = rig->sim->now;
    return vigil_sim_eventually(rig->sim, oracle, clients_closed, rig, never) == 0;
}

/* Whatever happened: one that comes now is served. */
static void last_client(struct rig *rig)
{
    struct client *last = rig_client(rig, 100, 1);
    /* The places of those who vanished are free when their time is over, one after the other. */
    bool limited = rig->server.max_conns != 0 || rig->server.host->fd_limit < SIM_FD_LIMIT;
    bool lost = limited && rig->sim->hits[VIGIL_SIM_VANISH] > 0;
    last->crowded = lost || rig->starves;
    rig->refuses = 0;
    (void)rig_await(rig, "one who comes late is served");
    vigil_sim_always(rig->sim, "accepting survives everything",
                     vigil_sim_failure(rig->sim) != NULL || last->why == VIGIL_OK || lost,
                     "the last client ended with %s", vigil_err_name(last->why));
}

void rig_run(struct rig *rig, vigil_ns for_ns)
{
    vigil_sim *sim = rig->sim;
    if (vigil_sim_run(sim, vigil_sim_now(sim) + for_ns) < 0)
        return;
    if (rig_await(rig, "all clients end"))
        last_client(rig);
}

void rig_close(struct rig *rig)
{
    side_close(&rig->clients_side);
    side_close(&rig->server);
    vigil_sim_always(rig->sim, "close comes once",
                     (rig->server.conns == 0 && rig->clients_side.conns == 0) ||
                         vigil_sim_failure(rig->sim) != NULL,
                     "%u of the server's never came", rig->server.conns);
    vigil_sim_check_balance(rig->sim);
}
