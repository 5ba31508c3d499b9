/* SPDX-License-Identifier: MIT
 *
 * turned_away_politely.c -- one who was accepted when there was no memory for a connection was
 * closed with a FIN: a client that had nothing to say yet took that for the server's answer.
 */
#include "regress/two_hosts.h"

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
    struct two_hosts two;
    const vigil_listen_options listening = { .ops = &server_ops };
    const vigil_conn_options connecting = { &client_ops, ends, { 0 } };
    two_hosts_open(&two, backend, NULL, NULL);
    REQUIRE(vigil_listen(two.server, "10.0.0.1:7", &listening, NULL) == 0);
    for (uint32_t i = 0; i < here; i++)
        REQUIRE(vigil_connect(two.clients, "10.0.0.1:7", &connecting, NULL) == 0);
    two_hosts_run(&two, VIGIL_MS(500));
    vigil_sim_fail_call(two.sim, two.server_host, VIGIL_SIM_CALL_ALLOCATE, n, VIGIL_ENOMEM, true);
    REQUIRE(vigil_connect(two.clients, "10.0.0.1:7", &connecting, NULL) == 0);
    two_hosts_run(&two, VIGIL_MS(1500));
    two_hosts_close(&two);
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
