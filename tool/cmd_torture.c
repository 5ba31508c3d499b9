/* SPDX-License-Identifier: MIT
 *
 * cmd_torture.c -- `vigil torture`: puts somebody's server through every hazard and tells a verdict
 * on each.  Reads what is asked for, runs the probes one after the other, and reports.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "torture/payload.h"
#include "torture/report.h"
#include "torture/torture.h"
#include "where.h"

struct settings {
    const char *mode;
    bool quick;
    bool thorough;
    bool list;
    const char *only;
    const char *skip;
    uint64_t pid;
    const char *signal;
    const char *json;
    const char *junit;
    bool owned;
    struct torture_limits limits; /* 0: by --quick and --thorough */
};

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
    const struct settings *settings;
    struct torture torture;
    struct report report;
    struct outcome *outcomes;
    FILE *json; /* or NULL */
    FILE *junit;
};

static int torture_run(const struct args *args);
static int usage_check(const struct args *args);
static bool names_check(const char *option, const char *list);
static void probes_list(void);
static int session_open(struct session *session, const struct args *args);
static int file_open(FILE **file, const char *option, const char *path);
static void limits_set(struct torture_limits *limits, const struct settings *settings);
static int target_open(struct session *session);
static int run_error(struct session *session, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));
static void probes_run(struct session *session);
static void progress(const struct session *session, const char *name);
static int session_end(struct session *session, int status);
static bool named(const char *list, const char *name);
static bool chosen(const struct settings *settings, const struct probe *probe);
static int signal_of(const char *name);
static const char *mode_name(size_t i);
static const char *signal_name(size_t i);
static void signals_catch(void);

static volatile int interrupted;

#define MEMBER(member) offsetof(struct settings, member)
static const struct args_option options[] = {
    { .name = "mode",
      .metavar = "NAME",
      .kind = ARGS_CHOICE,
      .offset = MEMBER(mode),
      .choice = mode_name,
      .fallback = "echo",
      .help = "what the server does" },
    { .name = "quick",
      .kind = ARGS_FLAG,
      .offset = MEMBER(quick),
      .help = "asks for less; under 10 s" },
    { .name = "thorough",
      .kind = ARGS_FLAG,
      .offset = MEMBER(thorough),
      .help = "asks for more, and takes minutes" },
    { .name = "list",
      .kind = ARGS_FLAG,
      .offset = MEMBER(list),
      .help = "tells what the probes do, and ends" },
    { .name = "only",
      .metavar = "PROBES",
      .kind = ARGS_STRING,
      .offset = MEMBER(only),
      .help = "runs these alone, as in half-close,order" },
    { .name = "skip",
      .metavar = "PROBES",
      .kind = ARGS_STRING,
      .offset = MEMBER(skip),
      .help = "leaves these out" },
    { .name = "pid",
      .metavar = "PID",
      .kind = ARGS_NUMBER,
      .min = 1,
      .max = INT32_MAX,
      .offset = MEMBER(pid),
      .help = "the server's process, to look at from outside" },
    { .name = "signal",
      .metavar = "NAME",
      .kind = ARGS_CHOICE,
      .offset = MEMBER(signal),
      .choice = signal_name,
      .help = "ends the server with it, last of all (needs --pid)" },
    { .name = "json",
      .metavar = "FILE",
      .kind = ARGS_STRING,
      .optional = true,
      .offset = MEMBER(json),
      .help = "a document for programs; alone, it takes the table's place" },
    { .name = "junit",
      .metavar = "FILE",
      .kind = ARGS_STRING,
      .offset = MEMBER(junit),
      .help = "XML for a CI" },
    { .name = "yes-i-own-it",
      .kind = ARGS_FLAG,
      .offset = MEMBER(owned),
      .help = "lets it out of this machine and private ranges" },
    { .name = "patience",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(limits.patience_ns),
      .fallback = "5s",
      .help = "what must happen may take so long without progress" },
    { .name = "quiet",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(limits.quiet_ns),
      .fallback = "2s",
      .help = "a server that took nothing for so long takes no more" },
    { .name = "appetite",
      .metavar = "SIZE",
      .kind = ARGS_SIZE,
      .min = 1,
      .max = 1ULL << 40,
      .offset = MEMBER(limits.appetite_bytes),
      .fallback = "64Mi",
      .help = "too much to take from a client that does not read" },
    { .name = "bytes",
      .metavar = "SIZE",
      .kind = ARGS_SIZE,
      .min = 1,
      .max = 1ULL << 40,
      .offset = MEMBER(limits.stream_bytes),
      .help = "of one long echo [8Mi; quick 2Mi, thorough 64Mi]" },
    { .name = "connections",
      .metavar = "N",
      .kind = ARGS_NUMBER,
      .min = 1,
      .max = 10000,
      .offset = MEMBER(limits.connections),
      .help = "in a crowd [1000; quick 200, thorough 4000]" },
    { .name = "idle",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(limits.idle_ns),
      .help = "a connection waits, or dribbles [3s; quick 500ms, thorough 30s]" },
    { .name = "leak-connections",
      .metavar = "N",
      .kind = ARGS_NUMBER,
      .min = 1,
      .max = 1000000,
      .offset = MEMBER(limits.leak_connections),
      .help = "until a leak shows [10k; quick 1k, thorough 50k]" },
    { .name = "leak-bytes",
      .metavar = "SIZE",
      .kind = ARGS_SIZE,
      .offset = MEMBER(limits.leak_bytes),
      .fallback = "64",
      .help = "of memory that may be kept for each of them" },
    { .name = "cpu",
      .metavar = "PERCENT",
      .kind = ARGS_NUMBER,
      .min = 1,
      .max = 100,
      .offset = MEMBER(limits.cpu_percent),
      .fallback = "20",
      .help = "of one CPU, for a server with nothing to do" },
    { .name = "rate",
      .metavar = "N",
      .kind = ARGS_NUMBER,
      .min = 1,
      .max = 1000000,
      .offset = MEMBER(limits.rate),
      .fallback = "10k",
      .help = "connections begun in a second, at most" },
    { .name = "seed",
      .metavar = "N",
      .kind = ARGS_NUMBER,
      .offset = MEMBER(limits.seed),
      .fallback = "1",
      .help = "of the sizes that are random" },
    { .name = NULL },
};
#undef MEMBER

