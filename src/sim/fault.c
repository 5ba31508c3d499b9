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
    STICKY_ONE_IN = 4,
    STICKY_MS = 200, /* how long a sticky fault lasts at most; or how often in a row: */
    STICKY_TIMES = 8,
};

enum goes_on { ONCE, MS, TIMES };

static const struct {
    const char *name, *text;
    enum goes_on goes_on;
} kinds[] = {
#define KIND(kind, goes_on, words) [VIGIL_SIM_##kind] = { #kind, words, goes_on },
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
    case VIGIL_SIM_KILL:
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

static void sticky_end(struct sim_occasions faults[VIGIL_SIM_FAULT_COUNT])
{
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        faults[i].sticky_times = 0, faults[i].sticky_until = 0;
}

void vigil_sim_faults(vigil_sim *sim, bool on)
{
    sim->faults = on && !sim->options.calm;
    sticky_end(sim->network);
    for (struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next)
        sticky_end(VIGIL_OWNER(at, struct sim_host, link)->faults);
    vigil__sim_note(sim, on);
    vigil__sim_moved(sim); /* who was kept waiting looks again */
}

static void tell(vigil_sim *sim, const struct sim_host *host, vigil_sim_fault fault,
                 const struct sim_occasions *of)
{
    sim->hits[fault]++;
    if (sim->options.story == NULL)
        return;
    const char *text = kinds[fault].text;
    if (of->sticky_times > 0)
        vigil__sim_story(sim, host, "fault %s: %s, and %u more in a row", kinds[fault].name, text,
                         of->sticky_times);
    else if (of->sticky_until > sim->now)
        vigil__sim_story(sim, host, "fault %s: %s, until %.3f ms", kinds[fault].name, text,
                         vigil__sim_story_ms(of->sticky_until));
    else
        vigil__sim_story(sim, host, "fault %s: %s", kinds[fault].name, text);
}

/* Whether a sticky one that came up before goes on. */
static bool still_sticks(const vigil_sim *sim, struct sim_occasions *of)
{
    if (of->sticky_times > 0) {
        of->sticky_times--;
        return true;
    }
    return sim->now < of->sticky_until;
}

/* One that has come up may go on for a while. */
static void may_stick(vigil_sim *sim, vigil_sim_fault fault, struct sim_occasions *of)
{
    enum goes_on how = kinds[fault].goes_on;
    if (how == ONCE || vigil_sim_choose(sim, "sticky", STICKY_ONE_IN) != STICKY_ONE_IN - 1)
        return;
    if (how == TIMES)
        of->sticky_times = 1 + vigil_sim_choose(sim, "sticky times", STICKY_TIMES);
    else
        of->sticky_until = sim->now + VIGIL_MS(1 + vigil_sim_choose(sim, "sticky ms", STICKY_MS));
}

static bool chance_hits(vigil_sim *sim, const struct sim_host *host, vigil_sim_fault fault)
{
    return sim->faults && sim->rate[fault] != 0 && (host == NULL || !host->calm) &&
           vigil_sim_choose(sim, kinds[fault].name, CHANCES) >=
               (uint32_t)(CHANCES - sim->rate[fault]);
}

static bool comes_up(vigil_sim *sim, const struct sim_host *host, vigil_sim_fault fault,
                     struct sim_occasions *of)
{
    of->count++;
    return (VIGIL_UNLIKELY(of->planned.n != 0) && vigil__sim_planned_now(&of->planned)) ||
           chance_hits(sim, host, fault);
}

static struct sim_occasions *occasions_of(vigil_sim *sim, struct sim_host *host,
                                          vigil_sim_fault fault)
{
    return host != NULL ? &host->faults[fault] : &sim->network[fault];
}

bool vigil__sim_fault(vigil_sim *sim, struct sim_host *host, vigil_sim_fault fault)
{
    struct sim_occasions *of = occasions_of(sim, host, fault);
    if (still_sticks(sim, of)) {
        of->count++;
    } else {
        if (!comes_up(sim, host, fault, of))
            return false;
        may_stick(sim, fault, of);
    }
    if (host != NULL && kinds[fault].goes_on == TIMES)
        host->kept_at = sim->turns;
    tell(sim, host, fault, of);
    return true;
}

bool vigil__sim_fault_once(vigil_sim *sim, struct sim_host *host, vigil_sim_fault fault)
{
    struct sim_occasions *of = occasions_of(sim, host, fault);
    if (!comes_up(sim, host, fault, of))
        return false;
    tell(sim, host, fault, of);
    return true;
}

void vigil__sim_hurt(struct sim_host *host)
{
    host->hurt = true;
    host->shortages++;
    host->short_at = host->sim->now;
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
void vigil__sim_hurt_file(struct sim_file *file, vigil_sim_fault fault)
{
    file->hurt = true;
    file->fate.faults |= 1u << fault;
    file->sim->credits++;
}

int vigil__sim_short_of_fds(struct sim_host *host)
{
    if (!vigil__sim_fault(host->sim, host, VIGIL_SIM_EMFILE) &&
        !vigil__sim_fault(host->sim, host, VIGIL_SIM_ENFILE))
        return 0;
    vigil__sim_hurt(host);
    return VIGIL_EMFILE;
}

int vigil__sim_short_of_buffers(struct sim_host *host)
{
    int status = 0;
    if (vigil__sim_fault(host->sim, host, VIGIL_SIM_ENOBUFS))
        status = VIGIL_ENOBUFS;
    else if (vigil__sim_fault(host->sim, host, VIGIL_SIM_ENOMEM))
        status = VIGIL_ENOMEM;
    if (status != 0)
        vigil__sim_hurt(host);
    return status;
}

bool vigil__sim_short_of_memory(struct sim_host *host)
{
    if (!vigil__sim_fault(host->sim, host, VIGIL_SIM_ALLOC))
        return false;
    vigil__sim_hurt(host);
    return true;
}

/* ---- by number ---- */

bool vigil__sim_planned_now(struct sim_planned *planned)
{
    if (planned->n > 1) {
        planned->n--;
        return false;
    }
    if (!planned->sticky)
        planned->n = 0;
    return true;
}

int vigil__sim_call(struct sim_host *host, vigil_sim_call call)
{
    struct sim_planned *planned = &host->planned[call];
    host->calls[call]++;
    if (VIGIL_LIKELY(planned->n == 0) || !vigil__sim_planned_now(planned))
        return 0;
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
        if (host == NULL || each == vigil__sim_host_of(host))
            each->planned[call] = (struct sim_planned){ n, status, sticky };
    }
}

static bool is_of_network(vigil_sim_fault fault)
{
    switch ((unsigned)fault) {
    case VIGIL_SIM_RESET:
    case VIGIL_SIM_ABORTED:
    case VIGIL_SIM_REFUSED:
    case VIGIL_SIM_DELAYED:
    case VIGIL_SIM_BLACK_HOLE:
    case VIGIL_SIM_VANISH:
    case VIGIL_SIM_PARTITION:
        return true;
    default:
        return false;
    }
}

int vigil_sim_inject(vigil_sim *sim, const vigil_host *host, vigil_sim_fault fault, uint64_t n,
                     bool sticky)
{
    if ((unsigned)fault >= VIGIL_SIM_FAULT_COUNT || (sticky && kinds[fault].goes_on == TIMES))
        return VIGIL_EINVAL;
    const struct sim_planned planned = { .n = n, .sticky = sticky };
    if (is_of_network(fault)) {
        sim->network[fault].planned = planned;
        return 0;
    }
    for (struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        struct sim_host *each = VIGIL_OWNER(at, struct sim_host, link);
        if (host == NULL || each == vigil__sim_host_of(host))
            each->faults[fault].planned = planned;
    }
    return 0;
}

uint64_t vigil_sim_calls(const vigil_sim *sim, const vigil_host *host, vigil_sim_call call)
{
    uint64_t sum = 0;
    if ((unsigned)call >= VIGIL_SIM_CALL_COUNT)
        return 0;
    for (const struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        const struct sim_host *each = VIGIL_OWNER(at, struct sim_host, link);
        if (host == NULL || each == vigil__sim_host_of(host))
            sum += each->calls[call];
    }
    return sum;
}

uint64_t vigil_sim_occasions(const vigil_sim *sim, const vigil_host *host, vigil_sim_fault fault)
{
    if ((unsigned)fault >= VIGIL_SIM_FAULT_COUNT)
        return 0;
    uint64_t sum = sim->network[fault].count;
    for (const struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        const struct sim_host *each = VIGIL_OWNER(at, struct sim_host, link);
        if (host == NULL || each == vigil__sim_host_of(host))
            sum += each->faults[fault].count;
    }
    return sum;
}

uint64_t vigil_sim_hits(const vigil_sim *sim, vigil_sim_fault fault)
{
    return (unsigned)fault < VIGIL_SIM_FAULT_COUNT ? sim->hits[fault] : 0;
}
