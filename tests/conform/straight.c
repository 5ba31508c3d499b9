/* SPDX-License-Identifier: MIT
 *
 * straight.c -- a message that goes back whole to who brought it, or is answered: what else a
 * program may do in the same callback.  On most backends such a message takes a way of its own
 * (src/conn/straight.c), which nobody may notice.
 */
#include "conn_rig.h"

#include <pthread.h>

static const char message[] = "message";

enum { LEN = sizeof(message) - 1 };

/* A rig whose client has said `message`; `wanted` is what comes back. */
static void comes_back(const char *backend,
                       size_t (*on_data)(struct rig *rig, vigil_conn conn, const void *p, size_t n),
                       const char *wanted)
{
    char got[64] = "";
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = on_data;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    rig_client_gets(&rig, fd, got, strlen(wanted));
    EQ_STR(wanted, got);
    rig_settle(&rig);
    EQ_INT(-1, client_peek(fd, got, sizeof(got)), "nothing more comes");
    EQ_INT(strlen(wanted), rig_stats(&rig).bytes_out);
    EQ_INT(0, rig_info(&rig, rig.conn).queued);
    EQ_INT(0, rig_stats(&rig).memory);
    close(fd);
    rig_close(&rig);
}

static size_t send_before(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    EQ_INT(7, vigil_send(rig->loop, conn, "before ", 7));
    return vigil_send(rig->loop, conn, p, n);
}

CONFORM(what_is_sent_before_it_comes_before_it)
{
    comes_back(backend, send_before, "before message");
}

static size_t send_behind(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    EQ_INT(n, rig_info(rig, conn).queued);
    EQ_INT(7, vigil_send(rig->loop, conn, " behind", 7));
    EQ_INT(n + 7, rig_info(rig, conn).queued);
    return sent;
}

CONFORM(what_is_sent_behind_it_comes_behind_it)
{
    comes_back(backend, send_behind, "message behind");
}

static size_t send_owned_behind(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    EQ_INT(0, vigil_send_owned(rig->loop, conn, " behind", 7, NULL, NULL));
    return sent;
}

CONFORM(what_is_lent_behind_it_comes_behind_it)
{
    comes_back(backend, send_owned_behind, "message behind");
}

static size_t send_twice(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    EQ_INT(n, vigil_send(rig->loop, conn, p, n));
    EQ_INT(n, vigil_send(rig->loop, conn, p, n));
    return n;
}

CONFORM(sent_twice_it_comes_twice)
{
    comes_back(backend, send_twice, "messagemessage");
}

static size_t send_a_part(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    EQ_INT(n - 1, vigil_send(rig->loop, conn, p, n - 1));
    return n;
}

CONFORM(a_part_of_it_is_a_part)
{
    comes_back(backend, send_a_part, "messag");
}

static size_t send_all_use_some(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    if (rig->number++ > 0)
        return n;
    EQ_INT(n, vigil_send(rig->loop, conn, p, n));
    return 3;
}

CONFORM(what_is_left_of_it_is_held)
{
    comes_back(backend, send_all_use_some, message);
}

CONFORM(what_is_left_of_it_is_offered_again)
{
    struct rig rig;
    char got[LEN];
    rig_open(&rig, backend, NULL);
    rig.on_data = send_all_use_some;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    rig_client_gets(&rig, fd, got, LEN);
    rig_settle(&rig);
    EQ_STR("data(7) data(4)", rig_take_log(&rig));
    EQ_STR("sage", rig.got);
    close(fd);
    rig_close(&rig);
}

static size_t send_then_end(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    EQ_INT(0, vigil_end(rig->loop, conn));
    EQ_INT(0, vigil_send(rig->loop, conn, p, n), "it has ended");
    return sent;
}

static size_t send_then_finish(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    EQ_INT(0, vigil_finish(rig->loop, conn));
    return sent;
}

static size_t send_and_finish_using_nothing(struct rig *rig, vigil_conn conn, const void *p,
                                            size_t n)
{
    (void)send_then_finish(rig, conn, p, n);
    return 0;
}

/* Sent before the end, it comes before the end. */
static void ends_behind(const char *backend,
                        size_t (*on_data)(struct rig *rig, vigil_conn conn, const void *p,
                                          size_t n),
                        const char *wanted, const char *what)
{
    struct rig rig;
    char got[64] = "";
    rig_open(&rig, backend, NULL);
    rig.on_data = on_data;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    rig_client_gets(&rig, fd, got, strlen(wanted));
    EQ_STR(wanted, got, "%s", what);
    EQ_INT(0, rig_client_end(&rig, fd), "%s", what);
    close(fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_OK, rig.why, "%s", what);
    EQ_INT(0, rig_stats(&rig).dropped_out, "%s", what);
    rig_close(&rig);
}

