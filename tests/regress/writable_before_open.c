/* SPDX-License-Identifier: MIT
 *
 * writable_before_open.c -- memory that comes back while it still connects: `open` is first
 * all the same.
 */
#include "conform/conn_rig.h"

CONFORM(writable_came_before_open)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    char where[64];
    snprintf(where, sizeof(where), "unix:@vigil-early-%d", (int)getpid());
    rig_listen(&rig, where, &(vigil_listen_options){ .backlog = 1 });
    EQ_INT(0, vigil_listener_pause(rig.loop, rig.listener));
    vigil_conn conn;
    for (int i = 0; i < 4; i++) /* more than the backlog takes */
        EQ_INT(0, rig_connect(&rig, where, NULL, &conn));
    rig_settle(&rig);
    EQ_INT(VIGIL_CONNECTING, rig_info(&rig, conn).state);
    rig_take_log(&rig);
    rig.memory.fail_after = 0;
    EQ_INT(0, vigil_send(rig.loop, conn, "x", 1));
    rig.memory.fail_after = SIZE_MAX;
    for (int i = 0; i < 10; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(5)) >= 0);
    EQ_STR("", rig_take_log(&rig));
    EQ_INT(0, vigil_listener_resume(rig.loop, rig.listener));
    RIG_UNTIL(&rig, rig.opened == 8);
    RIG_UNTIL(&rig, strstr(rig.log, "writable") != NULL);
    rig_close(&rig);
}
