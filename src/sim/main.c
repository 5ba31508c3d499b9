/* SPDX-License-Identifier: MIT
 *
 * main.c -- the main function of a test program: many seeds, and one of them again, told or made
 * small.  Floor: sim.
 */
#include "sim/sim.h"

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
    ORACLES_MAX = 64,
};

struct options {
    uint64_t from, seeds;
    bool one, trace, shrink, strict, help;
    const char *replay, *save;
};

struct totals {
    uint64_t seeds, choices, connections, turns;
    double virtual_s;
    uint64_t worlds_hit[VIGIL_SIM_FAULT_COUNT];
    struct {
        char name[64];
        uint64_t count;
    } oracles[ORACLES_MAX];
    size_t oracle_count;
};

static const char usage[] =
    "usage: %s [options]\n"
    "Runs the test in one simulated world per seed.\n"
    "  --seeds N       so many seeds [1000]\n"
    "  --from N        the first of them [1]\n"
    "  --seed N        this one alone\n"
    "  --replay FILE   the choices in this file instead of a seed\n"
    "  --trace         tell what happens, with --seed or --replay\n"
    "  --shrink        make a failure small, with --seed or --replay\n"
    "  --save FILE     write the choices there, with --seed or --replay\n"
    "  --strict        fail, too, when a kind of fault or an oracle hardly came up\n"
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

static bool read_option(struct options *o, int argc, char **argv, int *i)
{
    const struct {
        const char *name;
        bool *is;
    } flags[] = {
        { "--trace", &o->trace },
        { "--shrink", &o->shrink },
        { "--strict", &o->strict },
        { "--help", &o->help },
    };
    for (size_t f = 0; f < VIGIL_COUNT(flags); f++)
        if (strcmp(argv[*i], flags[f].name) == 0)
            return *flags[f].is = true;
    const char *value;
    if ((value = value_of("--seeds", argc, argv, i)) != NULL)
        return read_number(value, &o->seeds);
    if ((value = value_of("--from", argc, argv, i)) != NULL)
        return read_number(value, &o->from);
    if ((value = value_of("--replay", argc, argv, i)) != NULL)
        return (o->replay = value)[0] != '\0';
    if ((value = value_of("--save", argc, argv, i)) != NULL)
        return (o->save = value)[0] != '\0';
    if ((value = value_of("--seed", argc, argv, i)) != NULL) {
        o->one = true;
        o->seeds = 1;
        return read_number(value, &o->from);
    }
    return false;
}

static bool read_options(struct options *o, int argc, char **argv)
{
    *o = (struct options){ .from = 1, .seeds = 1000 };
    for (int i = 1; i < argc; i++) {
        const char *given = argv[i];
        if (!read_option(o, argc, argv, &i)) {
            fprintf(stderr, "%s: bad option: %s; see --help\n", argv[0], given);
            return false;
        }
    }
    bool single = o->one || o->replay != NULL;
    if (!single && (o->trace || o->shrink || o->save != NULL)) {
        fprintf(stderr, "%s: --trace, --shrink and --save need --seed or --replay\n", argv[0]);
        return false;
    }
    return true;
}

/* ---- traces in files: a line "value label" per choice ---- */

struct trace {
    uint32_t *choices; /* by malloc() */
    size_t count, room;
};

static bool trace_add(struct trace *trace, uint32_t value)
{
    if (trace->count == trace->room) {
        size_t room = trace->room != 0 ? 2 * trace->room : 1024;
        uint32_t *more = realloc(trace->choices, room * sizeof(*more));
        if (more == NULL)
            return false;
        trace->choices = more;
        trace->room = room;
    }
    trace->choices[trace->count++] = value;
    return true;
}

static bool read_choice(const char *line, uint32_t *out)
{
    char *end;
    unsigned long long value = strtoull(line, &end, 10);
    *out = (uint32_t)value;
    return line[0] >= '0' && line[0] <= '9' && (*end == ' ' || *end == '\n') && value <= UINT32_MAX;
}

