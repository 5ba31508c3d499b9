/* SPDX-License-Identifier: MIT
 *
 * inject.c -- stands between the library and the system, by ld's --wrap, and fails what the plan
 * says.
 *
 * A program that finds VIGIL_FAIL in its environment takes its plan from there, and VIGIL_FAIL_FD
 * names a file to keep it in, so that who started the program can read what came of it.
 */
#include "inject.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "poller/backend.h"
#include "sys/uring_calls.h"
#include "sys/wait_calls.h"

static struct inject own;
struct inject *inject = &own;

static const struct {
    const char *name;
    int number;
} errors[] = {
#define ERROR(name) \
    {               \
#name, name \
    }
    ERROR(ENOMEM),       ERROR(EMFILE),      ERROR(ENOBUFS), ERROR(EADDRINUSE), ERROR(ECONNABORTED),
    ERROR(ECONNREFUSED), ERROR(ENETUNREACH), ERROR(EAGAIN),  ERROR(ECONNRESET), ERROR(EPIPE),
    ERROR(ENOTCONN),     ERROR(EIO),         ERROR(EBADF),   ERROR(ENOTSUP),    ERROR(EACCES),
    ERROR(EPERM),        ERROR(ENOENT),      ERROR(EINTR),   ERROR(ENOSPC),     ERROR(EBUSY),
    ERROR(EINVAL),
#undef ERROR
};

/* ---- the plan ---- */

static const char *error_name(int error)
{
    size_t at = 0;
    while (at < VIGIL_COUNT(errors) - 1 && errors[at].number != error)
        at++;
    return errors[at].name;
}

/* Not EAGAIN of a descriptor that is ready, nor a wait that is always interrupted, nor a writable
 * socket that is never connected; and in a ring neither a want of buffers while there are some, nor
 * newcomers that abort without anybody having come, nor a poll that nobody can make: no kernel is
 * so. */
static bool may_stay(unsigned call, int error)
{
    switch (call) {
    case INJECT_shutdown:
        return true;
    case INJECT_uring_recv:
        return error != ENOBUFS;
    case INJECT_uring_accept:
        return error != ECONNABORTED;
    case INJECT_uring_poll:
        return false;
    default:
        return error != EAGAIN && error != EINTR && error != EBUSY && error != ENOTCONN;
    }
}

static const struct plan_kind kinds[INJECT_COUNT] = {
#define INJECT_KIND(name, ...) { #name, { __VA_ARGS__ } },
    INJECT_CALLS(INJECT_KIND)
#undef INJECT_KIND
};

const struct plan_kinds inject_kinds = { kinds, INJECT_COUNT, error_name, may_stay };

__attribute__((constructor)) static void inject_from_environment(void)
{
    const char *text = getenv("VIGIL_FAIL");
    const char *file = getenv("VIGIL_FAIL_FD");
    if (file != NULL) {
        void *shared = mmap(NULL, sizeof(*inject), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(file),
                            0);
        if (shared != MAP_FAILED)
            inject = shared;
        (void)close(atoi(file));
    }
    if (text != NULL && !plan_parse(&inject_kinds, &inject->plan, text)) {
        fprintf(stderr, "VIGIL_FAIL=%s is no plan\n", text);
        exit(2);
    }
}

/* Counts a call.  True: it shall fail, with the plan's error. */
static bool fails(enum inject_call call)
{
    const struct plan *plan = &inject->plan;
    unsigned made = ++inject->made[call];
    if (!plan->on || plan->call != call)
        return false;
    if (plan->ever ? made < plan->nth : made != plan->nth)
        return false;
    inject->fired++;
    return true;
}

/* The plan's error as the host table answers it. */
static int status(void)
{
    return vigil__status_of(inject->plan.error);
}

/* ---- time --------------------------------------------------------------------------------- */

enum { SLICE_NS = 200000, STRIDE_NS = 10000000 };

static vigil_ns clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return VIGIL_S(now.tv_sec) + now.tv_nsec + inject->skipped_ns;
}

/* How long is really waited of a timeout. */
static vigil_ns slice(vigil_ns timeout)
{
    return inject->fired > 0 && timeout > SLICE_NS ? SLICE_NS : timeout;
}

/* A wait of slice(timeout) is over, with this answer: in vain, the clock goes on. */
static int waited(int answer, vigil_ns timeout)
{
    if (answer != 0)
        return answer;
    inject->waits += timeout > 0;
    if (inject->fired > 0 && timeout > SLICE_NS)
        inject->skipped_ns += (timeout < STRIDE_NS ? timeout : STRIDE_NS) - SLICE_NS;
    return answer;
}

