/* SPDX-License-Identifier: MIT
 *
 * couple_finished.c -- coupling one that is finished already: nothing comes of it, so that
 * ends the other.
 */
#include "conform/conn_rig.h"

CONFORM(coupled_after_finish_the_other_was_not_ended)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int to = rig_client_opened(&rig);
    vigil_conn target = rig.conn;
    int from = rig_client_opened(&rig);
    EQ_INT(0, vigil_finish(rig.loop, rig.conn));
    EQ_INT(0, vigil_couple(rig.loop, rig.conn, target));
    EQ_INT(0, rig_client_end(&rig, to));
    close(from);
    close(to);
    rig_close(&rig);
}
