/* SPDX-License-Identifier: MIT
 *
 * echo.c -- an echo server and its clients in simulated worlds, with the library's own backends on
 * models of their kernels, and faults below them.  tests/model/calls/backends.c says what is
 * looked at besides.
 *
 *   VIGIL_SIM_BACKEND=io_uring build/tests/model/worlds/echo --seeds 1000
 */
#include <string.h>

#include "sim/sim.h"

enum { CLIENTS_MAX = 4, BYTES_MAX = 50000, PIECE_MAX = 8000 };

struct client {
    vigil_sim *sim;
    vigil_conn conn;
    uint32_t sent, total, got; /* bytes */
    bool opened, ended, closed;
};

struct echo {
    struct client clients[CLIENTS_MAX];
    uint32_t count;
    unsigned server_opened, server_closed;
};

static uint8_t byte_at(uint32_t i)
{
    return (uint8_t)(i * 31 ^ i >> 8);
}

/* ---- the server ---- */

static void server_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct echo *echo = ctx;
    (void)loop, (void)conn;
    echo->server_opened++;
}

static size_t server_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static void server_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct echo *echo = ctx;
    (void)loop, (void)conn, (void)why;
    echo->server_closed++;
}

static const vigil_conn_ops server_ops = { server_open, server_data, NULL, NULL, server_close };

/* ---- a client: sends as there is room, and its end behind it ---- */

static void client_send(vigil_loop *loop, struct client *client)
{
    uint8_t piece[PIECE_MAX];
    while (client->sent < client->total) {
        uint32_t n = client->total - client->sent;
        n = n < PIECE_MAX ? n : PIECE_MAX;
        for (uint32_t i = 0; i < n; i++)
            piece[i] = byte_at(client->sent + i);
        size_t taken = vigil_send(loop, client->conn, piece, n);
        client->sent += (uint32_t)taken;
        if (taken < n)
            return;
    }
    if (!client->ended)
        (void)vigil_end(loop, client->conn); /* it is open, or its close comes */
    client->ended = true;
}

static void client_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *client = ctx;
    client->conn = conn;
    client->opened = true;
    client_send(loop, client);
}

static size_t client_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct client *client = ctx;
    const uint8_t *bytes = p;
    (void)loop, (void)conn;
    uint32_t right = 0;
    while (right < n && bytes[right] == byte_at(client->got + right))
        right++;
    vigil_sim_always(client->sim, "the echo is a prefix of what was sent",
                     right == n && client->got + n <= client->sent, "%u of %zu bytes at %u", right,
                     n, client->got);
    client->got += (uint32_t)n;
    return n;
}

static void client_drain(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)conn;
    client_send(loop, ctx);
}

static void client_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct client *client = ctx;
    (void)loop, (void)conn;
    vigil_sim_always(client->sim, "closed once", !client->closed, "again, with %d", why);
    vigil_sim_always(client->sim, "a clean end comes behind all bytes",
                     why != VIGIL_OK || client->got == client->total, "%u of %u came", client->got,
                     client->total);
    client->closed = true;
}

static const vigil_conn_ops client_ops = { client_open, client_data, NULL, client_drain,
                                           client_close };

/* ---- the world ---- */

static bool all_closed(void *arg)
{
    const struct echo *echo = arg;
    for (uint32_t i = 0; i < echo->count; i++)
        if (!echo->clients[i].closed)
            return false;
    return echo->server_opened == echo->server_closed;
}

static void connect_all(vigil_sim *sim, vigil_loop *loop, struct echo *echo)
{
    const vigil_limits limits = { .idle_ns = VIGIL_S(20) }; /* a peer may vanish without a word */
    uint32_t count = 1 + vigil_sim_choose(sim, "clients", CLIENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct client *client = &echo->clients[echo->count];
        *client = (struct client){ .sim = sim, .total = vigil_sim_choose(sim, "bytes", BYTES_MAX) };
        const vigil_conn_options options = { &client_ops, client, limits };
        if (vigil_connect(loop, "10.0.0.1:7", &options, NULL) == 0)
            echo->count++;
    }
}

/* Narrow links make many pieces of what would be a few. */
static void choose_link(vigil_sim *sim, const vigil_host *a, const vigil_host *b)
{
    static const size_t buffers[] = { 0, 700, 5000, 20000 };
    const vigil_sim_link link = {
        .jitter_ns = VIGIL_US(vigil_sim_choose(sim, "jitter us", 500)),
        .buffer = buffers[vigil_sim_choose(sim, "buffer", VIGIL_COUNT(buffers))],
    };
    (void)vigil_sim_connect_hosts(sim, a, b, &link); /* without memory it is the default's */
}

static void test(vigil_sim *sim, void *arg)
{
    struct echo echo = { 0 };
    vigil_loop *server = NULL, *loop = NULL;
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    const vigil_limits limits = { .idle_ns = VIGIL_S(20) };
    const vigil_listen_options listening = { .ops = &server_ops, .user = &echo, .limits = limits };
    (void)arg;
    choose_link(sim, a, b);
    if (vigil_loop_open(&server, &(vigil_loop_options){ .host = a }) == 0 &&
        vigil_loop_open(&loop, &(vigil_loop_options){ .host = b }) == 0 &&
        vigil_listen(server, "10.0.0.1:7", &listening, NULL) == 0) {
        connect_all(sim, loop, &echo);
        vigil_sim_run(sim, VIGIL_S(2));
        vigil_sim_eventually(sim, "everybody ends", all_closed, &echo, VIGIL_S(120));
    }
    vigil_loop_close(loop);
    vigil_loop_close(server);
    vigil_sim_check_balance(sim);
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "VIGIL_SIM_BACKEND", "VIGIL_SIM_KERNEL", NULL };
    return vigil_sim_main_env(argc, argv, names, test, NULL);
}
