/* SPDX-License-Identifier: MIT
 *
 * start.c -- how long a server takes from nothing to its first echo.
 *
 * It starts the server given, again and again, and takes the time from the fork until the line with
 * its address has come ("listening"), and until a first message came back as it went ("echo").
 * The medians are printed as bench/steps reads them.  Whether a server ends well is not asked here:
 * it is killed.
 *
 * Usage: start PROGRAM [ARGUMENT...]; the program prints the address it is bound to, or "skip" and
 * why it cannot run, which is passed on.  Exit 0; 1 the server or the system failed; 2 usage. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

enum {
    STARTS = 21,
    PATIENCE_S = 30 /* a server that says nothing for so long never will */
};

static const char message[] = "the first one";

static void die(const char *what)
{
    (void)fprintf(stderr, "start: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Its standard output is our pipe, what it has to say to people goes nowhere. */
static pid_t launch(char **command, int *said)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (dup2(nowhere, STDIN_FILENO) >= 0 && dup2(ends[1], STDOUT_FILENO) >= 0 &&
            dup2(nowhere, STDERR_FILENO) >= 0)
            (void)execv(command[0], command);
        _exit(127);
    }
    (void)close(ends[1]);
    *said = ends[0];
    return child;
}

/* The port at the end of the first line. */
static uint16_t port_told(const char *program, int said)
{
    char line[256];
    size_t length = 0;
    ssize_t got = 1;
    while (length < sizeof line - 1 && got > 0 && !memchr(line, '\n', length)) {
        got = read(said, line + length, sizeof line - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    line[length] = '\0';
    if (strncmp(line, "skip ", 5) == 0) {
        (void)fputs(line, stdout);
        exit(0);
    }
    const char *colon = strrchr(line, ':');
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
    if (port == 0 || port > UINT16_MAX) {
        (void)fprintf(stderr, "start: %s told no address\n", program);
        exit(1);
    }
    return (uint16_t)port;
}

static void echo_once(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    char back[sizeof message];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    if (send(fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message ||
        recv(fd, back, sizeof back, MSG_WAITALL) != sizeof back)
        die("no echo");
    if (memcmp(message, back, sizeof back) != 0) {
        (void)fprintf(stderr, "start: the echo is not what was sent\n");
        exit(1);
    }
    (void)close(fd);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int64_t listening[STARTS], echoed[STARTS];
    if (argc < 2) {
        (void)fprintf(stderr, "start: want PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    for (int i = 0; i < STARTS; i++) {
        int said;
        int64_t began = now_ns();
        pid_t server = launch(argv + 1, &said);
        uint16_t port = port_told(argv[1], said);
        listening[i] = now_ns() - began;
        echo_once(port);
        echoed[i] = now_ns() - began;
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
        (void)close(said);
    }
    qsort(listening, STARTS, sizeof *listening, by_size);
    qsort(echoed, STARTS, sizeof *echoed, by_size);
    printf("listening %lld\necho %lld\n", (long long)listening[STARTS / 2],
           (long long)echoed[STARTS / 2]);
    return 0;
}
