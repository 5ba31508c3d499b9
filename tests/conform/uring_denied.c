/* SPDX-License-Identifier: MIT
 *
 * uring_denied.c -- where io_uring is not to be had, or by half: kernels without it, sandboxes,
 * limits.  Each row is a child process under a filter of system calls; one sees that nothing is
 * taken for denied where nothing is.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "sys/uring_abi.h"
#include "test.h"

enum { SETUP = 425, ENTER = 426, REGISTER = 427 };

/* From now on what the filter says happens to the call of that number, and to no other. */
static bool filter_call(unsigned number, unsigned action)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = TEST_COUNT(filter), .filter = filter };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* ---- in the child, which has no harness ---- */

enum {
    CANNOT_FILTER = 1,
    OPENED_OTHERWISE,
    OTHER_REASON,
    OTHER_BACKEND,
    NO_ECHO,
    POLLER,
    FEATURES
};

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static bool loop_echoes(vigil_loop *loop)
{
    static const vigil_conn_ops ops = { .data = echo };
    int ends[2];
    char p[4];
    ssize_t n = -1;
    vigil_conn conn;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0 ||
        vigil_adopt(loop, ends[0], ends[0], &(vigil_conn_options){ .ops = &ops }, &conn) != 0 ||
        write(ends[1], "echo", 4) != 4)
        return false;
    for (int turns = 0; n < 0 && turns < 1000; turns++) {
        if (vigil_loop_turn(loop, VIGIL_MS(10)) < 0)
            return false;
        n = read(ends[1], p, sizeof(p));
    }
    close(ends[1]);
    return n == 4 && memcmp(p, "echo", 4) == 0;
}

/* What opening a loop on `name` answers; `backend`: what it then is, and echoes. */
static int loop_opens(const char *name, int want, const char *backend)
{
    vigil_loop *loop = NULL;
    int status = vigil_loop_open(&loop, &(vigil_loop_options){ .backend = name });
    if (status != want)
        return OPENED_OTHERWISE;
    if (status != 0)
        return 0;
    int result = strcmp(vigil_loop_backend(loop), backend) != 0 ? OTHER_BACKEND
                 : loop_echoes(loop)                            ? 0
                                                                : NO_ECHO;
    vigil_loop_close(loop);
    return result;
}

struct denied {
    unsigned call, error;
    int named;        /* what a loop on io_uring answers */
    const char *best; /* what one without a name becomes; NULL: it answers the same */
};

static int child_is_denied(const struct denied *row)
{
    unsetenv("VIGIL_BACKEND");
    if (!filter_call(row->call, SECCOMP_RET_ERRNO | row->error))
        return CANNOT_FILTER;
    int result = loop_opens("io_uring", row->named, "io_uring");
    if (result != 0)
        return result;
    if (row->named != 0 && vigil_os_error() != (int)row->error)
        return OTHER_REASON;
    if (vigil_backend_try("io_uring") != (row->call == REGISTER ? 0 : row->named))
        return POLLER;
    vigil_feature first = { .found = true };
    int features = vigil_backend_features("io_uring", &first, 1);
    if (row->named != 0 ? features != row->named : first.found)
        return FEATURES;
    return loop_opens(NULL, row->best != NULL ? 0 : row->named, row->best);
}

static int in_a_child(int (*fn)(const struct denied *row), const struct denied *row)
{
    int state = 0;
    fflush(stdout); /* or the child's copy would be written too */
    pid_t child = fork();
    if (child == 0) {
        alarm(60); /* one that hangs is killed and counted */
        _exit(fn(row));
    }
    REQUIRE(child > 0);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(state) ? WEXITSTATUS(state) : 256 + state;
}

static void each_is_denied(const struct denied *rows, size_t count)
{
    if (vigil_backend_try("io_uring") != 0)
        SKIP("io_uring is not to be had here");
    for (size_t i = 0; i < count; i++) {
        int result = in_a_child(child_is_denied, &rows[i]);
        if (result == CANNOT_FILTER)
            SKIP("system calls cannot be denied here");
        EQ_INT(0, result, "call %u denied with %s", rows[i].call, strerror((int)rows[i].error));
    }
}

/* ---- rows ---- */

/* Whether this is Linux 6.0 or later, with an io_uring that is not denied, asked past the library:
 * a ring for one thread alone, entering it, and a ring of buffers. */
