/* SPDX-License-Identifier: MIT
 *
 * hostile.c -- peers that behave badly, and callbacks that close what they stand on.
 */
#include "conn_rig.h"

/* Closes with a reset. */
static void client_reset(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

/* Everybody has gone, and nothing of them is left. */
static void nothing_is_left(struct rig *rig)
{
    RIG_UNTIL(rig, rig_stats(rig).conns == 0 && rig->opened == rig->closed);
    rig_is_quiet(rig);
    EQ_INT(0, rig_stats(rig).memory);
    vigil_stats stats = rig_stats(rig);
    EQ_INT(rig->closed, stats.closed_ok + stats.closed_error);
}

/* ---- resets ---- */

enum { MANY = 50 };

CONFORM(resets_before_anybody_accepted)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    rig.ops.eof = NULL;
    for (int i = 0; i < MANY; i++) {
        int fd = rig_client(&rig);
        if (i % 2 == 0)
            client_send(fd, "and data");
        client_reset(fd);
    }
    RIG_UNTIL(&rig, rig_stats(&rig).accepted + rig_stats(&rig).accept_errors == MANY);
    nothing_is_left(&rig);
    rig_close(&rig);
}

CONFORM(resets_of_idle_connections_and_behind_data)
{
    needs_resets();
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = rig_client_opened(&rig);
    for (int i = 0; i < MANY; i++) {
        if (i % 2 == 0)
            client_send(fds[i], "and data");
        client_reset(fds[i]);
    }
    nothing_is_left(&rig);
    EQ_INT(VIGIL_ECONNRESET, rig.why);
    rig_close(&rig);
}

CONFORM(resets_while_a_queue_drains_behind_fin)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    rig.ops.eof = NULL;
    for (int i = 0; i < test_many(MANY, 4); i++) {
        static const char block[1 << 20];
        int fd = rig_client_opened(&rig);
        EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_SNDBUF, 4096));
        EQ_INT(0, vigil_send_all(rig.loop, rig.conn, block, sizeof(block)));
        client_send(fd, "hello");
        shutdown(fd, SHUT_WR);
        if (i % 2 == 0)
            EQ_INT(0, vigil_finish(rig.loop, rig.conn));
        rig_settle(&rig);
        OK(rig_info(&rig, rig.conn).queued > 0);
        client_reset(fd);
        RIG_UNTIL(&rig, rig.closed == i + 1);
        EQ_INT(VIGIL_ECONNRESET, rig.why);
    }
    nothing_is_left(&rig);
    rig_close(&rig);
}

/* Nobody looks at one that is paused: its end is found when somebody does. */
CONFORM(a_reset_of_one_that_is_paused_neither_spins_nor_is_lost)
{
    needs_resets();
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    client_send(fd, "unread");
    client_reset(fd);
    rig_is_quiet(&rig);
    EQ_INT(0, vigil_resume(rig.loop, rig.conn));
    nothing_is_left(&rig);
    rig_close(&rig);
}

/* ---- odd peers ---- */

CONFORM(urgent_data_is_left_out_and_nothing_else)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    char got[9] = "";
    client_send(fd, "abcd");
    REQUIRE(send(fd, "!", 1, MSG_OOB) == 1);
    rig_is_quiet(&rig);
    client_send(fd, "efgh");
    rig_client_gets(&rig, fd, got, 8);
    EQ_STR("abcdefgh", got);
    for (int i = 0; i < 10; i++)
        REQUIRE(send(fd, "?", 1, MSG_OOB) == 1);
    rig_is_quiet(&rig);
    EQ_INT(0, rig.closed);
    close(fd);
    rig_close(&rig);
}

CONFORM(a_peer_that_shuts_down_its_reading)
{
    needs_resets();
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    rig.ops.eof = NULL;
    int fd = rig_client_opened(&rig);
    shutdown(fd, SHUT_RD);
    client_send(fd, "speak");
    RIG_UNTIL(&rig, rig_stats(&rig).bytes_out == 5); /* TCP does not tell */
    rig_is_quiet(&rig);
    close(fd);
    nothing_is_left(&rig);
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], NULL));
    RIG_UNTIL(&rig, rig.opened == 2);
    shutdown(fds[1], SHUT_RD);
    rig_is_quiet(&rig);
    client_send(fds[1], "speak");
    nothing_is_left(&rig);
    EQ_INT(VIGIL_ECONNRESET, rig.why);
    close(fds[1]);
    rig_close(&rig);
}

CONFORM(a_thousand_single_bytes)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    char got[1000];
    for (int i = 0; i < 1000; i++) {
        char byte = (char)i;
        REQUIRE(send(fd, &byte, 1, 0) == 1);
        if (i % 7 == 0)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    }
    rig_client_gets(&rig, fd, got, sizeof(got));
    for (int i = 0; i < 1000; i++)
        REQUIRE(got[i] == (char)i, "byte %d", i);
    close(fd);
    rig_close(&rig);
}

