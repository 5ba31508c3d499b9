/* SPDX-License-Identifier: MIT
 *
 * host_windows.c -- Windows as a host table: sockets, memory, the clock.  Floor: sys.
 *
 * Sockets only: files, pipes and terminals answer VIGIL_ENOTSUP, as do Unix sockets; but a file, by
 * its handle, can be sent.  Winsock has no call that does not block on a socket that does, and none
 * that tells whether it does, so a socket that somebody gives us is switched to non-blocking when
 * it is described.
 */
#ifdef _WIN32

#include <winsock2.h> /* before all others of Windows */

#include <mstcpip.h>
#include <windows.h>
#include <ws2tcpip.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "sys/addr.h"
#include "sys/host.h"
#include "sys/message_calls.h"
#include "sys/signals.h"
#include "sys/wait_calls.h"

enum {
    PIECES_MAX = 64, /* taken to the system at once */
    MS_PER_S = 1000,
    KEEPALIVE_INTERVAL_MS = 1000 /* between the probes that follow the first: the system's own */
};

/* Those built in; the floor above defines them, and a table is all we need to know of it. */
extern const struct vigil__backend *const vigil__backends[];

/* ---- answers ------------------------------------------------------------------------------ */

static int last_status(void)
{
    return vigil__status_of(WSAGetLastError());
}

static int status(int result)
{
    return result != 0 ? last_status() : 0;
}

/* ---- the clock and memory ----------------------------------------------------------------- */

static vigil_ns host_now(void *self)
{
    (void)self;
    return vigil__call_now();
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

static int set_int(vigil_fd fd, int level, int name, int value)
{
    return status(setsockopt(fd, level, name, (const char *)&value, sizeof value));
}

static int set_nonblocking(vigil_fd fd)
{
    u_long on = 1;
    return status(ioctlsocket(fd, (long)FIONBIO, &on));
}

/* A handle is a small number in practice; where it is not, the records that carry one could not
 * tell it from an error. */
static int socket_finish(vigil_fd fd, vigil_fd *out)
{
    int err = vigil__fd_valid(fd) ? set_nonblocking(fd) : VIGIL_EMFILE;
    if (err < 0) {
        (void)closesocket(fd); /* nothing was written to it */
        return err;
    }
    *out = fd;
    return 0;
}

static int host_socket(void *self, vigil_family family, vigil_fd *out)
{
    (void)self;
    if (family == VIGIL_FAMILY_UNIX)
        return VIGIL_ENOTSUP;
    SOCKET fd = WSASocketW(family == VIGIL_FAMILY_INET6 ? AF_INET6 : AF_INET, SOCK_STREAM,
                           IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    return fd == INVALID_SOCKET ? last_status() : socket_finish(fd, out);
}

static int host_bind(void *self, vigil_fd fd, const vigil_addr *addr)
{
    (void)self;
    struct sockaddr_storage system;
    unsigned length = vigil__addr_to_system(addr, &system);
    if (length == 0)
        return VIGIL_EADDR;
    return status(bind(fd, (const struct sockaddr *)&system, (int)length));
}

static int host_listen(void *self, vigil_fd fd, int backlog)
{
    (void)self;
    return status(listen(fd, backlog));
}

/* One that was accepted may not have its listener's TCP_NODELAY, and is inherited by programs. */
static int host_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    (void)self;
    SOCKET fd = accept(listener, NULL, NULL);
    if (fd == INVALID_SOCKET)
        return last_status();
    (void)SetHandleInformation((HANDLE)fd, HANDLE_FLAG_INHERIT, 0); /* no harm to us if it fails */
    (void)set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);                 /* slower without, not wrong */
    return socket_finish(fd, out);
}

static int host_connect(void *self, vigil_fd fd, const vigil_addr *addr)
{
    (void)self;
    struct sockaddr_storage system;
    unsigned length = vigil__addr_to_system(addr, &system);
    if (length == 0)
        return VIGIL_EADDR;
    return status(connect(fd, (const struct sockaddr *)&system, (int)length));
}

