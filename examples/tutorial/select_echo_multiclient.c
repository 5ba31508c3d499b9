/* SPDX-License-Identifier: MIT
 *
 * select_echo_multiclient.c -- the tutorial's client with two connections: each part of the message
 * goes out on both, and comes back on both.
 * Floor: plain sockets; it waits for one thing at a time.
 *
 *   select_echo_multiclient [PORT]
 */
#include "tutorial.h"

static const char *const messages[] = {
    "This is the message. ",
    "It will be sent ",
    "in parts.",
};

static void name_socket(char name[NAME_SIZE], vigil_fd fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        fail("cannot name a socket", strerror(errno));
    name_address(name, &address);
}

/* Reads until the whole message is back: it may come in pieces.  False: the server has closed. */
static bool read_response(vigil_fd fd, const char *name, size_t expected)
{
    char data[1024];
    for (size_t received = 0; received < expected;) {
        ssize_t length = recv(fd, data, sizeof data, 0);
        if (length < 0)
            fail("cannot receive", strerror(errno));
        fprintf(stderr, "%s: ", name);
        print_message("received", data, (size_t)length, "", "");
        if (length == 0)
            return false;
        received += (size_t)length;
    }
    return true;
}

int main(int argc, char **argv)
{
    enum { SOCKS = 2, MESSAGES = sizeof messages / sizeof messages[0] };
    in_port_t port = port_argument(argc, argv);
    int closed = 0;

    /* Create the TCP/IP sockets. */
    vigil_fd socks[SOCKS] = { create_socket(), create_socket() };
    char names[SOCKS][NAME_SIZE];

    /* Connect the sockets to the port where the server is listening. */
    fprintf(stderr, "connecting to localhost port %u\n", (unsigned)port);
    for (int s = 0; s < SOCKS; s++) {
        connect_socket(socks[s], port);
        name_socket(names[s], socks[s]);
    }

    for (int m = 0; m < MESSAGES; m++) {
        /* Send messages on both sockets. */
        for (int s = 0; s < SOCKS; s++) {
            if (socks[s] == VIGIL_FD_NONE)
                continue;
            fprintf(stderr, "%s: ", names[s]);
            print_message("sending", messages[m], strlen(messages[m]), "", "");
            if (!send_all(socks[s], messages[m]))
                fail("cannot send", strerror(errno));
        }

        /* Read responses on both sockets. */
        for (int s = 0; s < SOCKS; s++) {
            if (socks[s] == VIGIL_FD_NONE || read_response(socks[s], names[s], strlen(messages[m])))
                continue;
            fprintf(stderr, "closing socket %s\n", names[s]);
            close(socks[s]);
            socks[s] = VIGIL_FD_NONE;
            closed++;
        }
    }
    return closed > 0; /* a socket that the server closed has not brought back everything */
}