CONFORM(both_sides_close_at_once)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    vigil_conn conn;
    EQ_INT(0, rig_connect(&rig, rig.where, NULL, &conn));
    RIG_UNTIL(&rig, rig.opened == 2);
    for (vigil_conn at = vigil_conn_next(rig.loop, (vigil_conn){ 0 }); at.v != 0;
         at = vigil_conn_next(rig.loop, at)) {
        EQ_INT(3, vigil_send(rig.loop, at, "bye", 3));
        EQ_INT(0, vigil_finish(rig.loop, at));
    }
    nothing_is_left(&rig);
    EQ_INT(2, rig_stats(&rig).closed_ok);
    rig_close(&rig);
}

CONFORM(peers_that_are_half_gone_cost_nothing)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = rig_client_opened(&rig);
        if (i == 1)
            EQ_INT(0, vigil_end(rig.loop, rig.conn));
        if (i == 2)
            EQ_INT(0, vigil_pause(rig.loop, rig.conn));
        if (i == 3) { /* paused, and more to send than it takes */
            static const char block[1 << 20];
            EQ_INT(0, vigil_pause(rig.loop, rig.conn));
            for (int k = 0; k < 8; k++) {
                (void)vigil_send_all(rig.loop, rig.conn, block, sizeof(block));
                rig_settle(&rig);
            }
            EQ_STR("the peer to take output", rig_info(&rig, rig.conn).waiting_for);
        }
        if (i == 4)
            EQ_INT(0, vigil_finish(rig.loop, rig.conn));
    }
    rig_is_quiet(&rig);
    for (int i = 0; i < 4; i++) {
        client_send(fds[i], "x");
        shutdown(fds[i], SHUT_WR);
    }
    rig_is_quiet(&rig);
    EQ_INT(1, rig.closed); /* the one of which both sides have ended */
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    rig_close(&rig);
}

/* ---- what the peer sees of our close ---- */

CONFORM(the_peer_sees_the_end_before_any_further_call)
{
    char scratch[16];
    for (int how = 0; how < 2; how++) {
        struct rig rig;
        rig_open(&rig, backend, NULL);
        int fd = rig_client_opened(&rig);
        EQ_INT(0, (how == 0 ? vigil_end : vigil_abort)(rig.loop, rig.conn));
        if (how == 0)
            shutdown(fd, SHUT_WR);
        RIG_UNTIL(&rig, rig.closed == 1);
        ssize_t seen = recv(fd, scratch, sizeof(scratch), 0); /* no turn in between */
        bool end = how == 0 || reset_seen() == 0;
        EQ_INT(end ? 0 : -1, seen);
        OK(end || errno == ECONNRESET);
        close(fd);
        rig_close(&rig);
    }
}

/* ---- closing in callbacks ---- */

static vigil_conn victim;

static void abort_here(struct rig *rig, vigil_conn conn)
{
    (void)vigil_abort(rig->loop, conn); /* in close it is gone already */
    EQ_INT(VIGIL_ESTALE, vigil_abort(rig->loop, conn));
}

static void abort_victim(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    (void)vigil_abort(rig->loop, victim);
}

static void close_loop(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    vigil_loop_close(rig->loop);
}

typedef void hook(struct rig *rig, vigil_conn conn);

static hook *in_data_hook;

static size_t in_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    static const char block[5000];
    (void)p;
    (void)vigil_send(rig->loop, conn, block, sizeof(block)); /* cut: brings writable */
    if (in_data_hook != NULL)
        in_data_hook(rig, conn);
    return n;
}

enum { IN_OPEN, IN_DATA, IN_EOF, IN_WRITABLE, IN_CLOSE, IN_KINDS };

/* Three clients who send and end, and a callback that does `what` in one kind of callback. */
static void in_each(const char *backend, hook *what, bool loop_ends)
{
    for (int kind = 0; kind < IN_KINDS; kind++) {
        struct rig rig;
        rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .out_high = 4096 } });
        rig.on_open = kind == IN_OPEN ? what : NULL;
        in_data_hook = kind == IN_DATA ? what : NULL;
        rig.on_data = in_data;
        rig.on_eof = kind == IN_EOF ? what : NULL;
        rig.on_writable = kind == IN_WRITABLE ? what : NULL;
        rig.on_close = kind == IN_CLOSE ? what : NULL;
        int fds[3];
        for (int i = 0; i < 3; i++)
            fds[i] = rig_client(&rig);
        int status = 0;
        for (int turns = 0; turns < 200 && status >= 0 && rig.opened < 3; turns++)
            status = vigil_loop_turn(rig.loop, VIGIL_MS(10));
        victim = rig.conn;
        for (int i = 0; i < 3; i++) {
            (void)!send(fds[i], "hello", 5, MSG_NOSIGNAL);
            shutdown(fds[i], SHUT_WR);
        }
        for (int turns = 0; turns < 50 && status >= 0; turns++)
            status = vigil_loop_turn(rig.loop, VIGIL_MS(2));
        if (kind == IN_CLOSE && status >= 0) { /* nobody has closed yet */
            (void)vigil_abort(rig.loop, vigil_conn_next(rig.loop, (vigil_conn){ 0 }));
            for (int turns = 0; turns < 50 && status >= 0; turns++)
                status = vigil_loop_turn(rig.loop, VIGIL_MS(2));
        }
        if (loop_ends)
            EQ_INT(VIGIL_ECANCELED, status, "kind %d", kind);
        if (status != VIGIL_ECANCELED)
            vigil_loop_close(rig.loop); /* nobody has */
        /* Some may be closed that never opened; none twice, none never. */
        OK(rig.closed >= rig.opened && rig.closed <= 3, "kind %d: %s", kind, rig.log);
        OK(loop_ends || rig.closed == 3, "kind %d: %s", kind, rig.log);
        OK_ALLOCATOR_EMPTY(&rig.memory);
        for (int i = 0; i < 3; i++)
            close(fds[i]);
    }
}

