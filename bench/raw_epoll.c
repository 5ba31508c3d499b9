/* SPDX-License-Identifier: MIT
 *
 * raw_epoll.c -- the yardstick: an echo server written by hand on level-triggered epoll.
 *
 * It is as safe as the one on the library, so that the comparison is fair: at most one read of
 * 64 KiB per wake-up, what the peer does not take is kept (never more than that one read) and
 * nothing further is read meanwhile, end of input closes behind the queue, a listener out of
 * descriptors rests, and SIGTERM finishes what is under way.
 * Usage: raw_epoll [tcp://A.B.C.D:PORT]; the address bound is printed.  System headers only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 65536,
    EVENTS_MAX = 256,
    ACCEPTS_MAX = 64, /* per wake-up, so that newcomers do not starve those who are served */
    REST_MS = 100,
    GRACE_SECONDS = 10
};

struct connection {
    int fd;
    bool lingering; /* our side has ended; input is thrown away until the peer's end */
    size_t start;   /* of what is left in pending */
    size_t length;  /* of what is left; reading goes on when it is 0 */
    unsigned char *pending;
    struct connection *next, *previous;
};

struct server {
    int epoll;
    int listener; /* -1: closed */
    int signals;
    bool resting; /* the listener is out of the set, waiting for descriptors */
    bool draining;
    struct connection *connections;
};

static char listener_tag, signals_tag;

static void die(const char *what)
{
    (void)fprintf(stderr, "raw_epoll: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(const struct server *server, int operation, int fd, uint32_t events, void *tag)
{
    struct epoll_event event = { .events = events, .data.ptr = tag };
    if (epoll_ctl(server->epoll, operation, fd, &event) < 0)
        die("epoll_ctl");
}

static void listener_rest(struct server *server, bool rest)
{
    if (server->listener < 0 || server->resting == rest)
        return;
    server->resting = rest;
    watch(server, rest ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, server->listener, EPOLLIN, &listener_tag);
}

static bool connection_add(struct server *server, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return false;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without, not wrong */
    connection->fd = fd;
    connection->next = server->connections;
    if (connection->next)
        connection->next->previous = connection;
    server->connections = connection;
    watch(server, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
    return true;
}

static void connection_close(struct server *server, struct connection *connection)
{
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    close(connection->fd);
    free(connection->pending);
    free(connection);
    listener_rest(server, false);
}

/* Sends what it can.  Answers how many bytes went out, 0 when there is no room, -1 for an error. */
static ssize_t send_some(int fd, const unsigned char *bytes, size_t length)
{
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
}

static bool pending_keep(struct server *server, struct connection *connection,
                         const unsigned char *bytes, size_t length)
{
    connection->pending = malloc(length);
    if (!connection->pending)
        return false;
    memcpy(connection->pending, bytes, length);
    connection->start = 0;
    connection->length = length;
    watch(server, EPOLL_CTL_MOD, connection->fd, EPOLLOUT, connection);
    return true;
}

/* One read, echoed.  Answers whether the connection lives on. */
static bool echo_once(struct server *server, struct connection *connection)
{
    static unsigned char bytes[READ_SIZE];
    ssize_t got = recv(connection->fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got > 0 && connection->lingering)
        return true;
    ssize_t sent = got > 0 ? send_some(connection->fd, bytes, (size_t)got) : -1;
    if (sent == got)
        return true;
    if (sent >= 0 && pending_keep(server, connection, bytes + sent, (size_t)(got - sent)))
        return true;
    connection_close(server, connection); /* at the end of input nothing of ours is pending */
    return false;
}

/* Called when a drain is under way and the queue is empty: echoes what the system still holds,
 * then ends our side.  With output pending it comes again from flush(). */
static void connection_finish(struct server *server, struct connection *connection)
{
    unsigned char peek;
    while (connection->length == 0 && !connection->lingering) {
        ssize_t waiting = recv(connection->fd, &peek, 1, MSG_PEEK);
        if (waiting > 0) {
            if (!echo_once(server, connection))
                return;
        } else if (waiting < 0 && errno == EAGAIN && shutdown(connection->fd, SHUT_WR) == 0) {
            connection->lingering = true;
        } else {
            connection_close(server, connection);
            return;
        }
    }
}

static void flush(struct server *server, struct connection *connection)
{
    ssize_t sent = send_some(connection->fd, connection->pending + connection->start,
                             connection->length);
    if (sent < 0) {
        connection_close(server, connection);
        return;
    }
    connection->start += (size_t)sent;
    connection->length -= (size_t)sent;
    if (connection->length > 0)
        return;
    free(connection->pending);
    connection->pending = NULL;
    watch(server, EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
    if (server->draining)
        connection_finish(server, connection);
}

static void accept_some(struct server *server, int accepts_max)
{
    while (accepts_max-- > 0) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN)
            return;
        bool starved = fd < 0 &&
                       (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
        if (starved || (fd >= 0 && !connection_add(server, fd))) {
            listener_rest(server, true);
            return;
        } /* any other error is that of one connection: the next, please */
    }
}

static void drain(struct server *server)
{
    struct signalfd_siginfo ignored;
    (void)!read(server->signals, &ignored, sizeof ignored); /* it is known what came */
    if (server->draining)
        exit(1);
    server->draining = true;
    (void)alarm(GRACE_SECONDS); /* the signal's default action ends us */
    accept_some(server, 65536);
    close(server->listener);
    server->listener = -1;
    struct connection *next = server->connections;
    while (next) {
        struct connection *connection = next;
        next = connection->next;
        connection_finish(server, connection);
    }
}

static void run(struct server *server)
{
    struct epoll_event events[EVENTS_MAX];
    while (!server->draining || server->connections) {
        bool drain_asked = false; /* acted on behind the batch: it closes others' connections */
        int count = epoll_wait(server->epoll, events, EVENTS_MAX, server->resting ? REST_MS : -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        if (count == 0)
            listener_rest(server, false);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].data.ptr == &listener_tag)
                accept_some(server, ACCEPTS_MAX);
            else if (events[i].data.ptr == &signals_tag)
                drain_asked = true;
            else if (connection->length > 0)
                flush(server, connection);
            else
                (void)echo_once(server, connection);
        }
        if (drain_asked)
            drain(server);
    }
}

static struct sockaddr_in parse_where(const char *where)
{
    char host[INET_ADDRSTRLEN];
    unsigned short port;
    struct sockaddr_in address = { .sin_family = AF_INET };
    if (strncmp(where, "tcp://", 6) == 0)
        where += 6;
    if (sscanf(where, "%15[0-9.]:%hu", host, &port) != 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        (void)fprintf(stderr, "raw_epoll: %s: want tcp://A.B.C.D:PORT\n", where);
        exit(2);
    }
    address.sin_port = htons(port);
    return address;
}

static int listen_on(const char *where)
{
    struct sockaddr_in address = parse_where(where);
    socklen_t size = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die(where);
    char host[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
    printf("tcp://%s:%u\n", host, ntohs(address.sin_port));
    (void)fflush(stdout); /* a reader that is gone is no reason not to serve */
    return fd;
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    struct server server = {
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .listener = listen_on(argc > 1 ? argv[1] : "tcp://127.0.0.1:10000"),
        .signals = signals_open(),
    };
    if (server.epoll < 0 || server.signals < 0)
        die("start");
    watch(&server, EPOLL_CTL_ADD, server.listener, EPOLLIN, &listener_tag);
    watch(&server, EPOLL_CTL_ADD, server.signals, EPOLLIN, &signals_tag);
    run(&server);
    return 0;
}
