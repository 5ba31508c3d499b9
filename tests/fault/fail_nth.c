/* SPDX-License-Identifier: MIT
 *
 * fail_nth.c -- each scenario on each backend, with its first, second, third ... call of each kind
 * failing, once and from then on, until it passes untouched.
 *
 * VIGIL_FAIL_STEP=16 takes every 16th of them, those with the number VIGIL_FAIL_OFFSET; a failure
 * prints the command that does it again: VIGIL_FAIL_ONLY names one injection alone.
 */
#include "scenarios.h"

#include <sys/mman.h>

enum { RUN_SECONDS = 30, FAILURES_MAX = 10 };

/* What a child that runs injections shares with its parent, which survives it. */
static struct shared {
    struct inject plan;
    unsigned call, error, ever, nth; /* where it stands */
    unsigned runs, fired, failures;
    bool over;
} * shared;

struct choice {
    unsigned step, offset;
    const char *only;
};

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static struct choice choice_made(void)
{
    struct choice choice = { .step = number_of("VIGIL_FAIL_STEP", 1),
                             .only = getenv("VIGIL_FAIL_ONLY") };
    choice.step = choice.step > 0 ? choice.step : 1;
    choice.offset = number_of("VIGIL_FAIL_OFFSET", 0) % choice.step;
    return choice;
}

/* A number of an injection that stays the same whatever other injections there are. */
static unsigned hash_of(const char *scenario, const char *backend, const char *plan)
{
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */
    const char *texts[] = { scenario, backend, plan };
    for (size_t i = 0; i < VIGIL_COUNT(texts); i++)
        for (const char *at = texts[i]; *at != '\0'; at++)
            hash = (hash ^ (uint8_t)*at) * 16777619u;
    return hash >> 8;
}

static void run_too_long(int signo)
{
    (void)signo;
    static const char text[] = "# it hangs\n";
    test_write_out(text, sizeof(text) - 1);
    _exit(3);
}

static void tell(const struct scenario *scenario, const char *backend, const char *plan)
{
    fprintf(stderr, "# VIGIL_FAIL_ONLY='%s' %s '%s [%s]'\n", plan, TEST_PROGRAM, scenario->name,
            backend);
}

/* One run.  True: what was to fail did. */
static bool run_once(const struct scenario *scenario, const char *backend,
                     const struct inject *plan)
{
    static unsigned char before[TEST_FDS_MAX];
    int failures = test_state.test_failures;
    char text[INJECT_TEXT_MAX] = "nothing";
    *inject = *plan;
    if (plan->on)
        inject_format(plan, text);
    test_note_fds(before);
    test_limit_time((unsigned)(RUN_SECONDS * test_time_scale()), run_too_long);
    world_run(scenario, backend);
    test_limit_time(0, run_too_long);
    test_compare_fds(before);
    shared->runs++;
    shared->fired += inject->fired > 0;
    if (test_state.test_failures != failures) {
        shared->failures++;
        tell(scenario, backend, text);
    }
    return inject->fired > 0;
}

/* The next one of its kind, error and mode; behind the last, the first of the next.  False: there
 * is none. */
static bool step_over(bool fired)
{
    if (fired) {
        shared->nth++;
        return true;
    }
    shared->nth = 1;
    if (++shared->ever < 2)
        return true;
    shared->ever = 0;
    const struct inject_kind *kind = &inject_kinds[shared->call];
    if (++shared->error < INJECT_ERRORS_MAX && kind->errors[shared->error] != 0)
        return true;
    shared->error = 0;
    return ++shared->call < INJECT_COUNT;
}

static struct inject plan_here(void)
{
    return (struct inject){ .on = true,
                            .call = (enum inject_call)shared->call,
                            .error = inject_kinds[shared->call].errors[shared->error],
                            .ever = shared->ever != 0,
                            .nth = shared->nth };
}

/* Everything from where `shared` stands on; in a child. */
static void run_all(const struct scenario *scenario, const char *backend,
                    const struct choice *choice)
{
    inject = &shared->plan;
    unsigned made[INJECT_COUNT];
    (void)run_once(scenario, backend, &(struct inject){ 0 });
    memcpy(made, inject->made,
           sizeof(made)); /* how many there are, but for what a failure brings */
    for (bool more = shared->failures < FAILURES_MAX; more;) {
        struct inject plan = plan_here();
        char text[INJECT_TEXT_MAX];
        inject_format(&plan, text);
        bool pointless = plan.ever && !inject_may_stay(plan.call, plan.error);
        bool there = !pointless && plan.nth <= made[plan.call];
        bool chosen = choice->step == 1 ||
                      hash_of(scenario->name, backend, text) % choice->step == choice->offset;
        /* All of them: until one does not come to pass.  A sample: as far as the run untouched. */
        bool fired = there;
        if (!pointless && chosen && (there || choice->step == 1) && made[plan.call] > 0)
            fired = run_once(scenario, backend, &plan) && shared->failures < FAILURES_MAX;
        more = step_over(fired) && shared->failures < FAILURES_MAX;
    }
    shared->over = true;
}

static void run_only(const struct scenario *scenario, const char *backend, const char *text)
{
    struct inject plan;
    inject = &shared->plan;
    OK(inject_parse(&plan, text), "VIGIL_FAIL_ONLY=%s is no injection", text);
    OK(run_once(scenario, backend, &plan), "%s did not come to pass", text);
    shared->over = true;
}

/* Children do it all, so that one that crashes or hangs is a failure like any other. */
static void fail_nth(const struct scenario *scenario, const char *backend)
{
    struct choice choice = choice_made();
    test_limit_time(3600, run_too_long); /* each run has a limit of its own */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    *shared = (struct shared){ .nth = 1 };
    unsigned crashes = 0;
    while (!shared->over && crashes + shared->failures < FAILURES_MAX) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            signal(SIGPIPE, SIG_IGN); /* of the peers, who write to what was reset */
            if (choice.only != NULL)
                run_only(scenario, backend, choice.only);
            else
                run_all(scenario, backend, &choice);
            _exit(test_state.test_failures == 0 ? 0 : 1);
        }
        int state = 0;
        while (waitpid(child, &state, 0) < 0 && errno == EINTR)
            continue;
        if (WIFEXITED(state) && WEXITSTATUS(state) < 2)
            break;
        char text[INJECT_TEXT_MAX] = "nothing";
        if (shared->plan.on)
            inject_format(&shared->plan, text);
        OK(false, "a run ended with 0x%x", (unsigned)state);
        tell(scenario, backend, text);
        crashes++;
        if (!shared->plan.on || choice.only != NULL || !step_over(true))
            break;
    }
    EQ_INT(0, shared->failures, "runs that failed");
    printf("# %s [%s]: %u runs, %u injections\n", scenario->name, backend, shared->runs,
           shared->fired);
    munmap(shared, sizeof(*shared));
}
