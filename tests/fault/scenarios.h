/* SPDX-License-Identifier: MIT
 *
 * scenarios.h -- what fail_nth.c runs: small programs on the library, each of which says when all
 * that was to happen has.
 */
#ifndef FAULT_SCENARIOS_H
#define FAULT_SCENARIOS_H

#include "world.h"

static void fail_nth(const struct scenario *scenario, const char *backend);

/* Defines a scenario, and the test that runs it on each backend. */
#define SCENARIO(id)                                            \
    static void run_##id(struct world *w);                      \
    CONFORM(id)                                                 \
    {                                                           \
        fail_nth(&(struct scenario){ #id, run_##id }, backend); \
    }                                                           \
    static void run_##id(struct world *w)

enum { SMALL = 3000, LARGE = 60000, SOURCE = 101 /* the stream of sources */ };

/* ---- what connections do ------------------------------------------------------------------ */

static size_t echo_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)n;
    return note_data(ctx, p, vigil_send(loop, conn, p, n));
}

static void finish_on_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    note_eof(loop, conn, ctx);
    (void)went_well(((struct entry *)ctx)->world, vigil_finish(loop, conn));
}

static const vigil_conn_ops echo_ops = {
    .open = note_open, .data = echo_data, .eof = finish_on_eof, .close = note_close
};

static void couple_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct entry *e = ctx;
    note_open(loop, conn, ctx);
    if (!went_well(e->world, vigil_couple(loop, conn, conn)))
        (void)vigil_abort(loop, conn); /* told already */
}

static const vigil_conn_ops couple_ops = { .open = couple_open, .close = note_close };

/* Sends LARGE bytes as there is room, and ends. */
static void source_go_on(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct entry *e = ctx;
    uint8_t bytes[CHUNK];
    for (bool room = true; room && e->sent < LARGE;) {
        size_t n = vigil__min(CHUNK, LARGE - e->sent);
        for (size_t i = 0; i < n; i++)
            bytes[i] = pattern(e->sent + i, SOURCE);
        size_t took = vigil_send(loop, conn, bytes, n);
        e->sent += took;
        room = took == n;
    }
    if (e->sent == LARGE)
        (void)went_well(e->world, vigil_end(loop, conn));
}

static void source_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    note_open(loop, conn, ctx);
    source_go_on(loop, conn, ctx);
}

static size_t sink_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)loop, (void)conn;
    return note_data(ctx, p, n);
}

static const vigil_conn_ops source_ops = { .open = source_open,
                                           .data = sink_data,
                                           .eof = note_eof,
                                           .writable = source_go_on,
                                           .close = note_close };

/* ---- listening ---------------------------------------------------------------------------- */

SCENARIO(echo)
{
    if (!world_serve(w, &echo_ops))
        return;
    for (int i = 0; i < 3; i++)
        (void)world_client(w, LARGE / 3, LARGE / 3);
    w->complete = world_until(w, peers_served_and_closed);
}

SCENARIO(couple_with_itself)
{
    if (!world_serve(w, &couple_ops))
        return;
    for (int i = 0; i < 3; i++)
        (void)world_client(w, LARGE / 3, LARGE / 3);
    w->complete = world_until(w, peers_served_and_closed);
}

/* The client ends first and then hears for long. */
SCENARIO(half_close)
{
    w->limits.out_high = 8192;
    if (!world_serve(w, &source_ops))
        return;
    world_client(w, SMALL, LARGE)->back = SOURCE;
    w->complete = world_until(w, peers_served_and_closed);
}

static bool peer_got_all(struct world *w)
{
    return w->peers[0].got == w->peers[0].want;
}

/* It reads in sips, so output is cut and goes on, many times. */
SCENARIO(slow_reader)
{
    w->limits.out_high = 16384;
    if (!world_serve(w, &source_ops))
        return;
    struct peer *peer = world_client(w, 100, LARGE);
    peer->back = SOURCE;
    peer->sip = 4000;
    if (world_until(w, peer_got_all))
        w->complete = world_until(w, peers_served_and_closed);
}

/* Messages of 99 bytes behind a length of one more, which is told anew in front of each answer. */
enum { MESSAGE = 100, MESSAGES = 60 };

