/* SPDX-License-Identifier: MIT
 *
 * platform_windows.h -- platform.h on Windows: the POSIX calls of the tests, as far as sockets have
 * them there.  What Windows has not ends the test that asks for it as skipped, with the reason, so
 * that the tests need not know where they run.
 *
 * A socket is an int here, as everywhere in the tests: its handle is a small number.  Threads and
 * POSIX clocks are mingw-w64's.
 */
#ifndef TEST_PLATFORM_WINDOWS_H
#define TEST_PLATFORM_WINDOWS_H

#include <winsock2.h> /* before all others of Windows */

#include <windows.h>
#include <winternl.h>
#include <ws2tcpip.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <iphlpapi.h>
#include <process.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#undef far /* words of their headers that are names in tests */
#undef near
#undef small
#undef interface

#define TEST_UNUSED __attribute__((unused))

/* Ends the test that runs as skipped: test.h has it. */
_Noreturn static void test_skip(const char *reason);

/* ---- sockets ------------------------------------------------------------------------------ */

#define SHUT_RD   SD_RECEIVE
#define SHUT_WR   SD_SEND
#define SHUT_RDWR SD_BOTH

enum {
    SOCK_CLOEXEC = 0x10000,
    SOCK_NONBLOCK = 0x20000,
    MSG_NOSIGNAL = 0x10000,
    MSG_DONTWAIT = 0x20000,
    O_NONBLOCK = 0x40000,
    O_CLOEXEC = 0,
    F_GETFD = 1,
    F_SETFD,
    F_GETFL,
    F_SETFL,
    F_DUPFD_CLOEXEC,
    F_SETPIPE_SZ,
    FD_CLOEXEC = 1,
};

struct sockaddr_un {
    unsigned short sun_family;
    char sun_path[108];
};

TEST_UNUSED static int test_errno_of(int error)
{
    static const struct {
        int from, to;
    } rows[] = {
        { WSAEWOULDBLOCK, EAGAIN },
        { WSAECONNRESET, ECONNRESET },
        { WSAECONNABORTED, ECONNRESET },
        { WSAESHUTDOWN, EPIPE },
        { WSAECONNREFUSED, ECONNREFUSED },
        { WSAENOTCONN, ENOTCONN },
        { WSAENOTSOCK, EBADF },
        { WSAETIMEDOUT, EAGAIN },
        { WSAEADDRINUSE, EADDRINUSE },
        { WSAEADDRNOTAVAIL, EADDRNOTAVAIL },
        { WSAEAFNOSUPPORT, EAFNOSUPPORT },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].from == error)
            return rows[i].to;
    return EIO;
}

/* Notes why a call of Winsock's failed, and answers -1; else what it answered. */
TEST_UNUSED static int test_result(int result)
{
    if (result == SOCKET_ERROR)
        errno = test_errno_of(WSAGetLastError());
    return result;
}

enum { TEST_FDS_MAX = 4096 };

static bool test_nonblocking[TEST_FDS_MAX]; /* Windows does not tell */

TEST_UNUSED static int test_switch(int fd, bool nonblocking)
{
    u_long value = nonblocking;
    return test_result(ioctlsocket((SOCKET)fd, (long)FIONBIO, &value));
}

TEST_UNUSED static int test_set_nonblocking(int fd, bool on)
{
    if (fd > 0 && fd < TEST_FDS_MAX)
        test_nonblocking[fd] = on;
    return test_switch(fd, on);
}

TEST_UNUSED static int test_socket(int family, int type, int protocol)
{
    if (family == AF_UNIX)
        test_skip("no Unix sockets under Wine");
    int fd = (int)WSASocketW(family, type & 0xf, protocol, NULL, 0, WSA_FLAG_OVERLAPPED);
    if (fd >= 0)
        (void)test_set_nonblocking(fd, (type & SOCK_NONBLOCK) != 0);
    return test_result(fd);
}

/* For one call that must not wait; other threads of a test do not use the socket meanwhile. */
TEST_UNUSED static bool test_switch_for(int fd, int flags)
{
    bool switched = (flags & MSG_DONTWAIT) != 0 && !test_nonblocking[fd];
    return switched && test_switch(fd, true) == 0;
}

TEST_UNUSED static ssize_t test_recv(int fd, void *p, size_t n, int flags)
{
    bool switched = test_switch_for(fd, flags);
    int got = test_result(recv((SOCKET)fd, p, (int)n, flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)));
    int saved = errno;
    if (switched)
        (void)test_switch(fd, false);
    errno = saved;
    return got;
}

