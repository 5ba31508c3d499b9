/* SPDX-License-Identifier: MIT
 *
 * sys.c -- the ground floor on this machine: marks of processes and threads, signals, statuses, and
 * the host table.  What could kill or stop the test program runs in a child.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/host.h"
#include "test.h"

/* The host's calls, shorter: HOST(read, fd, p, n). */
#define HOST(call, ...) vigil__host_system()->call(vigil__host_system()->self, __VA_ARGS__)

/* In a child, which must not use the harness: tells what went wrong and leaves. */
#define CHILD_OK(fact) ((fact) ? (void)0 : child_fails(__LINE__, #fact))

static void child_fails(int line, const char *fact)
{
    (void)dprintf(STDERR_FILENO, "# %s:%d: %s\n", __FILE__, line, fact); /* the exit code counts */
    _exit(1);
}

/* Runs `fn` in a child: 0, its exit code, or the negative number of the signal that killed it. */
static int in_child(void (*fn)(void))
{
    int state = 0;
    (void)fflush(stdout); /* or the child's copy would be written too */
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(60); /* one that hangs is killed and counted */
        fn();
        _exit(0);
    }
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state);
}

static bool is_nonblocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static bool is_close_on_exec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

/* ---- marks -------------------------------------------------------------------------------- */

static uint64_t parents_mark, childs_mark;

static void grandchild_marks(void)
{
    uint64_t mark = vigil__process_mark();
    CHILD_OK(mark != 0 && mark != parents_mark && mark != childs_mark);
    CHILD_OK(vigil__process_is(mark));
    CHILD_OK(!vigil__process_is(parents_mark) && !vigil__process_is(childs_mark));
}

static void child_marks(void)
{
    CHILD_OK(!vigil__process_is(parents_mark));
    childs_mark = vigil__process_mark();
    CHILD_OK(childs_mark != 0 && childs_mark != parents_mark);
    CHILD_OK(vigil__process_is(childs_mark) && !vigil__process_is(parents_mark));
    CHILD_OK(vigil__process_mark() == childs_mark);
    CHILD_OK(in_child(grandchild_marks) == 0);
    CHILD_OK(vigil__process_is(childs_mark));
}

TEST(process_mark)
{
    OK(!vigil__process_is(0), "0 is no mark");
    parents_mark = vigil__process_mark();
    OK(parents_mark != 0, "a mark");
    EQ_INT(parents_mark, vigil__process_mark(), "the same again");
    OK(vigil__process_is(parents_mark), "this process");
    OK(!vigil__process_is(parents_mark + 1), "not this process");
    EQ_INT(0, in_child(child_marks), "in children");
    OK(vigil__process_is(parents_mark), "this process, after children");
}

enum { THREADS = 8 };
static pthread_barrier_t barrier;

static void *take_marks(void *arg)
{
    (void)pthread_barrier_wait(&barrier); /* answers who was last */
    *(uint64_t *)arg = vigil__process_mark();
    return NULL;
}

