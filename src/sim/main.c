/* SPDX-License-Identifier: MIT
 *
 * main.c -- the main function of a test program: many seeds, and one of them again, told or made
 * small.  Floor: sim.
 */
#include "sim/main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TWICE_EVERY = 32, /* seeds that run a second time, and must come out the same */
    SHRINK_RUNS_MAX = 20000,
    STRICT_CHOICES = 300, /* per seed, on average; and connections: */
    STRICT_CONNECTIONS = 4,
    STRICT_WORLDS = 100, /* each fault is to hit in one of so many worlds */
    LIMIT_S = 60,        /* of a world, which should take milliseconds */
};

struct totals {
    uint64_t seeds, choices, connections, turns;
    double virtual_s;
    uint64_t worlds_hit[VIGIL_SIM_FAULT_COUNT];
    struct oracle {
        const char *name; /* static storage */
        uint64_t count;
        bool declared;
    } * oracles;
    size_t oracle_count;
};

static const char usage[] =
    "usage: %s [options]\n"
    "Runs the test in one simulated world per seed.\n"
    "  --seeds N       so many seeds [1000]\n"
    "  --from N        the first of them [1]\n"
    "  --seed N        this one alone\n"
    "  --replay FILE   the choices in this file instead of a seed\n"
    "  --bytes FILE    the bytes of this file, as a fuzzer left it\n"
    "  --trace         tell what happens, in one of these three\n"
    "  --shrink        make a failure small, in one of these three\n"
    "  --save FILE     write the choices there, in one of these three\n"
    "  --strict        fail, too, when a kind of fault or an oracle hardly came up\n"
    "  --limit S       so many seconds for a world, 0: no limit [60]\n"
    "  --help          this text\n";

/* ---- the command line ---- */

static bool read_number(const char *text, uint64_t *out)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

