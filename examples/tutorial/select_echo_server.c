/* SPDX-License-Identifier: MIT
 *
 * select_echo_server.c -- the tutorial's echo server: several clients at once with select().
 * Floor: layer 0 of vigil.h (vigil_select).
 *
 *   select_echo_server [PORT]
 */
#include "tutorial.h"

static struct sockets inputs;          /* sockets from which we expect to read, the server first */
static struct sockets outputs;         /* sockets to which we expect to write */
static struct connection *connections; /* whose sockets they are, with their message queues */
static bool accepting = true;          /* false: out of descriptors, until somebody leaves */

static struct connection *connection_of(vigil_fd fd);
static void handle_newcomer(vigil_fd server);
static void handle_readable(struct connection *connection);
static void handle_writable(struct connection *connection);
static void close_connection(struct connection *connection, const char *before, const char *after);

int main(int argc, char **argv)
{
    struct sockets room[3] = { { 0 } };
    vigil_fd server = start_server(port_argument(argc, argv));
    sockets_append(&inputs, server);

    while (inputs.count > 0) {
        /* Wait for at least one of the sockets to be ready for processing. */
        fputs("\nwaiting for the next event\n", stderr);
        vigil_set readable = sockets_set(&inputs, accepting ? 0 : 1, &room[0]);
        vigil_set writable = sockets_set(&outputs, 0, &room[1]);
        vigil_set exceptional = sockets_set(&inputs, 0, &room[2]);
        vigil_ns timeout = accepting ? VIGIL_FOREVER : VIGIL_S(1);
        int ready = vigil_select(&readable, &writable, &exceptional, timeout);
        check("select", ready);

        if (ready == 0)
            accepting = true; /* somebody else may have freed descriptors */

        for (size_t i = 0; i < readable.ready_count; i++) {
            if (readable.ready[i] == server)
                handle_newcomer(server);
            else
                handle_readable(connection_of(readable.ready[i]));
        }
        /* From here on a socket may be one that has just been closed.  It cannot be another's of
         * the same number: newcomers were accepted before the first was closed. */
        for (size_t i = 0; i < writable.ready_count; i++) {
            struct connection *connection = connection_of(writable.ready[i]);
            if (connection != NULL)
                handle_writable(connection);
        }
        for (size_t i = 0; i < exceptional.ready_count; i++) {
            struct connection *connection = connection_of(exceptional.ready[i]);
            if (connection != NULL)
                close_connection(connection, "handling exceptional condition for", "");
        }
    }
    return 0;
}

static struct connection *connection_of(vigil_fd fd)
{
    struct connection *connection = connections;
    while (connection != NULL && connection->fd != fd)
        connection = connection->next;
    return connection;
}

/* A "readable" server socket is ready to accept a connection. */
static void handle_newcomer(vigil_fd server)
{
    struct connection *connection = connection_accept(server);
    if (connection == NULL) {
        accepting = !accept_must_rest();
        return;
    }
    fprintf(stderr, "new connection from %s\n", connection->name);
    connection->next = connections;
    connections = connection;
    sockets_append(&inputs, connection->fd);
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
        if (sockets_find(&outputs, connection->fd) == outputs.count)
            sockets_append(&outputs, connection->fd);
    } else if (length == 0) {
        /* Interpret empty result as closed connection, but send first what is queued. */
        connection->ended = true;
        sockets_remove(&inputs, connection->fd);
        if (queue_done(connection))
            close_connection(connection, "closing", " after reading no data");
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
            sockets_remove(&outputs, connection->fd);
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
    sockets_remove(&inputs, connection->fd);
    sockets_remove(&outputs, connection->fd);
    struct connection **link = &connections;
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    connection_free(connection);
    accepting = true;
}
