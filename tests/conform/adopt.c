/* SPDX-License-Identifier: MIT
 *
 * adopt.c -- connections made of descriptors that others have: sockets, pipes, terminals, files.
 */
#include <stdio.h>

#include "conn_rig.h"
#include "sys/host.h"

/* ---- what stands beside the loop ---- */

static int cannot_reopen(void *self, vigil_fd fd)
{
    (void)self, (void)fd;
    return VIGIL_ENOTSUP;
}

/* A rig whose host cannot open pipes anew, if so asked: then they stay blocking. */
static void rig_on_host(struct rig *rig, const char *backend, bool reopens)
{
    static vigil_host host; /* outlives the loop */
    host = *vigil__host_system();
    if (!reopens)
        host.reopen = cannot_reopen;
    rig_open_loop(rig, backend, &(vigil_loop_options){ .host = &host });
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

static bool is_blocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

/* A connection of two pipes, and the ends and duplicates that the world keeps. */
struct pipes {
    int in, out;         /* the connection's */
    int to_in, from_out; /* the world's */
    int in_too, out_too; /* the connection's, shared */
    vigil_conn conn;
};

static void pipes_open(struct rig *rig, struct pipes *pipes)
{
    int in[2], out[2];
    REQUIRE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    *pipes = (struct pipes){ in[0], out[1], in[1], out[0], dup(in[0]), dup(out[1]), { 0 } };
    EQ_INT(0, rig_adopt(rig, pipes->in, pipes->out, &pipes->conn));
    RIG_UNTIL(rig, rig->opened == 1);
    rig_take_log(rig);
}

/* The duplicates would keep the pipes open. */
static void pipes_unshare(struct pipes *pipes)
{
    OK(is_blocking(pipes->in_too), "the input was switched to O_NONBLOCK");
    OK(is_blocking(pipes->out_too), "the output was switched to O_NONBLOCK");
    close(pipes->in_too);
    close(pipes->out_too);
}

static void put(int fd, const char *text)
{
    REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", strerror(errno));
}

/* What a blocking read brings, as a string: only where something must be there. */
static const char *take(int fd)
{
    static char text[64];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return n >= 0 ? text : strerror(errno);
}

/* ---- sockets ---- */

CONFORM(a_socket_pair_keeps_its_flags_and_is_closed)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = rig_echo;
    rig.ops.eof = NULL;
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    int too = dup(fds[0]);
    EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], &rig.conn));
    EQ_STR("", rig.log); /* no callback inside a call */
    EQ_INT(fds[0], vigil_conn_fd(rig.loop, rig.conn));
    put(fds[1], "hello");
    char text[6] = "";
    rig_client_gets(&rig, fds[1], text, 5);
    EQ_STR("hello", text);
    OK(is_blocking(too));
    close(too);
    shutdown(fds[1], SHUT_WR);
    EQ_INT(0, rig_client_end(&rig, fds[1]));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("open data(5) close(VIGIL_OK)", rig_take_log(&rig));
    OK(is_closed(fds[0]));
    close(fds[1]);
    rig_close(&rig);
}

CONFORM(a_full_blocking_socket_does_not_block_the_loop)
{
    needs_resets();
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], &rig.conn));
    static char block[1 << 20];
    EQ_INT(0, vigil_send_all(rig.loop, rig.conn, block, sizeof(block)));
    rig_is_quiet(&rig); /* hangs if it blocks */
    OK(rig_info(&rig, rig.conn).queued > 0);
    close(fds[1]);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ECONNRESET, rig.why);
    rig_close(&rig);
}

/* ---- pipes ---- */

static void pipe_echo(const char *backend, bool reopens)
{
    struct rig rig;
    struct pipes pipes;
    rig_on_host(&rig, backend, reopens);
    rig.on_data = rig_echo;
    rig.ops.eof = NULL;
    pipes_open(&rig, &pipes);
    put(pipes.to_in, "through pipes");
    RIG_UNTIL(&rig, rig_stats(&rig).bytes_out == 13);
    EQ_STR("through pipes", take(pipes.from_out));
    pipes_unshare(&pipes);
    close(pipes.to_in);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("data(13) close(VIGIL_OK)", rig_take_log(&rig));
    EQ_STR("", take(pipes.from_out)); /* the end */
    OK(is_closed(pipes.in));
    OK(is_closed(pipes.out));
    close(pipes.from_out);
    rig_close(&rig);
}

CONFORM(a_pair_of_pipes_echoes_and_stays_blocking_for_others)
{
    pipe_echo(backend, true);
    pipe_echo(backend, false);
}

