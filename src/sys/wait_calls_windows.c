/* SPDX-License-Identifier: MIT
 *
 * wait_calls_windows.c -- the calls that wait, and what belongs to them, on Windows.  Floor: sys.
 *
 * One function is one system call and a translation of its arguments, but for the waits: Windows
 * wakes up to one tick of its clock early, so they wait again for what is left.  Error numbers end
 * here.  A test program links a model of a kernel in place of this file.
 */
#ifdef _WIN32

#include "sys/wait_calls_windows.h"

#include <winsock2.h> /* before all others of Windows */

#include <mswsock.h>
#include <windows.h>
#include <winternl.h>
#include <ws2tcpip.h>

#include <limits.h>
#include <stdlib.h>

#include "sys/host.h"
#include "sys/wait_calls.h"

#define NS_PER_S  1000000000
#define NS_PER_MS 1000000
#define NS_PER_US 1000
#define US_PER_S  1000000

#define IOCTL_AFD_POLL 0x00012024

_Static_assert(offsetof(struct vigil__socket_list, fds) == offsetof(fd_set, fd_array), "fd_set");
_Static_assert(sizeof(vigil_fd) == sizeof(SOCKET), "fd_set");
_Static_assert(sizeof(IO_STATUS_BLOCK) == 2 * sizeof(uintptr_t), "the request's first member");

#ifndef STATUS_CANCELLED
#define STATUS_CANCELLED ((NTSTATUS)0xC0000120L)
#endif

/* Exported by every ntdll since Windows Vista, and declared nowhere. */
NTSTATUS NTAPI NtCancelIoFileEx(HANDLE handle, IO_STATUS_BLOCK *request, IO_STATUS_BLOCK *result);

/* ---- the clock and descriptors ------------------------------------------------------------- */

vigil_ns vigil__call_now(void)
{
    static _Atomic int64_t per_second; /* fixed when the machine boots, and never 0 */
    int64_t frequency = atomic_load_explicit(&per_second, memory_order_relaxed);
    LARGE_INTEGER value;
    if (frequency == 0) {
        (void)QueryPerformanceFrequency(
            &value); /* cannot fail since Windows XP, nor can the next */
        frequency = value.QuadPart;
        atomic_store_explicit(&per_second, frequency, memory_order_relaxed);
    }
    (void)QueryPerformanceCounter(&value);
    return value.QuadPart / frequency * NS_PER_S +
           value.QuadPart % frequency * NS_PER_S / frequency;
}

static vigil_ns deadline_of(vigil_ns timeout_ns)
{
    return timeout_ns == VIGIL_NOWAIT ? 0 : vigil__time_add(vigil__call_now(), timeout_ns);
}

/* Milliseconds until `deadline`, rounded up; INFINITE for ever; 0: it has passed. */
static DWORD milliseconds_left(vigil_ns deadline)
{
    if (deadline == VIGIL_FOREVER)
        return INFINITE;
    if (deadline == 0)
        return 0;
    vigil_ns left = deadline - vigil__call_now();
    if (left <= 0)
        return 0;
    vigil_ns ms = left / NS_PER_MS + (left % NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (DWORD)ms;
}

/* WSAENOTSOCK is what Winsock says of a closed handle, too. */
static int status_of_socket(vigil_fd fd)
{
    int error = WSAGetLastError();
    DWORD flags;
    if (error == WSAENOTSOCK && !GetHandleInformation((HANDLE)fd, &flags))
        error = WSAEBADF;
    return vigil__status_of(error);
}

int vigil__call_check_fd(vigil_fd fd)
{
    int type;
    int length = sizeof(type);
    if (!vigil__fd_valid(fd))
        return VIGIL_EBADF;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, (char *)&type, &length) == 0)
        return 0;
    return status_of_socket(fd);
}

int vigil__call_check_peer(vigil_fd fd)
{
    struct sockaddr_storage peer;
    int length = sizeof(peer);
    return getpeername(fd, (struct sockaddr *)&peer, &length) == 0 ? 0 : status_of_socket(fd);
}

void vigil__call_handle_close(uintptr_t handle)
{
    (void)CloseHandle((HANDLE)handle); /* one of ours, and open */
}

