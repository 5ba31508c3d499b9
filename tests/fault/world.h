/* SPDX-License-Identifier: MIT
 *
 * world.h -- what a scenario of tests/fault/ is made of: one loop, a ledger of its connections, and
 * peers outside the library that know what they must get.
 *
 * Whatever fails, at the end every connection of the ledger was closed exactly once; every peer got
 * a prefix of what was sent for it, and a clean end only behind all of it; nothing is left open or
 * allocated; and the loop never turned for nothing.  Without a failure everything came.
 *
 * A stream is named by its first byte, so that either side knows what must follow.
 */
#ifndef FAULT_WORLD_H
#define FAULT_WORLD_H

#include "inject.h"
#include "sys/addr.h"
#include "test.h"

enum {
    ENTRIES_MAX = 64,
    PEERS_MAX = 32,
    FDS_MAX = 8,
    CHUNK = 5000,          /* what a peer says and reads at once */
    TURNS_MAX = 20000,     /* of one scenario: far above what any takes */
    IDLE_MAX = 30,         /* turns without progress behind a failure: some 300 ms of its time */
    IDLE_SOUND_MAX = 4000, /* before any, when the machine may be busy */
    REST_TURNS = 30,       /* looked at in the end: does it spin? */
    REST_SOUND_TURNS = 10,
};

/* A connection of the loop's. */
struct entry {
    struct world *world;
    vigil_conn conn;
    bool known; /* `close` must come */
    int opens, eofs, closes, why;
    uint8_t stream; /* its input's */
    size_t got, sent;
    bool wrong;
};

/* Somebody at the other end of a socket or of two pipes, none of it blocking. */
struct peer {
    int in, out;
    uint8_t stream, back; /* what it says, and what it gets */
    size_t total, put;    /* to say, said */
    size_t want, got;     /* to get, got */
    size_t sip;           /* reads no more than that per turn; 0: all there is */
    bool hush;            /* does not read before the end */
    bool half_close, shut, broken;
    bool may_end_short; /* no reset can tell it (pipes, Unix sockets): then `close` has */
    bool ended, failed, wrong;
};

struct world {
    const char *backend;
    vigil_loop *loop;
    const vigil_conn_ops *ops; /* of those that a listener takes */
    vigil_listener listener;
    vigil_addr addr;
    char where[VIGIL_ADDR_TEXT_MAX];
    char upstream[VIGIL_ADDR_TEXT_MAX]; /* of a proxy */
    char directory[32];                 /* for sockets and files; empty: none was made */
    struct entry entries[ENTRIES_MAX];
    int entry_count;
    struct peer peers[PEERS_MAX];
    int peer_count;
    int rcvbuf; /* of the next ones; 0: as it is */
    vigil_limits limits;
    int fds[FDS_MAX]; /* of the scenario's own, closed at the end */
    int fd_count;
    int promised, kept; /* calls that must come exactly once: posts, `done` */
    int counter;        /* for the scenario */
    bool told;          /* a call answered an error */
    bool drained;       /* the loop drains */
    bool complete;      /* everything that was to happen has */
    int turns;
    size_t moved; /* bytes, and calls that come once: progress */
};

struct scenario {
    const char *name;
    void (*run)(struct world *w);
};

static uint8_t pattern(size_t at, uint8_t stream)
{
    return at == 0 ? stream : (uint8_t)((at + stream * 7919u) * UINT64_C(2654435761) >> 13);
}

/* Notes an answer of the library's.  True: it went well. */
static bool went_well(struct world *w, int status)
{
    w->told = w->told || status < 0;
    return status >= 0;
}

/* Whether resets cannot reach the peers: that is what failed. */
static bool resets_fail(void)
{
    return inject->fired > 0 && inject->plan.call == INJECT_option;
}

/* Whether the system lied to a drain, which goes by what it says: that nothing is there. */
static bool drain_misled(const struct world *w)
{
    return w->drained && inject->plan.call == INJECT_recv && inject->plan.error == EAGAIN;
}

/* ---- the ledger --------------------------------------------------------------------------- */

static struct entry *entry_new(struct world *w)
{
    if (w->entry_count == ENTRIES_MAX)
        return NULL;
    struct entry *e = &w->entries[w->entry_count++];
    *e = (struct entry){ .world = w };
    return e;
}

static void note_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)loop;
    struct entry *e = ctx;
    e->conn = conn;
    e->opens++;
    e->world->moved++;
    OK(e->opens == 1 && e->closes == 0, "open: %d of them, %d closes", e->opens, e->closes);
}

