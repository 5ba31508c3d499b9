/* SPDX-License-Identifier: MIT
 *
 * session.c -- one run: everything that can be wrong is found out before the first probe, then one
 * probe follows the other, and the documents are written however it ended.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "listener.h"
#include "payload.h"
#include "report.h"

#define NAME "torture"

/* What --quick, neither, and --thorough ask for where nothing else is said. */
struct pace {
    vigil_ns idle_ns;
    uint64_t stream_bytes;
    uint64_t connections;
    uint64_t leak_connections;
};
static const struct pace paces[] = {
    { VIGIL_MS(500), 2 << 20, 200, 1000 },
    { VIGIL_S(3), 8 << 20, 1000, 10000 },
    { VIGIL_S(30), 64 << 20, 4000, 50000 },
};

/* One run. */
struct session {
    const struct session_settings *settings;
    struct torture torture;
    struct report report;
    struct outcome *outcomes;
    FILE *json; /* or NULL */
    FILE *junit;
};

static int session_open(struct session *session, const struct args *args);
static int file_open(FILE **file, const char *option, const char *path);
static void limits_set(struct torture_limits *limits, const struct session_settings *settings);
static int target_open(struct session *session);
static const char *mode_tell(enum torture_mode mode);
static int run_error(struct session *session, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));
static void probes_run(struct session *session);
static void progress(const struct session *session, const char *name);
static int session_end(struct session *session, int status);
static bool named(const char *list, const struct probe *probe);
static void signals_catch(void);

static volatile int interrupted;

int session_run(const struct session_settings *settings, const struct args *args)
{
    struct session session = { .settings = settings };
    int status = session_open(&session, args);
    if (status == EXIT_HELD)
        status = target_open(&session);
    if (status == EXIT_HELD) {
        probes_run(&session);
        status = report_count(&session.report, VERDICT_FAIL) > 0 ? EXIT_MISSED : EXIT_HELD;
    }
    return session_end(&session, status);
}

bool session_chosen(const struct session_settings *settings, const struct probe *probe)
{
    return (!settings->only || named(settings->only, probe)) &&
           (!settings->skip || !named(settings->skip, probe));
}

static int session_open(struct session *session, const struct args *args)
{
    const struct session_settings *settings = session->settings;
    struct torture *t = &session->torture;
    size_t count = 0;
    int status = file_open(&session->json, "--json", settings->json);
    if (status == EXIT_HELD)
        status = file_open(&session->junit, "--junit", settings->junit);
    if (status != EXIT_HELD)
        return status;
    while (probes[count])
        count++;
    session->outcomes = calloc(count, sizeof *session->outcomes);
    session->report = (struct report){ .torture = t,
                                       .argv = args->words,
                                       .where = args->operands[0],
                                       .mode = settings->mode_name,
                                       .outcomes = session->outcomes,
                                       .began_s = (int64_t)time(NULL),
                                       .took_ns = torture_now() };
    limits_set(&t->limits, settings);
    t->interrupted = &interrupted;
    t->signal = settings->signal;
    t->mode = settings->mode;
    return session->outcomes ? EXIT_HELD : run_error(session, "no memory");
}

/* "-" is stdout.  Opened before anything is begun, so that a bad path costs nothing. */
static int file_open(FILE **file, const char *option, const char *path)
{
    char quoted[ARGS_QUOTED_MAX];
    if (!path)
        return EXIT_HELD;
    *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (*file)
        return EXIT_HELD;
    args_complain(NAME, "%s: %s: %s", option, args_quote(quoted, path), strerror(errno));
    return EXIT_USAGE;
}

static void limits_set(struct torture_limits *limits, const struct session_settings *settings)
{
    const struct pace *pace = &paces[settings->quick ? 0 : settings->thorough ? 2 : 1];
    *limits = settings->limits;
    if (limits->idle_ns == 0)
        limits->idle_ns = pace->idle_ns;
    if (limits->stream_bytes == 0)
        limits->stream_bytes = pace->stream_bytes;
    if (limits->connections == 0)
        limits->connections = pace->connections;
    if (limits->leak_connections == 0)
        limits->leak_connections = pace->leak_connections;
    /* Whole lines, which every mode sends back. */
    limits->stream_bytes = payload_lines(limits->stream_bytes);
}