CONFORM(aborting_oneself_in_every_callback)
{
    in_each(backend, abort_here, false);
}

CONFORM(aborting_another_in_every_callback)
{
    in_each(backend, abort_victim, false);
}

CONFORM(closing_the_loop_in_every_callback)
{
    in_each(backend, close_loop, true);
}

static void close_loop_in_done(void *arg)
{
    vigil_loop_close(((struct rig *)arg)->loop);
}

static void *close_loop_in_ctx(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)conn;
    vigil_loop_close(loop);
    return user;
}

CONFORM(closing_the_loop_where_a_connection_is_made_or_memory_given_back)
{
    for (int kind = 0; kind < 2; kind++) {
        struct rig rig;
        rig_open(&rig, backend,
                 &(vigil_listen_options){ .ctx = kind == 0 ? close_loop_in_ctx : NULL });
        int fd = rig_client(&rig), status = 0;
        for (int turns = 0; turns < 200 && status >= 0; turns++) {
            status = vigil_loop_turn(rig.loop, VIGIL_MS(10));
            if (status >= 0 && rig.opened == 1 && rig.number++ == 0)
                EQ_INT(0, vigil_send_owned(rig.loop, rig.conn, "x", 1, close_loop_in_done, &rig));
        }
        EQ_INT(VIGIL_ECANCELED, status);
        if (status != VIGIL_ECANCELED)
            vigil_loop_close(rig.loop); /* nobody has */
        EQ_INT(1, rig.closed);
        OK_ALLOCATOR_EMPTY(&rig.memory);
        close(fd);
    }
}

/* Its bytes are in the same batch of events. */
static size_t abort_the_other(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    for (vigil_conn at = vigil_conn_next(rig->loop, (vigil_conn){ 0 }); at.v != 0;
         at = vigil_conn_next(rig->loop, at))
        if (at.v != conn.v)
            EQ_INT(0, vigil_abort(rig->loop, at));
    return n;
}

CONFORM(one_closed_by_another_of_the_same_batch_hears_nothing)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = abort_the_other;
    int fds[10];
    for (int i = 0; i < 10; i++)
        fds[i] = rig_client_opened(&rig);
    for (int i = 0; i < 10; i++)
        client_send(fds[i], "x");
    RIG_UNTIL(&rig, rig.closed == 9);
    rig_settle(&rig);
    EQ_INT(1, rig.used_total);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    rig_close(&rig);
}

/* The number of one that just closed is taken by a new one within the turn. */
static void connect_in_close(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    if (rig->number++ < 8)
        EQ_INT(0, rig_connect(rig, rig->where, NULL, NULL));
}

CONFORM(a_number_reused_within_the_turn_is_another_connection)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_close = connect_in_close;
    int fds[8], opened = 8;
    for (int i = 0; i < 8; i++)
        fds[i] = rig_client_opened(&rig);
    for (int i = 0; i < 8; i++)
        client_send(fds[i], "unread by the aborted");
    for (vigil_conn at = vigil_conn_next(rig.loop, (vigil_conn){ 0 }); at.v != 0;
         at = vigil_conn_next(rig.loop, at))
        EQ_INT(0, vigil_abort(rig.loop, at));
    opened += 16; /* both ends of each new one are ours */
    RIG_UNTIL(&rig, rig.opened == opened);
    EQ_INT(8, rig.closed);
    rig.used_total = 0;
    for (vigil_conn at = vigil_conn_next(rig.loop, (vigil_conn){ 0 }); at.v != 0;
         at = vigil_conn_next(rig.loop, at))
        EQ_INT(2, vigil_send(rig.loop, at, "hi", 2));
    RIG_UNTIL(&rig, rig.used_total == 32);
    EQ_INT(8, rig.closed);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    rig_close(&rig);
}
