/* SPDX-License-Identifier: MIT
 *
 * tutorial_windows.h -- the few calls of POSIX that the tutorial's programs make, on Windows: each
 * is one of Winsock's, with its error in errno.
 */
#ifndef TUTORIAL_WINDOWS_H
#define TUTORIAL_WINDOWS_H

#include <winsock2.h> /* before all others of Windows */

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <ws2tcpip.h>

#include "vigil.h"

typedef unsigned short in_port_t;

enum { MSG_NOSIGNAL = 0 }; /* there is no SIGPIPE */

/* Winsock works between these two; lines end as everywhere. */
__attribute__((constructor)) static void winsock_begin(void)
{
    WSADATA found;
    (void)WSAStartup(MAKEWORD(2, 2), &found); /* else the first call says so */
    (void)_setmode(_fileno(stderr), _O_BINARY);
    (void)setvbuf(stderr, NULL, _IONBF, 0); /* this C library knows no line by line */
}

static inline int errno_of(int error)
{
    switch (error) {
    case WSAEWOULDBLOCK:
        return EAGAIN;
    case WSAEMFILE:
        return EMFILE;
    case WSAENOBUFS:
        return ENOBUFS;
    case WSAECONNREFUSED:
        return ECONNREFUSED;
    case WSAECONNRESET:
    case WSAECONNABORTED:
        return ECONNRESET;
    case WSAEADDRINUSE:
        return EADDRINUSE;
    default:
        return EIO;
    }
}

/* This C library has no words for the errors of sockets; these are Linux's. */
static inline const char *posix_strerror(int error)
{
    switch (error) {
    case EAGAIN:
        return "Resource temporarily unavailable";
    case EMFILE:
        return "Too many open files";
    case ENOBUFS:
        return "No buffer space available";
    case ECONNREFUSED:
        return "Connection refused";
    case ECONNRESET:
        return "Connection reset by peer";
    case EADDRINUSE:
        return "Address already in use";
    default:
        return "Input/output error";
    }
}

/* Answers what the call did, and sets errno if it failed. */
static inline int noted(int result)
{
    if (result < 0)
        errno = errno_of(WSAGetLastError());
    return result;
}

static inline ssize_t posix_recv(vigil_fd fd, void *p, size_t n, int flags)
{
    return noted(recv(fd, p, (int)n, flags));
}

static inline ssize_t posix_send(vigil_fd fd, const void *p, size_t n, int flags)
{
    return noted(send(fd, p, (int)n, flags));
}

static inline int posix_bind(vigil_fd fd, const struct sockaddr *address, socklen_t size)
{
    return noted(bind(fd, address, size));
}

static inline int posix_listen(vigil_fd fd, int backlog)
{
    return noted(listen(fd, backlog));
}

static inline int posix_connect(vigil_fd fd, const struct sockaddr *address, socklen_t size)
{
    return noted(connect(fd, address, size));
}

static inline vigil_fd posix_accept(vigil_fd fd, struct sockaddr *address, socklen_t *size)
{
    vigil_fd accepted = accept(fd, address, size);
    (void)noted(accepted == VIGIL_FD_NONE ? -1 : 0);
    return accepted;
}

static inline int posix_setsockopt(vigil_fd fd, int level, int name, const void *value,
                                   socklen_t size)
{
    if (name == SO_REUSEADDR)
        return 0; /* Windows does so without, and means something else by it */
    return noted(setsockopt(fd, level, name, value, size));
}

static inline bool set_nonblocking(vigil_fd fd)
{
    u_long on = 1;
    return noted(ioctlsocket(fd, (long)FIONBIO, &on)) == 0;
}

#define recv       posix_recv
#define send       posix_send
#define accept     posix_accept
#define bind       posix_bind
#define connect    posix_connect
#define listen     posix_listen
#define setsockopt posix_setsockopt
#define close      closesocket
#define strerror   posix_strerror

#endif
