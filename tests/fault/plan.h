/* SPDX-License-Identifier: MIT
 *
 * plan.h -- what is to fail: the n-th call of a kind, once or from then on, with one of the errors
 * that such a call may fail with; in words "CALL:ERROR:once:N" or "CALL:ERROR:ever:N".
 */
#ifndef FAULT_PLAN_H
#define FAULT_PLAN_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PLAN_ERRORS_MAX = 3, PLAN_TEXT_MAX = 80 };

/* A kind of call. */
struct plan_kind {
    const char *name;
    int errors[PLAN_ERRORS_MAX]; /* 0 behind the last */
};

/* All that can fail: below the library, or in a world. */
struct plan_kinds {
    const struct plan_kind *kinds;
    unsigned count;
    const char *(*error_name)(int error);
    bool (*may_stay)(unsigned call, int error); /* whether it can stay so for ever */
};

struct plan {
    bool on; /* else nothing shall fail */
    unsigned call;
    int error;
    bool ever; /* from the n-th on; else the n-th alone */
    unsigned nth;
};

static inline void plan_format(const struct plan_kinds *all, const struct plan *plan,
                               char text[PLAN_TEXT_MAX])
{
    if (plan->on)
        snprintf(text, PLAN_TEXT_MAX, "%s:%s:%s:%u", all->kinds[plan->call].name,
                 all->error_name(plan->error), plan->ever ? "ever" : "once", plan->nth);
    else
        snprintf(text, PLAN_TEXT_MAX, "nothing");
}

/* False: it is none. */
static inline bool plan_parse(const struct plan_kinds *all, struct plan *out, const char *text)
{
    char call[32], error[32], mode[8];
    struct plan plan = { .on = true };
    if (sscanf(text, "%31[^:]:%31[^:]:%7[^:]:%u", call, error, mode, &plan.nth) != 4)
        return false;
    plan.ever = strcmp(mode, "ever") == 0;
    for (; plan.call < all->count; plan.call++) {
        const struct plan_kind *kind = &all->kinds[plan.call];
        for (int i = 0; i < PLAN_ERRORS_MAX && kind->errors[i] != 0; i++) {
            plan.error = kind->errors[i];
            if (strcmp(kind->name, call) == 0 && strcmp(all->error_name(plan.error), error) == 0) {
                *out = plan;
                return plan.nth > 0;
            }
        }
    }
    return false;
}

#endif
