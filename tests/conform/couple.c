/* SPDX-License-Identifier: MIT
 *
 * couple.c -- one connection's input as another's output: echo, proxy, and how the ends pass on.
 */
#include "conn_rig.h"

static void fill(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 7 + i / 251);
}

/* What is there now, but a little of it at most. */
static size_t take_some(int fd, char *p, size_t n)
{
    ssize_t got = recv(fd, p, n < 50000 ? n : 50000, MSG_DONTWAIT);
    REQUIRE(got >= 0 || errno == EAGAIN, "%s", strerror(errno));
    return got > 0 ? (size_t)got : 0;
}

static void couple_self(struct rig *rig, vigil_conn conn)
{
    EQ_INT(0, vigil_couple(rig->loop, conn, conn));
}

/* Two connections, a and b, of socket pairs whose other ends are in `fds`. */
struct two {
    int fds[2];
    vigil_conn a, b;
};

static void two_open(struct rig *rig, const char *backend, struct two *two)
{
    rig_open_loop(rig, backend, NULL);
    vigil_conn *conns[2] = { &two->a, &two->b };
    for (int i = 0; i < 2; i++) {
        int fds[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        EQ_INT(0, rig_adopt(rig, fds[0], fds[0], conns[i]));
        two->fds[i] = fds[1];
    }
    RIG_UNTIL(rig, rig->opened == 2);
    rig_take_log(rig);
}

static void two_close(struct rig *rig, struct two *two)
{
    close(two->fds[0]);
    close(two->fds[1]);
    rig_close(rig);
}

CONFORM(an_echo_by_coupling_brings_everything_back)
{
    const size_t total = (size_t)test_many(8 << 20, 512 << 10);
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_open = couple_self;
    int fd = rig_client_opened(&rig);
    char *sent = malloc(total), *got = malloc(total);
    fill(sent, total);
    size_t out = 0, in = 0;
    for (int turns = 0; in < total && turns < 50000; turns++) {
        ssize_t n = out < total ? send(fd, sent + out, total - out, MSG_DONTWAIT) : 0;
        out += n > 0 ? (size_t)n : 0;
        if (n > 0 && out == total)
            shutdown(fd, SHUT_WR);
        if (turns % 3 == 0) /* slower than it sends */
            in += take_some(fd, got + in, total - in);
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
    }
    EQ_INT(total, in);
    OK(memcmp(sent, got, total) == 0, "the bytes came back changed");
    EQ_INT(0, rig_client_end(&rig, fd));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_OK)", rig_take_log(&rig)); /* no data, no eof */
    vigil_stats stats = rig_stats(&rig);
    OK(stats.memory_max <= (1 << 20) + test_burst(backend), "%llu bytes",
       (unsigned long long)stats.memory_max);
    free(sent);
    free(got);
    close(fd);
    rig_close(&rig);
}

/* Both ways at once, each reader slower than its writer; then the ends pass on one by one. */
CONFORM(a_proxy_passes_both_ways_and_each_end_in_bounded_memory)
{
    const size_t total = (size_t)test_many(6 << 20, 512 << 10);
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    EQ_INT(0, vigil_couple(rig.loop, two.b, two.a));
    char *sent = malloc(total), *got[2] = { malloc(total), malloc(total) };
    fill(sent, total);
    size_t out[2] = { 0, 0 }, in[2] = { 0, 0 };
    for (int turns = 0; in[0] + in[1] < 2 * total && turns < 50000; turns++) {
        for (int i = 0; i < 2; i++) {
            size_t want = total - out[i];
            ssize_t n = want > 0 ? send(two.fds[i], sent + out[i], want, MSG_DONTWAIT) : 0;
            out[i] += n > 0 ? (size_t)n : 0;
            if (turns % (3 + 2 * i) == 0)
                in[i] += take_some(two.fds[i], got[i] + in[i], total - in[i]);
        }
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
    }
    for (int i = 0; i < 2; i++) {
        EQ_INT(total, in[i]);
        OK(memcmp(sent, got[i], total) == 0, "direction %d", i);
        free(got[i]);
    }
    free(sent);
    OK(rig_stats(&rig).memory_max <= (1 << 20) + 2 * test_burst(backend), "%llu bytes",
       (unsigned long long)rig_stats(&rig).memory_max);
    shutdown(two.fds[0], SHUT_WR);
    EQ_INT(0, rig_client_end(&rig, two.fds[1]));
    client_send(two.fds[1], "still open");
    char text[11] = "";
    rig_client_gets(&rig, two.fds[0], text, 10);
    EQ_STR("still open", text);
    EQ_INT(0, rig.closed);
    shutdown(two.fds[1], SHUT_WR);
    EQ_INT(0, rig_client_end(&rig, two.fds[0]));
    RIG_UNTIL(&rig, rig.closed == 2);
    EQ_STR("close(VIGIL_OK) close(VIGIL_OK)", rig_take_log(&rig));
    two_close(&rig, &two);
}

