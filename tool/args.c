/* SPDX-License-Identifier: MIT
 *
 * args.c -- parses a subcommand's command line by its table of options: GNU long options, then the
 * environment for what was not given, then the defaults.  Bad input is one line and EXIT_USAGE,
 * before anything was begun.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "args.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX  32 /* of one subcommand; a table that is longer does not parse */
#define NAME_MAX_LEN 48 /* "VIGIL_MAX_CONNECTIONS" and its like */

/* Where a parse stands. */
struct parse {
    struct args *args;
    bool given[OPTIONS_MAX]; /* on the command line */
    bool help;
};

static int words_parse(struct parse *parse, int argc, char **argv);
static int option_parse(struct parse *parse, char **argv, int *taken);
static int option_unknown(const struct args_command *command, const char *word, size_t len);
static const struct args_option *option_find(const struct args_command *command, const char *name,
                                             size_t len);
static int rest_fill(struct parse *parse);
static int flag_environment(const struct args *args, const struct args_option *option,
                            const char *source, const char *text);
static int option_store(const struct args *args, const struct args_option *option,
                        const char *source, const char *text);
static const char *value_read(const struct args_option *option, const char *text, void *member);
static const char *duration_read(const struct args_option *option, const char *text, int64_t *out);
static const char *count_read(const struct args_option *option, const char *text, uint64_t *out);
static const char *choice_read(const struct args_option *option, const char *text,
                               const char **out);
static int operands_check(const struct args *args);
static void environment_name(char out[NAME_MAX_LEN], const char *option);
static void option_help(const struct args_option *option);
static const char *option_name(const void *arg, size_t i);

int args_run(const struct args_command *command, int argc, char **argv)
{
    struct args args = { .command = command, .words = (const char *const *)argv };
    struct parse parse = { .args = &args };
    int status = EXIT_FAILED;
    args.settings = calloc(1, command->settings_size + 1); /* + 1: some have no options */
    args.operands = calloc((size_t)argc + 1, sizeof *args.operands);
    if (!args.settings || !args.operands) {
        args_complain(command->name, "out of memory");
        goto done;
    }
    status = words_parse(&parse, argc, argv);
    if (status == EXIT_HELD && parse.help) {
        args_help(command);
        goto done;
    }
    if (status == EXIT_HELD)
        status = rest_fill(&parse);
    if (status == EXIT_HELD)
        status = operands_check(&args);
    if (status == EXIT_HELD)
        status = command->run(&args);
done:
    free(args.operands);
    free(args.settings);
    return status;
}

void args_help(const struct args_command *command)
{
    const struct args_option help = { .name = "help", .kind = ARGS_FLAG, .help = "prints this" };
    (void)printf("Examples:\n%s\nUsage: vigil %s%s%s%s\n\n%s\n", command->examples, command->name,
                 command->options->name ? " [OPTION...]" : "", *command->operands ? " " : "",
                 command->operands, command->notes);
    (void)printf("\nOptions:\n");
    for (const struct args_option *option = command->options; option->name; option++)
        option_help(option);
    option_help(&help);
    if (!command->options->name)
        return;
    char variable[NAME_MAX_LEN];
    environment_name(variable, command->options->name);
    (void)printf("\nSizes and numbers take k M G (1000^n) and Ki Mi Gi (1024^n); durations need\n"
                 "one of ns us ms s m h.  Every option is also read from the environment, like\n"
                 "%s=%s.\n",
                 variable, command->options->metavar);
}

void args_complain(const char *name, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    (void)fprintf(stderr, "vigil%s%s: ", name ? " " : "", name ? name : "");
    (void)vfprintf(stderr, format, values); /* nobody is left to tell when stderr is gone */
    (void)putc('\n', stderr);
    va_end(values);
}

const char *args_quote(char out[ARGS_QUOTED_MAX], const char *text)
{
    const size_t room = ARGS_QUOTED_MAX - sizeof "\\x00...\"";
    size_t len = 0;
    out[len++] = '"';
    for (; *text && len < room; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= ' ' && byte != 0x7f)
            out[len++] = (char)byte;
        else
            len += (size_t)snprintf(out + len, 5, "\\x%02x", (unsigned)byte);
    }
    (void)snprintf(out + len, ARGS_QUOTED_MAX - len, "%s\"", *text ? "..." : ""); /* fits */
    return out;
}

