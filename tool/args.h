/* SPDX-License-Identifier: MIT
 *
 * args.h -- the manners of the command line: one table of options per subcommand drives parsing,
 * the environment, --help, and whatever else wants to know the options (man page, completions).
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_ARGS_H
#define TOOL_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the command ends; EXIT_SIGNAL is the base for a second signal: 130, 143. */
enum {
    EXIT_HELD = 0,   /* ran, and all held */
    EXIT_FAILED = 1, /* failed at run time */
    EXIT_USAGE = 2,  /* bad input; nothing was begun */
    EXIT_WRONG = 3,  /* a byte came back wrong, lost or doubled */
    EXIT_MISSED = 4, /* an assertion was missed: a probe failed */
    EXIT_SIGNAL = 128
};

/* The kind says what the text means and what stands in the settings. */
enum args_kind {
    ARGS_FLAG,     /* bool; takes no value */
    ARGS_STRING,   /* const char * */
    ARGS_NUMBER,   /* uint64_t; k M G are powers of 1000, Ki Mi Gi of 1024 */
    ARGS_SIZE,     /* uint64_t; bytes, the same suffixes */
    ARGS_DURATION, /* int64_t nanoseconds; ns us ms s m h, decimals allowed */
    ARGS_CHOICE    /* const char *, one of those `choice` names */
};

struct args_option {
    const char *name; /* without the dashes; NULL ends a table */
    const char *metavar;
    enum args_kind kind;
    size_t offset; /* of its member in the subcommand's settings */
    const char *help;
    const char *fallback;            /* the default, as one would type it; NULL: all zero */
    bool optional;                   /* ARGS_STRING: without "=VALUE" it is "-" */
    const char *(*choice)(size_t i); /* ARGS_CHOICE: the names, NULL behind the last */
    uint64_t min;                    /* the least allowed, ARGS_DURATION: in ns; and */
    uint64_t max;                    /* ARGS_NUMBER, ARGS_SIZE: the most; 0: no limit */
};

struct args;

struct args_command {
    const char *name;
    const char *summary;  /* one line */
    const char *operands; /* "[WHERE...]" */
    const char *examples; /* lines, each indented by two and ended by a newline */
    const char *notes;    /* the paragraph of --help */
    const struct args_option *options;
    size_t settings_size;
    size_t operands_min;
    size_t operands_max;
    int (*run)(const struct args *args); /* answers the exit status */
};

/* What a command line came to. */
struct args {
    const struct args_command *command;
    void *settings;           /* of command->settings_size, every member set */
    const char *const *words; /* all that followed the subcommand's name; NULL behind the last */
    const char **operands;    /* in order */
    size_t operand_count;
};

/* Parses what follows the subcommand's name and runs it.  Answers the exit status: EXIT_USAGE after
 * one line of complaint, EXIT_HELD after --help. */
int args_run(const struct args_command *command, int argc, char **argv);

/* Writes the help of one subcommand to stdout. */
void args_help(const struct args_command *command);

/* One line on stderr, "vigil NAME: ..."; without a name "vigil: ...". */
void args_complain(const char *name, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));

#define ARGS_QUOTED_MAX 96

/* Writes `text` in quotes, whatever is in it, so that it stays on one line; answers `out`. */
const char *args_quote(char out[ARGS_QUOTED_MAX], const char *text);

/* The name nearest to `wrong` among those that `name_at` gives, or NULL when none is close. */
const char *args_nearest(const char *wrong, const char *(*name_at)(const void *arg, size_t i),
                         const void *arg);

/* Reads one value: NULL when it is well, else what is wrong and what would be right. */
const char *args_read_number(const char *text, uint64_t *out);
const char *args_read_size(const char *text, uint64_t *out);
const char *args_read_duration(const char *text, int64_t *out);

#endif /* TOOL_ARGS_H */
