/* SPDX-License-Identifier: MIT
 *
 * output.c -- sends: marks, order, ownership, files, and the end of output.
 */
#include <stdio.h>

#include "conn_rig.h"

static const vigil_limits small = { .out_high = 1000, .out_low = 250, .out_hard = 4000 };

static const char letters[8192] = "vigil";

CONFORM(send_takes_what_fits_below_out_high)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = small });
    int fd = rig_client_opened(&rig);
    EQ_INT(600, vigil_send(rig.loop, rig.conn, letters, 600));
    EQ_INT(400, vigil_send(rig.loop, rig.conn, letters, 600));
    EQ_INT(0, vigil_send(rig.loop, rig.conn, letters, 600));
    vigil_conn_info info;
    EQ_INT(0, vigil_conn_info_get(rig.loop, rig.conn, &info));
    EQ_INT(1000, info.queued); /* nothing has left: sends do not enter the kernel */
    EQ_INT(0, info.bytes_out);
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    rig_settle(&rig);
    EQ_STR("writable", rig_take_log(&rig)); /* once, for both that were cut */
    EQ_INT(0, vigil_conn_info_get(rig.loop, rig.conn, &info));
    EQ_INT(0, info.queued);
    EQ_INT(1000, info.bytes_out);
    close(fd);
    rig_close(&rig);
}

static void note_queued(struct rig *rig, vigil_conn conn)
{
    rig->number = (int64_t)rig_info(rig, conn).queued;
}

CONFORM(writable_comes_at_out_low_and_not_before)
{
    enum { HIGH = 1 << 20, LOW = 512 << 10 };
    static char block[4 * HIGH], some[4096];
    struct rig rig;
    rig_open(&rig, backend,
             &(vigil_listen_options){ .limits = { .out_high = HIGH, .out_low = LOW } });
    rig.on_writable = note_queued;
    rig.number = -1;
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_SNDBUF, 16384));
    for (int quiet = 0; quiet < 20;) { /* until the system takes no more, in the last turn, too */
        (void)vigil_send(rig.loop, rig.conn, block, sizeof(block)); /* what is left goes nowhere */
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
        quiet = rig_info(&rig, rig.conn).queued == HIGH ? quiet + 1 : 0;
    }
    EQ_STR("", rig_take_log(&rig));
    while (rig.number < 0) {
        rig_client_gets(&rig, fd, some, sizeof(some));
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    }
    OK(rig.number <= LOW, "with %" PRId64 " bytes queued", rig.number);
    OK(rig.number > 0, "only when all had gone out");
    close(fd);
    rig_close(&rig);
}

CONFORM(send_all_is_all_or_nothing)
{
    static const struct {
        size_t before, n;
        int want;
    } rows[] = {
        { 0, 0, 0 },
        { 0, 1, 0 },
        { 0, 1000, 0 },
        { 0, 4000, 0 }, /* a message may pass out_high, never out_hard */
        { 0, 4001, VIGIL_ELIMIT },
        { 999, 3001, 0 },
        { 999, 3002, VIGIL_EFULL },
        { 1000, 1, VIGIL_EFULL },
        { 1000, 4001, VIGIL_ELIMIT },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct rig rig;
        rig_open(&rig, backend, &(vigil_listen_options){ .limits = small });
        int fd = rig_client_opened(&rig);
        EQ_INT(rows[i].before, vigil_send(rig.loop, rig.conn, letters, rows[i].before));
        EQ_INT(rows[i].want, vigil_send_all(rig.loop, rig.conn, letters, rows[i].n), "row %zu", i);
        vigil_conn_info info;
        EQ_INT(0, vigil_conn_info_get(rig.loop, rig.conn, &info));
        EQ_INT(rows[i].before + (rows[i].want == 0 ? rows[i].n : 0), info.queued, "row %zu", i);
        rig_settle(&rig);
        EQ_STR(rows[i].want == VIGIL_EFULL ? "writable" : "", rig_take_log(&rig), "row %zu", i);
        close(fd);
        rig_close(&rig);
    }
}

