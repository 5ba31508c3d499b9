/* SPDX-License-Identifier: MIT
 *
 * counted.h -- the system calls of a loop, counted by kind: those of the host table, and those that
 * wait.
 *
 * For the latter a program that includes this has its own copy of wait_calls.c and uring_calls.c,
 * with counting ones in the place of some.  In a world a host's are counted alone.
 */
#ifndef COUNTED_H
#define COUNTED_H

#include "test.h"

#define vigil__call_select     uncounted_select
#define vigil__call_poll       uncounted_poll
#define vigil__call_epoll_wait uncounted_epoll_wait
#define vigil__call_epoll_ctl  uncounted_epoll_ctl
#define vigil__call_kevent     uncounted_kevent
#define vigil__call_check_fd   uncounted_check_fd
#include "sys/wait_calls.c"
#undef vigil__call_select
#undef vigil__call_poll
#undef vigil__call_epoll_wait
#undef vigil__call_epoll_ctl
#undef vigil__call_kevent
#undef vigil__call_check_fd
#define vigil__call_uring_enter uncounted_uring_enter
#include "sys/uring_calls.c"
#undef vigil__call_uring_enter

#include "sys/host.h"
#include "sys/wait_calls.h"

enum counted_call {
    COUNTED_SOCKET,
    COUNTED_CONNECT,
    COUNTED_ERROR, /* of a socket, asked for */
    COUNTED_ADDRESS,
    COUNTED_DESCRIBE,
    COUNTED_ACCEPT,
    COUNTED_OPTION,
    COUNTED_RECV,
    COUNTED_SEND,
    COUNTED_READ,
    COUNTED_WRITE,
    COUNTED_SHUTDOWN,
    COUNTED_CLOSE,
    COUNTED_CHECK,   /* whether a descriptor is open */
    COUNTED_CHANGE,  /* of what the kernel waits for: epoll_ctl, or a kevent that does not wait */
    COUNTED_WAIT,    /* also what only looks */
    COUNTED_ENTER,   /* all of io_uring's, and those that wait above, too */
    COUNTED_REQUEST, /* that one of these handed over */
    COUNTED_CLOCK,
    COUNTED_KINDS
};

static const char *const counted_names[COUNTED_KINDS] = {
    "socket", "connect", "error", "address", "describe", "accept", "option",
    "recv",   "send",    "read",  "write",   "shutdown", "close",  "check",
    "change", "wait",    "enter", "request", "clock",
};

static int counted[COUNTED_KINDS];

static void counted_anew(void)
{
    memset(counted, 0, sizeof(counted));
}

/* "accept 2, recv 1": what was called since, but for reading the clock. */
TEST_MAYBE_UNUSED static const char *counted_told(void)
{
    static char text[256];
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < COUNTED_CLOCK; i++)
        if (counted[i] > 0)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %d", len > 0 ? ", " : "",
                                    counted_names[i], counted[i]);
    return text;
}

/* ---- the calls that wait ---- */

int vigil__call_select(int fd_count, unsigned long *in, unsigned long *out, unsigned long *except,
                       vigil_ns timeout_ns)
{
    counted[COUNTED_WAIT]++;
    return uncounted_select(fd_count, in, out, except, timeout_ns);
}

int vigil__call_poll(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns)
{
    counted[COUNTED_WAIT]++;
    return uncounted_poll(fds, count, timeout_ns);
}

int vigil__call_check_fd(vigil_fd fd)
{
    counted[COUNTED_CHECK]++;
    return uncounted_check_fd(fd);
}

#ifdef __linux__
int vigil__call_epoll_wait(int epoll, struct vigil__epoll_event *events, int max,
                           vigil_ns timeout_ns)
{
    counted[COUNTED_WAIT]++;
    return uncounted_epoll_wait(epoll, events, max, timeout_ns);
}

int vigil__call_epoll_ctl(int epoll, enum vigil__epoll_op op, int fd, uint32_t events, uint64_t key)
{
    counted[COUNTED_CHANGE]++;
    return uncounted_epoll_ctl(epoll, op, fd, events, key);
}

/* One that only hands over what was queued, at the end of a turn, does not wait. */
int vigil__call_uring_enter(int ring, uint32_t to_submit, uint32_t min_complete,
                            vigil_ns timeout_ns)
{
    counted[COUNTED_ENTER]++;
    counted[COUNTED_WAIT] += min_complete > 0 || to_submit == 0;
    int taken = uncounted_uring_enter(ring, to_submit, min_complete, timeout_ns);
    counted[COUNTED_REQUEST] += taken > 0 ? taken : 0;
    return taken;
}
#endif

