/* SPDX-License-Identifier: MIT
 *
 * starve.c -- lowers a process's limit of descriptors, and puts it back.  The guard is forked
 * before, so that there is no moment in which the limit is low and nobody is left to raise it: not
 * after a crash, nor after a SIGKILL.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "starve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *guard_begin(struct starving *starving);
static void guard_run(const struct starving *starving, int line) __attribute__((noreturn));
static void restore(const struct starving *starving);
static int limit_call(pid_t pid, const struct rlimit *set, struct rlimit *get);

const char *starve_begin(struct starving *starving, const struct process *process, uint64_t spare)
{
    char path[64];
    struct rlimit limit;
    const int64_t open_now = process_own_descriptors(process);
    *starving = (struct starving){ .pid = process->pid, .line = -1, .proc = -1 };
    if (open_now < 0 || limit_call(process->pid, NULL, &limit) < 0)
        return "its limit of descriptors may not be looked at";
    starving->before = limit.rlim_cur;
    starving->now = (uint64_t)open_now + spare;
    if (starving->before <= starving->now)
        return NULL;
    (void)snprintf(path, sizeof path, "/proc/%d", (int)process->pid); /* fits */
    starving->proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *fault = guard_begin(starving);
    limit.rlim_cur = (rlim_t)starving->now;
    if (!fault && limit_call(process->pid, &limit, NULL) < 0)
        fault = "its limit of descriptors may not be changed";
    starving->lowered = !fault;
    if (fault)
        starve_end(starving);
    return fault;
}

void starve_end(struct starving *starving)
{
    if (starving->lowered)
        restore(starving);
    starving->lowered = false;
    if (starving->line >= 0)
        (void)close(starving->line);
    while (starving->guard > 0 && waitpid(starving->guard, NULL, 0) < 0 && errno == EINTR) {
    }
    if (starving->proc >= 0)
        (void)close(starving->proc);
    starving->guard = 0;
    starving->line = starving->proc = -1;
}

/* Answers once the guard is ready. */
static const char *guard_begin(struct starving *starving)
{
    int line[2];
    char ready = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) < 0)
        return "no descriptors for a process that would put its limit back";
    starving->line = line[0];
    starving->guard = fork();
    if (starving->guard == 0) {
        (void)close(line[0]);
        guard_run(starving, line[1]);
    }
    (void)close(line[1]);
    ssize_t got = -1;
    while (starving->guard > 0 && (got = read(line[0], &ready, 1)) < 0 && errno == EINTR) {
    }
    return got == 1 ? NULL : "no process can be begun that would put its limit back";
}

/* Neither a signal to all of a terminal's processes nor its end reaches the guard. */
static void guard_run(const struct starving *starving, int line)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
    char byte = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)signal(numbers[i], SIG_IGN);
    (void)setsid();
    if (write(line, &byte, 1) == 1) {
        while (read(line, &byte, 1) < 0 && errno == EINTR) {
        }
        restore(starving);
    }
    _exit(0);
}

/* A pid may be another process's by now: then this directory has nothing in it any more. */
static void restore(const struct starving *starving)
{
    struct rlimit limit;
    if (faccessat(starving->proc, "stat", F_OK, 0) < 0 ||
        limit_call(starving->pid, NULL, &limit) < 0 || limit.rlim_cur != starving->now)
        return;
    limit.rlim_cur = starving->before < limit.rlim_max ? (rlim_t)starving->before : limit.rlim_max;
    (void)limit_call(starving->pid, &limit, NULL); /* it is gone, or it was allowed before */
}

static int limit_call(pid_t pid, const struct rlimit *set, struct rlimit *get)
{
#ifdef __linux__
    return prlimit(pid, RLIMIT_NOFILE, set, get);
#else
    (void)pid, (void)set, (void)get;
    errno = ENOSYS;
    return -1;
#endif
}
