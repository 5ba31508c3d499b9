/* SPDX-License-Identifier: MIT
 *
 * worlds.c -- the choices of a simulated world are the input: the scenarios of tests/sim/, with all
 * that must hold in them.
 */
#include "fuzz.h"
#include "sim/rig.h"

enum { CHOICES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vigil_sim *sim;
    const vigil_sim_options options = { .bytes = data,
                                        .byte_count = size < CHOICES_MAX ? size : CHOICES_MAX };
    CHECK(vigil_sim_open(&sim, &options) == 0);
    scenario_play(sim, NULL);
    CHECK(vigil_sim_failure(sim) == NULL, "%s", vigil_sim_failure(sim));
    vigil_sim_close(sim);
    return 0;
}
