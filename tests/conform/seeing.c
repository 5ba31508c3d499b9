/* SPDX-License-Identifier: MIT
 *
 * seeing.c -- looking at connections: what is known of one, of all, and in the counters.
 */
#include "conn_rig.h"

/* ---- one connection ---- */

static void see_closing(struct rig *rig, vigil_conn conn)
{
    vigil_conn_info info = rig_info(rig, conn);
    vigil_addr local;
    EQ_INT(VIGIL_CLOSING, info.state);
    EQ_STR("its close", info.waiting_for);
    EQ_INT(8, info.bytes_in);
    EQ_INT(0, vigil_conn_local(rig->loop, conn, &local)); /* for the log that is written here */
    EQ_PTR(rig, vigil_conn_ctx(rig->loop, conn));
    EQ_INT(VIGIL_ESTALE, vigil_end(rig->loop, conn)); /* but nothing can be done any more */
}

static size_t hold_all(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig, (void)conn, (void)p, (void)n;
    return 0;
}

CONFORM(info_in_every_state)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = hold_all;
    rig.on_close = see_closing;
    int fd = rig_client_opened(&rig);
    vigil_conn conn = rig.conn;
    vigil_conn_info info = rig_info(&rig, conn);
    EQ_INT(VIGIL_OPEN, info.state);
    EQ_STR("input", info.waiting_for);
    EQ_INT(rig.listener.v, info.listener.v);
    EQ_INT(0, info.blocked_on.v);
    client_send(fd, "held");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    EQ_INT(4, rig_info(&rig, conn).held);
    EQ_INT(0, vigil_pause(rig.loop, conn));
    EQ_STR("vigil_resume", rig_info(&rig, conn).waiting_for);
    EQ_INT(0, vigil_resume(rig.loop, conn));
    EQ_INT(3, vigil_send(rig.loop, conn, "out", 3));
    EQ_INT(3, rig_info(&rig, conn).queued);
    rig_settle(&rig);
    info = rig_info(&rig, conn);
    EQ_INT(0, info.queued);
    EQ_INT(3, info.bytes_out);
    EQ_INT(4, info.bytes_in);
    OK(info.opened <= info.progress && info.progress <= vigil_now(rig.loop));
    EQ_INT(0, vigil_end(rig.loop, conn));
    EQ_INT(VIGIL_HALF_IN, rig_info(&rig, conn).state);
    EQ_INT(0, vigil_finish(rig.loop, conn));
    rig_settle(&rig);
    info = rig_info(&rig, conn);
    EQ_INT(VIGIL_FINISHING, info.state);
    EQ_INT(0, info.held);
    EQ_STR("the peer's end, lingering", info.waiting_for);
    client_send(fd, "gone");
    close(fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ESTALE, vigil_conn_info_get(rig.loop, conn, &info));
    rig_close(&rig);
}

CONFORM(half_out_and_connecting)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    EQ_INT(VIGIL_HALF_OUT, rig_info(&rig, rig.conn).state);
    EQ_STR("something to send", rig_info(&rig, rig.conn).waiting_for);
    vigil_conn conn;
    EQ_INT(0, rig_connect(&rig, rig.where, NULL, &conn));
    vigil_conn_info info = rig_info(&rig, conn);
    EQ_INT(VIGIL_CONNECTING, info.state);
    EQ_STR("the connect to end", info.waiting_for);
    EQ_INT(0, info.listener.v);
    close(fd);
    rig_close(&rig);
}

static vigil_conn victim;

static size_t send_to_victim(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    return conn.v == victim.v ? n : vigil_send(rig->loop, victim, p, n);
}

