/* SPDX-License-Identifier: MIT
 *
 * outage.c -- what choices take away and give back: the way between two hosts, and a host's power.
 * Floor: sim.
 *
 * Either is planned when somebody connects, begins a little later, in the midst of what goes on
 * then, and lasts up to 3 s.
 */
#include "sim/sim.h"

enum { BEGINS_MAX_MS = 100, LASTS_MAX_MS = 3000 };

static void link_event(struct sim_event *event);
static void host_event(struct sim_event *event);

static vigil_ns choose_ms(vigil_sim *sim, const char *label, uint32_t max)
{
    return VIGIL_MS(1 + vigil_sim_choose(sim, label, max));
}

/* Without memory there will be none. */
static void plan(vigil_sim *sim, struct sim_outage *outage, void (*fn)(struct sim_event *event))
{
    vigil_ns begins = sim->now + choose_ms(sim, "outage from ms", BEGINS_MAX_MS);
    outage->lasts = choose_ms(sim, "outage ms", LASTS_MAX_MS);
    outage->event.fn = fn;
    outage->to_come = vigil__sim_event_at(sim, &outage->event, begins);
}

static bool is_busy(const struct sim_outage *outage)
{
    return outage->to_come || outage->on;
}

void vigil__sim_outage_occasion(struct sim_host *from, struct sim_host *to)
{
    vigil_sim *sim = from->sim;
    if (to->started != NULL && !is_busy(&to->outage) && vigil__sim_fault(sim, to, VIGIL_SIM_KILL))
        plan(sim, &to->outage, host_event);
    if (from == to || is_busy(&vigil__sim_link_find(sim, from, to)->outage) ||
        !vigil__sim_fault(sim, NULL, VIGIL_SIM_PARTITION))
        return;
    struct sim_link *between = vigil__sim_link_made(sim, from, to);
    if (between != NULL)
        plan(sim, &between->outage, link_event);
}

void vigil__sim_outage_end(vigil_sim *sim, struct sim_outage *outage)
{
    vigil__sim_event_cancel(sim, &outage->event);
    outage->to_come = outage->on = false;
}

/* False: no memory to end it by, so it does not begin. */
static bool begin(vigil_sim *sim, struct sim_outage *outage)
{
    outage->to_come = false;
    outage->on = vigil__sim_event_at(sim, &outage->event, sim->now + outage->lasts);
    return outage->on;
}

static void link_event(struct sim_event *event)
{
    struct sim_outage *outage = VIGIL_OWNER(event, struct sim_outage, event);
    struct sim_link *between = VIGIL_OWNER(outage, struct sim_link, outage);
    vigil_sim *sim = between->a->sim;
    vigil__sim_note(sim, (uint64_t)sim->now);
    if (!outage->on) {
        if (!begin(sim, outage))
            return;
        vigil__sim_hosts_hurt(between->a, between->b);
        vigil__sim_story(sim, between->a, "is cut off from a host");
        return;
    }
    outage->on = false;
    vigil__sim_story(sim, between->a, "reaches a host again");
    vigil__sim_healed(sim);
}

static void power_on(struct sim_host *host)
{
    vigil_sim_restart(host->sim, &host->table);
    if (host->started != NULL)
        host->started(host->started_arg);
}

static void host_event(struct sim_event *event)
{
    struct sim_outage *outage = VIGIL_OWNER(event, struct sim_outage, event);
    struct sim_host *host = VIGIL_OWNER(outage, struct sim_host, outage);
    vigil__sim_note(host->sim, (uint64_t)host->sim->now);
    if (outage->on) {
        power_on(host);
        return;
    }
    outage->to_come = false;
    if (host->dead || host->started == NULL)
        return; /* its user was quicker, or has thought better of it */
    vigil_sim_kill(host->sim, &host->table);
    if (!begin(host->sim, outage))
        power_on(host);
}

void vigil_sim_may_kill(vigil_sim *sim, const vigil_host *table, void (*started)(void *arg),
                        void *arg)
{
    struct sim_host *host = vigil__sim_host_in(sim, table);
    if (host == NULL)
        return;
    host->started = started;
    host->started_arg = arg;
}