/* ---- select ------------------------------------------------------------------------------- */

static int select_once(struct vigil__socket_list *lists[3], vigil_ns left_ns)
{
    fd_set *sets[3];
    for (int i = 0; i < 3; i++)
        sets[i] = lists[i]->count > 0 ? (fd_set *)(void *)lists[i] : NULL;
    vigil_ns us = left_ns / NS_PER_US + (left_ns % NS_PER_US != 0);
    vigil_ns seconds = us / US_PER_S;
    struct timeval timeout = { .tv_sec = seconds > LONG_MAX ? LONG_MAX : (long)seconds,
                               .tv_usec = (long)(us % US_PER_S) };
    int n = select(0, sets[0], sets[1], sets[2], left_ns == VIGIL_FOREVER ? NULL : &timeout);
    if (n >= 0)
        return n;
    int error = WSAGetLastError();
    return vigil__status_of(error == WSAENOTSOCK ? WSAEBADF : error);
}

int vigil__call_select_sockets(struct vigil__socket_list *in, struct vigil__socket_list *out,
                               struct vigil__socket_list *except, vigil_ns timeout_ns)
{
    struct vigil__socket_list *lists[3] = { in, out, except };
    if (in->count > 0 || out->count > 0 || except->count > 0)
        return select_once(lists, timeout_ns);
    vigil_ns deadline = deadline_of(timeout_ns); /* Winsock refuses to sleep without a socket */
    for (DWORD ms; (ms = milliseconds_left(deadline)) != 0;)
        Sleep(ms);
    return 0;
}

/* ---- poll, by select ---------------------------------------------------------------------- */

enum { POLL_ON_STACK = 64 };

/* Who waits for what is told by an exception. */
static unsigned exceptions_of(bool connected)
{
    return connected ? VIGIL_PRI : VIGIL_IN | VIGIL_OUT;
}

/* What select is asked of one entry, and whether the socket has a peer.  An exception is a failed
 * connect for one that has none, which ends a wait for IN and OUT; for others it is urgent data, of
 * which only those may be told who asked. */
static void poll_ask(vigil_pollfd *entry, struct vigil__socket_list *lists[3], bool *connected)
{
    entry->revents = 0;
    if (!vigil__fd_valid(entry->fd)) {
        entry->revents = (intptr_t)entry->fd < 0 ? 0 : VIGIL_NVAL;
        return;
    }
    int status = vigil__call_check_peer(entry->fd);
    *connected = status != VIGIL_ENOTCONN;
    if (status == VIGIL_EBADF || status == VIGIL_ENOTSUP) {
        entry->revents = VIGIL_NVAL;
        return;
    }
    if (entry->events & VIGIL_IN)
        lists[0]->fds[lists[0]->count++] = entry->fd;
    if (entry->events & VIGIL_OUT)
        lists[1]->fds[lists[1]->count++] = entry->fd;
    if (entry->events & exceptions_of(*connected))
        lists[2]->fds[lists[2]->count++] = entry->fd;
}

/* Whether select left `fd` in the list: mostly it is the one behind the last that was found. */
static bool poll_left(const struct vigil__socket_list *list, unsigned *next, vigil_fd fd)
{
    for (unsigned i = 0; i < list->count; i++) {
        unsigned at = (*next + i) % list->count;
        if (list->fds[at] == fd) {
            *next = at + 1;
            return true;
        }
    }
    return false;
}

static int poll_answer(vigil_pollfd *fds, size_t count, struct vigil__socket_list *lists[3],
                       const bool *connected)
{
    unsigned next[3] = { 0 };
    int ready = 0;
    for (size_t i = 0; i < count; i++) {
        vigil_pollfd *entry = &fds[i];
        if (entry->revents == 0 && vigil__fd_valid(entry->fd)) {
            unsigned events = 0;
            if ((entry->events & VIGIL_IN) && poll_left(lists[0], &next[0], entry->fd))
                events |= VIGIL_IN;
            if ((entry->events & VIGIL_OUT) && poll_left(lists[1], &next[1], entry->fd))
                events |= VIGIL_OUT;
            if ((entry->events & exceptions_of(connected[i])) &&
                poll_left(lists[2], &next[2], entry->fd))
                events |= entry->events & exceptions_of(connected[i]);
            entry->revents = (uint16_t)events;
        }
        ready += entry->revents != 0;
    }
    return ready;
}

