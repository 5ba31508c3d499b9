/* SPDX-License-Identifier: MIT
 *
 * traps.c -- ways in which programs like this one have fallen.  Each row is named after what goes
 * wrong, and shows that it does not.
 */

#include "conn_rig.h"
#include "sys/host.h"

/* ---- a short read under an edge ---- */

static void edge_comes(vigil_poller *poller, vigil_reg reg, const char *when)
{
    vigil_event event = { 0 };
    EQ_INT(1, vigil_poller_wait(poller, &event, 1, VIGIL_S(20)), "%s", when);
    EQ_INT(reg.v, event.reg.v, "%s", when);
    OK((event.events & VIGIL_IN) != 0, "%s: 0x%x", when, event.events);
}

CONFORM(a_short_read_is_taken_for_the_end_of_the_data_and_the_edge_is_lost)
{
    vigil_poller *poller;
    vigil_reg reg;
    int ends[2];
    char p[64];
    REQUIRE(vigil_poller_open(&poller, backend) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    int status = vigil_poller_register(poller, ends[0], VIGIL_IN | VIGIL_EDGE, 0, &reg);
    if ((vigil_poller_caps(poller) & VIGIL_EDGE) == 0) {
        EQ_INT(VIGIL_ENOTSUP, status);
        vigil_poller_close(poller);
        close(ends[0]);
        close(ends[1]);
        SKIP("this backend has no edges, and says VIGIL_ENOTSUP");
    }
    REQUIRE(status == 0, "%s", vigil_strerror(status));
    EQ_INT(10, write(ends[1], "0123456789", 10));
    edge_comes(poller, reg, "ten bytes");
    EQ_INT(4, read(ends[0], p, 4));
    EQ_INT(1, write(ends[1], "a", 1));
    edge_comes(poller, reg, "one more behind six unread");
    EQ_INT(7, read(ends[0], p, sizeof(p))); /* short: all there is for now */
    EQ_INT(1, write(ends[1], "b", 1));
    edge_comes(poller, reg, "one more behind a short read");
    EQ_INT(1, read(ends[0], p, sizeof(p)));
    close(ends[1]);
    edge_comes(poller, reg, "the end behind a short read");
    EQ_INT(0, read(ends[0], p, sizeof(p)));
    vigil_poller_close(poller);
    close(ends[0]);
}

/* ---- several listeners on one port ---- */

static int listen_at(struct rig *rig, const char *where, bool reuse_port)
{
    vigil_listen_options o = { .ops = &rig->ops, .user = rig, .reuse_port = reuse_port };
    return vigil_listen(rig->loop, where, &o, &rig->listener);
}

CONFORM(of_two_loops_on_one_port_one_takes_every_connection)
{
    enum { CLIENTS = 500 };
    struct rig one, two;
    rig_open(&one, backend, &(vigil_listen_options){ .reuse_port = true });
    rig_open_loop(&two, backend, NULL);
    EQ_INT(VIGIL_EADDRINUSE, listen_at(&two, one.where, false), "it did not agree to share");
    EQ_INT(0, listen_at(&two, one.where, true));
    int clients = 0;
    while (clients < CLIENTS && (one.opened == 0 || two.opened == 0)) {
        int fd = rig_client(&one);
        clients++;
        for (int turns = 0; one.opened + two.opened < clients && turns < 2000; turns++) {
            REQUIRE(vigil_loop_turn(one.loop, VIGIL_MS(1)) >= 0);
            REQUIRE(vigil_loop_turn(two.loop, VIGIL_MS(1)) >= 0);
        }
        EQ_INT(clients, one.opened + two.opened);
        close(fd);
    }
    OK(one.opened > 0 && two.opened > 0, "%d and %d", one.opened, two.opened);
    rig_close(&one);
    rig_close(&two);
}

CONFORM(a_port_in_use_is_shared_unasked)
{
    struct rig one, two;
    rig_open(&one, backend, NULL);
    rig_open_loop(&two, backend, NULL);
    EQ_INT(VIGIL_EADDRINUSE, listen_at(&two, one.where, false));
    int shared = listen_at(&two, one.where, true); /* VIGIL_ENOTSUP: nobody can agree here */
    if (shared != VIGIL_ENOTSUP)
        EQ_INT(VIGIL_EADDRINUSE, shared, "the first did not agree");
    rig_close(&one);
    rig_close(&two);
}

/* ---- accept answers the error of a connection ---- */

static int accept_errors_left;

static int erring_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    static const int errors[] = { VIGIL_ECONNRESET, VIGIL_EPROTO,    VIGIL_EUNREACH,
                                  VIGIL_EACCES,     VIGIL_ETIMEDOUT, VIGIL_ENOTSUP };
    if (accept_errors_left > 0)
        return errors[--accept_errors_left % 6];
    return vigil__host_system()->accept(self, listener, out);
}

CONFORM(accept_answers_the_error_of_a_connection_and_the_server_dies_of_it)
{
    if (test_kernel_performs(backend))
        SKIP("the kernel accepts, not the host: uring.c has its errors");
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.accept = erring_accept;
    accept_errors_left = 12;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    rig_listen(&rig, "127.0.0.1:0", NULL);
    rig.on_data = rig_echo;
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = rig_client(&rig);
    RIG_UNTIL(&rig, rig.opened == 3);
    EQ_INT(12, rig_stats(&rig).accept_errors);
    EQ_INT(0, rig_stats(&rig).accept_rests, "nobody had to wait");
    for (int i = 0; i < 3; i++) {
        char text[4];
        client_send(fds[i], "echo");
        rig_client_gets(&rig, fds[i], text, sizeof(text));
        close(fds[i]);
    }
    rig_close(&rig);
}

