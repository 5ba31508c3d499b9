/* SPDX-License-Identifier: MIT
 *
 * pinned_without_memory.c -- input that is held in the system's buffers is copied when they become
 * few; when there was no memory for that just then, nobody tried again, and with all of them held
 * the other connections never heard anything any more.
 */
#include "regress/two_hosts.h"

enum { PEERS = 5, BUFFERS = 4 }; /* sim-complete has so many, when nothing is chosen */

static size_t heard[PEERS]; /* bytes offered, by the first byte that a connection said */

static size_t keeps(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)loop;
    (void)conn;
    (void)ctx;
    heard[*(const char *)p - '0'] = n;
    return 0; /* it wants more than will ever come */
}

TEST(held_input_gives_the_buffers_back_when_there_is_memory_again)
{
    static const vigil_conn_ops ops = { .data = keeps };
    const vigil_listen_options listening = { .ops = &ops };
    struct two_hosts two;
    vigil_conn conns[PEERS];
    two_hosts_open(&two, "sim-complete", NULL, NULL);
    REQUIRE(vigil_listen(two.server, "10.0.0.1:7", &listening, NULL) == 0);
    for (int i = 0; i < PEERS; i++)
        REQUIRE(vigil_connect(two.clients, "10.0.0.1:7", NULL, &conns[i]) == 0);
    two_hosts_run(&two, VIGIL_MS(100));
    for (int i = 0; i < PEERS; i++) {
        const char text[] = { (char)('0' + i), '\0' };
        bool lean = i < BUFFERS; /* no memory to copy into */
        vigil_sim_fail_call(two.sim, two.server_host, VIGIL_SIM_CALL_ALLOCATE, lean, VIGIL_ENOMEM,
                            true);
        EQ_INT(1, vigil_send(two.clients, conns[i], text, 1));
        two_hosts_run(&two, VIGIL_MS(100));
    }
    for (int i = 0; i < PEERS; i++)
        EQ_INT(1, heard[i], "peer %d", i);
    two_hosts_close(&two);
}