int vigil__call_poll(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns)
{
    size_t one = vigil__socket_list_size(count > POLL_ON_STACK ? count : POLL_ON_STACK);
    _Alignas(uintptr_t) char on_stack[3 * (sizeof(uintptr_t) * (POLL_ON_STACK + 1))];
    bool connected_on_stack[POLL_ON_STACK];
    char *memory = count > POLL_ON_STACK ? malloc(3 * one + count) : on_stack;
    if (memory == NULL)
        return VIGIL_ENOMEM;
    bool *connected = count > POLL_ON_STACK ? (bool *)(memory + 3 * one) : connected_on_stack;
    struct vigil__socket_list *lists[3];
    bool ready = false;
    for (size_t i = 0; i < 3; i++) {
        lists[i] = (struct vigil__socket_list *)(void *)(memory + i * one);
        lists[i]->count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        poll_ask(&fds[i], lists, &connected[i]);
        ready |= fds[i].revents != 0;
    }
    int n = vigil__call_select_sockets(lists[0], lists[1], lists[2],
                                       ready ? VIGIL_NOWAIT : timeout_ns);
    if (n >= 0)
        n = poll_answer(fds, count, lists, connected);
    if (memory != on_stack)
        free(memory);
    return n;
}

/* ---- the waker: a socket that talks to itself ---------------------------------------------- */

static int waker_connect(SOCKET fd)
{
    struct sockaddr_in self = { .sin_family = AF_INET };
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int length = sizeof(self);
    u_long on = 1;
    if (bind(fd, (struct sockaddr *)&self, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&self, &length) != 0 ||
        connect(fd, (struct sockaddr *)&self, length) != 0 ||
        ioctlsocket(fd, (long)FIONBIO, &on) != 0)
        return vigil__status_of(WSAGetLastError());
    return 0;
}