TEST_UNUSED static ssize_t test_send(int fd, const void *p, size_t n, int flags)
{
    bool switched = test_switch_for(fd, flags);
    int sent = test_result(send((SOCKET)fd, p, (int)n, flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)));
    int saved = errno;
    if (switched)
        (void)test_switch(fd, false);
    errno = saved;
    return sent;
}

TEST_UNUSED static int test_setsockopt(int fd, int level, int name, const void *value, int size)
{
    DWORD ms = 0;
    if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
        const struct timeval *limit = value;
        ms = (DWORD)limit->tv_sec * 1000 + (DWORD)limit->tv_usec / 1000;
        value = &ms;
        size = sizeof(ms);
    }
    return test_result(setsockopt((SOCKET)fd, level, name, value, size));
}

TEST_UNUSED static int test_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    return test_result(getsockopt((SOCKET)fd, level, name, value, size));
}

TEST_UNUSED static int test_accept(int fd, struct sockaddr *addr, socklen_t *size)
{
    int accepted = test_result((int)accept((SOCKET)fd, addr, size));
    if (accepted > 0)
        (void)test_set_nonblocking(accepted, false);
    return accepted;
}

TEST_UNUSED static int test_connect(int fd, const struct sockaddr *addr, socklen_t size)
{
    int result = test_result(connect((SOCKET)fd, addr, size));
    if (result < 0 && errno == EAGAIN)
        errno = EINPROGRESS;
    return result;
}

TEST_UNUSED static int test_close(int fd)
{
    return test_result(closesocket((SOCKET)fd));
}

TEST_UNUSED static int test_fcntl(int fd, int command, ...)
{
    int type, size = sizeof(type);
    if (command == F_GETFD)
        return test_result(getsockopt((SOCKET)fd, SOL_SOCKET, SO_TYPE, (char *)&type, &size));
    if (command == F_GETFL)
        return test_nonblocking[fd] ? O_NONBLOCK : 0;
    if (command != F_SETFL)
        test_skip("descriptors have no numbers to choose on Windows");
    va_list args;
    va_start(args, command);
    int flags = va_arg(args, int);
    va_end(args);
    return test_set_nonblocking(fd, (flags & O_NONBLOCK) != 0);
}

TEST_UNUSED static int test_dup(int fd)
{
    WSAPROTOCOL_INFOW info;
    if (WSADuplicateSocketW((SOCKET)fd, GetCurrentProcessId(), &info) != 0)
        return test_result(SOCKET_ERROR);
    return test_result((int)WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO,
                                       &info, 0, WSA_FLAG_OVERLAPPED));
}

/* A pair of connected TCP sockets for one of Unix. */
TEST_UNUSED static int test_socketpair(int family, int type, int protocol, int fds[2])
{
    (void)family, (void)protocol;
    if ((type & 0xf) != SOCK_STREAM)
        test_skip("no pairs of datagram sockets on Windows");
    struct sockaddr_in self = { .sin_family = AF_INET };
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int size = sizeof(self);
    int listener = test_socket(AF_INET, SOCK_STREAM, 0);
    fds[0] = test_socket(AF_INET, SOCK_STREAM, 0);
    bool good = bind((SOCKET)listener, (struct sockaddr *)&self, size) == 0 &&
                listen((SOCKET)listener, 1) == 0 &&
                getsockname((SOCKET)listener, (struct sockaddr *)&self, &size) == 0 &&
                test_connect(fds[0], (struct sockaddr *)&self, size) == 0;
    fds[1] = good ? test_accept(listener, NULL, NULL) : -1;
    for (int i = 0; i < 2 && (type & SOCK_NONBLOCK) != 0; i++)
        (void)test_set_nonblocking(fds[i], true);
    (void)test_close(listener);
    return fds[1] >= 0 ? 0 : -1;
}

TEST_UNUSED static ssize_t test_read(int fd, void *p, size_t n)
{
    return test_recv(fd, p, n, 0);
}

TEST_UNUSED static ssize_t test_write(int fd, const void *p, size_t n)
{
    return test_send(fd, p, n, 0);
}

TEST_UNUSED static int test_bind(int fd, const struct sockaddr *addr, socklen_t size)
{
    return test_result(bind((SOCKET)fd, addr, size));
}

TEST_UNUSED static int test_listen(int fd, int backlog)
{
    return test_result(listen((SOCKET)fd, backlog));
}

