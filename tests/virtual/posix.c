/* SPDX-License-Identifier: MIT
 *
 * posix.c -- the POSIX calls of the conformance suite, on a host of a simulated world.
 *
 * They go around what is counted and made to fail for the library: vigil__sim_call() is not told.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys/addr.h"
#include "virtual/world.h"

/* ---- answers ---- */

static int errno_of(int status)
{
    static const struct {
        int status, error;
    } rows[] = {
        { VIGIL__EAGAIN, EAGAIN },        { VIGIL_EBADF, EBADF },
        { VIGIL_EINVAL, EINVAL },         { VIGIL_ENOTCONN, ENOTCONN },
        { VIGIL_ECONNRESET, ECONNRESET }, { VIGIL_ECONNREFUSED, ECONNREFUSED },
        { VIGIL_ETIMEDOUT, ETIMEDOUT },   { VIGIL_EUNREACH, EHOSTUNREACH },
        { VIGIL_EADDRINUSE, EADDRINUSE }, { VIGIL_EADDR, EADDRNOTAVAIL },
        { VIGIL_EMFILE, EMFILE },         { VIGIL_ENOENT, ENOENT },
        { VIGIL_ENOMEM, ENOMEM },         { VIGIL_ENOBUFS, ENOBUFS },
        { VIGIL_EBUSY, EAGAIN },
    };
    for (size_t i = 0; i < VIGIL_COUNT(rows); i++)
        if (rows[i].status == status)
            return rows[i].error;
    return EIO;
}

static int answer(int status)
{
    if (status >= 0)
        return status;
    errno = errno_of(status);
    return -1;
}

/* The file behind a descriptor, after the time that a call takes. */
static struct sim_file *file_of(int fd)
{
    world_pass(WORLD_CALL_NS);
    struct sim_file *file = vigil__sim_fd_file(world.host, fd);
    if (file == NULL)
        errno = EBADF;
    return file;
}

static vigil_ns until(vigil_ns duration)
{
    return vigil__time_add(world.sim->now, duration);
}

/* A descriptor that is the row's. */
static int own(int fd)
{
    world.fds[fd] = (struct world_fd){ .own = true,
                                       .recv_ns = VIGIL_FOREVER,
                                       .send_ns = VIGIL_FOREVER };
    return fd;
}

/* ---- descriptors ---- */

int virtual_socket(int family, int type, int protocol)
{
    (void)family, (void)protocol; /* a file takes an address of any family */
    if ((type & 0xf) != SOCK_STREAM)
        virtual_skip("a world has no datagrams");
    world_pass(WORLD_CALL_NS);
    struct sim_file *file = vigil__sim_file_new(world.host, SIM_SOCKET);
    vigil_fd fd;
    int err = file != NULL ? vigil__sim_fd_new(world.host, file, &fd) : VIGIL_ENOMEM;
    if (err < 0 && file != NULL)
        vigil__sim_file_close(file);
    if (err < 0)
        return answer(err);
    file->blocking = (type & SOCK_NONBLOCK) == 0;
    return own(fd);
}

static int both(int err, int fds[2], bool blocking)
{
    for (int i = 0; i < 2 && err == 0; i++)
        vigil__sim_fd_file(world.host, own(fds[i]))->blocking = blocking;
    return answer(err);
}

int virtual_socketpair(int family, int type, int protocol, int fds[2])
{
    (void)family, (void)protocol; /* Unix alone has pairs */
    if ((type & 0xf) != SOCK_STREAM)
        virtual_skip("a world has no datagrams");
    world_pass(WORLD_CALL_NS);
    return both(vigil_sim_pair(world.sim, world.table, fds), fds, (type & SOCK_NONBLOCK) == 0);
}

int virtual_pipe2(int fds[2], int flags)
{
    world_pass(WORLD_CALL_NS);
    return both(vigil_sim_pipe(world.sim, world.table, fds), fds, (flags & O_NONBLOCK) == 0);
}