/* ---- the host table ----------------------------------------------------------------------- */

const vigil_host *__real_vigil__host_system(void);
#define REAL __real_vigil__host_system()

union block { /* stands before each */
    size_t size;
    max_align_t align;
};

static void *host_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    union block *block = old != NULL ? (union block *)old - 1 : NULL;
    if (block != NULL && block->size != old_size)
        abort(); /* given back as another size than was taken */
    if (new_size == 0) {
        inject->blocks--;
        inject->bytes -= (int64_t)old_size;
        free(block);
        return NULL;
    }
    if (fails(INJECT_alloc))
        return NULL;
    union block *resized = malloc(sizeof(*block) + new_size);
    if (resized == NULL)
        return NULL;
    memset(resized + 1, 0xa5, new_size); /* nobody relies on zeros, nor on the old place */
    if (block != NULL) {
        memcpy(resized + 1, old, old_size < new_size ? old_size : new_size);
        memset(old, 0x5a, old_size);
        free(block);
    }
    resized->size = new_size;
    inject->blocks += old == NULL;
    inject->bytes += (int64_t)new_size - (int64_t)old_size;
    return resized + 1;
}

static vigil_ns host_now(void *self)
{
    (void)self;
    return clock_now();
}

#define HOST_CALL(name, parameters, arguments)                         \
    static int host_##name parameters                                  \
    {                                                                  \
        return fails(INJECT_##name) ? status() : REAL->name arguments; \
    }

HOST_CALL(socket, (void *self, vigil_family family, vigil_fd *out), (self, family, out))
HOST_CALL(bind, (void *self, vigil_fd fd, const vigil_addr *addr), (self, fd, addr))
HOST_CALL(listen, (void *self, vigil_fd fd, int backlog), (self, fd, backlog))
HOST_CALL(connect, (void *self, vigil_fd fd, const vigil_addr *addr), (self, fd, addr))
HOST_CALL(socket_error, (void *self, vigil_fd fd), (self, fd))
HOST_CALL(recv, (void *self, vigil_fd fd, void *p, size_t n), (self, fd, p, n))
HOST_CALL(send, (void *self, vigil_fd fd, const void *p, size_t n), (self, fd, p, n))
HOST_CALL(sendv, (void *self, vigil_fd fd, const vigil_iov *iov, size_t count),
          (self, fd, iov, count))
HOST_CALL(shutdown, (void *self, vigil_fd fd), (self, fd))
HOST_CALL(option, (void *self, vigil_fd fd, enum vigil__sockopt option, int value),
          (self, fd, option, value))
HOST_CALL(local, (void *self, vigil_fd fd, vigil_addr *out), (self, fd, out))
HOST_CALL(peer, (void *self, vigil_fd fd, vigil_addr *out), (self, fd, out))
HOST_CALL(read, (void *self, vigil_fd fd, void *p, size_t n), (self, fd, p, n))
HOST_CALL(writev, (void *self, vigil_fd fd, const vigil_iov *iov, size_t count),
          (self, fd, iov, count))
HOST_CALL(pread, (void *self, vigil_fd fd, void *p, size_t n, int64_t offset),
          (self, fd, p, n, offset))
HOST_CALL(describe, (void *self, vigil_fd fd, struct vigil__fd_info *out), (self, fd, out))
HOST_CALL(reopen, (void *self, vigil_fd fd), (self, fd))
HOST_CALL(file_size, (void *self, vigil_fd fd, int64_t *out), (self, fd, out))
HOST_CALL(path_identity, (void *self, const char *path, uint64_t identity[2]),
          (self, path, identity))
HOST_CALL(path_mode, (void *self, const char *path, unsigned mode), (self, path, mode))
HOST_CALL(unlink, (void *self, const char *path), (self, path))
HOST_CALL(resolve, (void *self, const char *name, uint16_t port, vigil_addr *out, int max),
          (self, name, port, out, max))
HOST_CALL(signal_add, (void *self, int signo, struct vigil__signal_sink *sink), (self, signo, sink))

/* An aborted newcomer is gone, and there must be one; for want of descriptors or memory it stays
 * where it waits. */
static int host_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    bool failing = fails(INJECT_accept);
    if (failing && inject->plan.error != ECONNABORTED)
        return status();
    int answer = REAL->accept(self, listener, out);
    if (!failing || answer != 0)
        return answer;
    (void)REAL->close(self, *out); /* gone whatever it answers */
    return status();
}