/* ---- a reset after the peer's end ---- */

static void leave_half_open(struct rig *rig, vigil_conn conn)
{
    (void)rig, (void)conn;
}

static void client_reset(int fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

CONFORM(a_reset_after_the_peer_s_end_kills_the_program_with_SIGPIPE)
{
    static char much[1 << 16];
    struct rig rig;
    char text[4];
    void (*disposition)(int) = signal(SIGPIPE, SIG_DFL);
    rig_open(&rig, backend, NULL);
    rig.on_eof = leave_half_open;
    for (int i = 1; i <= 20; i++) {
        int fd = rig_client_opened(&rig);
        shutdown(fd, SHUT_WR);
        RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
        OK(vigil_send(rig.loop, rig.conn, much, sizeof(much)) > 0);
        if (i % 2 == 0) /* it is sending when the reset comes, or sends into it */
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
        client_reset(fd);
        for (int turns = 0; rig.closed < i && turns < 2000; turns++) {
            (void)vigil_send(rig.loop, rig.conn, much, sizeof(much));
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(10)) >= 0);
        }
        REQUIRE(rig.closed == i, "%s", rig.log);
        EQ_INT(VIGIL_ECONNRESET, rig.why);
    }
    rig.on_data = rig_echo;
    int fd = rig_client_opened(&rig);
    client_send(fd, "echo");
    rig_client_gets(&rig, fd, text, sizeof(text));
    close(fd);
    rig_close(&rig);
    if (disposition != SIG_ERR) /* Windows has no such signal */
        OK(signal(SIGPIPE, disposition) == SIG_DFL, "the disposition is as it was");
}

/* ---- children ---- */

static volatile sig_atomic_t children_told;

static void on_child(int signo)
{
    (void)signo;
    children_told++;
}

CONFORM(the_program_s_children_are_reaped_and_its_SIGCHLD_handler_is_lost)
{
    struct rig rig;
    struct sigaction mine = { .sa_handler = on_child }, before, now;
    sigaction(SIGCHLD, &mine, &before);
    children_told = 0;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .stop_on_signals = true });
    rig_listen(&rig, "127.0.0.1:0", NULL);
    int fd = rig_client_opened(&rig);
    for (int i = 1; i <= 3; i++) {
        int state = 0;
        pid_t child = fork();
        if (child == 0) { /* another program, so that what this one has is no leak of it */
            execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
            _exit(7); /* a machine without a shell */
        }
        REQUIRE(child > 0);
        RIG_UNTIL(&rig, children_told >= i);
        rig_settle(&rig);
        EQ_INT(child, waitpid(child, &state, 0), "it is still there for us");
        OK(WIFEXITED(state) && WEXITSTATUS(state) == 7, "0x%x", (unsigned)state);
    }
    sigaction(SIGCHLD, NULL, &now);
    OK(now.sa_handler == on_child, "while the loop lives");
    close(fd);
    rig_close(&rig);
    sigaction(SIGCHLD, &before, &now);
    OK(now.sa_handler == on_child, "after it");
}

/* ---- timers ---- */

static void again_at_once(vigil_loop *loop, void *arg)
{
    ++*(int *)arg;
    EQ_INT(0, vigil_after(loop, 0, again_at_once, arg, NULL));
}

static void again_soon(vigil_loop *loop, void *arg)
{
    ++*(int *)arg;
    EQ_INT(0, vigil_turn_soon(loop, again_soon, arg));
}

CONFORM(a_timer_without_delay_set_again_in_its_callback_never_lets_the_turn_end)
{
    struct rig rig;
    int fired = 0, soon = 0;
    rig_open(&rig, backend, NULL);
    EQ_INT(0, vigil_after(rig.loop, 0, again_at_once, &fired, NULL));
    EQ_INT(0, vigil_turn_soon(rig.loop, again_soon, &soon));
    for (int turns = 1; turns <= 50; turns++) {
        EQ_INT(2, vigil_loop_turn(rig.loop, VIGIL_FOREVER));
        EQ_INT(turns, fired);
        EQ_INT(turns, soon);
    }
    int fd = rig_client(&rig);
    rig.on_data = rig_echo;
    client_send(fd, "x");
    char text;
    rig_client_gets(&rig, fd, &text, 1);
    close(fd);
    rig_close(&rig);
}

CONFORM(the_machine_sleeps_and_all_timers_fire_at_once)
{
    SKIP("a suspend cannot be shown by a program that it stops, nor asked for in a test");
}

/* ---- one that always has more ---- */

static size_t echo_all_but_the_endless(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    return conn.v == (uint64_t)rig->number ? n : vigil_send(rig->loop, conn, p, n);
}

CONFORM(one_peer_that_always_has_more_starves_the_others)
{
    enum { CLIENTS = 20 };
    struct rig rig;
    vigil_conn endless;
    int fds[CLIENTS];
    rig_open(&rig, backend, NULL);
    rig.on_data = echo_all_but_the_endless;
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    REQUIRE(zero >= 0);
    REQUIRE(rig_adopt(&rig, zero, VIGIL_FD_NONE, &endless) == 0);
    rig.number = (int64_t)endless.v;
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = rig_client(&rig);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < CLIENTS; i++)
            client_send(fds[i], "x");
        for (int i = 0; i < CLIENTS; i++) {
            char text;
            rig_client_gets(&rig, fds[i], &text, 1);
        }
    }
    EQ_INT(CLIENTS + 1, rig.opened);
    EQ_INT(0, rig.closed);
    OK(rig_info(&rig, endless).bytes_in > 0, "it was read meanwhile");
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    rig_close(&rig);
}
