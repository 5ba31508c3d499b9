/* SPDX-License-Identifier: MIT
 *
 * process.c -- reads what proc(5) tells of the server.  Where there is no /proc, nothing can be
 * looked at, and process_look() says so.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_MAX_LEN 64
#define FAMILY_MAX   4096 /* a server that never waits for its children has more; enough is seen */

/* The process first, then its children and theirs. */
struct family {
    pid_t pids[FAMILY_MAX];
    size_t count;
};

static int64_t family_sum(const struct process *process, int64_t (*of)(pid_t pid));
static const struct family *family_of(const struct process *process);
static void children_add(struct family *family, pid_t pid);
static int64_t memory_of(pid_t pid);
static int64_t descriptors_of(pid_t pid);
static bool has_socket(pid_t pid, uint64_t inode);
static bool cpu_of(pid_t pid, vigil_ns *used, vigil_ns *waited);
static bool cpu_of_thread(pid_t pid, const char *thread, vigil_ns *used, vigil_ns *waited);
static bool runs_one_of(pid_t pid);
static char thread_state(pid_t pid, const char *thread);
static int64_t kib_in(const char *path, const char *member);
static const char *proc_path(char path[PATH_MAX_LEN], pid_t pid, const char *format, ...)
    __attribute__((format(__printf__, 3, 4)));

const char *process_look(struct process *process, uint64_t pid)
{
    process->pid = (pid_t)pid;
    if (kill(process->pid, 0) < 0 && errno == ESRCH)
        return "no such process";
    if (process_memory(process) < 0)
        return "nothing can be learned about it in /proc";
    if (process_descriptors(process) < 0)
        return "its descriptors may not be looked at (it is another user's)";
    return NULL;
}

bool process_lives(const struct process *process)
{
    return memory_of(process->pid) >= 0; /* a zombie has none */
}

int64_t process_memory(const struct process *process)
{
    return family_sum(process, memory_of);
}

int64_t process_descriptors(const struct process *process)
{
    return family_sum(process, descriptors_of);
}

int64_t process_own_descriptors(const struct process *process)
{
    return descriptors_of(process->pid);
}

bool process_has_socket(const struct process *process, uint64_t inode)
{
    return has_socket(process->pid, inode);
}

bool process_family_has_socket(const struct process *process, uint64_t inode)
{
    const struct family *family = family_of(process);
    bool has = false;
    for (size_t i = 0; i < family->count && !has; i++)
        has = has_socket(family->pids[i], inode);
    return has;
}

int64_t process_children(const struct process *process)
{
    return process_lives(process) ? (int64_t)family_of(process)->count - 1 : -1;
}

bool process_cpu(const struct process *process, vigil_ns *used, vigil_ns *waited)
{
    const struct family *family = family_of(process);
    *used = *waited = 0;
    if (!cpu_of(process->pid, used, waited))
        return false;
    for (size_t i = 1; i < family->count; i++)
        (void)cpu_of(family->pids[i], used, waited); /* it may have ended by now */
    return true;
}

bool process_runs(const struct process *process)
{
    const struct family *family = family_of(process);
    bool runs = false;
    for (size_t i = 0; i < family->count && !runs; i++)
        runs = runs_one_of(family->pids[i]);
    return runs;
}

/* -1 when the process itself has none; a child may have ended by now. */
static int64_t family_sum(const struct process *process, int64_t (*of)(pid_t pid))
{
    const struct family *family = family_of(process);
    int64_t sum = of(process->pid);
    for (size_t i = 1; i < family->count && sum >= 0; i++) {
        const int64_t more = of(family->pids[i]);
        sum += more > 0 ? more : 0;
    }
    return sum;
}

static const struct family *family_of(const struct process *process)
{
    static struct family family;
    family.pids[0] = process->pid;
    family.count = 1;
    for (size_t i = 0; i < family.count; i++)
        children_add(&family, family.pids[i]);
    return &family;
}

/* Each thread has a list of those that it began. */
static void children_add(struct family *family, pid_t pid)
{
    char path[PATH_MAX_LEN];
    DIR *dir = opendir(proc_path(path, pid, "task"));
    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        int child = 0;
        FILE *file = isdigit((unsigned char)entry->d_name[0])
                         ? fopen(proc_path(path, pid, "task/%.10s/children", entry->d_name), "re")
                         : NULL;
        while (file && family->count < FAMILY_MAX && fscanf(file, "%d", &child) == 1)
            family->pids[family->count++] = (pid_t)child;
        if (file)
            (void)fclose(file);
    }
    (void)closedir(dir);
}

