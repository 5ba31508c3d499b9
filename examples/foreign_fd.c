/* SPDX-License-Identifier: MIT
 *
 * foreign_fd.c -- vigil among others, both ways round.  Floor: examples; public headers only.
 *
 *     foreign_fd [WHERE]            WHERE is tcp://localhost:10000 when left out
 *
 * As the host: the loop serves echo and watches a descriptor that somebody else made, here the
 * clock of timerfd_create(2), which ticks every second.  As the guest: the whole loop hangs on one
 * descriptor in a plain poll(2), beside the standard input, whose end is the end of the program.
 */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <vigil.h>

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static void tick(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)watch, (void)events;
    const int *clock_fd = arg;
    uint64_t ticks;
    vigil_stats stats;
    if (read(*clock_fd, &ticks, sizeof ticks) != (ssize_t)sizeof ticks)
        return; /* EAGAIN: nothing after all, the watch tells again */
    vigil_stats_get(loop, &stats);
    printf("tick: %llu connections\n", (unsigned long long)stats.conns);
    (void)fflush(stdout); /* a watcher that is gone is no concern of the server */
}

/* poll(2) counts milliseconds: rounded up, so that it does not return early and spin. */
static int poll_timeout(vigil_ns due)
{
    return due > VIGIL_MS(INT_MAX - 1) ? -1 : (int)((due + VIGIL_MS(1) - 1) / VIGIL_MS(1));
}

static int run_until_end_of_input(vigil_loop *loop)
{
    struct pollfd fds[] = { { .fd = vigil_loop_fd(loop), .events = POLLIN },
                            { .fd = STDIN_FILENO, .events = POLLIN } };
    if (fds[0].fd < 0)
        return fds[0].fd; /* VIGIL_ENOTSUP: select and poll have no such descriptor */
    for (;;) {
        int ready = poll(fds, 2, poll_timeout(vigil_loop_due(loop))); /* -1, EINTR: go round */
        int ran = vigil_loop_turn(loop, VIGIL_NOWAIT);
        char line[256];
        if (ran < 0)
            return ran;
        if (ready > 0 && fds[1].revents != 0 && read(STDIN_FILENO, line, sizeof line) <= 0)
            return 0;
    }
}

int main(int argc, char **argv)
{
    static const vigil_conn_ops ops = { .data = echo };
    const vigil_listen_options options = { .ops = &ops };
    const char *where = argc > 1 ? argv[1] : "tcp://localhost:10000";
    vigil_addr address;
    if (argc > 2 || vigil_addr_parse(&address, where) == VIGIL_EADDR) { /* a name is well */
        fputs("usage: foreign_fd [WHERE], an address like tcp://localhost:10000 or unix:/path\n",
              stderr);
        return 2;
    }
    const struct itimerspec second = { { 1, 0 }, { 1, 0 } };
    int clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (clock_fd < 0 || timerfd_settime(clock_fd, 0, &second, NULL) != 0) {
        perror("foreign_fd: timerfd");
        return 1;
    }
    vigil_loop *loop = NULL;
    int err = vigil_loop_open(&loop, NULL);
    if (err == 0)
        err = vigil_listen(loop, where, &options, NULL);
    if (err == 0)
        err = vigil_on_ready(loop, clock_fd, VIGIL_IN, tick, &clock_fd, NULL);
    if (err == 0)
        err = run_until_end_of_input(loop);
    if (err < 0)
        fprintf(stderr, "foreign_fd: %s\n", vigil_strerror(err));
    vigil_loop_close(loop); /* first: it lets go of the clock, which stays ours */
    (void)close(clock_fd);
    return err < 0;
}