TEST_UNUSED static int test_shutdown(int fd, int how)
{
    return test_result(shutdown((SOCKET)fd, how));
}

TEST_UNUSED static int test_getsockname(int fd, struct sockaddr *addr, socklen_t *size)
{
    return test_result(getsockname((SOCKET)fd, addr, size));
}

/* Wine shuts a socket down before it closes it, so that a FIN goes before every reset. */
TEST_UNUSED static bool test_under_wine(void)
{
    return GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != NULL;
}

/* ---- poll, as the tests' own witness: WSAPoll tells what has arrived ------------------------ */

#undef POLLIN
#undef POLLPRI
#undef POLLOUT
#undef POLLERR
#undef POLLHUP
#undef POLLNVAL
enum {
    POLLIN = 0x0001, /* as on Linux, and in vigil.h */
    POLLPRI = 0x0002,
    POLLOUT = 0x0004,
    POLLERR = 0x0008,
    POLLHUP = 0x0010,
    POLLNVAL = 0x0020,
    POLLRDHUP = 0x2000,
};

/* One entry.  WSAPoll says nothing of an end behind unread data: on loopback it is there with the
 * data. */
TEST_UNUSED static int test_poll(struct pollfd *entry, unsigned long count, int timeout_ms)
{
    static const struct {
        short raw, own;
    } bits[] = { { POLLRDNORM, POLLIN | POLLRDHUP | POLLHUP },
                 { POLLRDBAND, POLLPRI },
                 { POLLWRNORM, POLLOUT },
                 { 0x0001, POLLERR },
                 { 0x0002, POLLHUP | POLLRDHUP } };
    if (count != 1)
        test_skip("this witness looks at one socket");
    WSAPOLLFD raw = { .fd = entry->fd };
    for (int i = 0; i < 3; i++)
        if ((entry->events & bits[i].own) != 0)
            raw.events = (short)(raw.events | bits[i].raw);
    int n = WSAPoll(&raw, 1, timeout_ms);
    int events = 0;
    for (int i = 0; i < 5; i++)
        events |= (raw.revents & bits[i].raw) != 0 ? bits[i].own : 0;
    entry->revents = (short)events;
    return n < 0 ? test_result(n) : events != 0;
}

/* A file is known by its handle. */
TEST_UNUSED static int test_fileno(FILE *file)
{
    return (int)_get_osfhandle(_fileno(file));
}

/* From here on the names of POSIX mean the above, in the library's headers too: some of their
 * members have such names. */
#define socket      test_socket
#define socketpair  test_socketpair
#define accept      test_accept
#define connect     test_connect
#define recv        test_recv
#define send        test_send
#define setsockopt  test_setsockopt
#define getsockopt  test_getsockopt
#define fcntl       test_fcntl
#define close       test_close
#define dup         test_dup
#define read        test_read
#define write       test_write
#define bind        test_bind
#define listen      test_listen
#define shutdown    test_shutdown
#define getsockname test_getsockname
#define poll        test_poll
#undef fileno
#define fileno test_fileno

#include "vigil.h"

/* ---- what Windows has not: types and names to compile with, calls that skip --------------- */

#define TEST_LACKS(type, declaration, what) \
    TEST_UNUSED static type declaration     \
    {                                       \
        test_skip(what " on Windows");      \
    }

#define sigset_t   test_sigset
#define sigevent   test_sigevent
#define sigval     test_sigval
#define rlimit     test_rlimit
#define termios    test_termios
#define itimerspec test_itimerspec
#define timer_t    test_timer

enum {
    SIGHUP = 1,
    SIGKILL = 9,
    SIGSTOP = 19,
    SIGUSR1 = 21, /* SIGBREAK: one that no harness uses */
    SIGUSR2 = 12,
    SIGALRM = 14,
    SIGPIPE = 13,
    SIGCHLD = 17,
    SIGWINCH = 28,
    SA_RESTART = 1,
    SIGEV_SIGNAL = 1,
    RLIMIT_NOFILE = 1,
    TCSANOW = 1,
    O_NOCTTY = 0,
    EFD_CLOEXEC = 0,
    EFD_NONBLOCK = 0,
    ITIMER_REAL = 0,
    O_DIRECTORY = 0,
};