static size_t message_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct entry *e = ctx;
    const uint8_t *bytes = p;
    size_t used = 0;
    while (n - used >= MESSAGE) {
        const vigil_iov answer[] = { { bytes + used, 1 }, { bytes + used + 1, MESSAGE - 1 } };
        int status = vigil_sendv(loop, conn, answer, 2);
        if (status != 0) {
            OK(status == VIGIL_EFULL || status == VIGIL_ENOMEM || status == VIGIL_ECLOSED,
               "vigil_sendv answers %d", status);
            break;
        }
        used += MESSAGE;
    }
    return note_data(e, p, used);
}

static const vigil_conn_ops message_ops = {
    .open = note_open, .data = message_data, .eof = finish_on_eof, .close = note_close
};

SCENARIO(messages_whole_or_not)
{
    w->limits = (vigil_limits){ .out_high = 1000, .out_hard = 2000, .in_max = 4096 };
    if (!world_serve(w, &message_ops))
        return;
    for (int i = 0; i < 2; i++)
        (void)world_client(w, MESSAGE * MESSAGES, MESSAGE * MESSAGES);
    w->complete = world_until(w, peers_served_and_closed);
}

SCENARIO(listen_on_a_unix_path)
{
    w->ops = &echo_ops;
    char where[160];
    snprintf(where, sizeof(where), "unix:%s", world_path(w, "socket"));
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strcpy(at.sun_path, where + 5);
    OK(bind(stale, (struct sockaddr *)&at, sizeof(at)) == 0, "%s", strerror(errno));
    close(stale); /* its name stays, and is to be replaced */
    vigil_listen_options options = { .unix_mode = 0600 };
    if (!world_open(w, (vigil_loop_options){ 0 }) || !world_listen(w, where, &options))
        return;
    for (int i = 0; i < 2; i++)
        (void)world_client(w, SMALL, SMALL);
    w->complete = world_until(w, peers_served_and_closed) &&
                  went_well(w, vigil_listener_close(w->loop, w->listener));
}

SCENARIO(listen_on_both_families)
{
    w->ops = &couple_ops;
    vigil_listen_options options = { .reuse_port = true, .max_conns = 1, .shed = true };
    if (!world_open(w, (vigil_loop_options){ 0 }) || !world_listen(w, "localhost:0", &options))
        return;
    for (int i = 0; i < 3; i++)
        (void)world_client(w, SMALL, SMALL);
    w->complete = world_until(w, peers_served_and_closed);
}

static bool first_served(struct world *w)
{
    return w->peers[0].ended && w->peers[0].got == w->peers[0].want;
}

SCENARIO(a_listener_pauses_and_goes_on)
{
    if (!world_serve(w, &echo_ops))
        return;
    (void)world_client(w, SMALL, SMALL);
    if (!world_until(w, first_served) || !went_well(w, vigil_listener_pause(w->loop, w->listener)))
        return;
    (void)world_client(w, SMALL, SMALL);
    for (int i = 0; i < 3; i++)
        if (!world_turn(w))
            return;
    EQ_INT(0, w->peers[1].got);
    if (went_well(w, vigil_listener_resume(w->loop, w->listener)))
        w->complete = world_until(w, peers_served_and_closed);
}

static bool all_accepted(struct world *w)
{
    vigil_stats stats;
    vigil_stats_get(w->loop, &stats);
    return stats.accepted == (uint64_t)w->peer_count;
}

/* What clients have said before the drain is answered, and then they are finished. */
SCENARIO(drain)
{
    if (!world_serve(w, &echo_ops))
        return;
    for (int i = 0; i < 3; i++)
        world_client(w, SMALL, SMALL)->half_close = false;
    for (int i = 0; i < 3; i++)
        peers_act(w); /* all is said; some of them wait in the backlog */
    w->drained = true;
    if (went_well(w, vigil_loop_drain(w->loop, VIGIL_MS(300))))
        w->complete = world_until(w, peers_served_and_closed) && all_accepted(w) &&
                      went_well(w, vigil_loop_run(w->loop));
}

