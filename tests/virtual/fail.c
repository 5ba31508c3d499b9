/* SPDX-License-Identifier: MIT
 *
 * fail.c -- a row of the conformance suite again and again, with one thing failing each time: the
 * first allocation, the second ..., the first call of each kind, once and from then on.
 *
 * VIGIL_FAIL_STEP=1 asks for all of them, 16 for every 16th: those with the number of 16 that
 * VIGIL_FAIL_OFFSET says.  VIGIL_FAIL_ONLY='recv:ECONNRESET:once:3' does one.  What the row itself
 * expects is of no interest then; row.c and observe.c say what is wrong.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "virtual/world.h"

enum {
    ERRORS_MAX = 3,
    PLAN_TEXT_MAX = 80,
    FAILURES_MAX = 10,
    DENSE_MAX = 24,
    SPREAD = 12,
    WAITS_MORE = 5000,
    LONG_MS = 20, /* of CPU time */
    DENSE_LONG = 4,
    SPREAD_LONG = 2,
    LEFT = 77, /* how a child ends whose row left in its midst: what it kept is not for the next */
};

/* What each call may fail with. */
static const struct {
    const char *name;
    int errors[ERRORS_MAX];
} kinds[VIGIL_SIM_CALL_COUNT] = {
    [VIGIL_SIM_CALL_SOCKET] = { "socket", { VIGIL_EMFILE, VIGIL_ENOBUFS } },
    [VIGIL_SIM_CALL_BIND] = { "bind", { VIGIL_EADDRINUSE } },
    [VIGIL_SIM_CALL_LISTEN] = { "listen", { VIGIL_EADDRINUSE } },
    [VIGIL_SIM_CALL_ACCEPT] = { "accept", { VIGIL_EMFILE, VIGIL_ECONNRESET, VIGIL_ENOMEM } },
    [VIGIL_SIM_CALL_CONNECT] = { "connect", { VIGIL_ECONNREFUSED, VIGIL_EUNREACH } },
    [VIGIL_SIM_CALL_SOCKET_ERROR] = { "socket_error", { VIGIL_ECONNREFUSED } },
    [VIGIL_SIM_CALL_RECV] = { "recv", { VIGIL_ECONNRESET, VIGIL_ENOMEM, VIGIL__EAGAIN } },
    [VIGIL_SIM_CALL_SEND] = { "send", { VIGIL_ECONNRESET, VIGIL_ENOBUFS, VIGIL__EAGAIN } },
    [VIGIL_SIM_CALL_SHUTDOWN] = { "shutdown", { VIGIL_ENOTCONN } },
    [VIGIL_SIM_CALL_OPTION] = { "option", { VIGIL_ENOBUFS } },
    [VIGIL_SIM_CALL_ADDRESS] = { "address", { VIGIL_ENOBUFS, VIGIL_ENOTCONN } },
    [VIGIL_SIM_CALL_READ] = { "read", { VIGIL_ESYS, VIGIL_ENOMEM } },
    [VIGIL_SIM_CALL_WRITE] = { "write", { VIGIL_ECONNRESET, VIGIL_ENOMEM } },
    [VIGIL_SIM_CALL_DESCRIBE] = { "describe", { VIGIL_EBADF } },
    [VIGIL_SIM_CALL_UNLINK] = { "unlink", { VIGIL_EACCES } },
    [VIGIL_SIM_CALL_ALLOCATE] = { "allocate", { VIGIL_ENOMEM } },
    [VIGIL_SIM_CALL_OPEN] = { "open", { VIGIL_EMFILE, VIGIL_ENOMEM } },
    [VIGIL_SIM_CALL_SET] = { "set", { VIGIL_ENOMEM } },
    [VIGIL_SIM_CALL_WAIT] = { "wait", { VIGIL_ENOMEM } },
    [VIGIL_SIM_CALL_SUBMIT] = { "submit", { VIGIL_EFULL, VIGIL_ENOMEM } },
};

struct plan {
    bool on;
    unsigned call, error, ever, nth;
};

/* What the children that run injections share with their parent. */
static struct shared {
    struct plan plan;
    unsigned runs, fired, left, lost, failures;
    uint64_t made[VIGIL_SIM_CALL_COUNT]; /* calls of a run untouched */
    bool takes_long;
    bool over;
} * shared;

