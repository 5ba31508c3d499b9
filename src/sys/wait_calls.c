/* SPDX-License-Identifier: MIT
 *
 * wait_calls.c -- the calls that wait, as this machine has them.  Floor: sys.
 *
 * One function is one system call and a translation of its arguments; nothing is retried here.
 * errno ends here.  A test program links a model of a kernel in place of this file.
 */
#ifndef _WIN32

#ifdef __APPLE__
#define _DARWIN_UNLIMITED_SELECT /* sets of any size */
#endif

#include "sys/wait_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

#include "sys/host.h"
#include "sys/mark.h"

#define NS_PER_S  1000000000
#define NS_PER_MS 1000000
#define NS_PER_US 1000
#define US_PER_S  1000000

_Static_assert(sizeof(vigil_pollfd) == sizeof(struct pollfd), "poll(2) takes our array as it is");
_Static_assert(offsetof(vigil_pollfd, fd) == offsetof(struct pollfd, fd), "fd");
_Static_assert(offsetof(vigil_pollfd, events) == offsetof(struct pollfd, events), "events");
_Static_assert(offsetof(vigil_pollfd, revents) == offsetof(struct pollfd, revents), "revents");
_Static_assert(POLLIN == VIGIL_IN && POLLPRI == VIGIL_PRI && POLLOUT == VIGIL_OUT, "asked for");
_Static_assert(POLLERR == VIGIL_ERR && POLLHUP == VIGIL_HUP && POLLNVAL == VIGIL_NVAL, "unasked");

static int wait_result(int result)
{
    if (result >= 0)
        return result;
    return errno == EINTR ? 0 : vigil__status_of(errno);
}

/* Milliseconds for a call that takes no less, rounded up: never early. */
static int milliseconds(vigil_ns timeout_ns)
{
    if (timeout_ns == VIGIL_FOREVER)
        return -1;
    vigil_ns ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Seconds for a call whose time_t may have 32 bits: 68 years are long enough for one wait. */
static time_t seconds(vigil_ns whole)
{
    return whole > INT32_MAX ? INT32_MAX : (time_t)whole;
}

int vigil__call_select(int fd_count, unsigned long *in, unsigned long *out, unsigned long *except,
                       vigil_ns timeout_ns)
{
    vigil_ns us = timeout_ns / NS_PER_US + (timeout_ns % NS_PER_US != 0);
    struct timeval timeout = { .tv_sec = seconds(us / US_PER_S),
                               .tv_usec = (suseconds_t)(us % US_PER_S) };
    /* The kernel reads and writes as many words as fd_count needs, whatever fd_set says. */
    return wait_result(select(fd_count, (fd_set *)(void *)in, (fd_set *)(void *)out,
                              (fd_set *)(void *)except,
                              timeout_ns == VIGIL_FOREVER ? NULL : &timeout));
}

int vigil__call_poll(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns)
{
    struct pollfd *raw = (struct pollfd *)(void *)fds;
#if defined(__linux__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
    if (timeout_ns != VIGIL_NOWAIT && timeout_ns != VIGIL_FOREVER) {
        struct timespec timeout = { .tv_sec = seconds(timeout_ns / NS_PER_S),
                                    .tv_nsec = (long)(timeout_ns % NS_PER_S) };
        return wait_result(ppoll(raw, (nfds_t)count, &timeout, NULL));
    }
#endif
    return wait_result(poll(raw, (nfds_t)count, milliseconds(timeout_ns)));
}

int vigil__call_check_fd(int fd)
{
    return fcntl(fd, F_GETFD) < 0 ? vigil__status_of(errno) : 0;
}

void vigil__call_close(int fd)
{
    (void)close(fd); /* the number is free whatever it answers, and it held nothing to flush */
}

vigil_ns vigil__call_now(void)
{
    struct timespec now;
    int err = clock_gettime(CLOCK_MONOTONIC, &now);
    VIGIL_ASSERT(err == 0); /* every system we build for has this clock */
    return (vigil_ns)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- the waker --------------------------------------------------------------------------- */

#ifdef __linux__

int vigil__call_waker_open(struct vigil__waker *waker)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return vigil__status_of(errno);
    *waker = (struct vigil__waker){ .read_fd = fd, .write_fd = fd };
    return 0;
}

#else

int vigil__call_waker_open(struct vigil__waker *waker)
{
    int ends[2];
    if (pipe(ends) < 0)
        return vigil__status_of(errno);
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0 || fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0) {
            int err = vigil__status_of(errno);
            vigil__call_close(ends[0]);
            vigil__call_close(ends[1]);
            return err;
        }
    }
    *waker = (struct vigil__waker){ .read_fd = ends[0], .write_fd = ends[1] };
    return 0;
}

