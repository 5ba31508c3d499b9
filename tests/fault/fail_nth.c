/* SPDX-License-Identifier: MIT
 *
 * fail_nth.c -- each scenario on each backend, with its first, its second and every further call of
 * each kind failing, once and from then on, until it passes untouched.
 *
 * walk.h says how to take a sample, or one alone; a failure prints the command that does it again.
 */
#include "scenarios.h"
#include "walk.h"

#include <sys/mman.h>

enum { RUN_SECONDS = 30, FAILURES_MAX = 10 };

/* What a child that runs injections shares with its parent, which survives it. */
static struct shared {
    struct inject plan;
    struct walk walk;
    unsigned runs, fired, failures;
    bool over;
} * shared;

static void run_too_long(int signo)
{
    (void)signo;
    static const char text[] = "# it hangs\n";
    test_write_out(text, sizeof(text) - 1);
    _exit(3);
}

/* One run.  True: what was to fail did. */
static bool run_once(const struct scenario *scenario, const char *backend, struct inject plan)
{
    static unsigned char before[TEST_FDS_MAX];
    int failures = test_state.test_failures;
    *inject = plan;
    test_note_fds(before);
    test_limit_time((unsigned)(RUN_SECONDS * test_time_scale()), run_too_long);
    world_run(scenario, backend);
    test_limit_time(0, run_too_long);
    test_compare_fds(before);
    shared->runs++;
    shared->fired += inject->fired > 0;
    if (test_state.test_failures != failures) {
        shared->failures++;
        walk_tell(&plan);
    }
    return inject->fired > 0;
}

/* Everything from where the walk stands on; in a child. */
static void run_all(const struct scenario *scenario, const char *backend)
{
    struct walk *walk = &shared->walk;
    (void)run_once(scenario, backend, (struct inject){ 0 });
    memcpy(walk->made, inject->made, sizeof(walk->made));
    for (bool more = true; more && shared->failures < FAILURES_MAX;) {
        bool there = walk_is_there(walk);
        if (there && walk_is_chosen(walk, scenario->name, backend))
            there = run_once(scenario, backend, walk_plan(walk));
        more = walk_on(walk, there);
    }
    shared->over = true;
}

static void run_only(const struct scenario *scenario, const char *backend, const char *text)
{
    struct inject plan;
    if (OK(inject_parse(&plan, text), "VIGIL_FAIL_ONLY=%s is no injection", text))
        OK(run_once(scenario, backend, plan), "%s did not come to pass", text);
    shared->over = true;
}

static void child_runs(const struct scenario *scenario, const char *backend)
{
    signal(SIGPIPE, SIG_IGN); /* of the peers, who write to what was reset */
    inject = &shared->plan;
    if (shared->walk.only != NULL)
        run_only(scenario, backend, shared->walk.only);
    else
        run_all(scenario, backend);
    _exit(test_state.test_failures == 0 ? 0 : 1);
}

/* Children do it all, so that one that crashes or hangs is a failure like any other. */
static void fail_nth(const struct scenario *scenario, const char *backend)
{
    test_limit_time(3600, run_too_long); /* each run has a limit of its own */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    *shared = (struct shared){ .walk = walk_begin() };
    while (!shared->over && shared->failures < FAILURES_MAX) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            child_runs(scenario, backend);
        int state = 0;
        while (waitpid(child, &state, 0) < 0 && errno == EINTR)
            continue;
        if (WIFEXITED(state) && WEXITSTATUS(state) < 2)
            break;
        fprintf(stderr, "# a run ended with 0x%x\n", (unsigned)state);
        walk_tell(&shared->plan);
        shared->failures++;
        if (!shared->plan.on || shared->walk.only != NULL || !walk_on(&shared->walk, true))
            break;
    }
    EQ_INT(0, shared->failures, "runs that failed");
    OK(shared->runs > 0, "nothing ran");
    printf("# %s [%s]: %u runs, %u injections\n", scenario->name, backend, shared->runs,
           shared->fired);
    munmap(shared, sizeof(*shared));
}
