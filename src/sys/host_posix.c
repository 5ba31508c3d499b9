/* SPDX-License-Identifier: MIT
 *
 * host_posix.c -- this machine as a host table: sockets, descriptors, names, memory, the clock.
 * Floor: sys.
 *
 * Each function is one system call with its peculiarities taken away: EINTR is retried, no write
 * raises SIGPIPE, descriptors of ours are non-blocking and close-on-exec, and the flags of those
 * that are not ours are never changed.
 */
#ifndef _WIN32

#ifndef __LP64__ /* there they are that large, and MSan does not know the calls by another name */
#define _FILE_OFFSET_BITS 64 /* sizes, offsets and inodes beyond 32 bits on machines of 32 */
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sys/addr.h"
#include "sys/host.h"
#include "sys/message_calls.h"
#include "sys/signals.h"

#if !defined(TCP_KEEPIDLE) && defined(TCP_KEEPALIVE)
#define TCP_KEEPIDLE TCP_KEEPALIVE
#endif
#ifdef SO_REUSEPORT_LB /* FreeBSD: the other one gives all connections to one of the listeners */
#undef SO_REUSEPORT
#define SO_REUSEPORT SO_REUSEPORT_LB
#endif

#define RETRY(result, call) \
    do                      \
        (result) = (call);  \
    while ((result) < 0 && errno == EINTR)

/* A list of our pieces is handed to the kernel as it stands. */
_Static_assert(sizeof(vigil_iov) == sizeof(struct iovec), "same size");
_Static_assert(offsetof(vigil_iov, base) == offsetof(struct iovec, iov_base), "same place");
_Static_assert(offsetof(vigil_iov, len) == offsetof(struct iovec, iov_len), "same place");

/* Those built in; the floor above defines them, and a table is all we need to know of it. */
extern const struct vigil__backend *const vigil__backends[];

/* ---- answers ------------------------------------------------------------------------------ */

static int status(int result)
{
    return result < 0 ? vigil__status_of(errno) : 0;
}

/* A count fits an int: what is asked for is cut to INT_MAX (reads), and no kernel takes more than
 * that in one write. */
static int count_or_status(ssize_t result)
{
    return result < 0 ? vigil__status_of(errno) : (int)result;
}

static size_t cut_to_int(size_t n)
{
    return vigil__min(n, INT_MAX);
}

static int cut_to_iov_max(size_t count)
{
    return (int)vigil__min(count, IOV_MAX);
}

static struct iovec *iovec_of(const vigil_iov *iov)
{
    return (struct iovec *)(uintptr_t)iov; /* the calls that write do not change the list */
}

/* ---- the clock and memory ----------------------------------------------------------------- */

VIGIL_HOT static vigil_ns host_now(void *self)
{
    (void)self;
    struct timespec now = { 0 };
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* fails only where there is no such clock */
    return VIGIL_S(now.tv_sec) + now.tv_nsec;
}

static void *host_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    (void)old_size;
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

/* ---- stream sockets ----------------------------------------------------------------------- */

static int family_to_system(vigil_family family)
{
    switch (family) {
    case VIGIL_FAMILY_INET:
        return AF_INET;
    case VIGIL_FAMILY_INET6:
        return AF_INET6;
    case VIGIL_FAMILY_UNIX:
        return AF_UNIX;
    default:
        return AF_UNSPEC;
    }
}

static int set_int(int fd, int level, int name, int value)
{
    return status(setsockopt(fd, level, name, &value, sizeof value));
}

#ifdef SOCK_NONBLOCK
enum { SOCKET_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC };

static int accept_prepared(int listener)
{
    return accept4(listener, NULL, NULL, SOCKET_FLAGS);
}
#else
enum { SOCKET_FLAGS = 0 };

static int accept_prepared(int listener)
{
    return accept(listener, NULL, NULL);
}
#endif

