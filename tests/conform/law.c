/* SPDX-License-Identifier: MIT
 *
 * law.c -- the law of `data`: blocked, paused and wanting, each with the end of input.
 */
#include "conn_rig.h"

static size_t use_none(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig, (void)conn, (void)p, (void)n;
    return 0;
}

static size_t use_line(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig, (void)conn;
    const char *line;
    size_t len;
    return vigil_take_line(p, n, &line, &len);
}

static size_t use_and_pause(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(0, vigil_pause(rig->loop, conn));
    return n > 2 ? 2 : n;
}

static size_t echo(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    return vigil_send(rig->loop, conn, p, n);
}

CONFORM(all_used_is_never_seen_again)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    client_send(fd, "one");
    RIG_UNTIL(&rig, rig.used_total == 3);
    client_send(fd, "four");
    RIG_UNTIL(&rig, rig.used_total == 7);
    EQ_STR("data(3) data(4)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

CONFORM(wanting_is_called_again_only_with_more)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = use_none;
    int fd = rig_client_opened(&rig);
    client_send(fd, "abc");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    rig_settle(&rig);
    EQ_STR("data(3)", rig_take_log(&rig));
    client_send(fd, "de");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    rig_settle(&rig);
    EQ_STR("data(5)", rig_take_log(&rig));
    EQ_STR("abcde", rig.got);
    close(fd);
    rig_close(&rig);
}

CONFORM(one_message_per_call_gets_them_all)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = use_line;
    int fd = rig_client_opened(&rig);
    client_send(fd, "a\nbb\nccc");
    RIG_UNTIL(&rig, rig.used_total == 5);
    rig_settle(&rig);
    EQ_STR("data(8) data(6) data(3)", rig_take_log(&rig));
    client_send(fd, "\n");
    RIG_UNTIL(&rig, rig.used_total == 9);
    EQ_STR("data(4)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

CONFORM(a_message_in_single_bytes_is_put_together)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = use_line;
    int fd = rig_client_opened(&rig);
    const char *message = "split into single bytes\n";
    for (size_t i = 0; i < strlen(message); i++) {
        REQUIRE(send(fd, message + i, 1, 0) == 1);
        rig_take_log(&rig);
        RIG_UNTIL(&rig, rig.log[0] != '\0');
    }
    EQ_INT(strlen(message), rig.used_total);
    EQ_STR(message, rig.got);
    close(fd);
    rig_close(&rig);
}

/* Sends `n` bytes without a newline, then one, and answers what became of the connection. */
static const char *line_of(const char *backend, size_t n)
{
    static char log[sizeof(((struct rig *)0)->log)];
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .in_max = 100 } });
    rig.on_data = use_line;
    int fd = rig_client_opened(&rig);
    char text[256];
    memset(text, 'x', sizeof(text));
    text[n - 1] = '\n';
    REQUIRE(send(fd, text, n, 0) == (ssize_t)n);
    RIG_UNTIL(&rig, rig.used_total == n || rig.closed == 1);
    snprintf(log, sizeof(log), "used %zu, %s", rig.used_total,
             rig.closed == 1 ? vigil_err_name(rig.why) : "open");
    close(fd);
    rig_close(&rig);
    return log;
}

CONFORM(a_message_of_in_max_fits_and_one_byte_more_is_ELIMIT)
{
    EQ_STR("used 99, open", line_of(backend, 99));
    EQ_STR("used 100, open", line_of(backend, 100));
    EQ_STR("used 0, VIGIL_ELIMIT", line_of(backend, 101));
}

CONFORM(wanting_at_the_end_of_input_loses_the_rest_with_notice)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = use_none;
    int fd = rig_client_opened(&rig);
    client_send(fd, "abc");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    rig_settle(&rig);
    EQ_STR("data(3) eof", rig_take_log(&rig));
    vigil_stats stats;
    vigil_stats_get(rig.loop, &stats);
    EQ_INT(3, stats.dropped_in);
    close(fd);
    rig_close(&rig);
}

static void held_in_eof(struct rig *rig, vigil_conn conn)
{
    const void *p;
    size_t n;
    EQ_INT(0, vigil_conn_held(rig->loop, conn, &p, &n));
    rig_log(rig, "held(%.*s)", (int)n, (const char *)p);
}

