/* SPDX-License-Identifier: MIT
 *
 * cmd_torture.c -- `vigil torture`: puts somebody's server through every hazard and tells a verdict
 * on each.  Here is what can be asked for; torture/session.c does it.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "torture/session.h"
#include "where.h"

static int torture_run(const struct args *args);
static int usage_check(const struct args *args);
static bool names_check(const char *option, const char *list);
static bool some_chosen(const struct session_settings *settings);
static void probes_list(void);
static const char *mode_name(size_t i);
static int signal_of(const char *name);
static const char *signal_name(size_t i);

#define MEMBER(member) offsetof(struct session_settings, member)
static const struct args_option options[] = {
    { .name = "mode",
      .metavar = "NAME",
      .kind = ARGS_CHOICE,
      .offset = MEMBER(mode_name),
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
      .offset = MEMBER(signal_name),
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
      .min = VIGIL_MS(100),
      .offset = MEMBER(limits.patience_ns),
      .fallback = "5s",
      .help = "what must happen may take so long without progress" },
    { .name = "quiet",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .min = VIGIL_MS(100),
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
      .min = VIGIL_MS(10),
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
    .settings_size = sizeof(struct session_settings),
    .operands_min = 0, /* --list needs none */
    .operands_max = 1,
    .run = torture_run,
};

static int torture_run(const struct args *args)
{
    struct session_settings *settings = args->settings;
    int status = usage_check(args);
    if (status != EXIT_HELD)
        return status;
    if (settings->list) {
        probes_list();
        return EXIT_HELD;
    }
    while (strcmp(mode_name((size_t)settings->mode), settings->mode_name) != 0)
        settings->mode++;
    settings->signal = settings->signal_name ? signal_of(settings->signal_name) : 0;
    return session_run(settings, args);
}

static int usage_check(const struct args *args)
{
    const struct session_settings *settings = args->settings;
    const char *name = command_torture.name;
    if (!names_check("--only", settings->only) || !names_check("--skip", settings->skip))
        return EXIT_USAGE;
    if (settings->quick && settings->thorough) {
        args_complain(name, "--quick or --thorough, not both");
        return EXIT_USAGE;
    }
    if (settings->list)
        return EXIT_HELD;
    if (!some_chosen(settings)) {
        args_complain(name, "--only and --skip leave no probe to run");
        return EXIT_USAGE;
    }
    if (args->operand_count == 0) {
        args_complain(name, "usage: vigil torture [OPTION...] WHERE (see vigil torture --help)");
        return EXIT_USAGE;
    }
    if (!where_check_peer(name, args->operands[0]))
        return EXIT_USAGE;
    if (settings->signal_name && settings->pid == 0) {
        args_complain(name, "--signal %s: whose? (add --pid)", settings->signal_name);
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
    size_t len = 0;
    for (const char *at = probe_name_next(&list, &len); at; at = probe_name_next(&list, &len)) {
        size_t i = 0;
        while (probes[i] && !probe_has_name(probes[i], at, len))
            i++;
        if (!probes[i]) {
            char name[ARGS_QUOTED_MAX];
            char quoted[ARGS_QUOTED_MAX];
            (void)snprintf(name, sizeof name, "%.*s", len < 90 ? (int)len : 90, at);
            args_complain(command_torture.name, "%s: no probe %s (see vigil torture --list)",
                          option, args_quote(quoted, name));
            return false;
        }
    }
    return true;
}

static bool some_chosen(const struct session_settings *settings)
{
    bool some = false;
    for (size_t i = 0; probes[i]; i++)
        some = some || session_chosen(settings, probes[i]);
    return some;
}

static void probes_list(void)
{
    for (size_t i = 0; probes[i]; i++)
        (void)printf("%-20s %s\n%-20s passes: %s\n", probes[i]->name, probes[i]->hazard, "",
                     probes[i]->passes);
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
