/* SPDX-License-Identifier: MIT
 *
 * gaps.h -- how long nobody looked at the clock.  Floor: base.
 *
 * What happens between two looks at the clock is stamped with the first of them, and that is too
 * early by as much as it took until the next.  So for each length of such a gap the last one is
 * kept, from which follows how late a stamp may really be.
 */
#ifndef VIGIL_GAPS_H
#define VIGIL_GAPS_H

#include "base/base.h"

enum {
    VIGIL__GAP_STEPS = 4,     /* lengths told apart between one and its double */
    VIGIL__GAP_BITS_MIN = 17, /* shorter than 2^17 ns, 131 us, are all the same */
    VIGIL__GAP_BITS_MAX = 62, /* and so are those of 2^62 ns, which nobody lives to see */
    VIGIL__GAP_LENGTHS = (VIGIL__GAP_BITS_MAX - VIGIL__GAP_BITS_MIN) * VIGIL__GAP_STEPS,
};

struct vigil__gap {
    vigil_ns from, to;
};

struct vigil__gaps {
    struct vigil__gap last[VIGIL__GAP_LENGTHS]; /* of each length; all 0: none */
};

/* The clock was looked at when it was `from`, and next when it was `to`. */
void vigil__gaps_note(struct vigil__gaps *gaps, vigil_ns from, vigil_ns to);

/* The latest that something may have happened which is stamped with the look at `stamp`: the next
 * look, if that gap is still kept; else later by the longest since then, and a quarter of that. */
vigil_ns vigil__gaps_latest(const struct vigil__gaps *gaps, vigil_ns stamp);

#endif