/* False: that is printed. */
static bool read_trace(const char *path, const char *program, struct trace *out)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot read %s\n", program, path);
        return false;
    }
    char line[256];
    bool good = true;
    for (size_t number = 1; good && fgets(line, sizeof(line), file) != NULL; number++) {
        uint32_t value;
        if (line[0] == '#')
            continue;
        good = read_choice(line, &value) && trace_add(out, value);
        if (!good)
            fprintf(stderr, "%s: %s:%zu: not a choice, as \"3 label\"\n", program, path, number);
    }
    fclose(file);
    return good;
}

static bool write_trace(const char *path, vigil_sim *sim)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    size_t count = sim->choice_count;
    while (count > 0 && sim->choices[count - 1].value == 0)
        count--; /* behind the last all are 0 */
    fprintf(file, "# %s\n", sim->failed_oracle != NULL ? sim->failure : "passes");
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%u %s\n", sim->choices[i].value, sim->choices[i].label);
    return fclose(file) == 0;
}

/* ---- one world ---- */

static void print_story(void *arg, const char *text, size_t len)
{
    (void)arg;
    (void)fwrite(text, 1, len, stdout);
}

/* Runs once and leaves the world for looking at it; NULL: out of memory. */
static vigil_sim *run_once(vigil_sim_test_fn *test, void *arg, const vigil_sim_options *options)
{
    vigil_sim *sim;
    if (vigil_sim_open(&sim, options) < 0)
        return NULL;
    test(sim, arg);
    return sim;
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
static bool shrink(const vigil_sim_options *options, struct trace *out, vigil_sim_test_fn *test,
                   void *arg)
{
    vigil_sim *sim = run_once(test, arg, options);
    const uint32_t *made;
    bool good = sim != NULL;
    size_t count = good ? vigil_sim_choices(sim, &made) : 0;
    for (size_t i = 0; i < count && good; i++)
        good = trace_add(out, made[i]);
    bool fails = good && vigil_sim_failure(sim) != NULL;
    vigil_sim_close(sim);
    if (!fails)
        return good;
    size_t set = count_set(out->choices, count);
    out->count = vigil_sim_shrink(test, arg, out->choices, count, SHRINK_RUNS_MAX);
    printf("shrunk from %zu choices, %zu of them not 0, to %zu and %zu\n", count, set, out->count,
           count_set(out->choices, out->count));
    return true;
}

/* Runs the choices of `options`, tells and saves what was asked for: the exit code. */
static int replay(const struct options *o, const char *program, const vigil_sim_options *options,
                  vigil_sim_test_fn *test, void *arg)
{
    vigil_sim *sim = run_once(test, arg, options);
    if (sim == NULL)
        return 1;
    const char *failure = vigil_sim_failure(sim);
    bool saved = o->save == NULL || write_trace(o->save, sim);
    if (!saved)
        fprintf(stderr, "%s: cannot write %s\n", program, o->save);
    printf("%s\n%zu choices, %llu connections, %.3f virtual s, hash %016llx\n",
           failure != NULL ? failure : "passes", sim->choice_count,
           (unsigned long long)sim->connections,
           (double)(sim->now - VIGIL_S(1)) / (double)VIGIL_S(1), (unsigned long long)sim->hash);
    int code = failure != NULL || !saved;
    vigil_sim_close(sim);
    return code;
}

static int single(const struct options *o, const char *program, vigil_sim_test_fn *test, void *arg)
{
    static const uint32_t none;
    vigil_sim_options options = { .seed = o->from };
    struct trace given = { 0 };
    struct trace small = { 0 };
    int code = 2;
    if (o->replay != NULL) {
        if (!read_trace(o->replay, program, &given))
            goto done;
        options.choices = given.count > 0 ? given.choices : &none;
        options.choice_count = given.count;
    }
    code = 1;
    if (o->shrink) {
        if (!shrink(&options, &small, test, arg))
            goto done;
        options.choices = small.count > 0 ? small.choices : &none;
        options.choice_count = small.count;
    }
    options.story = o->trace ? print_story : NULL;
    code = replay(o, program, &options, test, arg);
done:
    free(given.choices);
    free(small.choices);
    return code;
}

/* ---- many worlds ---- */

static void add_oracle(struct totals *totals, const struct sim_oracle *oracle)
{
    size_t i = 0;
    while (i < totals->oracle_count && (totals->oracles[i].name[0] != oracle->name[0] ||
                                        strcmp(totals->oracles[i].name, oracle->name) != 0))
        i++;
    if (i == ORACLES_MAX)
        return;
    if (i == totals->oracle_count) {
        totals->oracle_count++;
        snprintf(totals->oracles[i].name, sizeof(totals->oracles[i].name), "%s", oracle->name);
    }
    totals->oracles[i].count += oracle->count;
}

static void add(struct totals *totals, const vigil_sim *sim)
{
    totals->seeds++;
    totals->choices += sim->choice_count;
    totals->connections += sim->connections;
    totals->turns += sim->turns;
    totals->virtual_s += (double)(sim->now - VIGIL_S(1)) / (double)VIGIL_S(1);
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        totals->worlds_hit[i] += sim->hits[i] > 0;
    for (struct vigil__link *at = sim->oracles.next; at != &sim->oracles; at = at->next)
        add_oracle(totals, VIGIL_OWNER(at, struct sim_oracle, link));
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
    for (size_t i = 0; i < totals->oracle_count; i++) {
        if (totals->oracles[i].count > 0)
            continue;
        printf("nobody looked at \"%s\"\n", totals->oracles[i].name);
        good = false;
    }
    return good;
}

/* False: it failed, and that is printed. */
static bool run_seed(uint64_t seed, const char *program, struct totals *totals,
                     vigil_sim_test_fn *test, void *arg)
{
    const vigil_sim_options options = { .seed = seed };
    vigil_sim *sim = run_once(test, arg, &options);
    if (sim == NULL)
        return false;
    char failure[SIM_FAILURE_MAX] = "";
    if (sim->failed_oracle != NULL)
        memcpy(failure, sim->failure, sizeof(failure));
    add(totals, sim);
    uint64_t hash = sim->hash;
    vigil_sim_close(sim);
    if (failure[0] == '\0' && seed % TWICE_EVERY == 0) {
        sim = run_once(test, arg, &options);
        if (sim == NULL || sim->hash != hash)
            snprintf(failure, sizeof(failure), "determinism: the same seed ran differently");
        vigil_sim_close(sim);
    }
    if (failure[0] == '\0')
        return true;
    printf("seed %llu fails: %s\n  the story:   %s --seed %llu --trace\n"
           "  made small:  %s --seed %llu --shrink --trace\n",
           (unsigned long long)seed, failure, program, (unsigned long long)seed, program,
           (unsigned long long)seed);
    return false;
}

static double seconds_now(void)
{
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC); /* for a figure on the screen alone */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int vigil_sim_main(int argc, char **argv, vigil_sim_test_fn *test, void *arg)
{
    struct options o;
    if (!read_options(&o, argc, argv))
        return 2;
    if (o.help) {
        printf(usage, argv[0]);
        return 0;
    }
    if (o.one || o.replay != NULL)
        return single(&o, argv[0], test, arg);
    struct totals *totals = calloc(1, sizeof(*totals));
    if (totals == NULL)
        return 1;
    bool passed = true;
    double began = seconds_now();
    for (uint64_t i = 0; i < o.seeds && passed; i++)
        passed = run_seed(o.from + i, argv[0], totals, test, arg);
    print_totals(totals, seconds_now() - began);
    if (passed && o.strict)
        passed = was_worth(totals);
    free(totals);
    return passed ? 0 : 1;
}
