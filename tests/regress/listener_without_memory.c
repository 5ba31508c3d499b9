/* SPDX-License-Identifier: MIT
 *
 * listener_without_memory.c -- a listener that rests for want of memory, also for the note
 * that it rests.
 */
#include "conform/conn_rig.h"

CONFORM(a_listener_begun_without_memory_rested_for_ever)
{
    for (size_t n = 0; n < 14; n++) {
        struct rig rig;
        rig_open_loop(&rig, backend, NULL);
        vigil_listen_options options = { .ops = &rig.ops, .user = &rig };
        rig.memory.fail_after = rig.memory.calls + n;
        int status = vigil_listen(rig.loop, "tcp://127.0.0.1:0", &options, &rig.listener);
        rig.memory.fail_after = SIZE_MAX;
        OK(status == 0 || status == VIGIL_ENOMEM, "allocation %zu: %d", n, status);
        if (status == 0) {
            EQ_INT(0, vigil_listener_address(rig.loop, rig.listener, &rig.addr));
            int fd = rig_client(&rig);
            RIG_UNTIL(&rig, rig.opened == 1);
            close(fd);
        }
        rig_close(&rig);
    }
}
