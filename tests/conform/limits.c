/* SPDX-License-Identifier: MIT
 *
 * limits.c -- limits of time, under a clock that stands still until a test moves it: what is due
 * comes, and not a nanosecond early.
 */
#include "conn_rig.h"
#include "sys/host.h"

static const vigil_ns limit_ns = VIGIL_MS(100);

static vigil_ns moved_clock;

static int clock_reads;

static vigil_ns read_moved_clock(void *self)
{
    (void)self;
    clock_reads++;
    return moved_clock;
}

static void rig_on_clock(struct rig *rig, const char *backend, vigil_limits limits)
{
    static vigil_host host;
    host = *vigil__host_system();
    host.now = read_moved_clock;
    moved_clock = VIGIL_S(1000);
    rig_open_loop(rig, backend, &(vigil_loop_options){ .host = &host });
    rig_listen(rig, "tcp://127.0.0.1:0", &(vigil_listen_options){ .limits = limits });
}

/* Moves the clock to the last moment before `after`, then to it. */
static void closes_after(struct rig *rig, vigil_ns after)
{
    int closed = rig->closed;
    moved_clock += after - 1;
    for (int i = 0; i < 10; i++)
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(closed, rig->closed, "early");
    moved_clock += 1;
    for (int i = 0; i < 10; i++)
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(closed + 1, rig->closed, "late");
    EQ_INT(VIGIL_ETIMEDOUT, rig->why);
    EQ_INT(closed + 1, rig_stats(rig).closed_timeout);
}

/* Moves the clock as far as may be, and nothing closes. */
static void lives_until(struct rig *rig, vigil_ns after)
{
    moved_clock += after - 1;
    for (int i = 0; i < 10; i++)
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(0, rig->closed, "%s", rig->log);
}

/* ---- idle ---- */

CONFORM(idle_counts_from_open)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    closes_after(&rig, limit_ns);
    EQ_INT(0, rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}

CONFORM(idle_begins_anew_with_every_byte_in)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    for (size_t i = 1; i <= 5; i++) {
        lives_until(&rig, limit_ns);
        client_send(fd, "x");
        RIG_UNTIL(&rig, rig.used_total == i);
    }
    closes_after(&rig, limit_ns);
    close(fd);
    rig_close(&rig);
}

CONFORM(idle_begins_anew_with_every_byte_out)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    for (int i = 1; i <= 5; i++) {
        char text;
        lives_until(&rig, limit_ns);
        EQ_INT(1, vigil_send(rig.loop, rig.conn, "x", 1));
        rig_client_gets(&rig, fd, &text, 1);
        rig_settle(&rig); /* the kernel's record of the send */
    }
    closes_after(&rig, limit_ns);
    close(fd);
    rig_close(&rig);
}

static void timer_fired(vigil_loop *loop, void *arg)
{
    (void)loop;
    ((struct rig *)arg)->number++;
}

CONFORM(idle_counts_from_the_send_whatever_else_runs_later)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    char text;
    EQ_INT(1, vigil_send(rig.loop, rig.conn, "x", 1));
    rig_client_gets(&rig, fd, &text, 1);
    if (test_kernel_performs(backend))
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0); /* the record of the send */
    moved_clock += limit_ns / 2;
    EQ_INT(0, vigil_after(rig.loop, 0, timer_fired, &rig, NULL));
    RIG_UNTIL(&rig, rig.number == 1);
    closes_after(&rig, limit_ns - limit_ns / 2);
    close(fd);
    rig_close(&rig);
}

CONFORM(half_open_is_idle_too)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    lives_until(&rig, limit_ns);
    client_send(fd, "x");
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    closes_after(&rig, limit_ns);
    close(fd);
    rig_close(&rig);
}

/* ---- a process that was stopped, or slow ---- */

static vigil_ns jump_ns;

static void jump(vigil_loop *loop, void *arg)
{
    (void)loop, (void)arg;
    moved_clock += jump_ns;
}

CONFORM(a_process_that_was_stopped_sheds_nobody_whose_bytes_wait)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    jump_ns = 3 * limit_ns;
    for (size_t i = 1; i <= 3; i++) {
        EQ_INT(0, vigil_after(rig.loop, 0, jump, NULL, NULL));
        client_send(fd, "x");
        RIG_UNTIL(&rig, rig.used_total == i || rig.closed > 0);
        EQ_INT(0, rig.closed);
    }
    closes_after(&rig, limit_ns);
    close(fd);
    rig_close(&rig);
}

static int others;

static size_t jump_and_let_the_other_send(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn;
    if (*(const char *)p == 'a') {
        moved_clock += 3 * limit_ns;
        client_send(others, "b"); /* in time: nobody looked meanwhile */
    }
    rig->number += *(const char *)p == 'b';
    return n;
}