static int host_socket_error(void *self, vigil_fd fd)
{
    (void)self;
    int error = 0;
    int length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, (char *)&error, &length) != 0)
        return last_status();
    return error == 0 ? 0 : vigil__status_of(error);
}

ptrdiff_t vigil__call_recv(vigil_fd fd, void *p, size_t n)
{
    int got = recv(fd, p, (int)n, 0);
    return got < 0 ? last_status() : got;
}

static int host_recv(void *self, vigil_fd fd, void *p, size_t n)
{
    (void)self;
    return (int)vigil__call_recv(fd, p, n);
}

/* Winsock's pieces are not ours: their lengths are of 32 bits.  A count fits an int. */
static DWORD pieces_of(const vigil_iov *iov, size_t count, WSABUF pieces[PIECES_MAX])
{
    size_t left = INT_MAX;
    DWORD n = 0;
    for (; n < count && n < PIECES_MAX && left > 0; n++) {
        size_t len = vigil__min(iov[n].len, left);
        pieces[n].buf = (char *)(uintptr_t)iov[n].base; /* it is only read */
        pieces[n].len = (ULONG)len;
        left -= len;
    }
    return n;
}

static int host_sendv(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    (void)self;
    WSABUF pieces[PIECES_MAX];
    DWORD sent = 0;
    DWORD n = pieces_of(iov, count, pieces);
    if (WSASend(fd, pieces, n, &sent, 0, NULL, NULL) != 0)
        return last_status();
    return (int)sent;
}

static int host_send(void *self, vigil_fd fd, const void *p, size_t n)
{
    return host_sendv(self, fd, &(vigil_iov){ p, n }, 1);
}

ptrdiff_t vigil__call_send(vigil_fd fd, const void *p, size_t n)
{
    return host_send(NULL, fd, p, n);
}

static int host_shutdown(void *self, vigil_fd fd)
{
    (void)self;
    return status(shutdown(fd, SD_SEND));
}

static int set_keepalive(vigil_fd fd, int value)
{
    if (value <= 1)
        return set_int(fd, SOL_SOCKET, SO_KEEPALIVE, value != 0);
    struct tcp_keepalive keepalive = { .onoff = 1,
                                       .keepalivetime = (ULONG)value * MS_PER_S,
                                       .keepaliveinterval = KEEPALIVE_INTERVAL_MS };
    DWORD length;
    return status(WSAIoctl(fd, SIO_KEEPALIVE_VALS, &keepalive, sizeof keepalive, NULL, 0, &length,
                           NULL, NULL));
}

static int set_reset(vigil_fd fd, bool on)
{
    struct linger linger = { .l_onoff = on, .l_linger = 0 };
    return status(setsockopt(fd, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof linger));
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
        /* What others have by SO_REUSEADDR, a port whose last connections are not forgotten yet,
         * Windows has always; its own SO_REUSEADDR lets a stranger take a port in use. */
        return set_int(fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, value);
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
    int length = sizeof system;
    if (getsockname(fd, (struct sockaddr *)&system, &length) != 0)
        return last_status();
    vigil__addr_from_system(out, &system, (unsigned)length);
    return 0;
}

static int host_peer(void *self, vigil_fd fd, vigil_addr *out)
{
    (void)self;
    struct sockaddr_storage system;
    int length = sizeof system;
    if (getpeername(fd, (struct sockaddr *)&system, &length) != 0)
        return last_status();
    vigil__addr_from_system(out, &system, (unsigned)length);
    return 0;
}

/* ---- any descriptor ----------------------------------------------------------------------- */

static int host_read(void *self, vigil_fd fd, void *p, size_t n)
{
    (void)self, (void)fd, (void)p, (void)n;
    return VIGIL_ENOTSUP;
}

static int host_writev(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    (void)self, (void)fd, (void)iov, (void)count;
    return VIGIL_ENOTSUP;
}