/* As couple_ops, with little room in the system. */
static void narrow_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)vigil_conn_option(loop, conn, VIGIL_SNDBUF, 8192); /* else the system takes it all */
    couple_open(loop, conn, ctx);
}

static const vigil_conn_ops narrow_ops = { .open = narrow_open, .close = note_close };

/* Six who never read, in memory for four of them, and one who does. */
SCENARIO(little_memory)
{
    enum { CROWD = 6 };
    w->ops = &narrow_ops;
    w->limits = (vigil_limits){ .out_high = 65536 };
    if (!world_open(w, (vigil_loop_options){ .memory_limit = 256 << 10 }) ||
        !world_listen(w, "tcp://127.0.0.1:0", NULL))
        return;
    (void)world_client(w, LARGE, LARGE);
    w->rcvbuf = 4096;
    for (int i = 0; i < CROWD; i++)
        world_client(w, 2 * LARGE, 2 * LARGE)->hush = true;
    w->complete = world_until(w, first_served);
}

static size_t abort_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct entry *e = ctx;
    (void)vigil_send(loop, conn, p, n);
    (void)went_well(e->world, vigil_abort(loop, conn));
    return note_data(e, p, n);
}

static const vigil_conn_ops abort_ops = { .open = note_open,
                                          .data = abort_data,
                                          .close = note_close };

static bool peers_over(struct world *w)
{
    for (int i = 0; i < w->peer_count; i++)
        if (!w->peers[i].ended && !w->peers[i].failed)
            return false;
    return entries_closed(w);
}

SCENARIO(abort_resets)
{
    if (!world_serve(w, &abort_ops))
        return;
    for (int i = 0; i < 2; i++)
        world_client(w, SMALL, 2 * SMALL)->half_close = false;
    w->complete = world_until(w, peers_over) && w->peers[0].failed;
}

/* Sends what is the caller's own, and ends. */
static const uint8_t *owned_bytes(void)
{
    static uint8_t bytes[LARGE];
    for (size_t i = 0; i < LARGE && bytes[0] == 0; i++)
        bytes[LARGE - 1 - i] = pattern(LARGE - 1 - i, SOURCE);
    return bytes;
}

static void owned_done(void *arg)
{
    struct entry *e = arg;
    e->world->kept++;
    OK(e->closes == 0, "done behind close");
}

static void owned_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct entry *e = ctx;
    note_open(loop, conn, ctx);
    const uint8_t *bytes = owned_bytes();
    bool first = went_well(e->world, vigil_send_owned(loop, conn, bytes, 1000, owned_done, e));
    e->world->promised += first;
    bool rest = first && went_well(e->world, vigil_send_owned(loop, conn, bytes + 1000,
                                                              LARGE - 1000, owned_done, e));
    e->world->promised += rest;
    if (rest)
        (void)went_well(e->world, vigil_end(loop, conn));
    else
        (void)vigil_abort(loop, conn); /* told already */
}

static const vigil_conn_ops owned_ops = {
    .open = owned_open, .data = sink_data, .eof = note_eof, .close = note_close
};

SCENARIO(send_what_is_the_caller_s)
{
    if (!world_serve(w, &owned_ops))
        return;
    world_client(w, 10, LARGE)->back = SOURCE;
    w->complete = world_until(w, peers_served_and_closed) && promises_kept(w);
}

static void file_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct entry *e = ctx;
    note_open(loop, conn, ctx);
    bool sent = went_well(e->world,
                          vigil_send_file(loop, conn, e->world->fds[0], 0, -1, owned_done, e));
    e->world->promised += sent;
    if (sent)
        (void)went_well(e->world, vigil_finish(loop, conn));
    else
        (void)vigil_abort(loop, conn); /* told already */
}

static const vigil_conn_ops file_ops = { .open = file_open, .close = note_close };

SCENARIO(send_a_file)
{
    FILE *file = tmpfile();
    OK(file != NULL && fwrite(owned_bytes(), 1, LARGE, file) == LARGE && fflush(file) == 0);
    keep_fd(w, dup(fileno(file)));
    fclose(file);
    if (!world_serve(w, &file_ops))
        return;
    world_client(w, 10, LARGE)->back = SOURCE;
    w->complete = world_until(w, peers_served_and_closed) && promises_kept(w);
}

