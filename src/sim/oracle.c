/* SPDX-License-Identifier: MIT
 *
 * oracle.c -- what must hold in a world, how often that was looked at, and what failed first.
 * Floor: sim.
 */
#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fail_va(vigil_sim *sim, const char *oracle, const char *format, va_list args)
{
    if (sim->failed_oracle != NULL)
        return; /* what follows from a failure is none */
    sim->failed_oracle = oracle;
    int n = snprintf(sim->failure, sizeof(sim->failure), "%s: ", oracle);
    (void)vsnprintf(sim->failure + n, sizeof(sim->failure) - (size_t)n, format, args);
    vigil__sim_story(sim, NULL, "FAILED %s", sim->failure);
}

void vigil__sim_fail(vigil_sim *sim, const char *oracle, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_va(sim, oracle, format, args);
    va_end(args);
}

/* By its text: the same words may stand in several places.  Most differ in the first letter. */
static struct sim_oracle *oracle_search(vigil_sim *sim, const char *name)
{
    for (struct vigil__link *at = sim->oracles.next; at != &sim->oracles; at = at->next) {
        struct sim_oracle *oracle = VIGIL_OWNER(at, struct sim_oracle, link);
        if (oracle->name[0] == name[0] && strcmp(oracle->name, name) == 0)
            return oracle;
    }
    struct sim_oracle *oracle = vigil__alloc(&sim->memory, sizeof(*oracle));
    if (oracle == NULL) {
        sim->oracles_lost = true;
        return NULL;
    }
    *oracle = (struct sim_oracle){ .name = name };
    vigil__list_append(&sim->oracles, &oracle->link);
    return oracle;
}

/* Names stand in static storage, so the address alone tells one that was seen before: they are
 * looked up several times in every step. */
static struct sim_oracle *oracle_find(vigil_sim *sim, const char *name)
{
    size_t i = (uintptr_t)name / 8 % SIM_NAMES;
    while (sim->names[i].name != name && sim->names[i].name != NULL)
        i = (i + 1) % SIM_NAMES;
    if (VIGIL_LIKELY(sim->names[i].name == name))
        return sim->names[i].oracle;
    struct sim_oracle *oracle = oracle_search(sim, name);
    if (oracle != NULL && sim->name_count < SIM_NAMES_MAX) {
        sim->names[i] = (struct sim_oracle_name){ name, oracle };
        sim->name_count++;
    }
    return oracle;
}

void vigil__sim_oracle_count(vigil_sim *sim, const char *name)
{
    struct sim_oracle *oracle = oracle_find(sim, name);
    if (oracle != NULL)
        oracle->count++;
}

void vigil__sim_oracle_declare(vigil_sim *sim, const char *name)
{
    struct sim_oracle *oracle = oracle_find(sim, name);
    if (oracle != NULL) /* without memory the run fails: `oracles_lost` */
        oracle->declared = true;
}

bool vigil_sim_always(vigil_sim *sim, const char *name, bool holds, const char *format, ...)
{
    vigil__sim_oracle_count(sim, name);
    if (holds)
        return true;
    va_list args;
    va_start(args, format);
    fail_va(sim, name, format, args);
    va_end(args);
    return false;
}

int vigil_sim_invariant(vigil_sim *sim, const char *name, bool (*holds)(void *arg), void *arg)
{
    if (holds == NULL)
        return VIGIL_EINVAL;
    struct sim_invariant *invariant = vigil__alloc(&sim->memory, sizeof(*invariant));
    if (invariant == NULL)
        return VIGIL_ENOMEM;
    *invariant = (struct sim_invariant){ .name = name, .holds = holds, .arg = arg };
    vigil__list_append(&sim->invariants, &invariant->link);
    return 0;
}

void vigil__sim_invariants_check(vigil_sim *sim)
{
    for (struct vigil__link *at = sim->invariants.next; at != &sim->invariants; at = at->next) {
        struct sim_invariant *invariant = VIGIL_OWNER(at, struct sim_invariant, link);
        vigil__sim_oracle_count(sim, invariant->name);
        if (!invariant->holds(invariant->arg))
            vigil__sim_fail(sim, invariant->name, "it does not hold any more");
    }
}

struct goal {
    bool (*holds)(void *arg);
    void *arg;
};

static bool not_yet(void *arg)
{
    const struct goal *goal = arg;
    return !goal->holds(goal->arg);
}

int vigil_sim_eventually(vigil_sim *sim, const char *name, bool (*holds)(void *arg), void *arg,
                         vigil_ns within_ns)
{
    struct goal goal = { holds, arg };
    vigil_sim_faults(sim, false);
    vigil__sim_oracle_count(sim, name);
    int status = vigil_sim_run_while(sim, not_yet, &goal, vigil__time_add(sim->now, within_ns));
    if (status < 0)
        return status;
    if (holds(arg))
        return 0;
    vigil__sim_fail(sim, name, "it has not come within %.3f s, and no fault was in the way",
                    (double)within_ns / (double)VIGIL_S(1));
    return VIGIL_ETIMEDOUT;
}

bool vigil_sim_check_balance(vigil_sim *sim)
{
    vigil__sim_oracle_count(sim, "everything is given back");
    for (struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        const struct sim_host *host = VIGIL_OWNER(at, struct sim_host, link);
        if (host->fd_count != 0 || host->memory != 0)
            vigil__sim_fail(sim, "everything is given back",
                            "%u descriptors are open, %zu bytes in use", host->fd_count,
                            host->memory);
    }
    return vigil__sim_memory_check(sim) && sim->failed_oracle == NULL;
}

const char *vigil_sim_failure(const vigil_sim *sim)
{
    return sim->failed_oracle != NULL ? sim->failure : NULL;
}

void vigil__sim_oracles_clear(vigil_sim *sim)
{
    while (!vigil__list_empty(&sim->invariants)) {
        struct sim_invariant *each = VIGIL_OWNER(sim->invariants.next, struct sim_invariant, link);
        vigil__list_remove(&each->link);
        vigil__free(&sim->memory, each, sizeof(*each));
    }
    while (!vigil__list_empty(&sim->oracles)) {
        struct sim_oracle *each = VIGIL_OWNER(sim->oracles.next, struct sim_oracle, link);
        vigil__list_remove(&each->link);
        vigil__free(&sim->memory, each, sizeof(*each));
    }
}
