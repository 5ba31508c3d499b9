/* SPDX-License-Identifier: MIT
 *
 * chat.c -- everybody's lines to everybody.  Floor: examples; public headers only.
 *
 *     chat [WHERE]                  WHERE is tcp://localhost:10000 when left out
 *
 * Who does not read is dropped, not waited for: the output of a connection is bounded, so a line
 * that does not fit says that its reader is out_high bytes behind.  Nobody else notices.
 */
#include <stdio.h>
#include <string.h>
#include <vigil.h>

static void say(vigil_loop *loop, const char *name, const char *line, size_t len)
{
    const vigil_iov pieces[] = { { name, strlen(name) }, { ": ", 2 }, { line, len }, { "\n", 1 } };
    vigil_conn to = { 0 };
    while ((to = vigil_conn_next(loop, to)).v != 0) {
        int err = vigil_sendv(loop, to, pieces, 4);
        if (err != VIGIL_OK && err != VIGIL_ECLOSED) /* no room; or it is leaving anyway */
            (void)vigil_abort(loop, to);             /* it can only be gone already */
    }
}

static size_t on_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    char name[VIGIL_ADDR_TEXT_MAX] = "somebody";
    vigil_addr peer;
    if (vigil_conn_peer(loop, conn, &peer) == 0)
        (void)vigil_addr_format(&peer, name, sizeof name); /* the room is always enough */

    size_t used = 0, took, len;
    const char *line;
    while ((took = vigil_take_line((const char *)p + used, n - used, &line, &len)) > 0) {
        say(loop, name, line, len);
        used += took;
    }
    return used;
}

int main(int argc, char **argv)
{
    static const vigil_conn_ops ops = { .data = on_data };
    const vigil_listen_options options = { .ops = &ops, .limits = { .in_max = 4096 } };
    const char *where = argc > 1 ? argv[1] : "tcp://localhost:10000";
    vigil_addr address;
    if (argc > 2 || vigil_addr_parse(&address, where) == VIGIL_EADDR) { /* a name is well */
        fputs("usage: chat [WHERE], an address like tcp://localhost:10000 or unix:/path\n", stderr);
        return 2;
    }
    vigil_loop *loop = NULL;
    int err = vigil_loop_open(&loop, &(vigil_loop_options){ .stop_on_signals = true });
    if (err == 0)
        err = vigil_listen(loop, where, &options, NULL);
    if (err == 0)
        err = vigil_loop_run(loop);
    if (err < 0)
        fprintf(stderr, "chat: %s: %s\n", where, vigil_strerror(err));
    vigil_loop_close(loop);
    return err < 0;
}
