/* SPDX-License-Identifier: MIT
 *
 * gaps.c -- how long nobody looked at the clock.  Floor: base.
 */
#include "base/gaps.h"

enum { STEP_BITS = 2 };

_Static_assert(VIGIL__GAP_STEPS == 1 << STEP_BITS, "so many bits below the highest");

/* The place of a length: its highest bit, and the STEP_BITS below that. */
static unsigned gap_place(vigil_ns length)
{
    if (length < (vigil_ns)1 << VIGIL__GAP_BITS_MIN)
        return 0;
    unsigned highest = 63 - (unsigned)__builtin_clzll((unsigned long long)length);
    if (highest >= VIGIL__GAP_BITS_MAX)
        return VIGIL__GAP_LENGTHS - 1;
    unsigned step = (unsigned)(length >> (highest - STEP_BITS)) & (VIGIL__GAP_STEPS - 1);
    return (highest - VIGIL__GAP_BITS_MIN) * VIGIL__GAP_STEPS + step;
}

/* What the gaps of a place are shorter than. */
static vigil_ns place_bound(unsigned place)
{
    if (place == VIGIL__GAP_LENGTHS - 1)
        return VIGIL_FOREVER;
    unsigned highest = place / VIGIL__GAP_STEPS + VIGIL__GAP_BITS_MIN;
    return (vigil_ns)(VIGIL__GAP_STEPS + place % VIGIL__GAP_STEPS + 1) << (highest - STEP_BITS);
}

VIGIL_HOT void vigil__gaps_note(struct vigil__gaps *gaps, vigil_ns from, vigil_ns to)
{
    if (to > from) /* so no two begin at the same time */
        gaps->last[gap_place(to - from)] = (struct vigil__gap){ from, to };
}

vigil_ns vigil__gaps_latest(const struct vigil__gaps *gaps, vigil_ns stamp)
{
    vigil_ns longest = 0; /* of those since then whose place has been taken by another */
    for (unsigned i = VIGIL__GAP_LENGTHS; i-- > 0;) {
        const struct vigil__gap *gap = &gaps->last[i];
        if (gap->from == stamp)
            return gap->to;
        if (gap->from > stamp && longest == 0)
            longest = place_bound(i);
    }
    return vigil__time_add(stamp, longest);
}
