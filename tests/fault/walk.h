/* SPDX-License-Identifier: MIT
 *
 * walk.h -- goes through all that can be made to fail, or through a sample of it.
 *
 * VIGIL_FAIL_STEP=16 takes every 16th, those with the number VIGIL_FAIL_OFFSET of 16: numbers are
 * hashes, so they stay the same whatever other injections there are.  VIGIL_FAIL_ONLY names one.
 */
#ifndef FAULT_WALK_H
#define FAULT_WALK_H

#include "inject.h"
#include "test.h"

struct walk {
    unsigned step, offset;
    const char *only;
    unsigned call, error, ever, nth; /* where it stands */
    unsigned made[INJECT_COUNT];     /* calls of a run untouched: there are some such */
};

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static struct walk walk_begin(void)
{
    struct walk walk = { .step = number_of("VIGIL_FAIL_STEP", 1),
                         .only = getenv("VIGIL_FAIL_ONLY"),
                         .nth = 1 };
    walk.step = walk.step > 0 ? walk.step : 1;
    walk.offset = number_of("VIGIL_FAIL_OFFSET", 0) % walk.step;
    return walk;
}

static struct inject walk_plan(const struct walk *walk)
{
    return (struct inject){ .on = true,
                            .call = (enum inject_call)walk->call,
                            .error = inject_kinds[walk->call].errors[walk->error],
                            .ever = walk->ever != 0,
                            .nth = walk->nth };
}

static unsigned hash_of(const char *what, const char *backend, const char *plan)
{
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */
    const char *texts[] = { what, backend, plan };
    for (size_t i = 0; i < TEST_COUNT(texts); i++)
        for (const char *at = texts[i]; *at != '\0'; at++)
            hash = (hash ^ (uint8_t)*at) * 16777619u;
    return hash >> 8;
}

/* Of all of them each kind is counted until one does not come to pass; of a sample, as far as the
 * run untouched had calls. */
static bool walk_is_there(const struct walk *walk)
{
    struct inject plan = walk_plan(walk);
    if (plan.ever && !inject_may_stay(plan.call, plan.error))
        return false;
    unsigned made = walk->made[walk->call];
    return walk->step == 1 ? made > 0 : walk->nth <= made;
}

static bool walk_is_chosen(const struct walk *walk, const char *what, const char *backend)
{
    struct inject plan = walk_plan(walk);
    char text[INJECT_TEXT_MAX];
    inject_format(&plan, text);
    return walk->step == 1 || hash_of(what, backend, text) % walk->step == walk->offset;
}

/* The next one of its kind, error and mode while `there`; behind the last, the first of the next.
 * False: there is none. */
static bool walk_on(struct walk *walk, bool there)
{
    if (there) {
        walk->nth++;
        return true;
    }
    walk->nth = 1;
    if (++walk->ever < 2)
        return true;
    walk->ever = 0;
    if (++walk->error < INJECT_ERRORS_MAX && inject_kinds[walk->call].errors[walk->error] != 0)
        return true;
    walk->error = 0;
    return ++walk->call < INJECT_COUNT;
}

/* The command that does it again. */
static void walk_tell(const struct inject *plan)
{
    char text[INJECT_TEXT_MAX] = "nothing";
    if (plan->on)
        inject_format(plan, text);
    fprintf(stderr, "# VIGIL_FAIL_ONLY='%s' %s '%s'\n", text, TEST_PROGRAM, test_state.title);
}

#endif