static bool kernel_performs(void)
{
    struct vigil__uring_params params = { .flags = VIGIL__URING_SETUP_SINGLE_ISSUER };
    long ring = syscall(SETUP, 4, &params);
    if (ring < 0)
        return false;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct vigil__uring_buf_ring bufs = { .addr = (uint64_t)(uintptr_t)page, .entries = 2 };
    bool performs = page != MAP_FAILED && syscall(ENTER, ring, 0, 0, 0, NULL, 0) == 0 &&
                    syscall(REGISTER, ring, VIGIL__URING_REGISTER_BUF_RING, &bufs, 1) == 0;
    close((int)ring);
    if (page != MAP_FAILED)
        munmap(page, 4096);
    return performs;
}

/* Or every row about operations would be skipped, and nobody would see that they are lost. */
TEST(what_the_kernel_performs_is_not_found_by_the_trial)
{
    if (!kernel_performs())
        SKIP("this kernel's io_uring is older than 6.0, or denied");
    EQ_INT(0, vigil_backend_try("io_uring"));
    OK(test_kernel_performs("io_uring"));
    OK(test_kernel_has("operations"));
}

TEST(where_set_up_is_denied_the_best_of_the_others_is_taken_silently)
{
    static const struct denied rows[] = {
        { SETUP, ENOSYS, VIGIL_ENOTSUP, "epoll" }, /* before 5.1, or built without */
        { SETUP, EPERM, VIGIL_ENOTSUP, "epoll" },  /* a sandbox, or kernel.io_uring_disabled */
        { SETUP, EACCES, VIGIL_ENOTSUP, "epoll" },
        { SETUP, EINVAL, VIGIL_ENOTSUP, "epoll" }, /* gVisor */
    };
    each_is_denied(rows, TEST_COUNT(rows));
}

TEST(out_of_memory_or_descriptors_is_told_and_not_hidden_behind_a_lesser_one)
{
    static const struct denied rows[] = {
        { SETUP, ENOMEM, VIGIL_ENOMEM, NULL },
        { SETUP, EMFILE, VIGIL_EMFILE, NULL },
        { SETUP, ENFILE, VIGIL_EMFILE, NULL },
    };
    each_is_denied(rows, TEST_COUNT(rows));
}

TEST(set_up_is_allowed_and_entering_is_denied)
{
    static const struct denied rows[] = {
        { ENTER, EPERM, VIGIL_ENOTSUP, "epoll" },
        { ENTER, EACCES, VIGIL_ENOTSUP, "epoll" },
        { ENTER, ENOSYS, VIGIL_ENOTSUP, "epoll" },
    };
    if (vigil_backend_try("io_uring") != 0)
        SKIP("io_uring is not to be had here");
    each_is_denied(rows, TEST_COUNT(rows));
}

TEST(without_buffers_of_ours_io_uring_works_by_readiness_when_asked_for)
{
    static const struct denied rows[] = {
        { REGISTER, EPERM, 0, "epoll" },
        { REGISTER, EINVAL, 0, "epoll" },
        { REGISTER, ENOSYS, 0, "epoll" },
    };
    if (vigil_backend_try("io_uring") != 0)
        SKIP("io_uring is not to be had here");
    each_is_denied(rows, TEST_COUNT(rows));
}

static int child_opts_out(const struct denied *row)
{
    (void)row;
    setenv("VIGIL_BACKEND", "epoll", 1);
    for (unsigned call = SETUP; call <= REGISTER; call++)
        if (!filter_call(call, SECCOMP_RET_KILL_PROCESS))
            return CANNOT_FILTER;
    vigil_poller *poller;
    if (vigil_poller_open(&poller, NULL) != 0)
        return POLLER;
    vigil_poller_close(poller);
    return loop_opens(NULL, 0, "epoll");
}

/* A poller has nothing for it to perform: it does not even look. */
static int child_polls(const struct denied *row)
{
    (void)row;
    unsetenv("VIGIL_BACKEND");
    for (unsigned call = SETUP; call <= REGISTER; call++)
        if (!filter_call(call, SECCOMP_RET_KILL_PROCESS))
            return CANNOT_FILTER;
    vigil_poller *poller;
    if (vigil_poller_open(&poller, NULL) != 0)
        return POLLER;
    vigil_poller_close(poller);
    return 0;
}

TEST(who_opted_out_makes_no_call_of_io_uring_at_all)
{
    static int (*const children[])(const struct denied *) = { child_opts_out, child_polls };
    for (size_t i = 0; i < TEST_COUNT(children); i++) {
        int result = in_a_child(children[i], NULL);
        if (result == CANNOT_FILTER)
            SKIP("system calls cannot be denied here");
        EQ_INT(0, result, "child %zu; above 256: killed by a signal, which is the rest", i);
    }
}
