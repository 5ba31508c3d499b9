/* SPDX-License-Identifier: MIT
 *
 * tutorial.h -- what the tutorial's five programs have from Python's library: sockets with a name,
 * lists of them, a queue of messages for each connection, and lines as print() writes them.
 * Floor: above vigil.h, which is used here for its types only.  Include it before anything else.
 *
 * As in the tutorial, the queue has no bound: a client that never reads costs memory.  Layer 3 of
 * vigil.h (vigil_conn) is the remedy.
 */
#ifndef TUTORIAL_H
#define TUTORIAL_H

#ifdef _WIN32
#include "tutorial_windows.h"
#else

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include "vigil.h"

enum { NAME_SIZE = 32 }; /* ('255.255.255.255', 65535) and some more */

struct message {
    struct message *next;
    size_t length;
    size_t sent; /* how much of it has left */
    char bytes[];
};

/* A client as a server sees it.  Its name is taken from accept: getpeername fails after a reset. */
struct connection {
    struct connection *next; /* for select: the list in which its socket is looked up */
    vigil_reg reg;           /* for poll: its registration */
    vigil_fd fd;
    char name[NAME_SIZE];
    struct message *first, *last; /* the queue of outgoing messages */
    struct message *sending;      /* left the queue, not all of its bytes have left */
    bool ended;                   /* it sends no more; close when everything is sent */
};

/* One of select's lists. */
struct sockets {
    vigil_fd *fds;
    size_t count, room;
};

/* ---- lines on stderr --------------------------------------------------------------------- */

/* The end of a program that cannot go on: one line, exit 1. */
_Noreturn static inline void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* Ends the program when a call of the library has failed. */
static inline void check(const char *what, int status)
{
    if (status < 0)
        fail(what, vigil_strerror(status));
}

/* Prints a line with a message in it.  Not with %s, which would stop at a zero byte. */
static inline void print_message(const char *before, const char *bytes, size_t length,
                                 const char *after, const char *name)
{
    fprintf(stderr, "%s \"", before);
    fwrite(bytes, 1, length, stderr);
    fprintf(stderr, "\"%s%s\n", after, name);
}

/* Answers the port: the first argument, or 10000.  A bad one ends the program with exit 2. */
static inline in_port_t port_argument(int argc, char **argv)
{
#ifndef _WIN32                             /* there it would stand for "no line before its time" */
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* a line is one write, as in Python */
#endif
    if (argc < 2)
        return 10000;
    char *end = NULL;
    long port = strtol(argv[1], &end, 10);
    bool number = argv[1][0] >= '0' && argv[1][0] <= '9' && *end == '\0';
    if (argc > 2 || !number || port < 1 || port > 65535) {
        fprintf(stderr, "the only argument is a port from 1 to 65535, not \"%s\"\n",
                argv[argc > 2 ? 2 : 1]);
        exit(2);
    }
    return (in_port_t)port;
}

/* ---- sockets ----------------------------------------------------------------------------- */

static inline void *allocate(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL)
        fail("cannot go on", "out of memory");
    return memory;
}

static inline struct sockaddr_in localhost(in_port_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Writes an address as Python prints it: ('127.0.0.1', 55821). */
static inline void name_address(char name[NAME_SIZE], const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN] = "unknown";
    (void)inet_ntop(AF_INET, &address->sin_addr, host, sizeof host); /* fails: it stays unknown */
    snprintf(name, NAME_SIZE, "('%s', %u)", host, (unsigned)ntohs(address->sin_port));
}

#ifndef _WIN32
static inline bool set_nonblocking(vigil_fd fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}
#endif

/* Whether the call that just failed only has to be tried again later. */
static inline bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* The start of every server: a non-blocking TCP/IP socket that listens on localhost. */
static inline vigil_fd start_server(in_port_t port)
{
    struct sockaddr_in address = localhost(port);
    int on = 1;
    fprintf(stderr, "starting up on localhost port %u\n", (unsigned)port);
    vigil_fd server = socket(AF_INET, SOCK_STREAM, 0);
    if (server == VIGIL_FD_NONE ||
        setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        !set_nonblocking(server) || bind(server, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(server, 5) < 0)
        fail("cannot listen", strerror(errno));
    return server;
}

/* The start of every client: a blocking TCP/IP socket. */
static inline vigil_fd create_socket(void)
{
    vigil_fd fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == VIGIL_FD_NONE)
        fail("cannot create a socket", strerror(errno));
    return fd;
}