typedef int sigset_t;
typedef int timer_t;
typedef unsigned long rlim_t;
struct sigaction {
    void (*sa_handler)(int signo);
    sigset_t sa_mask;
    int sa_flags;
};
struct sigevent {
    int sigev_notify, sigev_signo;
};
struct itimerval {
    struct timeval it_interval, it_value;
};
struct rlimit {
    rlim_t rlim_cur, rlim_max;
};
struct termios {
    int c_lflag;
};
struct itimerspec {
    struct timespec it_interval, it_value;
};

#define WIFEXITED(state)   ((state) != 0)
#define WEXITSTATUS(state) (state)
#define WIFSIGNALED(state) ((state) != 0)
#define WTERMSIG(state)    (state)

#define NO_PIPES   "no pipes beside sockets"
#define NO_FILES   "no files beside sockets"
#define NO_TTYS    "no terminals beside sockets"
#define NO_FORK    "no fork"
#define NO_NUMBERS "descriptors have no numbers to choose"
#define NO_RLIMIT  "no limit of descriptors"
#define NO_SIGNALS "no sigaction"
#define open       test_open
#define pipe       test_pipe
#define dup2       test_dup2
#define unlink     test_unlink
#define lseek      test_lseek
#define kill       test_kill
#define stat       test_stat
struct stat {
    int st_mode;
};
TEST_LACKS(int, test_pipe(int fds[2] TEST_UNUSED), NO_PIPES)
TEST_LACKS(int, pipe2(int fds[2] TEST_UNUSED, int flags TEST_UNUSED), NO_PIPES)
TEST_LACKS(int, test_open(const char *path TEST_UNUSED, int flags TEST_UNUSED, ...), NO_FILES)
TEST_LACKS(char *, mkdtemp(char *path TEST_UNUSED), NO_FILES)
TEST_LACKS(int, mkostemp(char *path TEST_UNUSED, int flags TEST_UNUSED), NO_FILES)
TEST_LACKS(int, test_unlink(const char *path TEST_UNUSED), NO_FILES)
TEST_LACKS(int, stat(const char *path TEST_UNUSED, struct stat *out TEST_UNUSED), NO_FILES)
TEST_LACKS(long, test_lseek(int fd TEST_UNUSED, long at TEST_UNUSED, int from TEST_UNUSED),
           NO_FILES)
TEST_LACKS(long,
           readlink(const char *path TEST_UNUSED, char *text TEST_UNUSED, size_t size TEST_UNUSED),
           NO_FILES)
TEST_LACKS(int, posix_openpt(int flags TEST_UNUSED), NO_TTYS)
TEST_LACKS(int, grantpt(int fd TEST_UNUSED), NO_TTYS)
TEST_LACKS(int, unlockpt(int fd TEST_UNUSED), NO_TTYS)
TEST_LACKS(const char *, ptsname(int fd TEST_UNUSED), NO_TTYS)
TEST_LACKS(void, cfmakeraw(struct termios *mode TEST_UNUSED), NO_TTYS)
TEST_LACKS(int, tcgetattr(int fd TEST_UNUSED, struct termios *mode TEST_UNUSED), NO_TTYS)
TEST_LACKS(int,
           tcsetattr(int fd TEST_UNUSED, int how TEST_UNUSED,
                     const struct termios *mode TEST_UNUSED),
           NO_TTYS)
TEST_LACKS(int, fork(void), NO_FORK)
TEST_LACKS(int, waitpid(int child TEST_UNUSED, int *state TEST_UNUSED, int how TEST_UNUSED),
           NO_FORK)
TEST_LACKS(int, test_dup2(int fd TEST_UNUSED, int number TEST_UNUSED), NO_NUMBERS)
TEST_LACKS(int, dup3(int fd TEST_UNUSED, int number TEST_UNUSED, int flags TEST_UNUSED), NO_NUMBERS)
TEST_LACKS(int, eventfd(unsigned count TEST_UNUSED, int flags TEST_UNUSED), "no eventfd")
TEST_LACKS(int, getrlimit(int what TEST_UNUSED, struct rlimit *out TEST_UNUSED), NO_RLIMIT)
TEST_LACKS(int, setrlimit(int what TEST_UNUSED, const struct rlimit *to TEST_UNUSED), NO_RLIMIT)
TEST_LACKS(int,
           sigaction(int signo TEST_UNUSED, const struct sigaction *to TEST_UNUSED,
                     struct sigaction *found TEST_UNUSED),
           NO_SIGNALS)