/* Every word that begins with "--" is an option until "--" alone; the others are operands. */
static int words_parse(struct parse *parse, int argc, char **argv)
{
    struct args *args = parse->args;
    bool options_ended = false;
    for (int i = 0; i < argc && !parse->help; i++) {
        if (options_ended || argv[i][0] != '-' || argv[i][1] == '\0') {
            args->operands[args->operand_count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            options_ended = true;
        } else {
            int taken = 0;
            int status = option_parse(parse, argv + i, &taken);
            if (status != EXIT_HELD)
                return status;
            i += taken;
        }
    }
    return EXIT_HELD;
}

/* --option, --option=VALUE or --option VALUE; `taken` is 1 when the next word was the value. */
static int option_parse(struct parse *parse, char **argv, int *taken)
{
    const struct args_command *command = parse->args->command;
    const char *word = argv[0] + 2;
    size_t len = strcspn(word, "=");
    const char *value = word[len] == '=' ? word + len + 1 : NULL;
    if (argv[0][1] == '-' && strcmp(word, "help") == 0) {
        parse->help = true;
        return EXIT_HELD;
    }
    const struct args_option *option = argv[0][1] == '-' ? option_find(command, word, len) : NULL;
    if (!option)
        return option_unknown(command, argv[0], strcspn(argv[0], "="));
    parse->given[option - command->options] = true;
    if (option->kind == ARGS_FLAG && value) {
        args_complain(command->name, "--%s: takes no value (--%s is enough)", option->name,
                      option->name);
        return EXIT_USAGE;
    }
    if (option->optional && !value)
        value = "-";
    if (option->kind != ARGS_FLAG && !value) {
        value = argv[1];
        *taken = 1;
    }
    char source[NAME_MAX_LEN];
    (void)snprintf(source, sizeof source, "--%s", option->name);
    if (option->kind != ARGS_FLAG && !value) {
        args_complain(command->name, "%s: its %s is missing (see vigil %s --help)", source,
                      option->metavar, command->name);
        return EXIT_USAGE;
    }
    return option_store(parse->args, option, source, value);
}

static int option_unknown(const struct args_command *command, const char *word, size_t len)
{
    char name[ARGS_QUOTED_MAX];
    char quoted[ARGS_QUOTED_MAX];
    (void)snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1),
                   word);
    const char *bare = name + strspn(name, "-");
    const char *near = args_nearest(bare, option_name, command->options);
    if (near)
        args_complain(command->name, "unknown option %s (did you mean --%s?)",
                      args_quote(quoted, name), near);
    else
        args_complain(command->name, "unknown option %s (see vigil %s --help)",
                      args_quote(quoted, name), command->name);
    return EXIT_USAGE;
}

static const struct args_option *option_find(const struct args_command *command, const char *name,
                                             size_t len)
{
    const struct args_option *option = command->options;
    for (size_t i = 0; option->name && i < OPTIONS_MAX; option++, i++) {
        if (strlen(option->name) == len && strncmp(option->name, name, len) == 0)
            return option;
    }
    return NULL;
}

/* What the command line left open comes from the environment, else from the table. */
static int rest_fill(struct parse *parse)
{
    const struct args_option *option = parse->args->command->options;
    for (size_t i = 0; option->name && i < OPTIONS_MAX; option++, i++) {
        char variable[NAME_MAX_LEN];
        environment_name(variable, option->name);
        const char *text = getenv(variable);
        int status = EXIT_HELD;
        if (parse->given[i])
            continue;
        if (text && *text && option->kind == ARGS_FLAG)
            status = flag_environment(parse->args, option, variable, text);
        else if (text && *text)
            status = option_store(parse->args, option, variable, text);
        else if (option->fallback)
            status = option_store(parse->args, option, option->name, option->fallback);
        if (status != EXIT_HELD)
            return status;
    }
    return EXIT_HELD;
}

static int flag_environment(const struct args *args, const struct args_option *option,
                            const char *source, const char *text)
{
    char quoted[ARGS_QUOTED_MAX];
    if (strcmp(text, "0") == 0)
        return EXIT_HELD;
    if (strcmp(text, "1") == 0)
        return option_store(args, option, source, text);
    args_complain(args->command->name, "%s: %s is neither 1 nor 0 (try 1)", source,
                  args_quote(quoted, text));
    return EXIT_USAGE;
}