/* Each byte comes by itself: kept by reference it would pin a whole buffer. */
CONFORM(single_bytes_for_a_reader_that_does_not_read_pin_no_large_buffers)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    static const char block[400000];
    EQ_INT(0, vigil_send_all(rig.loop, two.b, block, sizeof(block))); /* its socket is full */
    rig_settle(&rig);
    EQ_INT(0, vigil_conn_set_limits(rig.loop, two.b, &(vigil_limits){ .out_high = 1 << 20 }));
    for (uint64_t i = 1; i <= 300; i++) {
        client_send(two.fds[0], "x");
        RIG_UNTIL(&rig, rig_stats(&rig).bytes_in == i);
    }
    OK(rig_stats(&rig).memory_max <= (1 << 20) + 2 * test_burst(backend), "%llu bytes",
       (unsigned long long)rig_stats(&rig).memory_max);
    two_close(&rig, &two);
}

static size_t hold_all(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig, (void)conn, (void)p, (void)n;
    return 0;
}

CONFORM(held_input_goes_first)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    rig.on_data = hold_all;
    client_send(two.fds[0], "held ");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    client_send(two.fds[0], "and new");
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    char text[13] = "";
    rig_client_gets(&rig, two.fds[1], text, 12);
    EQ_STR("held and new", text);
    EQ_STR("data(5)", rig_take_log(&rig));
    two_close(&rig, &two);
}

static struct two *coupled;

static size_t couple_in_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p, (void)n;
    EQ_INT(0, vigil_couple(rig->loop, conn, coupled->b));
    return 2; /* the rest is for the other */
}

CONFORM(coupled_in_data_what_it_leaves_goes_on)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    coupled = &two;
    rig.on_data = couple_in_data;
    client_send(two.fds[0], "..rest");
    char text[5] = "";
    rig_client_gets(&rig, two.fds[1], text, 4);
    EQ_STR("rest", text);
    EQ_STR("data(6)", rig_take_log(&rig));
    two_close(&rig, &two);
}

CONFORM(the_end_is_passed_on_also_when_it_was_there_before)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    shutdown(two.fds[0], SHUT_WR);
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    EQ_INT(0, rig_client_end(&rig, two.fds[1]));
    two_close(&rig, &two);
}

CONFORM(coupled_twice_is_refused)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    EQ_INT(VIGIL_EBUSY, vigil_couple(rig.loop, two.a, two.b));
    EQ_INT(VIGIL_EBUSY, vigil_couple(rig.loop, two.a, two.a));
    EQ_INT(VIGIL_EBUSY, vigil_couple(rig.loop, two.b, two.b));
    EQ_INT(0, vigil_couple(rig.loop, two.b, two.a));
    EQ_INT(VIGIL_ESTALE, vigil_couple(rig.loop, (vigil_conn){ 0 }, two.a));
    EQ_INT(VIGIL_ESTALE, vigil_couple(rig.loop, two.a, (vigil_conn){ 0 }));
    two_close(&rig, &two);
}

