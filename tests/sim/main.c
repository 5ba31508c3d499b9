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
    { "echo", scenario_echo },   { "proxy", scenario_proxy },           { "crowd", scenario_crowd },
    { "slow", scenario_slow },   { "half_close", scenario_half_close }, { "drain", scenario_drain },
    { "storm", scenario_storm }, { "timers", scenario_timers },         { "posts", scenario_posts },
    { "twins", scenario_twins },
};

static void play(vigil_sim *sim, void *arg)
{
    const char *only = arg;
    uint32_t i = vigil_sim_choose(sim, "scenario", VIGIL_COUNT(scenarios));
    for (uint32_t j = 0; only != NULL && j < VIGIL_COUNT(scenarios); j++)
        if (strcmp(scenarios[j].name, only) == 0)
            i = j;
    scenarios[i].play(sim);
}

int main(int argc, char **argv)
{
    char *only = getenv("SIM_SCENARIO");
    if (only != NULL)
        printf("with SIM_SCENARIO=%s\n", only);
    return vigil_sim_main(argc, argv, play, only);
}