/* In a child, whose mark is not made yet: the threads race for it. */
static void child_marks_in_threads(void)
{
    pthread_t threads[THREADS];
    uint64_t marks[THREADS];
    CHILD_OK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        CHILD_OK(pthread_create(&threads[i], NULL, take_marks, &marks[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        CHILD_OK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHILD_OK(marks[i] == marks[0] && vigil__process_is(marks[i]));
}

TEST(process_mark_in_threads)
{
    for (int round = 0; round < 20; round++)
        EQ_INT(0, in_child(child_marks_in_threads), "round %d", round);
}

static void *thread_mark(void *arg)
{
    const void **mark = arg;
    *mark = vigil__thread_mark();
    (void)pthread_barrier_wait(&barrier); /* all live until all have taken theirs */
    return NULL;
}

TEST(thread_marks)
{
    pthread_t threads[THREADS];
    const void *marks[THREADS + 1] = { vigil__thread_mark() };
    EQ_INT(0, pthread_barrier_init(&barrier, NULL, THREADS), "a barrier");
    for (int i = 0; i < THREADS; i++)
        EQ_INT(0, pthread_create(&threads[i], NULL, thread_mark, &marks[i + 1]), "a thread");
    for (int i = 0; i < THREADS; i++)
        EQ_INT(0, pthread_join(threads[i], NULL), "joined");
    EQ_INT(0, pthread_barrier_destroy(&barrier), "the barrier");
    OK(marks[0] == vigil__thread_mark(), "a thread keeps its mark");
    for (int i = 0; i <= THREADS; i++) {
        for (int k = 0; k < i; k++)
            OK(marks[i] != marks[k], "threads %d and %d", i, k);
    }
}

/* ---- statuses ----------------------------------------------------------------------------- */

static const struct {
    int os_error, want;
} status_rows[] = {
    { EAGAIN, VIGIL__EAGAIN },
    { EWOULDBLOCK, VIGIL__EAGAIN },
    { EPIPE, VIGIL_ECONNRESET },
    { ECONNRESET, VIGIL_ECONNRESET },
    { ECONNABORTED, VIGIL_ECONNRESET },
    { ECONNREFUSED, VIGIL_ECONNREFUSED },
    { ETIMEDOUT, VIGIL_ETIMEDOUT },
    { ENETDOWN, VIGIL_EUNREACH },
    { ENETUNREACH, VIGIL_EUNREACH },
    { EHOSTUNREACH, VIGIL_EUNREACH },
    { EHOSTDOWN, VIGIL_EUNREACH },
    { ENFILE, VIGIL_EMFILE },
    { EMFILE, VIGIL_EMFILE },
    { ENOMEM, VIGIL_ENOMEM },
    { ENOBUFS, VIGIL_ENOBUFS },
    { EADDRINUSE, VIGIL_EADDRINUSE },
    { EADDRNOTAVAIL, VIGIL_EADDR },
    { EAFNOSUPPORT, VIGIL_EADDR },
    { ENOTCONN, VIGIL_ENOTCONN },
    { EACCES, VIGIL_EACCES },
    { EPERM, VIGIL_EACCES },
    { ENOENT, VIGIL_ENOENT },
    { EEXIST, VIGIL_EEXIST },
    { EBADF, VIGIL_EBADF },
    { EINVAL, VIGIL_EINVAL },
    { EPROTO, VIGIL_EPROTO },
    { EOPNOTSUPP, VIGIL_ENOTSUP },
    { ENOSYS, VIGIL_ENOTSUP },
    { EIO, VIGIL_ESYS },
    { ENOSPC, VIGIL_ESYS },
};

TEST(statuses)
{
    for (size_t i = 0; i < VIGIL_COUNT(status_rows); i++) {
        EQ_INT(status_rows[i].want, vigil__status_of(status_rows[i].os_error), "%s",
               strerror(status_rows[i].os_error));
        EQ_INT(status_rows[i].os_error, vigil_os_error(), "kept");
    }
}

static void *own_os_error(void *arg)
{
    *(int *)arg = vigil_os_error();
    (void)vigil__status_of(ENOSPC); /* for its trace in this thread */
    return NULL;
}

TEST(os_error_is_per_thread)
{
    pthread_t thread;
    int seen = -1;
    (void)vigil__status_of(EIO); /* for its trace in this thread */
    EQ_INT(0, pthread_create(&thread, NULL, own_os_error, &seen), "a thread");
    EQ_INT(0, pthread_join(thread, NULL), "joined");
    EQ_INT(0, seen, "nothing failed there yet");
    EQ_INT(EIO, vigil_os_error(), "kept here");
}

/* ---- signals ------------------------------------------------------------------------------ */

static void count_wake(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
    errno = EDOM; /* a wake may fail: the code that was interrupted must not see it */
}

struct counted_sink {
    struct vigil__signal_sink sink;
    _Atomic int wakes;
};

static void sink_init(struct counted_sink *sink)
{
    memset(sink, 0, sizeof *sink);
    sink->sink.wake = count_wake;
    sink->sink.arg = &sink->wakes;
}

static uint64_t bit(int signo)
{
    return UINT64_C(1) << (signo - 1);
}

static _Atomic int others_signals;

static void others_handler(int signo)
{
    (void)signo;
    atomic_fetch_add(&others_signals, 1);
}

static void others_install(int signo)
{
    struct sigaction action = { .sa_handler = others_handler, .sa_flags = SA_NODEFER };
    (void)sigemptyset(&action.sa_mask); /* cannot fail */
    EQ_INT(0, sigaction(signo, &action, NULL), "another's handler");
}

TEST(signal_many_sinks)
{
    struct counted_sink sinks[3];
    for (int i = 0; i < 3; i++) {
        sink_init(&sinks[i]);
        EQ_INT(0, HOST(signal_add, SIGUSR1, &sinks[i].sink), "sink %d", i);
    }
    EQ_INT(0, HOST(signal_add, SIGUSR2, &sinks[1].sink), "a second signal");
    errno = ERANGE;
    EQ_INT(0, raise(SIGUSR1), "USR1");
    EQ_INT(ERANGE, errno, "errno is as it was");
    EQ_INT(0, raise(SIGUSR2), "USR2");
    for (int i = 0; i < 3; i++) {
        uint64_t want = i == 1 ? bit(SIGUSR1) | bit(SIGUSR2) : bit(SIGUSR1);
        EQ_INT(want, atomic_load(&sinks[i].sink.pending), "sink %d", i);
        EQ_INT(i == 1 ? 2 : 1, atomic_load(&sinks[i].wakes), "sink %d", i);
    }
    HOST(signal_remove, SIGUSR1, &sinks[1].sink);
    EQ_INT(0, raise(SIGUSR1), "USR1 again");
    EQ_INT(2, atomic_load(&sinks[0].wakes), "still there");
    EQ_INT(2, atomic_load(&sinks[1].wakes), "gone for USR1");
    EQ_INT(0, raise(SIGUSR2), "USR2 again");
    EQ_INT(3, atomic_load(&sinks[1].wakes), "not gone for USR2");
    HOST(signal_remove, SIGUSR1, &sinks[0].sink);
    HOST(signal_remove, SIGUSR1, &sinks[2].sink);
    HOST(signal_remove, SIGUSR2, &sinks[1].sink);
}

TEST(signal_disposition_comes_back)
{
    struct counted_sink a, b;
    struct sigaction now;
    sink_init(&a);
    sink_init(&b);
    others_install(SIGUSR1);
    EQ_INT(0, HOST(signal_add, SIGUSR1, &a.sink), "first");
    EQ_INT(0, HOST(signal_add, SIGUSR1, &b.sink), "second");
    EQ_INT(0, sigaction(SIGUSR1, NULL, &now), "ask");
    OK((now.sa_flags & SA_RESTART) != 0, "system calls are restarted");
    HOST(signal_remove, SIGUSR1, &a.sink);
    EQ_INT(0, raise(SIGUSR1), "one is left");
    EQ_INT(0, atomic_load(&others_signals), "the other's handler waits");
    HOST(signal_remove, SIGUSR1, &b.sink);
    EQ_INT(0, sigaction(SIGUSR1, NULL, &now), "ask");
    OK(now.sa_handler == others_handler, "the handler found first");
    OK((now.sa_flags & SA_NODEFER) != 0, "with its flags");
    EQ_INT(0, raise(SIGUSR1), "none is left");
    EQ_INT(1, atomic_load(&others_signals), "the other's handler is back");
    EQ_INT(0, atomic_load(&a.wakes), "a was gone");
    EQ_INT(1, atomic_load(&b.wakes), "b was gone");
}

TEST(signal_disposition_of_another_stays)
{
    struct counted_sink sink;
    struct sigaction now;
    sink_init(&sink);
    EQ_INT(0, HOST(signal_add, SIGUSR2, &sink.sink), "add");
    others_install(SIGUSR2); /* behind our back */
    HOST(signal_remove, SIGUSR2, &sink.sink);
    EQ_INT(0, sigaction(SIGUSR2, NULL, &now), "ask");
    OK(now.sa_handler == others_handler, "not ours to take away");
    EQ_INT(0, signal(SIGUSR2, SIG_DFL) == SIG_ERR, "put back");
}

TEST(signal_pending_outlives_removal)
{
    struct counted_sink sink;
    sink_init(&sink);
    EQ_INT(0, HOST(signal_add, SIGCHLD, &sink.sink), "add"); /* ignored by default */
    EQ_INT(0, raise(SIGCHLD), "before");
    HOST(signal_remove, SIGCHLD, &sink.sink);
    EQ_INT(0, raise(SIGCHLD), "after");
    EQ_INT(bit(SIGCHLD), atomic_load(&sink.sink.pending), "the one before is noted");
    EQ_INT(1, atomic_load(&sink.wakes), "the one after is not");
}

TEST(signal_bad)
{
    static const int rows[] = { INT_MIN, -1, 0, SIGKILL, SIGSTOP, 65, INT_MAX };
    struct counted_sink sink;
    sink_init(&sink);
    for (size_t i = 0; i < VIGIL_COUNT(rows); i++)
        EQ_INT(VIGIL_EINVAL, HOST(signal_add, rows[i], &sink.sink), "signal %d", rows[i]);
    EQ_INT(VIGIL_EINVAL, HOST(signal_add, 32, &sink.sink), "the C library keeps it to itself");
    EQ_INT(EINVAL, vigil_os_error(), "and the system says so");
}

TEST(signal_last)
{
    if (signal(VIGIL__SIGNAL_MAX, SIG_IGN) == SIG_ERR || raise(VIGIL__SIGNAL_MAX) != 0)
        SKIP("the last signal is not to be had here, as under valgrind and qemu-user");
    struct counted_sink sink;
    sink_init(&sink);
    REQUIRE(HOST(signal_add, VIGIL__SIGNAL_MAX, &sink.sink) == 0);
    EQ_INT(0, raise(VIGIL__SIGNAL_MAX), "raise");
    EQ_INT(bit(VIGIL__SIGNAL_MAX), atomic_load(&sink.sink.pending), "the highest bit");
    HOST(signal_remove, VIGIL__SIGNAL_MAX, &sink.sink);
}

TEST(signal_table_full)
{
    struct counted_sink sinks[65];
    for (int i = 0; i < 65; i++) {
        sink_init(&sinks[i]);
        EQ_INT(i < 64 ? 0 : VIGIL_EFULL, HOST(signal_add, SIGUSR1, &sinks[i].sink), "%d", i);
    }
    HOST(signal_remove, SIGUSR1, &sinks[7].sink);
    EQ_INT(0, HOST(signal_add, SIGUSR1, &sinks[64].sink), "there is room again");
    EQ_INT(0, raise(SIGUSR1), "to all");
    for (int i = 0; i < 65; i++) {
        EQ_INT(i != 7, atomic_load(&sinks[i].wakes), "%d", i);
        if (i != 7)
            HOST(signal_remove, SIGUSR1, &sinks[i].sink);
    }
}

static _Atomic bool storm_over;

static void *storm(void *arg)
{
    while (!atomic_load(&storm_over)) {
        (void)raise(SIGUSR1); /* cannot fail */
        (void)raise(SIGUSR2);
    }
    return arg;
}

static void storm_start(pthread_t threads[2])
{
    atomic_store(&storm_over, false);
    for (int i = 0; i < 2; i++)
        EQ_INT(0, pthread_create(&threads[i], NULL, storm, NULL), "a storm");
}

static void storm_end(const pthread_t threads[2])
{
    atomic_store(&storm_over, true);
    for (int i = 0; i < 2; i++)
        EQ_INT(0, pthread_join(threads[i], NULL), "joined");
}

/* A handler that stays inside until it is let go, and then a little longer. */
static struct {
    _Atomic bool entered, let_go, left;
} slow;

static void slow_wake(void *arg)
{
    (void)arg;
    atomic_store(&slow.entered, true);
    while (!atomic_load(&slow.let_go))
        vigil__thread_yield();
    for (int i = 0; i < 1000; i++) /* a removal that does not wait is over long before */
        vigil__thread_yield();
    atomic_store(&slow.left, true);
}

static void *raise_slowly(void *arg)
{
    (void)raise(SIGUSR1); /* cannot fail */
    return arg;
}

/* When this returns the handler is under way in `thread`. */
static void slow_start(struct vigil__signal_sink *sink, pthread_t *thread)
{
    memset(sink, 0, sizeof *sink);
    sink->wake = slow_wake;
    atomic_store(&slow.entered, false);
    atomic_store(&slow.let_go, false);
    atomic_store(&slow.left, false);
    REQUIRE(HOST(signal_add, SIGUSR1, sink) == 0);
    REQUIRE(pthread_create(thread, NULL, raise_slowly, NULL) == 0);
    while (!atomic_load(&slow.entered))
        vigil__thread_yield();
}

TEST(signal_removal_waits)
{
    struct vigil__signal_sink sink;
    pthread_t thread;
    slow_start(&sink, &thread);
    atomic_store(&slow.let_go, true);
    HOST(signal_remove, SIGUSR1, &sink);
    OK(atomic_load(&slow.left), "the handler has left");
    EQ_INT(0, pthread_join(thread, NULL), "joined");
}

static struct vigil__signal_sink slow_sink;

static void child_removes_slow(void)
{
    HOST(signal_remove, SIGUSR1, &slow_sink);
}

/* The thread whose handler is under way is not in the child: there is nothing to wait for. */
TEST(signal_fork_inside_handler)
{
    pthread_t thread;
    slow_start(&slow_sink, &thread);
    EQ_INT(0, in_child(child_removes_slow), "the child's removal");
    OK(!atomic_load(&slow.left), "the handler was under way all the time");
    atomic_store(&slow.let_go, true);
    HOST(signal_remove, SIGUSR1, &slow_sink);
    EQ_INT(0, pthread_join(thread, NULL), "joined");
}

/* A sink is freed as soon as it is removed, while handlers run in other threads.  Its wake counter
 * is in it: a late handler writes to freed memory. */
TEST(signal_storm)
{
    pthread_t threads[2];
    _Atomic int before = others_signals;
    others_install(SIGUSR1);
    others_install(SIGUSR2);
    storm_start(threads);
    int heard = 0;
    for (int round = 0; round < 2000 || (heard == 0 && round < 1000000); round++) {
        struct counted_sink *sink = malloc(sizeof *sink);
        int signo = round % 2 == 0 ? SIGUSR1 : SIGUSR2;
        sink_init(sink);
        EQ_INT(0, HOST(signal_add, signo, &sink->sink), "round %d", round);
        HOST(signal_remove, signo, &sink->sink);
        int wakes = atomic_load(&sink->wakes);
        uint64_t pending = atomic_load(&sink->sink.pending);
        EQ_INT(wakes > 0 ? bit(signo) : 0, pending, "round %d", round);
        heard += wakes;
        memset(sink, 0xff, sizeof *sink); /* a wake through it would be seen even without ASan */
        free(sink);
    }
    storm_end(threads);
    OK(heard > 0, "some signals came between");
    OK(others_signals > before, "and some outside");
}

static struct counted_sink forked_sink;

static void child_removes(void)
{
    struct counted_sink own;
    HOST(signal_remove, SIGUSR1, &forked_sink.sink);
    sink_init(&own);
    CHILD_OK(HOST(signal_add, SIGUSR1, &own.sink) == 0);
    CHILD_OK(raise(SIGUSR1) == 0 && atomic_load(&own.wakes) == 1);
    HOST(signal_remove, SIGUSR1, &own.sink);
}

/* Forks in the middle of additions in another thread: the child must not wait for a lock that
 * nobody there will ever leave. */
static void *add_and_remove(void *arg)
{
    struct counted_sink sink;
    while (!atomic_load(&storm_over)) {
        sink_init(&sink);
        if (HOST(signal_add, SIGUSR2, &sink.sink) == 0)
            HOST(signal_remove, SIGUSR2, &sink.sink);
    }
    return arg;
}

TEST(signal_fork)
{
    pthread_t threads[2], adder;
    others_install(SIGUSR1);
    others_install(SIGUSR2);
    sink_init(&forked_sink);
    EQ_INT(0, HOST(signal_add, SIGUSR1, &forked_sink.sink), "add");
    storm_start(threads);
    EQ_INT(0, pthread_create(&adder, NULL, add_and_remove, NULL), "an adder");
    for (int round = 0; round < 20; round++)
        EQ_INT(0, in_child(child_removes), "round %d", round);
    storm_end(threads);
    EQ_INT(0, pthread_join(adder, NULL), "joined");
    int heard = atomic_load(&forked_sink.wakes);
    EQ_INT(0, raise(SIGUSR1), "in the parent");
    EQ_INT(heard + 1, atomic_load(&forked_sink.wakes), "the parent's is still there");
    HOST(signal_remove, SIGUSR1, &forked_sink.sink);
}

/* ---- SIGPIPE ------------------------------------------------------------------------------ */

static int broken_pipe(void)
{
    int ends[2];
    CHILD_OK(pipe(ends) == 0);
    CHILD_OK(close(ends[0]) == 0);
    return ends[1];
}

static bool sigpipe_pending(void)
{
    sigset_t set;
    return sigpending(&set) == 0 && sigismember(&set, SIGPIPE) == 1;
}

static bool sigpipe_blocked(void)
{
    sigset_t set;
    return pthread_sigmask(SIG_SETMASK, NULL, &set) == 0 && sigismember(&set, SIGPIPE) == 1;
}

static void sigpipe_block(void)
{
    sigset_t set;
    CHILD_OK(sigemptyset(&set) == 0 && sigaddset(&set, SIGPIPE) == 0);
    CHILD_OK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static const vigil_iov three_bytes = { "abc", 3 };

static void child_writes_default(void)
{
    CHILD_OK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    int fd = broken_pipe();
    for (int i = 0; i < 3; i++)
        CHILD_OK(HOST(writev, fd, &three_bytes, 1) == VIGIL_ECONNRESET);
    CHILD_OK(vigil_os_error() == EPIPE);
    CHILD_OK(!sigpipe_blocked() && !sigpipe_pending());
}

static void child_sends_default(void)
{
    int pair[2];
    CHILD_OK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    CHILD_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && close(pair[0]) == 0);
    CHILD_OK(HOST(sendv, pair[1], &three_bytes, 1) == VIGIL_ECONNRESET);
    CHILD_OK(HOST(writev, pair[1], &three_bytes, 1) == VIGIL_ECONNRESET);
}

static void child_writes_ignored(void)
{
    CHILD_OK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHILD_OK(HOST(writev, broken_pipe(), &three_bytes, 1) == VIGIL_ECONNRESET);
    CHILD_OK(!sigpipe_blocked() && !sigpipe_pending());
    CHILD_OK(signal(SIGPIPE, SIG_IGN) == SIG_IGN);
}

static void child_writes_blocked(void)
{
    CHILD_OK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    sigpipe_block();
    CHILD_OK(HOST(writev, broken_pipe(), &three_bytes, 1) == VIGIL_ECONNRESET);
    CHILD_OK(sigpipe_blocked() && !sigpipe_pending());
}

static void child_writes_pending(void)
{
    CHILD_OK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    sigpipe_block();
    CHILD_OK(raise(SIGPIPE) == 0);
    CHILD_OK(HOST(writev, broken_pipe(), &three_bytes, 1) == VIGIL_ECONNRESET);
    CHILD_OK(sigpipe_blocked() && sigpipe_pending());
}

static void child_writes_handled(void)
{
    struct sigaction action = { .sa_handler = others_handler };
    int before = atomic_load(&others_signals);
    CHILD_OK(sigaction(SIGPIPE, &action, NULL) == 0);
    CHILD_OK(HOST(writev, broken_pipe(), &three_bytes, 1) == VIGIL_ECONNRESET);
    CHILD_OK(atomic_load(&others_signals) == before);
    CHILD_OK(raise(SIGPIPE) == 0 && atomic_load(&others_signals) == before + 1);
}

TEST(sigpipe)
{
    EQ_INT(0, in_child(child_writes_default), "the default, which kills");
    EQ_INT(0, in_child(child_sends_default), "the default, on sockets");
    EQ_INT(0, in_child(child_writes_ignored), "ignored");
    EQ_INT(0, in_child(child_writes_blocked), "blocked by the caller");
    EQ_INT(0, in_child(child_writes_pending), "one that is not ours is kept");
    EQ_INT(0, in_child(child_writes_handled), "the caller's handler is not called");
}

/* ---- any descriptor ----------------------------------------------------------------------- */

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        EQ_INT(0, HOST(close, fds[i]), "close %d", fds[i]);
}

/* The two sides of a new pseudo-terminal. */
static void pty_open(int *master, int *slave)
{
    char name[64];
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(*master >= 0 && grantpt(*master) == 0 && unlockpt(*master) == 0);
    REQUIRE(ptsname_r(*master, name, sizeof name) == 0);
    *slave = open(name, O_RDWR | O_NOCTTY);
    REQUIRE(*slave >= 0, "%s", name);
}

static int temporary_file(void)
{
    char path[] = "/tmp/vigil-sys-XXXXXX";
    int fd = mkstemp(path);
    OK(fd >= 0, "a file");
    EQ_INT(0, unlink(path), "without a name");
    return fd;
}

/* A directory of this test's own, and addresses in it. */
static char directory[] = "/tmp/vigil-sys-XXXXXX";

static void directory_make(void)
{
    memcpy(strrchr(directory, '-'), "-XXXXXX", 7);
    REQUIRE(mkdtemp(directory) != NULL);
}

static vigil_addr unix_address(const char *name)
{
    vigil_addr addr = { .family = VIGIL_FAMILY_UNIX };
    addr.path_len = (uint8_t)snprintf(addr.path, sizeof addr.path, "%s/%s", directory, name);
    return addr;
}

TEST(describe)
{
    int ends[2], pair[2], master, slave;
    EQ_INT(0, pipe2(ends, O_NONBLOCK), "a pipe");
    EQ_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "a pair");
    pty_open(&master, &slave);
    vigil_fd listener = -1, fresh = -1;
    EQ_INT(0, HOST(socket, VIGIL_FAMILY_INET, &fresh), "a socket");
    EQ_INT(0, HOST(socket, VIGIL_FAMILY_INET, &listener), "a listener");
    EQ_INT(0, HOST(bind, listener, &(vigil_addr){ .family = VIGIL_FAMILY_INET }), "bound");
    EQ_INT(0, HOST(listen, listener, 1), "listens");
    const struct {
        int fd;
        enum vigil__fd_kind kind;
        bool nonblocking;
        const char *name;
    } rows[] = {
        { ends[0], VIGIL__FD_PIPE, true, "a pipe" },
        { ends[1], VIGIL__FD_PIPE, true, "a pipe's other end" },
        { pair[0], VIGIL__FD_SOCKET, false, "a connected socket" },
        { fresh, VIGIL__FD_SOCKET, true, "a fresh socket" },
        { listener, VIGIL__FD_LISTENER, true, "a listener" },
        { slave, VIGIL__FD_TERMINAL, false, "a terminal" },
        { master, VIGIL__FD_TERMINAL, false, "a terminal's master" },
        { temporary_file(), VIGIL__FD_FILE, false, "a file" },
        { open("/dev/null", O_RDWR), VIGIL__FD_OTHER, false, "/dev/null" },
        { open("/", O_RDONLY | O_DIRECTORY), VIGIL__FD_OTHER, false, "a directory" },
        { socket(AF_INET, SOCK_DGRAM, 0), VIGIL__FD_OTHER, false, "a datagram socket" },
    };
    for (size_t i = 0; i < VIGIL_COUNT(rows); i++) {
        struct vigil__fd_info info;
        EQ_INT(0, HOST(describe, rows[i].fd, &info), "%s", rows[i].name);
        EQ_INT(rows[i].kind, info.kind, "%s", rows[i].name);
        EQ_INT(rows[i].nonblocking, info.nonblocking, "%s", rows[i].name);
        EQ_INT(0, HOST(close, rows[i].fd), "%s", rows[i].name);
        EQ_INT(VIGIL_EBADF, HOST(describe, rows[i].fd, &info), "%s, closed", rows[i].name);
        EQ_INT(VIGIL_EBADF, HOST(close, rows[i].fd), "%s, closed", rows[i].name);
    }
    struct vigil__fd_info info;
    EQ_INT(VIGIL_EBADF, HOST(describe, -1, &info), "negative");
    EQ_INT(VIGIL_EBADF, HOST(describe, INT_MAX, &info), "beyond the table");
    EQ_INT(0, HOST(close, pair[1]), "the pair's other side");
}

TEST(readable)
{
    int ends[2];
    EQ_INT(0, pipe2(ends, 0), "a pipe");
    OK(!HOST(readable, ends[0]), "empty");
    EQ_INT(1, write(ends[1], "x", 1));
    OK(HOST(readable, ends[0]), "a byte");
    char byte;
    EQ_INT(1, HOST(read, ends[0], &byte, 1));
    OK(!HOST(readable, ends[0]), "empty again");
    EQ_INT(0, HOST(close, ends[1]));
    OK(HOST(readable, ends[0]), "the end");
    EQ_INT(0, HOST(close, ends[0]));
    OK(HOST(readable, ends[0]), "closed: the read tells");
}

TEST(reopen_pipe)
{
    int ends[2], shared[2];
    char got[4] = "";
    EQ_INT(0, pipe2(ends, O_CLOEXEC), "a pipe");
    for (int i = 0; i < 2; i++)
        shared[i] = dup(ends[i]); /* what another program has of it */
    EQ_INT(3, write(ends[1], "abc", 3), "bytes on the way");
    EQ_INT(0, HOST(reopen, ends[0]), "the reading end");
    EQ_INT(0, HOST(reopen, ends[1]), "the writing end");
    for (int i = 0; i < 2; i++) {
        OK(is_nonblocking(ends[i]) && is_close_on_exec(ends[i]), "end %d is ours", i);
        OK(!is_nonblocking(shared[i]) && !is_close_on_exec(shared[i]), "end %d as it was", i);
    }
    EQ_INT(3, HOST(read, ends[0], got, sizeof got), "they are there");
    EQ_INT(0, memcmp("abc", got, 3), "the same bytes");
    EQ_INT(VIGIL__EAGAIN, HOST(read, ends[0], got, sizeof got), "and would block then");
    EQ_INT(VIGIL_EBADF, HOST(read, ends[1], got, sizeof got), "no right to read was won");
    EQ_INT(VIGIL_EBADF, HOST(writev, ends[0], &three_bytes, 1), "no right to write was won");
    while (HOST(writev, ends[1], &three_bytes, 1) > 0)
        continue;
    EQ_INT(VIGIL__EAGAIN, HOST(writev, ends[1], &three_bytes, 1), "full");
    close_all(ends, 2);
    close_all(shared, 2);
}

TEST(reopen_keeps_inheritance)
{
    int ends[2];
    EQ_INT(0, pipe(ends), "a pipe");
    EQ_INT(0, HOST(reopen, ends[0]), "the reading end");
    OK(is_nonblocking(ends[0]), "anew");
    OK(!is_close_on_exec(ends[0]), "a program that is started still gets it");
    close_all(ends, 2);
}

/* The last copy of a writing end is replaced: the reader must not see an end between. */
TEST(reopen_end_of_input)
{
    int ends[2];
    char got;
    EQ_INT(0, pipe(ends), "a pipe");
    EQ_INT(0, HOST(reopen, ends[0]), "the reading end");
    EQ_INT(0, HOST(reopen, ends[1]), "the writing end");
    EQ_INT(VIGIL__EAGAIN, HOST(read, ends[0], &got, 1), "open still");
    EQ_INT(0, HOST(close, ends[1]), "close");
    EQ_INT(0, HOST(read, ends[0], &got, 1), "no other copy is left");
    EQ_INT(0, HOST(close, ends[0]), "close");
}

TEST(reopen_terminal)
{
    int master, slave;
    char got[8] = "";
    pty_open(&master, &slave);
    int shared = dup(slave);
    EQ_INT(0, HOST(reopen, slave), "the terminal");
    OK(is_nonblocking(slave) && !is_nonblocking(shared), "only ours is non-blocking");
    OK(isatty(slave) == 1, "still a terminal");
    EQ_INT(VIGIL__EAGAIN, HOST(read, slave, got, sizeof got), "nothing was typed");
    EQ_INT(3, HOST(writev, slave, &three_bytes, 1), "to the screen");
    EQ_INT(3, HOST(read, master, got, sizeof got), "which shows it");
    EQ_INT(0, memcmp("abc", got, 3), "the same terminal");
    EQ_INT(VIGIL_ENOTSUP, HOST(reopen, master), "a master would become another's");
    OK(!is_nonblocking(master), "and is as it was");
    close_all((int[]){ slave, shared, master }, 3);
}

TEST(reopen_not)
{
    int pair[2];
    directory_make();
    vigil_addr fifo = unix_address("fifo"); /* only for its path */
    EQ_INT(0, mkfifo(fifo.path, 0600), "a named pipe");
    int reader = open(fifo.path, O_RDONLY | O_NONBLOCK), writer = open(fifo.path, O_WRONLY);
    EQ_INT(0, HOST(close, reader), "that nobody reads");
    EQ_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "a pair");
    int file = temporary_file(), null = open("/dev/null", O_RDWR);
    const int fds[] = { pair[0], pair[1], writer, file, null };
    for (size_t i = 0; i < VIGIL_COUNT(fds); i++) {
        EQ_INT(VIGIL_ENOTSUP, HOST(reopen, fds[i]), "row %zu", i);
        OK(!is_nonblocking(fds[i]), "row %zu is as it was", i);
    }
    close_all(fds, VIGIL_COUNT(fds));
    EQ_INT(VIGIL_EBADF, HOST(reopen, file), "closed");
    EQ_INT(VIGIL_EBADF, HOST(reopen, -1), "negative");
    EQ_INT(0, HOST(unlink, fifo.path), "its file");
    EQ_INT(0, rmdir(directory), "the directory");
}

