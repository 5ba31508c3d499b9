/* SPDX-License-Identifier: MIT
 *
 * driven.c -- drives an echo server from inside of it, so that what a message costs can be counted.
 *
 * Preloaded, it stands before the C library's calls that wait.  When the server waits, answers are
 * taken in here, and when every connection has had its own, a message goes out on each of them and
 * the server is not let go on before it finds them all.  So a program is counted as it is raced,
 * and it does the same in every run.  The clock is this file's own: a turn takes 1 ms, whatever
 * valgrind makes of it, and reading it costs the server nothing but is counted.
 *
 * With DRIVEN_TURNS=0 in the environment it only does that to the clock; DRIVEN_CONNECTIONS is how
 * many there are.  Some 13 instructions a turn of what is in here are counted: they stand for the C
 * library's own around such a call.  For a tool that sees memory and no system calls, each mark is
 * a store instead, to the address that DRIVEN_MARKS says and the mark's number behind it.
 * At the end it prints "TURNS MESSAGES WAITS CLOCK-READS", and the process is over. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "marks.h"

enum {
    CONNECTIONS_MAX = 50, /* and how many there are, unless the environment says less */
    MESSAGE = 64,
    TURNS = 100,    /* unless DRIVEN_TURNS in the environment says another number */
    WARM_TURNS = 8, /* until buffers are pooled, and the dynamic linker has looked everything up */
    TURN_NS = 1000000,
    FDS_MAX = 512, /* of a server with so few connections */
    STUCK_MS = 10000,
    ON_ITS_WAY_MS = 10, /* an answer within the machine, at the latest */
    NS_PER_S = 1000000000
};

/* Far from now, so that no alarm of the system's own clock that is set by it ever rings. */
static const int64_t epoch_s = 4000000000;

/* What the server does in here is not its own: it is kept apart from what is counted. */
#define APART __attribute__((noinline, section("apart")))
extern const char __start_apart[], __stop_apart[];

static struct {
    bool open;
    struct sockaddr_in address;
    struct {
        int fd, server; /* both ends */
        size_t received;
    } connections[CONNECTIONS_MAX];
    int count;                 /* of them */
    int turn, turns, answered; /* answered: how many connections, in this turn */
    uint64_t clock_reads, waits;
    int64_t clock_ns;
    volatile char *marks; /* NULL, or where they are stored */
} load = { .turn = -WARM_TURNS, .clock_ns = 1000 * (int64_t)NS_PER_S };

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "driven: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static long (*system_call)(long number, ...); /* the C library's */

static void mark(long kind, uintptr_t a, uintptr_t b, uintptr_t c)
{
    if (load.marks)
        load.marks[kind] = 1;
    else
        (void)system_call(SYS_prctl, (long)MARK, kind, a, b, c); /* it fails, always */
}

/* ---- the connections ---- */

static bool is_listener(int fd)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

static bool listener_find(void)
{
    for (int fd = 0; fd < FDS_MAX; fd++) {
        socklen_t size = sizeof load.address;
        if (is_listener(fd))
            return getsockname(fd, (struct sockaddr *)&load.address, &size) == 0 &&
                   load.address.sin_family == AF_INET;
    }
    return false;
}

static const char message[MESSAGE] = "sixty-four bytes, which come back as they went";

static void message_send(int client)
{
    if (send(client, message, sizeof message, 0) != sizeof message)
        die("send");
}

static void load_open(void)
{
    for (int i = 0; i < load.count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&load.address, sizeof load.address) < 0)
            die("connect");
        load.connections[i].fd = fd;
        message_send(fd);
    }
    load.open = true;
}

/* The other end of a connection is who has its address for a peer. */
static int server_end(int client)
{
    struct sockaddr_in address, peer;
    socklen_t size = sizeof address;
    if (getsockname(client, (struct sockaddr *)&address, &size) < 0)
        die("getsockname");
    for (int fd = 0; fd < FDS_MAX; fd++) {
        size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && size == sizeof peer &&
            peer.sin_family == AF_INET && peer.sin_port == address.sin_port)
            return fd;
    }
    die("the server's end of a connection is not there");
}

static bool becomes_readable(int fd, int limit_ms)
{
    struct pollfd wanted = { .fd = fd, .events = POLLIN };
    struct timespec limit = { .tv_nsec = limit_ms % 1000 * 1000000L, .tv_sec = limit_ms / 1000 };
    return system_call(SYS_ppoll, &wanted, 1L, &limit, NULL, 0L) > 0;
}

/* One message on each, and all have come in before the server is asked to look. */
static void messages_send(void)
{
    load.answered = 0;
    load.clock_ns += TURN_NS;
    for (int i = 0; i < load.count; i++) {
        load.connections[i].received = 0;
        message_send(load.connections[i].fd);
    }
    for (int i = 0; i < load.count; i++)
        if (!becomes_readable(load.connections[i].server, STUCK_MS))
            die("a message does not come in");
}

