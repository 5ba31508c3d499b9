/* SPDX-License-Identifier: MIT
 *
 * host.h -- the ground floor as a table: everything a loop asks of the machine, but waiting.
 * Floor: sys.  This header is the porting guide: a new system, or a simulated one, is one such
 * table and its backends, and the two calls of message_calls.h.
 *
 * Every call answers 0 or a count, or a negative vigil_status; VIGIL__EAGAIN is "would block".  No
 * call blocks but resolve, and read and writev on a descriptor that somebody else made blocking.
 * EINTR is retried inside.  The system's own number of a failure is kept for vigil_os_error().
 */
#ifndef VIGIL_HOST_H
#define VIGIL_HOST_H

#include <stdatomic.h>

#include "base/base.h"

struct vigil__backend;

enum vigil__fd_kind {
    VIGIL__FD_SOCKET,   /* a stream socket that is connected, or will be */
    VIGIL__FD_LISTENER, /* a stream socket that listens */
    VIGIL__FD_PIPE,
    VIGIL__FD_TERMINAL,
    VIGIL__FD_FILE, /* a regular file */
    VIGIL__FD_OTHER
};

struct vigil__fd_info {
    enum vigil__fd_kind kind;
    bool nonblocking; /* O_NONBLOCK is set already */
};

enum vigil__sockopt {
    VIGIL__SO_NODELAY,
    VIGIL__SO_KEEPALIVE,
    VIGIL__SO_SNDBUF,
    VIGIL__SO_RCVBUF,
    VIGIL__SO_REUSEADDR,
    VIGIL__SO_REUSEPORT,
    VIGIL__SO_V6ONLY,
    VIGIL__SO_RESET, /* close answers the peer with a reset */
};

/* Where arriving signals are noted for one loop.  `wake` is async-signal-safe. */
struct vigil__signal_sink {
    _Atomic uint64_t pending; /* bit signo - 1 */
    void (*wake)(void *arg);
    void *arg;
};

enum { VIGIL__SIGNAL_MAX = 64 }; /* signals 1 to 64, which is all that Linux has */

struct vigil_host {
    void *self;
    const struct vigil__backend *const *backends; /* best first, NULL behind the last */
    vigil_allocator allocator;

    vigil_ns (*now)(void *self);

    /* Stream sockets: made non-blocking and close-on-exec. */
    int (*socket)(void *self, vigil_family family, vigil_fd *out);
    int (*bind)(void *self, vigil_fd fd, const vigil_addr *addr);
    int (*listen)(void *self, vigil_fd fd, int backlog);
    int (*accept)(void *self, vigil_fd listener, vigil_fd *out);
    /* 0: connected.  VIGIL__EAGAIN: under way, writable when decided, then ask socket_error.
     * VIGIL_EBUSY: a Unix listener's backlog is full, nothing is under way. */
    int (*connect)(void *self, vigil_fd fd, const vigil_addr *addr);
    int (*socket_error)(void *self, vigil_fd fd);
    /* Never blocks, whatever the flags; `n` is at most INT_MAX. */
    int (*recv)(void *self, vigil_fd fd, void *p, size_t n);
    /* Likewise; no SIGPIPE. */
    int (*send)(void *self, vigil_fd fd, const void *p, size_t n);
    int (*sendv)(void *self, vigil_fd fd, const vigil_iov *iov, size_t count);
    int (*shutdown)(void *self, vigil_fd fd); /* of writing */
    int (*option)(void *self, vigil_fd fd, enum vigil__sockopt option, int value);
    int (*local)(void *self, vigil_fd fd, vigil_addr *out);
    int (*peer)(void *self, vigil_fd fd, vigil_addr *out);

    /* Any descriptor. */
    int (*read)(void *self, vigil_fd fd, void *p, size_t n);
    int (*writev)(void *self, vigil_fd fd, const vigil_iov *iov, size_t count); /* no SIGPIPE */
    int (*pread)(void *self, vigil_fd fd, void *p, size_t n, int64_t offset);
    int (*close)(void *self, vigil_fd fd);
    int (*describe)(void *self, vigil_fd fd, struct vigil__fd_info *out);
    /* Whether a read or an accept would not block now: for descriptors that may. */
    bool (*readable)(void *self, vigil_fd fd);
    /* Puts the same pipe or terminal, opened anew and non-blocking, in the place of `fd`: nobody
     * who shares the old description notices.  VIGIL_ENOTSUP: cannot; `fd` is as it was. */
    int (*reopen)(void *self, vigil_fd fd);
    int (*file_size)(void *self, vigil_fd fd, int64_t *out);

    /* Names in the file system: Unix sockets. */
    int (*path_identity)(void *self, const char *path, uint64_t identity[2]);
    int (*path_mode)(void *self, const char *path, unsigned mode);
    int (*unlink)(void *self, const char *path);

    int (*resolve)(void *self, const char *name, uint16_t port, vigil_addr *out, int max);

    /* Several sinks may take the same signal. */
    int (*signal_add)(void *self, int signo, struct vigil__signal_sink *sink);
    /* When this returns no handler touches the sink for this signal any more. */
    void (*signal_remove)(void *self, int signo, struct vigil__signal_sink *sink);
};

/* This machine. */
const vigil_host *vigil__host_system(void);

/* Whether a host's recv and send are this machine's: see sys/message_calls.h. */
bool vigil__host_is_plain(const vigil_host *host);

/* Which process this is: a number that another process, a forked child too, never has.  The check
 * is a load and a comparison. */
uint64_t vigil__process_mark(void);
bool vigil__process_is(uint64_t mark);

/* Names the calling thread: an address that no other living thread has. */
#if defined(_WIN32) || defined(VIGIL_UNDER_SCHEDULER) /* tests/threads: the test's own threads */
const void *vigil__thread_mark(void);
#else
extern _Thread_local char vigil__thread_marked __attribute__((tls_model("initial-exec")));
static inline const void *vigil__thread_mark(void)
{
    return &vigil__thread_marked;
}
#endif

/* Lets another thread run. */
void vigil__thread_yield(void);

/* Our status for the system's error number, which is kept for vigil_os_error(). */
int vigil__status_of(int os_error);

#endif
