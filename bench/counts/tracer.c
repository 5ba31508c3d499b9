/* SPDX-License-Identifier: MIT
 *
 * tracer.c -- counts what a driven server (driven.c) asks of the kernel, or each instruction of it.
 *
 * Usage: tracer calls PROGRAM ARGUMENT...   "call NAME COUNT" for each system call it made
 *        tracer steps PROGRAM ARGUMENT...   "instructions COUNT", taken in single steps: for what
 *                                           valgrind cannot run; then where the code was mapped,
 *                                           "map FROM TO OFFSET FILE", and "at ADDRESS COUNT" for
 *                                           each instruction, all numbers but COUNT in hexadecimal
 * between the marks of marks.h, behind what the program prints.  The thread that began it is
 * followed, and no other.  Exit 0, or 1: it could not be traced, or failed; 2 usage. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "marks.h"

enum {
    CALLS_MAX = 600,      /* numbers of system calls */
    PLACES_MAX = 1 << 16, /* instructions that are told apart: a power of two */
};

static const struct {
    long number;
    const char *name;
} names[] = {
    { SYS_read, "read" },
    { SYS_write, "write" },
    { SYS_readv, "readv" },
    { SYS_writev, "writev" },
    { SYS_recvfrom, "recv" },
    { SYS_sendto, "send" },
    { SYS_recvmsg, "recvmsg" },
    { SYS_sendmsg, "sendmsg" },
    { SYS_ioctl, "ioctl" },
    { SYS_fcntl, "fcntl" },
    { SYS_epoll_pwait, "epoll_wait" },
    { SYS_epoll_pwait2, "epoll_pwait2" },
    { SYS_epoll_ctl, "epoll_ctl" },
    { SYS_ppoll, "poll" },
    { SYS_pselect6, "select" },
    { SYS_timerfd_settime, "timerfd_settime" },
    { SYS_io_uring_enter, "io_uring_enter" },
    { SYS_io_uring_register, "io_uring_register" },
    { SYS_madvise, "madvise" },
    { SYS_mmap, "mmap" },
    { SYS_munmap, "munmap" },
    { SYS_brk, "brk" },
    { SYS_futex, "futex" },
};

static struct {
    pid_t process;
    bool in_steps;              /* asked for */
    bool counting, of_server;   /* now */
    uintptr_t driven, from, to; /* MARK_PLACES */
    uint64_t calls[CALLS_MAX], steps;
    struct {
        uintptr_t at;
        uint64_t steps;
    } places[PLACES_MAX];
} trace = { .of_server = true };

static void die(const char *what)
{
    (void)fprintf(stderr, "tracer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void call_count(uint64_t number)
{
    if (trace.counting && number < CALLS_MAX)
        trace.calls[number]++;
}

/* Where the code of files lies: asked for when counting begins, for afterwards it lies nowhere. */
static char maps[16384];

static void maps_keep(void)
{
    char path[32], line[512], access[5], file[256];
    unsigned long from, to, offset;
    size_t used = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)trace.process);
    FILE *told = fopen(path, "re");
    while (told && fgets(line, sizeof line, told))
        if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %255s", &from, &to, access, &offset, file) == 5 &&
            access[2] == 'x' && used < sizeof maps)
            used += (size_t)snprintf(maps + used, sizeof maps - used, "map %lx %lx %lx %s\n", from,
                                     to, offset, file);
    if (told)
        (void)fclose(told);
}

static void marked(const uint64_t *arguments)
{
    switch (arguments[1]) {
    case MARK_PLACES:
        trace.driven = arguments[2];
        trace.from = arguments[3];
        trace.to = arguments[4];
        break;
    case MARK_BEGIN:
    case MARK_END:
        trace.counting = arguments[1] == MARK_BEGIN;
        if (trace.counting)
            maps_keep();
        break;
    case MARK_ENTER:
        call_count(arguments[2]);
        trace.of_server = false;
        break;
    case MARK_LEAVE:
        trace.of_server = true;
        break;
    default:
        break;
    }
}

