/* SPDX-License-Identifier: MIT
 *
 * report_table.c -- the table: one line a probe as soon as it is through, and the sum.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "report.h"

static const char *const verdicts[] = { "?", "PASS", "FAIL", "SKIP" };

size_t report_count(const struct report *report, enum verdict verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += report->outcomes[i].finding.verdict == verdict;
    return count;
}

void report_line(FILE *file, const struct outcome *outcome)
{
    const struct probe *probe = outcome->probe;
    const struct finding *finding = &outcome->finding;
    char took[SHOWN_MAX];
    (void)fprintf(file, "%s  %-20s %s (%s)\n", verdicts[finding->verdict], probe->name,
                  finding->seen, show_time(took, finding->took_ns));
    if (finding->verdict == VERDICT_FAIL)
        (void)fprintf(file, "      %-20s the hazard: %s\n      %-20s a server that is right: %s\n",
                      "", probe->hazard, "", probe->passes);
    (void)fflush(file);
}

void report_sum(FILE *file, const struct report *report)
{
    char took[SHOWN_MAX];
    (void)fprintf(file, "%zu passed, %zu failed, %zu skipped in %s\n",
                  report_count(report, VERDICT_PASS), report_count(report, VERDICT_FAIL),
                  report_count(report, VERDICT_SKIP), show_time(took, report->took_ns));
}