TEST(read_ends)
{
    int ends[2], master, slave;
    char got[8];
    EQ_INT(0, pipe(ends), "a pipe");
    EQ_INT(0, HOST(close, ends[1]), "its end");
    EQ_INT(0, HOST(read, ends[0], got, sizeof got), "the pipe's end");
    pty_open(&master, &slave);
    EQ_INT(3, HOST(writev, slave, &three_bytes, 1), "the last words");
    EQ_INT(0, HOST(close, slave), "hang up");
    EQ_INT(3, HOST(read, master, got, sizeof got), "the last words arrive");
    EQ_INT(0, HOST(read, master, got, sizeof got), "and then the end");
    close_all((int[]){ ends[0], master }, 2);
}

TEST(files)
{
    int64_t size = -1;
    int ends[2], file = temporary_file();
    char got[4] = "";
    vigil_iov pieces[] = { { "ab", 2 }, { "", 0 }, { "cde", 3 } };
    EQ_INT(5, HOST(writev, file, pieces, 3), "in pieces");
    EQ_INT(0, HOST(file_size, file, &size), "size");
    EQ_INT(5, size, "size");
    EQ_INT(3, HOST(pread, file, got, sizeof got, 2), "from the middle to the end");
    EQ_INT(0, memcmp("cde", got, 3), "its bytes");
    EQ_INT(0, HOST(pread, file, got, sizeof got, 5), "behind the end");
    EQ_INT(0, pipe(ends), "a pipe");
    EQ_INT(VIGIL_EBADF, HOST(file_size, ends[0], &size), "no regular file");
    close_all((int[]){ file, ends[0], ends[1] }, 3);
    EQ_INT(VIGIL_EBADF, HOST(file_size, file, &size), "closed");
}