CONFORM(passed_on_before_the_end_it_arrives)
{
    ends_behind(backend, send_then_end, message, "end");
    ends_behind(backend, send_then_finish, message, "finish");
    ends_behind(backend, send_and_finish_using_nothing, message, "finish, using nothing");
}

static size_t send_then_abort(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    EQ_INT(0, vigil_abort(rig->loop, conn));
    EQ_INT(0, vigil_send(rig->loop, conn, p, n), "it is gone");
    return sent;
}

static void aborted_behind(const char *backend,
                           size_t (*on_data)(struct rig *rig, vigil_conn conn, const void *p,
                                             size_t n),
                           size_t dropped)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = on_data;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ECANCELED, rig.why);
    EQ_INT(dropped, rig_stats(&rig).dropped_out);
    EQ_INT(0, rig_stats(&rig).bytes_out);
    EQ_INT(reset_seen(), rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}

CONFORM(passed_on_before_an_abort_it_is_dropped_and_counted)
{
    aborted_behind(backend, send_then_abort, LEN);
}

static size_t send_then_pause(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    EQ_INT(0, vigil_pause(rig->loop, conn));
    return vigil_send(rig->loop, conn, p, n);
}

CONFORM(paused_with_it_the_next_one_waits)
{
    struct rig rig;
    char got[LEN];
    rig_open(&rig, backend, NULL);
    rig.on_data = send_then_pause;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    rig_client_gets(&rig, fd, got, LEN);
    client_send(fd, message);
    rig_settle(&rig);
    EQ_STR("data(7)", rig_take_log(&rig));
    EQ_INT(0, vigil_resume(rig.loop, rig.conn));
    rig_client_gets(&rig, fd, got, LEN);
    EQ_STR("data(7)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}

static size_t look_at_what_is_held(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    const void *held;
    size_t len;
    EQ_INT(0, vigil_conn_held(rig->loop, conn, &held, &len));
    EQ_PTR(p, held);
    EQ_INT(n, len);
    EQ_INT(n, rig_info(rig, conn).held);
    EQ_INT(n, rig_info(rig, conn).bytes_in);
    EQ_INT(n, rig_stats(rig).bytes_in, "counted when it is offered");
    return vigil_send(rig->loop, conn, p, n);
}

CONFORM(while_it_is_offered_it_is_held_and_counted)
{
    comes_back(backend, look_at_what_is_held, message);
}

static size_t couple_behind(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    EQ_INT(0, vigil_couple(rig->loop, conn, conn));
    return sent;
}

CONFORM(coupled_with_it_all_goes_on_in_order)
{
    struct rig rig;
    char got[2 * LEN + 1] = "";
    rig_open(&rig, backend, NULL);
    rig.on_data = couple_behind;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    client_send(fd, message);
    rig_client_gets(&rig, fd, got, 2 * LEN);
    EQ_STR("messagemessage", got);
    close(fd);
    rig_close(&rig);
}

/* Its mark is lowered while it runs, to less than what one receive may bring. */
CONFORM(above_its_mark_it_goes_in_parts)
{
    enum { MANY = 5000, MARK = 1000 };
    static char many[MANY], got[MANY];
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    memset(many, 'm', sizeof(many));
    int fd = rig_client_opened(&rig);
    vigil_limits limits = { .out_high = MARK, .out_low = MARK };
    EQ_INT(0, vigil_conn_set_limits(rig.loop, rig.conn, &limits));
    rig_settle(&rig);
    REQUIRE(send(fd, many, MANY, MSG_NOSIGNAL) == MANY);
    rig_client_gets(&rig, fd, got, MANY);
    EQ_INT(0, memcmp(got, many, MANY));
    size_t calls = 0;
    for (const char *at = strstr(rig.log, "data("); at != NULL; at = strstr(at + 1, "data("))
        calls++;
    OK(calls >= MANY / MARK, "%s", rig.log);
    close(fd);
    rig_close(&rig);
}

static struct {
    struct rig *rig;
    vigil_conn conn;
    const void *p;
    size_t n, sent;
    int status;
} offered;

static void *send_from_elsewhere(void *unused)
{
    offered.sent = vigil_send(offered.rig->loop, offered.conn, offered.p, offered.n);
    offered.status = vigil_send_all(offered.rig->loop, offered.conn, offered.p, offered.n);
    return unused;
}

static size_t another_thread_sends(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    pthread_t other;
    offered.rig = rig;
    offered.conn = conn;
    offered.p = p;
    offered.n = n;
    REQUIRE(pthread_create(&other, NULL, send_from_elsewhere, NULL) == 0);
    REQUIRE(pthread_join(other, NULL) == 0);
    EQ_INT(0, offered.sent, "it does not own the loop");
    return vigil_send(rig->loop, conn, p, n);
}

CONFORM(another_thread_cannot_pass_it_on)
{
    comes_back(backend, another_thread_sends, message);
}

static size_t to_the_other(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    vigil_conn other = { (uint64_t)rig->number };
    if (other.v == 0 || conn.v == other.v)
        return n;
    EQ_INT(n, vigil_send(rig->loop, other, p, n));
    return vigil_send(rig->loop, conn, p, n);
}

CONFORM(sent_to_another_and_back_both_get_it)
{
    struct rig rig;
    char got[LEN + 1] = "";
    rig_open(&rig, backend, NULL);
    rig.on_data = to_the_other;
    int other = rig_client_opened(&rig);
    rig.number = (int64_t)rig.conn.v;
    int fd = rig_client_opened(&rig);
    for (int i = 0; i < 3; i++) {
        client_send(fd, message);
        rig_client_gets(&rig, fd, got, LEN);
        EQ_STR(message, got);
        rig_client_gets(&rig, other, got, LEN);
        EQ_STR(message, got);
    }
    close(fd);
    close(other);
    rig_close(&rig);
}

static size_t close_the_loop(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    vigil_loop_close(rig->loop);
    return sent;
}

CONFORM(a_loop_may_be_closed_with_it)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = close_the_loop;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    int status = 0;
    for (int turns = 0; turns < 2000 && status >= 0; turns++)
        status = vigil_loop_turn(rig.loop, VIGIL_MS(10));
    EQ_INT(VIGIL_ECANCELED, status);
    if (status != VIGIL_ECANCELED)
        vigil_loop_close(rig.loop); /* it never came to that */
    EQ_INT(1, rig.closed);
    OK_ALLOCATOR_EMPTY(&rig.memory);
    close(fd);
}

/* ---- answered with other bytes ------------------------------------------------------------ */

static size_t answer(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    char reply[] = "an answer";
    EQ_INT(9, vigil_send(rig->loop, conn, reply, 9));
    memset(reply, 'x', sizeof(reply)); /* it was copied */
    return n;
}

CONFORM(an_answer_arrives)
{
    comes_back(backend, answer, "an answer");
}

static size_t answer_in_parts(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    const vigil_iov parts[] = { { "b", 1 }, { NULL, 0 }, { "cd", 2 } };
    EQ_INT(1, vigil_send(rig->loop, conn, "a", 1));
    EQ_INT(0, vigil_sendv(rig->loop, conn, parts, 3));
    EQ_INT(0, vigil_send(rig->loop, conn, "", 0));
    EQ_INT(0, vigil_send_all(rig->loop, conn, "e", 1));
    EQ_INT(n, vigil_send(rig->loop, conn, p, n));
    return n;
}

CONFORM(an_answer_in_parts_arrives_in_one_send)
{
    char got[LEN + 6] = "";
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = answer_in_parts;
    int fd = rig_client_opened(&rig);
    for (int i = 0; i < 3; i++) {
        client_send(fd, message);
        rig_client_gets(&rig, fd, got, 5 + LEN);
        EQ_STR("abcdemessage", got);
    }
    rig_settle(&rig);
    EQ_INT(-1, client_peek(fd, got, sizeof(got)), "nothing more comes");
    EQ_INT(3, rig_stats(&rig).sends);
    close(fd);
    rig_close(&rig);
}

static size_t answer_and_look(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(3, vigil_send(rig->loop, conn, "abc", 3));
    EQ_INT(3, rig_info(rig, conn).queued);
    EQ_INT(n, rig_info(rig, conn).held);
    EQ_INT(1, vigil_send(rig->loop, conn, "d", 1));
    EQ_INT(0, vigil_send_owned(rig->loop, conn, "ef", 2, NULL, NULL));
    EQ_INT(6, rig_info(rig, conn).queued);
    return n;
}

CONFORM(an_answer_counts_as_queued_and_what_comes_behind_it_is_behind_it)
{
    comes_back(backend, answer_and_look, "abcdef");
}

static size_t pass_and_answer(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    EQ_INT(0, vigil_send_all(rig->loop, conn, " and more", 9));
    return sent;
}

CONFORM(an_answer_behind_what_is_passed_on_is_behind_it)
{
    comes_back(backend, pass_and_answer, "message and more");
}

static size_t answer_using_nothing(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p, (void)n;
    if (rig->number++ == 0)
        EQ_INT(2, vigil_send(rig->loop, conn, "no", 2));
    return 0;
}

CONFORM(an_answer_to_what_is_left_arrives)
{
    struct rig rig;
    char got[3] = "";
    rig_open(&rig, backend, NULL);
    rig.on_data = answer_using_nothing;
    int fd = rig_client_opened(&rig);
    client_send(fd, message);
    rig_client_gets(&rig, fd, got, 2);
    EQ_STR("no", got);
    EQ_INT(LEN, rig_info(&rig, rig.conn).held);
    close(fd);
    rig_close(&rig);
}

static size_t answer_then_end(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(0, vigil_send_all(rig->loop, conn, "the end", 7));
    EQ_INT(0, vigil_end(rig->loop, conn));
    EQ_INT(0, vigil_send(rig->loop, conn, "no more", 7));
    return n;
}

CONFORM(an_answer_before_the_end_arrives)
{
    ends_behind(backend, answer_then_end, "the end", "answer and end");
}

static size_t answer_then_abort(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(5, vigil_send(rig->loop, conn, "never", 5));
    EQ_INT(0, vigil_abort(rig->loop, conn));
    return n;
}

CONFORM(an_answer_before_an_abort_is_dropped_and_counted)
{
    aborted_behind(backend, answer_then_abort, 5);
}

enum { LONG_PART = 1500, LONG_PARTS = 5 };

/* More than has room where answers wait. */
static size_t answer_at_length(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    char part[LONG_PART];
    for (int i = 0; i < LONG_PARTS; i++) {
        memset(part, 'a' + i, sizeof(part));
        EQ_INT(LONG_PART, vigil_send(rig->loop, conn, part, sizeof(part)));
    }
    return n;
}

CONFORM(a_long_answer_arrives_in_order)
{
    static char got[LONG_PART * LONG_PARTS];
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = answer_at_length;
    int fd = rig_client_opened(&rig);
    for (int i = 0; i < 3; i++) {
        client_send(fd, message);
        rig_client_gets(&rig, fd, got, sizeof(got));
        for (size_t at = 0; at < sizeof(got); at++)
            REQUIRE(got[at] == 'a' + (char)(at / LONG_PART), "at %zu", at);
    }
    rig_settle(&rig);
    EQ_INT(0, rig_stats(&rig).memory);
    close(fd);
    rig_close(&rig);
}

enum { BLOCK = 4000 };

/* One block for each byte, as long as they are taken; they are numbered. */
static size_t answer_with_blocks(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    char block[BLOCK];
    for (size_t i = 0; i < n; i++) {
        memset(block, (char)(rig->number % 251), sizeof(block));
        if (vigil_send_all(rig->loop, conn, block, sizeof(block)) != 0)
            return i;
        rig->number++;
    }
    return n;
}

/* Who does not read is answered until all is full, and then has every byte, in order. */
CONFORM(answers_that_are_cut_short_lose_nothing)
{
    enum { ASKED = 150 };
    static char got[BLOCK];
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = answer_with_blocks;
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_SNDBUF, 4096));
    for (int i = 0; i < ASKED; i++) {
        client_send(fd, "?");
        if (i % 7 == 0)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    }
    for (int i = 0; i < ASKED; i++) {
        rig_client_gets(&rig, fd, got, BLOCK);
        for (size_t at = 0; at < BLOCK; at++)
            REQUIRE(got[at] == (char)(i % 251), "block %d at %zu", i, at);
    }
    EQ_INT(ASKED, rig.number);
    close(fd);
    rig_close(&rig);
}

