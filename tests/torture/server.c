/* SPDX-License-Identifier: MIT
 *
 * server.c -- the echo server that is right: what it keeps for a client is bounded, an end of input
 * does not end the output, no error of one client concerns another, and without descriptors it
 * waits until there are some.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX      16384
#define ACCEPT_REST_MS 50 /* no accept(2) for so long after one failed for want of something */

enum mode { MODE_ECHO, MODE_LINES, MODE_DISCARD };

static int listen_on(const char *where);
static void serve(void);
static int waits_prepare(struct pollfd *fds);
static void accept_all(void);
static void conn_add(int fd);
static void conn_turn(struct conn *conn, short events);
static bool conn_read(struct conn *conn);
static void conn_write(struct conn *conn);
static void conn_settle(struct conn *conn);
static void conns_free(void);
static size_t room(const struct conn *conn);
static void begin_to_stop(void);
static void stop_wanted(int signo);

struct conn **server_conns;
size_t server_conn_count;

static const struct behaviour *behaves;
static enum mode mode;
static int listener;
static int64_t accept_again_ms;
static volatile sig_atomic_t stopping;
static bool draining;

int server_run(int argc, char **argv, const struct behaviour *behaviour)
{
    static const char *const modes[] = { "echo", "lines", "discard" };
    const struct sigaction stop = { .sa_handler = stop_wanted };
    sigset_t blocked; /* but for while it waits, so that none is missed */
    behaves = behaviour;
    for (size_t i = 0; argc > 2 && i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[2], modes[i]) == 0)
            mode = (enum mode)i;
    }
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
    (void)sigaction(SIGTERM, &stop, NULL);
    server_conns = calloc(CONNS_MAX, sizeof *server_conns);
    if (!server_conns || argc < 2 || listen_on(argv[1]) < 0) {
        perror(argv[0]);
        return 1;
    }
    serve();
    return 0;
}

static int listen_on(const char *where)
{
    const int on = 1;
    char host[64];
    unsigned port = 0;
    struct sockaddr_in name = { .sin_family = AF_INET };
    socklen_t size = sizeof name;
    if (sscanf(where, "tcp://%63[0-9.]:%u", host, &port) != 2 ||
        inet_pton(AF_INET, host, &name.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    name.sin_port = htons((uint16_t)port);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&name, sizeof name) < 0 ||
        listen(listener, behaves->backlog > 0 ? behaves->backlog : SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&name, &size) < 0)
        return -1;
    (void)printf("tcp://%s:%u\n", host, ntohs(name.sin_port));
    return fflush(stdout);
}

/* Until SIGTERM has come and everybody is finished with. */
static void serve(void)
{
    static struct pollfd fds[CONNS_MAX + 1];
    sigset_t none;
    (void)sigemptyset(&none);
    while (!draining || server_conn_count > 0) {
        int timeout = waits_prepare(fds);
        const size_t count = server_conn_count;
        const int limit = behaves->turn ? behaves->turn() : -1;
        if (limit >= 0 && (timeout < 0 || limit < timeout))
            timeout = limit;
        const struct timespec time = { .tv_sec = timeout / 1000,
                                       .tv_nsec = timeout % 1000 * 1000000 };
        const int ready = ppoll(fds, count + 1, timeout < 0 ? NULL : &time, &none);
        if (stopping && !draining) {
            if (behaves->stop && !behaves->stop())
                return;
            begin_to_stop();
        }
        for (size_t i = 0; ready > 0 && i < count; i++)
            conn_turn(server_conns[i], fds[i].revents);
        if (ready > 0 && fds[count].revents)
            accept_all();
        conns_free();
    }
}

/* Answers the timeout. */
static int waits_prepare(struct pollfd *fds)
{
    const bool accepting = !draining && server_conn_count < CONNS_MAX &&
                           server_now() >= accept_again_ms;
    for (size_t i = 0; i < server_conn_count; i++) {
        const struct conn *conn = server_conns[i];
        const bool reads = !conn->input_ended && room(conn) > 0;
        const bool writes = conn->out_len > conn->out_held;
        fds[i] = (struct pollfd){ .fd = reads || writes ? conn->fd : -1,
                                  .events = (short)((reads ? POLLIN : 0) |
                                                    (writes ? POLLOUT : 0)) };
    }
    fds[server_conn_count] = (struct pollfd){ .fd = accepting ? listener : -1, .events = POLLIN };
    return accepting || draining ? -1 : ACCEPT_REST_MS;
}

static void accept_all(void)
{
    while (server_conn_count < CONNS_MAX) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            conn_add(fd);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (behaves->dies_of_accept_errors)
            exit(1);
        if (!behaves->spins_without_descriptors)
            accept_again_ms = server_now() + ACCEPT_REST_MS;
        return;
    }
}

static void conn_add(int fd)
{
    const int on = 1;
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conn->fd = fd;
    conn->opened_ms = server_now();
    server_conns[server_conn_count++] = conn;
    if (behaves->accepted && !behaves->accepted(conn))
        server_close(conn);
}

