/* SPDX-License-Identifier: MIT
 *
 * slow.c -- scenario: clients that read now and then, or not at all, beside a good one; now and
 * then so many that want so much that the server's memory does not suffice.
 */
#include "sim/rig.h"

enum { HEAVY_CLIENTS = 11 };

static void client_slow(struct rig *rig)
{
    struct client *c = rig_client(rig, CLIENT_BYTES_MAX, VIGIL_MS(20));
    c->never = vigil_sim_choose(rig->sim, "never reads", 4) == 3;
    c->slow = !c->never && vigil_sim_choose(rig->sim, "slow", 4) != 0;
}

void scenario_slow(vigil_sim *sim)
{
    struct rig rig;
    bool opened = rig_open(&rig, sim);
    bool heavy = vigil_sim_choose(sim, "heavy", 16) == 15;
    if (heavy)
        rig.out_bound = rig.limits.out_high = 262144;
    if (opened && rig_listen(&rig, &echo_ops, NULL)) {
        uint32_t count = heavy ? HEAVY_CLIENTS : 3 + vigil_sim_choose(sim, "clients", 5);
        for (uint32_t i = 0; i < count; i++) {
            if (heavy)
                rig_client(&rig, HEAVY_BYTES_MAX, VIGIL_MS(20))->never = true;
            else
                client_slow(&rig);
        }
        rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(20));
        rig_run(&rig, VIGIL_S(5));
    }
    rig_close(&rig);
}
