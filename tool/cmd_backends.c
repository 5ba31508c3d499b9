/* SPDX-License-Identifier: MIT
 *
 * cmd_backends.c -- `vigil backends`: what is built in, what works on this machine, found by trying
 * it, and what each promises.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "platform.h"
#include "vigil.h"

#define FEATURES_MAX 32
#define EVENTS_MAX   32 /* "RDHUP,PRI,HUP,ERR" and some */
#define ROW_FORMAT   "%c %-8s %-5s %-8s %-4s %-5s %-17s %s%s\n"

static int backends_run(const struct args *args);
static int bad_asked(const char *command);
static void row(const char *name, const char *chosen);
static void features(const char *name);
static unsigned caps_of(const char *name);
static bool can_embed(const char *name);
static const char *told(unsigned caps, bool yes);
static void events_write(char out[EVENTS_MAX], unsigned caps);

static const struct args_option options[] = { { .name = NULL } };

const struct args_command command_backends = {
    .name = "backends",
    .summary = "tells what this machine can wait with, and what each promises",
    .operands = "",
    .examples = "  vigil backends\n"
                "  VIGIL_BACKEND=poll vigil backends\n",
    .notes = "One line for each way to wait that is built in, best first: whether it works here,\n"
             "found by trying it; level: it reports states; one-shot: a report disarms; edge:\n"
             "it can report changes instead of states; embed: its loops can stand inside a\n"
             "foreign loop; events: what it can report beside readable and writable.  The star\n"
             "marks the one that a loop takes when none is asked for; VIGIL_BACKEND in the\n"
             "environment asks.  Below, what io_uring can make use of, and whether this kernel\n"
             "has it, found by trying, too.",
    .options = options,
    .run = backends_run,
};

static int backends_run(const struct args *args)
{
    vigil_loop *loop = NULL;
    int err = vigil_loop_open(&loop, NULL);
    if (err == VIGIL_EINVAL)
        return bad_asked(args->command->name);
    const char *chosen = err == 0 ? vigil_loop_backend(loop) : ""; /* static: outlives it */
    vigil_loop_close(loop);
    (void)printf(ROW_FORMAT, ' ', "BACKEND", "LEVEL", "ONE-SHOT", "EDGE", "EMBED", "EVENTS",
                 "WORKS HERE", "");
    for (size_t i = 0; vigil_backend_name(i); i++)
        row(vigil_backend_name(i), chosen);
    for (size_t i = 0; vigil_backend_name(i); i++)
        features(vigil_backend_name(i));
    if (err == 0)
        return EXIT_HELD;
    args_complain(args->command->name, "none can be chosen: %s", vigil_strerror(err));
    return EXIT_FAILED;
}

/* The environment asked for one that there is not. */
static int bad_asked(const char *command)
{
    char quoted[ARGS_QUOTED_MAX];
    args_complain(command, "VIGIL_BACKEND: %s is no backend (try it without VIGIL_BACKEND)",
                  args_quote(quoted, getenv("VIGIL_BACKEND"))); /* nobody else asked */
    return EXIT_USAGE;
}

static void row(const char *name, const char *chosen)
{
    char events[EVENTS_MAX];
    int err = vigil_backend_try(name);
    const char *why = err < 0 ? platform_reason(err) : "";
    unsigned caps = err < 0 ? 0 : caps_of(name);
    events_write(events, caps);
    (void)printf(ROW_FORMAT, strcmp(name, chosen) == 0 ? '*' : ' ', name,
                 told(caps, (caps & VIGIL_IN) != 0), /* without a mode, IN reports the state */
                 told(caps, (caps & VIGIL_ONESHOT) != 0), told(caps, (caps & VIGIL_EDGE) != 0),
                 told(caps, can_embed(name)), events, err < 0 ? "no: " : "yes", why);
}

/* What it can make use of, and whether this kernel has it. */
static void features(const char *name)
{
    vigil_feature found[FEATURES_MAX];
    int count = vigil_backend_features(name, found, FEATURES_MAX);
    if (count <= 0)
        return;
    (void)printf("\n%s in this kernel:\n", name);
    for (int i = 0; i < count && i < FEATURES_MAX; i++)
        (void)printf("  %-20s %-3s  %s\n", found[i].name, found[i].found ? "yes" : "no",
                     found[i].what);
}

/* The events and modes it can report; 0 when it cannot be had. */
static unsigned caps_of(const char *name)
{
    vigil_poller *poller = NULL;
    if (vigil_poller_open(&poller, name) < 0)
        return 0;
    unsigned caps = vigil_poller_caps(poller);
    vigil_poller_close(poller);
    return caps;
}

static bool can_embed(const char *name)
{
    const vigil_loop_options loop_options = { .backend = name };
    vigil_loop *loop = NULL;
    if (vigil_loop_open(&loop, &loop_options) < 0)
        return false;
    bool embed = vigil_loop_fd(loop) >= 0;
    vigil_loop_close(loop);
    return embed;
}

/* Of one that cannot be had nothing is known. */
static const char *told(unsigned caps, bool yes)
{
    if (caps == 0)
        return "-";
    return yes ? "yes" : "no";
}

/* Those that not everyone can report, as one word. */
static void events_write(char out[EVENTS_MAX], unsigned caps)
{
    static const struct {
        unsigned event;
        const char *name;
    } events[] = {
        { VIGIL_RDHUP, "RDHUP" }, { VIGIL_PRI, "PRI" }, { VIGIL_HUP, "HUP" }, { VIGIL_ERR, "ERR" }
    };
    size_t len = 0;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if ((caps & events[i].event) != 0)
            len += (size_t)snprintf(out + len, EVENTS_MAX - len, "%s%s", len > 0 ? "," : "",
                                    events[i].name);
    }
    if (len == 0)
        (void)snprintf(out, EVENTS_MAX, "-");
}