static int set_no_sigpipe(int fd)
{
#ifdef VIGIL__SIGPIPE_BY_SOCKET
    return set_int(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#else
    (void)fd;
    return 0;
#endif
}

/* What a new socket needs where it cannot be asked for in the call that makes it. */
static int socket_prepare(int fd)
{
#ifndef SOCK_NONBLOCK
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return vigil__status_of(errno);
#endif
    return set_no_sigpipe(fd);
}

static int socket_finish(int fd, vigil_fd *out)
{
    int err = socket_prepare(fd);
    if (err < 0) {
        (void)close(fd); /* nothing was written to it */
        return err;
    }
    *out = fd;
    return 0;
}

static int host_socket(void *self, vigil_family family, vigil_fd *out)
{
    (void)self;
    int fd = socket(family_to_system(family), SOCK_STREAM | SOCKET_FLAGS, 0);
    return fd < 0 ? vigil__status_of(errno) : socket_finish(fd, out);
}

static int host_bind(void *self, vigil_fd fd, const vigil_addr *addr)
{
    (void)self;
    struct sockaddr_storage system;
    socklen_t length = vigil__addr_to_system(addr, &system);
    if (length == 0)
        return VIGIL_EADDR;
    return status(bind(fd, (const struct sockaddr *)&system, length));
}

static int host_listen(void *self, vigil_fd fd, int backlog)
{
    (void)self;
    return status(listen(fd, backlog));
}

static int host_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    (void)self;
    int fd;
    RETRY(fd, accept_prepared(listener));
    if (fd < 0)
        return vigil__status_of(errno);
    int err = socket_finish(fd, out);
    return err == VIGIL_EINVAL ? VIGIL_ECONNRESET : err; /* macOS: its peer has gone already */
}

static int host_connect(void *self, vigil_fd fd, const vigil_addr *addr)
{
    (void)self;
    struct sockaddr_storage system;
    socklen_t length = vigil__addr_to_system(addr, &system);
    if (length == 0)
        return VIGIL_EADDR;
    if (connect(fd, (const struct sockaddr *)&system, length) == 0)
        return 0;
    int err = vigil__status_of(errno);
    switch (vigil_os_error()) {
    case EINPROGRESS:
    case EINTR: /* it goes on by itself; asking again would be an error */
        return VIGIL__EAGAIN;
    default:
        return err == VIGIL__EAGAIN ? VIGIL_EBUSY : err;
    }
}

static int host_socket_error(void *self, vigil_fd fd)
{
    (void)self;
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return vigil__status_of(errno);
    return error == 0 ? 0 : vigil__status_of(error);
}

/* A call that never waits and was interrupted has done nothing: it may be made again like one that
 * would have waited. */
int vigil__call_failed(void)
{
    return errno == EINTR ? VIGIL__EAGAIN : vigil__status_of(errno);
}

VIGIL_HOT static int host_recv(void *self, vigil_fd fd, void *p, size_t n)
{
    (void)self;
    return (int)vigil__call_recv(fd, p, n);
}

VIGIL_HOT static int host_send(void *self, vigil_fd fd, const void *p, size_t n)
{
    (void)self;
    return (int)vigil__call_send(fd, p, n);
}

static int host_sendv(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    (void)self;
    struct msghdr message = { .msg_iov = iovec_of(iov) };
    message.msg_iovlen = (__typeof__(message.msg_iovlen))cut_to_iov_max(count);
    ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent >= 0 ? (int)sent : vigil__call_failed();
}

static int host_shutdown(void *self, vigil_fd fd)
{
    (void)self;
    return status(shutdown(fd, SHUT_WR));
}

static int set_keepalive(int fd, int value)
{
    int err = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, value != 0);
#ifdef TCP_KEEPIDLE
    if (err == 0 && value > 1)
        err = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, value);
#endif
    return err;
}

