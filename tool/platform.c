/* SPDX-License-Identifier: MIT
 *
 * platform.c -- what the command asks of the system itself, on POSIX and on Windows.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "platform.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vigil.h"

#ifdef _WIN32

#include <io.h>

/* Lines end as everywhere, so that what is printed here can be compared with what is printed there.
 * stderr is without a buffer: this C library knows none that is written line by line. */
bool platform_begin(void)
{
    for (int fd = 0; fd <= 2; fd++)
        (void)_setmode(fd, _O_BINARY); /* fails for one that is closed, and using it does, too */
    (void)setvbuf(stderr, NULL, _IONBF, 0);
    return true;
}

const char *platform_stdin_fault(void)
{
    return "stdin cannot be waited for on Windows";
}

long platform_read_stdin(void *p, size_t n)
{
    return _read(PLATFORM_STDIN, p, (unsigned)n);
}

#else

#include <unistd.h>

/* Where 0, 1 or 2 is closed, the next socket would get that number, and the transcript with it.
 * /dev/null takes the place the wrong way round: using it fails, as using a closed one does. */
static bool streams_taken(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    }
    return true;
}

bool platform_begin(void)
{
    if (!streams_taken())
        return false;
    /* A transcript whose reader left must not kill a server; writes to it just fail. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* Whole lines, so that what several processes write to one terminal stays readable. */
    (void)setvbuf(stderr, NULL, _IOLBF, 8192);
    return true;
}

/* A stdin that was closed is one that can only be written: see streams_taken(). */
const char *platform_stdin_fault(void)
{
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_WRONLY ? NULL : "stdin is closed";
}

long platform_read_stdin(void *p, size_t n)
{
    return read(STDIN_FILENO, p, n);
}

#endif

const char *platform_reason(int err)
{
    static char text[128];
    int os_error = vigil_os_error();
#ifdef _WIN32
    os_error = 0; /* Winsock's, of which strerror() knows nothing */
#endif
    if (err != VIGIL_ENOTSUP || os_error == 0)
        return vigil_strerror(err);
    (void)snprintf(text, sizeof text, "%s (%s)", vigil_strerror(err), strerror(os_error));
    return text;
}