/* For the bytes that are used.  Answers n. */
static size_t note_data(struct entry *e, const void *p, size_t n)
{
    const uint8_t *bytes = p;
    OK(e->closes == 0 && e->opens == 1, "data: %d opens, %d closes", e->opens, e->closes);
    for (size_t i = 0; i < n; i++) {
        if (e->got + i == 0)
            e->stream = bytes[0];
        e->wrong = e->wrong || bytes[i] != pattern(e->got + i, e->stream);
    }
    OK(!e->wrong, "input is no prefix of what the peer said, before %zu", e->got + n);
    e->got += n;
    e->world->moved += n;
    return n;
}

/* All of the input has come: the peer said no more. */
static void note_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)loop, (void)conn;
    struct entry *e = ctx;
    e->eofs++;
    e->world->moved++;
    OK(e->closes == 0 && e->eofs == 1, "eof: %d of them, %d closes", e->eofs, e->closes);
    for (int i = 0; i < e->world->peer_count && e->got > 0; i++) {
        const struct peer *peer = &e->world->peers[i];
        if (peer->stream == e->stream && !resets_fail())
            EQ_INT(peer->put, e->got, "eof before all of the input");
    }
}

static void note_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop, (void)conn;
    struct entry *e = ctx;
    e->closes++;
    e->why = why;
    e->world->moved++;
    OK(e->closes == 1, "closed %d times", e->closes);
}

static void *take_in(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)loop;
    struct entry *e = entry_new(user);
    if (e == NULL)
        return NULL;
    e->conn = conn;
    e->known = true;
    return e;
}

/* ---- the loop ----------------------------------------------------------------------------- */

static bool world_open(struct world *w, vigil_loop_options options)
{
    options.backend = w->backend;
    int status = vigil_loop_open(&w->loop, &options);
    OK((status == 0) == (w->loop != NULL), "vigil_loop_open answers %d", status);
    return went_well(w, status);
}

static bool world_listen(struct world *w, const char *where, const vigil_listen_options *options)
{
    vigil_listen_options o = options != NULL ? *options : (vigil_listen_options){ 0 };
    o.ops = w->ops;
    o.ctx = take_in;
    o.user = w;
    o.limits = w->limits;
    if (!went_well(w, vigil_listen(w->loop, where, &o, &w->listener)) ||
        !went_well(w, vigil_listener_address(w->loop, w->listener, &w->addr)))
        return false;
    vigil_addr_format(&w->addr, w->where, sizeof(w->where));
    return true;
}

/* A loop that listens on a port of its own. */
static bool world_serve(struct world *w, const vigil_conn_ops *ops)
{
    w->ops = ops;
    return world_open(w, (vigil_loop_options){ 0 }) && world_listen(w, "tcp://127.0.0.1:0", NULL);
}

static int keep_fd(struct world *w, int fd)
{
    OK(w->fd_count < FDS_MAX, "too many descriptors");
    if (w->fd_count < FDS_MAX)
        w->fds[w->fd_count++] = fd;
    return fd;
}

/* vigil_connect() for the ledger. */
static struct entry *world_connect(struct world *w, const char *where, const vigil_conn_ops *ops)
{
    struct entry *e = entry_new(w);
    vigil_conn_options o = { .ops = ops, .ctx = e, .limits = w->limits };
    e->known = went_well(w, vigil_connect(w->loop, where, &o, &e->conn));
    return e->known ? e : NULL;
}

static struct entry *world_adopt(struct world *w, int in, int out, const vigil_conn_ops *ops)
{
    struct entry *e = entry_new(w);
    vigil_conn_options o = { .ops = ops, .ctx = e, .limits = w->limits };
    e->known = went_well(w, vigil_adopt(w->loop, in, out, &o, &e->conn));
    if (e->known)
        return e;
    keep_fd(w, in); /* they stay ours */
    if (out != in)
        keep_fd(w, out);
    return NULL;
}

/* Says "directory/name", making the directory when it is the first. */
static const char *world_path(struct world *w, const char *name)
{
    static char path[128];
    if (w->directory[0] == '\0') {
        strcpy(w->directory, "/tmp/vigil-fault-XXXXXX");
        OK(mkdtemp(w->directory) != NULL, "mkdtemp: %s", strerror(errno));
    }
    snprintf(path, sizeof(path), "%s/%s", w->directory, name);
    return path;
}

/* ---- peers -------------------------------------------------------------------------------- */

/* Says `total` bytes, ends, and wants `want` back. */
static struct peer *peer_new(struct world *w, int in, int out, size_t total, size_t want)
{
    struct peer *peer = &w->peers[w->peer_count++];
    uint8_t stream = (uint8_t)(w->peer_count * 2);
    *peer = (struct peer){ .in = in,
                           .out = out,
                           .stream = stream,
                           .back = stream,
                           .total = total,
                           .want = want,
                           .half_close = true };
    return peer;
}