/* The sum of its pages is exact; the counter in "status" lags behind, by some pages for each CPU,
 * but is there for everybody. */
static int64_t memory_of(pid_t pid)
{
    char path[PATH_MAX_LEN];
    int64_t kib = kib_in(proc_path(path, pid, "smaps_rollup"), "Rss:");
    if (kib < 0)
        kib = kib_in(proc_path(path, pid, "status"), "VmRSS:");
    return kib < 0 ? -1 : kib * 1024;
}

static int64_t descriptors_of(pid_t pid)
{
    char path[PATH_MAX_LEN];
    int64_t count = 0;
    DIR *dir = opendir(proc_path(path, pid, "fd"));
    if (!dir)
        return -1;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

/* A descriptor of a socket is shown as a link to "socket:[INODE]". */
static bool has_socket(pid_t pid, uint64_t inode)
{
    char path[PATH_MAX_LEN];
    char want[PATH_MAX_LEN];
    char link[PATH_MAX_LEN];
    bool has = false;
    const int len = snprintf(want, sizeof want, "socket:[%" PRIu64 "]", inode);
    DIR *dir = opendir(proc_path(path, pid, "fd"));
    if (!dir)
        return false;
    for (const struct dirent *entry = readdir(dir); entry && !has; entry = readdir(dir))
        has = readlink(proc_path(path, pid, "fd/%.10s", entry->d_name), link, sizeof link) == len &&
              memcmp(link, want, (size_t)len) == 0;
    (void)closedir(dir);
    return has;
}

static bool cpu_of(pid_t pid, vigil_ns *used, vigil_ns *waited)
{
    char path[PATH_MAX_LEN];
    DIR *dir = opendir(proc_path(path, pid, "task"));
    bool told = false;
    if (!dir)
        return false;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (isdigit((unsigned char)entry->d_name[0]) &&
            cpu_of_thread(pid, entry->d_name, used, waited))
            told = true;
    }
    (void)closedir(dir);
    return told;
}

static bool cpu_of_thread(pid_t pid, const char *thread, vigil_ns *used, vigil_ns *waited)
{
    char path[PATH_MAX_LEN];
    vigil_ns on_cpu = 0;
    vigil_ns off_cpu = 0;
    FILE *file = fopen(proc_path(path, pid, "task/%.10s/schedstat", thread), "re");
    if (!file)
        return false;
    const bool told = fscanf(file, "%" SCNd64 " %" SCNd64, &on_cpu, &off_cpu) == 2;
    (void)fclose(file);
    *used += told ? on_cpu : 0;
    *waited += told ? off_cpu : 0;
    return told;
}

static bool runs_one_of(pid_t pid)
{
    char path[PATH_MAX_LEN];
    DIR *dir = opendir(proc_path(path, pid, "task"));
    bool runs = false;
    if (!dir)
        return false;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        runs = runs || (isdigit((unsigned char)entry->d_name[0]) &&
                        thread_state(pid, entry->d_name) == 'R');
    (void)closedir(dir);
    return runs;
}

/* It stands behind the name, which may have anything in it. */
static char thread_state(pid_t pid, const char *thread)
{
    char path[PATH_MAX_LEN];
    char line[128];
    char state = 0;
    FILE *file = fopen(proc_path(path, pid, "task/%.10s/stat", thread), "re");
    if (file && fgets(line, sizeof line, file)) {
        const char *name_end = strrchr(line, ')');
        if (name_end && name_end[1] == ' ')
            state = name_end[2];
    }
    if (file)
        (void)fclose(file);
    return state;
}

/* One number out of a file of names and numbers, or -1. */
static int64_t kib_in(const char *path, const char *member)
{
    char line[256];
    int64_t kib = -1;
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    while (kib < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, member, strlen(member)) == 0)
            (void)sscanf(line + strlen(member), "%" SCNd64, &kib);
    }
    (void)fclose(file);
    return kib;
}

/* The path below /proc/PID, which always fits. */
static const char *proc_path(char path[PATH_MAX_LEN], pid_t pid, const char *format, ...)
{
    va_list values;
    const int len = snprintf(path, PATH_MAX_LEN, "/proc/%d/", (int)pid);
    va_start(values, format);
    (void)vsnprintf(path + len, (size_t)(PATH_MAX_LEN - len), format, values);
    va_end(values);
    return path;
}