#endif

int vigil__call_waker_signal(const struct vigil__waker *waker)
{
    int saved = errno; /* the caller may be a signal handler */
    uint64_t one = 1;
    ssize_t n = write(waker->write_fd, &one, sizeof(one));
    if (n < 0 && errno == EAGAIN) {
        /* Full: it is readable already, but an edge-triggered wait needs a new edge. */
        vigil__call_waker_drain(waker);
        n = write(waker->write_fd, &one, sizeof(one));
    }
    int result = n < 0 && errno != EAGAIN ? vigil__status_of(errno) : 0;
    errno = saved;
    return result;
}

void vigil__call_waker_drain(const struct vigil__waker *waker)
{
    uint64_t counts[64];
    ssize_t n;
    do
        n = read(waker->read_fd, counts, sizeof(counts));
    while (n == (ssize_t)sizeof(counts)); /* an eventfd answers 8; a pipe may hold more */
}

void vigil__call_waker_close(struct vigil__waker *waker)
{
    vigil__call_close(waker->read_fd);
    if (waker->write_fd != waker->read_fd)
        vigil__call_close(waker->write_fd);
    *waker = (struct vigil__waker){ .read_fd = -1, .write_fd = -1 };
}

/* ---- epoll ------------------------------------------------------------------------------- */

#ifdef __linux__

_Static_assert(POLLRDHUP == VIGIL_RDHUP, "poll");
_Static_assert((int)EPOLLIN == VIGIL_IN && (int)EPOLLPRI == VIGIL_PRI, "epoll");
_Static_assert((int)EPOLLOUT == VIGIL_OUT && (int)EPOLLERR == VIGIL_ERR, "epoll");
_Static_assert((int)EPOLLHUP == VIGIL_HUP && (int)EPOLLRDHUP == VIGIL_RDHUP, "epoll");
_Static_assert(sizeof(struct vigil__epoll_event) == sizeof(struct epoll_event),
               "epoll_wait(2) fills our array as it is");
_Static_assert(offsetof(struct vigil__epoll_event, events) == offsetof(struct epoll_event, events),
               "events");
_Static_assert(offsetof(struct vigil__epoll_event, key) == offsetof(struct epoll_event, data),
               "key");

int vigil__call_epoll_create(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd >= 0)
        return fd;
    int err = vigil__status_of(errno);
    return errno == EPERM ? VIGIL_ENOTSUP : err; /* a sandbox */
}

int vigil__call_epoll_ctl(int epoll, enum vigil__epoll_op op, int fd, uint32_t events, uint64_t key)
{
    static const int number[] = { [VIGIL__EPOLL_ADD] = EPOLL_CTL_ADD,
                                  [VIGIL__EPOLL_MODIFY] = EPOLL_CTL_MOD,
                                  [VIGIL__EPOLL_REMOVE] = EPOLL_CTL_DEL };
    struct epoll_event event = { .events = events & ~(uint32_t)(VIGIL_EDGE | VIGIL_ONESHOT),
                                 .data.u64 = key };
    if (events & VIGIL_EDGE)
        event.events |= EPOLLET;
    if (events & VIGIL_ONESHOT)
        event.events |= EPOLLONESHOT;
    if (epoll_ctl(epoll, number[op], fd, &event) == 0)
        return 0;
    if (errno == EPERM)
        return VIGIL_ENOTSUP;
    int err = vigil__status_of(errno);
    return errno == ENOSPC ? VIGIL_ENOMEM : err; /* over max_user_watches */
}