/* They wait in small buffers for the kernel, else their memory would lower everybody's marks. */
CONFORM(small_answers_under_way_take_little_memory)
{
    enum { CLIENTS = 40 };
    test_needs_incremental(backend);
    int fds[CLIENTS];
    char got[9];
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = answer;
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = rig_client_opened(&rig);
    for (int i = 0; i < CLIENTS; i++)
        client_send(fds[i], message);
    for (int i = 0; i < CLIENTS; i++) {
        rig_client_gets(&rig, fds[i], got, sizeof(got));
        close(fds[i]);
    }
    OK(rig_stats(&rig).memory_max <= 128 << 10, "%llu bytes",
       (unsigned long long)rig_stats(&rig).memory_max);
    rig_close(&rig);
}

static size_t another_thread_answers(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    pthread_t other;
    offered.rig = rig;
    offered.conn = conn;
    offered.p = "no";
    offered.n = 2;
    REQUIRE(pthread_create(&other, NULL, send_from_elsewhere, NULL) == 0);
    EQ_INT(3, vigil_send(rig->loop, conn, "yes", 3)); /* meanwhile */
    REQUIRE(pthread_join(other, NULL) == 0);
    EQ_INT(0, offered.sent, "it does not own the loop");
    EQ_INT(VIGIL_ETHREAD, offered.status);
    return n;
}

CONFORM(another_thread_cannot_answer)
{
    comes_back(backend, another_thread_answers, "yes");
}