int vigil__call_waker_open(struct vigil__waker *waker)
{
    SOCKET fd = WSASocketW(AF_INET, SOCK_DGRAM, 0, NULL, 0,
                           WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (fd == INVALID_SOCKET)
        return vigil__status_of(WSAGetLastError());
    int err = waker_connect(fd);
    if (err < 0) {
        (void)closesocket(fd);
        return err;
    }
    *waker = (struct vigil__waker){ .read_fd = fd, .write_fd = fd };
    return 0;
}

int vigil__call_waker_signal(const struct vigil__waker *waker)
{
    if (send(waker->write_fd, "w", 1, 0) == 1)
        return 0;
    int err = vigil__status_of(WSAGetLastError());
    return err == VIGIL__EAGAIN ? 0 : err; /* full: it is readable already */
}

void vigil__call_waker_drain(const struct vigil__waker *waker)
{
    char scratch[8];
    while (recv(waker->read_fd, scratch, sizeof(scratch), 0) > 0)
        continue;
}

void vigil__call_waker_close(struct vigil__waker *waker)
{
    (void)closesocket(waker->read_fd); /* one of ours; what was sent to itself is of no use */
    *waker = (struct vigil__waker){ .read_fd = VIGIL_FD_NONE, .write_fd = VIGIL_FD_NONE };
}

/* ---- completion ports ---------------------------------------------------------------------- */

int vigil__call_port_open(uintptr_t *port)
{
    HANDLE handle = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    if (handle == NULL)
        return vigil__status_of((int)GetLastError());
    *port = (uintptr_t)handle;
    return 0;
}

int vigil__call_port_post(uintptr_t port)
{
    if (PostQueuedCompletionStatus((HANDLE)port, 0, 0, NULL))
        return 0;
    return vigil__status_of((int)GetLastError());
}

int vigil__call_port_wait(uintptr_t port, struct vigil__completion *completions, int max,
                          vigil_ns timeout_ns)
{
    OVERLAPPED_ENTRY entries[VIGIL__COMPLETIONS_MAX];
    vigil_ns deadline = deadline_of(timeout_ns);
    ULONG room = (ULONG)(max < VIGIL__COMPLETIONS_MAX ? max : VIGIL__COMPLETIONS_MAX);
    ULONG n = 0;
    DWORD ms;
    do {
        ms = milliseconds_left(deadline);
        if (!GetQueuedCompletionStatusEx((HANDLE)port, entries, room, &n, ms, FALSE)) {
            n = 0;
            if (GetLastError() != WAIT_TIMEOUT)
                return vigil__status_of((int)GetLastError());
        }
    } while (n == 0 && ms != 0);
    for (ULONG i = 0; i < n; i++)
        completions[i].request = (struct vigil__afd_request *)(void *)entries[i].lpOverlapped;
    return (int)n;
}

/* ---- polling at the driver ------------------------------------------------------------------ */

int vigil__call_afd_open(uintptr_t port, uintptr_t *afd)
{
    static WCHAR name[] = L"\\Device\\Afd\\vigil";
    UNICODE_STRING path = { .Length = sizeof(name) - sizeof(name[0]),
                            .MaximumLength = sizeof(name),
                            .Buffer = name };
    OBJECT_ATTRIBUTES attributes = { .Length = sizeof(attributes), .ObjectName = &path };
    IO_STATUS_BLOCK io;
    HANDLE handle;
    NTSTATUS status = NtCreateFile(&handle, SYNCHRONIZE, &attributes, &io, NULL, 0,
                                   FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, NULL, 0);
    if (status < 0) {
        int err = vigil__status_of((int)RtlNtStatusToDosError(status));
        return err == VIGIL_ENOMEM || err == VIGIL_EMFILE ? err : VIGIL_ENOTSUP;
    }
    if (CreateIoCompletionPort(handle, (HANDLE)port, 0, 0) == NULL) {
        int err = vigil__status_of((int)GetLastError());
        (void)CloseHandle(handle);
        return err;
    }
    *afd = (uintptr_t)handle;
    return 0;
}

int vigil__call_afd_base(vigil_fd fd, uintptr_t *base)
{
    SOCKET below = INVALID_SOCKET;
    DWORD length;
    if (WSAIoctl(fd, SIO_BASE_HANDLE, NULL, 0, &below, sizeof(below), &length, NULL, NULL) != 0)
        return status_of_socket(fd);
    *base = below;
    return 0;
}

static IO_STATUS_BLOCK *io_of(struct vigil__afd_request *request)
{
    return (IO_STATUS_BLOCK *)(void *)request->io;
}

int vigil__call_afd_poll(uintptr_t afd, uintptr_t port, struct vigil__afd_request *request)
{
    const ULONG size = sizeof(*request) - offsetof(struct vigil__afd_request, timeout);
    request->timeout = INT64_MAX;
    request->count = 1;
    request->exclusive = FALSE;
    request->status = 0;
    request->io[0] = (uintptr_t)STATUS_PENDING;
    NTSTATUS status = NtDeviceIoControlFile((HANDLE)afd, NULL, NULL, request, io_of(request),
                                            IOCTL_AFD_POLL, &request->timeout, size,
                                            &request->timeout, size);
    if (status >= 0)
        return 0;
    if (vigil__status_of((int)RtlNtStatusToDosError(status)) == VIGIL_ENOMEM)
        return VIGIL_ENOMEM;
    request->io[0] = (uintptr_t)status;
    bool posted = PostQueuedCompletionStatus((HANDLE)port, 0, 0, (OVERLAPPED *)(void *)request);
    return posted ? 0 : VIGIL_ENOMEM;
}

void vigil__call_afd_cancel(uintptr_t afd, struct vigil__afd_request *request)
{
    IO_STATUS_BLOCK io;
    /* "Not found" is one that has completed already: either way its completion comes. */
    (void)NtCancelIoFileEx((HANDLE)afd, io_of(request), &io);
}

int vigil__call_afd_result(const struct vigil__afd_request *request)
{
    NTSTATUS status = (NTSTATUS)request->io[0];
    if (status < 0)
        return status == STATUS_CANCELLED ? 0
                                          : vigil__status_of((int)RtlNtStatusToDosError(status));
    return request->count == 0 ? 0 : (int)request->events;
}

#endif