static int set_reset(int fd, bool on)
{
    struct linger linger = { .l_onoff = on, .l_linger = 0 };
    return status(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

static int host_option(void *self, vigil_fd fd, enum vigil__sockopt option, int value)
{
    (void)self;
    switch (option) {
    case VIGIL__SO_NODELAY:
        return set_int(fd, IPPROTO_TCP, TCP_NODELAY, value);
    case VIGIL__SO_KEEPALIVE:
        return set_keepalive(fd, value);
    case VIGIL__SO_SNDBUF:
        return set_int(fd, SOL_SOCKET, SO_SNDBUF, value);
    case VIGIL__SO_RCVBUF:
        return set_int(fd, SOL_SOCKET, SO_RCVBUF, value);
    case VIGIL__SO_REUSEADDR:
        return set_int(fd, SOL_SOCKET, SO_REUSEADDR, value);
#ifdef SO_REUSEPORT
    case VIGIL__SO_REUSEPORT:
        return set_int(fd, SOL_SOCKET, SO_REUSEPORT, value);
#endif
    case VIGIL__SO_V6ONLY:
        return set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, value);
    case VIGIL__SO_RESET:
        return set_reset(fd, value != 0);
    default:
        return VIGIL_ENOTSUP;
    }
}

static int host_local(void *self, vigil_fd fd, vigil_addr *out)
{
    (void)self;
    struct sockaddr_storage system;
    socklen_t length = sizeof system;
    if (getsockname(fd, (struct sockaddr *)&system, &length) < 0)
        return vigil__status_of(errno);
    vigil__addr_from_system(out, &system, length);
    return 0;
}

static int host_peer(void *self, vigil_fd fd, vigil_addr *out)
{
    (void)self;
    struct sockaddr_storage system;
    socklen_t length = sizeof system;
    if (getpeername(fd, (struct sockaddr *)&system, &length) < 0)
        return vigil__status_of(errno);
    vigil__addr_from_system(out, &system, length);
    return 0;
}

/* ---- any descriptor ----------------------------------------------------------------------- */

/* The side of a pseudo-terminal that stands for the hardware. */
static bool is_pty_master(int fd)
{
#ifdef __linux__
    char name[sizeof "/dev/pts/" + 3 * sizeof(unsigned)];
    return ptsname_r(fd, name, sizeof name) == 0;
#else
    return ptsname(fd) != NULL;
#endif
}

static int host_read(void *self, vigil_fd fd, void *p, size_t n)
{
    (void)self;
    ssize_t got;
    RETRY(got, read(fd, p, cut_to_int(n)));
    int answer = count_or_status(got);
    /* This is how a pseudo-terminal says that the other side has hung up. */
    if (got < 0 && vigil_os_error() == EIO && is_pty_master(fd))
        return 0;
    return answer;
}

static int host_pread(void *self, vigil_fd fd, void *p, size_t n, int64_t offset)
{
    (void)self;
    ssize_t got;
    RETRY(got, pread(fd, p, cut_to_int(n), (off_t)offset));
    return count_or_status(got);
}

/* SIGPIPE around one write: blocked in this thread, so that the write's own waits and can be
 * collected. */
struct sigpipe_guard {
    sigset_t before; /* the thread's mask */
    bool pending;    /* one that is not ours waits already: it stays */
};

static void sigpipe_block(struct sigpipe_guard *guard)
{
    sigset_t sigpipe;
    (void)sigemptyset(&sigpipe); /* these three fail only for signals that do not exist */
    (void)sigaddset(&sigpipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &sigpipe, &guard->before);
    guard->pending = false;
    if (sigismember(&guard->before, SIGPIPE) == 0)
        return; /* it was open: one that came before has been delivered */
    sigset_t waiting;
    guard->pending = sigpending(&waiting) == 0 && sigismember(&waiting, SIGPIPE) == 1;
}

/* Takes the signal that waits, if one does: some devices say EPIPE without it. */
static void sigpipe_take(const sigset_t *sigpipe)
{
    int taken;
#if defined(__APPLE__) || defined(__OpenBSD__)
    sigset_t waiting;
    if (sigpending(&waiting) == 0 && sigismember(&waiting, SIGPIPE) == 1)
        (void)sigwait(sigpipe, &taken);
#else
    const struct timespec at_once = { 0 };
    RETRY(taken, sigtimedwait(sigpipe, NULL, &at_once));
    (void)taken;
#endif
}

static void sigpipe_restore(const struct sigpipe_guard *guard, bool broken)
{
    sigset_t sigpipe;
    (void)sigemptyset(&sigpipe);
    (void)sigaddset(&sigpipe, SIGPIPE);
    if (broken && !guard->pending)
        sigpipe_take(&sigpipe);
    if (sigismember(&guard->before, SIGPIPE) == 0)
        (void)pthread_sigmask(SIG_UNBLOCK, &sigpipe, NULL);
}

static int host_writev(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    (void)self;
    struct sigpipe_guard guard;
    sigpipe_block(&guard);
    ssize_t written;
    RETRY(written, writev(fd, iovec_of(iov), cut_to_iov_max(count)));
    int answer = count_or_status(written);
    sigpipe_restore(&guard, written < 0 && vigil_os_error() == EPIPE);
    return answer;
}

static int host_close(void *self, vigil_fd fd)
{
    (void)self;
    /* After EINTR the descriptor is gone all the same, and its number may be another's already. */
    if (close(fd) == 0 || errno == EINTR)
        return 0;
    return vigil__status_of(errno);
}

static enum vigil__fd_kind socket_kind(int fd)
{
    int value = 0;
    socklen_t length = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) < 0 || value != SOCK_STREAM)
        return VIGIL__FD_OTHER;
    length = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0)
        return VIGIL__FD_LISTENER;
    return VIGIL__FD_SOCKET;
}

