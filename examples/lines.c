/* SPDX-License-Identifier: MIT
 *
 * lines.c -- a line protocol: every line comes back behind its length, "hello" as "5 hello".
 * Floor: examples; public headers only.
 *
 *     lines [WHERE]                 WHERE is tcp://localhost:10000 when left out
 *
 * `data` consumes whole lines alone, so it does not matter how the system cuts the stream.  What it
 * leaves is held and offered again: half a line when more has come, a line whose answer found no
 * room when there is room.  A line that is longer than in_max ends its connection: VIGIL_ELIMIT.
 */
#include <stdio.h>
#include <vigil.h>

static int answer(vigil_loop *loop, vigil_conn conn, const char *line, size_t len)
{
    char length[32];
    int length_len = snprintf(length, sizeof length, "%zu ", len);
    const vigil_iov pieces[] = { { length, (size_t)length_len }, { line, len }, { "\n", 1 } };
    return vigil_sendv(loop, conn, pieces, 3); /* all of it or nothing */
}

static size_t on_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    size_t used = 0;
    for (;;) {
        const char *line;
        size_t len;
        size_t took = vigil_take_line((const char *)p + used, n - used, &line, &len);
        if (took == 0 || answer(loop, conn, line, len) != 0)
            return used;
        used += took;
    }
}

static void on_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop, (void)conn, (void)ctx;
    if (why != VIGIL_OK)
        fprintf(stderr, "lines: connection closed: %s\n", vigil_strerror(why));
}

int main(int argc, char **argv)
{
    static const vigil_conn_ops ops = { .data = on_data, .close = on_close };
    const vigil_listen_options options = { .ops = &ops, .limits = { .in_max = 64 * 1024 } };
    const char *where = argc > 1 ? argv[1] : "tcp://localhost:10000";
    vigil_addr address;
    if (argc > 2 || vigil_addr_parse(&address, where) == VIGIL_EADDR) { /* a name is well */
        fputs("usage: lines [WHERE], an address like tcp://localhost:10000 or unix:/path\n",
              stderr);
        return 2;
    }
    vigil_loop *loop = NULL;
    int err = vigil_loop_open(&loop, &(vigil_loop_options){ .stop_on_signals = true });
    if (err == 0)
        err = vigil_listen(loop, where, &options, NULL);
    if (err == 0)
        err = vigil_loop_run(loop);
    if (err < 0)
        fprintf(stderr, "lines: %s: %s\n", where, vigil_strerror(err));
    vigil_loop_close(loop);
    return err < 0;
}
