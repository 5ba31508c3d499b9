/* SPDX-License-Identifier: MIT
 *
 * report_junit.c -- JUnit XML, which CI systems read: one test case a probe.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "report.h"

static void text(FILE *file, const char *value);
static void outcome(FILE *file, const struct outcome *outcome);

void report_junit(FILE *file, const struct report *report)
{
    const size_t errors = report->error ? 1 : 0;
    (void)fprintf(file,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<testsuite name=\"vigil torture\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" "
                  "skipped=\"%zu\" time=\"%.3f\">\n",
                  report->count + errors, report_count(report, VERDICT_FAIL), errors,
                  report_count(report, VERDICT_SKIP), (double)report->took_ns / 1e9);
    if (report->error) {
        (void)fprintf(file,
                      "  <testcase name=\"run\" classname=\"torture\">\n    <error message=\"");
        text(file, report->error);
        (void)fprintf(file, "\"/>\n  </testcase>\n");
    }
    for (size_t i = 0; i < report->count; i++)
        outcome(file, &report->outcomes[i]);
    (void)fprintf(file, "</testsuite>\n");
}

static void outcome(FILE *file, const struct outcome *outcome)
{
    static const char *const elements[] = { "error", NULL, "failure", "skipped" };
    const struct finding *finding = &outcome->finding;
    const char *element = elements[finding->verdict];
    (void)fprintf(file, "  <testcase name=\"%s\" classname=\"torture\" time=\"%.3f\">\n",
                  outcome->probe->name, (double)finding->took_ns / 1e9);
    (void)fprintf(file, element ? "    <%s message=\"" : "    <system-out>", element);
    text(file, finding->seen);
    (void)fprintf(file, "%s\n  </testcase>\n", element ? "\"/>" : "</system-out>");
}

/* What XML 1.0 lets stand in an attribute; the rest is a question mark. */
static void text(FILE *file, const char *value)
{
    for (const char *c = value; *c; c++) {
        if (*c == '&')
            (void)fputs("&amp;", file);
        else if (*c == '<')
            (void)fputs("&lt;", file);
        else if (*c == '"')
            (void)fputs("&quot;", file);
        else
            (void)putc(*c >= ' ' && *c < 0x7f ? *c : '?', file);
    }
}
