/* SPDX-License-Identifier: MIT
 *
 * echo.c -- scenario: some clients at an echo server; it answers by sending, or is coupled to
 * itself.
 */
#include "sim/rig.h"

static void coupled_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    served_open(loop, conn, ctx);
    served->end.side->coupled = true;
    (void)vigil_couple(loop, conn, conn); /* it lives, and is not coupled yet */
}

static const vigil_conn_ops coupled_ops = { coupled_open, NULL, NULL, NULL, served_close };

void scenario_echo(vigil_sim *sim)
{
    struct rig rig;
    bool coupled = vigil_sim_choose(sim, "coupled", 2) != 0;
    bool opened = rig_open(&rig, sim);
    if (opened && rig_listen(&rig, coupled ? &coupled_ops : &echo_ops, NULL)) {
        uint32_t count = 3 + vigil_sim_choose(sim, "clients", 5);
        for (uint32_t i = 0; i < count; i++)
            rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(20))->rude = vigil_sim_choose(sim, "rude",
                                                                                      8) == 7;
        rig_run(&rig, VIGIL_S(3));
    }
    rig_close(&rig);
}
