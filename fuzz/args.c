/* SPDX-License-Identifier: MIT
 *
 * args.c -- fuzz target: the command line and the environment of `vigil`, by its own tables.
 *
 * The input is text: the first line names the subcommand, each other line is a word of its command
 * line; a line "VIGIL_NAME=VALUE" goes into the environment instead.  Nothing is run: in the place
 * of the subcommand a check looks at the settings.  Bad input is one line and status 2; good input
 * is silent, and every setting is what its table allows.  Values are also read by a plain model.
 */
#include "fuzz.h"

#include "../tool/args.h"
#include "../tool/commands.h"
#include "../tool/where.h"
#include "base/base.h"

enum { WORDS = 40, NAMES = 20 };

static const struct args_command *const commands[] = { &command_serve, &command_send,
                                                       &command_backends };

static unsigned runs; /* of the check, for one command line */
static char **line;   /* which is this, ended by NULL */

/* ---- the settings ---- */

static char upper(char c)
{
    return c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Whether it was given for sure: by the environment, or by the first word. */
static bool given(const struct args_option *option)
{
    char variable[80];
    int len = snprintf(variable, sizeof variable, "VIGIL_%s", option->name);
    for (int i = 0; i < len; i++)
        variable[i] = upper(variable[i]);
    const char *value = getenv(variable);
    if (value != NULL && *value != '\0')
        return true;
    size_t name = strlen(option->name);
    return line[0] != NULL && strncmp(line[0], "--", 2) == 0 &&
           strncmp(line[0] + 2, option->name, name) == 0 &&
           (line[0][2 + name] == '\0' || line[0][2 + name] == '=');
}

static void check_choice(const struct args_option *option, const char *value)
{
    if (value == NULL) {
        CHECK(option->fallback == NULL, "--%s has a default", option->name);
        return;
    }
    for (size_t i = 0; option->choice(i) != NULL; i++)
        if (strcmp(option->choice(i), value) == 0)
            return;
    CHECK(false, "--%s is \"%s\"", option->name, value);
}

static void check_option(const struct args_option *option, const void *settings)
{
    const void *member = (const char *)settings + option->offset;
    uint64_t count;
    int64_t ns;
    const char *text;
    switch (option->kind) {
    case ARGS_FLAG:
        CHECK(*(const unsigned char *)member <= 1);
        break;
    case ARGS_CHOICE:
        memcpy(&text, member, sizeof text);
        check_choice(option, text);
        break;
    case ARGS_STRING:
        memcpy(&text, member, sizeof text);
        CHECK(text != NULL || option->fallback == NULL, "--%s has a default", option->name);
        break;
    case ARGS_DURATION:
        memcpy(&ns, member, sizeof ns);
        CHECK(ns >= 0, "--%s is negative", option->name);
        break;
    case ARGS_NUMBER:
    case ARGS_SIZE:
        memcpy(&count, member, sizeof count);
        CHECK(count >= option->min || (count == 0 && !given(option)), "--%s is too small",
              option->name);
        CHECK(option->max == 0 || count <= option->max, "--%s is too large", option->name);
        break;
    }
}

static int check_run(const struct args *args)
{
    const struct args_command *command = args->command;
    runs++;
    for (const struct args_option *option = command->options; option->name != NULL; option++)
        check_option(option, args->settings);
    CHECK(args->operand_count >= command->operands_min);
    CHECK(args->operand_count <= command->operands_max);
    for (size_t i = 0; i < args->operand_count; i++)
        CHECK(args->operands[i] != NULL);
    return EXIT_HELD;
}

/* ---- what is said ---- */

/* Where glibc lets us, what goes to a stream is caught; elsewhere it is only printed. */
struct caught {
    FILE **stream, *before;
    char *text;
    size_t size;
};

static void catch_begin(struct caught *caught, FILE **stream)
{
    *caught = (struct caught){ .stream = stream, .before = *stream };
    FILE *memory = open_memstream(&caught->text, &caught->size);
    CHECK(memory != NULL);
    *stream = memory;
}

static void catch_end(struct caught *caught)
{
    CHECK(fclose(*caught->stream) == 0);
    *caught->stream = caught->before;
}

/* One line, and no control characters in it. */
static void check_line(const char *text, size_t size)
{
    CHECK(size > 8 && memcmp(text, "vigil", 5) == 0 && text[size - 1] == '\n', "\"%s\"", text);
    for (size_t i = 0; i + 1 < size; i++)
        CHECK((unsigned char)text[i] >= ' ' && text[i] != 0x7f, "byte %zu of \"%s\"", i, text);
}

static void run_caught(const struct args_command *command, int argc, char **argv)
{
    struct caught out, err;
    runs = 0;
    catch_begin(&out, &stdout);
    catch_begin(&err, &stderr);
    int status = args_run(command, argc, argv);
    catch_end(&err);
    catch_end(&out);
    CHECK(status == EXIT_HELD || status == EXIT_USAGE, "status %d", status);
    if (status == EXIT_USAGE) {
        check_line(err.text, err.size);
        CHECK(runs == 0 && out.size == 0);
    } else {
        CHECK(err.size == 0, "said of what is well: %s", err.text);
        CHECK(runs == 1 || (runs == 0 && out.size > 0), "neither run nor helped");
    }
    free(out.text);
    free(err.text);
}

/* A WHERE that is taken is one for the library too; one that is not is complained of. */
static void check_where(const char *where)
{
    struct caught err;
    vigil_addr addr;
    catch_begin(&err, &stderr);
    bool good = where_check("serve", where);
    bool peer = where_check_peer("send", where);
    catch_end(&err);
    CHECK(good || !peer);
    CHECK(peer ? err.size == 0 : err.size > 0);
    int status = vigil_addr_parse(&addr, where);
    CHECK(!good || status == 0 || status == VIGIL_ENOENT);
    CHECK(!peer || status != 0 || addr.family == VIGIL_FAMILY_UNIX || addr.port != 0);
    free(err.text);
}

/* ---- values ---- */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit counts[] = { { "", 1 },           { "k", 1000 },      { "M", 1000000 },
                                      { "G", 1000000000 }, { "Ki", 1u << 10 }, { "Mi", 1u << 20 },
                                      { "Gi", 1u << 30 } };
static const struct unit times[] = { { "ns", 1 },          { "us", 1000 },
                                     { "ms", 1000000 },    { "s", 1000000000 },
                                     { "m", 60000000000 }, { "h", 3600000000000 } };

static uint64_t factor_of(const struct unit *units, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(units[i].name, name) == 0)
            return units[i].factor;
    return 0;
}

