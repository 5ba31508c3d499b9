/* SPDX-License-Identifier: MIT
 *
 * conn_rig.h -- one loop with a listener whose connections write a log, and plain clients.
 *
 * The log says what was called, in order: "open data(5) eof writable close(VIGIL_OK)".  Clients are
 * blocking sockets with a time limit, so that a test that waits for bytes that never come fails.
 */
#ifndef CONN_RIG_H
#define CONN_RIG_H

#include "test.h"
#include "virtual/observe.h"

struct rig {
    vigil_loop *loop;
    struct test_allocator memory;
    vigil_listener listener;
    vigil_addr addr;
    char where[VIGIL_ADDR_TEXT_MAX];
    vigil_conn_ops ops;
    /* What callbacks do, beside the log; NULL: data uses all, eof does nothing, ... */
    size_t (*on_data)(struct rig *rig, vigil_conn conn, const void *p, size_t n);
    void (*on_open)(struct rig *rig, vigil_conn conn);
    void (*on_eof)(struct rig *rig, vigil_conn conn);
    void (*on_writable)(struct rig *rig, vigil_conn conn);
    void (*on_close)(struct rig *rig, vigil_conn conn);
    vigil_conn conn; /* the last that opened */
    int opened, closed, why;
    char log[8192];
    char got[8192]; /* what data last had, as a string */
    size_t used_total;
    int64_t number; /* for the test */
};

__attribute__((format(__printf__, 2, 3))) TEST_MAYBE_UNUSED static void rig_log(struct rig *rig,
                                                                                const char *format,
                                                                                ...)
{
    size_t len = strlen(rig->log);
    if (len > 0 && len + 1 < sizeof(rig->log))
        rig->log[len++] = ' ';
    va_list args;
    va_start(args, format);
    vsnprintf(rig->log + len, sizeof(rig->log) - len, format, args);
    va_end(args);
}

static void rig_on_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    observe_open(loop, conn);
    struct rig *rig = ctx;
    rig->conn = conn;
    rig->opened++;
    rig_log(rig, "open");
    if (rig->on_open != NULL)
        rig->on_open(rig, conn);
}

static size_t rig_on_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    observe_data(loop, conn, p, n);
    struct rig *rig = ctx;
    size_t copied = n < sizeof(rig->got) ? n : sizeof(rig->got) - 1;
    memcpy(rig->got, p, copied);
    rig->got[copied] = '\0';
    if (strlen(rig->log) < sizeof(rig->log) / 2) /* however much comes, its end has room, too */
        rig_log(rig, "data(%zu)", n);
    size_t used = rig->on_data != NULL ? rig->on_data(rig, conn, p, n) : n;
    rig->used_total += used;
    observe_used(loop, conn, used < n ? used : n);
    return used;
}

static void rig_on_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    observe_eof(loop, conn);
    struct rig *rig = ctx;
    rig_log(rig, "eof");
    if (rig->on_eof != NULL)
        rig->on_eof(rig, conn);
}

static void rig_on_writable(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    observe_writable(loop, conn);
    struct rig *rig = ctx;
    rig_log(rig, "writable");
    if (rig->on_writable != NULL)
        rig->on_writable(rig, conn);
}

static void rig_on_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    observe_close(loop, conn, why);
    struct rig *rig = ctx;
    rig->closed++;
    rig->why = why;
    rig_log(rig, "close(%s)", vigil_err_name(why));
    if (rig->on_close != NULL)
        rig->on_close(rig, conn);
}

/* A loop alone.  `options` may be NULL. */
TEST_MAYBE_UNUSED static void rig_open_loop(struct rig *rig, const char *backend,
                                            const vigil_loop_options *options)
{
    memset(rig, 0, sizeof(*rig));
    vigil_loop_options o = options != NULL ? *options : (vigil_loop_options){ 0 };
    o.backend = backend;
    o.allocator = test_counting_allocator(&rig->memory);
    rig->ops = (vigil_conn_ops){ rig_on_open, rig_on_data, rig_on_eof, rig_on_writable,
                                 rig_on_close };
    int status = vigil_loop_open(&rig->loop, &o);
    REQUIRE(status == 0, "vigil_loop_open: %s", vigil_strerror(status));
}