int virtual_close(int fd)
{
    if (file_of(fd) == NULL)
        return -1;
    world.fds[fd].own = false;
    (void)vigil__sim_fd_close(world.host, fd); /* it is open: cannot fail */
    world_pass(WORLD_CALL_NS);
    return 0;
}

static int dup_from(int fd, int lowest)
{
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    vigil_fd out;
    int err = vigil__sim_fd_new_from(world.host, file, (uint32_t)lowest, &out);
    return err < 0 ? answer(err) : own(out);
}

int virtual_dup(int fd)
{
    return dup_from(fd, 0);
}

int virtual_dup3(int fd, int number, int flags)
{
    (void)flags;
    if (vigil__sim_fd_file(world.host, number) != NULL)
        (void)virtual_close(number);
    return dup_from(fd, number);
}

int virtual_fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    int value = command == F_GETFD || command == F_GETFL ? 0 : va_arg(args, int);
    va_end(args);
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    switch (command) {
    case F_GETFD:
        return FD_CLOEXEC;
    case F_SETFD:
        return 0;
    case F_GETFL:
        return O_RDWR | (file->blocking ? 0 : O_NONBLOCK);
    case F_SETFL:
        file->blocking = (value & O_NONBLOCK) == 0;
        return 0;
    case F_DUPFD_CLOEXEC:
        return dup_from(fd, value);
    case F_SETPIPE_SZ:
        file->in.cap = file->peer->in.cap = (size_t)value;
        return value;
    default:
        virtual_skip("a world has not this fcntl");
    }
}

/* ---- addresses ---- */

static bool from_system(vigil_addr *out, const struct sockaddr *addr, socklen_t size)
{
    struct sockaddr_storage copy = { 0 };
    if (size > sizeof(copy))
        return false;
    memcpy(&copy, addr, size);
    vigil__addr_from_system(out, &copy, size);
    return out->family != VIGIL_FAMILY_NONE;
}

static int to_system(const vigil_addr *from, struct sockaddr *addr, socklen_t *size)
{
    if (addr == NULL)
        return 0;
    struct sockaddr_storage copy = { .ss_family = AF_INET };
    socklen_t length = vigil__addr_to_system(from, &copy);
    memcpy(addr, &copy, vigil__min(*size, length != 0 ? length : sizeof(struct sockaddr_in)));
    *size = length;
    return 0;
}

int virtual_bind(int fd, const struct sockaddr *addr, socklen_t size)
{
    struct sim_file *file = file_of(fd);
    vigil_addr at;
    if (file == NULL)
        return -1;
    return answer(from_system(&at, addr, size) ? vigil__sim_bind(file, &at) : VIGIL_EINVAL);
}

int virtual_listen(int fd, int backlog)
{
    struct sim_file *file = file_of(fd);
    return file != NULL ? answer(vigil__sim_listen(file, backlog)) : -1;
}

int virtual_accept(int fd, struct sockaddr *addr, socklen_t *size)
{
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    if (file->blocking)
        (void)world_wait(file, VIGIL_IN, until(world.fds[fd].recv_ns)); /* what came is asked for */
    vigil_fd out;
    int err = vigil__sim_accept(file, &out);
    if (err < 0)
        return answer(err);
    vigil__sim_fd_file(world.host, own(out))->blocking = true;
    return to_system(&vigil__sim_fd_file(world.host, out)->remote, addr, size) < 0 ? -1 : out;
}

int virtual_connect(int fd, const struct sockaddr *addr, socklen_t size)
{
    struct sim_file *file = file_of(fd);
    vigil_addr to;
    if (file == NULL)
        return -1;
    int err = from_system(&to, addr, size) ? vigil__sim_connect(file, &to) : VIGIL_EINVAL;
    if (err == VIGIL__EAGAIN && file->blocking) {
        if (!world_wait(file, VIGIL_OUT, until(world.fds[fd].send_ns)))
            return answer(VIGIL__EAGAIN);
        err = file->error;
        file->error = 0;
    }
    if (err != VIGIL__EAGAIN)
        return answer(err);
    errno = EINPROGRESS;
    return -1;
}