/* The value of an option "--name VALUE" or "--name=VALUE"; NULL: this is another option. */
static const char *value_of(const char *name, int argc, char **argv, int *i)
{
    size_t len = strlen(name);
    if (strncmp(argv[*i], name, len) != 0)
        return NULL;
    if (argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (argv[*i][len] != '\0')
        return NULL;
    return *i + 1 < argc ? argv[++*i] : "";
}

static bool read_option(struct sim_main *run, int argc, char **argv, int *i)
{
    const struct {
        const char *name;
        bool *is;
    } flags[] = {
        { "--trace", &run->trace },
        { "--shrink", &run->shrink },
        { "--strict", &run->strict },
        { "--help", &run->help },
    };
    for (size_t f = 0; f < VIGIL_COUNT(flags); f++)
        if (strcmp(argv[*i], flags[f].name) == 0)
            return *flags[f].is = true;
    const char *value;
    if ((value = value_of("--seeds", argc, argv, i)) != NULL)
        return read_number(value, &run->seeds);
    if ((value = value_of("--from", argc, argv, i)) != NULL)
        return read_number(value, &run->from);
    if ((value = value_of("--replay", argc, argv, i)) != NULL)
        return (run->replay = value)[0] != '\0';
    if ((value = value_of("--bytes", argc, argv, i)) != NULL)
        return (run->bytes = value)[0] != '\0';
    if ((value = value_of("--limit", argc, argv, i)) != NULL)
        return read_number(value, &run->limit_s) && run->limit_s <= INT32_MAX;
    if ((value = value_of("--save", argc, argv, i)) != NULL)
        return (run->save = value)[0] != '\0';
    if ((value = value_of("--seed", argc, argv, i)) != NULL) {
        run->one = true;
        run->seeds = 1;
        return read_number(value, &run->from);
    }
    return false;
}

static bool read_options(struct sim_main *run, int argc, char **argv)
{
    *run = (struct sim_main){ .program = argv[0], .from = 1, .seeds = 1000, .limit_s = LIMIT_S };
    for (int i = 1; i < argc; i++) {
        const char *given = argv[i];
        if (!read_option(run, argc, argv, &i)) {
            fprintf(stderr, "%s: bad option: %s; see --help\n", argv[0], given);
            return false;
        }
    }
    if (run->one + (run->replay != NULL) + (run->bytes != NULL) > 1) {
        fprintf(stderr, "%s: --seed, --replay and --bytes exclude each other\n", argv[0]);
        return false;
    }
    bool single = vigil__sim_main_is_single(run);
    if (!single && (run->trace || run->shrink || run->save != NULL)) {
        fprintf(stderr, "%s: --trace, --shrink and --save need --seed, --replay or --bytes\n",
                argv[0]);
        return false;
    }
    return true;
}

/* ---- the command that replays ---- */

static bool is_plain(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./:=+,@%-";
    return word[0] != '\0' && word[strspn(word, plain)] == '\0';
}

/* As a shell reads it again. */
static void print_word(const char *word)
{
    if (is_plain(word)) {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            fputs("'\\'", stdout);
        putchar(*word);
    }
    putchar('\'');
}

void vigil__sim_main_command(const struct sim_main *run, const char *shows, uint64_t seed,
                             const char *options)
{
    printf("  %s:%*s", shows, 12 - (int)strlen(shows), "");
    for (size_t i = 0; run->environment != NULL && run->environment[i] != NULL; i++) {
        const char *value = getenv(run->environment[i]);
        if (value == NULL)
            continue;
        printf("%s=", run->environment[i]);
        print_word(value);
        putchar(' ');
    }
    print_word(run->program);
    printf(" --seed %llu%s\n", (unsigned long long)seed, options);
}

/* ---- one world ---- */

static void print_story(void *arg, const char *text, size_t len)
{
    (void)arg;
    (void)fwrite(text, 1, len, stdout);
    (void)fflush(stdout); /* the last line before a crash is the one that counts */
}

static size_t count_set(const uint32_t *choices, size_t count)
{
    size_t set = 0;
    for (size_t i = 0; i < count; i++)
        set += choices[i] != 0;
    return set;
}

/* Notes the choices that `options` lead to, made small if they make the test fail.  False: no
 * memory. */
static bool shrink(const struct sim_main *run, const vigil_sim_options *options,
                   struct sim_trace *out)
{
    vigil_sim *sim = vigil__sim_play(run->test, run->arg, options);
    const uint32_t *made;
    bool good = sim != NULL;
    size_t count = good ? vigil_sim_choices(sim, &made) : 0;
    for (size_t i = 0; i < count && good; i++)
        good = vigil__sim_trace_add(out, made[i]);
    bool fails = good && vigil_sim_failure(sim) != NULL;
    vigil_sim_close(sim);
    if (!fails)
        return good;
    size_t set = count_set(out->choices, count);
    out->count = vigil_sim_shrink(run->test, run->arg, out->choices, count, SHRINK_RUNS_MAX);
    printf("shrunk from %zu choices, %zu of them not 0, to %zu and %zu\n", count, set, out->count,
           count_set(out->choices, out->count));
    return true;
}

/* Runs the choices of `options`, tells and saves what was asked for: the exit code. */
static int replay(const struct sim_main *run, const vigil_sim_options *options)
{
    vigil_sim *sim = vigil__sim_play(run->test, run->arg, options);
    if (sim == NULL)
        return 1;
    const char *failure = vigil_sim_failure(sim);
    bool saved = run->save == NULL || vigil__sim_trace_write(run->save, sim);
    if (!saved)
        fprintf(stderr, "%s: cannot write %s\n", run->program, run->save);
    printf("%s\n%zu choices, %llu connections, %.3f virtual s, hash %016llx\n",
           failure != NULL ? failure : "passes", sim->choice_count,
           (unsigned long long)sim->connections,
           (double)(sim->now - VIGIL_S(1)) / (double)VIGIL_S(1), (unsigned long long)sim->hash);
    int code = failure != NULL || !saved;
    vigil_sim_close(sim);
    return code;
}

static void use_trace(vigil_sim_options *options, const struct sim_trace *trace)
{
    static const uint32_t none;
    options->bytes = NULL;
    options->choices = trace->count > 0 ? trace->choices : &none;
    options->choice_count = trace->count;
}

static int single(const struct sim_main *run)
{
    vigil_sim_options options = { .seed = run->from };
    struct sim_trace given = { 0 };
    struct sim_trace small = { 0 };
    uint8_t *bytes = NULL;
    int code = 2;
    if (run->bytes != NULL &&
        (bytes = vigil__sim_bytes_read(run->bytes, run->program, &options.byte_count)) == NULL)
        goto done;
    options.bytes = bytes;
    if (run->replay != NULL) {
        if (!vigil__sim_trace_read(run->replay, run->program, &given))
            goto done;
        use_trace(&options, &given);
    }
    code = 1;
    if (run->shrink) {
        if (!shrink(run, &options, &small))
            goto done;
        use_trace(&options, &small);
    }
    options.story = run->trace ? print_story : NULL;
    code = replay(run, &options);
done:
    free(bytes);
    free(given.choices);
    free(small.choices);
    return code;
}

/* ---- many worlds ---- */

/* False: no memory. */
static bool add_oracle(struct totals *totals, const struct sim_oracle *oracle)
{
    size_t i = 0;
    while (i < totals->oracle_count && (totals->oracles[i].name[0] != oracle->name[0] ||
                                        strcmp(totals->oracles[i].name, oracle->name) != 0))
        i++;
    if (i == totals->oracle_count) {
        struct oracle *more = realloc(totals->oracles, (i + 1) * sizeof(*more));
        if (more == NULL)
            return false;
        totals->oracles = more;
        totals->oracles[totals->oracle_count++] = (struct oracle){ .name = oracle->name };
    }
    totals->oracles[i].count += oracle->count;
    totals->oracles[i].declared |= oracle->declared;
    return true;
}

static bool add(struct totals *totals, const vigil_sim *sim)
{
    totals->seeds++;
    totals->choices += sim->choice_count;
    totals->connections += sim->connections;
    totals->turns += sim->turns;
    totals->virtual_s += (double)(sim->now - VIGIL_S(1)) / (double)VIGIL_S(1);
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        totals->worlds_hit[i] += sim->hits[i] > 0;
    bool good = !sim->oracles_lost;
    for (struct vigil__link *at = sim->oracles.next; at != &sim->oracles && good; at = at->next)
        good = add_oracle(totals, VIGIL_OWNER(at, struct sim_oracle, link));
    return good;
}

static void print_totals(const struct totals *totals, double seconds)
{
    double n = (double)vigil__max((size_t)totals->seeds, 1);
    printf("%llu seeds in %.1f s: %.0f seeds/s, %.0f virtual s per s; per seed %.0f choices, "
           "%.1f connections, %.0f turns\n",
           (unsigned long long)totals->seeds, seconds, n / seconds, totals->virtual_s / seconds,
           (double)totals->choices / n, (double)totals->connections / n, (double)totals->turns / n);
    printf("faults, in %% of the worlds:");
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        printf(" %s %.1f", vigil_sim_fault_name(i), 100.0 * (double)totals->worlds_hit[i] / n);
    printf("\nlooked at:");
    for (size_t i = 0; i < totals->oracle_count; i++)
        printf("%s %s %llu", i > 0 ? "," : "", totals->oracles[i].name,
               (unsigned long long)totals->oracles[i].count);
    printf("\n");
}

/* Whether each was looked at, and, where some are declared, all are: else nobody would miss one. */
static bool oracles_were_looked_at(const struct totals *totals)
{
    bool good = true;
    bool declares = false;
    for (size_t i = 0; i < totals->oracle_count; i++)
        declares = declares || totals->oracles[i].declared;
    for (size_t i = 0; i < totals->oracle_count; i++) {
        bool is_known = totals->oracles[i].declared || !declares;
        if (totals->oracles[i].count > 0 && is_known)
            continue;
        printf("%s \"%s\"\n", is_known ? "nobody looked at" : "nobody declared",
               totals->oracles[i].name);
        good = false;
    }
    return good;
}

/* Whether the run was worth something: each condition that does not hold is printed. */
static bool was_worth(const struct totals *totals)
{
    bool good = true;
    if (totals->choices < STRICT_CHOICES * totals->seeds ||
        totals->connections < STRICT_CONNECTIONS * totals->seeds) {
        printf("too little happened: %d choices and %d connections per seed are wanted\n",
               STRICT_CHOICES, STRICT_CONNECTIONS);
        good = false;
    }
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++) {
        if (totals->worlds_hit[i] * STRICT_WORLDS >= totals->seeds)
            continue;
        printf("%s came up in less than 1 %% of the worlds\n", vigil_sim_fault_name(i));
        good = false;
    }
    return oracles_were_looked_at(totals) && good;
}

