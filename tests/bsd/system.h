/* SPDX-License-Identifier: MIT
 *
 * system.h -- just enough of the headers of FreeBSD and macOS for src/ to be parsed as there: the
 * names that it uses and those systems have, and none that they lack.  It cannot be linked, and
 * proves nothing but that the branches for those systems are C.
 *
 * Structures have the members that are used, in no particular order; numbers are right where the
 * compiler looks at them (errno's differ from each other, poll's are ours).
 */
#ifndef BSD_SYSTEM_H
#define BSD_SYSTEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* What FreeBSD has and macOS has not. */
#ifdef __FreeBSD__
#define SOCK_CLOEXEC    0x10000000
#define SOCK_NONBLOCK   0x20000000
#define MSG_NOSIGNAL    0x20000
#define SO_REUSEPORT_LB 0x00010000
#define TCP_KEEPIDLE    256
#define INHERIT_ZERO    3
#define EOPNOTSUPP      ENOTSUP
#define MAP_ANONYMOUS   0x1000
#define NOTE_FILE_POLL  0x0002
#else
#define SO_NOSIGPIPE  0x1022
#define TCP_KEEPALIVE 16
#define EOPNOTSUPP    102
#define MAP_ANONYMOUS 0x1000
#define EVFILT_EXCEPT (-15)
#define NOTE_OOB      0x0002
#endif

/* <sys/types.h> */
typedef long ssize_t;
typedef int64_t off_t;
typedef int pid_t;
typedef uint32_t mode_t, uid_t, gid_t, socklen_t, nfds_t, dev_t;
typedef uint64_t ino_t;
typedef int64_t time_t;
typedef long suseconds_t;
typedef uint16_t sa_family_t, in_port_t;
typedef unsigned short u_short;
typedef unsigned u_int;

/* <errno.h> */
int *bsd_errno(void);
#define errno (*bsd_errno())
enum {
    EPERM = 1,
    ENOENT,
    EINTR = 4,
    EIO,
    ENXIO,
    EBADF = 9,
    ENOMEM = 12,
    EACCES,
    EBUSY = 16,
    EEXIST,
    ENODEV = 19,
    ENOTDIR,
    EINVAL = 22,
    ENFILE,
    EMFILE,
    ENOTTY,
    ENOSPC = 28,
    ESPIPE,
    EROFS,
    EPIPE = 32,
    EAGAIN = 35,
    EINPROGRESS,
    ENOTSOCK = 38,
    EDESTADDRREQ,
    EPROTOTYPE = 41,
    ENOPROTOOPT,
    EPROTONOSUPPORT,
    ENOTSUP = 45,
    EAFNOSUPPORT = 47,
    EADDRINUSE,
    EADDRNOTAVAIL,
    ENETDOWN,
    ENETUNREACH,
    ENETRESET,
    ECONNABORTED,
    ECONNRESET,
    ENOBUFS,
    EISCONN,
    ENOTCONN,
    ETIMEDOUT = 60,
    ECONNREFUSED,
    ENAMETOOLONG = 63,
    EHOSTDOWN,
    EHOSTUNREACH,
    ENOSYS = 78,
    ECANCELED = 85,
    EPROTO = 92
};
#define EWOULDBLOCK EAGAIN
#define EAGAIN      35 /* the compiler compares these two before it knows of enumerations */
#define EHOSTDOWN   64

/* <time.h>, <sys/time.h> */
struct timespec {
    time_t tv_sec;
    long tv_nsec;
};
struct timeval {
    time_t tv_sec;
    suseconds_t tv_usec;
};
enum { CLOCK_MONOTONIC = 4 };
int clock_gettime(int, struct timespec *);

/* <string.h>, <strings.h>, <stdio.h>, <stdlib.h> */
void *memchr(const void *, int, size_t);
void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
int strcmp(const char *, const char *);
int strncmp(const char *, const char *, size_t);
int strcasecmp(const char *, const char *);
int strncasecmp(const char *, const char *, size_t);
char *strchr(const char *, int);
char *strrchr(const char *, int);
size_t strcspn(const char *, const char *);
size_t strlen(const char *);
size_t strnlen(const char *, size_t);
size_t strspn(const char *, const char *);
int snprintf(char *, size_t, const char *, ...) __attribute__((format(printf, 3, 4)));
char *getenv(const char *);
void *malloc(size_t);
void *calloc(size_t, size_t);
void *realloc(void *, size_t);
void free(void *);
char *ptsname(int);