/* Reads `text` into the option's member of the settings; `source` names who said it. */
static int option_store(const struct args *args, const struct args_option *option,
                        const char *source, const char *text)
{
    char quoted[ARGS_QUOTED_MAX];
    const char *wrong = value_read(option, text, (char *)args->settings + option->offset);
    if (!wrong)
        return EXIT_HELD;
    args_complain(args->command->name, "%s: %s %s", source, args_quote(quoted, text), wrong);
    return EXIT_USAGE;
}

static const char *value_read(const struct args_option *option, const char *text, void *member)
{
    switch (option->kind) {
    case ARGS_FLAG:
        *(bool *)member = true;
        return NULL;
    case ARGS_STRING:
        *(const char **)member = text;
        return NULL;
    case ARGS_CHOICE:
        return choice_read(option, text, member);
    case ARGS_DURATION:
        return duration_read(option, text, member);
    case ARGS_NUMBER:
    case ARGS_SIZE:
        return count_read(option, text, member);
    }
    return "is of no known kind";
}

/* The text stays until the next complaint, which is the only one. */
static const char *duration_read(const struct args_option *option, const char *text, int64_t *out)
{
    static char wrong[64];
    const char *plain = args_read_duration(text, out);
    if (plain || *out >= (int64_t)option->min)
        return plain;
    (void)snprintf(wrong, sizeof wrong, "is too short (at least %" PRIu64 "ms)",
                   option->min / 1000000);
    return wrong;
}

static const char *count_read(const struct args_option *option, const char *text, uint64_t *out)
{
    static char wrong[64];
    const char *plain = option->kind == ARGS_SIZE ? args_read_size(text, out)
                                                  : args_read_number(text, out);
    if (plain)
        return plain;
    if (*out < option->min)
        (void)snprintf(wrong, sizeof wrong, "is too small (at least %" PRIu64 ")", option->min);
    else if (option->max > 0 && *out > option->max)
        (void)snprintf(wrong, sizeof wrong, "is too large (at most %" PRIu64 ")", option->max);
    else
        return NULL;
    return wrong;
}

static const char *choice_read(const struct args_option *option, const char *text, const char **out)
{
    static char wrong[256];
    size_t len = (size_t)snprintf(wrong, sizeof wrong, "is not one of");
    for (size_t i = 0; option->choice(i) && len < sizeof wrong; i++) {
        *out = option->choice(i);
        if (strcmp(*out, text) == 0)
            return NULL;
        len += (size_t)snprintf(wrong + len, sizeof wrong - len, "%s %s", i ? "," : "", *out);
    }
    return wrong;
}

static int operands_check(const struct args *args)
{
    const struct args_command *command = args->command;
    char quoted[ARGS_QUOTED_MAX];
    if (args->operand_count < command->operands_min) {
        args_complain(command->name, "usage: vigil %s [OPTION...] %s (see vigil %s --help)",
                      command->name, command->operands, command->name);
        return EXIT_USAGE;
    }
    if (args->operand_count > command->operands_max) {
        args_complain(command->name, "%s is one argument too many (see vigil %s --help)",
                      args_quote(quoted, args->operands[command->operands_max]), command->name);
        return EXIT_USAGE;
    }
    return EXIT_HELD;
}

/* "idle-timeout" is VIGIL_IDLE_TIMEOUT. */
static void environment_name(char out[NAME_MAX_LEN], const char *option)
{
    (void)snprintf(out, NAME_MAX_LEN, "VIGIL_%s", option); /* the tables' names are short */
    for (char *c = out; *c; c++) {
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
        else if (*c == '-')
            *c = '_';
    }
}

static void option_help(const struct args_option *option)
{
    char left[64];
    (void)snprintf(left, sizeof left, option->optional ? "--%s[%s%s]" : "--%s%s%s", option->name,
                   !option->metavar   ? ""
                   : option->optional ? "="
                                      : " ",
                   option->metavar ? option->metavar : "");
    (void)printf("  %-26s %s", left, option->help);
    for (size_t i = 0; option->choice && option->choice(i); i++)
        (void)printf("%s %s", i ? "," : ":", option->choice(i));
    if (option->fallback)
        (void)printf(" [%s]", option->fallback);
    (void)putchar('\n');
}

static const char *option_name(const void *arg, size_t i)
{
    const struct args_option *options = arg;
    return options[i].name;
}
