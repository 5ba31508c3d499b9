/* SPDX-License-Identifier: MIT
 *
 * used_and_dropped.c -- a `data` that pauses its connection, the output of which has failed, ended
 * it at once: what it answered did not count, and bytes that it had used were counted as dropped.
 */
#include "regress/two_hosts.h"

enum { BYTES = 100 };

struct talk {
    vigil_conn conn;
    size_t used;
    int why;
};

static void says(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    static const char bytes[BYTES];
    (void)ctx;
    (void)vigil_send_all(loop, conn, bytes, sizeof(bytes)); /* little enough to be taken */
}

static void pauses(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)ctx;
    (void)vigil_pause(loop, conn); /* it lives */
}

static void goes_on(vigil_loop *loop, void *arg)
{
    struct talk *talk = arg;
    (void)vigil_send_all(loop, talk->conn, "x", 1); /* fails when this returns */
    (void)vigil_resume(loop, talk->conn);           /* it lives */
}

static size_t uses(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)p;
    ((struct talk *)ctx)->used += n;
    (void)vigil_pause(loop, conn); /* it lives */
    return n;
}

static void closes(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop;
    (void)conn;
    ((struct talk *)ctx)->why = why;
}

static void try_one(const char *backend)
{
    static const vigil_conn_ops server_ops = { .open = says };
    static const vigil_conn_ops client_ops = { .open = pauses, .data = uses, .close = closes };
    const vigil_listen_options listening = { .ops = &server_ops };
    struct talk talk = { .why = VIGIL_OK };
    struct two_hosts two;
    two_hosts_open(&two, NULL, backend, NULL);
    REQUIRE(vigil_listen(two.server, "10.0.0.1:7", &listening, NULL) == 0);
    const vigil_conn_options connecting = { &client_ops, &talk, { 0 } };
    REQUIRE(vigil_connect(two.clients, "10.0.0.1:7", &connecting, &talk.conn) == 0);
    two_hosts_run(&two, VIGIL_MS(20));
    vigil_sim_fail_call(two.sim, two.client_host, VIGIL_SIM_CALL_SEND, 1, VIGIL_ENOBUFS, false);
    REQUIRE(vigil_after(two.clients, VIGIL_MS(1), goes_on, &talk, NULL) == 0);
    two_hosts_run(&two, VIGIL_MS(20));
    vigil_stats stats;
    vigil_stats_get(two.clients, &stats);
    EQ_INT(BYTES, (int)talk.used, "%s", backend);
    EQ_INT(0, (int)stats.dropped_in, "%s", backend);
    EQ_STR("VIGIL_ENOBUFS", vigil_err_name(talk.why), "%s", backend);
    two_hosts_close(&two);
}

TEST(what_data_used_before_its_connection_ended_is_not_dropped)
{
    try_one("sim-ready");
    try_one("sim-complete");
}