/* Listens on `where`; `options` may be NULL, and gets this rig's ops. */
TEST_MAYBE_UNUSED static void rig_listen(struct rig *rig, const char *where,
                                         const vigil_listen_options *options)
{
    vigil_listen_options o = options != NULL ? *options : (vigil_listen_options){ 0 };
    o.ops = &rig->ops;
    o.user = rig;
    int status = vigil_listen(rig->loop, where, &o, &rig->listener);
    if (status == VIGIL_ENOTSUP && strncmp(where, "unix:", 5) == 0)
        SKIP("no Unix sockets on Windows");
    if (status == VIGIL_ENOTSUP && o.reuse_port)
        SKIP("no SO_REUSEPORT here");
    REQUIRE(status == 0, "vigil_listen %s: %s", where, vigil_strerror(status));
    EQ_INT(0, vigil_listener_address(rig->loop, rig->listener, &rig->addr));
    vigil_addr_format(&rig->addr, rig->where, sizeof(rig->where));
}

TEST_MAYBE_UNUSED static void rig_open(struct rig *rig, const char *backend,
                                       const vigil_listen_options *options)
{
    rig_open_loop(rig, backend, NULL);
    rig_listen(rig, "tcp://127.0.0.1:0", options);
}

TEST_MAYBE_UNUSED static void rig_close(struct rig *rig)
{
    vigil_loop_close(rig->loop);
    OK_ALLOCATOR_EMPTY(&rig->memory);
}

/* Turns until `condition` holds; a bound far above what it takes keeps a failure from hanging. */
#define RIG_UNTIL(rig, condition)                                             \
    do {                                                                      \
        int rig_turns = 0;                                                    \
        while (!(condition) && rig_turns < 2000) {                            \
            int rig_status = vigil_loop_turn((rig)->loop, VIGIL_MS(10));      \
            REQUIRE(rig_status >= 0, "turn: %s", vigil_strerror(rig_status)); \
            rig_turns++;                                                      \
        }                                                                     \
        REQUIRE(condition, "log so far: %s", (rig)->log);                     \
    } while (0)

/* Turns until nothing has run for some turns in a row: what does not happen now never will. */
TEST_MAYBE_UNUSED static void rig_settle(struct rig *rig)
{
    for (int quiet = 0, turns = 0; quiet < 5 && turns < 2000; turns++) {
        int ran = vigil_loop_turn(rig->loop, VIGIL_MS(5));
        REQUIRE(ran >= 0, "turn: %s", vigil_strerror(ran));
        quiet = ran == 0 ? quiet + 1 : 0;
    }
}

/* For on_data. */
TEST_MAYBE_UNUSED static size_t rig_echo(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    return vigil_send(rig->loop, conn, p, n);
}

/* A connection of the rig's own: it writes the same log. */
TEST_MAYBE_UNUSED static int rig_connect(struct rig *rig, const char *where,
                                         const vigil_limits *limits, vigil_conn *out)
{
    vigil_conn_options o = { .ops = &rig->ops, .ctx = rig };
    vigil_conn conn = { 0 };
    if (limits != NULL)
        o.limits = *limits;
    int status = vigil_connect(rig->loop, where, &o, &conn);
    if (status == 0)
        observe_made(rig->loop, conn, VIGIL_FD_NONE);
    if (out != NULL)
        *out = conn;
    return status;
}

TEST_MAYBE_UNUSED static int rig_adopt(struct rig *rig, int in, int out, vigil_conn *conn)
{
    vigil_conn made = { 0 };
    vigil_conn_options o = { .ops = &rig->ops, .ctx = rig };
    int status = vigil_adopt(rig->loop, in, out, &o, &made);
    if (status == 0)
        observe_made(rig->loop, made, out);
    if (conn != NULL)
        *conn = made;
    return status;
}

TEST_MAYBE_UNUSED static vigil_conn_info rig_info(struct rig *rig, vigil_conn conn)
{
    vigil_conn_info info = { 0 };
    EQ_INT(0, vigil_conn_info_get(rig->loop, conn, &info));
    return info;
}

TEST_MAYBE_UNUSED static vigil_stats rig_stats(const struct rig *rig)
{
    vigil_stats stats;
    vigil_stats_get(rig->loop, &stats);
    return stats;
}

TEST_MAYBE_UNUSED static vigil_ns rig_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return VIGIL_S(t.tv_sec) + t.tv_nsec;
}

