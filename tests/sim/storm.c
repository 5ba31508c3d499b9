/* SPDX-License-Identifier: MIT
 *
 * storm.c -- scenario: many connections at once at a server with few descriptors; some are gone
 * before they are served.
 */
#include "sim/rig.h"

void scenario_storm(vigil_sim *sim)
{
    struct rig rig;
    if (vigil_sim_choose(sim, "burst", 4) == 3) {
        scenario_burst(sim); /* not often: it takes as long as three others */
        return;
    }
    const vigil_listen_options options = { .backlog = 4,
                                           .shed = vigil_sim_choose(sim, "shed", 4) == 3 };
    bool opened = rig_open(&rig, sim);
    rig.refuses = vigil_sim_choose(sim, "refuses", 4) == 3 ? 4 : 0;
    if (opened && rig_listen(&rig, &echo_ops, &options)) {
        struct sim_host *host = vigil__sim_host_of(rig.server_host);
        uint32_t limit = 4 + vigil_sim_choose(sim, "descriptors", 6);
        if (limit < host->fd_count + 2) /* it would serve nobody, if its backend wants one more */
            limit = host->fd_count + 2;
        host->fd_limit = limit;
        for (uint32_t i = 0; i < CLIENTS_MAX - 1; i++) {
            struct client *c = rig_client(&rig, 300, 1);
            c->rude = vigil_sim_choose(sim, "rude", 4) == 3;
            c->crowded = true; /* the system drops whom the backlog does not take */
        }
        rig_run(&rig, VIGIL_S(3));
    }
    rig_close(&rig);
}