/* ---- sockets ------------------------------------------------------------------------------ */

static const vigil_addr loopback = { .family = VIGIL_FAMILY_INET, .ip = { 127, 0, 0, 1 } };

static int listener_open(vigil_addr *addr, int backlog)
{
    vigil_fd fd = -1;
    EQ_INT(0, HOST(socket, (vigil_family)addr->family, &fd), "a socket");
    EQ_INT(0, HOST(bind, fd, addr), "bound");
    EQ_INT(0, HOST(listen, fd, backlog), "listens");
    EQ_INT(0, HOST(local, fd, addr), "its address");
    return fd;
}

/* Waits until a connect of ours has been decided. */
static int connect_result(int fd)
{
    struct pollfd waits = { .fd = fd, .events = POLLOUT };
    EQ_INT(1, poll(&waits, 1, 30000), "decided");
    return HOST(socket_error, fd);
}

static int accept_one(int listener)
{
    vigil_fd fd = -1;
    int err = HOST(accept, listener, &fd);
    for (int i = 0; i < 30000 && err == VIGIL__EAGAIN; i++) {
        (void)usleep(1000); /* the queue is filled by the kernel, soon */
        err = HOST(accept, listener, &fd);
    }
    EQ_INT(0, err, "accepted");
    return fd;
}