CONFORM(who_is_blocked_on_whom_is_told)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .out_high = 4096 } });
    rig.on_data = send_to_victim;
    int slow = rig_client_opened(&rig);
    victim = rig.conn;
    int small = 4096;
    setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    EQ_INT(0, vigil_conn_option(rig.loop, victim, VIGIL_SNDBUF, 4096));
    int fd = rig_client_opened(&rig);
    static const char block[65536];
    for (int turns = 0; turns < 2000 && rig_info(&rig, rig.conn).blocked_on.v == 0; turns++) {
        (void)!send(fd, block, sizeof(block), MSG_DONTWAIT);
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
    }
    vigil_conn_info info = rig_info(&rig, rig.conn);
    EQ_INT(victim.v, info.blocked_on.v);
    EQ_STR("room in another's output", info.waiting_for);
    EQ_STR("the peer to take output", rig_info(&rig, victim).waiting_for);
    close(fd);
    close(slow);
    rig_close(&rig);
}

/* ---- context and callbacks changed ---- */

static char other_ctx[] = "another";

static size_t other_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)loop, (void)conn;
    struct rig *rig = ctx;
    rig_log(rig, "other(%.*s)", (int)n, (const char *)p);
    return n;
}

static void other_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop, (void)conn, (void)why;
    EQ_PTR(other_ctx, ctx);
    other_ctx[0]++;
}

static const vigil_conn_ops other_ops = { .data = other_data };

CONFORM(the_context_is_changed)
{
    static const vigil_conn_ops ops = { .close = other_close };
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    other_ctx[0] = 'a';
    EQ_INT(0, vigil_conn_set_ctx(rig.loop, rig.conn, other_ctx));
    EQ_INT(VIGIL_EINVAL, vigil_conn_set_ops(rig.loop, rig.conn, NULL));
    EQ_INT(0, vigil_conn_set_ops(rig.loop, rig.conn, &ops));
    EQ_PTR(other_ctx, vigil_conn_ctx(rig.loop, rig.conn));
    close(fd);
    RIG_UNTIL(&rig, other_ctx[0] == 'b');
    EQ_INT(VIGIL_ESTALE, vigil_conn_set_ctx(rig.loop, rig.conn, NULL));
    EQ_INT(VIGIL_ESTALE, vigil_conn_set_ops(rig.loop, rig.conn, &ops));
    rig_close(&rig);
}

