/* SPDX-License-Identifier: MIT
 *
 * unread_before_epipe.c -- a send that fails tells that the peer is gone: what it had sent before
 * is offered all the same, and then the reason closes.
 */
#include "conform/conn_rig.h"

enum { REQUEST = 300000 }; /* more than one connection may bring in a turn */

static const char request[REQUEST];

static int adopted_pair(struct rig *rig)
{
    int fds[2];
    int size = REQUEST;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
    EQ_INT(0, rig_adopt(rig, fds[0], fds[0], NULL));
    int before = rig->opened;
    RIG_UNTIL(rig, rig->opened > before);
    rig_take_log(rig);
    return fds[1];
}

/* Sends all there is to say, and has gone. */
static void says_and_goes(struct rig *rig, int fd)
{
    EQ_INT(REQUEST, send(fd, request, REQUEST, MSG_DONTWAIT));
    close(fd);
    RIG_UNTIL(rig, rig->closed == 1);
}

static bool told_later; /* the kernel tells of a failed send with the next turn's records */

static size_t acknowledge(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    bool first = rig->number++ == 0; /* that one is taken */
    if (told_later) {
        (void)vigil_send(rig->loop, conn, "+", 1); /* taken or not */
        return n;
    }
    EQ_INT(first, vigil_send(rig->loop, conn, "+", 1));
    if (!first)
        EQ_INT(VIGIL_ECLOSED, vigil_send_all(rig->loop, conn, "+", 1));
    return n;
}

CONFORM(an_answer_that_failed_threw_away_the_rest_of_the_request)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = acknowledge;
    told_later = test_kernel_performs(backend);
    int fd = adopted_pair(&rig);
    says_and_goes(&rig, fd);
    told_later = false;
    EQ_INT(REQUEST, rig.used_total);
    EQ_INT(VIGIL_ECONNRESET, rig.why);
    /* For all we know it was cut off.  But a kernel may come to the end before it sends. */
    OK(strstr(rig.log, "eof") == NULL || test_kernel_performs(backend), "%s", rig.log);
    EQ_INT(0, rig_stats(&rig).dropped_in);
    OK(rig_stats(&rig).dropped_out == 1 || test_kernel_performs(backend));
    rig_close(&rig);
}

/* The send takes the system's error, and the next read then says that it is the end. */
CONFORM(a_reset_found_by_a_send_is_no_end_of_input)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = acknowledge;
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    client_send(fd, "half a mess");
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    close(fd);
    rig_settle(&rig);
    EQ_INT(1, vigil_send(rig.loop, rig.conn, "+", 1));
    EQ_INT(0, vigil_resume(rig.loop, rig.conn));
    rig.number = 1;
    told_later = test_kernel_performs(backend);
    RIG_UNTIL(&rig, rig.closed == 1);
    told_later = false;
    EQ_STR("data(11) close(VIGIL_ECONNRESET)", rig_take_log(&rig));
    rig_close(&rig);
}

/* Its output is full, and both directions become ready at once. */
CONFORM(a_queue_that_failed_threw_away_the_request)
{
    static const char block[1 << 20];
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int fd = adopted_pair(&rig);
    EQ_INT(0, vigil_send_all(rig.loop, rig.conn, block, sizeof(block)));
    rig_settle(&rig);
    OK(rig_info(&rig, rig.conn).queued > 0);
    says_and_goes(&rig, fd);
    EQ_INT(REQUEST, rig.used_total);
    EQ_INT(VIGIL_ECONNRESET, rig.why);
    rig_close(&rig);
}

/* An echo that waits for its own output, which is over: its `data` is offered what is held once
 * more, and leaves it. */
CONFORM(blocked_on_output_that_failed_it_ends)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = rig_echo;
    int fd = adopted_pair(&rig);
    for (int idle = 0; idle < 20;) {
        idle = send(fd, request, 1000, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 ? 0 : idle + 1;
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    }
    EQ_INT(rig.conn.v, rig_info(&rig, rig.conn).blocked_on.v);
    size_t used = rig.used_total;
    close(fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ECONNRESET, rig.why); /* not ELIMIT, though in_max bytes were left */
    EQ_INT(used, rig.used_total);
    rig_close(&rig);
}

/* Whoever pauses asks for no input, and may be waiting for the very output that failed. */
CONFORM(paused_when_output_fails_it_closes_at_once)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int fd = adopted_pair(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    EQ_INT(4, vigil_send(rig.loop, rig.conn, "lost", 4));
    says_and_goes(&rig, fd);
    EQ_STR("close(VIGIL_ECONNRESET)", rig_take_log(&rig));
    rig_close(&rig);
}

static int (*leave)(vigil_loop *loop, vigil_conn conn);

static size_t acknowledge_and_leave(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    if (rig->number++ == 0)
        EQ_INT(1, vigil_send(rig->loop, conn, "+", 1));
    else
        EQ_INT(0, leave(rig->loop, conn));
    return n;
}

CONFORM(paused_or_finished_after_output_has_failed_it_closes_at_once)
{
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_open_loop(&rig, backend, NULL);
        leave = i == 0 ? vigil_pause : vigil_finish;
        rig.on_data = acknowledge_and_leave;
        int fd = adopted_pair(&rig);
        says_and_goes(&rig, fd);
        EQ_INT(2, rig.number);
        EQ_INT(VIGIL_ECONNRESET, rig.why, "%s", rig.log);
        rig_close(&rig);
    }
}

/* The writer of its input lives on, and so would it, if it waited for the end. */
CONFORM(a_pipe_that_nobody_reads_waits_for_no_end_of_the_other)
{
    struct rig rig;
    int in[2], out[2];
    rig_open_loop(&rig, backend, NULL);
    REQUIRE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    rig.on_data = acknowledge;
    EQ_INT(0, rig_adopt(&rig, in[0], out[1], NULL));
    RIG_UNTIL(&rig, rig.opened == 1);
    enum { SAID = 200000 };
    REQUIRE(fcntl(in[1], F_SETPIPE_SZ, 1 << 18) >= SAID);
    EQ_INT(SAID, write(in[1], request, SAID));
    close(out[0]);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(SAID, rig.used_total);
    EQ_INT(VIGIL_ECONNRESET, rig.why);
    close(in[1]);
    rig_close(&rig);
}