static int connected(const vigil_addr *to)
{
    vigil_fd fd = -1;
    EQ_INT(0, HOST(socket, (vigil_family)to->family, &fd), "a socket");
    int err = HOST(connect, fd, to);
    EQ_INT(0, err == VIGIL__EAGAIN ? connect_result(fd) : err, "connected");
    return fd;
}

/* One client and one server over the family of `addr`. */
static void check_family(vigil_addr addr, const char *name)
{
    char got[8];
    vigil_fd none;
    vigil_addr seen;
    int listener = listener_open(&addr, 8);
    EQ_INT(VIGIL__EAGAIN, HOST(accept, listener, &none), "%s: nobody is there yet", name);
    int client = connected(&addr);
    int server = accept_one(listener);
    const int fds[] = { listener, client, server };
    for (int i = 0; i < 3; i++)
        OK(is_nonblocking(fds[i]) && is_close_on_exec(fds[i]), "%s: flags of %d", name, i);
    EQ_INT(0, HOST(peer, client, &seen), "%s: peer", name);
    EQ_INT(0, memcmp(&seen, &addr, sizeof seen), "%s: the peer is the listener", name);
    EQ_INT(VIGIL__EAGAIN, HOST(recv, server, got, sizeof got), "%s: nothing yet", name);
    EQ_INT(3, HOST(sendv, client, &three_bytes, 1), "%s: send", name);
    EQ_INT(0, HOST(shutdown, client), "%s: shutdown", name);
    EQ_INT(1, poll(&(struct pollfd){ .fd = server, .events = POLLIN }, 1, 30000), "%s", name);
    EQ_INT(3, HOST(recv, server, got, sizeof got), "%s: receive", name);
    EQ_INT(1, poll(&(struct pollfd){ .fd = server, .events = POLLIN }, 1, 30000), "%s", name);
    EQ_INT(0, HOST(recv, server, got, sizeof got), "%s: the end", name);
    EQ_INT(0, HOST(socket_error, server), "%s: no error", name);
    close_all(fds, 3);
}

