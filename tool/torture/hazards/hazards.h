/* SPDX-License-Identifier: MIT
 *
 * hazards.h -- the probes, one per file: half_close.c has probe_half_close, and so on.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef HAZARDS_H
#define HAZARDS_H

#include "../torture.h"

extern const struct probe probe_half_close;
extern const struct probe probe_never_reader;

#endif /* HAZARDS_H */
