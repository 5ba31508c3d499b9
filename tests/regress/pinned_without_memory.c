/* SPDX-License-Identifier: MIT
 *
 * pinned_without_memory.c -- input that is held in the system's buffers is copied when they become
 * few; when there was no memory for that just then, nobody tried again, and with all of them held
 * the other connections never heard anything any more.
 */
#include "test.h"
#include "vigil_sim.h"

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
    vigil_sim *sim;
    vigil_loop *server, *clients;
    vigil_conn conns[PEERS];
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *a = vigil_sim_host(sim, "10.0.0.1", NULL);
    const vigil_host *b = vigil_sim_host(sim, "10.0.0.2", NULL);
    const vigil_loop_options on = { .host = a, .backend = "sim-complete" };
    REQUIRE(vigil_loop_open(&server, &on) == 0);
    REQUIRE(vigil_loop_open(&clients, &(vigil_loop_options){ .host = b }) == 0);
    REQUIRE(vigil_listen(server, "10.0.0.1:7", &listening, NULL) == 0);
    for (int i = 0; i < PEERS; i++)
        REQUIRE(vigil_connect(clients, "10.0.0.1:7", NULL, &conns[i]) == 0);
    REQUIRE(vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_MS(100)) >= 0);
    for (int i = 0; i < PEERS; i++) {
        const char text[] = { (char)('0' + i), '\0' };
        bool lean = i < BUFFERS; /* no memory to copy into */
        vigil_sim_fail_call(sim, a, VIGIL_SIM_CALL_ALLOCATE, lean, VIGIL_ENOMEM, true);
        EQ_INT(1, vigil_send(clients, conns[i], text, 1));
        REQUIRE(vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_MS(100)) >= 0);
    }
    for (int i = 0; i < PEERS; i++)
        EQ_INT(1, heard[i], "peer %d", i);
    vigil_loop_close(clients);
    vigil_loop_close(server);
    OK(vigil_sim_check_balance(sim), "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
}