static bool has_ipv6(void)
{
    const vigil_addr addr = { .family = VIGIL_FAMILY_INET6, .ip = { [15] = 1 } };
    vigil_fd fd;
    if (HOST(socket, VIGIL_FAMILY_INET6, &fd) < 0)
        return false;
    bool bound = HOST(bind, fd, &addr) == 0;
    EQ_INT(0, HOST(close, fd), "the probe");
    return bound;
}

TEST(socket_families)
{
    directory_make();
    vigil_addr path = unix_address("echo");
    check_family(loopback, "IPv4");
    if (has_ipv6())
        check_family((vigil_addr){ .family = VIGIL_FAMILY_INET6, .ip = { [15] = 1 } }, "IPv6");
    else
        printf("# no IPv6 here\n");
    check_family(path, "a path");
    EQ_INT(0, HOST(unlink, path.path), "its file");
    EQ_INT(0, rmdir(directory), "the directory");
#ifdef __linux__
    vigil_addr abstract = { .family = VIGIL_FAMILY_UNIX };
    abstract.path_len = (uint8_t)(1 + snprintf(abstract.path + 1, sizeof abstract.path - 1,
                                               "vigil-sys-%ld", (long)getpid()));
    check_family(abstract, "an abstract name");
#endif
    vigil_fd fd;
    EQ_INT(VIGIL_EADDR, HOST(socket, VIGIL_FAMILY_NONE, &fd), "no family");
}

