/* SPDX-License-Identifier: MIT
 *
 * sim_hosts.c -- what a simulated host gives the loops on it: addresses and who may take them, Unix
 * sockets, pairs, pipes and files, signals, limits; on each backend.
 */
#include <signal.h>
#include <string.h>

#include "test.h"
#include "vigil_sim.h"

static const char *const backends[] = { "sim-ready", "sim-complete" };

struct room {
    vigil_sim *sim;
    const vigil_host *host[2];
    vigil_loop *loop[2];
    size_t got;
    char bytes[64];
    bool eof, closed;
    int why;
    int signalled;
};

static void room_open(struct room *room, const char *backend)
{
    static const char *const addresses[] = { "10.0.0.1", "fd00::2" };
    memset(room, 0, sizeof(*room));
    REQUIRE(vigil_sim_open(&room->sim, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        room->host[i] = vigil_sim_host(room->sim, addresses[i], NULL);
        const vigil_loop_options options = { .host = room->host[i], .backend = backend };
        REQUIRE(vigil_loop_open(&room->loop[i], &options) == 0);
        EQ_STR(backend, vigil_loop_backend(room->loop[i]));
    }
}

static void room_close(struct room *room)
{
    for (int i = 0; i < 2; i++)
        vigil_loop_close(room->loop[i]);
    OK(vigil_sim_check_balance(room->sim), "%s", vigil_sim_failure(room->sim));
    vigil_sim_close(room->sim);
}

static size_t hear(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct room *room = ctx;
    (void)loop;
    (void)conn;
    for (size_t i = 0; i < n; i++, room->got++)
        if (room->got < sizeof(room->bytes))
            room->bytes[room->got] = ((const char *)p)[i];
    return n;
}

static void hear_end(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    ((struct room *)ctx)->eof = true;
    EQ_INT(0, vigil_finish(loop, conn));
}

static void hear_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct room *room = ctx;
    (void)loop;
    (void)conn;
    room->closed = true;
    room->why = why;
}

static const vigil_conn_ops hearing = { .data = hear, .eof = hear_end, .close = hear_close };

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static const vigil_conn_ops echoing = { .data = echo };

/* Connects from a loop to `where`, says hello, and ends: the echo, or why not. */
static int visit(struct room *room, int from, const char *where)
{
    const vigil_conn_options options = { .ops = &hearing, .ctx = room };
    vigil_conn conn;
    room->got = 0;
    room->eof = room->closed = false;
    int status = vigil_connect(room->loop[from], where, &options, &conn);
    if (status < 0)
        return status;
    EQ_INT(0, vigil_send_all(room->loop[from], conn, "hello", 5));
    EQ_INT(0, vigil_end(room->loop[from], conn));
    OK(vigil_sim_run_for(room->sim, VIGIL_S(200)) >= 0, "%s", vigil_sim_failure(room->sim));
    OK(room->closed, "%s", where);
    OK(room->why != 0 || (room->got == 5 && memcmp(room->bytes, "hello", 5) == 0), "%s", where);
    return room->why;
}