int virtual_getsockname(int fd, struct sockaddr *addr, socklen_t *size)
{
    const struct sim_file *file = file_of(fd);
    return file != NULL ? to_system(&file->local, addr, size) : -1;
}

int virtual_getpeername(int fd, struct sockaddr *addr, socklen_t *size)
{
    const struct sim_file *file = file_of(fd);
    if (file != NULL && file->state != SIM_CONNECTED)
        return answer(VIGIL_ENOTCONN);
    return file != NULL ? to_system(&file->remote, addr, size) : -1;
}

/* ---- bytes ---- */

/* The row's own calls, which nobody watches. */
static int row_reads(struct sim_file *file, void *p, size_t n)
{
    world.by_row = true;
    int got = vigil__sim_read(file, p, n);
    world.by_row = false;
    return got;
}

static int row_writes(struct sim_file *file, const void *p, size_t n)
{
    world.by_row = true;
    int sent = vigil__sim_writev(file, &(vigil_iov){ p, n }, 1);
    world.by_row = false;
    return sent;
}

static ssize_t receive(int fd, void *p, size_t n, bool waits)
{
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    int got = row_reads(file, p, n);
    if (got == VIGIL__EAGAIN && waits && file->blocking) {
        (void)world_wait(file, VIGIL_IN, until(world.fds[fd].recv_ns)); /* the read tells */
        got = row_reads(file, p, n);
    }
    return answer(got);
}

/* What the system says of a peer that is gone: once what happened, then EPIPE. */
static int gone(const struct sim_file *file, int result, bool told)
{
    if (result != VIGIL_ECONNRESET || !told || file->error != 0)
        return answer(result);
    errno = EPIPE;
    return -1;
}

static ssize_t transmit(int fd, const void *p, size_t n, bool waits)
{
    struct sim_file *file = file_of(fd);
    size_t sent = 0;
    if (file == NULL)
        return -1;
    waits = waits && file->blocking;
    vigil_ns deadline = until(world.fds[fd].send_ns);
    do {
        bool told = file->error == 0;
        int result = row_writes(file, (const char *)p + sent, n - sent);
        if (result < 0 && result != VIGIL__EAGAIN)
            return sent > 0 ? (ssize_t)sent : gone(file, result, told);
        sent += result > 0 ? (size_t)result : 0;
    } while (sent < n && waits && world_wait(file, VIGIL_OUT, deadline));
    world_pass(WORLD_CALL_NS);
    return sent > 0 || n == 0 ? (ssize_t)sent : answer(VIGIL__EAGAIN);
}

ssize_t virtual_recv(int fd, void *p, size_t n, int flags)
{
    if ((flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) != 0)
        virtual_skip("a world has no flags of recv");
    return receive(fd, p, n, (flags & MSG_DONTWAIT) == 0);
}

ssize_t virtual_send(int fd, const void *p, size_t n, int flags)
{
    if ((flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) != 0)
        virtual_skip("a world has no urgent data");
    return transmit(fd, p, n, (flags & MSG_DONTWAIT) == 0);
}

ssize_t virtual_read(int fd, void *p, size_t n)
{
    return receive(fd, p, n, true);
}

ssize_t virtual_write(int fd, const void *p, size_t n)
{
    return transmit(fd, p, n, true);
}

int virtual_shutdown(int fd, int how)
{
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    int err = how != SHUT_RD ? vigil__sim_shutdown(file) : 0;
    if (how != SHUT_WR && err == 0) {
        file->in.fin_arrived = true;
        file->activity++;
        if (file->local.family == VIGIL_FAMILY_UNIX) { /* the peer knows; TCP does not tell it */
            file->peer->shut = true;
            file->peer->activity++;
        }
    }
    world_pass(WORLD_CALL_NS);
    return answer(err);
}

/* ---- options ---- */

