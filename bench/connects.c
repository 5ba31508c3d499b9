/* SPDX-License-Identifier: MIT
 *
 * connects.c -- the load of newcomers: connections that echo one message and end.
 *
 * So many at a time connect, send 64 bytes and their end, check what comes back, and wait for the
 * server's end; then another takes the place.  The sources are many addresses of 127/8, as each
 * has 28,000 ports and a minute passes before one is free again.
 * In step with its runner as driver.c is: "ready", a line, "CONNECTIONS NANOSECONDS".
 *
 * Usage: connects A.B.C.D PORT AT-ONCE MILLISECONDS
 * Exit 0; 1 the server or the system failed; 2 usage; 3 a byte came back wrong. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum {
    SIZE = 64,
    EVENTS_MAX = 256,
    AT_ONCE_MAX = 4096, /* the backlog of the servers */
    SOURCES = 250,
    STUCK_MS = 10000
};

struct client {
    int fd;
    bool connected;
    size_t received;
};

static struct {
    struct sockaddr_in address;
    int epoll;
    uint32_t opened;
    uint64_t ended;
    struct client *clients;
} load;

static unsigned char message[SIZE];

static void die(const char *what)
{
    (void)fprintf(stderr, "connects: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void client_watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = client };
    if (epoll_ctl(load.epoll, operation, client->fd, &event) < 0)
        die("epoll_ctl");
}

static void client_open(struct client *client)
{
    struct sockaddr_in source = { .sin_family = AF_INET };
    int on = 1;
    source.sin_addr.s_addr = htonl((127u << 24) | (1u << 16) | (load.opened++ % SOURCES + 1));
    *client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                            0) };
    if (client->fd < 0 ||
        setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(client->fd, (struct sockaddr *)&source, sizeof source) < 0)
        die("socket");
    if (connect(client->fd, (struct sockaddr *)&load.address, sizeof load.address) < 0 &&
        errno != EINPROGRESS)
        die("connect");
    client_watch(client, EPOLL_CTL_ADD, EPOLLOUT);
}

/* It is connected: sends all it has to say, which fits, and its end. */
static void client_say(struct client *client)
{
    int err = 0;
    socklen_t size = sizeof err;
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 || (errno = err) != 0)
        die("connect");
    if (send(client->fd, message, SIZE, MSG_NOSIGNAL) != SIZE || shutdown(client->fd, SHUT_WR) < 0)
        die("send");
    client->connected = true;
    client_watch(client, EPOLL_CTL_MOD, EPOLLIN);
}

/* Answers whether the server has ended the connection, too, as it must behind the last byte. */
static bool client_listen(struct client *client)
{
    unsigned char bytes[SIZE + 1];
    ssize_t got = recv(client->fd, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got < 0)
        die("recv");
    if ((size_t)got > SIZE - client->received ||
        memcmp(bytes, message + client->received, (size_t)got) != 0 ||
        (got == 0 && client->received < SIZE)) {
        (void)fprintf(stderr, "connects: wrong behind byte %zu\n", client->received);
        exit(3);
    }
    client->received += (size_t)got;
    return got == 0;
}

/* Until the deadline has passed and all have ended. */
static void load_run(size_t at_once, int64_t deadline_ns)
{
    struct epoll_event events[EVENTS_MAX];
    size_t open = at_once;
    for (size_t i = 0; i < at_once; i++)
        client_open(&load.clients[i]);
    while (open > 0) {
        int count = epoll_wait(load.epoll, events, EVENTS_MAX, STUCK_MS);
        if (count == 0)
            errno = ETIMEDOUT;
        if (count <= 0)
            die("waiting for the server");
        bool go_on = now_ns() < deadline_ns;
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client->connected) {
                client_say(client);
            } else if (client_listen(client)) {
                close(client->fd);
                load.ended++;
                if (go_on)
                    client_open(client);
                else
                    open--;
            }
        }
    }
}

static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > max) {
        (void)fprintf(stderr, "connects: %s: want a number from 1 to %ld\n", text, max);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    char line[16];
    load.address.sin_family = AF_INET;
    if (argc != 5 || inet_pton(AF_INET, argv[1], &load.address.sin_addr) != 1) {
        (void)fprintf(stderr, "connects: want A.B.C.D PORT AT-ONCE MILLISECONDS\n");
        return 2;
    }
    load.address.sin_port = htons((uint16_t)number(argv[2], 65535));
    size_t at_once = (size_t)number(argv[3], AT_ONCE_MAX);
    int64_t duration_ns = number(argv[4], 3600000) * 1000000;
    for (size_t i = 0; i < SIZE; i++)
        message[i] = (unsigned char)(i * 37 + 11);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.clients = calloc(at_once, sizeof *load.clients);
    if (load.epoll < 0 || !load.clients)
        die("start");
    load_run(at_once, 0); /* each once: the server is warm */
    for (puts("ready"), (void)fflush(stdout); fgets(line, sizeof line, stdin);
         (void)fflush(stdout)) { /* a runner that is gone shows at stdin */
        int64_t began = now_ns();
        load.ended = 0;
        load_run(at_once, began + duration_ns);
        printf("%llu %lld\n", (unsigned long long)load.ended, (long long)(now_ns() - began));
    }
    return 0;
}
