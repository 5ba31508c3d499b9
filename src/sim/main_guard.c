/* SPDX-License-Identifier: MIT
 *
 * main_guard.c -- a second process that watches the one in which the worlds run, and prints how to
 * replay the world in whose midst that one ends: it crashed, a sanitizer ended it, or it never
 * leaves a callback.  Floor: sim.
 *
 * The watcher sees memory that both share, and the end of a pipe that closes when the other
 * process is no more, whatever ended it.  There are no signal handlers that could collide with
 * those of the test or of a sanitizer, and a world costs three stores.
 */
#include "sim/main.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MS = 500,
    DIES_WITHIN_MS = 5000,
    FAILED = 3, /* exit code of a second run that ends, but fails */
};

static struct shared {
    _Atomic uint64_t worlds, seed;
    atomic_bool inside;
} * shared; /* NULL: nobody watches */

static struct {
    pid_t pid;
    int pipe_end; /* this process's */
} watcher;

vigil_sim *vigil__sim_play(vigil_sim_test_fn *test, void *arg, const vigil_sim_options *options)
{
    vigil_sim *sim;
    if (vigil_sim_open(&sim, options) < 0)
        return NULL;
    if (shared != NULL) {
        atomic_store(&shared->seed, options->seed);
        atomic_fetch_add(&shared->worlds, 1);
        atomic_store(&shared->inside, true);
    }
    test(sim, arg);
    if (shared != NULL)
        atomic_store(&shared->inside, false);
    return sim;
}

/* ---- the watcher ---- */

static bool has_ended(int pipe_end, int within_ms)
{
    struct pollfd end = { .fd = pipe_end, .events = POLLIN };
    return poll(&end, 1, within_ms) > 0;
}

static int64_t seconds_now(void)
{
    struct timespec now = { 0 };
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* there is one on every system */
    return now.tv_sec;
}

/* In a process of its own, and without a word: how it ends is the answer. */
static void play_again(const struct sim_main *run, uint64_t seed)
{
    bool silent = freopen("/dev/null", "w", stdout) != NULL &&
                  freopen("/dev/null", "w", stderr) != NULL;
    (void)silent; /* else it says it twice */
    alarm((unsigned)run->limit_s);
    vigil_sim *sim = vigil__sim_play(run->test, run->arg, &(vigil_sim_options){ .seed = seed });
    _exit(sim == NULL || vigil_sim_failure(sim) != NULL ? FAILED : 0);
}

/* What the printed command will show, if that is not the same. */
static void tell_if_otherwise(const struct sim_main *run, uint64_t seed)
{
    int status = 0;
    pid_t again = fork();
    if (again == 0)
        play_again(run, seed);
    if (again < 0 || waitpid(again, &status, 0) != again || !WIFEXITED(status))
        return;
    if (WEXITSTATUS(status) == 0)
        printf(
            "  beware:      run again alone it passes: something outside of the world decides\n");
    else if (WEXITSTATUS(status) == FAILED)
        printf("  beware:      run again alone it fails otherwise\n");
}

static void tell_end(const struct sim_main *run, const char *how)
{
    uint64_t seed = atomic_load(&shared->seed);
    if (run->replay != NULL || run->bytes != NULL)
        printf("the world of %s %s\n", run->replay != NULL ? run->replay : run->bytes, how);
    else
        printf("seed %llu %s\n", (unsigned long long)seed, how);
    if (!vigil__sim_main_is_single(run)) {
        vigil__sim_main_command(run, "the story", seed, " --trace");
        fflush(stdout);
        tell_if_otherwise(run, seed);
    }
    fflush(stdout);
}

static void watch(const struct sim_main *run, int pipe_end, pid_t watched)
{
    uint64_t seen = 0;
    int64_t since = seconds_now();
    while (!has_ended(pipe_end, LOOK_MS)) {
        uint64_t worlds = atomic_load(&shared->worlds);
        bool goes_on = worlds != seen || !atomic_load(&shared->inside);
        if (goes_on)
            since = seconds_now();
        seen = worlds;
        if (run->limit_s == 0 || seconds_now() - since < (int64_t)run->limit_s)
            continue;
        tell_end(run, "does not end: its time is over, see --limit");
        kill(watched, SIGABRT); /* so that one can look where it was */
        if (!has_ended(pipe_end, DIES_WITHIN_MS))
            kill(watched, SIGKILL);
        return;
    }
    if (atomic_load(&shared->inside))
        tell_end(run, "ended the program in its midst");
}

/* ---- the process that is watched ---- */

/* Who calls exit() in the midst of a world has not passed. */
static void exit_inside(void)
{
    if (shared != NULL && atomic_load(&shared->inside))
        _exit(1);
}

static void unshare(void)
{
    (void)munmap(shared, sizeof(*shared)); /* it was mapped: cannot fail */
    shared = NULL;
}

void vigil__sim_guard_begin(const struct sim_main *run)
{
    static bool registered;
    int ends[2];
    void *map = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
    if (map == MAP_FAILED)
        return;
    shared = map;
    if (pipe(ends) != 0) {
        unshare();
        return;
    }
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC); /* it is open: cannot fail */
    if (!registered)
        registered = atexit(exit_inside) == 0;
    fflush(NULL);
    pid_t watched = getpid();
    watcher.pid = fork();
    if (watcher.pid == 0) {
        close(ends[1]);
        watch(run, ends[0], watched);
        _exit(0);
    }
    close(ends[0]);
    watcher.pipe_end = ends[1];
    if (watcher.pid < 0) {
        close(ends[1]);
        unshare();
    }
}

void vigil__sim_guard_end(void)
{
    if (shared == NULL)
        return;
    close(watcher.pipe_end);
    (void)waitpid(watcher.pid, NULL, 0); /* its end is all that counts */
    unshare();
}