/* Of a file's handle.  Its position moves, which it does not on POSIX. */
static int host_pread(void *self, vigil_fd fd, void *p, size_t n, int64_t offset)
{
    (void)self;
    DWORD got = 0;
    OVERLAPPED at = { .Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32) };
    BOOL good = ReadFile((HANDLE)fd, p, (DWORD)vigil__min(n, INT_MAX), &got, &at);
    if (!good && GetLastError() == ERROR_IO_PENDING)
        good = GetOverlappedResult((HANDLE)fd, &at, &got, TRUE);
    if (good || GetLastError() == ERROR_HANDLE_EOF)
        return (int)got;
    return vigil__status_of((int)GetLastError());
}

static int host_close(void *self, vigil_fd fd)
{
    (void)self;
    return status(closesocket(fd));
}

static bool has_int(vigil_fd fd, int name, int want)
{
    int value = 0;
    int length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, (char *)&value, &length) == 0 && value == want;
}

static int host_describe(void *self, vigil_fd fd, struct vigil__fd_info *out)
{
    (void)self;
    int err = vigil__call_check_fd(fd);
    if (err == 0)
        err = set_nonblocking(fd);
    if (err < 0)
        return err;
    out->nonblocking = true;
    if (!has_int(fd, SO_TYPE, SOCK_STREAM))
        out->kind = VIGIL__FD_OTHER;
    else
        out->kind = has_int(fd, SO_ACCEPTCONN, 1) ? VIGIL__FD_LISTENER : VIGIL__FD_SOCKET;
    return 0;
}

static int host_reopen(void *self, vigil_fd fd)
{
    (void)self, (void)fd;
    return VIGIL_ENOTSUP;
}

static int host_file_size(void *self, vigil_fd fd, int64_t *out)
{
    (void)self;
    LARGE_INTEGER size;
    if (GetFileType((HANDLE)fd) != FILE_TYPE_DISK || !GetFileSizeEx((HANDLE)fd, &size))
        return VIGIL_EBADF;
    *out = size.QuadPart;
    return 0;
}

/* ---- names -------------------------------------------------------------------------------- */

static int host_path_identity(void *self, const char *path, uint64_t identity[2])
{
    (void)self, (void)path, (void)identity;
    return VIGIL_ENOTSUP;
}

static int host_path_mode(void *self, const char *path, unsigned mode)
{
    (void)self, (void)path, (void)mode;
    return VIGIL_ENOTSUP;
}

static int host_unlink(void *self, const char *path)
{
    (void)self, (void)path;
    return VIGIL_ENOTSUP;
}

static int host_resolve(void *self, const char *name, uint16_t port, vigil_addr *out, int max)
{
    (void)self;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error != 0) /* nobody knows the name, or nobody who could be asked does */
        return error == EAI_MEMORY ? VIGIL_ENOMEM : VIGIL_ENOENT;
    int count = 0;
    for (struct addrinfo *at = found; at != NULL && count < max; at = at->ai_next) {
        struct sockaddr_storage system = { 0 };
        memcpy(&system, at->ai_addr, vigil__min(at->ai_addrlen, sizeof system));
        vigil__addr_from_system(&out[count], &system, (unsigned)at->ai_addrlen);
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
    .reopen = host_reopen,
    .file_size = host_file_size,
    .path_identity = host_path_identity,
    .path_mode = host_path_mode,
    .unlink = host_unlink,
    .resolve = host_resolve,
    .signal_add = vigil__signal_add,
    .signal_remove = vigil__signal_remove,
};

static BOOL CALLBACK winsock_begin(INIT_ONCE *once, void *arg, void **context)
{
    (void)once, (void)arg, (void)context;
    WSADATA found;
    (void)WSAStartup(MAKEWORD(2, 2), &found); /* else every call of Winsock's says that it failed */
    return TRUE;
}

/* Winsock is begun with the first loop or poller, and stays until the process ends. */
const vigil_host *vigil__host_system(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    (void)InitOnceExecuteOnce(&once, winsock_begin, NULL, NULL); /* ours always answers TRUE */
    return &system_host;
}

bool vigil__host_is_plain(const vigil_host *host)
{
    return host->recv == host_recv && host->send == host_send;
}

#endif
