/* SPDX-License-Identifier: MIT
 *
 * wait_calls.h -- the calls that wait, and what belongs to them, as the backends make them.
 * Floor: sys.  They stand in one file, wait_calls.c, so that a test program can link a model of a
 * kernel in its place: no function pointer, no macro, no cost.
 *
 * Windows has its own in wait_calls_windows.[ch], and of these poll, the waker, check_fd and the
 * clock.
 *
 * Each is one system call.  Answers are counts or negative statuses; a wait that a signal
 * interrupted answers 0.  Timeouts are nanoseconds, rounded up where the kernel is coarser;
 * VIGIL_FOREVER waits without limit.
 */
#ifndef VIGIL_WAIT_CALLS_H
#define VIGIL_WAIT_CALLS_H

#include "base/base.h"

/* select(2) with sets of any size: `words` unsigned longs each, bit fd % BITS of word fd / BITS.
 * On 0 or an error the sets' contents are undefined. */
int vigil__call_select(int fd_count, unsigned long *in, unsigned long *out, unsigned long *except,
                       vigil_ns timeout_ns);

/* poll(2); the events are numbered as vigil.h numbers them. */
int vigil__call_poll(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns);

/* epoll(7).  EPOLLIN and the others up to EPOLLRDHUP are numbered as vigil.h numbers them; EDGE and
 * ONESHOT are taken from our bits. */
struct vigil__epoll_event {
    uint32_t events;
    uint64_t key;
}
#ifdef __x86_64__
__attribute__((packed)) /* as the kernel has it there, and nowhere else */
#endif
;
enum vigil__epoll_op { VIGIL__EPOLL_ADD, VIGIL__EPOLL_MODIFY, VIGIL__EPOLL_REMOVE };
int vigil__call_epoll_create(void);
/* VIGIL_ENOTSUP: this kind of file cannot be waited for (EPERM). */
int vigil__call_epoll_ctl(int epoll, enum vigil__epoll_op op, int fd, uint32_t events,
                          uint64_t key);
int vigil__call_epoll_wait(int epoll, struct vigil__epoll_event *events, int max,
                           vigil_ns timeout_ns);

/* Puts the file of `fresh` behind the number `fd`, whose own file is closed, in one step; then the
 * number `fresh` is free.  On an error nothing has changed.  Linux. */
int vigil__call_replace(int fd, int fresh);

/* kqueue(2): FreeBSD, macOS and their relatives, as far as they have user events.  Where it is
 * there VIGIL_KQUEUE is defined; with VIGIL_KQUEUE_MODEL tests/model/ stands in for it. */
#if defined(__FreeBSD__) || defined(__APPLE__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__) || defined(VIGIL_KQUEUE_MODEL)
#include <sys/types.h>

#include <sys/event.h>
#ifdef EVFILT_USER
#define VIGIL_KQUEUE 1
#endif
#endif

#ifdef VIGIL_KQUEUE
int vigil__call_kqueue(void);
/* With `max` 0 it does not wait, and answers the error of the first change that has one; those
 * behind it are not made.  Otherwise that stands among the events, with EV_ERROR. */
int vigil__call_kevent(int kqueue, const struct kevent *changes, int count, struct kevent *events,
                       int max, vigil_ns timeout_ns);
/* Triggers the user event `ident`.  Any thread, async-signal-safe. */
int vigil__call_kevent_trigger(int kqueue, uintptr_t ident);
/* What `fd` is: a vigil__fd_kind of sys/host.h, where FILE is everything that has a place on a
 * disk, and LISTENER is not told from SOCKET.  VIGIL_EBADF. */
int vigil__call_kind(int fd);
#endif

/* A descriptor to wake a wait with: eventfd(2), or a pipe where that is missing (then write_fd is
 * another), or on Windows a socket that talks to itself.  Signal is async-signal-safe and never
 * blocks. */
struct vigil__waker {
    vigil_fd read_fd, write_fd;
};
int vigil__call_waker_open(struct vigil__waker *waker);
int vigil__call_waker_signal(const struct vigil__waker *waker);
void vigil__call_waker_drain(const struct vigil__waker *waker);
void vigil__call_waker_close(struct vigil__waker *waker);

/* Whether `fd` is an open descriptor: fcntl(F_GETFD).  0 or VIGIL_EBADF; on Windows VIGIL_ENOTSUP
 * for one that is no socket. */
int vigil__call_check_fd(vigil_fd fd);
void vigil__call_close(int fd);

/* The monotonic clock. */
vigil_ns vigil__call_now(void);

#endif
