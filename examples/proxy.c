/* SPDX-License-Identifier: MIT
 *
 * proxy.c -- forwards every connection to a server.  Floor: examples; public headers only.
 *
 *     proxy [WHERE [SERVER]]        tcp://localhost:10001 and tcp://localhost:10000 when left out
 *
 * Coupled both ways, the two connections are one: a reader that is slow stops the writer at the
 * other side, the end of one direction is passed on while the other goes on, and an error of one
 * (a connect that fails is one) resets the other.
 */
#include <stdio.h>
#include <vigil.h>

static void on_open(vigil_loop *loop, vigil_conn client, void *ctx)
{
    const char *where = ctx;
    const vigil_conn_options options = { 0 }; /* no callbacks: the couples do everything */
    vigil_conn server = { 0 };
    int err = vigil_connect(loop, where, &options, &server);
    if (err == 0)
        err = vigil_couple(loop, client, server);
    if (err == 0)
        err = vigil_couple(loop, server, client);
    if (err != 0) {
        fprintf(stderr, "proxy: %s: %s\n", where, vigil_strerror(err));
        (void)vigil_abort(loop, server); /* names nothing if the connect could not start */
        (void)vigil_abort(loop, client);
    }
}

int main(int argc, char **argv)
{
    static const vigil_conn_ops ops = { .open = on_open };
    static char default_server[] = "tcp://localhost:10000";
    const char *where = argc > 1 ? argv[1] : "tcp://localhost:10001";
    char *server = argc > 2 ? argv[2] : default_server;
    const vigil_listen_options options = { .ops = &ops, .user = server };
    vigil_addr address;
    if (argc > 3 || vigil_addr_parse(&address, where) == VIGIL_EADDR ||
        vigil_addr_parse(&address, server) == VIGIL_EADDR) { /* a name is well */
        fputs("usage: proxy [WHERE [SERVER]], addresses like tcp://localhost:10000 or unix:/path\n",
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
        fprintf(stderr, "proxy: %s: %s\n", where, vigil_strerror(err));
    vigil_loop_close(loop);
    return err < 0;
}
