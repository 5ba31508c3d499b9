/* SPDX-License-Identifier: MIT
 *
 * both_put_output_first.c -- a connection that found memory short for a moment read nothing until
 * its own output had gone; its peer, an echo, could take none before its answers were read: both
 * waited for ever, with memory enough.
 */
#include "test.h"
#include "vigil_sim.h"

enum { BYTES = 3000, ALLOCATIONS = 60 };

struct talk {
    size_t got;
    bool closed;
};

static size_t echoes(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static void talks(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    static const char bytes[BYTES];
    (void)ctx;
    if (vigil_send_all(loop, conn, bytes, sizeof(bytes)) != 0)
        vigil_abort(loop, conn);
    else
        vigil_end(loop, conn);
}

static size_t counts(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)loop;
    (void)conn;
    (void)p;
    ((struct talk *)ctx)->got += n;
    return n;
}

static void closes(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop;
    (void)conn;
    (void)why;
    ((struct talk *)ctx)->closed = true;
}

/* Two clients; from the n-th allocation of their host on, for 20 ms, all fail. */
static int try_one(uint64_t n, const char *backend)
{
    static const vigil_conn_ops server_ops = { .data = echoes };
    static const vigil_conn_ops client_ops = { .open = talks, .data = counts, .close = closes };
    const vigil_listen_options listening = {
        .ops = &server_ops, .limits = { .out_high = 512, .stall_ns = VIGIL_S(60) }
    };
    struct talk talk[2] = { { 0 } };
    vigil_sim *sim;
    vigil_loop *server, *clients;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    REQUIRE(vigil_sim_connect_hosts(sim, a, b, &(vigil_sim_link){ .buffer = 256 }) == 0);
    REQUIRE(vigil_loop_open(&server, &(vigil_loop_options){ .host = a }) == 0);
    REQUIRE(vigil_loop_open(&clients, &(vigil_loop_options){ .host = b, .backend = backend }) == 0);
    REQUIRE(vigil_listen(server, "10.0.0.1:7", &listening, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        const vigil_conn_options connecting = { &client_ops, &talk[i], { 0 } };
        REQUIRE(vigil_connect(clients, "10.0.0.1:7", &connecting, NULL) == 0);
    }
    vigil_sim_fail_call(sim, b, VIGIL_SIM_CALL_ALLOCATE, n, VIGIL_ENOMEM, true);
    REQUIRE(vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_MS(20)) >= 0);
    vigil_sim_fail_call(sim, b, VIGIL_SIM_CALL_ALLOCATE, 0, VIGIL_OK, false);
    REQUIRE(vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_S(10)) >= 0);
    int stuck = !talk[0].closed + !talk[1].closed;
    vigil_loop_close(clients);
    vigil_loop_close(server);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
    return stuck;
}

TEST(who_puts_its_output_first_reads_when_memory_is_back)
{
    for (uint64_t n = 1; n <= ALLOCATIONS; n++) {
        EQ_INT(0, try_one(n, "sim-ready"), "allocation %d", (int)n);
        EQ_INT(0, try_one(n, "sim-complete"), "allocation %d", (int)n);
    }
}
