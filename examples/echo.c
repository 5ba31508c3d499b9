/* SPDX-License-Identifier: MIT
 *
 * echo.c -- an echo server, whole: six statements.
 *
 * It keeps the tail of a half-closed stream, stays small before a client that never reads, rests
 * when descriptors run out, and finishes what is in flight on SIGTERM.  Its argument, if there is
 * one, says WHERE.
 */
#include <stdio.h>

#include <vigil.h>

static size_t echo(vigil_loop *l, vigil_conn c, void *ctx, const void *p, size_t n)
{
    return vigil_send(l, c, p, n);
}

int main(int argc, char **argv)
{
    static const vigil_conn_ops ops = { .data = echo };
    vigil_loop *l;
    if (vigil_loop_open(&l, &(vigil_loop_options){ .stop_on_signals = true }) ||
        vigil_listen(l, argc > 1 ? argv[1] : "tcp://localhost:10000",
                     &(vigil_listen_options){ .ops = &ops }, NULL))
        return (void)fputs("echo: cannot listen there\n", stderr), argc > 1 ? 2 : 1;
    return vigil_loop_run(l) != 0;
}