static void full_pipe(const char *backend, bool reopens)
{
    enum { TOTAL = 300000, BEFORE = 5000 };
    static char block[TOTAL], got[TOTAL];
    struct rig rig;
    struct pipes pipes;
    rig_on_host(&rig, backend, reopens);
    pipes_open(&rig, &pipes);
    for (size_t i = 0; i < TOTAL; i++)
        block[i] = (char)(i * 7 + i / 251);
    /* Somebody else writes, too: what the pipe has room for is no whole number of buffers. */
    REQUIRE(write(pipes.out_too, block, BEFORE) == BEFORE);
    EQ_INT(0, vigil_send_all(rig.loop, pipes.conn, block + BEFORE, TOTAL - BEFORE));
    rig_is_quiet(&rig); /* hangs if a write blocks, fails if one spins */
    OK(rig_info(&rig, pipes.conn).queued > 0);
    rig.on_data = NULL;
    put(pipes.to_in, "the other side goes on");
    RIG_UNTIL(&rig, rig.used_total == 22);
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    int fd = rig_client(&rig);
    RIG_UNTIL(&rig, rig.opened == 2);
    rig.on_data = rig_echo;
    client_send(fd, "served");
    char text[7] = "";
    rig_client_gets(&rig, fd, text, 6);
    EQ_STR("served", text);
    OK(is_blocking(pipes.out_too), "the output was switched to O_NONBLOCK");
    fcntl(pipes.from_out, F_SETFL, O_NONBLOCK);
    size_t have = 0;
    for (int turns = 0; have < TOTAL && turns < 20000; turns++) {
        ssize_t n = read(pipes.from_out, got + have, TOTAL - have);
        have += n > 0 ? (size_t)n : 0;
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(n > 0 ? 0 : 10)) >= 0);
    }
    EQ_INT(TOTAL, have);
    EQ_INT(0, memcmp(block, got, TOTAL));
    pipes_unshare(&pipes);
    close(pipes.to_in);
    close(pipes.from_out);
    close(fd);
    rig_close(&rig);
}

CONFORM(a_full_blocking_pipe_does_not_block_the_loop)
{
    full_pipe(backend, true);
    full_pipe(backend, false);
}

/* The disposition of SIGPIPE is the default one, which would end this program. */
static void broken_pipe(const char *backend, bool reopens)
{
    struct rig rig;
    struct pipes pipes;
    rig_on_host(&rig, backend, reopens);
    pipes_open(&rig, &pipes);
    pipes_unshare(&pipes);
    close(pipes.from_out);
    EQ_INT(4, vigil_send(rig.loop, pipes.conn, "late", 4));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_ECONNRESET)", rig_take_log(&rig));
    EQ_INT(4, rig_stats(&rig).dropped_out);
    close(pipes.to_in);
    rig_close(&rig);
}

CONFORM(a_pipe_without_a_reader_ends_with_a_reason_and_no_signal)
{
    signal(SIGPIPE, SIG_DFL);
    broken_pipe(backend, true);
    broken_pipe(backend, false);
}

CONFORM(a_pipe_hung_up_with_unread_data_loses_nothing)
{
    enum { TOTAL = 60000 };
    for (int reopens = 0; reopens < 2; reopens++) {
        struct rig rig;
        struct pipes pipes;
        rig_on_host(&rig, backend, reopens != 0);
        pipes_open(&rig, &pipes);
        pipes_unshare(&pipes);
        static const char block[TOTAL];
        REQUIRE(write(pipes.to_in, block, TOTAL) == TOTAL);
        close(pipes.to_in);
        RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
        EQ_INT(TOTAL, rig.used_total);
        close(pipes.from_out);
        rig_close(&rig);
    }
}

static void pipe_end(const char *backend, int (*end)(vigil_loop *, vigil_conn), const char *log)
{
    struct rig rig;
    struct pipes pipes;
    rig_open_loop(&rig, backend, NULL);
    pipes_open(&rig, &pipes);
    pipes_unshare(&pipes);
    EQ_INT(0, vigil_send_all(rig.loop, pipes.conn, "bye", 3));
    EQ_INT(0, end(rig.loop, pipes.conn));
    RIG_UNTIL(&rig, is_closed(pipes.out));
    EQ_STR("bye", take(pipes.from_out)); /* no further call of ours */
    EQ_STR("", take(pipes.from_out));
    put(pipes.to_in, "more");
    rig_settle(&rig);
    EQ_STR(log, rig_take_log(&rig));
    close(pipes.to_in);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_OK, rig.why);
    close(pipes.from_out);
    rig_close(&rig);
}