CONFORM(eof_can_read_what_is_held)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = use_none;
    rig.on_eof = held_in_eof;
    int fd = rig_client_opened(&rig);
    client_send(fd, "rest");
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, strstr(rig.log, "held") != NULL);
    EQ_STR("data(4) eof held(rest)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

CONFORM(paused_hears_nothing_until_resumed_then_gets_what_is_held)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = use_and_pause;
    int fd = rig_client_opened(&rig);
    client_send(fd, "abcde");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    client_send(fd, "fg");
    shutdown(fd, SHUT_WR);
    rig_settle(&rig);
    EQ_STR("data(5)", rig_take_log(&rig));
    rig.on_data = NULL;
    EQ_INT(0, vigil_resume(rig.loop, rig.conn));
    EQ_STR("", rig_take_log(&rig)); /* no callback inside a call */
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    EQ_STR("data(3) data(2) eof", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

CONFORM(resume_brings_a_call_though_nothing_new_came)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = use_none;
    int fd = rig_client_opened(&rig);
    client_send(fd, "abc");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    rig_settle(&rig);
    rig_take_log(&rig);
    EQ_INT(0, vigil_resume(rig.loop, rig.conn));
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    rig_settle(&rig);
    EQ_STR("data(3)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

/* A client that does not read fills the output; then it reads, and everything comes in order. */
CONFORM(blocked_reads_nothing_more_and_goes_on_at_out_low)
{
    struct rig rig;
    const size_t total = (size_t)test_many(24 << 20, 1200 << 10);
    rig_open(&rig, backend, NULL);
    rig.on_data = echo;
    int fd = rig_client_opened(&rig);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    char *block = malloc(total);
    for (size_t i = 0; i < total; i++)
        block[i] = (char)(i * 7 + i / 251);
    size_t sent = 0;
    int idle = 0;
    while (sent < total && idle < 20) { /* until the server takes no more */
        ssize_t n = send(fd, block + sent, total - sent, MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(2)) >= 0);
    }
    OK(sent < total, "the server took all %zu bytes from a client that does not read", total);
    vigil_conn_info info = { 0 };
    EQ_INT(0, vigil_conn_info_get(rig.loop, rig.conn, &info));
    OK(info.queued <= 256 << 10, "queued %zu", info.queued);
    OK(info.held <= (64 << 10) + test_burst(backend), "held %zu", info.held);
    EQ_STR("the peer to take output", info.waiting_for);
    EQ_INT(rig.conn.v, info.blocked_on.v);
    shutdown(fd, SHUT_WR);
    rig_settle(&rig);
    OK(strstr(rig.log, "eof") == NULL, "eof while blocked");
    char *back = malloc(total);
    rig_client_gets(&rig, fd, back, sent);
    OK(memcmp(block, back, sent) == 0, "the bytes came back changed");
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    free(block);
    free(back);
    close(fd);
    rig_close(&rig);
}

CONFORM(without_data_input_is_counted_and_without_eof_it_finishes)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.ops.data = NULL;
    rig.ops.eof = NULL;
    int fd = rig_client_opened(&rig);
    client_send(fd, "nobody cares");
    shutdown(fd, SHUT_WR);
    EQ_INT(0, rig_client_end(&rig, fd));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_OK)", rig_take_log(&rig));
    vigil_stats stats;
    vigil_stats_get(rig.loop, &stats);
    EQ_INT(12, stats.dropped_in);
    close(fd);
    rig_close(&rig);
}

CONFORM(eof_that_calls_nothing_leaves_it_half_open)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    rig_settle(&rig);
    EQ_STR("eof", rig_take_log(&rig));
    EQ_INT(0, vigil_send_all(rig.loop, rig.conn, "late", 4));
    char text[4];
    rig_client_gets(&rig, fd, text, 4);
    EQ_INT(0, memcmp(text, "late", 4));
    EQ_INT(0, vigil_end(rig.loop, rig.conn));
    EQ_INT(0, rig_client_end(&rig, fd));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_OK, rig.why);
    close(fd);
    rig_close(&rig);
}

static size_t finish_in_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    EQ_INT(0, vigil_send_all(rig->loop, conn, "bye", 3));
    EQ_INT(0, vigil_finish(rig->loop, conn));
    EQ_INT('x', ((const char *)p)[n - 1]); /* p stays valid until data returns */
    return 99999;                          /* ignored */
}

CONFORM(after_finish_the_answer_of_data_is_ignored)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = finish_in_data;
    int fd = rig_client_opened(&rig);
    client_send(fd, "more than wantedx");
    char text[3];
    rig_client_gets(&rig, fd, text, 3);
    client_send(fd, "still talking");
    rig_settle(&rig);
    EQ_STR("data(17)", rig_take_log(&rig));
    close(fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    rig_close(&rig);
}

static size_t abort_in_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    EQ_INT(0, vigil_abort(rig->loop, conn));
    EQ_INT(VIGIL_ESTALE, vigil_pause(rig->loop, conn));
    EQ_INT('x', ((const char *)p)[n - 1]);
    return n;
}

CONFORM(abort_in_data_resets_the_peer_and_close_follows)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = abort_in_data;
    int fd = rig_client_opened(&rig);
    client_send(fd, "x");
    EQ_INT(reset_seen(), rig_client_end(&rig, fd));
    EQ_STR("data(1) close(VIGIL_ECANCELED)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}
