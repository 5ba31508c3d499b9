/* SPDX-License-Identifier: MIT
 *
 * observe.h -- what a script waits for in the server's process: that it rests, that what it had
 * open is closed, that it ends.  Without --pid nothing is known of it, and none of these finds
 * anything.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "torture.h"

/* Until it has done nothing for 30 ms, which includes waiting for a CPU that others have.  One
 * that never rests is waited for 3 s. */
void observe_rest(const struct torture *t);

/* How much of one CPU it used over `window`, in percent; -1: the system does not tell.
 * The time for which it had to wait for a CPU does not count, but makes the window last, so that
 * a server that spins has 100 % on a busy machine and one that sleeps nearly none. */
int64_t observe_cpu_percent(const struct torture *t, vigil_ns window);

/* What it has, its children's with it; -1 each when it is gone or not known. */
struct observed {
    int64_t descriptors;
    int64_t children;
};

/* What that is now that it rests. */
struct observed observe_now(const struct torture *t);

/* Until it has no more than `most`, or nothing was closed for the patience.  Answers what it then
 * has. */
struct observed observe_closed(const struct torture *t, struct observed most);

/* The same after `connections` have left; processes or descriptors for more than a tenth of them
 * are a finding.  Those of a process that is there still are its own affair.  Tells the figures. */
void observe_left(struct torture *t, struct observed before, uint64_t connections);

/* Whether it has ended, waiting for that as long as the patience. */
bool observe_end(const struct torture *t);

#endif /* OBSERVE_H */