static void conn_turn(struct conn *conn, short events)
{
    if (events == 0 || conn->fd < 0)
        return;
    if (events & (POLLIN | POLLERR | POLLHUP) && !conn->input_ended && room(conn) > 0)
        (void)conn_read(conn);
    if (conn->fd >= 0 && conn->out_len > conn->out_held)
        conn_write(conn);
    if (conn->fd >= 0)
        conn_settle(conn);
}

/* Answers whether something came. */
static bool conn_read(struct conn *conn)
{
    static unsigned char buf[QUEUE_MAX];
    size_t max = room(conn);
    max = max < sizeof buf ? max : sizeof buf;
    max = behaves->read_max > 0 && behaves->read_max < max ? behaves->read_max : max;
    const ssize_t got = recv(conn->fd, buf, max, 0);
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        if (behaves->broke)
            behaves->broke(conn, errno);
        else
            server_close(conn);
    } else if (got == 0) {
        conn->input_ended = true;
        conn->out_held = 0; /* no more of it will come */
        if (behaves->input_ended)
            behaves->input_ended(conn);
    } else if (got > 0 && mode != MODE_DISCARD && !conn->output_ended) {
        const size_t n = behaves->received ? behaves->received(conn, buf, (size_t)got)
                                           : (size_t)got;
        conn->received += (uint64_t)got;
        if (!server_queue(conn, buf, n))
            server_close(conn);
    }
    return got > 0;
}

bool server_queue(struct conn *conn, const unsigned char *bytes, size_t n)
{
    if (conn->out_at + conn->out_len + n > conn->out_cap && conn->out_at > 0) {
        memmove(conn->out, conn->out + conn->out_at, conn->out_len);
        conn->out_at = 0;
    }
    if (conn->out_len + n > conn->out_cap) {
        const size_t cap = (conn->out_len + n) * 2;
        unsigned char *out = realloc(conn->out, cap);
        if (!out)
            return false;
        conn->out = out;
        conn->out_cap = cap;
    }
    memcpy(conn->out + conn->out_at + conn->out_len, bytes, n);
    conn->out_len += n;
    if (mode == MODE_LINES) {
        const unsigned char *first = conn->out + conn->out_at;
        const unsigned char *newline = memrchr(first, '\n', conn->out_len);
        conn->out_held = newline ? conn->out_len - (size_t)(newline + 1 - first) : conn->out_len;
    }
    return true;
}

static void conn_write(struct conn *conn)
{
    const int flags = behaves->dies_of_sigpipe ? 0 : MSG_NOSIGNAL;
    const ssize_t sent = send(conn->fd, conn->out + conn->out_at, conn->out_len - conn->out_held,
                              flags);
    if (sent >= 0) {
        conn->out_at += (size_t)sent;
        conn->out_len -= (size_t)sent;
    } else if (errno != EAGAIN && errno != EINTR) {
        if (behaves->broke)
            behaves->broke(conn, errno);
        else
            server_close(conn);
    }
    if (conn->out_len == 0 && conn->out_cap > 0) { /* an idle client costs nothing */
        free(conn->out);
        conn->out = NULL;
        conn->out_cap = conn->out_at = 0;
    }
}

/* Everything was sent and nothing will come: that is the end.  While the server stops, it answers
 * what has come, then says that this is all, and waits for the client's own end. */
static void conn_settle(struct conn *conn)
{
    if (conn->out_len > conn->out_held)
        return;
    if (conn->input_ended) {
        server_close(conn);
    } else if (draining && !conn->output_ended && !conn_read(conn) && conn->fd >= 0) {
        (void)shutdown(conn->fd, SHUT_WR);
        conn->output_ended = true;
    }
}

void server_close(struct conn *conn)
{
    if (conn->fd < 0)
        return;
    if (behaves->closed)
        behaves->closed(conn);
    else
        (void)close(conn->fd);
    conn->fd = -1;
    if (!behaves->spins_without_descriptors)
        accept_again_ms = 0; /* there is a descriptor again */
}

static void conns_free(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < server_conn_count; i++) {
        struct conn *conn = server_conns[i];
        if (conn->fd >= 0) {
            server_conns[kept++] = conn;
            continue;
        }
        free(conn->out);
        free(conn);
    }
    server_conn_count = kept;
}

static size_t room(const struct conn *conn)
{
    const size_t max = behaves->queue_max > 0 ? behaves->queue_max : QUEUE_MAX;
    return conn->out_len < max ? max - conn->out_len : 0;
}

/* Accepts those who are connected already, reads what has come, and closes behind the answer. */
static void begin_to_stop(void)
{
    accept_all();
    (void)close(listener);
    listener = -1;
    draining = true;
    for (size_t i = 0; i < server_conn_count; i++)
        conn_turn(server_conns[i], POLLIN | POLLOUT);
}

static void stop_wanted(int signo)
{
    stopping = signo;
}

int64_t server_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
