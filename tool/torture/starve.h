/* SPDX-License-Identifier: MIT
 *
 * starve.h -- takes the server's descriptors away for a while: its soft RLIMIT_NOFILE is lowered
 * (prlimit(2)), and comes back whatever happens to this process.  For that a second one, the
 * guard, waits for the end of this one.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef STARVE_H
#define STARVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "process.h"

struct starving {
    bool lowered; /* the limit is not what it was */
    pid_t pid;
    pid_t guard;
    int line; /* to the guard: it acts when this is closed, */
    int proc; /* and if the process it was told of is still the same */
    uint64_t before;
    uint64_t now;
};

/* Lowers it to what the process itself has open and `spare` more; a limit that is as low already
 * stays.  NULL, or why that cannot be done.  Ended by starve_end(). */
const char *starve_begin(struct starving *starving, const struct process *process, uint64_t spare);

/* Puts it back, unless somebody else has changed it since. */
void starve_end(struct starving *starving);

#endif /* STARVE_H */
