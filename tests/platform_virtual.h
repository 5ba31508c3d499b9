/* SPDX-License-Identifier: MIT
 *
 * platform_virtual.h -- platform.h for tests in virtual time: the POSIX calls of the tests on a
 * host of a simulated world, which is this machine for the library, too.
 *
 * What the world has not ends the test that asks for it as skipped, with the reason.  The calls are
 * in tests/virtual/; a test program is linked with it and with ld's --wrap=vigil__host_system.
 */
#ifndef TEST_PLATFORM_VIRTUAL_H
#define TEST_PLATFORM_VIRTUAL_H

#include "virtual/virtual.h"

#define socket      virtual_socket
#define socketpair  virtual_socketpair
#define pipe2       virtual_pipe2
#define bind        virtual_bind
#define listen      virtual_listen
#define accept      virtual_accept
#define connect     virtual_connect
#define recv        virtual_recv
#define send        virtual_send
#define read        virtual_read
#define write       virtual_write
#define shutdown    virtual_shutdown
#define close       virtual_close
#define dup         virtual_dup
#define dup3        virtual_dup3
#define fcntl       virtual_fcntl
#define setsockopt  virtual_setsockopt
#define getsockopt  virtual_getsockopt
#define getsockname virtual_getsockname
#define getpeername virtual_getpeername
#define poll        virtual_poll
#define ioctl       virtual_ioctl
#define lseek       virtual_lseek
#define getrlimit   virtual_getrlimit
#define setrlimit   virtual_setrlimit

#define clock_gettime virtual_clock_gettime
#define nanosleep     virtual_nanosleep
#define usleep        virtual_usleep

#define open     virtual_open
#define mkstemp  virtual_mkstemp
#define mkostemp virtual_mkostemp
#define tmpfile  virtual_tmpfile
#undef fileno
#define fileno    virtual_fileno
#define fclose    virtual_fclose
#define stat(...) virtual_stat(__VA_ARGS__)
#define access    virtual_access
#define unlink    virtual_unlink

#define test_begin       virtual_begin
#define test_end         virtual_end
#define test_leaving     virtual_leaving
#define test_repeat      virtual_repeat
#define test_is_repeated virtual_is_repeated
#define test_memory      virtual_resize

static void test_note_fds(unsigned char *open_fds)
{
    virtual_note_fds(open_fds, TEST_FDS_MAX);
}

static void test_name_fd(int fd, char *text, size_t size)
{
    snprintf(text, size, "of the world's %d", fd);
}

#define raise virtual_raise
#define kill  virtual_kill

/* Some of the library's members have these names, too. */
#include "virtual/library.h"

#define vigil_loop_open  virtual_loop_open
#define vigil_loop_close virtual_loop_close
#define vigil_loop_turn  virtual_loop_turn
#define vigil_loop_run   virtual_loop_run

#define vigil_adopt     virtual_adopt
#define vigil_listen_fd virtual_listen_fd

#define vigil_remote_open virtual_remote_open
#define vigil_remote_keep virtual_remote_keep
#define vigil_remote_drop virtual_remote_drop

#define vigil_poller_open  virtual_poller_open
#define vigil_poller_close virtual_poller_close
#define vigil_poller_wait  virtual_poller_wait

#define vigil_send         virtual_conn_send
#define vigil_send_all     virtual_conn_send_all
#define vigil_sendv        virtual_conn_sendv
#define vigil_send_owned   virtual_conn_send_owned
#define vigil_send_file    virtual_conn_send_file
#define vigil_couple       virtual_couple
#define vigil_conn_set_ops virtual_conn_set_ops

#define vigil_backend_name     virtual_backend_name
#define vigil_backend_features virtual_backend_features

/* ---- what a world has not ----------------------------------------------------------------- */

#define VIRTUAL_LACKS(type, declaration, what)      \
    __attribute__((unused)) static type declaration \
    {                                               \
        virtual_skip(what);                         \
    }
#define VIRTUAL_UNUSED __attribute__((unused))

#define NO_THREADS "a world has one thread"
#define NO_FORK    "a world has no processes"
#define NO_SIGNALS "a world has no dispositions of signals"
#define NO_TIMERS  "a world has no timers that interrupt"
#define NO_TTYS    "a world has no terminals"

#define fork           virtual_fork
#define waitpid        virtual_waitpid
#define pthread_create virtual_pthread_create
#define pthread_join   virtual_pthread_join
#define sigaction(...) virtual_sigaction(__VA_ARGS__)
#define setitimer      virtual_setitimer
#define alarm          virtual_alarm
#define timer_create   virtual_timer_create
#define posix_openpt   virtual_posix_openpt
#define eventfd        virtual_eventfd

VIRTUAL_LACKS(pid_t, virtual_fork(void), NO_FORK)
VIRTUAL_LACKS(pid_t,
              virtual_waitpid(pid_t child VIRTUAL_UNUSED, int *state VIRTUAL_UNUSED,
                              int options VIRTUAL_UNUSED),
              NO_FORK)
VIRTUAL_LACKS(int,
              virtual_pthread_create(pthread_t *thread VIRTUAL_UNUSED,
                                     const pthread_attr_t *attributes VIRTUAL_UNUSED,
                                     void *(*fn)(void *)VIRTUAL_UNUSED, void *arg VIRTUAL_UNUSED),
              NO_THREADS)
VIRTUAL_LACKS(int,
              virtual_pthread_join(pthread_t thread VIRTUAL_UNUSED, void **result VIRTUAL_UNUSED),
              NO_THREADS)
VIRTUAL_LACKS(int,
              virtual_sigaction(int signo VIRTUAL_UNUSED, const struct sigaction *to VIRTUAL_UNUSED,
                                struct sigaction *found VIRTUAL_UNUSED),
              NO_SIGNALS)
VIRTUAL_LACKS(int,
              virtual_setitimer(int which VIRTUAL_UNUSED, const struct itimerval *to VIRTUAL_UNUSED,
                                struct itimerval *found VIRTUAL_UNUSED),
              NO_TIMERS)
VIRTUAL_LACKS(unsigned, virtual_alarm(unsigned seconds VIRTUAL_UNUSED), NO_TIMERS)
VIRTUAL_LACKS(int,
              virtual_timer_create(clockid_t clock VIRTUAL_UNUSED,
                                   struct sigevent *event VIRTUAL_UNUSED,
                                   timer_t *out VIRTUAL_UNUSED),
              NO_TIMERS)
VIRTUAL_LACKS(int, virtual_posix_openpt(int flags VIRTUAL_UNUSED), NO_TTYS)
VIRTUAL_LACKS(int, virtual_eventfd(unsigned count VIRTUAL_UNUSED, int flags VIRTUAL_UNUSED),
              "a world has no eventfd")

#endif
