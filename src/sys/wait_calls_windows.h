/* SPDX-License-Identifier: MIT
 *
 * wait_calls_windows.h -- the calls that wait, as Windows has them.  Floor: sys.
 *
 * Beside what wait_calls.h has for every system.  Answers are counts or negative statuses.
 */
#ifndef VIGIL_WAIT_CALLS_WINDOWS_H
#define VIGIL_WAIT_CALLS_WINDOWS_H

#include "base/base.h"

/* ---- Winsock's select ---- */

/* A list of sockets of any length, laid out as an fd_set: the number, then the sockets. */
struct vigil__socket_list {
    unsigned count;
    vigil_fd fds[];
};

/* The size of a list with room for so many. */
static inline size_t vigil__socket_list_size(size_t room)
{
    return offsetof(struct vigil__socket_list, fds) + room * sizeof(vigil_fd);
}

/* Leaves in each list what is ready.  All three empty: sleeps.  VIGIL_EBADF, VIGIL_ENOTSUP: one of
 * them is closed, or no socket; the lists' contents are then undefined. */
int vigil__call_select_sockets(struct vigil__socket_list *in, struct vigil__socket_list *out,
                               struct vigil__socket_list *except, vigil_ns timeout_ns);

/* Whether a socket has a peer: 0; VIGIL_ENOTCONN; VIGIL_EBADF, VIGIL_ENOTSUP as check_fd. */
int vigil__call_check_peer(vigil_fd fd);

/* ---- completion ports ---- */

/* What a port tells.  The address of a request names a poll; NULL is a post. */
struct vigil__completion {
    struct vigil__afd_request *request;
};

int vigil__call_port_open(uintptr_t *port);
/* Any thread.  0 or VIGIL_ENOMEM. */
int vigil__call_port_post(uintptr_t port);
/* Answers how many, at most `max`, at most VIGIL__COMPLETIONS_MAX; 0: the time has passed. */
enum { VIGIL__COMPLETIONS_MAX = 128 };
int vigil__call_port_wait(uintptr_t port, struct vigil__completion *completions, int max,
                          vigil_ns timeout_ns);
void vigil__call_handle_close(uintptr_t handle);

/* ---- polling at the driver of sockets ---- */

enum { /* what \Device\Afd can be asked for, and tells */
       VIGIL__AFD_RECEIVE = 0x001,
       VIGIL__AFD_RECEIVE_URGENT = 0x002,
       VIGIL__AFD_SEND = 0x004,
       VIGIL__AFD_DISCONNECT = 0x008, /* the peer is done sending */
       VIGIL__AFD_ABORT = 0x010,      /* reset */
       VIGIL__AFD_LOCAL_CLOSE = 0x020,
       VIGIL__AFD_ACCEPT = 0x080,
       VIGIL__AFD_CONNECT_FAIL = 0x100,
};

/* One poll of one socket.  From its start until its completion was taken from the port it is the
 * system's: it must neither move nor be freed. */
struct vigil__afd_request {
    uintptr_t io[2]; /* an IO_STATUS_BLOCK */
    int64_t timeout; /* from here on the driver's list, of one */
    uint32_t count;
    uint32_t exclusive;
    uintptr_t socket;
    uint32_t events;
    int32_t status;
};

/* A handle of the driver, whose completions come to `port`.  VIGIL_ENOTSUP: not to be had here. */
int vigil__call_afd_open(uintptr_t port, uintptr_t *afd);
/* The socket that the driver knows below those that somebody has put in front of it. */
int vigil__call_afd_base(vigil_fd fd, uintptr_t *base);
/* Begins a poll of request->socket for request->events.  0: one completion follows, whatever is
 * true already and also when the driver refuses, which its result then tells.  VIGIL_ENOMEM: none
 * does. */
int vigil__call_afd_poll(uintptr_t afd, uintptr_t port, struct vigil__afd_request *request);
/* Hurries the completion. */
void vigil__call_afd_cancel(uintptr_t afd, struct vigil__afd_request *request);
/* What a completed poll tells: event bits, 0 for nothing yet or canceled, or a status. */
int vigil__call_afd_result(const struct vigil__afd_request *request);

#endif
