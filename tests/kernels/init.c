/* SPDX-License-Identifier: MIT
 *
 * init.c -- the first and only service of a guest: makes the machine usable, runs the programs that
 * /plan names one after another with their output on the console, and turns the machine off.
 *
 * A line of /plan is a word and its arguments, with tabs between them:
 *   set NAME=VALUE               for the environment of what follows
 *   module PATH                  loads a module of the kernel
 *   netem MICROSECONDS PERMILLE  from now on loopback delays packets so long and loses so many
 *   run NAME PROGRAM ARG...      runs it; NAME stands in the lines before and behind its output
 * Lines of its own begin with "@ ", so that results.py tells them from the programs'.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "kernels/netem.h"

enum { WORDS_MAX = 256, LINE_MAX_BYTES = 16384, FDS = 20000 };

/* What the tests expect of a machine; a step that fails is told, and the tests show the rest. */
static void told(const char *step, int result)
{
    if (result < 0)
        printf("@ failed %s: %s\n", step, strerror(errno));
}

static void mount_all(void)
{
    static const struct {
        const char *type, *at;
    } rows[] = { { "proc", "/proc" },      { "sysfs", "/sys" }, { "devtmpfs", "/dev" },
                 { "devpts", "/dev/pts" }, { "tmpfs", "/tmp" }, { "tmpfs", "/dev/shm" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)mkdir(rows[i].at, 0755); /* most are there */
        told(rows[i].at, mount(rows[i].type, rows[i].at, rows[i].type, 0, NULL));
    }
}

static void console_open(void)
{
    int null = open("/dev/null", O_RDONLY), console = open("/dev/console", O_WRONLY);
    told("/dev/null", dup2(null, 0));
    told("/dev/console", console);
    (void)dup2(console, 1); /* nobody is there to tell */
    (void)dup2(console, 2);
    if (console > 2)
        close(console);
    if (null > 2)
        close(null);
}

static void loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    told("a socket", fd);
    told("flags of lo", ioctl(fd, SIOCGIFFLAGS, &request));
    request.ifr_flags |= IFF_UP;
    told("lo up", ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
}

static void machine_prepare(void)
{
    struct rlimit fds = { FDS, FDS };
    mount_all();
    console_open();
    setvbuf(stdout, NULL, _IOLBF, 0);
    told("limit of descriptors", setrlimit(RLIMIT_NOFILE, &fds));
    loopback_up();
}

static void module_load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    told(path, fd);
    told(path, (int)syscall(SYS_finit_module, fd, "", 0));
    close(fd);
}

static long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Runs the program to its end; then nothing of it is left. */
static void run(char **words)
{
    long began = milliseconds();
    int state = -1;
    printf("@ begin %s\n", words[0]);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        execv(words[1], words + 1);
        printf("@ failed %s: %s\n", words[1], strerror(errno));
        _exit(127);
    }
    while (child > 0 && waitpid(-1, &state, 0) != child)
        continue;            /* orphans come here, too */
    (void)kill(-1, SIGKILL); /* everybody but this one */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    /* A program that was killed may have left a line without an end. */
    printf("\n@ end %s %d %ld\n", words[0], WIFEXITED(state) ? WEXITSTATUS(state) : -state,
           milliseconds() - began);
}

static void follow(char *line)
{
    char *words[WORDS_MAX] = { NULL };
    int count = 0;
    for (char *rest = line, *word; count < WORDS_MAX - 1 && (word = strsep(&rest, "\t\n")) != NULL;)
        words[count++] = word;
    if (count > 1 && words[count - 1][0] == '\0')
        words[--count] = NULL; /* behind the end of the line */
    if (count == 2 && strcmp(words[0], "set") == 0)
        told(words[1], putenv(strdup(words[1])));
    else if (count == 2 && strcmp(words[0], "module") == 0)
        module_load(words[1]);
    else if (count == 3 && strcmp(words[0], "netem") == 0)
        told("netem", netem_on_loopback(atol(words[1]), atol(words[2])));
    else if (count > 2 && strcmp(words[0], "run") == 0)
        run(words + 1);
    else
        printf("@ failed plan: no line like \"%s\"\n", words[0]);
}

/* Warnings of the kernel, and worse. */
static void kernel_log_print(void)
{
    char record[8192];
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n;
    while ((n = read(fd, record, sizeof(record) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
        record[n > 0 ? n : 0] = '\0';
        char *text = strchr(record, ';');
        if (text != NULL && (atoi(record) & 7) <= 4)
            printf("@ kernel %.*s\n", (int)strcspn(text + 1, "\n"), text + 1);
    }
    close(fd);
}

int main(void)
{
    static char line[LINE_MAX_BYTES];
    machine_prepare();
    printf("\n@ up %ld\n", milliseconds());
    FILE *plan = fopen("/plan", "re");
    told("/plan", plan != NULL ? 0 : -1);
    while (plan != NULL && fgets(line, sizeof(line), plan) != NULL)
        follow(line);
    kernel_log_print();
    printf("@ done %ld\n", milliseconds());
    (void)tcdrain(1);
    sync();
    (void)reboot(RB_POWER_OFF);
    (void)reboot(RB_AUTOBOOT); /* a machine that cannot turn itself off is not started again */
    return 1;
}