CONFORM(a_callback_that_took_long_sheds_nobody_whose_bytes_came_meanwhile)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    rig.on_data = jump_and_let_the_other_send;
    int slow = rig_client_opened(&rig);
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &(vigil_limits){ 0 }));
    others = rig_client_opened(&rig);
    for (int i = 1; i <= 3; i++) { /* from the second on, each callback is timed */
        client_send(slow, "a");
        RIG_UNTIL(&rig, rig.number == i || rig.closed > 0);
        EQ_INT(0, rig.closed);
    }
    close(slow);
    close(others);
    rig_close(&rig);
}

/* More than one wait reports: those of the second and third batch are no less alive. */
CONFORM(a_process_that_was_stopped_sheds_nobody_of_a_crowd)
{
    enum { CROWD_MAX = 600 };
    static int fds[CROWD_MAX];
    int crowd = test_many(CROWD_MAX, 70);
    struct rig rig;
    test_needs_large_sets(backend);
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    for (int i = 0; i < crowd; i++) {
        fds[i] = rig_client(&rig);
        if (i % 64 == 63)
            RIG_UNTIL(&rig, rig.opened > i - 32);
    }
    RIG_UNTIL(&rig, rig.opened == crowd);
    for (int i = 0; i < crowd; i++)
        client_send(fds[i], "x");
    moved_clock += 3 * limit_ns;
    RIG_UNTIL(&rig, rig.used_total == (size_t)crowd || rig.closed > 0);
    EQ_INT(0, rig.closed);
    EQ_INT(crowd, rig.used_total);
    moved_clock += limit_ns;
    RIG_UNTIL(&rig, rig.closed == crowd);
    for (int i = 0; i < crowd; i++)
        close(fds[i]);
    rig_close(&rig);
}

static size_t jump_and_answer(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    moved_clock += 3 * limit_ns;
    return vigil_send(rig->loop, conn, p, n);
}

CONFORM(a_late_answer_gives_the_peer_its_whole_time)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    rig.on_data = jump_and_answer;
    int fd = rig_client_opened(&rig);
    client_send(fd, "x");
    char text;
    rig_client_gets(&rig, fd, &text, 1);
    rig_settle(&rig); /* the kernel's record of the send */
    closes_after(&rig, limit_ns);
    close(fd);
    rig_close(&rig);
}

/* Its bytes came while a callback took long, and are read in the same turn. */
CONFORM(what_is_read_behind_a_slow_callback_was_read_now)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    rig.on_data = jump_and_let_the_other_send;
    int slow = rig_client_opened(&rig);
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &(vigil_limits){ 0 }));
    others = rig_client_opened(&rig);
    client_send(slow, "a");
    client_send(others, "b");
    RIG_UNTIL(&rig, rig.used_total == 3 || rig.closed > 0);
    lives_until(&rig, limit_ns);
    close(slow);
    close(others);
    rig_close(&rig);
}

enum { CROWD_ANSWERED_MAX = 200 };

static vigil_ns answered_at[CROWD_ANSWERED_MAX];

static size_t jump_and_note_and_answer(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    moved_clock += VIGIL_MS(1);
    REQUIRE((uint32_t)conn.v < CROWD_ANSWERED_MAX); /* the slot */
    answered_at[(uint32_t)conn.v] = moved_clock;
    return vigil_send(rig->loop, conn, p, n);
}

/* More than are noted between two looks at the clock: none counts from before its answer. */
CONFORM(a_crowd_that_is_answered_late_has_its_whole_time)
{
    static int fds[CROWD_ANSWERED_MAX];
    int crowd = test_many(CROWD_ANSWERED_MAX, 50);
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = VIGIL_S(10) });
    rig.on_data = jump_and_note_and_answer;
    for (int i = 0; i < crowd; i++)
        fds[i] = rig_client_opened(&rig);
    for (int i = 0; i < crowd; i++)
        client_send(fds[i], "x");
    RIG_UNTIL(&rig, rig_stats(&rig).bytes_out == (uint64_t)crowd);
    REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    for (vigil_conn at = vigil_conn_next(rig.loop, (vigil_conn){ 0 }); at.v != 0;
         at = vigil_conn_next(rig.loop, at)) {
        vigil_ns progress = rig_info(&rig, at).progress;
        OK(progress >= answered_at[(uint32_t)at.v], "early");
        if (!test_kernel_performs(backend)) /* which tells of a send in the next turn */
            OK(progress <= answered_at[(uint32_t)at.v] + VIGIL_MS(64), "late");
    }
    for (int i = 0; i < crowd; i++)
        close(fds[i]);
    rig_close(&rig);
}

