/* SPDX-License-Identifier: MIT
 *
 * main.c -- the simulated tests: which of the scenarios a world plays is its first choice.
 * SIM_SCENARIO=NAME of the environment plays that one alone.
 */
#include "sim/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*play)(vigil_sim *sim);
} scenarios[] = {
    { "echo", scenario_echo },
    { "proxy", scenario_proxy },
    { "crowd", scenario_crowd },
    { "slow", scenario_slow },
    { "half_close", scenario_half_close },
    { "drain", scenario_drain },
    { "storm", scenario_storm },
    { "outage", scenario_outage },
    { "timers", scenario_timers },
    { "posts", scenario_posts },
    { "twins", scenario_twins },
};

/* Each must have been looked at in the end, or the run shows less than it says. */
static const char *const oracles[] = {
    "what comes back is a prefix of what was sent",
    "the end comes behind everything",
    "a clean end is a whole one",
    "every bad end is explained",
    "all clients end",
    "one who comes late is served",
    "accepting survives everything",
    "open comes once, and first",
    "close comes once",
    "no callback after close",
    "a stale handle is stale",
    "a drain ends",
    "a host comes up again",
    "output is bounded",
    "memory is bounded",
    "counters agree",
    "no spinning",
    "nobody waits for what is there",
    "who is ready is served",
    "operations end",
    "buffers come back",
    "everything is given back",
    "freed memory is left alone",
    "timers are never early",
    "timers fire in order",
    "timers fire once, when armed",
    "every timer fires",
    "a post runs once",
    "posts run in order",
    "no post is lost",
    "both backends tell the same story",
    "both backends bring the same bytes",
};

static void play(vigil_sim *sim, void *arg)
{
    const uint32_t *only = arg;
    for (size_t o = 0; o < VIGIL_COUNT(oracles); o++)
        sim_oracle_declare(sim, oracles[o]);
    uint32_t i = vigil_sim_choose(sim, "scenario", VIGIL_COUNT(scenarios));
    scenarios[only != NULL ? *only : i].play(sim);
}

int main(int argc, char **argv)
{
    const char *name = getenv("SIM_SCENARIO");
    uint32_t only = 0;
    if (name == NULL)
        return vigil_sim_main(argc, argv, play, NULL);
    while (only < VIGIL_COUNT(scenarios) && strcmp(scenarios[only].name, name) != 0)
        only++;
    if (only == VIGIL_COUNT(scenarios)) {
        fprintf(stderr, "%s: there is no scenario %s\n", argv[0], name);
        return 2;
    }
    printf("with SIM_SCENARIO=%s\n", name);
    return vigil_sim_main(argc, argv, play, &only);
}
