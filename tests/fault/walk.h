/* SPDX-License-Identifier: MIT
 *
 * walk.h -- goes through all that can be made to fail, or through a sample of it: a kind of call
 * after the other, each error of it, once and for ever, the first, the second ... until a run
 * passes untouched.
 *
 * VIGIL_FAIL_STEP=16 takes every 16th, those with the number VIGIL_FAIL_OFFSET of 16: numbers are
 * hashes, so they stay the same whatever other injections there are.  VIGIL_FAIL_ONLY names one.
 */
#ifndef FAULT_WALK_H
#define FAULT_WALK_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plan.h"

enum {
    WALK_KINDS_MAX = 64,
    WALK_FAILURES_MAX = 10,
    WALK_USED_MAX = 50, /* runs in a process that leave something of their own in it */
};

/* What a run leaves of its process: all of it; something that runs behind it may meet; nothing that
 * another could run in. */
enum walk_rest { WALK_CLEAN, WALK_USED, WALK_SPENT };

/* In memory that the children which run injections share with their parent. */
struct walk {
    const struct plan_kinds *kinds;
    const char *program, *title; /* what runs: for the command that does it again */
    int tell;                    /* the descriptor that this is said on */
    unsigned step, offset;
    const char *only;
    unsigned call, error, ever, nth; /* where it stands */
    bool began;                      /* a run has passed untouched, */
    unsigned made[WALK_KINDS_MAX];   /* with so many calls of each kind */
    struct plan plan;                /* of the run under way, or of the last */
    unsigned runs, fired, failures;
    bool used; /* the process is; a run that fails in it counts only if it fails in another, too, */
    bool again; /* which is to begin with it */
    bool over;
};

/* Makes one run of walk->plan.  True: what was to fail did. */
typedef bool walk_run_fn(struct walk *walk, void *arg);