static struct {
    bool asked;
    unsigned step, offset;
    const char *only;
} choice;

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void choose(void)
{
    choice.only = getenv("VIGIL_FAIL_ONLY");
    choice.step = number_of("VIGIL_FAIL_STEP", 0);
    choice.asked = choice.only != NULL || choice.step > 0;
    choice.step = choice.step > 0 ? choice.step : 1;
    choice.offset = number_of("VIGIL_FAIL_OFFSET", 0) % choice.step;
}

/* ---- plans ---- */

static const char *error_name(int status)
{
    return status == VIGIL__EAGAIN ? "EAGAIN" : vigil_err_name(status) + strlen("VIGIL_");
}

static int status_of(const struct plan *plan)
{
    return kinds[plan->call].errors[plan->error];
}

static void plan_format(const struct plan *plan, char text[PLAN_TEXT_MAX])
{
    snprintf(text, PLAN_TEXT_MAX, "%s:%s:%s:%u", kinds[plan->call].name,
             error_name(status_of(plan)), plan->ever != 0 ? "ever" : "once", plan->nth);
}

static bool plan_next(struct plan *plan, bool there);

/* False: `text` is no plan. */
static bool plan_parse(struct plan *out, const char *text)
{
    const char *colon = strrchr(text, ':');
    struct plan plan = { .on = true, .nth = 1 };
    if (colon == NULL)
        return false;
    do {
        char kind[PLAN_TEXT_MAX];
        plan_format(&plan, kind);
        if (strncmp(kind, text, (size_t)(colon - text) + 1) == 0) {
            plan.nth = (unsigned)strtoul(colon + 1, NULL, 10);
            *out = plan;
            return plan.nth > 0;
        }
    } while (plan_next(&plan, false));
    return false;
}

/* The next one of its kind, error and mode while `there`; behind the last, the first of the next.
 * False: there is none. */
static bool plan_next(struct plan *plan, bool there)
{
    if (there) {
        plan->nth++;
        return true;
    }
    plan->nth = 1;
    if (++plan->ever < 2)
        return true;
    plan->ever = 0;
    if (++plan->error < ERRORS_MAX && status_of(plan) != 0)
        return true;
    plan->error = 0;
    return ++plan->call < VIGIL_SIM_CALL_COUNT;
}

static unsigned hash_of(const char *title, const char *plan)
{
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */
    const char *texts[] = { title, plan };
    for (size_t i = 0; i < VIGIL_COUNT(texts); i++)
        for (const char *at = texts[i]; *at != '\0'; at++)
            hash = (hash ^ (uint8_t)*at) * 16777619u;
    return hash >> 8;
}

/* ---- runs ---- */

void fail_prepare(void)
{
    if (shared == NULL || !shared->plan.on)
        return;
    const struct plan *plan = &shared->plan;
    if (plan->call != VIGIL_SIM_CALL_WAIT) /* a row that waits for what cannot come any more ends */
        vigil_sim_fail_call(world.sim, world.table, VIGIL_SIM_CALL_WAIT,
                            WAITS_MORE + 4 * shared->made[VIGIL_SIM_CALL_WAIT], VIGIL_ENOMEM, true);
    world.resets_fail = plan->call == VIGIL_SIM_CALL_OPTION;
    vigil_sim_fail_call(world.sim, world.table, (vigil_sim_call)plan->call, plan->nth,
                        status_of(plan), plan->ever != 0);
}

bool fail_now(void)
{
    return shared != NULL && shared->plan.on;
}

void fail_note(void)
{
    if (shared == NULL)
        return;
    if (!shared->plan.on)
        for (unsigned i = 0; i < VIGIL_SIM_CALL_COUNT; i++)
            shared->made[i] = vigil_sim_calls(world.sim, world.table, (vigil_sim_call)i);
    else
        shared->fired += world.sim->planned_hits > 0;
    shared->left += world.left;
    shared->lost += world.lost;
}

static void tell(const char *program, const char *title)
{
    char text[PLAN_TEXT_MAX];
    plan_format(&shared->plan, text);
    dprintf(world_stderr, "# VIGIL_FAIL_ONLY='%s' %s '%s'\n", text, program, title);
}

/* One run.  True: what was to fail did. */
static bool run_once(const char *program, const char *title, void (*row)(void *arg), void *arg)
{
    unsigned fired = shared->fired;
    shared->runs++;
    row(arg);
    if (world.failures > 0) {
        shared->failures++;
        tell(program, title);
    }
    return shared->fired > fired;
}

/* Not what says "not now", nor newcomers that abort without anybody having come, nor a connection
 * that is made and has no peer. */