static double seconds_now(void)
{
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC); /* for a figure on the screen alone */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What came of a seed. */
struct outcome {
    const char *oracle; /* the one that failed, in static storage, or NULL */
    char failure[SIM_FAILURE_MAX];
    uint64_t hash;
};

/* False: no memory. */
static bool play_seed(const struct sim_main *run, uint64_t seed, struct outcome *out,
                      struct totals *totals)
{
    vigil_sim *sim = vigil__sim_play(run->test, run->arg, &(vigil_sim_options){ .seed = seed });
    if (sim == NULL)
        return false;
    *out = (struct outcome){ .oracle = sim->failed_oracle, .hash = sim->hash };
    if (out->oracle != NULL)
        memcpy(out->failure, sim->failure, sizeof(out->failure));
    bool good = totals == NULL || add(totals, sim);
    vigil_sim_close(sim);
    return good;
}

/* Prints the failure and how to see it again, which is tried once: it may depend on what no seed
 * decides. */
static void print_failure(const struct sim_main *run, uint64_t seed, const struct outcome *first)
{
    printf("seed %llu fails: %s\n", (unsigned long long)seed, first->failure);
    vigil__sim_main_command(run, "the story", seed, " --trace");
    vigil__sim_main_command(run, "made small", seed, " --shrink --trace");
    (void)fflush(stdout); /* the second time it may crash */
    struct outcome again;
    if (!play_seed(run, seed, &again, NULL))
        return;
    bool same = again.oracle != NULL && strcmp(again.oracle, first->oracle) == 0;
    const char *what = again.oracle == NULL        ? "passes"
                       : !same                     ? again.failure
                       : again.hash != first->hash ? "does so in another way"
                                                   : NULL;
    if (what != NULL)
        printf("  beware:      run again it %s%s: something outside of the world decides\n",
               again.oracle != NULL && !same ? "fails by " : "", what);
}