/* What cannot be a number of bytes is refused as a whole, before it is found that none fit. */
CONFORM(pieces_that_add_up_to_more_than_there_can_be)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    vigil_iov iov[] = { { letters, 10 }, { letters, SIZE_MAX - 5 } };
    EQ_INT(VIGIL_EINVAL, vigil_sendv(rig.loop, rig.conn, iov, TEST_COUNT(iov)));
    iov[1].len = SIZE_MAX - 10;
    EQ_INT(VIGIL_ELIMIT, vigil_sendv(rig.loop, rig.conn, iov, TEST_COUNT(iov)));
    vigil_conn_info info;
    EQ_INT(0, vigil_conn_info_get(rig.loop, rig.conn, &info));
    EQ_INT(0, info.queued);
    close(fd);
    rig_close(&rig);
}

CONFORM(all_kinds_of_sends_arrive_in_order)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    FILE *file = tmpfile();
    fputs("0123456789", file);
    fflush(file);
    vigil_iov iov[] = { { "b", 1 }, { "", 0 }, { "cd", 2 } };
    EQ_INT(1, vigil_send(rig.loop, rig.conn, "a", 1));
    EQ_INT(0, vigil_sendv(rig.loop, rig.conn, iov, TEST_COUNT(iov)));
    EQ_INT(0, vigil_send_owned(rig.loop, rig.conn, "ef", 2, NULL, NULL));
    EQ_INT(0, vigil_send_file(rig.loop, rig.conn, fileno(file), 2, 3, NULL, NULL));
    EQ_INT(0, vigil_send_file(rig.loop, rig.conn, fileno(file), 8, -1, NULL, NULL));
    EQ_INT(0, vigil_send_file(rig.loop, rig.conn, fileno(file), 10, -1, NULL, NULL)); /* nothing */
    EQ_INT(0, vigil_send_all(rig.loop, rig.conn, "z", 1));
    EQ_INT(0, vigil_end(rig.loop, rig.conn));
    EQ_INT(VIGIL_ECLOSED, vigil_send_all(rig.loop, rig.conn, "z", 1));
    EQ_INT(0, vigil_send(rig.loop, rig.conn, "z", 1));
    char text[13] = "";
    rig_client_gets(&rig, fd, text, 12);
    EQ_STR("abcdef23489z", text);
    EQ_INT(0, rig_client_end(&rig, fd));
    fclose(file);
    close(fd);
    rig_close(&rig);
}

static void count_done(void *arg)
{
    ++*(int *)arg;
}

CONFORM(owned_memory_is_done_once_when_it_has_gone_out)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    int done = 0;
    EQ_INT(0, vigil_send_owned(rig.loop, rig.conn, letters, 5000, count_done, &done));
    EQ_INT(0, done);
    static char text[5000];
    rig_client_gets(&rig, fd, text, sizeof(text));
    RIG_UNTIL(&rig, done > 0);
    rig_settle(&rig);
    EQ_INT(1, done);
    EQ_INT(0, memcmp(text, letters, sizeof(text)));
    close(fd);
    rig_close(&rig);
    EQ_INT(1, done);
}

static void expect_done(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    rig_log(rig, "done=%d", (int)rig->number);
}

static void count_in_rig(void *arg)
{
    ((struct rig *)arg)->number++;
}

CONFORM(owned_memory_is_done_before_close_when_aborted)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_close = expect_done;
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_send_owned(rig.loop, rig.conn, letters, 100, count_in_rig, &rig));
    EQ_INT(0, vigil_abort(rig.loop, rig.conn));
    EQ_INT(0, rig.number); /* from the loop, not from the call */
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_ECANCELED) done=1", rig_take_log(&rig));
    vigil_stats stats;
    vigil_stats_get(rig.loop, &stats);
    EQ_INT(100, stats.dropped_out);
    close(fd);
    rig_close(&rig);
}

