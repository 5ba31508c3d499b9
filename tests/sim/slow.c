/* SPDX-License-Identifier: MIT
 *
 * slow.c -- scenario: clients that read now and then, or not at all, beside a good one.
 */
#include "sim/rig.h"

void scenario_slow(vigil_sim *sim)
{
    struct rig rig;
    if (rig_open(&rig, sim) && rig_listen(&rig, &echo_ops, NULL)) {
        uint32_t count = 3 + vigil_sim_choose(sim, "clients", 5);
        for (uint32_t i = 0; i < count; i++) {
            struct client *c = rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(20));
            c->never = vigil_sim_choose(sim, "never reads", 4) == 3;
            c->slow = !c->never && vigil_sim_choose(sim, "slow", 4) != 0;
        }
        rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(20));
        rig_run(&rig, VIGIL_S(5));
    }
    rig_close(&rig);
}