/* ---- connecting --------------------------------------------------------------------------- */

/* Takes in who came to the listener outside, as a peer. */
static bool someone_came(struct world *w)
{
    int fd = accept4(w->fds[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        peer_new(w, fd, fd, SMALL, LARGE)->back = SOURCE;
    return fd >= 0 || entries_closed(w);
}

SCENARIO(connect_and_send)
{
    (void)listener_outside(w, 8);
    if (!world_open(w, (vigil_loop_options){ 0 }) ||
        world_connect(w, w->where, &source_ops) == NULL)
        return;
    if (world_until(w, someone_came))
        w->complete = world_until(w, peers_served_and_closed) && w->peer_count == 1;
}

SCENARIO(connect_where_nobody_listens)
{
    (void)listener_outside(w, 0);
    if (!world_open(w, (vigil_loop_options){ 0 }))
        return;
    struct entry *e = world_connect(w, w->where, &echo_ops);
    if (e != NULL)
        w->complete = world_until(w, entries_closed) && e->why == VIGIL_ECONNREFUSED;
}

/* ::1 refuses, 127.0.0.1 takes. */
SCENARIO(connect_to_the_second_address)
{
    (void)listener_outside(w, 8);
    char where[VIGIL_ADDR_TEXT_MAX];
    snprintf(where, sizeof(where), "localhost%s", strrchr(w->where, ':'));
    if (!world_open(w, (vigil_loop_options){ 0 }) || world_connect(w, where, &source_ops) == NULL)
        return;
    if (world_until(w, someone_came))
        w->complete = world_until(w, peers_served_and_closed) && w->peer_count == 1;
}

/* Both ways between who came in and a connection to the echo of the same loop. */
static const vigil_conn_ops upstream_ops = { .open = note_open, .close = note_close };

static void proxy_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct entry *e = ctx;
    note_open(loop, conn, ctx);
    struct entry *up = world_connect(e->world, e->world->upstream, &upstream_ops);
    if (up == NULL || !went_well(e->world, vigil_couple(loop, conn, up->conn)) ||
        !went_well(e->world, vigil_couple(loop, up->conn, conn)))
        (void)vigil_abort(loop, conn); /* told already */
}

static const vigil_conn_ops proxy_ops = { .open = proxy_open, .close = note_close };

SCENARIO(proxy)
{
    if (!world_serve(w, &echo_ops))
        return;
    strcpy(w->upstream, w->where);
    w->ops = &proxy_ops;
    if (!world_listen(w, "tcp://127.0.0.1:0", NULL))
        return;
    for (int i = 0; i < 2; i++)
        (void)world_client(w, LARGE / 2, LARGE / 2);
    w->complete = world_until(w, peers_served_and_closed);
}

/* ---- adopting ----------------------------------------------------------------------------- */

/* Two pipes that block, as a shell's. */
SCENARIO(adopt_pipes)
{
    int to[2], from[2];
    if (!OK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0))
        return;
    fcntl(to[1], F_SETFL, O_NONBLOCK);
    fcntl(from[0], F_SETFL, O_NONBLOCK);
    peer_new(w, from[0], to[1], 20000, 20000)->may_end_short = true;
    if (!world_open(w, (vigil_loop_options){ 0 })) {
        keep_fd(w, to[0]);
        keep_fd(w, from[1]);
        return;
    }
    if (world_adopt(w, to[0], from[1], &echo_ops) != NULL)
        w->complete = world_until(w, peers_served_and_closed);
}

SCENARIO(adopt_a_socket)
{
    int ends[2];
    if (!OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0))
        return;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    peer_new(w, ends[0], ends[0], LARGE, LARGE)->may_end_short = true;
    if (!world_open(w, (vigil_loop_options){ 0 }))
        keep_fd(w, ends[1]);
    else if (world_adopt(w, ends[1], ends[1], &couple_ops) != NULL)
        w->complete = world_until(w, peers_served_and_closed);
}

/* ---- the loop alone ----------------------------------------------------------------------- */

static void count_timer(vigil_loop *loop, void *arg)
{
    (void)loop;
    struct world *w = arg;
    w->counter--;
    w->moved++;
    OK(w->counter >= 0, "a timer fires twice");
}

