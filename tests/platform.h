/* SPDX-License-Identifier: MIT
 *
 * platform.h -- the system's headers that tests use, and what the harness needs of a system beside
 * them: the open descriptors, and a limit of time.
 */
#ifndef TEST_PLATFORM_H
#define TEST_PLATFORM_H

#ifdef _WIN32
#include "platform_windows.h"
#else

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

enum { TEST_FDS_MAX = 32768, TEST_BUFFERING = _IOLBF, TEST_UNIX_SOCKETS = 1 };

/* Whether tests run in a simulated world, and what needs a machine is none of their rows. */
#ifdef TEST_VIRTUAL
enum { TEST_IN_WORLD = 1 };
#else
enum { TEST_IN_WORLD = 0 };
#endif

#ifndef TEST_VIRTUAL

/* Marks the open descriptors below TEST_FDS_MAX. */
static void test_note_fds(unsigned char open_fds[TEST_FDS_MAX])
{
    memset(open_fds, 0, TEST_FDS_MAX);
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return; /* not Linux: no balance */
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(dir) && fd < TEST_FDS_MAX)
            open_fds[fd] = 1;
    }
    closedir(dir);
}

/* Writes what the descriptor stands for. */
static void test_name_fd(int fd, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
}

#endif

/* `too_late` is called in so many seconds, unless this is called again; 0 takes it back. */
static void test_limit_time(unsigned seconds, void (*too_late)(int signo))
{
    signal(SIGALRM, too_late);
    alarm(seconds);
}

static inline bool test_under_wine(void)
{
    return false;
}

/* Async-signal-safe.  The process ends behind it, whatever it says. */
static void test_write_out(const char *text, size_t size)
{
    (void)!write(STDOUT_FILENO, text, size);
}

#endif

#ifdef TEST_VIRTUAL
#include "platform_virtual.h"
#else
/* The world around a test is this machine. */
static void test_begin(void (*skip)(const char *reason))
{
    (void)skip;
}

static int test_end(void)
{
    return 0;
}

/* Runs a test, once.  Answers how many runs failed of others than that one; `*skip` can say why
 * they prove nothing. */
static int test_repeat(const char *program, const char *title, void (*run)(void *arg), void *arg,
                       const char **skip)
{
    (void)program, (void)title, (void)skip;
    run(arg);
    return 0;
}

/* Whether tests run again and again with something failing each time. */
static inline bool test_is_repeated(void)
{
    return false;
}

/* A test is left in its midst: its frames are still there. */
static void test_leaving(bool skipped)
{
    (void)skipped;
}

/* Memory that the counting allocator hands out. */
static inline void *test_memory(void *old, size_t old_size, size_t new_size)
{
    (void)old_size;
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}
#endif
#endif