/* The descriptor is gone whatever close(2) answers. */
static int host_close(void *self, vigil_fd fd)
{
    int answer = REAL->close(self, fd);
    return fails(INJECT_close) ? status() : answer;
}

static bool host_readable(void *self, vigil_fd fd)
{
    return !fails(INJECT_readable) && REAL->readable(self, fd);
}

const vigil_host *__wrap_vigil__host_system(void);
const vigil_host *__wrap_vigil__host_system(void)
{
    static vigil_host host;
    if (host.now != NULL)
        return &host;
    host = *REAL;
    host.allocator.resize = host_resize;
#define HOST_MEMBER(name) host.name = host_##name
    HOST_MEMBER(now), HOST_MEMBER(socket), HOST_MEMBER(bind), HOST_MEMBER(listen);
    HOST_MEMBER(accept), HOST_MEMBER(connect), HOST_MEMBER(socket_error), HOST_MEMBER(recv);
    HOST_MEMBER(send), HOST_MEMBER(sendv), HOST_MEMBER(shutdown), HOST_MEMBER(option);
    HOST_MEMBER(local), HOST_MEMBER(peer), HOST_MEMBER(read), HOST_MEMBER(writev);
    HOST_MEMBER(pread), HOST_MEMBER(close), HOST_MEMBER(describe), HOST_MEMBER(readable);
    HOST_MEMBER(reopen), HOST_MEMBER(file_size), HOST_MEMBER(path_identity);
    HOST_MEMBER(path_mode), HOST_MEMBER(unlink), HOST_MEMBER(resolve), HOST_MEMBER(signal_add);
#undef HOST_MEMBER
    return &host;
}

/* ---- the calls below the backends --------------------------------------------------------- */

/* Declares what ld calls the real one, and begins the one in its place. */
#define WRAPPED(type, name, parameters) \
    type __real_##name parameters;      \
    type __wrap_##name parameters;      \
    type __wrap_##name parameters

WRAPPED(vigil_ns, vigil__call_now, (void))
{
    return clock_now();
}

/* The plan's error as a call that waits answers it: 0 when a signal came. */
static int wait_status(void)
{
    return inject->plan.error == EINTR ? 0 : status();
}

WRAPPED(int, vigil__call_select,
        (int fd_count, unsigned long *in, unsigned long *out, unsigned long *except,
         vigil_ns timeout))
{
    if (fails(INJECT_select))
        return wait_status();
    return waited(__real_vigil__call_select(fd_count, in, out, except, slice(timeout)), timeout);
}

WRAPPED(int, vigil__call_poll, (vigil_pollfd * fds, size_t count, vigil_ns timeout))
{
    if (fails(INJECT_poll))
        return wait_status();
    return waited(__real_vigil__call_poll(fds, count, slice(timeout)), timeout);
}

WRAPPED(int, vigil__call_epoll_create, (void))
{
    return fails(INJECT_epoll_create) ? status() : __real_vigil__call_epoll_create();
}

/* Removing is told before it is done, as when the descriptor was closed by somebody. */
WRAPPED(int, vigil__call_epoll_ctl,
        (int epoll, enum vigil__epoll_op op, int fd, uint32_t events, uint64_t key))
{
    if (op != VIGIL__EPOLL_REMOVE && fails(INJECT_epoll_ctl))
        return VIGIL_ENOMEM;
    return __real_vigil__call_epoll_ctl(epoll, op, fd, events, key);
}

WRAPPED(int, vigil__call_epoll_wait,
        (int epoll, struct vigil__epoll_event *events, int max, vigil_ns timeout))
{
    if (fails(INJECT_epoll_wait))
        return wait_status();
    return waited(__real_vigil__call_epoll_wait(epoll, events, max, slice(timeout)), timeout);
}

WRAPPED(int, vigil__call_replace, (int fd, int fresh))
{
    return fails(INJECT_replace) ? status() : __real_vigil__call_replace(fd, fresh);
}

WRAPPED(int, vigil__call_waker_open, (struct vigil__waker * waker))
{
    return fails(INJECT_waker_open) ? status() : __real_vigil__call_waker_open(waker);
}

WRAPPED(int, vigil__call_socket_pair, (int fds[2]))
{
    return fails(INJECT_socket_pair) ? status() : __real_vigil__call_socket_pair(fds);
}

