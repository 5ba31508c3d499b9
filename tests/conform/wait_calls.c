/* SPDX-License-Identifier: MIT
 *
 * wait_calls.c -- the calls that wait, where nothing above them shows it: the waker, and the waits
 * of epoll on a kernel that knows no nanoseconds, which a filter of system calls plays.
 */
#if __has_include(<linux/filter.h>)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#endif

#include "situations.h"

#include "sys/wait_calls.h"

static bool is_readable(int fd)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    return poll(&entry, 1, 0) == 1;
}

TEST(a_waker_is_readable_from_signal_to_drain)
{
    struct vigil__waker waker;
    REQUIRE(vigil__call_waker_open(&waker) == 0);
    EQ_INT(FD_CLOEXEC, fcntl(waker.read_fd, F_GETFD));
    EQ_INT(FD_CLOEXEC, fcntl(waker.write_fd, F_GETFD));
    OK(!is_readable(waker.read_fd));
    for (int i = 0; i < 100000; i++) /* more than a pipe holds */
        REQUIRE(vigil__call_waker_signal(&waker) == 0);
    OK(is_readable(waker.read_fd));
    vigil__call_waker_drain(&waker);
    OK(!is_readable(waker.read_fd));
    vigil__call_waker_drain(&waker); /* of nothing: it does not block */
    uint64_t full = UINT64_MAX - 1;
    if (write(waker.write_fd, &full, sizeof(full)) == sizeof(full)) {
        errno = 12345;
        EQ_INT(0, vigil__call_waker_signal(&waker), "a counter that is full");
        EQ_INT(12345, errno, "it may stand in a signal handler");
        OK(is_readable(waker.read_fd));
    }
    vigil__call_waker_close(&waker);
    EQ_INT(-1, waker.read_fd);
    errno = 12345;
    EQ_INT(VIGIL_EBADF, vigil__call_waker_signal(&waker));
    EQ_INT(12345, errno);
    EQ_INT(EBADF, vigil_os_error());
}

/* From now on the system call of that number answers `error` in this process. */
static bool deny_call(unsigned number, unsigned error)
{
#ifdef BPF_STMT
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = TEST_COUNT(filter), .filter = filter };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#else
    (void)number, (void)error; /* musl-gcc has no headers of the kernel to say it with */
    return false;
#endif
}

enum { CHILD_EARLY = 1, CHILD_FAILED, CHILD_SPINS, CHILD_CANNOT_DENY };

/* Waits of odd lengths on an old kernel. */
static int wait_denied(int epoll, unsigned error)
{
    static const vigil_ns rows[] = { 1, 999999, VIGIL_US(1001), VIGIL_US(1500), VIGIL_MS(3) };
    struct vigil__epoll_event event;
    if (!deny_call(441, error))
        return CHILD_CANNOT_DENY;
    for (size_t i = 0; i < 10 * TEST_COUNT(rows); i++) {
        vigil_ns timeout = rows[i % TEST_COUNT(rows)], start = now_ns();
        if (vigil__call_epoll_wait(epoll, &event, 1, timeout) != 0)
            return CHILD_FAILED;
        if (now_ns() - start < timeout)
            return CHILD_EARLY;
    }
    return 0;
}

static void count(vigil_loop *loop, void *arg)
{
    (void)loop;
    ++*(int *)arg;
}

/* What a program sees of that: a poller that waits as long as it was told, and a loop that does not
 * turn for nothing until a timer is due. */
static int program_denied(int unused, unsigned error)
{
    enum { TIMES = 20, TURNS_MAX = 4 * TIMES };
    vigil_poller *poller;
    vigil_loop *loop;
    vigil_event event;
    int fired = 0, turns = 0;
    (void)unused;
    if (!deny_call(441, error))
        return CHILD_CANNOT_DENY;
    if (vigil_poller_open(&poller, "epoll") != 0 ||
        vigil_loop_open(&loop, &(vigil_loop_options){ .backend = "epoll" }) != 0)
        return CHILD_FAILED;
    for (int i = 0; i < TIMES; i++) {
        vigil_ns start = now_ns();
        if (vigil_poller_wait(poller, &event, 1, VIGIL_US(1500)) != 0)
            return CHILD_FAILED;
        if (now_ns() - start < VIGIL_US(1500))
            return CHILD_EARLY;
        if (vigil_after(loop, VIGIL_US(1500), count, &fired, NULL) != 0)
            return CHILD_FAILED;
        for (; fired == i; turns++)
            if (vigil_loop_turn(loop, VIGIL_FOREVER) < 0)
                return CHILD_FAILED;
    }
    vigil_loop_close(loop);
    vigil_poller_close(poller);
    return turns > TURNS_MAX ? CHILD_SPINS : 0;
}

/* Runs that in a child for which epoll_pwait2 is not to be had.  False: it cannot be denied. */
static bool in_denied_child(int (*run)(int epoll, unsigned error), int epoll)
{
    static const unsigned errors[] = { ENOSYS, EPERM };
    for (size_t i = 0; i < TEST_COUNT(errors); i++) {
        int status = -1;
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0)
            _exit(run(epoll, errors[i]));
        REQUIRE(waitpid(child, &status, 0) == child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CANNOT_DENY)
            return false;
        EQ_INT(0, status, "%s: exit status times 256", strerror((int)errors[i]));
    }
    return true;
}

/* Before Linux 5.11, and in some sandboxes, there are only milliseconds: they are rounded up. */
TEST(epoll_without_nanoseconds_is_not_early)
{
    int epoll = vigil__call_epoll_create();
    REQUIRE(epoll >= 0);
    bool denied = in_denied_child(wait_denied, epoll);
    close(epoll);
    if (!denied)
        SKIP("system calls cannot be denied here");
}

TEST(a_program_without_nanoseconds_neither_wakes_early_nor_spins)
{
    if (!in_denied_child(program_denied, -1))
        SKIP("system calls cannot be denied here");
}
