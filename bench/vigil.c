/* SPDX-License-Identifier: MIT
 *
 * vigil.c -- the contender on this library: the six-statement echo.
 *
 * Usage: vigil [--idle] WHERE, or --version; VIGIL_BACKEND chooses the backend.  The address bound
 * is printed, or "skip" and why that backend is not to be had.  At SIGUSR1 it prints how many
 * connections there were, ended in order, ended otherwise, and are; at SIGTERM it finishes what is
 * under way.  The library decides by itself how much it reads: up to 64 KiB at once, and up to four
 * times per wake-up for as long as each read is full.  The limits are those of server.h.  Public
 * header only. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vigil.h>

enum { OUT_MAX = 65536, IDLE_S = 30 };

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static void tell(vigil_loop *loop, int signo, void *arg)
{
    vigil_stats stats;
    (void)signo, (void)arg;
    vigil_stats_get(loop, &stats);
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", stats.accepted, stats.closed_ok,
           stats.closed_error, stats.conns);
    (void)fflush(stdout);
}

static int serve(vigil_loop *loop, const char *where, bool idle)
{
    static const vigil_conn_ops ops = { .data = echo };
    const vigil_listen_options options = {
        .ops = &ops, .limits = { .out_high = OUT_MAX, .idle_ns = idle ? VIGIL_S(IDLE_S) : 0 }
    };
    vigil_listener listener;
    vigil_signal asked;
    vigil_addr address;
    char text[VIGIL_ADDR_TEXT_MAX];
    int err = vigil_listen(loop, where, &options, &listener);
    if (err == 0)
        err = vigil_listener_address(loop, listener, &address);
    if (err == 0)
        err = vigil_on_signal(loop, SIGUSR1, tell, NULL, &asked);
    if (err < 0)
        return err;
    (void)vigil_addr_format(&address, text, sizeof text); /* it always fits */
    printf("tcp://%s\n", text);
    (void)fflush(stdout); /* a reader that is gone is no reason not to serve */
    return vigil_loop_run(loop);
}

int main(int argc, char **argv)
{
    const char *backend = getenv("VIGIL_BACKEND");
    const vigil_loop_options options = { .stop_on_signals = true };
    vigil_loop *loop;
    bool idle = argc == 3 && strcmp(argv[1], "--idle") == 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts(vigil_version()) < 0;
    if (argc != (idle ? 3 : 2)) {
        (void)fprintf(stderr, "vigil: want [--idle] tcp://ADDRESS:PORT, or --version\n");
        return 2;
    }
    int err = backend != NULL ? vigil_backend_try(backend) : 0;
    if (err == VIGIL_ENOTSUP || err == VIGIL_EINVAL) {
        printf("skip %s: %s\n", backend,
               err == VIGIL_EINVAL ? "not built in" : vigil_strerror(err));
        return 0;
    }
    err = vigil_loop_open(&loop, &options);
    if (err == 0)
        err = serve(loop, argv[argc - 1], idle);
    if (err < 0)
        (void)fprintf(stderr, "vigil: %s\n", vigil_strerror(err));
    return err < 0;
}