/* <signal.h>, <pthread.h>, <sched.h> */
typedef uint32_t sigset_t;
struct sigaction {
    void (*sa_handler)(int);
    int sa_flags;
    sigset_t sa_mask;
};
enum { SIGKILL = 9, SIGPIPE = 13, SIGSTOP = 17, SIGTERM = 15, SIGINT = 2 };
enum { SA_ONSTACK = 1, SA_RESTART = 2, SA_SIGINFO = 64, SIG_BLOCK = 1, SIG_UNBLOCK };
int sigaction(int, const struct sigaction *, struct sigaction *);
int sigemptyset(sigset_t *);
int sigfillset(sigset_t *);
int sigaddset(sigset_t *, int);
int sigismember(const sigset_t *, int);
int sigpending(sigset_t *);
int sigwait(const sigset_t *, int *);
#ifdef __FreeBSD__
int sigtimedwait(const sigset_t *, void *, const struct timespec *);
#endif
int pthread_sigmask(int, const sigset_t *, sigset_t *);
typedef struct {
    int state;
} pthread_mutex_t;
#define PTHREAD_MUTEX_INITIALIZER \
    {                             \
        0                         \
    }
int pthread_mutex_lock(pthread_mutex_t *);
int pthread_mutex_unlock(pthread_mutex_t *);
int pthread_atfork(void (*)(void), void (*)(void), void (*)(void));
int sched_yield(void);

/* <unistd.h>, <fcntl.h>, <sys/ioctl.h>, <sys/stat.h>, <sys/mman.h> */
enum { F_GETFD = 1, F_SETFD, F_GETFL, F_SETFL, FD_CLOEXEC = 1, O_NONBLOCK = 4, O_ACCMODE = 3 };
int fcntl(int, int, ...);
int ioctl(int, unsigned long, ...);
int isatty(int);
int close(int);
int dup2(int, int);
int pipe(int *);
int unlink(const char *);
ssize_t read(int, void *, size_t);
ssize_t write(int, const void *, size_t);
ssize_t pread(int, void *, size_t, off_t);
pid_t getpid(void);
struct stat {
    dev_t st_dev, st_rdev;
    ino_t st_ino;
    mode_t st_mode;
    off_t st_size;
};
int fstat(int, struct stat *);
int lstat(const char *, struct stat *);
int chmod(const char *, mode_t);
#define S_ISBLK(m)  (((m)&0170000) == 0060000)
#define S_ISCHR(m)  (((m)&0170000) == 0020000)
#define S_ISDIR(m)  (((m)&0170000) == 0040000)
#define S_ISFIFO(m) (((m)&0170000) == 0010000)
#define S_ISREG(m)  (((m)&0170000) == 0100000)
#define S_ISSOCK(m) (((m)&0170000) == 0140000)
enum { PROT_READ = 1, PROT_WRITE, MAP_PRIVATE = 2 };
#define MAP_FAILED ((void *)-1)
void *mmap(void *, size_t, int, int, int, off_t);
int munmap(void *, size_t);
#ifdef __FreeBSD__
int minherit(void *, size_t, int);
#endif

