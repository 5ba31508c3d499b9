/* SPDX-License-Identifier: MIT
 *
 * report.h -- what a run came to, told in three ways: a table to a person, JSON to a program,
 * JUnit XML to a CI.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

#include "torture.h"

struct outcome {
    const struct probe *probe;
    struct finding finding;
};

struct report {
    const struct torture *torture;
    const char *const *argv; /* of the subcommand, NULL behind the last */
    const char *where;       /* as given */
    const char *mode;
    const char *error; /* why it could not run, or NULL */
    const struct outcome *outcomes;
    size_t count;
    int64_t began_s; /* seconds since 1970 */
    vigil_ns took_ns;
};

/* How many of the outcomes have that verdict. */
size_t report_count(const struct report *report, enum verdict verdict);

/* The table grows with the run: one line a probe, and the sum below it. */
void report_line(FILE *file, const struct outcome *outcome);
void report_sum(FILE *file, const struct report *report);

void report_json(FILE *file, const struct report *report);
void report_junit(FILE *file, const struct report *report);

#endif /* REPORT_H */
