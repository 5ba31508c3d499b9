/* SPDX-License-Identifier: MIT
 *
 * room_without_memory.c -- output that had to wait for room while the backend had no memory to wait
 * for it (a descriptor beyond its table) ended its connection, where input waits for memory.
 */
#include <fcntl.h>

#include "conform/conn_rig.h"

enum { MUCH = 1 << 20, BEYOND = 200 };

static char bytes[MUCH], got[MUCH];

static size_t answers_much(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(0, vigil_send_owned(rig->loop, conn, bytes, MUCH, NULL, NULL));
    rig->memory.fail_after = 0; /* from now on none */
    return n;
}

CONFORM(output_waits_for_memory_to_wait_for_room)
{
    struct rig rig;
    int taken[BEYOND];
    rig_open(&rig, backend, NULL);
    for (int i = 0; i < BEYOND; i++)
        taken[i] = dup(2); /* the numbers that its table knows */
    rig.on_data = answers_much;
    int fd = rig_client_opened(&rig);
    REQUIRE(fd > BEYOND);
    EQ_INT(0, vigil_conn_option(rig.loop, rig.conn, VIGIL_SNDBUF, 4096));
    client_send(fd, "much");
    for (int i = 0; i < 30; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(2)) >= 0);
    rig.memory.fail_after = SIZE_MAX;
    EQ_INT(0, rig.closed, "%s", vigil_err_name(rig.why));
    EQ_INT(0, rig_stats(&rig).dropped_out);
    if (rig.closed == 0) {
        rig_client_gets(&rig, fd, got, MUCH);
        EQ_INT(0, memcmp(got, bytes, MUCH));
    }
    for (int i = 0; i < BEYOND; i++)
        close(taken[i]);
    close(fd);
    rig_close(&rig);
}