static void never_timer(vigil_loop *loop, void *arg)
{
    (void)loop, (void)arg;
    OK(false, "a timer that was cancelled fires");
}

static void kept_post(vigil_loop *loop, void *arg, int status)
{
    (void)loop;
    struct world *w = arg;
    OK(status == 0 || status == VIGIL_ECANCELED, "a post has status %d", status);
    w->kept++;
    w->moved++;
}

static bool timers_and_posts_over(struct world *w)
{
    return w->counter == 0 && w->kept == w->promised;
}

/* What is taken comes; what is not is told. */
SCENARIO(timers_and_posts)
{
    vigil_remote *remote = NULL;
    vigil_timer timer = { 0 };
    if (!world_open(w, (vigil_loop_options){ 0 }))
        return;
    for (int i = 0; i < 40; i++) {
        w->counter += went_well(w, vigil_after(w->loop, VIGIL_US(100 * i), count_timer, w, NULL));
        w->counter += went_well(w, vigil_turn_soon(w->loop, count_timer, w));
    }
    if (went_well(w, vigil_after(w->loop, VIGIL_MS(1), never_timer, w, &timer)))
        OK(vigil_timer_set(w->loop, timer, 0) == 0 && vigil_cancel(w->loop, timer) == 0);
    if (went_well(w, vigil_remote_open(w->loop, &remote)))
        for (int i = 0; i < 10; i++)
            w->promised += went_well(w, vigil_post(remote, kept_post, w));
    w->complete = world_until(w, timers_and_posts_over) && went_well(w, vigil_loop_run(w->loop));
    if (remote != NULL) /* this one is cancelled by the close, which comes before it could run */
        w->promised += went_well(w, vigil_post(remote, kept_post, w));
    vigil_loop_close(w->loop);
    w->loop = NULL;
    if (remote != NULL)
        EQ_INT(VIGIL_ECANCELED, vigil_post(remote, kept_post, w));
    vigil_remote_drop(remote);
}

static void count_signal(vigil_loop *loop, int signo, void *arg)
{
    (void)loop;
    struct world *w = arg;
    EQ_INT(SIGUSR1, signo);
    w->counter--;
    w->moved++;
}

static bool counted_down(struct world *w)
{
    return w->counter <= 0;
}