static void answers_take(void)
{
    char bytes[MESSAGE];
    for (int i = 0; i < load.count; i++) {
        size_t *received = &load.connections[i].received;
        if (*received == MESSAGE)
            continue;
        ssize_t got = recv(load.connections[i].fd, bytes, MESSAGE - *received, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            die("the server closed");
        if (got > 0 && memcmp(bytes, message + *received, (size_t)got) != 0)
            die("a byte came back wrong");
        if (got > 0)
            *received += (size_t)got;
        load.answered += *received == MESSAGE;
    }
}

/* ---- turns ---- */

/* For callgrind: it forgets what it has counted before the one, and writes it before the other. */
__attribute__((noinline)) static void counting_begins(void)
{
    mark(MARK_BEGIN, 0, 0, 0);
    load.clock_reads = load.waits = 0;
}

__attribute__((noinline)) static void counting_ends(void)
{
    mark(MARK_END, 0, 0, 0);
    printf("%d %d %" PRIu64 " %" PRIu64 "\n", load.turns, load.turns * load.count, load.waits,
           load.clock_reads);
    (void)fflush(stdout); /* who is gone does not read it */
    _exit(0);
}

static void proceed(void)
{
    answers_take();
    if (load.answered < load.count)
        return;
    for (int i = 0; load.turn == -WARM_TURNS && i < load.count; i++)
        load.connections[i].server = server_end(load.connections[i].fd);
    load.turn++;
    if (load.turn == 0)
        counting_begins();
    else if (load.turn == load.turns)
        counting_ends();
    messages_send();
}

/* ---- the calls that wait ---- */

struct wait {
    long call;   /* the server's */
    long number; /* that which is made in its place: one that valgrind knows */
    uintptr_t arguments[6];
    int timeout;    /* which argument it is; -1: there is none, and the call blocks as it likes */
    uintptr_t zero; /* the timeout with which it does not wait */
    bool blocks;
    size_t set_size; /* select: bytes of a set, which the call overwrites */
};

static long wait_call(const struct wait *wait, bool at_once)
{
    uintptr_t a[6];
    memcpy(a, wait->arguments, sizeof a);
    if (at_once && wait->timeout >= 0)
        a[wait->timeout] = wait->zero;
    return system_call(wait->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Sets as they were before a call that found nothing. */
static void sets_keep(const struct wait *wait, bool back)
{
    static unsigned char kept[3][FDS_MAX / 8];
    if (wait->set_size > sizeof kept[0])
        die("more descriptors than there are");
    for (int i = 0; i < 3; i++) {
        void *set = (void *)wait->arguments[i + 1];
        if (wait->set_size > 0 && set)
            memcpy(back ? set : kept[i], back ? kept[i] : set, wait->set_size);
    }
}

/* On io_uring the server's own call is what makes it answer; where it has handed over everything,
 * answers are on their way. */
static long wait_on_ring(const struct wait *wait)
{
    bool handed_over = wait->arguments[1] > 0;
    for (int i = 0; !handed_over && i < load.count && load.answered < load.count; i++)
        if (load.connections[i].received < MESSAGE)
            (void)becomes_readable(load.connections[i].fd, ON_ITS_WAY_MS);
    proceed();
    return wait_call(wait, false);
}

static int64_t real_ms(void)
{
    struct timespec now;
    (void)system_call(SYS_clock_gettime, (long)CLOCK_MONOTONIC, &now); /* it is everywhere */
    return now.tv_sec * (int64_t)1000 + now.tv_nsec / 1000000;
}

/* The server finds something whenever it waits. */
static long wait_for_readiness(const struct wait *wait)
{
    int64_t began_ms = real_ms();
    sets_keep(wait, false);
    for (;;) {
        proceed();
        long found = wait_call(wait, true);
        if (found != 0 || !wait->blocks)
            return found;
        sets_keep(wait, true);
        if (real_ms() - began_ms > STUCK_MS)
            die("the server does not answer");
    }
}

APART static long driven(const struct wait *wait)
{
    if (load.turns == 0 || (!load.open && !listener_find()))
        return wait_call(wait, false);
    if (!load.open) {
        mark(MARK_PLACES, (uintptr_t)driven, (uintptr_t)__start_apart, (uintptr_t)__stop_apart);
        load_open();
    }
    mark(MARK_ENTER, (uintptr_t)wait->call, 0, 0);
    load.waits++;
    long found = wait->timeout < 0 ? wait_on_ring(wait) : wait_for_readiness(wait);
    int err = errno;
    mark(MARK_LEAVE, 0, 0, 0);
    errno = err;
    return found;
}

/* A mask is left out: no signal comes here. */
APART int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    struct wait wait = { .call = SYS_epoll_pwait, .timeout = 3, .blocks = timeout_ms != 0 };
    wait.number = wait.call;
    wait.arguments[0] = (uintptr_t)epoll;
    wait.arguments[1] = (uintptr_t)events;
    wait.arguments[2] = (uintptr_t)max;
    wait.arguments[3] = (uintptr_t)timeout_ms;
    return (int)driven(&wait);
}

APART int epoll_pwait(int epoll, struct epoll_event *events, int max, int timeout_ms,
                      const sigset_t *mask)
{
    (void)mask;
    return epoll_wait(epoll, events, max, timeout_ms);
}

static const struct timespec at_once;

static bool is_zero(const struct timespec *timeout)
{
    return timeout && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
}

/* Rounded up; -1 for ever. */
static int whole_ms(const struct timespec *timeout)
{
    if (!timeout)
        return -1;
    int64_t ms = timeout->tv_sec * (int64_t)1000 + (timeout->tv_nsec + 999999) / 1000000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

APART int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                const sigset_t *mask)
{
    (void)mask;
    struct wait wait = { .call = SYS_ppoll, .timeout = 2, .blocks = !is_zero(timeout) };
    wait.number = wait.call;
    wait.zero = (uintptr_t)&at_once;
    wait.arguments[0] = (uintptr_t)fds;
    wait.arguments[1] = count;
    wait.arguments[2] = (uintptr_t)timeout;
    return (int)driven(&wait);
}

APART int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct timespec timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
    return ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}

APART int select(int count, fd_set *in, fd_set *out, fd_set *except, struct timeval *limit)
{
    struct timespec timeout = { 0 };
    struct wait wait = { .call = SYS_pselect6, .timeout = 4 };
    if (limit)
        timeout = (struct timespec){ limit->tv_sec, limit->tv_usec * 1000 };
    wait.number = wait.call;
    wait.zero = (uintptr_t)&at_once;
    wait.blocks = !limit || !is_zero(&timeout);
    wait.set_size = ((size_t)count + 63) / 64 * 8; /* in words, as the kernel has them */
    wait.arguments[0] = (uintptr_t)count;
    wait.arguments[1] = (uintptr_t)in;
    wait.arguments[2] = (uintptr_t)out;
    wait.arguments[3] = (uintptr_t)except;
    wait.arguments[4] = (uintptr_t)(limit ? &timeout : NULL);
    return (int)driven(&wait);
}

/* Waits for which there is no function; any other call is passed on. */
APART long syscall(long number, ...)
{
    struct wait wait = { .call = number, .number = number, .timeout = -1, .blocks = true };
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) /* as many as a system call can have */
        wait.arguments[i] = va_arg(arguments, uintptr_t);
    va_end(arguments);
    if (number == SYS_io_uring_enter)
        return driven(&wait);
    if (number != SYS_epoll_pwait2)
        return wait_call(&wait, false);
    wait.number = SYS_epoll_pwait;
    wait.timeout = 3;
    wait.blocks = !is_zero((const struct timespec *)wait.arguments[3]);
    wait.arguments[3] = (uintptr_t)whole_ms((const struct timespec *)wait.arguments[3]);
    return driven(&wait);
}