static vigil_ns time_limit(const struct timeval *limit)
{
    vigil_ns duration = VIGIL_S(limit->tv_sec) + VIGIL_US(limit->tv_usec);
    return duration > 0 ? duration : VIGIL_FOREVER;
}

int virtual_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    if (level != SOL_SOCKET)
        return 0; /* nothing of TCP's can be seen here */
    int number;
    memcpy(&number, value, vigil__min(sizeof(number), size));
    if (name == SO_RCVTIMEO)
        world.fds[fd].recv_ns = time_limit(value);
    else if (name == SO_SNDTIMEO)
        world.fds[fd].send_ns = time_limit(value);
    else if (name == SO_LINGER)
        vigil__sim_option(file, VIGIL__SO_RESET, number); /* l_onoff; l_linger is 0 in the tests */
    else if (name == SO_RCVBUF)
        vigil__sim_option(file, VIGIL__SO_RCVBUF, number);
    else if (name == SO_SNDBUF)
        vigil__sim_option(file, VIGIL__SO_SNDBUF, number);
    else if (name == SO_REUSEPORT)
        vigil__sim_option(file, VIGIL__SO_REUSEPORT, number);
    return 0;
}

int virtual_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    int number;
    if (level != SOL_SOCKET)
        virtual_skip("a world does not note options of TCP");
    if (name == SO_ERROR) {
        number = file->error != 0 ? errno_of(file->error) : 0;
        file->error = 0;
    } else if (name == SO_RCVBUF) {
        number = (int)file->in.cap;
    } else if (name == SO_ACCEPTCONN) {
        number = file->kind == SIM_LISTENER;
    } else {
        virtual_skip("a world does not note this option");
    }
    memcpy(value, &number, vigil__min(sizeof(number), *size));
    return 0;
}

int virtual_ioctl(int fd, unsigned long request, int *value)
{
    const struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    if (request != TIOCOUTQ || file->peer == NULL)
        virtual_skip("a world has not this ioctl");
    *value = (int)(file->peer->in.written - file->peer->in.arrived);
    return 0;
}

/* ---- waiting ---- */

static int poll_now(struct pollfd *entries, nfds_t count)
{
    int found = 0;
    for (nfds_t i = 0; i < count; i++) {
        unsigned asked = (unsigned short)entries[i].events | VIGIL_ERR | VIGIL_HUP;
        const struct sim_file *file = vigil__sim_fd_file(world.host, entries[i].fd);
        unsigned events = file != NULL ? vigil__sim_ready(file) & asked : VIGIL_NVAL;
        entries[i].revents = (short)(entries[i].fd < 0 ? 0 : events);
        found += entries[i].revents != 0;
    }
    return found;
}

int virtual_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    world_pass(WORLD_CALL_NS);
    vigil_ns deadline = timeout_ms < 0 ? VIGIL_FOREVER : until(VIGIL_MS(timeout_ms));
    int found;
    while ((found = poll_now(entries, count)) == 0 && world.sim->now < deadline)
        if (!vigil__sim_step(world.sim, NULL, deadline))
            virtual_skip("a wait without an end");
    return found;
}

int virtual_clock_gettime(clockid_t clock, struct timespec *out)
{
    if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
        return clock_gettime(clock, out);
    world_pass(VIGIL_US(1)); /* who asks until it is late enough comes to an end */
    *out = (struct timespec){ .tv_sec = (time_t)(world.sim->now / VIGIL_S(1)),
                              .tv_nsec = (long)(world.sim->now % VIGIL_S(1)) };
    return 0;
}

int virtual_nanosleep(const struct timespec *duration, struct timespec *left)
{
    (void)left;
    world_pass(VIGIL_S(duration->tv_sec) + duration->tv_nsec);
    return 0;
}

int virtual_usleep(useconds_t us)
{
    world_pass(VIGIL_US(us));
    return 0;
}

/* ---- files ---- */

