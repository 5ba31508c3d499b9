/* SPDX-License-Identifier: MIT
 *
 * drain.c -- scenario: the server is told to end while clients are busy: who was accepted is
 * answered, and who came too late is refused.
 */
#include "sim/rig.h"

/* What has reached the server of a client is answered; who is not in yet may be too late. */
static void note_debt(struct client *c)
{
    const struct sim_file *file = c->end.side != NULL ? end_file(&c->end) : NULL;
    bool believed = c->rig->sim->rate[VIGIL_SIM_EAGAIN] ==
                    0; /* when it says that nothing is there */
    c->drained = true;
    c->end.excused = !c->end.opened;
    if (c->end.opened && !c->closed && believed && file != NULL && file->peer != NULL)
        c->owed = (uint32_t)file->peer->in.arrived;
}

static void begins_to_drain(void *arg)
{
    struct rig *rig = arg;
    for (uint32_t i = 0; i < rig->client_count; i++)
        note_debt(&rig->clients[i]);
    rig->server.drains = true;
    (void)vigil_loop_drain(rig->server.loop,
                           VIGIL_S(300)); /* its own thread, a good grace: cannot fail */
}

static bool server_empty(void *arg)
{
    const struct rig *rig = arg;
    vigil_stats stats;
    vigil_stats_get(rig->server.loop, &stats);
    return stats.conns == 0 && stats.listeners == 0;
}

void scenario_drain(vigil_sim *sim)
{
    struct rig rig;
    if (rig_open(&rig, sim) && rig_listen(&rig, &echo_ops, NULL)) {
        uint32_t count = 4 + vigil_sim_choose(sim, "clients", 6);
        for (uint32_t i = 0; i < count; i++)
            rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(40));
        vigil_ns at = VIGIL_US(vigil_sim_choose(sim, "drain us", 60000));
        if (vigil_sim_after(sim, at, begins_to_drain, &rig) == 0 &&
            vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_S(3)) >= 0) {
            rig.calm_at = sim->now;
            vigil_sim_eventually(sim, "a drain ends", server_empty, &rig, VIGIL_S(80));
            (void)rig_await(&rig, "all clients end");
        }
    }
    rig_close(&rig);
}