/* digits[.digits] of a unit, exactly, in billionths; false: not that, or beyond 20 digits. */
static bool value_model(const char *text, const struct unit *units, size_t count,
                        unsigned __int128 *billionths)
{
    size_t whole = strspn(text, "0123456789");
    size_t decimals = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    const char *name = text + whole + (decimals > 0 ? decimals + 1 : 0);
    uint64_t factor = factor_of(units, count, name);
    if (whole == 0 || whole > 18 || decimals > 9 || factor == 0)
        return false;
    unsigned __int128 value = 0;
    for (size_t i = 0; i < whole; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    for (size_t i = 0; i < 9; i++)
        value = value * 10 + (i < decimals ? (unsigned)(text[whole + 1 + i] - '0') : 0);
    *billionths = value * factor;
    return true;
}

static void check_value(const char *text)
{
    const unsigned __int128 billion = 1000000000;
    unsigned __int128 exact;
    uint64_t number = 0, size = 0;
    int64_t ns = 0;
    const char *wrong = args_read_number(text, &number);
    CHECK((wrong == NULL) == (args_read_size(text, &size) == NULL) && number == size);
    if (value_model(text, counts, VIGIL_COUNT(counts), &exact) && strchr(text, '.') == NULL) {
        bool fits = exact / billion <= UINT64_MAX;
        CHECK(fits == (wrong == NULL), "%s", text);
        CHECK(!fits || number == (uint64_t)(exact / billion), "%s", text);
    }
    wrong = args_read_duration(text, &ns);
    CHECK(wrong != NULL || ns >= 0, "%s", text);
    if (value_model(text, times, VIGIL_COUNT(times), &exact) && exact / billion < INT64_MAX / 2) {
        CHECK(wrong == NULL, "%s: %s", text, wrong);
        CHECK((unsigned __int128)ns == exact / billion, "%s is %lld", text, (long long)ns);
    }
}

/* ---- the input ---- */

/* Cuts a text into its lines; answers how many. */
static int lines_cut(char *text, char *lines[], int max)
{
    int count = 0;
    for (char *at = text; at != NULL && count < max; count++) {
        lines[count] = at;
        at = strchr(at, '\n');
        if (at != NULL)
            *at++ = '\0';
    }
    return count;
}

/* Takes the environment out of the words; answers how many words are left. */
static int environment_set(char *words[], int count, char *names[], int *name_count)
{
    int left = 0;
    *name_count = 0;
    for (int i = 0; i < count; i++) {
        char *equals = strchr(words[i], '=');
        if (strncmp(words[i], "VIGIL_", 6) != 0 || equals == NULL || *name_count == NAMES) {
            words[left++] = words[i];
            continue;
        }
        *equals = '\0';
        CHECK(setenv(words[i], equals + 1, 1) == 0);
        names[(*name_count)++] = words[i];
    }
    return left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    char *words[WORDS + 1], *names[NAMES];
    int name_count;
    int count = lines_cut(text, words, WORDS);
    struct args_command command = *commands[0];
    for (size_t i = 0; i < VIGIL_COUNT(commands); i++)
        if (strcmp(words[0], commands[i]->name) == 0)
            command = *commands[i];
    command.run = check_run;
    for (int i = 1; i < count; i++) {
        check_value(words[i]);
        check_where(words[i]);
    }
    line = words + 1;
    count = environment_set(line, count - 1, names, &name_count);
    line[count] = NULL;
    run_caught(&command, count, line);
    for (int i = 0; i < name_count; i++)
        (void)unsetenv(names[i]); /* it was set */
    free(text);
    return 0;
}