static bool may_stay(const struct plan *plan)
{
    int status = status_of(plan);
    bool aborts = plan->call == VIGIL_SIM_CALL_ACCEPT && status == VIGIL_ECONNRESET;
    bool peerless = plan->call == VIGIL_SIM_CALL_ADDRESS && status == VIGIL_ENOTCONN;
    return status != VIGIL__EAGAIN && status != VIGIL_EFULL && !aborts && !peerless;
}

/* Of thousands of calls that are alike the first are tried one by one, of the others some; and of a
 * row that takes long fewer. */
static bool is_worth_it(const struct plan *plan)
{
    uint64_t stride = shared->made[plan->call] / (shared->takes_long ? SPREAD_LONG : SPREAD) + 1;
    return plan->nth <= (shared->takes_long ? DENSE_LONG : DENSE_MAX) || plan->nth % stride == 0;
}

/* Whether it is worth a run: until one does not come to pass, or in a sample as far as the run
 * untouched went. */
static bool is_there(const struct plan *plan)
{
    if (plan->ever != 0 && !may_stay(plan))
        return false;
    uint64_t made = shared->made[plan->call];
    return choice.step == 1 ? made > 0 : plan->nth <= made;
}

static bool is_chosen(const struct plan *plan, const char *title)
{
    char text[PLAN_TEXT_MAX];
    plan_format(plan, text);
    return choice.step == 1 || hash_of(title, text) % choice.step == choice.offset;
}

/* Everything from where `shared` stands on, until a row leaves; in a child. */
static void run_all(const char *program, const char *title, void (*row)(void *arg), void *arg)
{
    bool more = true;
    while (more && shared->failures < FAILURES_MAX) {
        bool there = is_there(&shared->plan);
        bool fired = there;
        bool worth = is_worth_it(&shared->plan);
        if (!worth)
            fired = there && shared->plan.nth <= shared->made[shared->plan.call];
        else if (there && is_chosen(&shared->plan, title)) {
            fired = run_once(program, title, row, arg);
            if (world.left)
                break;
        }
        more = plan_next(&shared->plan, fired);
    }
    shared->over = !more || shared->failures >= FAILURES_MAX;
}

static void run_only(const char *program, const char *title, void (*row)(void *arg), void *arg)
{
    if (!plan_parse(&shared->plan, choice.only))
        dprintf(world_stderr, "# VIGIL_FAIL_ONLY=%s is no injection\n", choice.only);
    else if (!run_once(program, title, row, arg))
        dprintf(world_stderr, "# %s did not come to pass\n", choice.only);
    shared->over = true;
}

/* One child after the other, until all is done: a crash is a failure like any other. */
static void run_in_children(const char *program, const char *title, void (*row)(void *arg),
                            void *arg)
{
    while (!shared->over && shared->failures < FAILURES_MAX) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            if (choice.only == NULL && freopen("/dev/null", "w", stderr) == NULL)
                _exit(1); /* what the row finds wrong is of no interest */
            (choice.only != NULL ? run_only : run_all)(program, title, row, arg);
            _exit(world.left ? LEFT : 0);
        }
        int state = 0;
        if (child < 0 || waitpid(child, &state, 0) != child) {
            shared->failures++;
            return;
        }
        bool good = WIFEXITED(state) && (WEXITSTATUS(state) == 0 || WEXITSTATUS(state) == LEFT);
        if (!good) {
            shared->failures++;
            dprintf(world_stderr, "# a run ended with 0x%x\n", (unsigned)state);
            tell(program, title);
        }
        if (!shared->over && !plan_next(&shared->plan, true))
            return;
    }
}

int virtual_repeat(const char *program, const char *title, void (*row)(void *arg), void *arg)
{
    choose();
    if (!choice.asked) {
        row(arg);
        return 0;
    }
    if (world_stderr < 0)
        world_stderr = dup(STDERR_FILENO);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    clock_t began = clock();
    row(arg);
    shared->takes_long = (clock() - began) * 1000 / CLOCKS_PER_SEC > LONG_MS;
    if (!world.left && world.failures == 0) {
        shared->plan = (struct plan){ .on = true, .nth = 1 };
        run_in_children(program, title, row, arg);
        printf("# %s: %u runs, %u injections, %u left in their midst, of which %u in a callback\n",
               title, shared->runs, shared->fired, shared->left, shared->lost);
    }
    int failures = (int)shared->failures;
    munmap(shared, sizeof(*shared));
    shared = NULL;
    return failures;
}