const struct args_command command_torture = {
    .name = "torture",
    .summary = "tells a verdict per hazard on anybody's server",
    .operands = "WHERE",
    .examples = "  vigil torture localhost:7\n"
                "  vigil torture --quick --pid \"$(pidof myserver)\" unix:/run/myserver\n"
                "  vigil torture --json --junit torture.xml --mode lines localhost:7000\n",
    .notes =
        "Puts a server through what hostile networks and clients do, and prints PASS, FAIL or\n"
        "SKIP for each hazard, with what was seen.  WHERE is tcp://host:port, tcp://[::1]:port,\n"
        "unix:/path, unix:@abstract, or a bare host:port.  Exit status: 0 all passed, 4 some\n"
        "failed, 1 it could not run, 2 bad usage.",
    .options = options,
    .settings_size = sizeof(struct settings),
    .operands_min = 0, /* --list needs none */
    .operands_max = 1,
    .run = torture_run,
};

static int torture_run(const struct args *args)
{
    const struct settings *settings = args->settings;
    struct session session = { .settings = settings };
    int status = usage_check(args);
    if (status != EXIT_HELD)
        return status;
    if (settings->list) {
        probes_list();
        return EXIT_HELD;
    }
    status = session_open(&session, args);
    if (status == EXIT_HELD)
        status = target_open(&session);
    if (status == EXIT_HELD) {
        probes_run(&session);
        status = report_count(&session.report, VERDICT_FAIL) > 0 ? EXIT_MISSED : EXIT_HELD;
    }
    return session_end(&session, status);
}

static int usage_check(const struct args *args)
{
    const struct settings *settings = args->settings;
    const char *name = command_torture.name;
    if (!names_check("--only", settings->only) || !names_check("--skip", settings->skip))
        return EXIT_USAGE;
    if (settings->quick && settings->thorough) {
        args_complain(name, "--quick or --thorough, not both");
        return EXIT_USAGE;
    }
    if (settings->list)
        return EXIT_HELD;
    if (args->operand_count == 0) {
        args_complain(name, "usage: vigil torture [OPTION...] WHERE (see vigil torture --help)");
        return EXIT_USAGE;
    }
    if (!where_check_peer(name, args->operands[0]))
        return EXIT_USAGE;
    if (settings->signal && settings->pid == 0) {
        args_complain(name, "--signal %s: whose? (add --pid)", settings->signal);
        return EXIT_USAGE;
    }
    if (settings->json && settings->junit && strcmp(settings->json, "-") == 0 &&
        strcmp(settings->junit, "-") == 0) {
        args_complain(name, "--json and --junit both to stdout (try --json=FILE)");
        return EXIT_USAGE;
    }
    return EXIT_HELD;
}