static enum vigil__fd_kind fd_kind(int fd, mode_t mode)
{
    if (S_ISSOCK(mode))
        return socket_kind(fd);
    if (S_ISFIFO(mode))
        return VIGIL__FD_PIPE;
    if (S_ISREG(mode))
        return VIGIL__FD_FILE;
    return S_ISCHR(mode) && isatty(fd) ? VIGIL__FD_TERMINAL : VIGIL__FD_OTHER;
}

VIGIL_COLD static int host_describe(void *self, vigil_fd fd, struct vigil__fd_info *out)
{
    (void)self;
    struct stat found;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &found) < 0)
        return vigil__status_of(errno);
    out->kind = fd_kind(fd, found.st_mode);
    out->nonblocking = (flags & O_NONBLOCK) != 0;
    if (out->kind == VIGIL__FD_SOCKET)
        (void)set_no_sigpipe(fd); /* fails for one whose peer has gone already */
    return 0;
}

static bool host_readable(void *self, vigil_fd fd)
{
    (void)self;
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    int ready;
    RETRY(ready, poll(&entry, 1, 0));
    return ready > 0; /* an end or an error too: the call then tells which */
}

#ifdef __linux__

/* Opens the file behind `fd` once more, non-blocking. */
static int open_again(int fd, int flags)
{
    char path[sizeof "/proc/self/fd/" + 3 * sizeof fd];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* fits */
    int again;
    RETRY(again, open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    if (again >= 0)
        return again;
    int err = vigil__status_of(errno);
    bool lacking = err == VIGIL_EMFILE || err == VIGIL_ENOMEM;
    return lacking ? err : VIGIL_ENOTSUP; /* no /proc, not ours to open, or nobody reads the pipe */
}

static bool same_file(int a, int b)
{
    struct stat at_a, at_b;
    return fstat(a, &at_a) == 0 && fstat(b, &at_b) == 0 && at_a.st_dev == at_b.st_dev &&
           at_a.st_ino == at_b.st_ino && at_a.st_rdev == at_b.st_rdev;
}

/* Puts `again` where `fd` stands.  The new one is inherited by programs if the old one was. */
static int replace(int fd, int again)
{
    int flags = fcntl(fd, F_GETFD);
    bool keeps = flags >= 0 && (flags & FD_CLOEXEC) == 0;
    int result;
    RETRY(result, keeps ? dup2(again, fd) : dup3(again, fd, O_CLOEXEC));
    int err = status(result);
    (void)close(again); /* `fd` is the same description */
    return err;
}

VIGIL_COLD static int host_reopen(void *self, vigil_fd fd)
{
    struct vigil__fd_info info;
    int err = host_describe(self, fd, &info);
    if (err < 0)
        return err;
    bool possible = info.kind == VIGIL__FD_PIPE || info.kind == VIGIL__FD_TERMINAL;
    if (!possible || is_pty_master(fd)) /* opening a master anew makes another terminal */
        return VIGIL_ENOTSUP;
    int again = open_again(fd, fcntl(fd, F_GETFL) & O_ACCMODE); /* never more rights than given */
    if (again < 0)
        return again;
    if (same_file(fd, again))
        return replace(fd, again);
    (void)close(again); /* nothing was written to it */
    return VIGIL_ENOTSUP;
}

#else

/* /dev/fd answers with a duplicate, which has the same flags. */
static int host_reopen(void *self, vigil_fd fd)
{
    (void)self;
    (void)fd;
    return VIGIL_ENOTSUP;
}

#endif

static int host_file_size(void *self, vigil_fd fd, int64_t *out)
{
    (void)self;
    struct stat found;
    if (fstat(fd, &found) < 0)
        return vigil__status_of(errno);
    if (!S_ISREG(found.st_mode))
        return VIGIL_EBADF;
    *out = found.st_size;
    return 0;
}

/* ---- names -------------------------------------------------------------------------------- */

static int host_path_identity(void *self, const char *path, uint64_t identity[2])
{
    (void)self;
    struct stat found;
    if (lstat(path, &found) < 0) /* the name itself: it is what unlink would remove */
        return vigil__status_of(errno);
    if (!S_ISSOCK(found.st_mode))
        return VIGIL_EEXIST;
    identity[0] = (uint64_t)found.st_dev;
    identity[1] = (uint64_t)found.st_ino;
    return 0;
}

static int host_path_mode(void *self, const char *path, unsigned mode)
{
    (void)self;
    return status(chmod(path, (mode_t)mode));
}

static int host_unlink(void *self, const char *path)
{
    (void)self;
    return status(unlink(path));
}

static int status_of_resolver(int error)
{
    switch (error) {
    case EAI_MEMORY:
        return VIGIL_ENOMEM;
    case EAI_SYSTEM:
        return vigil__status_of(errno);
    default: /* nobody knows the name, or nobody who could be asked does */
        return VIGIL_ENOENT;
    }
}

VIGIL_COLD static int host_resolve(void *self, const char *name, uint16_t port, vigil_addr *out,
                                   int max)
{
    (void)self;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error != 0)
        return status_of_resolver(error);
    int count = 0;
    for (struct addrinfo *at = found; at != NULL && count < max; at = at->ai_next) {
        struct sockaddr_storage system = { 0 };
        memcpy(&system, at->ai_addr, vigil__min(at->ai_addrlen, sizeof system));
        vigil__addr_from_system(&out[count], &system, at->ai_addrlen);
        out[count].port = port;
        count += out[count].family != VIGIL_FAMILY_NONE;
    }
    freeaddrinfo(found);
    return count > 0 ? count : VIGIL_ENOENT;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const vigil_host system_host = {
    .backends = vigil__backends,
    .allocator = { .resize = host_resize },
    .now = host_now,
    .socket = host_socket,
    .bind = host_bind,
    .listen = host_listen,
    .accept = host_accept,
    .connect = host_connect,
    .socket_error = host_socket_error,
    .recv = host_recv,
    .send = host_send,
    .sendv = host_sendv,
    .shutdown = host_shutdown,
    .option = host_option,
    .local = host_local,
    .peer = host_peer,
    .read = host_read,
    .writev = host_writev,
    .pread = host_pread,
    .close = host_close,
    .describe = host_describe,
    .readable = host_readable,
    .reopen = host_reopen,
    .file_size = host_file_size,
    .path_identity = host_path_identity,
    .path_mode = host_path_mode,
    .unlink = host_unlink,
    .resolve = host_resolve,
    .signal_add = vigil__signal_add,
    .signal_remove = vigil__signal_remove,
};

const vigil_host *vigil__host_system(void)
{
    return &system_host;
}

bool vigil__host_is_plain(const vigil_host *host)
{
    return host->recv == host_recv && host->send == host_send;
}

#endif