TEST(addresses_lead_to_whoever_listens_there)
{
    static const struct {
        const char *listens;
        bool v6_only;
        int from;
        const char *connects;
        int want;
    } rows[] = {
        { "10.0.0.1:7", false, 1, "10.0.0.1:7", 0 },
        { "10.0.0.1:7", false, 0, "10.0.0.1:7", 0 },
        { "10.0.0.1:7", false, 0, "127.0.0.1:7", VIGIL_ECONNREFUSED },
        { "10.0.0.1:7", false, 1, "10.0.0.1:8", VIGIL_ECONNREFUSED },
        { "10.0.0.1:7", false, 1, "10.0.0.3:7", VIGIL_EUNREACH },
        { "127.0.0.1:7", false, 0, "127.0.0.1:7", 0 },
        { "127.0.0.1:7", false, 1, "127.0.0.1:7", VIGIL_ECONNREFUSED },
        { "0.0.0.0:7", false, 1, "10.0.0.1:7", 0 },
        { "0.0.0.0:7", false, 0, "0.0.0.0:7", 0 },
        { "[::]:7", false, 1, "10.0.0.1:7", 0 },
        { "[::]:7", false, 0, "[::1]:7", 0 },
        { "[::]:7", true, 1, "10.0.0.1:7", VIGIL_ECONNREFUSED },
        { "[::]:7", true, 0, "[::]:7", 0 },
        { "unix:/run/a", false, 0, "unix:/run/a", 0 },
        { "unix:/run/a", false, 0, "unix:/run/b", VIGIL_ENOENT },
        { "unix:/run/a", false, 1, "unix:/run/a", VIGIL_ENOENT }, /* each host's own */
        { "unix:@a", false, 0, "unix:@a", 0 },
        { "unix:@a", false, 0, "unix:@b", VIGIL_ENOENT },
    };
    for (size_t i = 0; i < TEST_COUNT(rows) * TEST_COUNT(backends); i++) {
        struct room room;
        size_t r = i / TEST_COUNT(backends);
        room_open(&room, backends[i % TEST_COUNT(backends)]);
        const vigil_listen_options options = { .ops = &echoing, .v6_only = rows[r].v6_only };
        EQ_INT(0, vigil_listen(room.loop[0], rows[r].listens, &options, NULL), "row %zu", r);
        int why = visit(&room, rows[r].from, rows[r].connects);
        bool unix_refused = rows[r].want == VIGIL_ENOENT && why == VIGIL_ECONNREFUSED;
        OK(why == rows[r].want || unix_refused, "row %zu: %s to %s: %s", r, rows[r].connects,
           rows[r].listens, vigil_err_name(why));
        room_close(&room);
    }
}

TEST(who_may_listen_where_another_does)
{
    static const struct {
        const char *first, *second;
        bool reuse, v6_only;
        int want;
    } rows[] = {
        { "10.0.0.1:7", "10.0.0.1:8", false, false, 0 },
        { "10.0.0.1:7", "10.0.0.1:7", false, false, VIGIL_EADDRINUSE },
        { "10.0.0.1:7", "10.0.0.1:7", true, false, 0 },
        { "10.0.0.1:7", "0.0.0.0:7", false, false, VIGIL_EADDRINUSE },
        { "0.0.0.0:7", "127.0.0.1:7", false, false, VIGIL_EADDRINUSE },
        { "0.0.0.0:7", "[::]:7", false, true, 0 },
        { "0.0.0.0:7", "[::]:7", false, false, VIGIL_EADDRINUSE },
        { "unix:/run/a", "unix:/run/b", false, false, 0 },
        { "unix:/run/a", "unix:/run/a", false, false, VIGIL_EADDRINUSE },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct room room;
        room_open(&room, "sim-ready");
        const vigil_listen_options options = { .ops = &echoing,
                                               .reuse_port = rows[i].reuse,
                                               .v6_only = rows[i].v6_only };
        EQ_INT(0, vigil_listen(room.loop[0], rows[i].first, &options, NULL), "row %zu", i);
        EQ_INT(rows[i].want, vigil_listen(room.loop[0], rows[i].second, &options, NULL), "row %zu",
               i);
        EQ_INT(VIGIL_EADDR, vigil_listen(room.loop[0], "10.0.0.77:7", &options, NULL));
        room_close(&room);
    }
}

TEST(the_name_of_a_closed_unix_socket_is_free)
{
    struct room room;
    vigil_listener listener;
    room_open(&room, "sim-ready");
    const vigil_listen_options options = { .ops = &echoing, .unix_mode = 0600 };
    for (int i = 0; i < 2; i++) {
        EQ_INT(0, vigil_listen(room.loop[0], "unix:/run/a", &options, &listener));
        EQ_INT(0, visit(&room, 0, "unix:/run/a"));
        EQ_INT(0, vigil_listener_close(room.loop[0], listener));
    }
    EQ_INT(VIGIL_ENOENT, visit(&room, 0, "unix:/run/a"));
    room_close(&room);
}

