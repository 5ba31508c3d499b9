/* SPDX-License-Identifier: MIT
 *
 * inject.h -- fails the n-th call of a kind that the library makes of the system: allocations, the
 * host table, and the calls below the backends.
 *
 * A program that is linked with inject.c and with ld's --wrap for what inject.c defines needs
 * nothing else: no hook in the library, no loader's trick.  What is to fail is a plan in memory,
 * which may be shared with another process.
 *
 * Once something has failed, time runs some fifty times as fast whenever the library waits in vain:
 * rests and retries cost little, and nothing before that depends on it.
 */
#ifndef INJECT_H
#define INJECT_H

#include <stdint.h>

#include "plan.h"

/* Every kind of call: X(name, the errors to try).  The first block is the allocator and the host
 * table of sys/host.h, the second sys/wait_calls.h and sys/uring_calls.h, the third what is handed
 * to a ring of io_uring's and fails there. */
#define INJECT_CALLS(X)                        \
    X(alloc, ENOMEM)                           \
    X(socket, EMFILE, ENOBUFS)                 \
    X(bind, EADDRINUSE, ENOMEM)                \
    X(listen, EADDRINUSE)                      \
    X(accept, EMFILE, ECONNABORTED, ENOMEM)    \
    X(connect, ECONNREFUSED, ENETUNREACH)      \
    X(socket_error, ECONNREFUSED)              \
    X(recv, ECONNRESET, ENOMEM, EAGAIN)        \
    X(send, EPIPE, ENOBUFS, EAGAIN)            \
    X(sendv, EPIPE, ENOBUFS, EAGAIN)           \
    X(shutdown, ENOTCONN, ENOBUFS)             \
    X(option, ENOBUFS)                         \
    X(local, ENOBUFS)                          \
    X(peer, ENOTCONN, ENOBUFS)                 \
    X(read, EIO, ENOMEM)                       \
    X(writev, EPIPE, ENOMEM)                   \
    X(pread, EIO)                              \
    X(close, EIO)                              \
    X(describe, EBADF)                         \
    X(readable, ENOMEM)                        \
    X(reopen, EMFILE, ENOTSUP)                 \
    X(file_size, EIO)                          \
    X(path_identity, EACCES)                   \
    X(path_mode, EPERM)                        \
    X(unlink, EACCES)                          \
    X(resolve, ENOENT)                         \
    X(signal_add, ENOMEM)                      \
    X(select, ENOMEM, EINTR)                   \
    X(poll, ENOMEM, EINTR)                     \
    X(epoll_create, EMFILE, ENOMEM)            \
    X(epoll_ctl, ENOMEM, ENOSPC)               \
    X(epoll_wait, ENOMEM, EINTR)               \
    X(replace, EMFILE)                         \
    X(waker_open, EMFILE)                      \
    X(uring_setup, ENOMEM, EMFILE, EPERM)      \
    X(uring_enter, ENOMEM, EBUSY)              \
    X(uring_register, ENOMEM, EINVAL)          \
    X(uring_map, ENOMEM)                       \
    X(socket_pair, EMFILE)                     \
    X(put_byte, ENOBUFS)                       \
    X(trial_listener, EMFILE)                  \
    X(uring_recv, ECONNRESET, ENOMEM, ENOBUFS) \
    X(uring_send, EPIPE, ENOMEM)               \
    X(uring_accept, EMFILE, ECONNABORTED)      \
    X(uring_poll, ENOMEM)

enum inject_call {
#define INJECT_ENUM(name, ...) INJECT_##name,
    INJECT_CALLS(INJECT_ENUM)
#undef INJECT_ENUM
        INJECT_COUNT
};

extern const struct plan_kinds inject_kinds;

/* What is to fail, and what happened. */
struct inject {
    struct plan plan;            /* errors are errno's */
    unsigned made[INJECT_COUNT]; /* calls so far */
    unsigned fired;              /* of them made to fail */
    unsigned waits;              /* in vain */
    int64_t skipped_ns;          /* by which the clock is fast */
    int64_t blocks, bytes;       /* that the library has allocated now */
};

/* The plan that counts; a program may put another in its place. */
extern struct inject *inject;

#endif