/* ---- the clock ---- */

APART int clock_gettime(clockid_t clock, struct timespec *now)
{
    load.clock_reads++;
    now->tv_sec = (clock == CLOCK_REALTIME ? epoch_s : 0) + load.clock_ns / NS_PER_S;
    now->tv_nsec = load.clock_ns % NS_PER_S;
    return 0;
}

APART int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    load.clock_reads++;
    now->tv_sec = epoch_s + load.clock_ns / NS_PER_S;
    now->tv_usec = load.clock_ns % NS_PER_S / 1000;
    return 0;
}

/* A page for the marks, where nothing else is. */
static void marks_open(const char *address)
{
    void *wanted = (void *)(uintptr_t)strtoull(address, NULL, 0);
    void *page = mmap(wanted, 1, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page != wanted)
        die("DRIVEN_MARKS");
    load.marks = page;
}

__attribute__((constructor)) static void driven_begins(void)
{
    const char *turns = getenv("DRIVEN_TURNS"), *marks = getenv("DRIVEN_MARKS");
    const char *connections = getenv("DRIVEN_CONNECTIONS");
    load.turns = turns ? atoi(turns) : TURNS;
    load.count = connections ? atoi(connections) : CONNECTIONS_MAX;
    errno = EINVAL;
    if (load.count < 1 || load.count > CONNECTIONS_MAX)
        die("DRIVEN_CONNECTIONS");
    if (marks)
        marks_open(marks);
    *(void **)&system_call = dlsym(RTLD_NEXT, "syscall"); /* POSIX: a void * may hold a function */
}
