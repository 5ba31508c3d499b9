/* SPDX-License-Identifier: MIT
 *
 * report_json.c -- one document with the whole run in it: what was asked, on what machine, with
 * which limits, and what each probe found.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

#include "report.h"

#define SCHEMA_VERSION 1

static void text(FILE *file, const char *value);
static void limits(FILE *file, const struct torture_limits *limits);
static void outcome(FILE *file, const struct outcome *outcome);

void report_json(FILE *file, const struct report *report)
{
    struct utsname machine = { .sysname = "" };
    (void)uname(&machine); /* cannot fail */
    (void)fprintf(file,
                  "{\n  \"schema_version\": %d,\n  \"command\": \"torture\",\n  \"version\": ",
                  SCHEMA_VERSION);
    text(file, vigil_version());
    (void)fprintf(file, ",\n  \"argv\": [");
    for (size_t i = 0; report->argv[i]; i++) {
        (void)fputs(i > 0 ? ", " : "", file);
        text(file, report->argv[i]);
    }
    (void)fprintf(file, "],\n  \"kernel\": ");
    text(file, machine.release);
    (void)fprintf(file, ",\n  \"where\": ");
    text(file, report->where);
    (void)fprintf(file, ",\n  \"address\": ");
    text(file, report->torture->target.text);
    (void)fprintf(file, ",\n  \"mode\": ");
    text(file, report->mode);
    (void)fprintf(file,
                  ",\n  \"pid\": %d,\n  \"signal\": %d,\n  \"began_unix_s\": %" PRId64
                  ",\n  \"took_ns\": %" PRId64 ",\n",
                  (int)report->torture->process.pid, report->torture->signal, report->began_s,
                  report->took_ns);
    limits(file, &report->torture->limits);
    if (report->error) {
        (void)fprintf(file, "  \"error\": ");
        text(file, report->error);
        (void)fprintf(file, ",\n");
    }
    (void)fprintf(file, "  \"passed\": %zu,\n  \"failed\": %zu,\n  \"skipped\": %zu,\n",
                  report_count(report, VERDICT_PASS), report_count(report, VERDICT_FAIL),
                  report_count(report, VERDICT_SKIP));
    (void)fprintf(file, "  \"probes\": [");
    for (size_t i = 0; i < report->count; i++) {
        (void)fputs(i > 0 ? ",\n    " : "\n    ", file);
        outcome(file, &report->outcomes[i]);
    }
    (void)fprintf(file, "\n  ]\n}\n");
}

static void limits(FILE *file, const struct torture_limits *limits)
{
    (void)fprintf(file,
                  "  \"limits\": { \"patience_ns\": %" PRId64 ", \"quiet_ns\": %" PRId64
                  ", \"idle_ns\": %" PRId64 ", \"appetite_bytes\": %" PRIu64
                  ", \"stream_bytes\": %" PRIu64 ", \"connections\": %" PRIu64
                  ", \"leak_connections\": %" PRIu64 ", \"leak_bytes\": %" PRIu64
                  ", \"cpu_percent\": %" PRIu64 ", \"rate_per_s\": %" PRIu64 ", \"seed\": %" PRIu64
                  " },\n",
                  limits->patience_ns, limits->quiet_ns, limits->idle_ns, limits->appetite_bytes,
                  limits->stream_bytes, limits->connections, limits->leak_connections,
                  limits->leak_bytes, limits->cpu_percent, limits->rate, limits->seed);
}

static void outcome(FILE *file, const struct outcome *outcome)
{
    static const char *const verdicts[] = { "none", "pass", "fail", "skip" };
    const struct finding *finding = &outcome->finding;
    (void)fprintf(file, "{ \"name\": \"%s\", \"verdict\": \"%s\", \"seen\": ", outcome->probe->name,
                  verdicts[finding->verdict]);
    text(file, finding->seen);
    (void)fprintf(file, ", \"took_ns\": %" PRId64 ", \"measured\": {", finding->took_ns);
    for (size_t i = 0; i < finding->measure_count; i++)
        (void)fprintf(file, "%s \"%s\": %" PRId64, i > 0 ? "," : "", finding->measures[i].name,
                      finding->measures[i].value);
    (void)fprintf(file, " } }");
}

/* A string of RFC 8259, which must be UTF-8: what is no ASCII is a question mark. */
static void text(FILE *file, const char *value)
{
    (void)putc('"', file);
    for (const char *c = value; *c; c++) {
        if (*c == '"' || *c == '\\')
            (void)fprintf(file, "\\%c", *c);
        else if ((unsigned char)*c < ' ')
            (void)fprintf(file, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            (void)putc((unsigned char)*c < 0x7f ? *c : '?', file);
    }
    (void)putc('"', file);
}
