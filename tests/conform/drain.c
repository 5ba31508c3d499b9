/* SPDX-License-Identifier: MIT
 *
 * drain.c -- the graceful end: who waits is served, who is here is finished, the rest is aborted.
 */
#include <signal.h>
#ifndef _WIN32
#include <poll.h>
#include <sys/ioctl.h>
#endif

#include "conn_rig.h"

/* Turns until the drain is over; then vigil_loop_run() answers at once how it went. */
static int drained(struct rig *rig)
{
    vigil_stats stats = rig_stats(rig);
    for (int turns = 0; stats.conns + stats.listeners > 0 && turns < 5000; turns++) {
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_MS(10)) >= 0);
        stats = rig_stats(rig);
    }
    EQ_INT(0, stats.conns);
    EQ_INT(0, stats.listeners);
    return vigil_loop_run(rig->loop);
}

static void gets_and_ends(struct rig *rig, int fd, const char *want)
{
    char text[64] = "";
    rig_client_gets(rig, fd, text, strlen(want));
    EQ_STR(want, text);
    EQ_INT(0, rig_client_end(rig, fd));
    close(fd);
}

CONFORM(with_nothing_but_a_listener_it_ends_at_once)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_FOREVER));
    EQ_INT(0, vigil_loop_run(rig.loop));
    EQ_INT(VIGIL_ESTALE, vigil_listener_pause(rig.loop, rig.listener));
    rig_close(&rig);
}

CONFORM(all_who_wait_in_the_backlog_are_served)
{
    enum { CLIENTS_MAX = 150 };
    int clients = test_many(CLIENTS_MAX, 70); /* more than are taken in one go */
    struct rig rig;
    int fds[CLIENTS_MAX];
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    for (int i = 0; i < clients; i++) {
        fds[i] = rig_client(&rig);
        client_send(fds[i], "I was here");
    }
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    for (int i = 0; i < clients; i++)
        gets_and_ends(&rig, fds[i], "I was here");
    EQ_INT(0, drained(&rig));
    EQ_INT(clients, rig_stats(&rig).closed_ok);
    rig_close(&rig);
}

CONFORM(those_of_a_paused_listener_are_served_too)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    EQ_INT(0, vigil_listener_pause(rig.loop, rig.listener));
    int fd = rig_client(&rig);
    client_send(fd, "patient");
    rig_settle(&rig);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    gets_and_ends(&rig, fd, "patient");
    EQ_INT(0, drained(&rig));
    rig_close(&rig);
}

/* A client that has sent all that fits and reads nothing yet: blocked in the middle of an echo. */
static size_t fill_up(struct rig *rig, int fd)
{
    static const char block[65536];
    size_t sent = 0;
    for (int idle = 0; idle < 20;) {
        ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_MS(2)) >= 0);
    }
    return sent;
}

static void takes_all(struct rig *rig, int fd, size_t sent)
{
    char *back = malloc(sent);
    rig_client_gets(rig, fd, back, sent);
    free(back);
    EQ_INT(0, rig_client_end(rig, fd));
    close(fd);
}

CONFORM(an_echo_that_is_blocked_is_finished_to_the_last_byte)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    size_t sent = fill_up(&rig, fd);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    takes_all(&rig, fd, sent);
    EQ_INT(0, drained(&rig));
    EQ_INT(VIGIL_OK, rig.why);
    rig_close(&rig);
}

static void couple_self(struct rig *rig, vigil_conn conn)
{
    EQ_INT(0, vigil_couple(rig->loop, conn, conn));
}

CONFORM(an_echo_by_coupling_is_finished_to_the_last_byte)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_open = couple_self;
    int fd = rig_client_opened(&rig);
    size_t sent = fill_up(&rig, fd);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    takes_all(&rig, fd, sent);
    EQ_INT(0, drained(&rig));
    rig_close(&rig);
}

/* What comes in at `first` goes out at the other end, whichever of the two is drained first. */
static void proxy(const char *backend, int first)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int ends[2];
    vigil_conn conns[2];
    for (int i = 0; i < 2; i++) {
        int fds[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], &conns[i]));
        ends[i] = fds[1];
    }
    EQ_INT(0, vigil_couple(rig.loop, conns[0], conns[1]));
    EQ_INT(0, vigil_couple(rig.loop, conns[1], conns[0]));
    RIG_UNTIL(&rig, rig.opened == 2);
    size_t sent = fill_up(&rig, ends[first]);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    takes_all(&rig, ends[1 - first], sent);
    EQ_INT(0, rig_client_end(&rig, ends[first]));
    close(ends[first]);
    EQ_INT(0, drained(&rig));
    EQ_INT(2, rig_stats(&rig).closed_ok);
    rig_close(&rig);
}

