/* SPDX-License-Identifier: MIT
 *
 * writable_above_the_mark.c -- a send that there was no memory to start, while the queue was full:
 * when memory came back `writable` was called at once, with no room in the queue.
 */
#include "test.h"
#include "vigil_sim.h"

enum { HIGH = 2048, LOW = HIGH / 4, CALLS = 8 };

static int told;
static size_t most_queued; /* when `writable` was called */

static void fills(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    static const char much[HIGH + 1];
    (void)ctx;
    EQ_INT(HIGH, vigil_send(loop, conn, much, sizeof(much)));
}

static void looks(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    vigil_conn_info info;
    (void)ctx;
    EQ_INT(0, vigil_conn_info_get(loop, conn, &info));
    most_queued = info.queued > most_queued ? info.queued : most_queued;
    told++;
}

/* From the n-th operation on that the client's system is handed, they fail for want of memory. */
static void try_one(uint64_t n)
{
    static const vigil_conn_ops ops = { .open = fills, .writable = looks };
    const vigil_conn_options connecting = { &ops, NULL, { .out_high = HIGH } };
    vigil_sim *sim;
    vigil_loop *server, *clients;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    const vigil_loop_options on = { .host = b, .backend = "sim-complete" };
    REQUIRE(vigil_loop_open(&server, &(vigil_loop_options){ .host = a }) == 0);
    REQUIRE(vigil_loop_open(&clients, &on) == 0);
    REQUIRE(vigil_listen(server, "10.0.0.1:7", NULL, NULL) == 0);
    REQUIRE(vigil_connect(clients, "10.0.0.1:7", &connecting, NULL) == 0);
    vigil_sim_fail_call(sim, b, VIGIL_SIM_CALL_SUBMIT, n, VIGIL_ENOMEM, true);
    REQUIRE(vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_MS(100)) >= 0);
    vigil_sim_fail_call(sim, b, VIGIL_SIM_CALL_SUBMIT, 0, VIGIL_OK, false);
    REQUIRE(vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_S(1)) >= 0);
    vigil_loop_close(clients);
    vigil_loop_close(server);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}

TEST(writable_waits_for_the_low_mark_though_memory_came_back)
{
    for (uint64_t n = 1; n <= CALLS; n++)
        try_one(n);
    EQ_INT(CALLS, told);
    OK(most_queued <= LOW, "%zu bytes were queued", most_queued);
}
