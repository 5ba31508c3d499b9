/* SPDX-License-Identifier: MIT
 *
 * os_error.c -- the system's error numbers, turned into our statuses.  Floor: sys.
 *
 * This is where errno dies: no file above this floor reads it.
 */
#ifndef _WIN32

#include <errno.h>

#include "sys/host.h"

static _Thread_local int last_os_error;

static int status_of_network(int os_error);

int vigil_os_error(void)
{
    return last_os_error;
}

int vigil__status_of(int os_error)
{
    last_os_error = os_error;
#if EAGAIN != EWOULDBLOCK
    if (os_error == EWOULDBLOCK)
        return VIGIL__EAGAIN;
#endif
#if EOPNOTSUPP != ENOTSUP
    if (os_error == EOPNOTSUPP)
        return VIGIL_ENOTSUP;
#endif
    switch (os_error) {
    case EAGAIN:
        return VIGIL__EAGAIN;
    case EBADF:
        return VIGIL_EBADF;
    case EINVAL:
        return VIGIL_EINVAL;
    case ENOMEM:
        return VIGIL_ENOMEM;
    case EMFILE:
    case ENFILE:
        return VIGIL_EMFILE;
    case EACCES:
    case EPERM:
    case EROFS:
        return VIGIL_EACCES;
    case ENOENT:
    case ENOTDIR:
        return VIGIL_ENOENT;
    case EEXIST:
        return VIGIL_EEXIST;
    case EBUSY:
        return VIGIL_EBUSY;
    case ENOSYS:
    case ENOTSUP:
    case ENOTTY:
    case ENODEV:
    case ENXIO:
    case ESPIPE:
        return VIGIL_ENOTSUP;
    case ECANCELED:
        return VIGIL_ECANCELED;
    default:
        return status_of_network(os_error);
    }
}

static int status_of_network(int os_error)
{
    switch (os_error) {
    case EPIPE: /* the peer is gone, whichever of the three the system says */
    case ECONNRESET:
    case ECONNABORTED:
        return VIGIL_ECONNRESET;
    case ECONNREFUSED:
        return VIGIL_ECONNREFUSED;
    case ETIMEDOUT:
        return VIGIL_ETIMEDOUT;
    case ENETDOWN:
    case ENETUNREACH:
    case ENETRESET:
    case EHOSTUNREACH:
#ifdef EHOSTDOWN
    case EHOSTDOWN:
#endif
#ifdef ENONET
    case ENONET:
#endif
        return VIGIL_EUNREACH;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case ENAMETOOLONG: /* of a Unix socket's path */
        return VIGIL_EADDR;
    case EADDRINUSE:
        return VIGIL_EADDRINUSE;
    case ENOTCONN:
    case EDESTADDRREQ:
        return VIGIL_ENOTCONN;
    case EISCONN:
        return VIGIL_EEXIST;
    case ENOBUFS:
        return VIGIL_ENOBUFS;
    case ENOTSOCK:
        return VIGIL_EINVAL;
    case EPROTO:
    case EPROTOTYPE:
        return VIGIL_EPROTO;
    case ENOPROTOOPT:
    case EPROTONOSUPPORT:
        return VIGIL_ENOTSUP;
    default:
        return VIGIL_ESYS;
    }
}

#endif
