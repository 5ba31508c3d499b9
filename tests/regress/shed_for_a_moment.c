/* SPDX-License-Identifier: MIT
 *
 * shed_for_a_moment.c -- a connection was reset when bytes came for it in a moment without memory,
 * where more connections than have a part of their own kept for them had something in it: the bytes
 * were received before it was asked whether they could be held.
 */
#include "conform/conn_rig.h"

enum { WITH_PART = 65, ALL = 80 };

static void sets_deadline(struct rig *rig, vigil_conn conn)
{
    EQ_INT(0, vigil_conn_deadline(rig->loop, conn, VIGIL_S(600)));
}

CONFORM(a_client_that_speaks_in_a_moment_without_memory_waits)
{
    if (test_kernel_performs(backend))
        SKIP("the kernel has received what comes: it is shed, and counted");
    struct rig rig;
    int clients[ALL];
    char text[6] = "";
    rig_open(&rig, backend, NULL);
    rig.on_data = rig_echo;
    rig.on_open = sets_deadline;
    for (int i = 0; i < WITH_PART; i++)
        clients[i] = rig_client_opened(&rig);
    rig.on_open = NULL;
    for (int i = WITH_PART; i < ALL; i++)
        clients[i] = rig_client_opened(&rig);
    client_send(clients[0], "hello"); /* so that there is a buffer to receive into */
    rig_client_gets(&rig, clients[0], text, 5);
    rig.memory.fail_after = 0;
    client_send(clients[ALL - 2], "hello");
    for (int i = 0; i < 10; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(2)) >= 0);
    rig.memory.fail_after = SIZE_MAX;
    EQ_INT(0, rig.closed, "reset: %s", vigil_err_name(rig.why));
    if (rig.closed == 0)
        rig_client_gets(&rig, clients[ALL - 2], text, 5);
    for (int i = 0; i < ALL; i++)
        close(clients[i]);
    rig_close(&rig);
}