/* epoll_wait with nanoseconds, Linux 5.11; -1 and ENOSYS, before that and in some sandboxes. */
static int epoll_wait_ns(int epoll, struct epoll_event *events, int max, vigil_ns timeout_ns)
{
#ifdef SYS_epoll_pwait2
    const long number = SYS_epoll_pwait2;
#else
    const long number = 441; /* the same on every machine that counts like this one */
#endif
    static _Atomic bool missing;
    if (atomic_load_explicit(&missing, memory_order_relaxed)) {
        errno = ENOSYS;
        return -1;
    }
    struct {
        int64_t seconds, nanoseconds;
    } timeout = { timeout_ns / NS_PER_S, timeout_ns % NS_PER_S };
    long n = syscall(number, epoll, events, max, &timeout, NULL, (size_t)0);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
        atomic_store_explicit(&missing, true, memory_order_relaxed);
        errno = ENOSYS;
    }
    if (n > 0) /* a checker of memory knows no raw calls */
        vigil__mark_written(events, (size_t)n * sizeof(*events));
    return (int)n;
}

VIGIL_HOT int vigil__call_epoll_wait(int epoll, struct vigil__epoll_event *events, int max,
                                     vigil_ns timeout_ns)
{
    struct epoll_event *raw = (struct epoll_event *)(void *)events;
    bool coarse = timeout_ns == VIGIL_NOWAIT || timeout_ns == VIGIL_FOREVER;
    int n = coarse ? 0 : epoll_wait_ns(epoll, raw, max, timeout_ns);
    if (coarse || (n < 0 && errno == ENOSYS))
        n = epoll_wait(epoll, raw, max, milliseconds(timeout_ns));
    return wait_result(n);
}

int vigil__call_replace(int fd, int fresh)
{
    if (dup3(fresh, fd, O_CLOEXEC) < 0)
        return vigil__status_of(errno);
    vigil__call_close(fresh);
    return 0;
}

#endif

/* ---- kqueue ------------------------------------------------------------------------------ */

#ifdef VIGIL_KQUEUE

/* Some kernels take no longer timeouts; a wait that ends after three years is taken up again. */
#define KEVENT_S_MAX 100000000

int vigil__call_kqueue(void)
{
    int fd = kqueue();
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        return fd < 0 ? vigil__status_of(errno) : fd;
    int err = vigil__status_of(errno);
    vigil__call_close(fd);
    return err;
}

int vigil__call_kevent(int kqueue, const struct kevent *changes, int count, struct kevent *events,
                       int max, vigil_ns timeout_ns)
{
    struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / NS_PER_S),
                                .tv_nsec = (long)(timeout_ns % NS_PER_S) };
    if (timeout_ns / NS_PER_S > KEVENT_S_MAX)
        timeout = (struct timespec){ .tv_sec = KEVENT_S_MAX };
    return wait_result(
        kevent(kqueue, changes, count, events, max, timeout_ns == VIGIL_FOREVER ? NULL : &timeout));
}

int vigil__call_kevent_trigger(int kqueue, uintptr_t ident)
{
    int saved = errno; /* the caller may be a signal handler */
    struct kevent change = { .ident = ident, .filter = EVFILT_USER, .fflags = NOTE_TRIGGER };
    int err = wait_result(kevent(kqueue, &change, 1, NULL, 0, NULL));
    errno = saved;
    return err;
}

int vigil__call_kind(int fd)
{
    struct stat found;
    if (fstat(fd, &found) < 0)
        return vigil__status_of(errno);
    if (S_ISSOCK(found.st_mode))
        return VIGIL__FD_SOCKET;
    if (S_ISFIFO(found.st_mode))
        return VIGIL__FD_PIPE;
    if (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode) || S_ISBLK(found.st_mode))
        return VIGIL__FD_FILE;
    return S_ISCHR(found.st_mode) && isatty(fd) ? VIGIL__FD_TERMINAL : VIGIL__FD_OTHER;
}

#endif

#endif