static inline unsigned walk_number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* NULL: no memory.  All but the title stay the caller's; give it to walk_free(). */
static inline struct walk *walk_new(const struct plan_kinds *kinds, const char *program,
                                    const char *title)
{
    struct walk *walk = mmap(NULL, sizeof(*walk), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (walk == MAP_FAILED)
        return NULL;
    *walk = (struct walk){ .kinds = kinds,
                           .program = program,
                           .title = title,
                           .tell = STDERR_FILENO,
                           .step = walk_number("VIGIL_FAIL_STEP", 1),
                           .only = getenv("VIGIL_FAIL_ONLY"),
                           .nth = 1 };
    walk->step = walk->step > 0 ? walk->step : 1;
    walk->offset = walk_number("VIGIL_FAIL_OFFSET", 0) % walk->step;
    return walk;
}

static inline void walk_free(struct walk *walk)
{
    munmap(walk, sizeof(*walk));
}

/* ---- from one to the next ----------------------------------------------------------------- */

static inline struct plan walk_plan(const struct walk *walk)
{
    return (struct plan){ .on = true,
                          .call = walk->call,
                          .error = walk->kinds->kinds[walk->call].errors[walk->error],
                          .ever = walk->ever != 0,
                          .nth = walk->nth };
}

/* Whether it is worth a run.  Of all of them each kind is counted until one does not come to pass;
 * of a sample, as far as the run untouched had calls. */
static inline bool walk_is_there(const struct walk *walk)
{
    struct plan plan = walk_plan(walk);
    if (plan.ever && !walk->kinds->may_stay(plan.call, plan.error))
        return false;
    unsigned made = walk->made[walk->call];
    return walk->step == 1 ? made > 0 : walk->nth <= made;
}

static inline bool walk_is_chosen(const struct walk *walk)
{
    struct plan plan = walk_plan(walk);
    char text[PLAN_TEXT_MAX];
    plan_format(walk->kinds, &plan, text);
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */
    const char *texts[] = { walk->title, text };
    for (size_t i = 0; walk->step > 1 && i < sizeof(texts) / sizeof(texts[0]); i++)
        for (const char *at = texts[i]; *at != '\0'; at++)
            hash = (hash ^ (uint8_t)*at) * 16777619u;
    return walk->step == 1 || (hash >> 8) % walk->step == walk->offset;
}

/* The next one of its kind, error and mode while `there`; behind the last, the first of the next.
 * It is over when there is none, or when enough has failed. */
static inline void walk_on(struct walk *walk, bool there)
{
    walk->over = walk->failures >= WALK_FAILURES_MAX;
    walk->nth = there ? walk->nth + 1 : 1;
    if (there || ++walk->ever < 2)
        return;
    walk->ever = 0;
    const struct plan_kind *kind = &walk->kinds->kinds[walk->call];
    if (++walk->error < PLAN_ERRORS_MAX && kind->errors[walk->error] != 0)
        return;
    walk->error = 0;
    if (++walk->call == walk->kinds->count)
        walk->over = true;
}

/* A run has passed untouched, and made so many calls of each kind. */
static inline void walk_begins(struct walk *walk, const unsigned *made)
{
    for (unsigned i = 0; i < walk->kinds->count; i++)
        walk->made[i] = made[i];
    walk->began = true;
}

/* ---- running ------------------------------------------------------------------------------ */

/* The command that does it again. */
static inline void walk_tell(const struct walk *walk)
{
    char text[PLAN_TEXT_MAX];
    plan_format(walk->kinds, &walk->plan, text);
    dprintf(walk->tell, "# VIGIL_FAIL_ONLY='%s' %s '%s'\n", text, walk->program, walk->title);
}

/* One run, noted; `run` has failed when it adds to walk->failures. */
static inline bool walk_run(struct walk *walk, struct plan plan, walk_run_fn *run, void *arg)
{
    unsigned failures = walk->failures;
    walk->plan = plan;
    bool fired = run(walk, arg);
    bool failed = walk->failures > failures;
    walk->again = failed && walk->used;
    if (walk->again) {
        walk->failures = failures;
        return fired;
    }
    walk->runs++;
    walk->fired += fired;
    if (failed)
        walk_tell(walk);
    return fired;
}

static inline void walk_only(struct walk *walk, walk_run_fn *run, void *arg)
{
    struct plan plan;
    walk->over = true;
    if (!plan_parse(walk->kinds, &plan, walk->only))
        dprintf(walk->tell, "# VIGIL_FAIL_ONLY=%s is no injection\n", walk->only);
    else if (walk_run(walk, plan, run, arg))
        return;
    else
        dprintf(walk->tell, "# %s did not come to pass\n", walk->only);
    walk->failures++;
}

/* Runs everything from where it stands on, or the one that is asked for.  `rest`, if given, is
 * asked behind each run; walk_in_children() goes on in another process when this one is spent. */
static inline void walk_all(struct walk *walk, walk_run_fn *run, enum walk_rest (*rest)(void),
                            void *arg)
{
    unsigned used = 0;
    if (walk->only != NULL)
        walk_only(walk, run, arg);
    while (!walk->over) {
        bool there = walk_is_there(walk);
        if (there && walk_is_chosen(walk)) {
            there = walk_run(walk, walk_plan(walk), run, arg);
            enum walk_rest left = rest != NULL ? rest() : WALK_CLEAN;
            used += left == WALK_USED;
            if (walk->again || left == WALK_SPENT || used > WALK_USED_MAX)
                return;
            walk->used = used > 0;
        }
        walk_on(walk, there);
    }
}

/* `runs` calls walk_all(), in one child after the other until all is done: one that crashes or
 * hangs is a failure like any other. */
static inline void walk_in_children(struct walk *walk, void (*runs)(struct walk *walk, void *arg),
                                    void *arg)
{
    while (!walk->over) {
        fflush(stdout);
        walk->used = walk->again = false;
        pid_t child = fork();
        if (child == 0) {
            runs(walk, arg);
            _exit(0);
        }
        int state = 0;
        while (child > 0 && waitpid(child, &state, 0) < 0 && errno == EINTR)
            continue;
        bool crashed = child < 0 || state != 0;
        if (walk->again || (crashed && walk->used))
            continue; /* with the same, in a process of its own */
        if (crashed) {
            dprintf(walk->tell, "# a run ended with 0x%x\n", (unsigned)state);
            walk->failures++;
            walk_tell(walk);
        }
        if (child < 0 || !walk->began)
            walk->over = true;
        else if (!walk->over)
            walk_on(walk, true);
    }
}

/* In words that scripts/run-tap adds up. */
static inline void walk_sum(const struct walk *walk)
{
    printf("# %s: %u runs, %u injections\n", walk->title, walk->runs, walk->fired);
}

/* Why what was tried proves nothing; NULL: something was made to fail. */
static inline const char *walk_for_nothing(const struct walk *walk)
{
    if (walk->fired > 0 || walk->failures > 0)
        return NULL;
    return walk->step == 1 ? "it makes no call that could fail" : "no injection of this share";
}

#endif
