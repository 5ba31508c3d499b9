/* SPDX-License-Identifier: MIT
 *
 * crowd_client.c -- one process of a crowd: connections that are all open at once.
 *
 * It does what its runner says on stdin, a line each: "open N" opens so many more, "echo" sends
 * 64 bytes on every connection and checks what comes back, "close" ends all of them in order and
 * waits for the server's end.  Each line is answered by how many that were, once it is so for all.
 * No two connections send the same bytes, so what went astray is noticed.
 *
 * Usage: crowd_client A.B.C.D PORT SOURCE COUNT, where SOURCE is the first of the four addresses it
 * connects from: each has some 28,000 ports, but the kernel searches long for the last of them.
 * Exit 0; 1 the server or the system failed; 2 usage; 3 a byte is wrong. */
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

enum {
    SIZE = 64,
    EVENTS_MAX = 256,
    COUNT_MAX = 1000000,
    SOURCES = 4,
    STUCK_MS = 30000 /* nothing for so long: the server has stopped */
};

struct client {
    int fd;
    uint32_t received;
};

static struct {
    struct sockaddr_in address, source;
    int epoll;
    size_t opened, count;
    struct client *clients;
} crowd;

static void die(const char *what)
{
    (void)fprintf(stderr, "crowd_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = client };
    if (epoll_ctl(crowd.epoll, operation, client->fd, &event) < 0)
        die("epoll_ctl");
}

/* What a connection says, in every round: made of its number and of where it comes from. */
static void message_of(const struct client *client, unsigned char *message)
{
    uint32_t state = (uint32_t)(client - crowd.clients) * 2654435761u +
                     crowd.source.sin_addr.s_addr;
    for (size_t i = 0; i < SIZE; i++) {
        state = state * 1664525 + 1013904223;
        message[i] = (unsigned char)(state >> 24);
    }
}

static void client_open(struct client *client)
{
    struct sockaddr_in source = crowd.source;
    int on = 1;
    source.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) +
                                   (uint32_t)(client - crowd.clients) % SOURCES);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->fd < 0 ||
        setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        bind(client->fd, (struct sockaddr *)&source, sizeof source) < 0)
        die("socket");
    if (connect(client->fd, (struct sockaddr *)&crowd.address, sizeof crowd.address) < 0 &&
        errno != EINPROGRESS)
        die("connect");
    watch(client, EPOLL_CTL_ADD, EPOLLOUT);
}

/* Each of the following answers whether this connection has come to the end of the round. */

static bool client_connected(struct client *client)
{
    int err = 0;
    socklen_t size = sizeof err;
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 || (errno = err) != 0)
        die("connect");
    watch(client, EPOLL_CTL_MOD, EPOLLIN);
    return true;
}

static bool client_echoed(struct client *client)
{
    unsigned char message[SIZE], bytes[SIZE + 1];
    ssize_t got = recv(client->fd, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0)
        die(got < 0 ? "recv" : "closed by the server");
    message_of(client, message);
    if ((size_t)got > SIZE - client->received ||
        memcmp(bytes, message + client->received, (size_t)got) != 0) {
        (void)fprintf(stderr, "crowd_client: wrong behind byte %u\n", client->received);
        exit(3);
    }
    client->received += (uint32_t)got;
    return client->received == SIZE;
}

static bool client_ended(struct client *client)
{
    unsigned char byte;
    ssize_t got = recv(client->fd, &byte, 1, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got < 0)
        die("recv");
    if (got > 0) {
        (void)fprintf(stderr, "crowd_client: a byte that nobody sent\n");
        exit(3);
    }
    (void)close(client->fd);
    return true;
}

/* Until so many connections have come to the end of the round. */
static void wait_for(size_t left, bool (*round)(struct client *client))
{
    struct epoll_event events[EVENTS_MAX];
    while (left > 0) {
        int count = epoll_wait(crowd.epoll, events, EVENTS_MAX, STUCK_MS);
        if (count == 0)
            errno = ETIMEDOUT;
        if (count <= 0)
            die("waiting for the server");
        for (int i = 0; i < count; i++)
            left -= round(events[i].data.ptr);
    }
}

static size_t open_some(size_t some)
{
    if (some > crowd.count - crowd.opened)
        some = crowd.count - crowd.opened;
    for (size_t i = 0; i < some; i++)
        client_open(&crowd.clients[crowd.opened++]);
    wait_for(some, client_connected);
    return crowd.opened;
}

static size_t echo_all(void)
{
    unsigned char message[SIZE];
    for (size_t i = 0; i < crowd.opened; i++) {
        struct client *client = &crowd.clients[i];
        client->received = 0;
        message_of(client, message);
        if (send(client->fd, message, SIZE, MSG_NOSIGNAL) != SIZE) /* so little always fits */
            die("send");
    }
    wait_for(crowd.opened, client_echoed);
    return crowd.opened;
}

static size_t close_all(void)
{
    size_t count = crowd.opened;
    for (size_t i = 0; i < count; i++) {
        if (shutdown(crowd.clients[i].fd, SHUT_WR) < 0)
            die("shutdown");
    }
    wait_for(count, client_ended);
    crowd.opened = 0;
    return count;
}

static size_t number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if ((*end && *end != '\n') || value < 1 || value > max) {
        (void)fprintf(stderr, "crowd_client: %s: want a number from 1 to %ld\n", text, max);
        exit(2);
    }
    return (size_t)value;
}

static size_t obey(const char *line)
{
    if (strncmp(line, "open ", 5) == 0)
        return open_some(number(line + 5, COUNT_MAX));
    if (strcmp(line, "echo\n") == 0)
        return echo_all();
    if (strcmp(line, "close\n") == 0)
        return close_all();
    (void)fprintf(stderr, "crowd_client: want open N, echo or close, not %s", line);
    exit(2);
}

int main(int argc, char **argv)
{
    char line[32];
    crowd.address.sin_family = crowd.source.sin_family = AF_INET;
    if (argc != 5 || inet_pton(AF_INET, argv[1], &crowd.address.sin_addr) != 1 ||
        inet_pton(AF_INET, argv[3], &crowd.source.sin_addr) != 1) {
        (void)fprintf(stderr, "crowd_client: want A.B.C.D PORT SOURCE COUNT\n");
        return 2;
    }
    crowd.address.sin_port = htons((uint16_t)number(argv[2], 65535));
    crowd.count = number(argv[4], COUNT_MAX);
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd.clients = calloc(crowd.count, sizeof *crowd.clients);
    if (crowd.epoll < 0 || !crowd.clients)
        die("start");
    for (; fgets(line, sizeof line, stdin); (void)fflush(stdout)) /* gone readers show at stdin */
        printf("%zu\n", obey(line));
    return 0;
}
