/* SPDX-License-Identifier: MIT
 *
 * seeds.h -- which seeds a randomised test runs, and how one that failed is run again.
 *
 * VIGIL_SEEDS=N   N seeds instead of the few that the test runs by itself
 * VIGIL_SEED=K    begins with K; alone, it is the only one
 */
#ifndef SEEDS_H
#define SEEDS_H

#include <errno.h> /* program_invocation_name */

#include "test.h"

struct seeds {
    uint32_t next, last; /* next > last: there are no more */
    uint32_t running;
};

/* A machine may lack a backend; that is no fault of ours, and no pass. */
TEST_MAYBE_UNUSED static void skip_unless_here(const char *backend)
{
    if (vigil_backend_try(backend) == VIGIL_ENOTSUP)
        SKIP("not to be had here");
}

static uint32_t seeds_number(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

TEST_MAYBE_UNUSED static struct seeds seeds_asked(uint32_t count)
{
    uint32_t first = seeds_number("VIGIL_SEED");
    uint32_t asked = seeds_number("VIGIL_SEEDS");
    count = asked > 0 ? asked : first > 0 ? 1 : count;
    first = first > 0 ? first : 1;
    return (struct seeds){ .next = first, .last = first + count - 1 };
}

/* The next seed, with the whole time limit of a test for it.  False behind the last, and behind one
 * that failed: the first failure is the one to look at. */
TEST_MAYBE_UNUSED static bool seeds_next(struct seeds *seeds, uint32_t *seed)
{
    if (seeds->next > seeds->last || test_state.test_failures > 0)
        return false;
    test_limit_time((unsigned)(TEST_SECONDS * test_time_scale()), test_too_long);
    *seed = seeds->running = seeds->next++;
    return true;
}

/* Behind a failure: the one command that shows it again. */
TEST_MAYBE_UNUSED static void seeds_replay(const struct seeds *seeds, const char *test,
                                           const char *backend)
{
    if (test_state.test_failures > 0)
        fprintf(stderr, "# again: VIGIL_SEED=%u %s '%s [%s]'\n", seeds->running,
                program_invocation_name, test, backend);
}

#endif
