/* SPDX-License-Identifier: MIT
 *
 * turns_vigil.c -- turns of this library: vigil_loop_turn() over connections.
 *
 * VIGIL_BACKEND chooses the backend.  Public header only. */
#define _GNU_SOURCE
#include <vigil.h>

#include "turns.h"

static vigil_loop *loop;

static void loop_open(void)
{
    const char *backend = getenv("VIGIL_BACKEND");
    int err = backend != NULL ? vigil_backend_try(backend) : 0;
    if (err < 0) {
        printf("skip %s: %s\n", backend, vigil_strerror(err));
        exit(0);
    }
    if (vigil_loop_open(&loop, NULL) < 0)
        exit(1);
}

static size_t on_data(vigil_loop *of, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)of, (void)conn, (void)ctx, (void)p, (void)n;
    exit(1); /* nothing was sent */
}

static void connection_add(int fd)
{
    static const vigil_conn_ops ops = { .data = on_data };
    const vigil_conn_options options = { .ops = &ops, .limits.idle_ns = VIGIL_S(IDLE_S) };
    vigil_conn conn;
    if (vigil_adopt(loop, fd, fd, &options, &conn) < 0)
        exit(1);
}

static void loop_turn(void)
{
    if (vigil_loop_turn(loop, VIGIL_NOWAIT) < 0)
        exit(1);
}
