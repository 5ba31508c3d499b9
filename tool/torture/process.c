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
#include <stdio.h>
#include <string.h>

#define PATH_MAX_LEN 64

static int64_t status_kib(const struct process *process, const char *member);

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
    return status_kib(process, "VmRSS:") >= 0; /* a zombie has none */
}

int64_t process_memory(const struct process *process)
{
    const int64_t kib = status_kib(process, "VmRSS:");
    return kib < 0 ? -1 : kib * 1024;
}

int64_t process_descriptors(const struct process *process)
{
    char path[PATH_MAX_LEN];
    int64_t count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)process->pid); /* fits */
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

bool process_cpu(const struct process *process, vigil_ns *used, vigil_ns *waited)
{
    char path[PATH_MAX_LEN];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)process->pid); /* fits */
    DIR *dir = opendir(path);
    *used = *waited = 0;
    if (!dir)
        return false;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.10s/schedstat", (int)process->pid,
                       entry->d_name);
        FILE *file = fopen(path, "re");
        vigil_ns on_cpu = 0;
        vigil_ns off_cpu = 0;
        if (file && fscanf(file, "%" SCNd64 " %" SCNd64, &on_cpu, &off_cpu) == 2) {
            *used += on_cpu;
            *waited += off_cpu;
        }
        if (file)
            (void)fclose(file);
    }
    (void)closedir(dir);
    return true;
}

/* One number out of /proc/PID/status, or -1. */
static int64_t status_kib(const struct process *process, const char *member)
{
    char path[PATH_MAX_LEN];
    char line[256];
    int64_t kib = -1;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)process->pid); /* fits */
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