static inline void connect_socket(vigil_fd fd, in_port_t port)
{
    struct sockaddr_in address = localhost(port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("cannot connect", strerror(errno));
}

/* Python's sendall() for a blocking socket.  False: the server is gone, and errno says how. */
static inline bool send_all(vigil_fd fd, const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent < 0 && !would_block())
            return false;
        if (sent > 0) {
            text += sent;
            length -= (size_t)sent;
        }
    }
    return true;
}

/* ---- lists of sockets -------------------------------------------------------------------- */

static inline void sockets_reserve(struct sockets *list, size_t room)
{
    if (list->room >= room)
        return;
    list->room = 2 * room;
    list->fds = allocate(list->fds, list->room * sizeof *list->fds);
}

static inline void sockets_append(struct sockets *list, vigil_fd fd)
{
    sockets_reserve(list, list->count + 1);
    list->fds[list->count++] = fd;
}

/* The position of a socket, or the count when it is not in the list. */
static inline size_t sockets_find(const struct sockets *list, vigil_fd fd)
{
    size_t i = 0;
    while (i < list->count && list->fds[i] != fd)
        i++;
    return i;
}

static inline void sockets_remove(struct sockets *list, vigil_fd fd)
{
    size_t i = sockets_find(list, fd);
    if (i == list->count)
        return;
    list->count--;
    memmove(&list->fds[i], &list->fds[i + 1], (list->count - i) * sizeof *list->fds);
}

/* A list from its `from`-th socket on as vigil_select() takes it; `ready` lends the room. */
static inline vigil_set sockets_set(const struct sockets *list, size_t from, struct sockets *ready)
{
    size_t count = list->count - from;
    sockets_reserve(ready, count + 1);
    return (vigil_set){ .fds = list->fds + from, .count = count, .ready = ready->fds };
}

/* ---- connections ------------------------------------------------------------------------- */

/* Accepts a client and gives it a queue for the data we want to send; NULL when there is none. */
static inline struct connection *connection_accept(vigil_fd server)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    vigil_fd fd = accept(server, (struct sockaddr *)&address, &size);
    if (fd == VIGIL_FD_NONE)
        return NULL;
    if (!set_nonblocking(fd)) {
        close(fd);
        return NULL;
    }
    struct connection *connection = allocate(NULL, sizeof *connection);
    *connection = (struct connection){ .fd = fd };
    name_address(connection->name, &address);
    return connection;
}

/* Whether accept just failed for want of descriptors or memory: the client stays in the backlog
 * and the server readable, so that waiting for it would spin.  Other errors are the client's. */
static inline bool accept_must_rest(void)
{
    return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
}

/* Puts data at the end of the queue. */
static inline void queue_put(struct connection *connection, const char *data, size_t length)
{
    struct message *message = allocate(NULL, sizeof *message + length);
    *message = (struct message){ .length = length };
    memcpy(message->bytes, data, length);
    if (connection->first == NULL)
        connection->first = message;
    else
        connection->last->next = message;
    connection->last = message;
}

/* Takes the next message from the queue; NULL when the queue is empty. */
static inline struct message *queue_get(struct connection *connection)
{
    struct message *message = connection->first;
    if (message != NULL)
        connection->first = message->next;
    return message;
}

/* Whether every byte that came in has left again. */
static inline bool queue_done(const struct connection *connection)
{
    return connection->first == NULL && connection->sending == NULL;
}

/* Sends of the message under way what the system takes.  False: the client is gone. */
static inline bool send_rest(struct connection *connection)
{
    struct message *message = connection->sending;
    ssize_t sent = send(connection->fd, message->bytes + message->sent,
                        message->length - message->sent, MSG_NOSIGNAL);
    if (sent < 0)
        return would_block();
    message->sent += (size_t)sent;
    if (message->sent == message->length) {
        free(message);
        connection->sending = NULL;
    }
    return true;
}

/* Closes the socket and frees everything that belongs to it. */
static inline void connection_free(struct connection *connection)
{
    close(connection->fd);
    free(connection->sending);
    for (struct message *message; (message = queue_get(connection)) != NULL;)
        free(message);
    free(connection);
}

#endif