CONFORM(a_limit_of_time_costs_no_look_at_the_clock)
{
    enum { CLIENTS = 20 }; /* in one turn, with fewer callbacks than bring a look */
    struct rig rig;
    int fds[CLIENTS];
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns, .stall_ns = limit_ns });
    rig.on_data = rig_echo;
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = rig_client_opened(&rig);
    for (int i = 0; i < CLIENTS; i++)
        client_send(fds[i], "x");
    int turns = 0;
    for (clock_reads = 0; rig_stats(&rig).bytes_out < CLIENTS && turns < 10; turns++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(10)) >= 0);
    EQ_INT(CLIENTS, rig_stats(&rig).bytes_out);
    OK(clock_reads <= 4 * turns, "%d looks at the clock in %d turns", clock_reads, turns);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    rig_close(&rig);
}

static void jump_in_open(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    if (rig->opened == 1)
        moved_clock += 3 * limit_ns;
}

CONFORM(who_comes_in_a_slow_turn_has_his_whole_time)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .idle_ns = limit_ns });
    rig.on_open = jump_in_open;
    int first = rig_client(&rig), second = rig_client(&rig);
    RIG_UNTIL(&rig, rig.opened == 2);
    for (int i = 0; i < 10; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    OK(rig.closed <= 1, "the second was shed"); /* the first used his time up */
    moved_clock += limit_ns;
    RIG_UNTIL(&rig, rig.closed == 2);
    close(first);
    close(second);
    rig_close(&rig);
}

/* ---- stall ---- */

/* Sends more than the peer takes; answers when nothing moves any more. */
static void stuff(struct rig *rig)
{
    static const char block[1 << 20];
    for (int full = 0, sent = 0; full < 4; sent++) {
        REQUIRE(sent < 256, "systems take up to 36 MiB for a peer that does not read");
        (void)vigil_send_all(rig->loop, rig->conn, block, sizeof(block)); /* or it is full */
        rig_settle(rig);
        full = rig_info(rig, rig->conn).queued > 0 ? full + 1 : 0;
    }
    rig_take_log(rig);
}

CONFORM(stall_begins_anew_with_progress_and_resets)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .stall_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    static char block[1 << 20];
    stuff(&rig);
    for (int i = 0; i < 3; i++) {
        lives_until(&rig, limit_ns);
        uint64_t before = rig_info(&rig, rig.conn).bytes_out;
        for (int turns = 0; turns < 2000 && rig_info(&rig, rig.conn).bytes_out == before; turns++) {
            (void)!recv(fd, block, sizeof(block), MSG_DONTWAIT);
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
        }
        stuff(&rig);
    }
    closes_after(&rig, limit_ns);
    EQ_INT(reset_seen(), rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}

CONFORM(input_is_no_progress_of_output)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .stall_ns = limit_ns, .idle_ns = limit_ns });
    int fd = rig_client_opened(&rig);
    stuff(&rig);
    lives_until(&rig, limit_ns);
    client_send(fd, "x");
    RIG_UNTIL(&rig, rig.used_total == 1);
    moved_clock += 1;
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ETIMEDOUT, rig.why);
    close(fd);
    rig_close(&rig);
}

CONFORM(stall_of_a_socket_is_60_s_and_of_a_pipe_none)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ 0 });
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    EQ_INT(0, rig_adopt(&rig, VIGIL_FD_NONE, fds[1], NULL));
    RIG_UNTIL(&rig, rig.opened == 1);
    stuff(&rig);
    moved_clock += VIGIL_S(86400);
    rig_settle(&rig);
    EQ_INT(0, rig.closed);
    int fd = rig_client_opened(&rig);
    stuff(&rig);
    closes_after(&rig, VIGIL_S(60));
    close(fd);
    close(fds[0]);
    rig_close(&rig);
}

/* What was queued while it connected has waited for the connection, not for the peer. */
CONFORM(stall_does_not_count_the_time_of_connecting)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ 0 });
    vigil_conn conn;
    static const char block[1 << 20];
    EQ_INT(0, vigil_listener_pause(rig.loop, rig.listener)); /* the backlog takes, nobody reads */
    EQ_INT(0, rig_connect(&rig, rig.where,
                          &(vigil_limits){ .stall_ns = limit_ns, .out_high = 16 << 20 }, &conn));
    for (int i = 0; i < test_many(16, 2); i++)
        EQ_INT(0, vigil_send_all(rig.loop, conn, block, sizeof(block)));
    moved_clock += 3 * limit_ns;
    RIG_UNTIL(&rig, rig.opened == 1 || rig.closed == 1);
    rig_settle(&rig);
    EQ_INT(0, rig.closed);
    OK(rig_info(&rig, conn).queued > 0);
    closes_after(&rig, limit_ns);
    rig_close(&rig);
}

/* ---- linger ---- */