TEST_LACKS(int, test_kill(int process TEST_UNUSED, int signo TEST_UNUSED), NO_SIGNALS)
TEST_LACKS(int, sigemptyset(sigset_t *set TEST_UNUSED), NO_SIGNALS)
TEST_LACKS(int, sigaddset(sigset_t *set TEST_UNUSED, int signo TEST_UNUSED), NO_SIGNALS)
TEST_LACKS(unsigned, alarm(unsigned seconds TEST_UNUSED), NO_SIGNALS)
TEST_LACKS(int,
           setitimer(int what TEST_UNUSED, const struct itimerval *to TEST_UNUSED,
                     struct itimerval *found TEST_UNUSED),
           NO_SIGNALS)
TEST_LACKS(int,
           timer_create(int clock TEST_UNUSED, struct sigevent *event TEST_UNUSED,
                        timer_t *out TEST_UNUSED),
           NO_SIGNALS)
TEST_LACKS(int,
           timer_settime(timer_t timer TEST_UNUSED, int flags TEST_UNUSED,
                         const struct itimerspec *to TEST_UNUSED,
                         struct itimerspec *found TEST_UNUSED),
           NO_SIGNALS)
TEST_LACKS(int, timer_delete(timer_t timer TEST_UNUSED), NO_SIGNALS)

#define program_invocation_name _pgmptr

/* No thread is interrupted by a signal here. */
TEST_UNUSED static void sigfillset(sigset_t *set)
{
    *set = 0;
}

#undef pthread_sigmask
TEST_UNUSED static int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    (void)how;
    if (before != NULL)
        *before = *set;
    return 0;
}

TEST_UNUSED static int setenv(const char *name, const char *value, int replace)
{
    (void)replace; /* the tests always do */
    return _putenv_s(name, value);
}

TEST_UNUSED static int unsetenv(const char *name)
{
    return _putenv_s(name, "");
}

/* ---- the harness ---------------------------------------------------------------------------- */

enum {
    TEST_IN_WORLD = 0,       /* of a simulator's */
    TEST_BUFFERING = _IONBF, /* this C library knows no line by line */
    TEST_UNIX_SOCKETS = 0    /* TCP stands for them: what it takes in is less certain */
};

/* The type of a handle: sockets and the driver's handles are files, ports are completion ports. */
static bool test_handle_counts(int number, char *text, size_t size)
{
    union {
        UNICODE_STRING name;
        char room[256];
    } type;
    ULONG used;
    DWORD flags;
    HANDLE handle = (HANDLE)(uintptr_t)number;
    if (!GetHandleInformation(handle, &flags) ||
        NtQueryObject(handle, ObjectTypeInformation, &type, sizeof(type), &used) < 0)
        return false;
    snprintf(text, size, "%.*ls", (int)(type.name.Length / sizeof(WCHAR)), type.name.Buffer);
    return strcmp(text, "File") == 0 || strcmp(text, "IoCompletion") == 0;
}

/* Marks the open handles that count, in the place of a descriptor. */
static void test_note_fds(unsigned char open_fds[TEST_FDS_MAX])
{
    char text[64];
    for (int fd = 0; fd < TEST_FDS_MAX; fd++)
        open_fds[fd] = fd % 4 == 0 && test_handle_counts(fd, text, sizeof(text));
}

static void test_name_fd(int fd, char *text, size_t size)
{
    (void)test_handle_counts(fd, text, size);
}

static struct {
    HANDLE changed; /* an event */
    unsigned seconds;
    void (*too_late)(int signo);
} test_limit;

static void test_watch_time(void *arg)
{
    (void)arg;
    for (;;) {
        DWORD ms = test_limit.seconds > 0 ? test_limit.seconds * 1000 : INFINITE;
        if (WaitForSingleObject(test_limit.changed, ms) == WAIT_TIMEOUT)
            test_limit.too_late(0);
    }
}

/* `too_late` is called in so many seconds, unless this is called again; 0 takes it back. */
static void test_limit_time(unsigned seconds, void (*too_late)(int signo))
{
    test_limit.seconds = seconds;
    test_limit.too_late = too_late;
    if (test_limit.changed == NULL) {
        WSADATA found;
        (void)WSAStartup(MAKEWORD(2, 2), &found);
        test_limit.changed = CreateEventW(NULL, FALSE, FALSE, NULL);
        (void)_beginthread(test_watch_time, 0, NULL);
        return;
    }
    SetEvent(test_limit.changed);
}

static void test_write_out(const char *text, size_t size)
{
    (void)_write(1, text, (unsigned)size);
}

#endif
