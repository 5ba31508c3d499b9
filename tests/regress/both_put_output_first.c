/* SPDX-License-Identifier: MIT
 *
 * both_put_output_first.c -- a connection that found memory short for a moment read nothing until
 * its own output had gone; its peer, an echo, could take none before its answers were read: both
 * waited for ever, with memory enough.
 */
#include "regress/two_hosts.h"

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
    struct two_hosts two;
    two_hosts_open(&two, NULL, backend, &(vigil_sim_link){ .buffer = 256 });
    REQUIRE(vigil_listen(two.server, "10.0.0.1:7", &listening, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        const vigil_conn_options connecting = { &client_ops, &talk[i], { 0 } };
        REQUIRE(vigil_connect(two.clients, "10.0.0.1:7", &connecting, NULL) == 0);
    }
    vigil_sim_fail_call(two.sim, two.client_host, VIGIL_SIM_CALL_ALLOCATE, n, VIGIL_ENOMEM, true);
    two_hosts_run(&two, VIGIL_MS(20));
    vigil_sim_fail_call(two.sim, two.client_host, VIGIL_SIM_CALL_ALLOCATE, 0, VIGIL_OK, false);
    two_hosts_run(&two, VIGIL_S(10));
    int stuck = !talk[0].closed + !talk[1].closed;
    two_hosts_close(&two);
    return stuck;
}

TEST(who_puts_its_output_first_reads_when_memory_is_back)
{
    for (uint64_t n = 1; n <= ALLOCATIONS; n++) {
        EQ_INT(0, try_one(n, "sim-ready"), "allocation %d", (int)n);
        EQ_INT(0, try_one(n, "sim-complete"), "allocation %d", (int)n);
    }
}
