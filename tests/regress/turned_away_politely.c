/* SPDX-License-Identifier: MIT
 *
 * turned_away_politely.c -- one who was accepted when there was no memory for a connection was
 * closed with a FIN: a client that had nothing to say yet took that for the server's answer.
 */
#include "test.h"
#include "vigil_sim.h"

enum { HERE_MAX = 70, ALLOCATIONS = 4 }; /* memory for connections comes in lots */

struct ends {
    int opened, eofs, resets;
};

static void on_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)loop;
    (void)conn;
    ((struct ends *)ctx)->opened++;
}

static void on_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    ((struct ends *)ctx)->eofs++;
    vigil_finish(loop, conn);
}

static void on_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop;
    (void)conn;
    ((struct ends *)ctx)->resets += why == VIGIL_ECONNRESET;
}

static const vigil_conn_ops client_ops = { .open = on_open, .eof = on_eof, .close = on_close };

/* A connection of the server's own, for which it takes what was put by for the next newcomer. */
static void server_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)conn;
    (void)ctx;
    (void)vigil_connect(loop, "10.0.0.9:1", NULL, NULL); /* there is nobody; it takes 3 s */
}

static const vigil_conn_ops server_ops = { .open = server_open };

/* After so many clients comes one for whom the n-th allocation of the server fails. */
static void try_one(uint32_t here, uint64_t n, const char *backend, struct ends *ends)
{
    vigil_sim *sim;
    vigil_loop *server, *clients;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    const vigil_listen_options listening = { .ops = &server_ops };
    const vigil_conn_options connecting = { &client_ops, ends, { 0 } };
    REQUIRE(vigil_loop_open(&server, &(vigil_loop_options){ .host = a, .backend = backend }) == 0);
    REQUIRE(vigil_loop_open(&clients, &(vigil_loop_options){ .host = b }) == 0);
    REQUIRE(vigil_listen(server, "10.0.0.1:7", &listening, NULL) == 0);
    for (uint32_t i = 0; i < here; i++)
        REQUIRE(vigil_connect(clients, "10.0.0.1:7", &connecting, NULL) == 0);
    REQUIRE(vigil_sim_run(sim, VIGIL_S(1) + VIGIL_MS(500)) >= 0);
    vigil_sim_fail_call(sim, a, VIGIL_SIM_CALL_ALLOCATE, n, VIGIL_ENOMEM, true);
    REQUIRE(vigil_connect(clients, "10.0.0.1:7", &connecting, NULL) == 0);
    REQUIRE(vigil_sim_run(sim, VIGIL_S(3)) >= 0);
    vigil_loop_close(clients);
    vigil_loop_close(server);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

TEST(a_newcomer_without_memory_for_it_sees_a_reset)
{
    const char *const backends[] = { "sim-ready", "sim-complete" };
    struct ends ends = { 0 };
    for (int i = 0; i < 2; i++)
        for (uint32_t here = 0; here < HERE_MAX; here++)
            for (uint64_t n = 1; n <= ALLOCATIONS; n++)
                try_one(here, n, backends[i], &ends);
    EQ_INT(0, ends.eofs);
    OK(ends.resets > 0, "nobody was turned away: the row shows nothing");
}