/* At the beginning of a system call, or its end, which says nothing. */
static void called(void)
{
    struct __ptrace_syscall_info call;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, trace.process, sizeof call, &call) < 0)
        die("PTRACE_GET_SYSCALL_INFO");
    if (call.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    if (call.entry.nr == SYS_prctl && call.entry.args[0] == MARK)
        marked(call.entry.args);
    else if (trace.of_server)
        call_count(call.entry.nr);
}

/* Where the next instruction is. */
static uintptr_t position(void)
{
    struct user_regs_struct registers;
    struct iovec all = { &registers, sizeof registers };
    if (ptrace(PTRACE_GETREGSET, trace.process, 1L /* NT_PRSTATUS */, &all) < 0)
        die("PTRACE_GETREGSET");
#ifdef __x86_64__
    return registers.rip;
#else
    return registers.pc;
#endif
}

static void step_count(uintptr_t at)
{
    trace.steps++;
    for (size_t tries = 0; tries < PLACES_MAX; tries++) {
        size_t i = (at + tries) % PLACES_MAX;
        if (trace.places[i].at != at && trace.places[i].at != 0)
            continue;
        trace.places[i].at = at;
        trace.places[i].steps++;
        return;
    }
}

/* An instruction of the server has been executed.  Answers whether the next one is its, too. */
static bool stepped(void)
{
    uintptr_t next = position();
    if (next == trace.driven)
        return false;
    if (next < trace.from || next >= trace.to)
        step_count(next);
    return true;
}

/* Goes on to its next stop; answers the signal that stopped it, or exits as it did. */
static int proceed(long request, int signal)
{
    int status;
    if (ptrace((enum __ptrace_request)request, trace.process, NULL, (long)signal) < 0)
        die("ptrace");
    if (waitpid(trace.process, &status, 0) < 0)
        die("waitpid");
    if (WIFSTOPPED(status))
        return WSTOPSIG(status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || trace.counting) {
        (void)fprintf(stderr, "tracer: the server ended, status %#x\n", (unsigned)status);
        exit(1);
    }
    return 0;
}

static void follow(void)
{
    const int of_call = SIGTRAP | 0x80; /* PTRACE_O_TRACESYSGOOD */
    bool steps = false;
    int signal = 0;
    for (;;) {
        int stop = proceed(steps ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, signal);
        if (stop == 0)
            return;
        signal = stop == of_call || stop == SIGTRAP ? 0 : stop;
        if (stop == of_call) {
            called();
            steps = trace.in_steps && trace.counting && trace.of_server;
        } else if (stop == SIGTRAP && steps) {
            steps = stepped();
        }
    }
}

static void report_steps(void)
{
    printf("instructions %llu\n%s", (unsigned long long)trace.steps, maps);
    for (size_t i = 0; i < PLACES_MAX; i++)
        if (trace.places[i].steps > 0)
            printf("at %lx %llu\n", (unsigned long)trace.places[i].at,
                   (unsigned long long)trace.places[i].steps);
}

static void report_calls(void)
{
    for (size_t number = 0; number < CALLS_MAX; number++) {
        char other[16];
        const char *name = other;
        (void)snprintf(other, sizeof other, "%zu", number);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (names[i].number == (long)number)
                name = names[i].name;
        if (trace.calls[number] > 0)
            printf("call %s %llu\n", name, (unsigned long long)trace.calls[number]);
    }
}

int main(int argc, char **argv)
{
    trace.in_steps = argc > 2 && strcmp(argv[1], "steps") == 0;
    if (argc < 3 || (!trace.in_steps && strcmp(argv[1], "calls") != 0)) {
        (void)fprintf(stderr, "tracer: want calls or steps, and a program with its arguments\n");
        return 2;
    }
    trace.process = fork();
    if (trace.process < 0)
        die("fork");
    if (trace.process == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
            (void)execv(argv[2], argv + 2); /* it only returns where it failed */
        die(argv[2]);
    }
    int status;
    if (waitpid(trace.process, &status, 0) < 0 || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, trace.process, NULL,
               (long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) < 0)
        die("trace");
    follow();
    if (trace.in_steps)
        report_steps();
    else
        report_calls();
    return 0;
}