static void sends_hello(struct room *room, vigil_conn from)
{
    EQ_INT(0, vigil_send_all(room->loop[0], from, "hello", 5));
    EQ_INT(0, vigil_end(room->loop[0], from));
    EQ_INT(1, vigil_sim_run_for(room->sim, VIGIL_S(100)));
    OK(room->got == 5 && room->eof, "%zu bytes", room->got);
}

TEST(pairs_and_pipes_are_adopted)
{
    for (size_t b = 0; b < TEST_COUNT(backends); b++) {
        struct room room;
        vigil_fd pair[2], pipe[2];
        vigil_conn conn;
        room_open(&room, backends[b]);
        const vigil_conn_options talking = { .ops = &echoing };
        const vigil_conn_options listening = { .ops = &hearing, .ctx = &room };
        EQ_INT(0, vigil_sim_pair(room.sim, room.host[0], pair));
        EQ_INT(0, vigil_adopt(room.loop[0], pair[0], pair[0], &talking, &conn));
        EQ_INT(0, vigil_adopt(room.loop[0], pair[1], pair[1], &listening, NULL));
        sends_hello(&room, conn);
        room.got = 0;
        room.eof = false;
        EQ_INT(0, vigil_sim_pipe(room.sim, room.host[0], pipe));
        EQ_INT(0, vigil_adopt(room.loop[0], VIGIL_FD_NONE, pipe[1], &talking, &conn));
        EQ_INT(0, vigil_adopt(room.loop[0], pipe[0], VIGIL_FD_NONE, &listening, NULL));
        sends_hello(&room, conn);
        room_close(&room);
    }
}

TEST(files_are_sent_and_what_is_not_adopted_is_closed)
{
    struct room room;
    vigil_fd pair[2], file, empty;
    vigil_conn conn;
    room_open(&room, "sim-complete");
    const vigil_conn_options talking = { .ops = &echoing };
    const vigil_conn_options listening = { .ops = &hearing, .ctx = &room };
    EQ_INT(0, vigil_sim_file(room.sim, room.host[0], "it is hello", 11, &file));
    EQ_INT(0, vigil_sim_file(room.sim, room.host[0], NULL, 0, &empty));
    EQ_INT(0, vigil_sim_pair(room.sim, room.host[0], pair));
    EQ_INT(0, vigil_adopt(room.loop[0], pair[0], pair[0], &talking, &conn));
    EQ_INT(0, vigil_adopt(room.loop[0], pair[1], pair[1], &listening, NULL));
    EQ_INT(0, vigil_send_file(room.loop[0], conn, file, 6, 5, NULL, NULL));
    EQ_INT(0, vigil_end(room.loop[0], conn));
    EQ_INT(1, vigil_sim_run_for(room.sim, VIGIL_S(100)));
    OK(room.got == 5 && memcmp(room.bytes, "hello", 5) == 0, "%zu", room.got);
    vigil_sim_close_fd(room.sim, room.host[0], file);
    vigil_sim_close_fd(room.sim, room.host[0], empty);
    vigil_sim_close_fd(room.sim, room.host[0], empty); /* closed already: nothing */
    vigil_sim_close_fd(room.sim, room.host[0], VIGIL_FD_NONE);
    room_close(&room);
}

TEST(a_host_is_out_of_descriptors_at_its_limit)
{
    vigil_sim *sim;
    vigil_fd fds[4][2], file;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *host = vigil_sim_host(sim, "10.0.0.1",
                                            &(vigil_sim_host_options){ .fd_limit = 5 });
    EQ_INT(0, vigil_sim_pair(sim, host, fds[0]));
    EQ_INT(0, vigil_sim_pipe(sim, host, fds[1]));
    EQ_INT(VIGIL_EMFILE, vigil_sim_pair(sim, host, fds[2]));
    EQ_INT(VIGIL_EMFILE, vigil_sim_pipe(sim, host, fds[2]));
    vigil_sim_close_fd(sim, host, fds[0][0]);
    EQ_INT(0, vigil_sim_file(sim, host, "x", 1, &file));
    EQ_INT(fds[0][0], file, "the lowest is free");
    EQ_INT(0, vigil_sim_file(sim, host, "x", 1, &file));
    EQ_INT(VIGIL_EMFILE, vigil_sim_file(sim, host, "x", 1, &file));
    OK(!vigil_sim_check_balance(sim));
    OK(strncmp(vigil_sim_failure(sim), "everything is given back", 24) == 0);
    vigil_sim_close(sim);
}

