/* SPDX-License-Identifier: MIT
 *
 * select_echo_slow_client.c -- the tutorial's slow client: it pauses after each message, and reads
 * the echo in small pieces.
 * Floor: layer 0 of vigil.h; vigil_select() of nothing is a pause.
 *
 *   select_echo_slow_client [PORT]
 */
#include "tutorial.h"

static const char *const messages[] = {
    "Part one of the message.",
    "Part two of the message.",
};

static void pause_for(vigil_ns time)
{
    check("select", vigil_select(NULL, NULL, NULL, time));
}

/* Sends everything, then looks for the response.  Answers what went wrong, or NULL. */
static const char *converse(vigil_fd sock)
{
    size_t amount_expected = 0;

    /* Send data. */
    for (size_t m = 0; m < sizeof messages / sizeof messages[0]; m++) {
        print_message("sending", messages[m], strlen(messages[m]), "", "");
        if (!send_all(sock, messages[m]))
            return strerror(errno);
        amount_expected += strlen(messages[m]);
        pause_for(VIGIL_MS(1500));
    }

    /* Look for the response. */
    size_t amount_received = 0;
    while (amount_received < amount_expected) {
        char data[16];
        ssize_t length = recv(sock, data, sizeof data, 0);
        if (length < 0)
            return strerror(errno);
        amount_received += (size_t)length;
        print_message("received", data, (size_t)length, "", "");
        if (length == 0)
            return "the server has closed the connection";
    }
    return NULL;
}

int main(int argc, char **argv)
{
    in_port_t port = port_argument(argc, argv);

    /* Create a TCP/IP socket. */
    vigil_fd sock = create_socket();

    /* Connect the socket to the port where the server is listening. */
    fprintf(stderr, "connecting to localhost port %u\n", (unsigned)port);
    connect_socket(sock, port);

    pause_for(VIGIL_S(1));

    const char *problem = converse(sock);
    fputs("closing socket\n", stderr);
    close(sock);
    if (problem != NULL)
        fail("the echo is not complete", problem);
    return 0;
}
