/* SPDX-License-Identifier: MIT
 *
 * sim_echo.c -- an echo server tried in simulated worlds: a client sends some bytes and its end,
 * and whatever the network and the machine do, what comes back is what it sent.
 *
 *   sim_echo --seeds 10000        sim_echo --seed 7 --trace        sim_echo --help
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
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}
static const vigil_conn_ops server_ops = { .data = echo };

static void client_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)ctx;
    if (vigil_send_all(loop, conn, sent, sizeof(sent)) == 0)
        vigil_end(loop, conn);
    else
        vigil_abort(loop, conn); /* out of memory */
}
static size_t client_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct client *client = ctx;
    (void)loop, (void)conn;
    vigil_sim_always(client->sim, "the echo is what was sent",
                     client->got + n <= sizeof(sent) && !memcmp(p, sent + client->got, n),
                     "%zu bytes at %zu", n, client->got);
    client->got += n;
    return n;
}
static void client_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct client *client = ctx;
    (void)loop, (void)conn;
    vigil_sim_always(client->sim, "a clean end comes behind all bytes",
                     why != VIGIL_OK || client->got == sizeof(sent), "%zu came", client->got);
    client->closed = true;
}
static const vigil_conn_ops client_ops = { client_open, client_data, NULL, NULL, client_close };

static bool is_closed(void *arg)
{
    return ((struct client *)arg)->closed;
}

static void test(vigil_sim *sim, void *arg)
{
    struct client client = { .sim = sim };
    const vigil_limits limits = { .idle_ns = VIGIL_S(20) }; /* a peer may vanish without a word */
    const vigil_listen_options listening = { .ops = &server_ops, .limits = limits };
    const vigil_conn_options connecting = { &client_ops, &client, limits };
    vigil_loop *server = NULL, *loop = NULL;
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    (void)arg;
    if (vigil_loop_open(&server, &(vigil_loop_options){ .host = a }) == 0 &&
        vigil_loop_open(&loop, &(vigil_loop_options){ .host = b }) == 0 &&
        vigil_listen(server, "10.0.0.1:7", &listening, NULL) == 0 &&
        vigil_connect(loop, "10.0.0.1:7", &connecting, NULL) == 0) {
        vigil_sim_run(sim, VIGIL_S(2));
        vigil_sim_eventually(sim, "the client ends", is_closed, &client, VIGIL_S(60));
    }
    vigil_loop_close(loop);
    vigil_loop_close(server);
    vigil_sim_check_balance(sim);
}

int main(int argc, char **argv)
{
    return vigil_sim_main(argc, argv, test, NULL);
}