static int socket_to(const vigil_addr *addr, int rcvbuf)
{
    struct sockaddr_storage system;
    socklen_t length = vigil__addr_to_system(addr, &system);
    int fd = socket(system.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (rcvbuf > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    int status = connect(fd, (struct sockaddr *)&system, length); /* the backlog has room */
    OK(status == 0, "a peer connects: %s", strerror(errno));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* The same, connected to the listener. */
static struct peer *world_client(struct world *w, size_t total, size_t want)
{
    int fd = socket_to(&w->addr, w->rcvbuf);
    struct peer *peer = peer_new(w, fd, fd, total, want);
    peer->may_end_short = w->addr.family == VIGIL_FAMILY_UNIX;
    return peer;
}

/* A socket of the test's own that listens, and where. */
static int listener_outside(struct world *w, int backlog)
{
    int fd = keep_fd(w, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(at);
    OK(bind(fd, (struct sockaddr *)&at, length) == 0 && (backlog == 0 || listen(fd, backlog) == 0));
    OK(getsockname(fd, (struct sockaddr *)&at, &length) == 0);
    snprintf(w->where, sizeof(w->where), "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

static void peer_says(struct world *w, struct peer *peer)
{
    uint8_t bytes[CHUNK];
    size_t n = vigil__min(peer->total - peer->put, CHUNK);
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern(peer->put + i, peer->stream);
    ssize_t put = n > 0 ? write(peer->out, bytes, n) : 0;
    if (put > 0) {
        peer->put += (size_t)put;
        w->moved += (size_t)put;
    }
    bool broken = put < 0 && errno != EAGAIN && errno != EINTR;
    peer->broken = peer->broken || broken; /* the reset is told once, and then reading ends */
    bool said = peer->half_close && peer->put == peer->total;
    if ((!broken && !said) || peer->shut)
        return;
    peer->shut = true;
    if (peer->out == peer->in) {
        (void)shutdown(peer->out, SHUT_WR); /* fails where the other side has reset it */
    } else {
        close(peer->out);
        peer->out = -1;
    }
}

static void peer_hears(struct world *w, struct peer *peer)
{
    uint8_t bytes[CHUNK];
    for (bool more = true; more && !peer->ended && !peer->failed; more = peer->sip == 0) {
        ssize_t got = read(peer->in, bytes, peer->sip > 0 ? peer->sip : sizeof(bytes));
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        peer->failed = got < 0 || (got == 0 && peer->broken);
        peer->ended = got == 0 && !peer->broken;
        for (ssize_t i = 0; i < got; i++)
            peer->wrong = peer->wrong || bytes[i] != pattern(peer->got + (size_t)i, peer->back);
        peer->got += got > 0 ? (size_t)got : 0;
        w->moved += got > 0 ? (size_t)got : 1;
    }
}

static void peers_act(struct world *w)
{
    for (int i = 0; i < w->peer_count; i++) {
        struct peer *peer = &w->peers[i];
        if (!peer->shut)
            peer_says(w, peer);
        if (!peer->hush)
            peer_hears(w, peer);
    }
}

/* ---- going on ----------------------------------------------------------------------------- */

/* One turn, and what the peers do meanwhile.  False: the loop answered an error. */
static bool world_turn_for(struct world *w, vigil_ns timeout)
{
    w->turns++;
    peers_act(w);
    vigil_stats before, after;
    vigil_stats_get(w->loop, &before);
    bool good = went_well(w, vigil_loop_turn(w->loop, timeout));
    vigil_stats_get(w->loop, &after);
    w->moved += after.bytes_in + after.bytes_out - before.bytes_in - before.bytes_out;
    return good;
}

static bool world_turn(struct world *w)
{
    return world_turn_for(w, VIGIL_MS(20));
}

/* Turns until `over`, or nothing moves any more. */
static bool world_until(struct world *w, bool (*over)(struct world *w))
{
    int idle = 0;
    while (!over(w)) {
        size_t before = w->moved;
        if (!world_turn(w))
            return false;
        idle = w->moved != before ? 0 : idle + 1;
        bool stuck = idle > (inject->fired > 0 ? IDLE_MAX : IDLE_SOUND_MAX);
        if (stuck || w->turns > TURNS_MAX)
            return false;
    }
    return true;
}

/* Everybody has got what he wants, and the clean end. */
static bool peers_served(struct world *w)
{
    for (int i = 0; i < w->peer_count; i++) {
        const struct peer *peer = &w->peers[i];
        if (!peer->hush && (!peer->ended || peer->got != peer->want))
            return false;
    }
    return true;
}

static bool entries_closed(struct world *w)
{
    for (int i = 0; i < w->entry_count; i++)
        if (w->entries[i].known && w->entries[i].closes == 0)
            return false;
    return true;
}

static bool peers_served_and_closed(struct world *w)
{
    return peers_served(w) && entries_closed(w);
}

static bool promises_kept(struct world *w)
{
    return w->kept == w->promised;
}

/* ---- what must hold ----------------------------------------------------------------------- */

static void write_line(void *arg, const char *text, size_t len)
{
    (void)arg;
    fprintf(stderr, "#   %.*s", (int)len, text);
}

/* A turn waits, or does something: else the loop spins. */
static void check_rest(struct world *w)
{
    int for_nothing = 0;
    int turns = inject->fired > 0 ? REST_TURNS : REST_SOUND_TURNS;
    for (int i = 0; i < turns; i++) {
        size_t before = w->moved;
        unsigned waits = inject->waits;
        vigil_ns began = vigil_now(w->loop);
        if (!world_turn_for(w, VIGIL_MS(2)))
            return;
        bool waited = inject->waits != waits || vigil_now(w->loop) - began > VIGIL_MS(1);
        for_nothing += !waited && w->moved == before;
    }
    if (!OK(for_nothing < turns / 2, "%d of %d turns did nothing and did not wait", for_nothing,
            turns))
        (void)vigil_dump(w->loop, write_line, NULL);
}

static void check_entries(struct world *w)
{
    for (int i = 0; i < w->entry_count; i++) {
        const struct entry *e = &w->entries[i];
        EQ_INT(e->known ? 1 : 0, e->closes, "closes of connection %d", i);
    }
    EQ_INT(w->promised, w->kept, "calls that must come exactly once");
}

/* Whether somebody on this side was told why a peer got less than it should. */
static bool was_told(const struct world *w)
{
    bool told = w->told;
    for (int i = 0; i < w->entry_count; i++)
        told = told || (w->entries[i].closes > 0 && w->entries[i].why != VIGIL_OK);
    return told;
}

static void check_peer(struct world *w, struct peer *peer, int number)
{
    peer->sip = 0;
    if (peer->hush)
        peer_hears(w, peer); /* what is there: windows as small as its take seconds */
    for (int i = 0; i < 100 && !peer->hush && !peer->ended && !peer->failed; i++) {
        struct pollfd entry = { .fd = peer->in, .events = POLLIN };
        (void)poll(&entry, 1, 100); /* its loop is closed: the end is on its way */
        peer_hears(w, peer);
    }
    OK(peer->ended || peer->failed || peer->hush, "peer %d sees no end", number);
    OK(!peer->wrong, "peer %d got other bytes before %zu", number, peer->got);
    OK(peer->got <= peer->want || peer->wrong, "peer %d got %zu of %zu bytes", number, peer->got,
       peer->want);
    if (peer->ended && peer->got < peer->want && !drain_misled(w))
        OK((peer->may_end_short || resets_fail()) && was_told(w),
           "peer %d got a clean end behind %zu of %zu bytes", number, peer->got, peer->want);
}

static void world_clean(struct world *w)
{
    for (int i = 0; i < w->peer_count; i++) {
        const struct peer *peer = &w->peers[i];
        if (peer->out >= 0 && peer->out != peer->in)
            close(peer->out);
        close(peer->in);
    }
    if (w->directory[0] == '\0')
        return;
    (void)unlink(world_path(w, "socket")); /* it may be there, or not */
    (void)unlink(world_path(w, "file"));
    OK(rmdir(w->directory) == 0, "%s is not empty", w->directory);
}

/* Runs it with the plan that is set.  What is wrong is told as by OK(). */
static void world_run(const struct scenario *scenario, const char *backend)
{
    struct world *w = calloc(1, sizeof(*w));
    w->backend = backend;
    w->limits = (vigil_limits){ .connect_ns = VIGIL_S(5), .linger_ns = VIGIL_MS(200) };
    scenario->run(w);
    if (w->loop != NULL)
        check_rest(w);
    vigil_loop_close(w->loop);
    for (int i = 0; i < w->fd_count; i++)
        close(w->fds[i]);
    check_entries(w);
    for (int i = 0; i < w->peer_count; i++)
        check_peer(w, &w->peers[i], i);
    world_clean(w);
    OK(inject->blocks == 0 && inject->bytes == 0, "%d blocks of %d bytes are left",
       (int)inject->blocks, (int)inject->bytes);
    if (inject->fired == 0)
        OK(w->complete && !w->told, "nothing failed, and yet: complete %d, told an error %d",
           w->complete, w->told);
    free(w);
}

#endif