CONFORM(end_on_pipes_closes_the_output_and_input_goes_on)
{
    pipe_end(backend, vigil_end, "data(4)");
}

CONFORM(an_aborted_pair_of_pipes_is_closed_at_once)
{
    struct rig rig;
    struct pipes pipes;
    rig_open_loop(&rig, backend, NULL);
    pipes_open(&rig, &pipes);
    pipes_unshare(&pipes);
    EQ_INT(0, vigil_send_all(rig.loop, pipes.conn, "dropped", 7));
    EQ_INT(0, vigil_abort(rig.loop, pipes.conn));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("", take(pipes.from_out));
    EQ_INT(7, rig_stats(&rig).dropped_out);
    close(pipes.to_in);
    close(pipes.from_out);
    rig_close(&rig);
}

CONFORM(finish_on_pipes_has_nothing_to_linger_for)
{
    struct rig rig;
    struct pipes pipes;
    rig_open_loop(&rig, backend, NULL);
    pipes_open(&rig, &pipes);
    pipes_unshare(&pipes);
    EQ_INT(0, vigil_send_all(rig.loop, pipes.conn, "bye", 3));
    EQ_INT(0, vigil_finish(rig.loop, pipes.conn));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_OK)", rig_take_log(&rig));
    EQ_STR("bye", take(pipes.from_out));
    EQ_STR("", take(pipes.from_out));
    close(pipes.to_in);
    close(pipes.from_out);
    rig_close(&rig);
}

/* ---- one side only ---- */

CONFORM(input_alone)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    vigil_conn conn;
    EQ_INT(0, rig_adopt(&rig, fds[0], VIGIL_FD_NONE, &conn));
    EQ_INT(0, vigil_send(rig.loop, conn, "x", 1));
    EQ_INT(VIGIL_ECLOSED, vigil_send_all(rig.loop, conn, "x", 1));
    put(fds[1], "in");
    close(fds[1]);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("open data(2) eof close(VIGIL_OK)", rig_take_log(&rig));
    rig_close(&rig);
}

CONFORM(output_alone)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    vigil_conn conn;
    EQ_INT(0, rig_adopt(&rig, VIGIL_FD_NONE, fds[1], &conn));
    rig_settle(&rig);
    EQ_STR("open", rig_take_log(&rig)); /* and no eof: nobody was there to end */
    EQ_INT(VIGIL_FD_NONE, vigil_conn_fd(rig.loop, conn));
    EQ_INT(VIGIL_HALF_OUT, rig_info(&rig, conn).state);
    EQ_INT(3, vigil_send(rig.loop, conn, "out", 3));
    EQ_INT(0, vigil_end(rig.loop, conn));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("close(VIGIL_OK)", rig_take_log(&rig));
    EQ_STR("out", take(fds[0]));
    EQ_STR("", take(fds[0]));
    close(fds[0]);
    rig_close(&rig);
}

/* ---- files and terminals ---- */

CONFORM(a_regular_file_is_read_to_its_end)
{
    enum { TOTAL = 300000 };
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    char path[] = "/tmp/vigil-adopt-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    static const char block[TOTAL];
    REQUIRE(write(fd, block, TOTAL) == TOTAL && lseek(fd, 0, SEEK_SET) == 0);
    EQ_INT(0, rig_adopt(&rig, fd, VIGIL_FD_NONE, NULL));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(TOTAL, rig.used_total);
    EQ_INT(VIGIL_OK, rig.why);
    OK(is_closed(fd));
    rig_close(&rig);
}

CONFORM(dev_null_ends_at_once_and_takes_everything)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.ops.eof = NULL;
    vigil_conn conn;
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    EQ_INT(0, rig_adopt(&rig, in, out, &conn));
    static const char block[100000];
    EQ_INT(0, vigil_send_all(rig.loop, conn, block, sizeof(block)));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("open close(VIGIL_OK)", rig_take_log(&rig));
    EQ_INT(sizeof(block), rig_stats(&rig).bytes_out);
    rig_close(&rig);
}

