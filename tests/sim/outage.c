/* SPDX-License-Identifier: MIT
 *
 * outage.c -- scenario: the network parts and is whole again, and the server loses power, starts
 * again and serves those who come then.
 */
#include "sim/rig.h"

static void parts(void *arg)
{
    struct rig *rig = arg;
    (void)vigil_sim_partition(rig->sim, rig->server_host, rig->client_host); /* no memory: no cut */
}

static void is_whole_again(void *arg)
{
    struct rig *rig = arg;
    (void)vigil_sim_heal(rig->sim, rig->server_host, rig->client_host); /* it was cut: is known */
}

/* Everybody who is here may end badly. */
static void declare_all(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->client_count; i++)
        rig->clients[i].end.excused = true;
}

static void loses_power(void *arg)
{
    struct rig *rig = arg;
    declare_all(rig);
    rig->server.dead = true;
    vigil_sim_kill(rig->sim, rig->server_host);
}

/* Its program is gone with the power, by this scenario or by the choices: another one begins. */
static void starts_again(void *arg)
{
    struct rig *rig = arg;
    declare_all(rig);
    side_close(&rig->server);
    rig->stale.v = 0;
    vigil_sim_restart(rig->sim, rig->server_host);
    bool faults = rig->sim->faults;
    vigil_sim_faults(rig->sim, false); /* it comes up well: else there is nothing to see */
    const vigil_loop_options options = { .memory_limit = rig->server.limit };
    bool up = side_open(&rig->server, rig->sim, rig->server_host, &options) == 0;
    rig->server.limits = rig->limits;
    up = up && rig_listen(rig, &echo_ops, NULL);
    vigil_sim_always(rig->sim, "a host comes up again", up, "it does not");
    vigil_sim_faults(rig->sim, faults);
}

static vigil_ns choose_ms(vigil_sim *sim, const char *label, uint32_t max)
{
    return VIGIL_MS(1 + vigil_sim_choose(sim, label, max));
}

void scenario_outage(vigil_sim *sim)
{
    struct rig rig;
    if (rig_open(&rig, sim) && rig_listen(&rig, &echo_ops, NULL)) {
        uint32_t count = 4 + vigil_sim_choose(sim, "clients", 5);
        for (uint32_t i = 0; i < count; i++)
            rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(40));
        vigil_sim_may_kill(sim, rig.server_host, starts_again, &rig);
        bool power = vigil_sim_choose(sim, "power", 2) != 0;
        vigil_ns from = choose_ms(sim, "outage from ms", 60);
        vigil_ns until = from + choose_ms(sim, "outage ms", 3000);
        if (vigil_sim_after(sim, from, power ? loses_power : parts, &rig) == 0 &&
            vigil_sim_after(sim, until, power ? starts_again : is_whole_again, &rig) == 0)
            rig_run(&rig, VIGIL_S(4));
    }
    rig_close(&rig);
}
