/* SPDX-License-Identifier: MIT
 *
 * select_poll_echo_server.c -- the tutorial's echo server with poll(): sockets are registered once,
 * and modified when something is to be sent.
 * Floor: layer 1 of vigil.h (vigil_poller).
 *
 *   select_poll_echo_server [PORT]
 */
#include "tutorial.h"

/* Commonly used sets of flags.  VIGIL_HUP and VIGIL_ERR are reported unasked. */
static const unsigned READ_ONLY = VIGIL_IN | VIGIL_PRI;
static const unsigned READ_WRITE = VIGIL_IN | VIGIL_PRI | VIGIL_OUT;
static const vigil_ns TIMEOUT = VIGIL_S(1); /* do not block forever */

static vigil_poller *poller;
static vigil_fd server;
static vigil_reg server_reg;

static void handle_event(struct connection *connection, unsigned flags);
static void handle_newcomer(void);
static void handle_readable(struct connection *connection);
static void handle_writable(struct connection *connection);
static void close_connection(struct connection *connection, const char *before, const char *after);
static void modify(vigil_reg reg, unsigned events);

int main(int argc, char **argv)
{
    server = start_server(port_argument(argc, argv));

    /* Set up the poller.  The tag leads from an event to its connection; the server has none. */
    check("poll", vigil_poller_open(&poller, NULL));
    check("register", vigil_poller_register(poller, server, READ_ONLY, 0, &server_reg));

    for (;;) {
        /* Wait for at least one of the sockets to be ready for processing. */
        fputs("\nwaiting for the next event\n", stderr);
        vigil_event events[64];
        int count = vigil_poller_wait(poller, events, 64, TIMEOUT);
        check("poll", count);

        if (count == 0)
            modify(server_reg, READ_ONLY); /* a server at rest tries again */
        /* Each event is of another connection, and closes no other than its own. */
        for (int i = 0; i < count; i++) {
            if (events[i].tag == 0)
                handle_newcomer();
            else
                handle_event((struct connection *)events[i].tag, events[i].events);
        }
    }
}

static void handle_event(struct connection *connection, unsigned flags)
{
    if (flags & (VIGIL_IN | VIGIL_PRI)) {
        handle_readable(connection);
    } else if (flags & VIGIL_HUP) {
        /* Client hung up. */
        close_connection(connection, "closing", " after receiving HUP");
    } else if (flags & VIGIL_OUT) {
        /* Socket is ready to send data, if there is any to send. */
        handle_writable(connection);
    } else if (flags & VIGIL_ERR) {
        close_connection(connection, "handling exceptional condition for", "");
    }
}

/* A "readable" server socket is ready to accept a connection. */
static void handle_newcomer(void)
{
    struct connection *connection = connection_accept(server);
    if (connection == NULL) {
        if (accept_must_rest())
            modify(server_reg, 0); /* rest until somebody leaves */
        return;
    }
    fprintf(stderr, "new connection from %s\n", connection->name);
    check("register", vigil_poller_register(poller, connection->fd, READ_ONLY,
                                            (uintptr_t)connection, &connection->reg));
}

static void handle_readable(struct connection *connection)
{
    char data[1024];
    ssize_t length = recv(connection->fd, data, sizeof data, 0);
    if (length > 0) {
        /* A readable client socket has data. */
        print_message("received", data, (size_t)length, " from ", connection->name);
        queue_put(connection, data, (size_t)length);
        /* Add output channel for response. */
        modify(connection->reg, READ_WRITE);
    } else if (length == 0) {
        /* Interpret empty result as closed connection, but send first what is queued. */
        connection->ended = true;
        if (queue_done(connection))
            close_connection(connection, "closing", " after reading no data");
        else
            modify(connection->reg, VIGIL_OUT);
    } else if (!would_block()) {
        close_connection(connection, "handling exceptional condition for", "");
    }
}

static void handle_writable(struct connection *connection)
{
    if (connection->sending == NULL) {
        connection->sending = queue_get(connection);
        if (connection->sending == NULL) {
            /* No messages waiting so stop checking for writability. */
            fprintf(stderr, "output queue for %s is empty\n", connection->name);
            modify(connection->reg, READ_ONLY);
            if (connection->ended)
                close_connection(connection, "closing", " after reading no data");
            return;
        }
        print_message("sending", connection->sending->bytes, connection->sending->length, " to ",
                      connection->name);
    }
    if (!send_rest(connection))
        close_connection(connection, "handling exceptional condition for", "");
}

/* Says why, and stops listening for input on the connection. */
static void close_connection(struct connection *connection, const char *before, const char *after)
{
    fprintf(stderr, "%s %s%s\n", before, connection->name, after);
    check("unregister", vigil_poller_unregister(poller, connection->reg));
    connection_free(connection);
    modify(server_reg, READ_ONLY);
}

static void modify(vigil_reg reg, unsigned events)
{
    check("modify", vigil_poller_modify(poller, reg, events));
}
