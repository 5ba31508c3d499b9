/* SPDX-License-Identifier: MIT
 *
 * crowd.c -- scenario: more clients than the server takes at once; they wait in the backlog.
 */
#include "sim/rig.h"

void scenario_crowd(vigil_sim *sim)
{
    struct rig rig;
    const vigil_listen_options options = { .max_conns = 2 + vigil_sim_choose(sim, "max_conns", 4) };
    if (rig_open(&rig, sim) && rig_listen(&rig, &echo_ops, &options)) {
        uint32_t count = 10 + vigil_sim_choose(sim, "clients", 10);
        for (uint32_t i = 0; i < count; i++)
            rig_client(&rig, 3000, VIGIL_MS(5))->crowded = true;
        rig_run(&rig, VIGIL_S(3));
    }
    rig_close(&rig);
}
