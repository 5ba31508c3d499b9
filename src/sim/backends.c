/* SPDX-License-Identifier: MIT
 *
 * backends.c -- which backends a simulated host offers.  Floor: sim.  A file of its own, so that a
 * test program can link another in its place, with the library's backends on models of kernels.
 */
#include "sim/sim.h"

/* Which of the two is taken unasked: the first.  io_uring is taken before the others, too. */
static const struct vigil__backend *const backends[][3] = {
    { &vigil__sim_backend_ready, &vigil__sim_backend_complete, NULL },
    { &vigil__sim_backend_complete, &vigil__sim_backend_ready, NULL },
};

const struct vigil__backend *const *vigil__sim_backends(struct sim_host *host)
{
    return backends[vigil_sim_choose(host->sim, "backend", VIGIL_COUNT(backends))];
}