/* <poll.h>, <sys/select.h> */
struct pollfd {
    int fd;
    short events, revents;
};
enum { POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLERR = 8, POLLHUP = 16, POLLNVAL = 32 };
int poll(struct pollfd *, nfds_t, int);
#ifdef __FreeBSD__
int ppoll(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
#endif
typedef struct {
    uint32_t bits[32];
} fd_set;
int select(int, fd_set *, fd_set *, fd_set *, struct timeval *);

/* <sys/socket.h>, <sys/uio.h>, <sys/un.h>, <netinet/in.h>, <arpa/inet.h>, <net/if.h>, <netdb.h> */
#ifndef IOV_MAX /* <limits.h> */
#define IOV_MAX 1024
#endif
enum { AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6 = 28, SOCK_STREAM = 1, SHUT_WR = 1 };
enum {
    SOL_SOCKET = 0xffff,
    SO_ACCEPTCONN = 2,
    SO_REUSEADDR = 4,
    SO_KEEPALIVE = 8,
    SO_LINGER = 0x80,
    SO_SNDBUF = 0x1001,
    SO_RCVBUF,
    SO_ERROR = 0x1007,
    SO_TYPE
};
#define SO_REUSEPORT 0x200
enum { MSG_DONTWAIT = 0x80, IPPROTO_TCP = 6, IPPROTO_IPV6 = 41, IPV6_V6ONLY = 27, TCP_NODELAY = 1 };
struct sockaddr {
    uint8_t sa_len;
    uint8_t sa_family;
    char sa_data[14];
};
struct sockaddr_storage {
    uint8_t ss_len;
    uint8_t ss_family;
    char padding[126];
};
struct sockaddr_un {
    uint8_t sun_len;
    uint8_t sun_family;
    char sun_path[104];
};
struct in_addr {
    uint32_t s_addr;
};
struct in6_addr {
    uint8_t s6_addr[16];
};
struct sockaddr_in {
    uint8_t sin_len;
    uint8_t sin_family;
    in_port_t sin_port;
    struct in_addr sin_addr;
    char sin_zero[8];
};
struct sockaddr_in6 {
    uint8_t sin6_len;
    uint8_t sin6_family;
    in_port_t sin6_port;
    uint32_t sin6_flowinfo;
    struct in6_addr sin6_addr;
    uint32_t sin6_scope_id;
};
struct iovec {
    void *iov_base;
    size_t iov_len;
};
struct msghdr {
    void *msg_name;
    socklen_t msg_namelen;
    struct iovec *msg_iov;
    int msg_iovlen;
};
struct linger {
    int l_onoff, l_linger;
};
int socket(int, int, int);
int bind(int, const struct sockaddr *, socklen_t);
int listen(int, int);
int accept(int, struct sockaddr *, socklen_t *);
#ifdef __FreeBSD__
int accept4(int, struct sockaddr *, socklen_t *, int);
#endif
int connect(int, const struct sockaddr *, socklen_t);
int shutdown(int, int);
int getsockname(int, struct sockaddr *, socklen_t *);
int getpeername(int, struct sockaddr *, socklen_t *);
int getsockopt(int, int, int, void *, socklen_t *);
int setsockopt(int, int, int, const void *, socklen_t);
ssize_t recv(int, void *, size_t, int);
ssize_t send(int, const void *, size_t, int);
ssize_t sendmsg(int, const struct msghdr *, int);
ssize_t writev(int, const struct iovec *, int);
uint16_t htons(uint16_t);
uint16_t ntohs(uint16_t);
const char *inet_ntop(int, const void *, char *, socklen_t);
int inet_pton(int, const char *, void *);
enum { INET6_ADDRSTRLEN = 46, INET_ADDRSTRLEN = 16, IF_NAMESIZE = 16 };
unsigned if_nametoindex(const char *);
char *if_indextoname(unsigned, char *);
struct addrinfo {
    int ai_flags, ai_family, ai_socktype, ai_protocol;
    socklen_t ai_addrlen;
    char *ai_canonname;
    struct sockaddr *ai_addr;
    struct addrinfo *ai_next;
};
enum { EAI_MEMORY = 6, EAI_SYSTEM = 11 };
int getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
void freeaddrinfo(struct addrinfo *);

/* <sys/event.h> */
#ifdef __FreeBSD__
struct kevent {
    uintptr_t ident;
    short filter;
    u_short flags;
    u_int fflags;
    int64_t data;
    void *udata;
    uint64_t ext[4];
};
#else
struct kevent {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    void *udata;
};
#endif
#define EVFILT_READ  (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER  (-10)
enum { EV_ADD = 1, EV_DELETE, EV_ONESHOT = 16, EV_CLEAR = 32, EV_ERROR = 0x4000, EV_EOF = 0x8000 };
#define NOTE_TRIGGER 0x01000000
#define EV_SET(kev, a, b, c, d, e, f)    \
    do {                                 \
        struct kevent *bsd_kev = (kev);  \
        bsd_kev->ident = (uintptr_t)(a); \
        bsd_kev->filter = (b);           \
        bsd_kev->flags = (c);            \
        bsd_kev->fflags = (d);           \
        bsd_kev->data = (e);             \
        bsd_kev->udata = (f);            \
    } while (0)
int kqueue(void);
int kevent(int, const struct kevent *, int, struct kevent *, int, const struct timespec *);

#endif
