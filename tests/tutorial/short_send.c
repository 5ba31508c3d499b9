/* SPDX-License-Identifier: MIT
 *
 * short_send.c -- a send() that seldom takes all it is given, and sometimes nothing.  run.py loads
 * it in front of libc's, because a quiet machine never shows a short send by itself.
 * Linux only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    static unsigned turn = 0;
    const char *mark = getenv("SHORT_SEND_MARK");
    if (turn == 0 && mark != NULL) /* tells the test that it is this send() that is called */
        close(open(mark, O_CREAT | O_WRONLY, 0600));
    turn = turn * 1103515245u + 12345u;
    unsigned draw = (turn >> 16) % 8;
    if (draw == 0) {
        errno = EAGAIN;
        return -1;
    }
    size_t some = n > 1 && draw < 6 ? 1 + (turn >> 19) % (n - 1) : n;
    return syscall(SYS_sendto, fd, p, some, flags, NULL, 0);
}