/* The flags belong to somebody else, and say "block": recv and sendv do not. */
TEST(socket_calls_never_block)
{
    int pair[2];
    char got[8];
    static const char block[65536];
    const vigil_iov pieces[] = { { block, sizeof block }, { block, sizeof block } };
    EQ_INT(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "a pair that blocks");
    EQ_INT(VIGIL__EAGAIN, HOST(recv, pair[0], got, sizeof got), "nothing there");
    size_t sent = 0;
    int answer;
    while ((answer = HOST(sendv, pair[0], pieces, 2)) > 0)
        sent += (size_t)answer;
    EQ_INT(VIGIL__EAGAIN, answer, "full");
    OK(sent > 0 && !is_nonblocking(pair[0]), "and the flags are as they were");
    close_all(pair, 2);
    EQ_INT(VIGIL_EBADF, HOST(recv, pair[0], got, sizeof got), "closed");
    EQ_INT(VIGIL_EBADF, HOST(sendv, pair[0], pieces, 1), "closed");
}

TEST(connect_failures)
{
    directory_make();
    vigil_addr nobody = loopback, path = unix_address("full");
    vigil_fd fd = -1, first = -1, third = -1;
    EQ_INT(VIGIL_EADDR, HOST(connect, 0, &(vigil_addr){ .family = VIGIL_FAMILY_NONE }), "nowhere");
    int listener = listener_open(&nobody, 1); /* for a port that is free then */
    EQ_INT(0, HOST(close, listener), "gone");
    EQ_INT(0, HOST(socket, VIGIL_FAMILY_INET, &fd), "a socket");
    int err = HOST(connect, fd, &nobody);
    EQ_INT(VIGIL_ECONNREFUSED, err == VIGIL__EAGAIN ? connect_result(fd) : err, "refused");
    EQ_INT(0, HOST(close, fd), "close");

    EQ_INT(0, HOST(socket, VIGIL_FAMILY_UNIX, &first), "a socket");
    EQ_INT(VIGIL_ENOENT, HOST(connect, first, &path), "no such path");
    listener = listener_open(&path, 0); /* room for one */
    EQ_INT(0, HOST(connect, first, &path), "the first");
    EQ_INT(0, HOST(socket, VIGIL_FAMILY_UNIX, &third), "a socket");
    EQ_INT(VIGIL_EBUSY, HOST(connect, third, &path), "no room");
    EQ_INT(0, HOST(close, listener), "gone");
    EQ_INT(VIGIL_ECONNREFUSED, HOST(connect, third, &path), "a stale file");
    close_all((int[]){ first, third }, 2);
    EQ_INT(0, HOST(unlink, path.path), "its file");
    EQ_INT(0, rmdir(directory), "the directory");
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    EQ_INT(0, getsockopt(fd, level, name, &value, &length), "option %d/%d", level, name);
    return value;
}

