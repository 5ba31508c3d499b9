/* SPDX-License-Identifier: MIT
 *
 * refused_links.c -- a ctx function that sends or couples, and then refuses: no list keeps
 * the newcomer.
 */
#include "conform/conn_rig.h"

static vigil_conn first;

static void *couple_and_refuse(vigil_loop *loop, vigil_conn conn, void *user)
{
    struct rig *rig = user;
    if (rig->number++ == 0)
        return user;
    EQ_INT(0, vigil_couple(loop, conn, first));
    return NULL;
}

CONFORM(refused_after_coupling_left_the_other_coupled_for_ever)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .ctx = couple_and_refuse });
    int fd = rig_client_opened(&rig);
    first = rig.conn;
    int refused = rig_client(&rig);
    RIG_UNTIL(&rig, rig_stats(&rig).refused == 1);
    RIG_UNTIL(&rig, rig.closed == 1); /* who fed it has gone */
    EQ_INT(VIGIL_ECANCELED, rig.why);
    close(fd);
    close(refused);
    rig_close(&rig);
}

static void *fail_to_send_and_refuse(vigil_loop *loop, vigil_conn conn, void *user)
{
    struct rig *rig = user;
    rig->memory.fail_after = 0;
    EQ_INT(0, vigil_send(loop, conn, "x", 1)); /* it waits for memory now */
    rig->memory.fail_after = SIZE_MAX;
    return rig->number++ < 3 ? NULL : user;
}

CONFORM(refused_while_it_waits_for_memory_was_woken_after_its_end)
{
    enum { CLIENTS = 6 };
    struct rig rig;
    int fds[CLIENTS];
    rig_open(&rig, backend, &(vigil_listen_options){ .ctx = fail_to_send_and_refuse });
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = rig_client(&rig);
        RIG_UNTIL(&rig, rig_stats(&rig).accepted == i + 1);
        rig_settle(&rig);
    }
    rig_is_quiet(&rig);
    EQ_INT(3, rig.opened);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    rig_settle(&rig);
    rig_close(&rig);
}
