/* SPDX-License-Identifier: MIT
 *
 * sim_echo.c -- an echo server tried in simulated worlds, as you may try yours: a client that sees
 * a clean end has got back what it sent, and none waits for ever.  See `sim_echo --help`.
 */
#include <string.h>
#include <vigil_sim.h>

static const char sent[] = "Waiting is what servers do most, so let us do it well.";
struct client {
    vigil_sim *sim;
    size_t got;
    bool closed;
};

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    return vigil_send(loop, conn, p, n);
}
static size_t compare(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct client *client = ctx;
    bool same = n <= sizeof(sent) - client->got && memcmp(p, sent + client->got, n) == 0;
    vigil_sim_always(client->sim, "the echo is what was sent", same, "at byte %zu", client->got);
    client->got += n;
    return n;
}
static void closed(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct client *client = ctx;
    bool whole = why != VIGIL_OK || client->got == sizeof(sent);
    vigil_sim_always(client->sim, "a clean end comes last", whole, "%zu bytes came", client->got);
    client->closed = true;
}
static void test(vigil_sim *sim, void *arg)
{
    static const vigil_conn_ops echoing = { .data = echo };
    static const vigil_conn_ops comparing = { .data = compare, .close = closed };
    struct client client = { .sim = sim };
    const vigil_conn_options connecting = { &comparing, &client, { .idle_ns = VIGIL_S(20) } };
    const vigil_loop_options at_1 = { .host = vigil_sim_host(sim, "10.0.0.1", NULL) };
    const vigil_loop_options at_2 = { .host = vigil_sim_host(sim, "10.0.0.2", NULL) };
    vigil_loop *server = NULL, *loop = NULL;
    vigil_conn conn;
    if (vigil_loop_open(&server, &at_1) == 0 && vigil_loop_open(&loop, &at_2) == 0 &&
        vigil_listen(server, "10.0.0.1:7", &(vigil_listen_options){ .ops = &echoing }, NULL) == 0 &&
        vigil_connect(loop, "10.0.0.1:7", &connecting, &conn) == 0 &&
        vigil_send_all(loop, conn, sent, sizeof(sent)) == 0 && vigil_end(loop, conn) == 0) {
        vigil_sim_run_for(sim, VIGIL_S(100));
        vigil_sim_always(sim, "the client ends", client.closed, "it waits for ever");
    }
    vigil_loop_close(loop);
    vigil_loop_close(server);
    vigil_sim_check_balance(sim);
}
int main(int argc, char **argv)
{
    return vigil_sim_main(argc, argv, test, NULL);
}
