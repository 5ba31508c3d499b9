/* SPDX-License-Identifier: MIT
 *
 * probes.c -- the probes, in the order in which they run: what every client may do first, then
 * what a hostile one does, then what the machine does to the server; last of all it is stopped.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "hazards/hazards.h"
#include "torture.h"

const struct probe *const probes[] = {
    &probe_half_close,
    &probe_never_reader,
    NULL,
};