int virtual_open(const char *path, int flags, ...)
{
    (void)flags;
    struct sim_name *name = vigil__sim_name_find(world.host, path, strlen(path));
    if (name == NULL && (flags & O_CREAT) == 0 && strncmp(path, "/dev/", 5) != 0 &&
        strncmp(path, "/proc/", 6) != 0)
        return answer(VIGIL_ENOENT);
    virtual_skip("a world has no names of files");
}

static int empty_file(void)
{
    vigil_fd fd;
    int err = vigil_sim_file(world.sim, world.table, NULL, 0, &fd);
    return err < 0 ? answer(err) : own(fd);
}

int virtual_mkstemp(char *path)
{
    (void)path; /* nobody opens it again */
    return empty_file();
}

int virtual_mkostemp(char *path, int flags)
{
    (void)path, (void)flags;
    return empty_file();
}

/* A file of this machine is written to, and copied into the world once its number is wanted. */
FILE *virtual_tmpfile(void)
{
    return tmpfile();
}

int virtual_fileno(FILE *file)
{
    size_t i = VIGIL_COUNT(world.files);
    for (size_t at = 0; at < VIGIL_COUNT(world.files); at++) {
        if (world.files[at].file == file)
            return world.files[at].fd;
        i = world.files[at].file == NULL ? at : i;
    }
    long at = ftell(file);
    (void)fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    char *bytes = malloc(n + 1);
    rewind(file);
    vigil_fd fd;
    bool copied = i < VIGIL_COUNT(world.files) && bytes != NULL && fread(bytes, 1, n, file) == n &&
                  vigil_sim_file(world.sim, world.table, bytes, n, &fd) == 0;
    free(bytes);
    (void)fseek(file, at, SEEK_SET); /* it has been there */
    if (!copied)
        virtual_skip("more files than a world has room for");
    world.files[i].file = file;
    return world.files[i].fd = own(fd);
}

int virtual_fclose(FILE *file)
{
    for (size_t i = 0; i < VIGIL_COUNT(world.files); i++) {
        if (world.files[i].file != file)
            continue;
        world.files[i].file = NULL;
        (void)virtual_close(world.files[i].fd);
    }
    return fclose(file);
}

off_t virtual_lseek(int fd, off_t at, int from)
{
    struct sim_file *file = file_of(fd);
    if (file == NULL)
        return -1;
    if (file->kind != SIM_REGULAR || from == SEEK_END)
        virtual_skip("a world has no such lseek");
    file->at = from == SEEK_SET ? at : file->at + at;
    return file->at;
}

int virtual_stat(const char *path, struct stat *out)
{
    const struct sim_name *name = vigil__sim_name_find(world.host, path, strlen(path));
    if (name == NULL)
        return answer(VIGIL_ENOENT);
    *out = (struct stat){ .st_mode = S_IFSOCK | name->mode, .st_ino = name->identity };
    return 0;
}

int virtual_access(const char *path, int how)
{
    (void)how;
    bool there = vigil__sim_name_find(world.host, path, strlen(path)) != NULL;
    return there ? 0 : answer(VIGIL_ENOENT);
}

int virtual_unlink(const char *path)
{
    if (vigil__sim_name_find(world.host, path, strlen(path)) == NULL)
        return answer(VIGIL_ENOENT);
    return answer(world.table->unlink(world.table->self, path));
}

/* ---- limits and signals ---- */

int virtual_getrlimit(int what, struct rlimit *out)
{
    if (what != RLIMIT_NOFILE)
        virtual_skip("a world has one limit, that of descriptors");
    *out = (struct rlimit){ world.host->fd_limit, WORLD_FDS_MAX };
    return 0;
}

int virtual_setrlimit(int what, const struct rlimit *to)
{
    (void)what;
    world.host->fd_limit = (uint32_t)vigil__min(to->rlim_cur, WORLD_FDS_MAX);
    return 0;
}

int virtual_raise(int signo)
{
    vigil_sim_signal(world.sim, world.table, signo);
    return 0;
}

int virtual_kill(pid_t process, int signo)
{
    (void)process; /* this one */
    return virtual_raise(signo);
}