/* False: it failed, and that is printed. */
static bool run_seed(const struct sim_main *run, uint64_t seed, struct totals *totals)
{
    struct outcome outcome, again;
    bool good = play_seed(run, seed, &outcome, totals);
    if (good && outcome.oracle == NULL && seed % TWICE_EVERY == 0) {
        good = play_seed(run, seed, &again, NULL);
        if (good && again.hash != outcome.hash) {
            printf("seed %llu fails: determinism: the same seed ran differently\n",
                   (unsigned long long)seed);
            vigil__sim_main_command(run, "the story", seed, " --trace");
            return false;
        }
    }
    if (!good) {
        printf("seed %llu: out of memory\n", (unsigned long long)seed);
        return false;
    }
    if (outcome.oracle != NULL)
        print_failure(run, seed, &outcome);
    return outcome.oracle == NULL;
}

static int many(const struct sim_main *run)
{
    struct totals totals = { 0 };
    bool passed = true;
    double began = seconds_now();
    for (uint64_t i = 0; i < run->seeds && passed; i++)
        passed = run_seed(run, run->from + i, &totals);
    print_totals(&totals, seconds_now() - began);
    if (passed && run->strict)
        passed = was_worth(&totals);
    free(totals.oracles);
    return passed ? 0 : 1;
}

int vigil_sim_main_env(int argc, char **argv, const char *const *environment,
                       vigil_sim_test_fn *test, void *arg)
{
    struct sim_main run;
    if (!read_options(&run, argc, argv))
        return 2;
    if (run.help) {
        printf(usage, argv[0]);
        return 0;
    }
    run.environment = environment;
    run.test = test;
    run.arg = arg;
    vigil__sim_guard_begin(&run);
    int code = vigil__sim_main_is_single(&run) ? single(&run) : many(&run);
    vigil__sim_guard_end();
    return code;
}

int vigil_sim_main(int argc, char **argv, vigil_sim_test_fn *test, void *arg)
{
    return vigil_sim_main_env(argc, argv, NULL, test, arg);
}