#ifdef VIGIL_KQUEUE
int vigil__call_kevent(int kqueue, const struct kevent *changes, int count, struct kevent *events,
                       int max, vigil_ns timeout_ns)
{
    counted[max > 0 ? COUNTED_WAIT : COUNTED_CHANGE]++;
    return uncounted_kevent(kqueue, changes, count, events, max, timeout_ns);
}
#endif

/* ---- this machine's, to be changed by a test: under a clock that stands still until moved ---- */

static vigil_ns moved_clock;
static vigil_host host;

static vigil_ns read_moved_clock(void *self)
{
    (void)self;
    counted[COUNTED_CLOCK]++;
    return moved_clock;
}

static void host_take(void)
{
    host = *vigil__host_system();
    host.now = read_moved_clock;
    moved_clock = VIGIL_S(1000);
}

static int counted_socket(void *self, vigil_family family, vigil_fd *out)
{
    counted[COUNTED_SOCKET]++;
    return vigil__host_system()->socket(self, family, out);
}

static int counted_connect(void *self, vigil_fd fd, const vigil_addr *addr)
{
    counted[COUNTED_CONNECT]++;
    return vigil__host_system()->connect(self, fd, addr);
}

static int counted_error(void *self, vigil_fd fd)
{
    counted[COUNTED_ERROR]++;
    return vigil__host_system()->socket_error(self, fd);
}

static int counted_local(void *self, vigil_fd fd, vigil_addr *out)
{
    counted[COUNTED_ADDRESS]++;
    return vigil__host_system()->local(self, fd, out);
}

static int counted_peer(void *self, vigil_fd fd, vigil_addr *out)
{
    counted[COUNTED_ADDRESS]++;
    return vigil__host_system()->peer(self, fd, out);
}

static int counted_describe(void *self, vigil_fd fd, struct vigil__fd_info *out)
{
    counted[COUNTED_DESCRIBE]++;
    return vigil__host_system()->describe(self, fd, out);
}

static int counted_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    counted[COUNTED_ACCEPT]++;
    return vigil__host_system()->accept(self, listener, out);
}

static int counted_option(void *self, vigil_fd fd, enum vigil__sockopt option, int value)
{
    counted[COUNTED_OPTION]++;
    return vigil__host_system()->option(self, fd, option, value);
}

static int counted_recv(void *self, vigil_fd fd, void *p, size_t n)
{
    counted[COUNTED_RECV]++;
    return vigil__host_system()->recv(self, fd, p, n);
}

static int counted_send(void *self, vigil_fd fd, const void *p, size_t n)
{
    counted[COUNTED_SEND]++;
    return vigil__host_system()->send(self, fd, p, n);
}

static int counted_sendv(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    counted[COUNTED_SEND]++;
    return vigil__host_system()->sendv(self, fd, iov, count);
}

static int counted_read(void *self, vigil_fd fd, void *p, size_t n)
{
    counted[COUNTED_READ]++;
    return vigil__host_system()->read(self, fd, p, n);
}

static int counted_writev(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    counted[COUNTED_WRITE]++;
    return vigil__host_system()->writev(self, fd, iov, count);
}

static int counted_shutdown(void *self, vigil_fd fd)
{
    counted[COUNTED_SHUTDOWN]++;
    return vigil__host_system()->shutdown(self, fd);
}

static int counted_close(void *self, vigil_fd fd)
{
    counted[COUNTED_CLOSE]++;
    return vigil__host_system()->close(self, fd);
}

/* host_take(), and all that connections are made of is counted. */
TEST_MAYBE_UNUSED static void host_take_counted(void)
{
    host_take();
    host.socket = counted_socket;
    host.connect = counted_connect;
    host.socket_error = counted_error;
    host.local = counted_local;
    host.peer = counted_peer;
    host.describe = counted_describe;
    host.accept = counted_accept;
    host.option = counted_option;
    host.recv = counted_recv;
    host.send = counted_send;
    host.sendv = counted_sendv;
    host.read = counted_read;
    host.writev = counted_writev;
    host.shutdown = counted_shutdown;
    host.close = counted_close;
    counted_anew();
}

#endif