CONFORM(held_input_is_offered_once_to_new_callbacks)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = hold_all;
    int fd = rig_client_opened(&rig);
    client_send(fd, "held");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    EQ_INT(0, vigil_conn_set_ops(rig.loop, rig.conn, &other_ops));
    RIG_UNTIL(&rig, strstr(rig.log, "other") != NULL);
    rig_settle(&rig);
    EQ_STR("data(4) other(held)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

/* The law: the next call comes when there is more than before. */
CONFORM(new_callbacks_that_want_more_are_not_asked_twice)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = hold_all;
    int fd = rig_client_opened(&rig);
    client_send(fd, "held");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    rig_settle(&rig); /* it reads on */
    vigil_conn_ops again = rig.ops;
    EQ_INT(0, vigil_conn_set_ops(rig.loop, rig.conn, &again));
    client_send(fd, ", and more"); /* comes in the turn in which the held is offered */
    RIG_UNTIL(&rig, strstr(rig.log, "data(14)") != NULL);
    rig_settle(&rig);
    EQ_STR("data(4) data(14)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

static size_t hand_over(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p, (void)n;
    EQ_INT(0, vigil_conn_set_ops(rig->loop, conn, &other_ops));
    return (size_t)rig->number;
}

CONFORM(callbacks_changed_in_data_get_the_rest_at_once)
{
    static const struct {
        long used;
        const char *want;
    } rows[] = { { 0, "data(8) other(headbody)" }, { 4, "data(8) other(body)" }, { 8, "data(8)" } };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct rig rig;
        rig_open(&rig, backend, NULL);
        rig.on_data = hand_over;
        rig.number = rows[i].used;
        int fd = rig_client_opened(&rig);
        client_send(fd, "headbody");
        RIG_UNTIL(&rig, rig.log[0] != '\0');
        rig_settle(&rig);
        EQ_STR(rows[i].want, rig_take_log(&rig));
        close(fd);
        rig_close(&rig);
    }
}

/* ---- all of them ---- */

CONFORM(iteration_survives_closing_each_and_others)
{
    enum { COUNT = 100 };
    for (int how = 0; how < 3; how++) {
        struct rig rig;
        int fds[COUNT];
        rig_open(&rig, backend, NULL);
        for (int i = 0; i < COUNT; i++)
            fds[i] = rig_client(&rig);
        RIG_UNTIL(&rig, rig.opened == COUNT);
        int seen = 0;
        for (vigil_conn conn = vigil_conn_next(rig.loop, (vigil_conn){ 0 }); conn.v != 0;
             conn = vigil_conn_next(rig.loop, conn)) {
            seen++;
            vigil_conn next = vigil_conn_next(rig.loop, conn);
            if (how >= 1)
                EQ_INT(0, vigil_abort(rig.loop, conn));
            if (how == 2 && next.v != 0)
                EQ_INT(0, vigil_abort(rig.loop, next));
        }
        EQ_INT(how == 2 ? COUNT / 2 : COUNT, seen);
        RIG_UNTIL(&rig, rig.closed == (how == 0 ? 0 : COUNT));
        for (int i = 0; i < COUNT; i++)
            close(fds[i]);
        rig_close(&rig);
    }
}

static void note_line(void *arg, const char *text, size_t len)
{
    struct rig *rig = arg;
    EQ_INT('\n', text[len - 1]);
    rig_log(rig, "%.*s", (int)len, text);
}

CONFORM(a_dump_has_a_line_for_everybody_and_what_he_waits_for)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int first = rig_client_opened(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    int second = rig_client_opened(&rig), fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    EQ_INT(0, rig_adopt(&rig, VIGIL_FD_NONE, fds[1], NULL));
    EQ_INT(0, rig_connect(&rig, rig.where, NULL, NULL));
    rig_take_log(&rig);
    EQ_INT(0, vigil_dump(rig.loop, note_line, &rig));
    const char *log = rig_take_log(&rig);
    int lines = 0;
    for (const char *at = log; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    EQ_INT(6, lines, "%s", log);
    char pipe_line[64];
    snprintf(pipe_line, sizeof(pipe_line), "connection of descriptor %d: ", fds[1]);
    const char *parts[] = {
        "loop on ",        "listener 127.0.0.1:", "connection 127.0.0.1:", "vigil_resume",
        "waits for input", "the connect to end",  "connections 2\n",       pipe_line
    };
    for (size_t i = 0; i < TEST_COUNT(parts); i++)
        OK(strstr(log, parts[i]) != NULL, "%s is not in: %.300s", parts[i], log);
    close(first);
    close(second);
    close(fds[0]);
    rig_close(&rig);
}

CONFORM(the_counters_add_up)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    rig.ops.eof = NULL;
    char text[5];
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = rig_client_opened(&rig);
        client_send(fds[i], "count");
        rig_client_gets(&rig, fds[i], text, 5);
    }
    rig_settle(&rig);
    vigil_stats stats = rig_stats(&rig);
    EQ_INT(3, stats.conns);
    EQ_INT(1, stats.listeners);
    EQ_INT(0, stats.memory); /* nobody holds a buffer while idle */
    OK(stats.memory_max > 0);
    EQ_INT(0, vigil_abort(rig.loop, rig.conn));
    shutdown(fds[0], SHUT_WR);
    shutdown(fds[1], SHUT_WR);
    RIG_UNTIL(&rig, rig.closed == 3);
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    stats = rig_stats(&rig);
    EQ_INT(3, stats.accepted);
    EQ_INT(2, stats.closed_ok);
    EQ_INT(1, stats.closed_error);
    EQ_INT(15, stats.bytes_in);
    EQ_INT(15, stats.bytes_out);
    EQ_INT(3, stats.receives);
    EQ_INT(3, stats.sends);
    EQ_INT(0, stats.dropped_in + stats.dropped_out);
    EQ_INT(0, stats.conns);
    OK(stats.callbacks >= 9, "%llu", (unsigned long long)stats.callbacks);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    rig_close(&rig);
}
