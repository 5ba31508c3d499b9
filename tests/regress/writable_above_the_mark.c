/* SPDX-License-Identifier: MIT
 *
 * writable_above_the_mark.c -- a send that there was no memory to start, while the queue was full:
 * when memory came back `writable` was called at once, with no room in the queue.
 */
#include "regress/two_hosts.h"

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
    struct two_hosts two;
    two_hosts_open(&two, NULL, "sim-complete", NULL);
    REQUIRE(vigil_listen(two.server, "10.0.0.1:7", NULL, NULL) == 0);
    REQUIRE(vigil_connect(two.clients, "10.0.0.1:7", &connecting, NULL) == 0);
    vigil_sim_fail_call(two.sim, two.client_host, VIGIL_SIM_CALL_SUBMIT, n, VIGIL_ENOMEM, true);
    two_hosts_run(&two, VIGIL_MS(100));
    vigil_sim_fail_call(two.sim, two.client_host, VIGIL_SIM_CALL_SUBMIT, 0, VIGIL_OK, false);
    two_hosts_run(&two, VIGIL_S(1));
    two_hosts_close(&two);
}

TEST(writable_waits_for_the_low_mark_though_memory_came_back)
{
    for (uint64_t n = 1; n <= CALLS; n++)
        try_one(n);
    EQ_INT(CALLS, told);
    OK(most_queued <= LOW, "%zu bytes were queued", most_queued);
}
