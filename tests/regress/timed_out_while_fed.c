/* SPDX-License-Identifier: MIT
 *
 * timed_out_while_fed.c -- a proxy's client timed out while what it was answered with had not
 * ended: it was closed with a FIN, and the client took the part for the whole.
 */
#include "conform/conn_rig.h"

static void part_passes(struct rig *rig, int from, int to)
{
    char part[6];
    client_send(from, "a part");
    rig_client_gets(rig, to, part, sizeof(part));
}

static void times_out(struct rig *rig, vigil_conn conn, int closed)
{
    EQ_INT(0, vigil_conn_deadline(rig->loop, conn, VIGIL_MS(20)));
    RIG_UNTIL(rig, rig->closed == closed);
}

CONFORM(the_reader_of_a_part_that_was_passed_on_sees_a_reset)
{
    needs_resets();
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int reader = rig_client_opened(&rig);
    vigil_conn to = rig.conn;
    int writer = rig_client_opened(&rig);
    EQ_INT(0, vigil_couple(rig.loop, rig.conn, to));
    part_passes(&rig, writer, reader);
    times_out(&rig, to, 2);
    EQ_STR("close(VIGIL_ETIMEDOUT) close(VIGIL_ECANCELED)", rig_take_log(&rig));
    EQ_INT(-2, rig_client_end(&rig, reader));
    EQ_INT(-2, rig_client_end(&rig, writer));
    close(reader);
    close(writer);
    rig_close(&rig);
}

/* An echo by coupling has sent all there was: that it is silent is an ordinary end. */
CONFORM(one_that_is_passed_on_to_itself_ends_in_order)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    EQ_INT(0, vigil_couple(rig.loop, rig.conn, rig.conn));
    part_passes(&rig, fd, fd);
    times_out(&rig, rig.conn, 1);
    EQ_INT(0, rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}