TEST(a_host_is_out_of_memory_at_its_limit)
{
    vigil_sim *sim;
    vigil_loop *loop;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *host = vigil_sim_host(sim, "10.0.0.1",
                                            &(vigil_sim_host_options){ .memory_limit = 100 });
    EQ_INT(VIGIL_ENOMEM, vigil_loop_open(&loop, &(vigil_loop_options){ .host = host }));
    OK(vigil_sim_excused(sim, host, VIGIL_FD_NONE));
    OK(vigil_sim_check_balance(sim));
    vigil_sim_close(sim);
}

static void note_signal(vigil_loop *loop, int signo, void *arg)
{
    (void)loop;
    ((struct room *)arg)->signalled += signo;
}

TEST(signals_arrive_at_the_hosts_loops_alone)
{
    struct room room;
    room_open(&room, "sim-ready");
    EQ_INT(VIGIL_EINVAL, vigil_on_signal(room.loop[0], 0, note_signal, &room, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_on_signal(room.loop[0], SIGKILL, note_signal, &room, NULL));
    EQ_INT(0, vigil_on_signal(room.loop[0], SIGHUP, note_signal, &room, NULL));
    vigil_sim_signal(room.sim, room.host[0], SIGHUP);
    vigil_sim_signal(room.sim, room.host[0], SIGTERM); /* nobody asked for it */
    vigil_sim_signal(room.sim, room.host[1], SIGHUP);
    EQ_INT(1, vigil_sim_run_for(room.sim, VIGIL_S(1)));
    EQ_INT(SIGHUP, room.signalled);
    room_close(&room);
}

/* 60 bytes at 10 a second over a link of 1 s. */
TEST(a_link_is_as_slow_as_it_is_set)
{
    struct room room;
    vigil_conn conn;
    const vigil_sim_link slow = { .latency_ns = VIGIL_S(1), .bytes_per_second = 10 };
    room_open(&room, "sim-ready");
    EQ_INT(0, vigil_sim_connect_hosts(room.sim, room.host[0], room.host[1], &slow));
    EQ_INT(0, vigil_listen(room.loop[0], "10.0.0.1:7",
                           &(vigil_listen_options){ .ops = &hearing, .user = &room }, NULL));
    EQ_INT(0, vigil_connect(room.loop[1], "10.0.0.1:7", &(vigil_conn_options){ .ops = &echoing },
                            &conn));
    EQ_INT(0, vigil_send_all(room.loop[1], conn, (char[60]){ "slow" }, 60));
    EQ_INT(0, vigil_sim_run_for(room.sim, VIGIL_MS(8900)));
    EQ_INT(0, room.got, "2 s for the handshake, 6 for the bytes, 1 for the way");
    EQ_INT(1, vigil_sim_run_for(room.sim, VIGIL_S(200)));
    EQ_INT(60, room.got);
    room_close(&room);
}

/* By one loop in vigil_loop_run(), as a program would. */
static void stop(void *arg)
{
    vigil_loop_stop(arg);
}

TEST(a_loop_that_runs_lets_the_world_go_on)
{
    struct room room;
    room_open(&room, "sim-complete");
    EQ_INT(0, vigil_listen(room.loop[0], "10.0.0.1:7", &(vigil_listen_options){ .ops = &echoing },
                           NULL));
    vigil_conn conn;
    const vigil_conn_options options = { .ops = &hearing, .ctx = &room };
    EQ_INT(0, vigil_connect(room.loop[1], "10.0.0.1:7", &options, &conn));
    EQ_INT(0, vigil_send_all(room.loop[1], conn, "hello", 5));
    EQ_INT(0, vigil_sim_after(room.sim, VIGIL_S(5), stop, room.loop[1]));
    EQ_INT(0, vigil_loop_run(room.loop[1]));
    EQ_INT(5, room.got);
    EQ_INT(VIGIL_S(6), vigil_sim_now(room.sim));
    room_close(&room);
}
