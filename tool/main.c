/* SPDX-License-Identifier: MIT
 *
 * main.c -- the command `vigil`: finds the subcommand and runs it.
 *
 * On the public header alone, like everything in tool/: that proves the API is enough.
 */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "commands.h"
#include "platform.h"
#include "vigil.h"

static int dispatch(int argc, char **argv);
static int help_command(int argc, char **argv);
static void help_all(void);
static const struct args_command *command_find(const char *name);
static int command_unknown(const char *name);
static const char *command_name(const void *arg, size_t i);
static int stdout_flushed(int status);

static const struct args_command *const commands[] = {
    &command_serve,    &command_send,
#ifndef _WIN32
    &command_torture,
#endif
    &command_backends, NULL,
};

int main(int argc, char **argv)
{
    if (!platform_begin()) {
        args_complain(NULL, "a standard stream is closed, and /dev/null cannot take its place");
        return EXIT_FAILED;
    }
    return stdout_flushed(dispatch(argc, argv));
}

static int dispatch(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        (void)fputs("usage: vigil COMMAND [OPTION...] (try vigil --help)\n", stderr);
        return EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0) {
        help_all();
        return EXIT_HELD;
    }
    if (strcmp(word, "--version") == 0) {
        (void)printf("vigil %s\n", vigil_version());
        return EXIT_HELD;
    }
    if (strcmp(word, "help") == 0)
        return help_command(argc - 2, argv + 2);
    const struct args_command *command = command_find(word);
    return command ? args_run(command, argc - 2, argv + 2) : command_unknown(word);
}

/* vigil help [COMMAND] */
static int help_command(int argc, char **argv)
{
    if (argc == 0 || strcmp(argv[0], "--help") == 0) {
        help_all();
        return EXIT_HELD;
    }
    if (argc > 1) {
        args_complain("help", "takes one command, not %d", argc);
        return EXIT_USAGE;
    }
    const struct args_command *command = command_find(argv[0]);
    if (!command)
        return command_unknown(argv[0]);
    args_help(command);
    return EXIT_HELD;
}

static void help_all(void)
{
    (void)printf("Examples:\n"
                 "  vigil serve --transcript\n"
                 "  vigil send localhost:10000 'This is the message.'\n"
                 "  vigil help serve\n"
                 "\n"
                 "Usage: vigil COMMAND [OPTION...] [ARGUMENT...]\n"
                 "\n"
                 "Waits for I/O efficiently: an echo server, its clients, and what waits here.\n"
                 "\n"
                 "Commands:\n");
    for (size_t i = 0; commands[i]; i++)
        (void)printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    (void)printf("  %-10s %s\n", "help", "tells about one command");
    (void)printf(
        "\n"
        "  --help     prints this\n"
        "  --version  prints the version\n"
        "\n"
        "Exit status: 0 ran and all held, 1 failed at run time, 2 bad usage,\n"
        "3 a byte came back wrong, lost or doubled, 4 a probe failed, 130 or 143 at a second\n"
        "signal.\n");
}

static const struct args_command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static int command_unknown(const char *name)
{
    char quoted[ARGS_QUOTED_MAX];
    const char *kind = name[0] == '-' ? "option" : "command";
    const char *near = args_nearest(name, command_name, NULL);
    if (near)
        args_complain(NULL, "unknown %s %s (did you mean %s?)", kind, args_quote(quoted, name),
                      near);
    else
        args_complain(NULL, "unknown %s %s (try vigil --help)", kind, args_quote(quoted, name));
    return EXIT_USAGE;
}

/* The words that may stand first, for args_nearest(). */
static const char *command_name(const void *arg, size_t i)
{
    static const char *const others[] = { "help", "--help", "--version", NULL };
    const size_t count = sizeof commands / sizeof commands[0] - 1;
    (void)arg; /* there is one table only */
    return i < count ? commands[i]->name : others[i - count];
}

/* A result that could not be written (a full disk, a reader that left) is a failure. */
static int stdout_flushed(int status)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || status != EXIT_HELD)
        return status;
    args_complain(NULL, "the result could not be written to stdout");
    return EXIT_FAILED;
}
