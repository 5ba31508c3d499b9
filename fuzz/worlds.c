/* SPDX-License-Identifier: MIT
 *
 * worlds.c -- the choices of a simulated world are the input: the scenarios of tests/sim/, with all
 * that must hold in them.
 *
 * A byte is a choice.  A blank is 0, the boring one; the other printable characters are spread over
 * all numbers, for most choices are among many, of which the last are the rare ones.
 */
#include "fuzz.h"
#include "sim/rig.h"

enum { CHOICES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint32_t choices[CHOICES_MAX];
    vigil_sim *sim;
    size_t count = size < CHOICES_MAX ? size : CHOICES_MAX;
    for (size_t i = 0; i < count; i++)
        choices[i] = (uint32_t)(uint8_t)(data[i] - ' ') * 2654435761u >> 8;
    const vigil_sim_options options = { .choices = choices, .choice_count = count };
    CHECK(vigil_sim_open(&sim, &options) == 0);
    scenario_play(sim, NULL);
    CHECK(vigil_sim_failure(sim) == NULL, "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
    return 0;
}
