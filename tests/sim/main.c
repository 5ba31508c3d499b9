/* SPDX-License-Identifier: MIT
 *
 * main.c -- the simulated tests, over many seeds.  SIM_SCENARIO=NAME of the environment plays that
 * scenario alone.
 */
#include "sim/rig.h"

#include <stdio.h>
#include <stdlib.h>

static void play_one(vigil_sim *sim, void *arg)
{
    scenario_play(sim, arg);
}

int main(int argc, char **argv)
{
    /* The last two are those of tests/model/calls/backends.c. */
    static const char *const names[] = { "SIM_SCENARIO", "VIGIL_SIM_BACKEND", "VIGIL_SIM_KERNEL",
                                         NULL };
    const char *name = getenv("SIM_SCENARIO");
    uint32_t only = 0;
    if (name == NULL)
        return vigil_sim_main_env(argc, argv, names, play_one, NULL);
    if (!scenario_find(name, &only)) {
        fprintf(stderr, "%s: there is no scenario %s\n", argv[0], name);
        return 2;
    }
    return vigil_sim_main_env(argc, argv, names, play_one, &only);
}