CONFORM(an_error_of_one_aborts_the_other)
{
    for (int who = 0; who < 2; who++) {
        struct rig rig;
        struct two two;
        two_open(&rig, backend, &two);
        EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
        vigil_conn gone = who == 0 ? two.a : two.b;
        EQ_INT(0, vigil_abort(rig.loop, gone));
        RIG_UNTIL(&rig, rig.closed == 2);
        EQ_STR("close(VIGIL_ECANCELED) close(VIGIL_ECANCELED)", rig_take_log(&rig));
        EQ_INT(0, rig_client_end(&rig, two.fds[0])); /* a Unix socket has no reset */
        EQ_INT(0, rig_client_end(&rig, two.fds[1]));
        two_close(&rig, &two);
    }
}

CONFORM(one_whose_reader_left_aborts_who_writes_to_it)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    rig.ops.eof = NULL;
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    shutdown(two.fds[1], SHUT_WR); /* b's own end finishes b: it takes no more, and goes */
    EQ_INT(0, rig_client_end(&rig, two.fds[1]));
    RIG_UNTIL(&rig, rig.closed == 2);
    EQ_STR("close(VIGIL_OK) close(VIGIL_ECANCELED)", rig_take_log(&rig));
    two_close(&rig, &two);
}

CONFORM(finishing_the_one_that_is_read_ends_the_other)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    EQ_INT(0, vigil_finish(rig.loop, two.a)); /* no more input of it comes */
    EQ_INT(0, rig_client_end(&rig, two.fds[0]));
    EQ_INT(0, rig_client_end(&rig, two.fds[1]));
    client_send(two.fds[1], "b is read as before");
    RIG_UNTIL(&rig, rig.used_total == 19);
    close(two.fds[0]);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_OK, rig.why);
    shutdown(two.fds[1], SHUT_WR);
    RIG_UNTIL(&rig, rig.closed == 2);
    EQ_INT(VIGIL_OK, rig.why);
    close(two.fds[1]);
    rig_close(&rig);
}

/* a is finished and its reply on its way: that b then ends well is no reason to reset it. */
CONFORM(one_that_is_finished_is_not_reset_when_the_other_goes)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    EQ_INT(0, vigil_finish(rig.loop, two.a));
    EQ_INT(0, rig_client_end(&rig, two.fds[1]));
    shutdown(two.fds[1], SHUT_WR);
    RIG_UNTIL(&rig, rig.closed == 1);
    rig_settle(&rig);
    EQ_INT(1, rig.closed);
    close(two.fds[0]);
    RIG_UNTIL(&rig, rig.closed == 2);
    EQ_STR("eof close(VIGIL_OK) close(VIGIL_OK)", rig_take_log(&rig));
    close(two.fds[1]);
    rig_close(&rig);
}

CONFORM(a_pause_holds_what_is_coupled_too)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    EQ_INT(0, vigil_pause(rig.loop, two.a));
    client_send(two.fds[0], "later");
    shutdown(two.fds[0], SHUT_WR);
    rig_settle(&rig);
    char text[6] = "";
    EQ_INT(-1, client_peek(two.fds[1], text, 5));
    EQ_INT(0, vigil_resume(rig.loop, two.a));
    rig_client_gets(&rig, two.fds[1], text, 5);
    EQ_STR("later", text);
    EQ_INT(0, rig_client_end(&rig, two.fds[1]));
    two_close(&rig, &two);
}

CONFORM(what_is_held_by_one_that_is_paused_waits_too)
{
    struct rig rig;
    struct two two;
    two_open(&rig, backend, &two);
    rig.on_data = hold_all;
    client_send(two.fds[0], "held");
    RIG_UNTIL(&rig, rig_info(&rig, two.a).held == 4);
    EQ_INT(0, vigil_pause(rig.loop, two.a));
    EQ_INT(0, vigil_couple(rig.loop, two.a, two.b));
    rig_settle(&rig);
    char text[5] = "";
    EQ_INT(-1, client_peek(two.fds[1], text, 4));
    EQ_INT(0, vigil_resume(rig.loop, two.a));
    rig_client_gets(&rig, two.fds[1], text, 4);
    EQ_STR("held", text);
    two_close(&rig, &two);
}