WRAPPED(int, vigil__call_put_byte, (int fd))
{
    return fails(INJECT_put_byte) ? status() : __real_vigil__call_put_byte(fd);
}

WRAPPED(int, vigil__call_trial_listener, (void))
{
    return fails(INJECT_trial_listener) ? status() : __real_vigil__call_trial_listener();
}

/* ---- io_uring ----------------------------------------------------------------------------- */

enum { NOP_INJECT_RESULT = 1 }; /* of nop_flags, Linux 6.11: the completion says what `len` says */

/* The ring that was made last, and how much of its submission queue was looked at. */
static struct {
    struct vigil__uring_params params;
    char *rings;
    struct vigil__sqe *sqes;
    uint32_t seen;
} view;

/* What a submission is, or INJECT_COUNT.  A trial's own are left alone. */
static enum inject_call kind_of(const struct vigil__sqe *sqe)
{
    if (vigil__key_class(sqe->user_data) == 0)
        return INJECT_COUNT;
    switch (sqe->opcode) {
    case VIGIL__URING_RECV:
        return INJECT_uring_recv;
    case VIGIL__URING_SEND:
    case VIGIL__URING_SENDMSG:
        return INJECT_uring_send;
    case VIGIL__URING_ACCEPT:
        return INJECT_uring_accept;
    case VIGIL__URING_POLL_ADD:
        return INJECT_uring_poll;
    default:
        return INJECT_COUNT;
    }
}

/* What shall fail becomes a request that does nothing but complete with the error.  A kernel that
 * does not know how says EINVAL, which is an error, too. */
static void fail_submissions(void)
{
    if (view.rings == NULL || view.sqes == NULL)
        return;
    uint32_t tail = atomic_load((_Atomic uint32_t *)(void *)(view.rings + view.params.sq.tail));
    for (; view.seen != tail; view.seen++) {
        struct vigil__sqe *sqe = &view.sqes[view.seen & (view.params.sq_entries - 1)];
        enum inject_call call = kind_of(sqe);
        if (call == INJECT_COUNT || !fails(call))
            continue;
        *sqe = (struct vigil__sqe){ .opcode = VIGIL__URING_NOP,
                                    .what = NOP_INJECT_RESULT,
                                    .len = (uint32_t)-inject->plan.error,
                                    .user_data = sqe->user_data };
    }
}

WRAPPED(int, vigil__call_uring_setup, (uint32_t entries, struct vigil__uring_params *params))
{
    if (fails(INJECT_uring_setup))
        return inject->plan.error == EPERM ? VIGIL_ENOTSUP : status();
    int ring = __real_vigil__call_uring_setup(entries, params);
    memset(&view, 0, sizeof(view));
    view.params = *params;
    return ring;
}

WRAPPED(int, vigil__call_uring_enter,
        (int ring, uint32_t to_submit, uint32_t min_complete, vigil_ns timeout))
{
    if (fails(INJECT_uring_enter))
        return status();
    fail_submissions();
    if (min_complete == 0 || view.rings == NULL)
        return __real_vigil__call_uring_enter(ring, to_submit, min_complete, slice(timeout));
    uint32_t done = atomic_load((_Atomic uint32_t *)(void *)(view.rings + view.params.cq.tail));
    int n = __real_vigil__call_uring_enter(ring, to_submit, min_complete, slice(timeout));
    uint32_t now = atomic_load((_Atomic uint32_t *)(void *)(view.rings + view.params.cq.tail));
    (void)waited(n < 0 || now != done ? 1 : 0, timeout);
    return n;
}

WRAPPED(int, vigil__call_uring_register, (int ring, unsigned opcode, void *arg, unsigned count))
{
    return fails(INJECT_uring_register)
               ? status()
               : __real_vigil__call_uring_register(ring, opcode, arg, count);
}

WRAPPED(void *, vigil__call_uring_map, (int ring, size_t size, uint64_t offset))
{
    if (fails(INJECT_uring_map)) {
        (void)status(); /* kept for vigil_os_error() */
        return NULL;
    }
    void *p = __real_vigil__call_uring_map(ring, size, offset);
    if (ring >= 0 && offset == VIGIL__URING_MAP_RINGS)
        view.rings = p;
    else if (ring >= 0)
        view.sqes = p;
    return p;
}

WRAPPED(void, vigil__call_uring_unmap, (void *p, size_t size))
{
    if (p == view.rings)
        view.rings = NULL;
    __real_vigil__call_uring_unmap(p, size);
}
