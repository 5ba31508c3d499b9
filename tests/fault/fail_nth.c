/* SPDX-License-Identifier: MIT
 *
 * fail_nth.c -- each scenario on each backend, with its first, its second and every further call of
 * each kind failing, once and from then on, until it passes untouched.
 *
 * walk.h says how to take a sample, or one alone; a failure prints the command that does it again.
 */
#include "scenarios.h"
#include "walk.h"

enum { RUN_SECONDS = 30 };

struct nth {
    const struct scenario *scenario;
    const char *backend;
};

static void run_too_long(int signo)
{
    (void)signo;
    static const char text[] = "# it hangs\n";
    test_write_out(text, sizeof(text) - 1);
    _exit(3);
}

static bool run_once(struct walk *walk, void *arg)
{
    static unsigned char before[TEST_FDS_MAX];
    const struct nth *nth = arg;
    int failures = test_state.test_failures;
    *inject = (struct inject){ .plan = walk->plan };
    test_note_fds(before);
    test_limit_time((unsigned)(RUN_SECONDS * test_time_scale()), run_too_long);
    world_run(nth->scenario, nth->backend);
    test_limit_time(0, run_too_long);
    test_compare_fds(before);
    walk->failures += test_state.test_failures != failures;
    return inject->fired > 0;
}

static void run_all(struct walk *walk, void *arg)
{
    signal(SIGPIPE, SIG_IGN); /* of the peers, who write to what was reset */
    if (!walk->began) {
        (void)walk_run(walk, (struct plan){ 0 }, run_once, arg);
        walk_begins(walk, inject->made);
    }
    walk_all(walk, run_once, NULL, arg);
}

static void fail_nth(const struct scenario *scenario, const char *backend)
{
    struct nth nth = { scenario, backend };
    test_limit_time(3600, run_too_long); /* each run has a limit of its own */
    struct walk *walk = walk_new(&inject_kinds, TEST_PROGRAM, test_state.title);
    REQUIRE(walk != NULL);
    walk_in_children(walk, run_all, &nth);
    EQ_INT(0, walk->failures, "runs that failed");
    walk_sum(walk);
    const char *for_nothing = walk_for_nothing(walk);
    walk_free(walk);
    if (for_nothing != NULL)
        SKIP(for_nothing);
}