CONFORM(linger_counts_from_the_end_of_the_queue_whatever_the_peer_says)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .linger_ns = limit_ns, .stall_ns = VIGIL_S(900) });
    int fd = rig_client_opened(&rig);
    stuff(&rig);
    EQ_INT(0, vigil_finish(rig.loop, rig.conn));
    EQ_INT(VIGIL_FINISHING, rig_info(&rig, rig.conn).state);
    lives_until(&rig, 5 * limit_ns);
    EQ_INT(0, rig_client_end(&rig, fd)); /* takes it all */
    EQ_STR("the peer's end, lingering", rig_info(&rig, rig.conn).waiting_for);
    lives_until(&rig, limit_ns);
    client_send(fd, "still here");
    uint64_t before = rig_stats(&rig).bytes_in;
    RIG_UNTIL(&rig, rig_stats(&rig).bytes_in > before);
    EQ_INT(0, rig.closed);
    moved_clock += 1;
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_ETIMEDOUT)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

static size_t jump_and_finish(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    moved_clock += 3 * limit_ns;
    EQ_INT(0, vigil_finish(rig->loop, conn));
    return n;
}

CONFORM(a_late_finish_lingers_its_whole_time)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .linger_ns = limit_ns });
    rig.on_data = jump_and_finish;
    int fd = rig_client_opened(&rig);
    client_send(fd, "x");
    EQ_INT(0, rig_client_end(&rig, fd));
    EQ_INT(0, rig.closed);
    closes_after(&rig, limit_ns);
    close(fd);
    rig_close(&rig);
}

/* ---- a deadline of one's own ---- */

CONFORM(a_deadline_is_set_moved_and_taken_back)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ 0 });
    int fd = rig_client_opened(&rig);
    EQ_INT(VIGIL_EINVAL, vigil_conn_deadline(rig.loop, rig.conn, -1));
    EQ_INT(0, vigil_conn_deadline(rig.loop, rig.conn, limit_ns));
    lives_until(&rig, limit_ns);
    EQ_INT(0, vigil_conn_deadline(rig.loop, rig.conn, VIGIL_FOREVER));
    moved_clock += 10 * limit_ns;
    rig_settle(&rig);
    EQ_INT(0, vigil_conn_deadline(rig.loop, rig.conn, 9 * limit_ns));
    lives_until(&rig, limit_ns);
    EQ_INT(0, vigil_conn_deadline(rig.loop, rig.conn, limit_ns)); /* earlier */
    client_send(fd, "traffic does not move it");
    RIG_UNTIL(&rig, rig.used_total > 0);
    closes_after(&rig, limit_ns);
    EQ_INT(VIGIL_ESTALE, vigil_conn_deadline(rig.loop, rig.conn, 0));
    close(fd);
    int again = rig_client_opened(&rig);
    EQ_INT(0, vigil_conn_deadline(rig.loop, rig.conn, 0)); /* at once, but not in the call */
    EQ_INT(1, rig.closed);
    RIG_UNTIL(&rig, rig.closed == 2);
    close(again);
    rig_close(&rig);
}

/* ---- limits changed under way ---- */

CONFORM(new_limits_hold_at_once)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ 0 });
    int fd = rig_client_opened(&rig);
    vigil_limits bad = { .out_high = 10, .out_low = 11 };
    EQ_INT(VIGIL_EINVAL, vigil_conn_set_limits(rig.loop, rig.conn, &bad));
    EQ_INT(VIGIL_EINVAL, vigil_conn_set_limits(rig.loop, rig.conn, NULL));
    lives_until(&rig, VIGIL_S(3600));
    vigil_limits longer = { .idle_ns = VIGIL_S(7200) }, shorter = { .idle_ns = VIGIL_S(3700) };
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &shorter));
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &longer));
    lives_until(&rig, VIGIL_S(3600));
    client_send(fd, "x");
    RIG_UNTIL(&rig, rig.used_total == 1);
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &shorter));
    closes_after(&rig, VIGIL_S(3700));
    EQ_INT(VIGIL_ESTALE, vigil_conn_set_limits(rig.loop, rig.conn, &longer));
    close(fd);
    rig_close(&rig);
}

static size_t hold_all(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig, (void)conn, (void)p, (void)n;
    return 0;
}

CONFORM(in_max_grows_and_shrinks_under_held_input)
{
    struct rig rig;
    rig_on_clock(&rig, backend, (vigil_limits){ .in_max = 10 });
    rig.on_data = hold_all;
    int fd = rig_client_opened(&rig);
    client_send(fd, "123456789");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &(vigil_limits){ .in_max = 20 }));
    client_send(fd, "123456789");
    RIG_UNTIL(&rig, strstr(rig.log, "data(18)") != NULL);
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &(vigil_limits){ .in_max = 18 }));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ELIMIT, rig.why);
    close(fd);
    rig_close(&rig);
}