/* Who could ask for it hears of it; then the disposition is again what it was. */
SCENARIO(signals)
{
    vigil_signal first, second;
    if (!world_open(w, (vigil_loop_options){ .stop_on_signals = true }))
        return;
    signal(SIGUSR1, SIG_IGN);
    if (went_well(w, vigil_on_signal(w->loop, SIGUSR1, count_signal, w, &first))) {
        w->counter = 1 + went_well(w, vigil_on_signal(w->loop, SIGUSR1, count_signal, w, &second));
        raise(SIGUSR1);
        bool came = world_until(w, counted_down);
        EQ_INT(0, vigil_signal_cancel(w->loop, first));
        w->complete = came && w->counter == 0;
    }
    vigil_loop_close(w->loop);
    w->loop = NULL;
    struct sigaction found;
    OK(sigaction(SIGUSR1, NULL, &found) == 0 && found.sa_handler == SIG_IGN);
    OK(sigaction(SIGTERM, NULL, &found) == 0 && found.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
}

static void watch_pipe(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    struct world *w = arg;
    char byte;
    if ((events & VIGIL_IN) != 0 && read(w->fds[0], &byte, 1) == 1)
        w->counter--;
    w->moved++;
    if (w->counter == 0 || (events & VIGIL_NVAL) != 0) /* NVAL: it cannot be watched any more */
        EQ_INT(0, vigil_watch_cancel(loop, watch));
    if ((events & VIGIL_NVAL) != 0)
        w->told = true;
}

static void watch_once(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch;
    struct world *w = arg;
    w->kept++;
    w->told = w->told || (events & VIGIL_NVAL) != 0;
    w->moved++;
}

static bool watched(struct world *w)
{
    return w->counter <= 0 && w->kept > 0;
}

/* A pipe by levels, and a regular file once, which epoll has to answer for by itself. */
SCENARIO(watches)
{
    int ends[2];
    FILE *file = tmpfile();
    if (!OK(pipe2(ends, O_CLOEXEC) == 0 && file != NULL))
        return;
    keep_fd(w, ends[0]);
    keep_fd(w, ends[1]);
    keep_fd(w, dup(fileno(file)));
    fclose(file);
    OK(write(ends[1], "1234567", 7) == 7);
    if (!world_open(w, (vigil_loop_options){ 0 }))
        return;
    vigil_watch once;
    bool pipe = went_well(w, vigil_on_ready(w->loop, ends[0], VIGIL_IN, watch_pipe, w, NULL));
    bool both = went_well(
        w, vigil_on_ready(w->loop, w->fds[2], VIGIL_IN | VIGIL_ONESHOT, watch_once, w, &once));
    w->counter = pipe ? 7 : 0;
    bool came = world_until(w, watched) && pipe && both;
    w->promised = w->kept; /* one shot, unless it could not even be asked for */
    OK(w->kept <= 1, "the single shot came %d times", w->kept);
    if (both && went_well(w, vigil_watch_set(w->loop, once, VIGIL_IN | VIGIL_ONESHOT)))
        EQ_INT(0, vigil_watch_cancel(w->loop, once));
    w->complete = came && w->counter == 0;
}

/* Layer 1: no loop and no host table, but what a backend needs. */
SCENARIO(poller)
{
    int ends[2];
    vigil_poller *poller = NULL;
    vigil_event events[4];
    vigil_reg regs[2];
    if (!OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0))
        return;
    keep_fd(w, ends[0]);
    keep_fd(w, ends[1]);
    OK(write(ends[1], "x", 1) == 1);
    int status = vigil_poller_open(&poller, w->backend);
    OK((status == 0) == (poller != NULL), "vigil_poller_open answers %d", status);
    if (!went_well(w, status))
        return;
    bool both = went_well(w, vigil_poller_register(poller, ends[0], VIGIL_IN, 1, &regs[0])) &&
                went_well(w, vigil_poller_register(poller, ends[1], VIGIL_OUT, 2, &regs[1]));
    int seen = 0;
    for (int i = 0; i < 100 && both && seen != 3; i++) {
        int n = vigil_poller_wait(poller, events, 4, VIGIL_MS(20));
        if (!went_well(w, n))
            break;
        for (int j = 0; j < n; j++)
            seen |= (int)events[j].tag;
    }
    if (both && went_well(w, vigil_poller_modify(poller, regs[1], VIGIL_IN)))
        (void)went_well(w, vigil_poller_wait(poller, events, 4, VIGIL_MS(1)));
    if (both && went_well(w, vigil_poller_unregister(poller, regs[0])))
        OK(!vigil_poller_live(poller, regs[0]));
    vigil_poller_close(poller);
    w->complete = seen == 3;
}

/* Layer 0: one call, of which nothing may be left. */
SCENARIO(one_call)
{
    int ends[2], high;
    if (!OK(pipe2(ends, O_CLOEXEC) == 0))
        return;
    high = fcntl(ends[0], F_DUPFD_CLOEXEC, 1500);
    keep_fd(w, ends[0]);
    keep_fd(w, ends[1]);
    keep_fd(w, high);
    OK(high >= 1500 && write(ends[1], "x", 1) == 1);
    vigil_fd read_fds[] = { ends[0], high }, ready[2], write_fds[] = { ends[1] }, ready_too[1];
    vigil_set readable = { .fds = read_fds, .count = 2, .ready = ready };
    vigil_set writable = { .fds = write_fds, .count = 1, .ready = ready_too };
    int n = vigil_select(&readable, &writable, NULL, VIGIL_S(5));
    if (went_well(w, n))
        EQ_INT(3, n);
    else
        EQ_INT(0, readable.ready_count + writable.ready_count);
    vigil_pollfd entries[] = { { .fd = high, .events = VIGIL_IN } };
    int polled = vigil_poll(entries, 1, VIGIL_S(5));
    (void)went_well(w, polled);
    w->complete = n == 3 && polled == 1;
}

#endif
