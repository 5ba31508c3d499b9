/* SPDX-License-Identifier: MIT
 *
 * held_without_memory.c -- a connection that was reset because there was no memory to join its
 * bytes to what is held was not counted as closed for memory, as others are.
 */
#include "regress/two_hosts.h"

enum { CLIENTS = 12, MESSAGE = 20000, PART = 9000 };

struct crowd {
    vigil_conn clients[CLIENTS];
    int shed;
};

static size_t waits_for_all(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)loop;
    (void)conn;
    (void)ctx;
    (void)p;
    return n < MESSAGE ? 0 : n;
}

static void closes(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    (void)loop;
    (void)conn;
    ((struct crowd *)ctx)->shed += why == VIGIL_ENOMEM;
}

static void *crowd_ctx(vigil_loop *loop, vigil_conn conn, void *user)
{
    (void)loop;
    (void)conn;
    return user;
}

static void says_a_part(vigil_loop *loop, void *arg)
{
    static const char bytes[PART];
    struct crowd *crowd = arg;
    for (int i = 0; i < CLIENTS; i++) /* one that was reset meanwhile is stale */
        (void)vigil_send_all(loop, crowd->clients[i], bytes, sizeof(bytes));
}

/* Answers how many were reset. */
static int try_one(const char *backend)
{
    static const vigil_conn_ops server_ops = { .data = waits_for_all, .close = closes };
    static const vigil_conn_ops client_ops = { 0 };
    struct crowd crowd = { 0 };
    struct two_hosts two;
    two_hosts_open(&two, backend, NULL, NULL);
    vigil_loop_close(two.server);
    two.server = NULL;
    const vigil_loop_options options = { .host = two.server_host,
                                         .backend = backend,
                                         .memory_limit = 256 << 10 };
    REQUIRE(vigil_loop_open(&two.server, &options) == 0);
    const vigil_listen_options listening = { .ops = &server_ops, .ctx = crowd_ctx, .user = &crowd };
    REQUIRE(vigil_listen(two.server, "10.0.0.1:7", &listening, NULL) == 0);
    const vigil_conn_options connecting = { &client_ops, NULL, { 0 } };
    for (int i = 0; i < CLIENTS; i++)
        REQUIRE(vigil_connect(two.clients, "10.0.0.1:7", &connecting, &crowd.clients[i]) == 0);
    for (int i = 1; i <= 2; i++)
        REQUIRE(vigil_after(two.clients, VIGIL_MS(10 * i), says_a_part, &crowd, NULL) == 0);
    two_hosts_run(&two, VIGIL_S(1));
    vigil_stats stats;
    vigil_stats_get(two.server, &stats);
    EQ_INT(crowd.shed, (int)stats.closed_memory, "%s", backend);
    two_hosts_close(&two);
    return crowd.shed;
}

TEST(who_is_reset_for_want_of_memory_to_hold_its_input_is_counted)
{
    (void)try_one("sim-ready"); /* which stops reading before that, and nobody need be reset */
    OK(try_one("sim-complete") > 0, "memory sufficed");
}