TEST(socket_options)
{
    vigil_fd fd = -1, local = -1;
    EQ_INT(0, HOST(socket, VIGIL_FAMILY_INET, &fd), "a socket");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_NODELAY, 1), "NODELAY");
    EQ_INT(1, option_of(fd, IPPROTO_TCP, TCP_NODELAY), "NODELAY");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_KEEPALIVE, 77), "KEEPALIVE");
    EQ_INT(1, option_of(fd, SOL_SOCKET, SO_KEEPALIVE), "KEEPALIVE");
    EQ_INT(77, option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), "its idle time");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_KEEPALIVE, 1), "KEEPALIVE, as it is");
    EQ_INT(77, option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), "1 is no idle time");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_KEEPALIVE, 0), "no KEEPALIVE");
    EQ_INT(0, option_of(fd, SOL_SOCKET, SO_KEEPALIVE), "no KEEPALIVE");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_SNDBUF, 32768), "SNDBUF");
    OK(option_of(fd, SOL_SOCKET, SO_SNDBUF) >= 32768, "SNDBUF");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_RCVBUF, 32768), "RCVBUF");
    OK(option_of(fd, SOL_SOCKET, SO_RCVBUF) >= 32768, "RCVBUF");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_REUSEADDR, 1), "REUSEADDR");
    EQ_INT(1, option_of(fd, SOL_SOCKET, SO_REUSEADDR), "REUSEADDR");
    EQ_INT(0, HOST(option, fd, VIGIL__SO_REUSEPORT, 1), "REUSEPORT");
    EQ_INT(1, option_of(fd, SOL_SOCKET, SO_REUSEPORT), "REUSEPORT");
    EQ_INT(0, HOST(socket, VIGIL_FAMILY_UNIX, &local), "a Unix socket");
    EQ_INT(VIGIL_ENOTSUP, HOST(option, local, VIGIL__SO_NODELAY, 1), "not there");
    close_all((int[]){ fd, local }, 2);
    EQ_INT(VIGIL_EBADF, HOST(option, fd, VIGIL__SO_NODELAY, 1), "closed");
    if (HOST(socket, VIGIL_FAMILY_INET6, &fd) == 0) {
        EQ_INT(0, HOST(option, fd, VIGIL__SO_V6ONLY, 1), "V6ONLY");
        EQ_INT(1, option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), "V6ONLY");
        EQ_INT(0, HOST(option, fd, VIGIL__SO_V6ONLY, 0), "both families");
        EQ_INT(0, option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), "both families");
        EQ_INT(0, HOST(close, fd), "close");
    }
}

TEST(socket_reset)
{
    vigil_addr addr = loopback;
    char got;
    int listener = listener_open(&addr, 1);
    int client = connected(&addr);
    int server = accept_one(listener);
    EQ_INT(0, HOST(option, client, VIGIL__SO_RESET, 1), "RESET");
    EQ_INT(0, HOST(close, client), "close");
    EQ_INT(1, poll(&(struct pollfd){ .fd = server, .events = POLLIN }, 1, 30000), "it arrives");
    EQ_INT(VIGIL_ECONNRESET, HOST(recv, server, &got, 1), "a reset, not an end");
    close_all((int[]){ listener, server }, 2);
}

/* ---- names, clock, memory ----------------------------------------------------------------- */

TEST(paths)
{
    directory_make();
    vigil_addr path = unix_address("socket"), other = unix_address("other");
    uint64_t first[2] = { 0 }, again[2] = { 0 };
    struct stat found;
    EQ_INT(VIGIL_ENOENT, HOST(path_identity, path.path, first), "missing");
    EQ_INT(VIGIL_ENOENT, HOST(unlink, path.path), "missing");
    EQ_INT(VIGIL_EEXIST, HOST(path_identity, directory, first), "a directory");
    int listener = listener_open(&path, 1);
    EQ_INT(0, HOST(path_identity, path.path, first), "a socket");
    EQ_INT(0, HOST(path_identity, path.path, again), "the same socket");
    EQ_INT(0, memcmp(first, again, sizeof first), "the same identity");
    int second = listener_open(&other, 1);
    EQ_INT(0, HOST(path_identity, other.path, again), "another socket");
    OK(memcmp(first, again, sizeof first) != 0, "another identity");
    EQ_INT(0, HOST(path_mode, path.path, 0604), "mode");
    EQ_INT(0, stat(path.path, &found), "mode");
    EQ_INT(0604, found.st_mode & 07777, "mode");
    EQ_INT(0, HOST(unlink, other.path), "unlink");
    EQ_INT(0, symlink(path.path, other.path), "a link to a socket");
    EQ_INT(VIGIL_EEXIST, HOST(path_identity, other.path, again), "is not a socket");
    EQ_INT(0, HOST(unlink, other.path), "unlink");
    EQ_INT(0, HOST(unlink, path.path), "unlink");
    EQ_INT(0, rmdir(directory), "the directory");
    close_all((int[]){ listener, second }, 2);
}

TEST(clock_and_memory)
{
    const vigil_host *host = vigil__host_system();
    struct timespec system;
    vigil_ns before = host->now(host->self);
    EQ_INT(0, clock_gettime(CLOCK_MONOTONIC, &system), "the clock");
    vigil_ns now = VIGIL_S(system.tv_sec) + system.tv_nsec;
    OK(before <= now && now <= host->now(host->self), "the monotonic clock");

    const vigil_allocator *memory = &host->allocator;
    char *p = vigil__alloc(memory, 10);
    OK(p != NULL, "10 bytes");
    memcpy(p, "0123456789", 10);
    p = vigil__resize(memory, p, 10, 100000);
    OK(p != NULL && memcmp(p, "0123456789", 10) == 0, "the content is kept");
    OK(memory->resize(memory->ctx, p, 100000, 0) == NULL, "freeing answers nothing");
}
