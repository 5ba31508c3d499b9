/* SPDX-License-Identifier: MIT
 *
 * closed_and_again.c -- a listener that was closed kept its port until the turn was over: on
 * io_uring the accept under way held the socket, and to listen there at once was EADDRINUSE.
 */
#include "conform/conn_rig.h"

static void relisten(vigil_loop *loop, void *arg)
{
    struct rig *rig = arg;
    char where[64];
    snprintf(where, sizeof(where), "tcp://127.0.0.1:%u", rig->addr.port);
    EQ_INT(0, vigil_listener_close(loop, rig->listener));
    vigil_listen_options o = { .ops = &rig->ops, .user = rig };
    EQ_INT(0, vigil_listen(loop, where, &o, &rig->listener));
    vigil_loop_stop(loop);
}

CONFORM(a_listener_that_was_closed_kept_its_port)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig_settle(&rig);
    EQ_INT(0, vigil_after(rig.loop, 0, relisten, &rig, NULL));
    EQ_INT(0, vigil_loop_run(rig.loop));
    close(rig_client_opened(&rig));
    rig_close(&rig);
}