/* Whether every name of a list with commas is a probe's. */
static bool names_check(const char *option, const char *list)
{
    for (const char *at = list; at && *at; at += *at == ',') {
        const size_t len = strcspn(at, ",");
        size_t i = 0;
        while (probes[i] && (strlen(probes[i]->name) != len || strncmp(probes[i]->name, at, len)))
            i++;
        if (!probes[i]) {
            char name[ARGS_QUOTED_MAX];
            char quoted[ARGS_QUOTED_MAX];
            (void)snprintf(name, sizeof name, "%.*s", len < 90 ? (int)len : 90, at);
            args_complain(command_torture.name, "%s: no probe %s (see vigil torture --list)",
                          option, args_quote(quoted, name));
            return false;
        }
        at += len;
    }
    return true;
}

static void probes_list(void)
{
    for (size_t i = 0; probes[i]; i++)
        (void)printf("%-20s %s\n%-20s passes: %s\n", probes[i]->name, probes[i]->hazard, "",
                     probes[i]->passes);
}

static int session_open(struct session *session, const struct args *args)
{
    const struct settings *settings = session->settings;
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
                                       .mode = settings->mode,
                                       .outcomes = session->outcomes,
                                       .began_s = (int64_t)time(NULL),
                                       .took_ns = torture_now() };
    limits_set(&t->limits, settings);
    t->interrupted = &interrupted;
    t->signal = settings->signal ? signal_of(settings->signal) : 0;
    while (strcmp(mode_name((size_t)t->mode), settings->mode) != 0)
        t->mode++;
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
    args_complain(command_torture.name, "%s: %s: %s", option, args_quote(quoted, path),
                  strerror(errno));
    return EXIT_USAGE;
}

static void limits_set(struct torture_limits *limits, const struct settings *settings)
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
    const struct settings *settings = session->settings;
    struct torture *t = &session->torture;
    struct finding pulse = { .verdict = VERDICT_NONE };
    struct rlimit files;
    int err = target_find(&t->target, session->report.where);
    if (err < 0)
        return run_error(session, "%s: %s", session->report.where, vigil_strerror(err));
    if (!target_private(&t->target) && !settings->owned) {
        args_complain(
            command_torture.name,
            "%s is neither on this machine nor private: add --yes-i-own-it if it is yours",
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
        return run_error(session, "%s: %s", t->target.text, pulse.seen);
    return EXIT_HELD;
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
    args_complain(command_torture.name, "%s", text);
    return EXIT_FAILED;
}

static void probes_run(struct session *session)
{
    struct report *report = &session->report;
    const char *gone = NULL; /* the probe behind which nobody is served any more */
    for (size_t i = 0; probes[i] && !interrupted; i++) {
        struct outcome *outcome = &session->outcomes[report->count];
        if (!chosen(session->settings, probes[i]))
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
            args_complain(command_torture.name, "the document could not be written: %s",
                          strerror(errno));
            status = EXIT_FAILED;
        }
    }
    free(session->outcomes);
    return interrupted ? EXIT_SIGNAL + interrupted : status;
}

static bool chosen(const struct settings *settings, const struct probe *probe)
{
    return (!settings->only || named(settings->only, probe->name)) &&
           (!settings->skip || !named(settings->skip, probe->name));
}

/* Whether a list with commas has that name in it. */
static bool named(const char *list, const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = list; *at; at += *at == ',') {
        const size_t word = strcspn(at, ",");
        if (word == len && strncmp(at, name, len) == 0)
            return true;
        at += word;
    }
    return false;
}

static const char *mode_name(size_t i)
{
    static const char *const names[] = { "echo", "lines", "discard", NULL };
    return names[i];
}

static const struct {
    const char *name;
    int number;
} signals[] = { { "TERM", SIGTERM }, { "INT", SIGINT },   { "HUP", SIGHUP }, { "QUIT", SIGQUIT },
                { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { NULL, 0 } };

static const char *signal_name(size_t i)
{
    return signals[i].name;
}

static int signal_of(const char *name)
{
    size_t i = 0;
    while (strcmp(signals[i].name, name) != 0) /* it is one of them */
        i++;
    return signals[i].number;
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