/* Everything that must be so before the first probe. */
static int target_open(struct session *session)
{
    const struct session_settings *settings = session->settings;
    struct torture *t = &session->torture;
    struct finding pulse = { .verdict = VERDICT_NONE };
    struct rlimit files;
    int err = target_find(&t->target, session->report.where, settings->owned);
    if (err < 0)
        return run_error(session, "%s: %s", session->report.where, vigil_strerror(err));
    if (err == TARGET_PUBLIC) {
        args_complain(
            NAME, "%s is neither on this machine nor private: add --yes-i-own-it if it is yours",
            t->target.text);
        return EXIT_USAGE;
    }
    const char *fault = settings->pid ? process_look(&t->process, settings->pid) : NULL;
    if (fault)
        return run_error(session, "--pid %llu: %s", (unsigned long long)settings->pid, fault);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* a crowd needs more than the usual 1,024 */
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    payload_make(t->mode);
    signals_catch();
    t->finding = &pulse;
    if (!torture_pulse(t) && !interrupted)
        return run_error(session, "%s: %s%s", t->target.text, pulse.seen,
                         t->target.answers ? mode_tell(t->mode) : "");
    fault = settings->pid && !interrupted ? listener_look(&t->process, &t->target) : NULL;
    if (fault)
        return run_error(session, "%s, --pid %llu: %s", t->target.text,
                         (unsigned long long)settings->pid, fault);
    return EXIT_HELD;
}

/* One that answers otherwise is no server for this mode. */
static const char *mode_tell(enum torture_mode mode)
{
    switch (mode) {
    case MODE_ECHO:
        return " (for --mode echo it has to send back every byte, and nothing else)";
    case MODE_LINES:
        return " (for --mode lines it has to send back every line, and nothing else)";
    default:
        return " (for --mode discard it has to end a connection when its client has)";
    }
}

/* Complains, and keeps it for the documents. */
static int run_error(struct session *session, const char *format, ...)
{
    static char text[SEEN_MAX * 3];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    session->report.error = text;
    args_complain(NAME, "%s", text);
    return EXIT_FAILED;
}

static void probes_run(struct session *session)
{
    struct report *report = &session->report;
    const char *gone = NULL; /* the probe behind which nobody is served any more */
    for (size_t i = 0; probes[i] && !interrupted; i++) {
        struct outcome *outcome = &session->outcomes[report->count];
        if (!session_chosen(session->settings, probes[i]))
            continue;
        outcome->probe = probes[i];
        progress(session, probes[i]->name);
        if (gone) {
            outcome->finding.verdict = VERDICT_SKIP;
            (void)snprintf(outcome->finding.seen, SEEN_MAX, "nobody is served since %s", gone);
        } else if (!torture_probe(&session->torture, probes[i], &outcome->finding)) {
            gone = probes[i]->name;
        }
        progress(session, NULL);
        report->count++;
        if (session->json != stdout && session->junit != stdout)
            report_line(stdout, outcome);
    }
}

/* One line on a terminal that says what is under way; NULL wipes it away. */
static void progress(const struct session *session, const char *name)
{
    if (!isatty(STDERR_FILENO))
        return;
    if (name)
        (void)fprintf(stderr, "\r\033[K%zu: %s ...", session->report.count + 1, name);
    else
        (void)fprintf(stderr, "\r\033[K");
    (void)fflush(stderr);
}

/* The documents are written on failure, too, with the error in them. */
static int session_end(struct session *session, int status)
{
    struct report *report = &session->report;
    FILE *const files[] = { session->json, session->junit };
    report->took_ns = torture_now() - report->took_ns;
    if (report->count > 0 && session->json != stdout && session->junit != stdout)
        report_sum(stdout, report);
    if (session->json && status != EXIT_USAGE)
        report_json(session->json, report);
    if (session->junit && status != EXIT_USAGE)
        report_junit(session->junit, report);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i] && files[i] != stdout && (ferror(files[i]) || fclose(files[i]) != 0)) {
            args_complain(NAME, "the document could not be written: %s", strerror(errno));
            status = EXIT_FAILED;
        }
    }
    free(session->outcomes);
    return interrupted ? EXIT_SIGNAL + interrupted : status;
}

/* Whether a list with commas has it. */
static bool named(const char *list, const struct probe *probe)
{
    size_t len = 0;
    for (const char *at = probe_name_next(&list, &len); at; at = probe_name_next(&list, &len)) {
        if (probe_has_name(probe, at, len))
            return true;
    }
    return false;
}

/* The first one ends the run after what is under way was undone; the second one ends it at once. */
static void interrupt(int signo)
{
    interrupted = signo;
}

static void signals_catch(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct sigaction action = { .sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND };
        (void)sigaction(numbers[i], &action, NULL); /* cannot fail for these */
    }
}
