/* SPDX-License-Identifier: MIT
 *
 * message_calls.h -- the two calls that every message takes, without the host table.  Floor: sys.
 *
 * The table's recv and send are these two.  Who finds by vigil__host_is_plain() that a host has
 * them may make them directly, for the instructions that this saves with every message.  Any other
 * host, a simulated one, is asked by its table.
 */
#ifndef VIGIL_MESSAGE_CALLS_H
#define VIGIL_MESSAGE_CALLS_H

#include "sys/host.h"

#ifdef _WIN32

ptrdiff_t vigil__call_recv(vigil_fd fd, void *p, size_t n);
ptrdiff_t vigil__call_send(vigil_fd fd, const void *p, size_t n);

#else

#include <sys/socket.h>

#ifndef MSG_NOSIGNAL /* macOS: each socket is told once, by the host table */
#define MSG_NOSIGNAL 0
#define VIGIL__SIGPIPE_BY_SOCKET
#endif

/* Why such a call failed, which never waits. */
VIGIL_COLD int vigil__call_failed(void);

static inline ptrdiff_t vigil__call_recv(vigil_fd fd, void *p, size_t n)
{
    ssize_t got = recv(fd, p, n, MSG_DONTWAIT);
    if (VIGIL_LIKELY(got > 0)) /* what the caller asks first, and then need not again */
        return got;
    return got == 0 ? 0 : vigil__call_failed();
}

static inline ptrdiff_t vigil__call_send(vigil_fd fd, const void *p, size_t n)
{
    ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (VIGIL_LIKELY((size_t)sent == n))
        return sent;
    return sent >= 0 ? sent : vigil__call_failed();
}

#endif

#endif
