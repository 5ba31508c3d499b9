/* SPDX-License-Identifier: MIT
 *
 * done_aborts.c -- a `done` that aborts its connection while an empty message is skipped.
 */
#include "conform/conn_rig.h"

static void abort_it(void *arg)
{
    struct rig *rig = arg;
    EQ_INT(0, vigil_abort(rig->loop, rig->conn));
}

CONFORM(done_of_an_empty_message_aborts_and_nothing_is_sent_any_more)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_send_owned(rig.loop, rig.conn, "", 0, abort_it, &rig));
    EQ_INT(5, vigil_send(rig.loop, rig.conn, "never", 5));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(0, rig_stats(&rig).bytes_out);
    EQ_INT(5, rig_stats(&rig).dropped_out);
    close(fd);
    rig_close(&rig);
}