CONFORM(a_proxy_passes_on_what_it_has_when_it_drains)
{
    proxy(backend, 0);
    proxy(backend, 1);
}

CONFORM(a_signal_drains_with_an_echo_in_flight)
{
    struct rig rig;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .stop_on_signals = true });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    client_send(fd, "in flight");
    raise(SIGTERM);
    gets_and_ends(&rig, fd, "in flight");
    EQ_INT(0, drained(&rig));
    rig_close(&rig);
}

CONFORM(one_whose_peer_has_ended_is_finished)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    rig_settle(&rig); /* it stays half open */
    EQ_INT(VIGIL_HALF_OUT, rig_info(&rig, rig.conn).state);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    gets_and_ends(&rig, fd, "");
    EQ_INT(0, drained(&rig));
    EQ_INT(VIGIL_OK, rig.why);
    rig_close(&rig);
}

CONFORM(one_that_we_have_ended_is_read_and_finished)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_end(rig.loop, rig.conn));
    gets_and_ends(&rig, dup(fd), "");
    client_send(fd, "last words");
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    RIG_UNTIL(&rig, rig.used_total == 10);
    EQ_STR("last words", rig.got);
    close(fd);
    EQ_INT(0, drained(&rig));
    rig_close(&rig);
}

CONFORM(output_alone_is_flushed_and_finished)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    vigil_conn conn;
    EQ_INT(0, rig_adopt(&rig, VIGIL_FD_NONE, fds[1], &conn));
    EQ_INT(4, vigil_send(rig.loop, conn, "last", 4));
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    EQ_INT(0, drained(&rig));
    char text[5] = "";
    EQ_INT(4, read(fds[0], text, 4));
    EQ_INT(0, read(fds[0], text, 4));
    EQ_STR("last", text);
    close(fds[0]);
    rig_close(&rig);
}

CONFORM(one_that_is_still_connecting_says_what_it_has_to_say)
{
    struct rig rig, server;
    rig_open(&server, backend, NULL);
    rig_open_loop(&rig, backend, NULL);
    vigil_conn conn;
    EQ_INT(0, rig_connect(&rig, server.where, NULL, &conn));
    EQ_INT(5, vigil_send(rig.loop, conn, "hello", 5));
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    server.ops.eof = NULL;
    for (int turns = 0; server.closed == 0 && turns < 2000; turns++) {
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(2)) >= 0);
        REQUIRE(vigil_loop_turn(server.loop, VIGIL_MS(2)) >= 0);
    }
    EQ_STR("open data(5) close(VIGIL_OK)", rig_take_log(&server));
    EQ_INT(0, drained(&rig));
    EQ_INT(VIGIL_OK, rig.why);
    rig_close(&server);
    rig_close(&rig);
}

CONFORM(one_that_is_paused_waits_to_be_resumed)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    client_send(fd, "later");
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    rig_is_quiet(&rig);
    EQ_STR("", rig_take_log(&rig));
    EQ_INT(0, vigil_resume(rig.loop, rig.conn));
    gets_and_ends(&rig, fd, "later");
    EQ_INT(0, drained(&rig));
    rig_close(&rig);
}

CONFORM(when_the_grace_runs_out_the_rest_is_reset)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    vigil_ns began = rig_clock();
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_MS(40)));
    EQ_INT(VIGIL_ETIMEDOUT, vigil_loop_run(rig.loop));
    OK(rig_clock() - began >= VIGIL_MS(40), "early");
    EQ_STR("close(VIGIL_ETIMEDOUT)", rig_take_log(&rig));
    EQ_INT(reset_seen(), rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}

CONFORM(without_grace_all_is_reset_at_once)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    EQ_INT(0, vigil_loop_drain(rig.loop, 0));
    EQ_INT(VIGIL_ETIMEDOUT, vigil_loop_run(rig.loop));
    EQ_STR("close(VIGIL_ETIMEDOUT)", rig_take_log(&rig));
    EQ_INT(reset_seen(), rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}

