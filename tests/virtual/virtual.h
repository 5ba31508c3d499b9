/* SPDX-License-Identifier: MIT
 *
 * virtual.h -- a simulated world for each row of the conformance suite: the calls that its POSIX
 * names stand for (posix.c), and the world around a row, with what must hold at its end (row.c).
 */
#ifndef TEST_VIRTUAL_H
#define TEST_VIRTUAL_H

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

/* ---- a row ---- */

/* The harness's: ends the row as skipped. */
typedef void virtual_leave_fn(const char *reason);

/* Begins a world of its own for a row. */
void virtual_begin(virtual_leave_fn *leave);
/* The row leaves in its midst, its frames are still there: what it has open is closed for it.  What
 * one that is skipped leaves is not looked at. */
void virtual_leaving(bool skipped);
/* Ends the world, and answers how much was wrong with it, each told on stderr. */
int virtual_end(void);
/* Runs a row, once; or, when VIGIL_FAIL_STEP or VIGIL_FAIL_ONLY asks for it, again and again with
 * something failing each time.  Answers how many of these failed; where nothing could be made to
 * fail, `*skip` says why. */
int virtual_repeat(const char *program, const char *title, void (*run)(void *arg), void *arg,
                   const char **skip);
/* Whether it runs again and again. */
bool virtual_is_repeated(void);
/* Ends the row as skipped. */
_Noreturn void virtual_skip(const char *reason);
/* Memory as the library's allocators have it, from the world. */
void *virtual_resize(void *old, size_t old_size, size_t new_size);

void virtual_note_fds(unsigned char *open_fds, size_t count);

/* ---- what a row calls ---- */

int virtual_socket(int family, int type, int protocol);
int virtual_socketpair(int family, int type, int protocol, int fds[2]);
int virtual_pipe2(int fds[2], int flags);
int virtual_bind(int fd, const struct sockaddr *addr, socklen_t size);
int virtual_listen(int fd, int backlog);
int virtual_accept(int fd, struct sockaddr *addr, socklen_t *size);
int virtual_connect(int fd, const struct sockaddr *addr, socklen_t size);
ssize_t virtual_recv(int fd, void *p, size_t n, int flags);
ssize_t virtual_send(int fd, const void *p, size_t n, int flags);
ssize_t virtual_read(int fd, void *p, size_t n);
ssize_t virtual_write(int fd, const void *p, size_t n);
int virtual_shutdown(int fd, int how);
int virtual_close(int fd);
int virtual_dup(int fd);
int virtual_dup3(int fd, int number, int flags);
int virtual_fcntl(int fd, int command, ...);
int virtual_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int virtual_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int virtual_getsockname(int fd, struct sockaddr *addr, socklen_t *size);
int virtual_getpeername(int fd, struct sockaddr *addr, socklen_t *size);
int virtual_ioctl(int fd, unsigned long request, int *value);
int virtual_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
off_t virtual_lseek(int fd, off_t at, int from);
int virtual_getrlimit(int what, struct rlimit *out);
int virtual_setrlimit(int what, const struct rlimit *to);

int virtual_clock_gettime(clockid_t clock, struct timespec *out);
int virtual_nanosleep(const struct timespec *duration, struct timespec *left);
int virtual_usleep(useconds_t us);

int virtual_open(const char *path, int flags, ...);
int virtual_mkstemp(char *path);
int virtual_mkostemp(char *path, int flags);
FILE *virtual_tmpfile(void);
int virtual_fileno(FILE *file);
int virtual_fclose(FILE *file);
int virtual_stat(const char *path, struct stat *out);
int virtual_access(const char *path, int how);
int virtual_unlink(const char *path);

int virtual_raise(int signo);
int virtual_kill(pid_t process, int signo);

#endif
