/* SPDX-License-Identifier: MIT
 *
 * couple_in_max.c -- coupled in `data` while in_max bytes are held: they go on, it is no ELIMIT.
 */
#include "conform/conn_rig.h"

static vigil_conn target;

static size_t couple_and_use_none(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    if (n == 10)
        EQ_INT(0, vigil_couple(rig->loop, conn, target));
    return 0;
}

CONFORM(coupled_in_data_with_in_max_bytes_held_was_closed_with_ELIMIT)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .in_max = 10 } });
    int to = rig_client_opened(&rig);
    target = rig.conn;
    int from = rig_client_opened(&rig);
    rig.on_data = couple_and_use_none;
    client_send(from, "0123456789");
    char text[11] = "";
    rig_client_gets(&rig, to, text, 10);
    EQ_STR("0123456789", text);
    close(from);
    close(to);
    rig_close(&rig);
}
