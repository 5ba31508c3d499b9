/* SPDX-License-Identifier: MIT
 *
 * message_over_memory.c -- a message larger than all the memory there is: it is retried now
 * and then, not always.
 */
#include "conform/conn_rig.h"

static const char block[300000];

static size_t answer_too_much(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    return vigil_send_all(rig->loop, conn, block, sizeof(block)) == 0 ? n : 0;
}

CONFORM(a_message_larger_than_memory_made_the_loop_spin)
{
    struct rig rig;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .memory_limit = 256 << 10 });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    rig.on_data = answer_too_much;
    int fd = rig_client_opened(&rig);
    client_send(fd, "x");
    RIG_UNTIL(&rig, rig.log[0] != '\0');
    int turns = 0;
    for (vigil_ns end = rig_clock() + VIGIL_MS(300); rig_clock() < end; turns++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(100)) >= 0);
    OK(turns < 300, "%d turns in 300 ms: the loop spins", turns); /* it was 26,000 */
    close(fd);
    rig_close(&rig);
}