CONFORM(a_second_drain_changes_only_the_grace)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_pause(rig.loop, rig.conn));
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(3600)));
    rig_settle(&rig);
    EQ_INT(VIGIL_EINVAL, vigil_loop_drain(rig.loop, -1));
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_MS(1)));
    EQ_INT(VIGIL_ETIMEDOUT, vigil_loop_run(rig.loop));
    close(fd);
    rig_close(&rig);
}

CONFORM(nothing_new_begins)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(30)));
    vigil_listener listener;
    vigil_listen_options options = { .ops = &rig.ops, .user = &rig };
    EQ_INT(VIGIL_ECANCELED, vigil_listen(rig.loop, "127.0.0.1:0", &options, &listener));
    EQ_INT(VIGIL_ECANCELED, rig_connect(&rig, rig.where, NULL, NULL));
    RIG_UNTIL(&rig, rig_stats(&rig).listeners == 0);
    int late = client_socket(AF_INET);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(rig.addr.port) };
    memcpy(&to.sin_addr, rig.addr.ip, 4);
    EQ_INT(-1, client_connect(late, &to, sizeof(to)));
    EQ_INT(ECONNREFUSED, errno);
    close(late);
    close(fd);
    EQ_INT(0, drained(&rig));
    rig_close(&rig);
}

/* ---- from inside callbacks ---- */

static void drain_here(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    EQ_INT(0, vigil_loop_drain(rig->loop, VIGIL_S(30)));
}

static size_t drain_in_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    drain_here(rig, conn);
    return vigil_send(rig->loop, conn, p, n);
}

static void drain_in_done(void *arg)
{
    drain_here(arg, (vigil_conn){ 0 });
}

static void *drain_in_ctx(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)loop;
    drain_here(user, conn);
    return user;
}

static void send_too_much(struct rig *rig, vigil_conn conn)
{
    static const char block[5000];
    rig->on_writable = drain_here;
    EQ_INT(4096, vigil_send(rig->loop, conn, block, sizeof(block)));
}

/* What a client sent has arrived: a drain that begins before finds it idle, and ends it. */
static void client_arrived(int fd)
{
#ifdef TIOCOUTQ
    int under_way = 1;
    for (int i = 0; under_way > 0 && i < 20000; i++) {
        REQUIRE(ioctl(fd, TIOCOUTQ, &under_way) == 0, "%s", strerror(errno));
        if (under_way > 0)
            (void)poll(NULL, 0, 1);
    }
    EQ_INT(0, under_way);
#else
    (void)fd; /* loopback is taken to be at once */
#endif
}

static void send_owned(struct rig *rig, vigil_conn conn)
{
    EQ_INT(0, vigil_send_owned(rig->loop, conn, "x", 1, drain_in_done, rig));
}

CONFORM(begun_in_a_callback_of_every_kind)
{
    for (int kind = 0; kind < 7; kind++) {
        struct rig rig;
        rig_open(&rig, backend,
                 &(vigil_listen_options){ .limits = { .out_high = 4096, .out_low = 100 },
                                          .ctx = kind == 6 ? drain_in_ctx : NULL });
        rig.on_data = kind == 1 ? drain_in_data : rig_echo;
        rig.on_open = kind == 0 ? drain_here : kind == 4 ? send_too_much : NULL;
        rig.on_open = kind == 5 ? send_owned : rig.on_open;
        rig.on_eof = kind == 2 ? drain_here : NULL;
        rig.on_close = kind == 3 ? drain_here : NULL;
        int fd = rig_client(&rig), other = rig_client(&rig);
        client_send(fd, "hello");
        client_send(other, "hello");
        client_arrived(fd);
        client_arrived(other);
        if (kind == 2 || kind == 3)
            shutdown(fd, SHUT_WR);
        if (kind == 3)
            rig.ops.eof = NULL;
        char scratch[8192];
        rig_client_gets(&rig, fd, scratch, kind == 4 ? 4096 + 5 : kind == 5 ? 6 : 5);
        EQ_INT(0, rig_client_end(&rig, fd), "kind %d", kind);
        close(fd);
        rig_client_gets(&rig, other, scratch, 5);
        EQ_INT(0, rig_client_end(&rig, other), "kind %d", kind);
        close(other);
        EQ_INT(0, drained(&rig), "kind %d", kind);
        EQ_INT(2, rig_stats(&rig).closed_ok, "kind %d", kind);
        rig_close(&rig);
    }
}