CONFORM(a_large_file_goes_out_whole_in_bounded_memory)
{
    const size_t size = (size_t)test_many(12 << 20, 600 << 10);
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    FILE *file = tmpfile();
    char *sent = malloc(size);
    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(i * 31 + i / 1009);
    REQUIRE(fwrite(sent, 1, size, file) == size);
    fflush(file);
    rig.number = 0;
    EQ_INT(0, vigil_send_file(rig.loop, rig.conn, fileno(file), 0, -1, count_in_rig, &rig));
    EQ_INT(0, vigil_end(rig.loop, rig.conn));
    char *got = malloc(size);
    rig_client_gets(&rig, fd, got, size);
    OK(memcmp(sent, got, size) == 0, "the file arrived changed");
    EQ_INT(0, rig_client_end(&rig, fd));
    EQ_INT(1, rig.number);
    vigil_stats stats;
    vigil_stats_get(rig.loop, &stats);
    OK(stats.memory_max <= 256 << 10, "%llu bytes of buffers",
       (unsigned long long)stats.memory_max);
    free(sent);
    free(got);
    fclose(file);
    close(fd);
    rig_close(&rig);
}

CONFORM(a_file_that_shrank_aborts_with_EPROTO)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    FILE *file = tmpfile();
    fputs("short", file);
    fflush(file);
    EQ_INT(VIGIL_EINVAL, vigil_send_file(rig.loop, rig.conn, fileno(file), 6, 1, NULL, NULL));
    EQ_INT(VIGIL_EBADF, vigil_send_file(rig.loop, rig.conn, -1, 0, 1, NULL, NULL));
    EQ_INT(0, vigil_send_file(rig.loop, rig.conn, fileno(file), 0, 10, count_in_rig, &rig));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_EPROTO, rig.why);
    EQ_INT(1, rig.number);
    fclose(file);
    close(fd);
    rig_close(&rig);
}

CONFORM(end_sends_fin_behind_the_queue_and_input_goes_on)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(3, vigil_send(rig.loop, rig.conn, "bye", 3));
    EQ_INT(0, vigil_end(rig.loop, rig.conn));
    EQ_INT(0, vigil_end(rig.loop, rig.conn)); /* twice is once */
    char text[3];
    rig_client_gets(&rig, fd, text, 3);
    EQ_INT(0, rig_client_end(&rig, fd));
    client_send(fd, "I still talk");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    EQ_STR("data(12)", rig_take_log(&rig));
    EQ_INT(0, rig.closed);
    close(fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("eof close(VIGIL_OK)", rig_take_log(&rig));
    rig_close(&rig);
}

/* The peer talks on; a plain close would answer it with a reset, which destroys the reply. */
CONFORM(finish_brings_the_reply_to_a_peer_that_talks_on)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    client_send(fd, "request, and much more behind it");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    EQ_INT(5, vigil_send(rig.loop, rig.conn, "reply", 5));
    EQ_INT(0, vigil_finish(rig.loop, rig.conn));
    EQ_INT(0, vigil_finish(rig.loop, rig.conn));
    rig_settle(&rig);
    for (int i = 0; i < 20; i++) {
        client_send(fd, "still more");
        rig_settle(&rig);
    }
    char text[6] = "";
    rig_client_gets(&rig, fd, text, 5);
    EQ_STR("reply", text);
    EQ_INT(0, rig_client_end(&rig, fd));
    EQ_INT(0, rig.closed);
    close(fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_OK, rig.why);
    rig_close(&rig);
}

CONFORM(linger_ends_when_the_peer_does_not)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .linger_ns = VIGIL_MS(50) } });
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_finish(rig.loop, rig.conn));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ETIMEDOUT, rig.why);
    close(fd);
    rig_close(&rig);
}

CONFORM(a_stale_connection_takes_nothing)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    vigil_conn old = rig.conn;
    EQ_INT(0, vigil_abort(rig.loop, old));
    RIG_UNTIL(&rig, rig.closed == 1);
    int again = rig_client_opened(&rig); /* the slot is taken anew */
    EQ_INT(0, vigil_send(rig.loop, old, "x", 1));
    EQ_INT(VIGIL_ESTALE, vigil_send_all(rig.loop, old, "x", 1));
    EQ_INT(VIGIL_ESTALE, vigil_abort(rig.loop, old));
    EQ_INT(VIGIL_ESTALE, vigil_end(rig.loop, old));
    EQ_INT(VIGIL_ESTALE, vigil_couple(rig.loop, old, rig.conn));
    EQ_PTR(NULL, vigil_conn_ctx(rig.loop, old));
    EQ_INT(0, vigil_send_all(rig.loop, rig.conn, "x", 1));
    close(fd);
    close(again);
    rig_close(&rig);
}
