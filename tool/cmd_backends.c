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
#include "vigil.h"

static int backends_run(const struct args *args);
static int none_chosen(const char *command, int err);
static void row(const char *name, const char *chosen);
static bool has_edge(const char *name);
static bool can_embed(const char *name);
static const char *yes_or_no(bool yes);

static const struct args_option options[] = { { .name = NULL } };

const struct args_command command_backends = {
    .name = "backends",
    .summary = "tells what this machine can wait with, and what each promises",
    .operands = "",
    .examples = "  vigil backends\n"
                "  VIGIL_BACKEND=poll vigil backends\n",
    .notes = "One line for each way to wait that is built in, best first: whether it works here,\n"
             "found by trying it; edge: it can report changes instead of states; embed: its\n"
             "loops can stand inside a foreign loop.  The star marks the one that is taken when\n"
             "none is asked for; VIGIL_BACKEND in the environment asks.",
    .options = options,
    .run = backends_run,
};

static int backends_run(const struct args *args)
{
    vigil_poller *poller = NULL;
    int err = vigil_poller_open(&poller, NULL);
    if (err < 0)
        return none_chosen(args->command->name, err);
    const char *chosen = vigil_poller_backend(poller); /* static storage: outlives the poller */
    vigil_poller_close(poller);
    (void)printf("  %-10s %-5s %-5s %s\n", "BACKEND", "EDGE", "EMBED", "WORKS HERE");
    for (size_t i = 0; vigil_backend_name(i); i++)
        row(vigil_backend_name(i), chosen);
    return EXIT_HELD;
}

/* The environment asked for one that cannot be had, or nothing works at all. */
static int none_chosen(const char *command, int err)
{
    char quoted[ARGS_QUOTED_MAX];
    const char *asked = getenv("VIGIL_BACKEND");
    if (err == VIGIL_EINVAL && asked) {
        args_complain(command, "VIGIL_BACKEND: %s is no backend (try it without VIGIL_BACKEND)",
                      args_quote(quoted, asked));
        return EXIT_USAGE;
    }
    args_complain(command, "none can be chosen: %s", vigil_strerror(err));
    return EXIT_FAILED;
}

static void row(const char *name, const char *chosen)
{
    int err = vigil_backend_try(name);
    (void)printf("%c %-10s %-5s %-5s %s%s\n", strcmp(name, chosen) == 0 ? '*' : ' ', name,
                 err < 0 ? "-" : yes_or_no(has_edge(name)),
                 err < 0 ? "-" : yes_or_no(can_embed(name)), err < 0 ? "no: " : "yes",
                 err < 0 ? vigil_strerror(err) : "");
}

static bool has_edge(const char *name)
{
    vigil_poller *poller = NULL;
    if (vigil_poller_open(&poller, name) < 0)
        return false;
    bool edge = (vigil_poller_caps(poller) & VIGIL_EDGE) != 0;
    vigil_poller_close(poller);
    return edge;
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

static const char *yes_or_no(bool yes)
{
    return yes ? "yes" : "no";
}
