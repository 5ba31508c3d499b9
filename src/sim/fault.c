/* SPDX-License-Identifier: MIT
 *
 * fault.c -- which faults there are in a world, when one happens, and faults by number.
 * Floor: sim.
 */
#include "sim/sim.h"

enum {
    RATE_MAX = 100,  /* in a thousand occasions */
    RARE_MAX = 10,   /* for those that end or hurt a connection */
    OFTEN_MAX = 500, /* for those that hardly have an occasion */
    CHANCES = 1000,
    LATE_MAX_US = 20000,
};

static const struct {
    const char *name, *text;
} kinds[] = {
#define KIND(kind, words) [VIGIL_SIM_##kind] = { #kind, words },
    VIGIL_SIM_FAULT_MAP(KIND)
#undef KIND
};

const char *vigil_sim_fault_name(unsigned fault)
{
    return fault < VIGIL_SIM_FAULT_COUNT ? kinds[fault].name : NULL;
}

const char *vigil_sim_fault_text(unsigned fault)
{
    return fault < VIGIL_SIM_FAULT_COUNT ? kinds[fault].text : NULL;
}

/* Of those that can happen at every call and cost a connection, few, or none would live. */
static uint32_t rate_max(unsigned fault)
{
    switch (fault) {
    case VIGIL_SIM_RESET:
    case VIGIL_SIM_VANISH:
    case VIGIL_SIM_ENOMEM:
    case VIGIL_SIM_ALLOC:
    case VIGIL_SIM_ENOBUFS:
        return RARE_MAX;
    case VIGIL_SIM_CANCEL_LOST:
        return OFTEN_MAX;
    default:
        return RATE_MAX;
    }
}

/* Each kind is off in half of the worlds: where all are on, each hides what the others do. */
void vigil__sim_faults_init(vigil_sim *sim)
{
    sim->faults = !sim->options.calm;
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++) {
        uint32_t on = vigil_sim_choose(sim, "fault on", 2);
        uint32_t rate = on != 0 ? 1 + vigil_sim_choose(sim, "fault rate", rate_max(i)) : 0;
        sim->rate[i] = (sim->options.faults_off >> i & 1) != 0 ? 0 : (uint16_t)rate;
    }
}

void vigil_sim_faults(vigil_sim *sim, bool on)
{
    sim->faults = on && !sim->options.calm;
    vigil__sim_note(sim, on);
    vigil__sim_moved(sim); /* who was kept waiting looks again */
}

static void tell(vigil_sim *sim, const struct sim_host *host, vigil_sim_fault fault)
{
    sim->hits[fault]++;
    if (sim->options.story != NULL)
        vigil__sim_story(sim, host, "fault %s: %s", kinds[fault].name, kinds[fault].text);
}

bool vigil__sim_fault(vigil_sim *sim, struct sim_host *host, vigil_sim_fault fault)
{
    if (!sim->faults || sim->rate[fault] == 0 || (host != NULL && host->calm))
        return false;
    uint32_t chance = vigil_sim_choose(sim, kinds[fault].name, CHANCES);
    if (chance < (uint32_t)(CHANCES - sim->rate[fault]))
        return false;
    tell(sim, host, fault);
    return true;
}

/* One that may go on for a while. */
static bool sticky_fault(struct sim_host *host, vigil_sim_fault fault)
{
    vigil_sim *sim = host->sim;
    if (!sim->faults || sim->rate[fault] == 0 || host->calm)
        return false;
    if (sim->now < host->sticky_until[fault]) {
        sim->hits[fault]++;
        return true;
    }
    if (!vigil__sim_fault(sim, host, fault))
        return false;
    if (vigil_sim_choose(sim, "sticky", 2) != 0)
        host->sticky_until[fault] = sim->now +
                                    VIGIL_MS(1 + vigil_sim_choose(sim, "sticky ms", SIM_STICKY_MS));
    return true;
}

void vigil__sim_hurt(struct sim_host *host)
{
    host->hurt = true;
    host->sim->credits++;
}

vigil_ns vigil__sim_oversleep(struct sim_host *host)
{
    if (!vigil__sim_fault(host->sim, host, VIGIL_SIM_LATE_TIMER))
        return 0;
    return VIGIL_US(1 + vigil_sim_choose(host->sim, "late by us", LATE_MAX_US));
}

vigil_ns vigil__sim_deadline(struct sim_host *host, vigil_ns timeout_ns)
{
    vigil_ns deadline = vigil__time_add(timeout_ns, host->sim->now);
    bool sleeps = timeout_ns != VIGIL_NOWAIT && timeout_ns != VIGIL_FOREVER;
    return deadline + (sleeps ? vigil__sim_oversleep(host) : 0);
}

/* A connect that fails closes its descriptor before anybody asks: hence the credit. */
void vigil__sim_hurt_file(struct sim_file *file)
{
    file->hurt = true;
    file->sim->credits++;
}

int vigil__sim_short_of_fds(struct sim_host *host)
{
    if (!sticky_fault(host, VIGIL_SIM_EMFILE) && !sticky_fault(host, VIGIL_SIM_ENFILE))
        return 0;
    vigil__sim_hurt(host);
    return VIGIL_EMFILE;
}

int vigil__sim_short_of_buffers(struct sim_host *host)
{
    int status = 0;
    if (sticky_fault(host, VIGIL_SIM_ENOBUFS))
        status = VIGIL_ENOBUFS;
    else if (sticky_fault(host, VIGIL_SIM_ENOMEM))
        status = VIGIL_ENOMEM;
    if (status != 0)
        vigil__sim_hurt(host);
    return status;
}

bool vigil__sim_short_of_memory(struct sim_host *host)
{
    if (!sticky_fault(host, VIGIL_SIM_ALLOC))
        return false;
    vigil__sim_hurt(host);
    return true;
}

/* ---- by number ---- */

int vigil__sim_call(struct sim_host *host, vigil_sim_call call)
{
    struct sim_planned *planned = &host->planned[call];
    host->calls[call]++;
    if (VIGIL_LIKELY(planned->n == 0))
        return 0;
    if (planned->n > 1) {
        planned->n--;
        return 0;
    }
    if (!planned->sticky)
        planned->n = 0;
    host->sim->planned_hits++;
    vigil__sim_hurt(host);
    vigil__sim_story(host->sim, host, "planned failure: %s", vigil_err_name(planned->status));
    return planned->status;
}

void vigil_sim_fail_call(vigil_sim *sim, const vigil_host *host, vigil_sim_call call, uint64_t n,
                         int status, bool sticky)
{
    if ((unsigned)call >= VIGIL_SIM_CALL_COUNT)
        return;
    for (struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        struct sim_host *each = VIGIL_OWNER(at, struct sim_host, link);
        if (host == NULL || &each->table == host)
            each->planned[call] = (struct sim_planned){ n, status, sticky };
    }
}

uint64_t vigil_sim_calls(const vigil_sim *sim, const vigil_host *host, vigil_sim_call call)
{
    uint64_t sum = 0;
    if ((unsigned)call >= VIGIL_SIM_CALL_COUNT)
        return 0;
    for (const struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        const struct sim_host *each = VIGIL_OWNER(at, struct sim_host, link);
        if (host == NULL || &each->table == host)
            sum += each->calls[call];
    }
    return sum;
}

uint64_t vigil_sim_hits(const vigil_sim *sim, vigil_sim_fault fault)
{
    return (unsigned)fault < VIGIL_SIM_FAULT_COUNT ? sim->hits[fault] : 0;
}