static void terminal_pair(int *master, int *slave)
{
    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(*master >= 0 && grantpt(*master) == 0 && unlockpt(*master) == 0);
    *slave = open(ptsname(*master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios raw;
    REQUIRE(*slave >= 0 && tcgetattr(*slave, &raw) == 0);
    cfmakeraw(&raw);
    REQUIRE(tcsetattr(*slave, TCSANOW, &raw) == 0);
}

CONFORM(a_terminal_is_read_and_written_and_stays_blocking_for_others)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = rig_echo;
    rig.ops.eof = NULL;
    int master, slave;
    terminal_pair(&master, &slave);
    int too = dup(slave);
    EQ_INT(0, rig_adopt(&rig, slave, slave, NULL));
    put(master, "typed");
    RIG_UNTIL(&rig, rig_stats(&rig).bytes_out == 5);
    EQ_STR("typed", take(master));
    OK(is_blocking(too));
    close(too);
    close(master); /* hung up */
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("open data(5) close(VIGIL_OK)", rig_take_log(&rig));
    OK(is_closed(slave));
    rig_close(&rig);
}

CONFORM(the_master_of_a_terminal_sees_its_other_side_end)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.ops.eof = NULL;
    int master, slave;
    terminal_pair(&master, &slave);
    EQ_INT(0, rig_adopt(&rig, master, master, NULL));
    put(slave, "printed");
    RIG_UNTIL(&rig, rig.used_total == 7);
    EQ_STR("printed", rig.got);
    close(slave);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_OK, rig.why);
    rig_close(&rig);
}

/* ---- refusals ---- */

static void watch_nothing(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch, (void)events, (void)arg;
}

CONFORM(what_cannot_be_adopted_stays_the_caller_s)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int pair[2], pipes[2], gone = 900; /* nothing is open there */
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    REQUIRE(pipe2(pipes, O_CLOEXEC) == 0);
    int listener = client_socket(AF_INET);
    REQUIRE(listen(listener, 1) == 0);
    EQ_INT(VIGIL_EBADF, rig_adopt(&rig, VIGIL_FD_NONE, VIGIL_FD_NONE, NULL));
    EQ_INT(VIGIL_EBADF, rig_adopt(&rig, gone, gone, NULL));
    EQ_INT(VIGIL_EBADF, rig_adopt(&rig, gone, pipes[1], NULL));
    EQ_INT(VIGIL_EBADF, rig_adopt(&rig, pipes[0], gone, NULL));
    EQ_INT(VIGIL_EINVAL, rig_adopt(&rig, listener, listener, NULL));
    EQ_INT(VIGIL_EINVAL, rig_adopt(&rig, pipes[0], listener, NULL));
    vigil_conn_options bad = { .limits = { .out_high = 5, .out_low = 6 } };
    EQ_INT(VIGIL_EINVAL, vigil_adopt(rig.loop, pair[0], pair[0], &bad, NULL));
    EQ_INT(0, rig_adopt(&rig, pair[0], pair[0], NULL));
    EQ_INT(VIGIL_EEXIST, rig_adopt(&rig, pair[0], pair[0], NULL));
    EQ_INT(VIGIL_EEXIST, rig_adopt(&rig, pipes[0], pair[0], NULL));
    EQ_INT(VIGIL_EEXIST, rig_adopt(&rig, pair[0], pipes[1], NULL));
    vigil_watch watch;
    EQ_INT(0, vigil_on_ready(rig.loop, pipes[0], VIGIL_IN, watch_nothing, NULL, &watch));
    EQ_INT(VIGIL_EEXIST, rig_adopt(&rig, pipes[0], pipes[1], NULL)); /* somebody watches it */
    EQ_INT(0, vigil_watch_cancel(rig.loop, watch));
    rig_settle(&rig);
    EQ_STR("open", rig_take_log(&rig));
    EQ_INT(0, vigil_loop_drain(rig.loop, VIGIL_S(20)));
    EQ_INT(VIGIL_ECANCELED, rig_adopt(&rig, pipes[0], pipes[1], NULL));
    OK(!is_closed(pipes[0]) && !is_closed(pipes[1]) && !is_closed(listener));
    OK(is_blocking(pipes[0]) && is_blocking(pipes[1]));
    close(pair[1]);
    close(pipes[0]);
    close(pipes[1]);
    close(listener);
    rig_close(&rig);
}

CONFORM(out_of_memory_at_each_step_leaves_the_descriptors)
{
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    int status = VIGIL_ENOMEM;
    for (size_t n = 0; status == VIGIL_ENOMEM && n < 32; n++) {
        struct rig rig;
        rig_open_loop(&rig, backend, NULL);
        rig.memory.fail_after = rig.memory.calls + n;
        status = rig_adopt(&rig, fds[0], fds[0], NULL);
        rig.memory.fail_after = SIZE_MAX;
        OK(n > 0 ? !is_closed(fds[0]) : status == VIGIL_ENOMEM);
        rig_close(&rig);
        EQ_INT(status == 0, rig.closed);
    }
    EQ_INT(0, status);
    close(fds[1]);
}
