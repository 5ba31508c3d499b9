/* SPDX-License-Identifier: MIT
 *
 * vigil.c -- the contender on this library: the six-statement echo, with the backend to choose.
 *
 * Usage: vigil [WHERE [BACKEND]]; the address bound is printed, or "skip" and why the backend is
 * not to be had.  Public header only. */
#include <stdio.h>

#include <vigil.h>

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

int main(int argc, char **argv)
{
    static const vigil_conn_ops ops = { .data = echo };
    const vigil_loop_options options = { .backend = argc > 2 ? argv[2] : NULL,
                                         .stop_on_signals = true };
    vigil_loop *loop;
    vigil_listener listener;
    vigil_addr address;
    char text[VIGIL_ADDR_TEXT_MAX];
    int err = options.backend != NULL ? vigil_backend_try(options.backend) : 0;
    if (err == VIGIL_ENOTSUP || err == VIGIL_EINVAL) {
        printf("skip %s: %s\n", options.backend,
               err == VIGIL_EINVAL ? "not built in" : vigil_strerror(err));
        return 0;
    }
    err = vigil_loop_open(&loop, &options);
    if (err == 0)
        err = vigil_listen(loop, argc > 1 ? argv[1] : "tcp://127.0.0.1:10000",
                           &(vigil_listen_options){ .ops = &ops }, &listener);
    if (err == 0)
        err = vigil_listener_address(loop, listener, &address);
    if (err == 0) {
        (void)vigil_addr_format(&address, text, sizeof text); /* it always fits */
        printf("tcp://%s\n", text);
        (void)fflush(stdout); /* a reader that is gone is no reason not to serve */
        err = vigil_loop_run(loop);
    }
    if (err < 0)
        (void)fprintf(stderr, "vigil: %s\n", vigil_strerror(err));
    return err < 0;
}
