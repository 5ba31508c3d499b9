/* SPDX-License-Identifier: MIT
 *
 * os_error_windows.c -- os_error.c's counterpart on Windows: error numbers of Winsock and of the
 * system, turned into our statuses.  Floor: sys.
 *
 * This is where WSAGetLastError() and GetLastError() die: no file above this floor reads them.
 */
#ifdef _WIN32

#include <winsock2.h> /* before all others of Windows */

#include <windows.h>

#include "sys/host.h"

static _Thread_local int last_os_error;

static int status_of_system(int os_error);

int vigil_os_error(void)
{
    return last_os_error;
}

int vigil__status_of(int os_error)
{
    last_os_error = os_error;
    switch (os_error) {
    case WSAEWOULDBLOCK:
        return VIGIL__EAGAIN;
    case WSAECONNRESET: /* the peer is gone, whichever of these the system says */
    case WSAECONNABORTED:
    case WSAENETRESET:
    case WSAESHUTDOWN:
        return VIGIL_ECONNRESET;
    case WSAECONNREFUSED:
        return VIGIL_ECONNREFUSED;
    case WSAETIMEDOUT:
        return VIGIL_ETIMEDOUT;
    case WSAENETDOWN:
    case WSAENETUNREACH:
    case WSAEHOSTDOWN:
    case WSAEHOSTUNREACH:
        return VIGIL_EUNREACH;
    case WSAEADDRNOTAVAIL:
    case WSAEAFNOSUPPORT:
    case WSAENAMETOOLONG:
        return VIGIL_EADDR;
    case WSAEADDRINUSE:
        return VIGIL_EADDRINUSE;
    case WSAENOTCONN:
    case WSAEDESTADDRREQ:
        return VIGIL_ENOTCONN;
    case WSAEISCONN:
        return VIGIL_EEXIST;
    case WSAEMFILE:
        return VIGIL_EMFILE;
    case WSAENOBUFS:
        return VIGIL_ENOBUFS;
    case WSAEACCES:
        return VIGIL_EACCES;
    case WSAEBADF:
        return VIGIL_EBADF;
    case WSAEINVAL:
    case WSAEFAULT:
        return VIGIL_EINVAL;
    case WSAENOTSOCK: /* an open handle: who meets a closed one has asked vigil__call_check_fd() */
    case WSAEOPNOTSUPP:
    case WSAENOPROTOOPT:
    case WSAEPROTONOSUPPORT:
    case WSAESOCKTNOSUPPORT:
    case WSASYSNOTREADY:
    case WSAVERNOTSUPPORTED:
    case WSANOTINITIALISED:
        return VIGIL_ENOTSUP;
    case WSAEPROTOTYPE:
        return VIGIL_EPROTO;
    case WSAHOST_NOT_FOUND:
    case WSANO_DATA:
        return VIGIL_ENOENT;
    default:
        return status_of_system(os_error);
    }
}

static int status_of_system(int os_error)
{
    switch (os_error) {
    case ERROR_INVALID_HANDLE:
        return VIGIL_EBADF;
    case ERROR_INVALID_PARAMETER:
        return VIGIL_EINVAL;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_NOT_ENOUGH_QUOTA:
        return VIGIL_ENOMEM;
    case ERROR_TOO_MANY_OPEN_FILES:
        return VIGIL_EMFILE;
    case ERROR_ACCESS_DENIED:
        return VIGIL_EACCES;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        return VIGIL_ENOENT;
    case ERROR_INVALID_FUNCTION:
    case ERROR_NOT_SUPPORTED:
    case ERROR_CALL_NOT_IMPLEMENTED:
        return VIGIL_ENOTSUP;
    case ERROR_OPERATION_ABORTED:
        return VIGIL_ECANCELED;
    case ERROR_NETNAME_DELETED:
        return VIGIL_ECONNRESET;
    default:
        return VIGIL_ESYS;
    }
}

#endif