TEST_MAYBE_UNUSED static void rig_sleep(vigil_ns duration)
{
    struct timespec t = { .tv_sec = (time_t)(duration / VIGIL_S(1)),
                          .tv_nsec = (long)(duration % VIGIL_S(1)) };
    while (nanosleep(&t, &t) != 0)
        continue;
}

/* In the end there is nothing to do and every turn waits as long as it may: nothing spins. */
TEST_MAYBE_UNUSED static void rig_is_quiet(struct rig *rig)
{
    int quiet = 0;
    for (int turns = 0; quiet < 10 && turns < 2000; turns++) {
        vigil_ns began = rig_clock();
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_MS(5)) >= 0);
        quiet = rig_clock() - began >= VIGIL_MS(5) ? quiet + 1 : 0;
    }
    OK(quiet == 10, "the loop spins");
}

/* The log since the last time, emptied. */
TEST_MAYBE_UNUSED static const char *rig_take_log(struct rig *rig)
{
    static char taken[sizeof(rig->log)];
    memcpy(taken, rig->log, sizeof(taken));
    rig->log[0] = '\0';
    return taken;
}

/* ---- clients ---- */

TEST_MAYBE_UNUSED static int client_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = { .tv_sec = 20 * test_time_scale() };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return fd;
}

/* connect(2), again when it is interrupted, as by the end of a ring of io_uring. */
TEST_MAYBE_UNUSED static int client_connect(int fd, const void *to, socklen_t len)
{
    int result;
    do
        result = connect(fd, to, len);
    while (result < 0 && errno == EINTR);
    return result;
}

/* Connects to an IPv4 listener of the rig: the backlog takes it without a turn. */
TEST_MAYBE_UNUSED static int rig_client(struct rig *rig)
{
    int fd = client_socket(AF_INET);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(rig->addr.port) };
    memcpy(&to.sin_addr, rig->addr.ip, 4);
    REQUIRE(client_connect(fd, &to, sizeof(to)) == 0, "connect: %s", strerror(errno));
    return fd;
}

/* A client whose connection has opened; rig->conn is it. */
TEST_MAYBE_UNUSED static int rig_client_opened(struct rig *rig)
{
    int before = rig->opened;
    int fd = rig_client(rig);
    RIG_UNTIL(rig, rig->opened > before);
    rig_take_log(rig);
    return fd;
}

TEST_MAYBE_UNUSED static void client_send(int fd, const char *text)
{
    REQUIRE(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "send: %s",
            strerror(errno));
}

/* What is there now, without waiting: -1 nothing yet, 0 the end, -2 a reset. */
TEST_MAYBE_UNUSED static ssize_t client_peek(int fd, char *p, size_t n)
{
    ssize_t got = recv(fd, p, n, MSG_DONTWAIT);
    return got < 0 && errno != EAGAIN ? -2 : got;
}

/* Turns the loop until the client has got `n` bytes; they stand in `p`. */
TEST_MAYBE_UNUSED static void rig_client_gets(struct rig *rig, int fd, char *p, size_t n)
{
    size_t have = 0;
    for (int turns = 0; have < n && turns < 20000; turns++) {
        ssize_t got = client_peek(fd, p + have, n - have);
        if (got > 0) {
            have += (size_t)got;
            continue;
        }
        REQUIRE(got == -1, "the stream ended (%zd) after %zu of %zu bytes", got, have, n);
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_MS(10)) >= 0);
    }
    EQ_INT(n, have);
}

/* What a client sees first when it is reset: Wine sends a FIN before the reset. */
TEST_MAYBE_UNUSED static ssize_t reset_seen(void)
{
    return test_under_wine() ? 0 : -2;
}

/* A row that is about resets and nothing else. */
TEST_MAYBE_UNUSED static void needs_resets(void)
{
    if (test_under_wine())
        SKIP("Wine sends a FIN before a reset");
}

/* Turns the loop until the client sees the end: 0 a FIN, -2 a reset; answers which. */
TEST_MAYBE_UNUSED static ssize_t rig_client_end(struct rig *rig, int fd)
{
    char scratch[65536];
    for (int turns = 0; turns < 20000; turns++) {
        ssize_t got = client_peek(fd, scratch, sizeof(scratch));
        if (got == 0 || got == -2)
            return got;
        if (got < 0)
            REQUIRE(vigil_loop_turn(rig->loop, VIGIL_MS(10)) >= 0);
    }
    OK(false, "no end came");
    return -1;
}

#endif
