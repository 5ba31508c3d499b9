/* SPDX-License-Identifier: MIT
 *
 * bad_echo.c -- an echo server that is wrong on purpose, to show that the battery can fail.
 *
 * Without an option it is right, in the plainest way: poll(2), a queue per connection, reading
 * while the queue is below a mark.  Each option puts in one fault that real servers had.
 * Usage: bad_echo
 * [--lose-tail | --unbounded | --die-sigpipe | --spin-emfile | --reorder | --drop-at-term]
 * tcp://A.B.C.D:PORT; the address bound is printed.  System headers only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1000, READ_SIZE = 65536, QUEUE_HIGH = 1 << 20, REST_NS = 100000000 };

struct connection {
    int fd;
    bool ended; /* the peer has sent everything */
    unsigned char *queue;
    size_t length;
};

/* The faults; one at most is true. */
static bool lose_tail, unbounded, die_sigpipe, spin_emfile, reorder, drop_at_term;

static const struct {
    const char *option;
    bool *fault;
} faults[] = {
    { "--lose-tail", &lose_tail },     { "--unbounded", &unbounded },
    { "--die-sigpipe", &die_sigpipe }, { "--spin-emfile", &spin_emfile },
    { "--reorder", &reorder },         { "--drop-at-term", &drop_at_term },
};

static struct connection connections[CONNECTIONS_MAX];
static size_t connection_count;
static volatile sig_atomic_t terminated;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    terminated = 1;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void connection_close(struct connection *connection)
{
    close(connection->fd);
    free(connection->queue);
    *connection = connections[--connection_count];
}

static void queue_add(struct connection *connection, const unsigned char *bytes, size_t length)
{
    unsigned char *queue = realloc(connection->queue, connection->length + length);
    if (!queue)
        die("realloc");
    size_t at = connection->length;
    if (reorder) { /* what came last goes out first */
        memmove(queue + length, queue, at);
        at = 0;
    }
    memcpy(queue + at, bytes, length);
    connection->queue = queue;
    connection->length += length;
}

/* Sends what the peer takes of the queue; answers whether the connection is still good. */
static bool queue_send(struct connection *connection)
{
    if (connection->length == 0)
        return true;
    ssize_t sent = send(connection->fd, connection->queue, connection->length,
                        die_sigpipe ? 0 : MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN;
    connection->length -= (size_t)sent;
    memmove(connection->queue, connection->queue + sent, connection->length);
    if (connection->length > 0)
        return true;
    free(connection->queue);
    connection->queue = NULL;
    return true;
}

/* One read into the queue; answers whether the connection is still good. */
static bool queue_receive(struct connection *connection)
{
    static unsigned char bytes[READ_SIZE];
    ssize_t got = recv(connection->fd, bytes, sizeof bytes, 0);
    if (got < 0)
        return errno == EAGAIN;
    if (got > 0)
        queue_add(connection, bytes, (size_t)got);
    else
        connection->ended = true;
    return true;
}

static short events_wanted(const struct connection *connection)
{
    bool room = connection->length < QUEUE_HIGH || unbounded;
    return (short)((connection->length > 0 ? POLLOUT : 0) |
                   (room && !connection->ended ? POLLIN : 0));
}

static void connection_ready(struct connection *connection, short events)
{
    bool good = true;
    if (events & POLLIN)
        good = queue_receive(connection);
    if (good && (!connection->ended || !lose_tail))
        good = queue_send(connection);
    if (!good || (connection->ended && (connection->length == 0 || lose_tail)))
        connection_close(connection);
}

/* Accepts all that wait; answers false when descriptors have run out. */
static bool accept_all(int listener)
{
    while (connection_count < CONNECTIONS_MAX) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return errno != EMFILE || spin_emfile;
        connections[connection_count++] = (struct connection){ .fd = fd };
    }
    return true;
}

/* Ends the connections that have nothing more to echo.  Called after SIGTERM, in every round. */
static void drain(void)
{
    unsigned char peek;
    for (size_t i = connection_count; i-- > 0;)
        if (drop_at_term || (connections[i].length == 0 &&
                             recv(connections[i].fd, &peek, 1, MSG_PEEK) < 0 && errno == EAGAIN))
            connection_close(&connections[i]);
}

/* Until SIGTERM came and every echo is finished.  `while_waiting` lets the signal in. */
static void run(int listener, sigset_t while_waiting)
{
    static struct pollfd set[CONNECTIONS_MAX + 1];
    static const struct timespec rest = { .tv_nsec = REST_NS };
    bool resting = false;
    while (!terminated || connection_count > 0) {
        size_t count = connection_count;
        for (size_t i = 0; i < count; i++)
            set[i] = (struct pollfd){ connections[i].fd, events_wanted(&connections[i]), 0 };
        set[count] = (struct pollfd){ resting || terminated ? -1 : listener, POLLIN, 0 };
        (void)ppoll(set, count + 1, resting ? &rest : NULL, &while_waiting); /* EINTR: revents 0 */
        for (size_t i = count; i-- > 0;) /* backwards: a close moves the last one here */
            if (set[i].revents)
                connection_ready(&connections[i], set[i].revents);
        if (terminated)
            drain();
        else
            resting = (resting || set[count].revents) && !accept_all(listener);
    }
}

static int listen_on(const char *where)
{
    char host[INET_ADDRSTRLEN];
    unsigned short port;
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    if (sscanf(where, "tcp://%15[0-9.]:%hu", host, &port) != 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        exit(2);
    address.sin_port = htons(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die(where);
    printf("tcp://%s:%u\n", host, ntohs(address.sin_port));
    (void)fflush(stdout); /* a reader that is gone is no reason not to serve */
    return fd;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc - 1; i++)
        for (size_t k = 0; k < sizeof faults / sizeof faults[0]; k++)
            if (strcmp(argv[i], faults[k].option) == 0)
                *faults[k].fault = true;
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, READ_SIZE); /* a queue's memory goes back at once */
#endif
    struct sigaction action = { .sa_handler = on_terminate };
    sigset_t terminate, before;
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    sigprocmask(SIG_BLOCK, &terminate, &before); /* it is let in by ppoll() alone */
    sigaction(SIGTERM, &action, NULL);
    run(listen_on(argv[argc - 1]), before);
    return 0;
}
