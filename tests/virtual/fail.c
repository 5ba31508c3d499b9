/* SPDX-License-Identifier: MIT
 *
 * fail.c -- a row of the conformance suite again and again, with one thing failing each time: the
 * first allocation, the second ..., the first call of each kind, once and from then on.
 *
 * VIGIL_FAIL_STEP=1 asks for all of them; fault/walk.h says what else there is.  What the row
 * itself expects is of no interest then; row.c and observe.c say what is wrong.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault/walk.h"
#include "virtual/world.h"

enum { WAITS_MORE = 1000, MALLOC_KEEPS = 32 << 20 };

/* Members of the host table that a world does not count among its calls. */
enum {
    FAIL_CLOSE = VIGIL_SIM_CALL_COUNT,
    FAIL_READABLE,
    FAIL_REOPEN,
    FAIL_IDENTITY,
    FAIL_MODE,
    FAIL_SIGNAL,
    FAIL_COUNT
};

/* What each call may fail with. */
static const struct plan_kind kinds[FAIL_COUNT] = {
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
    [FAIL_CLOSE] = { "close", { VIGIL_ESYS } },
    [FAIL_READABLE] = { "readable", { VIGIL_ENOMEM } },
    [FAIL_REOPEN] = { "reopen", { VIGIL_EMFILE, VIGIL_ENOTSUP } },
    [FAIL_IDENTITY] = { "path_identity", { VIGIL_EACCES } },
    [FAIL_MODE] = { "path_mode", { VIGIL_EACCES } },
    [FAIL_SIGNAL] = { "signal_add", { VIGIL_ENOMEM } },
};

static const char *error_name(int status)
{
    return status == VIGIL__EAGAIN ? "EAGAIN" : vigil_err_name(status) + strlen("VIGIL_");
}

/* Not what says "not now", nor newcomers that abort without anybody having come, nor a connection
 * that is made and has no peer. */
static bool may_stay(unsigned call, int status)
{
    bool aborts = call == VIGIL_SIM_CALL_ACCEPT && status == VIGIL_ECONNRESET;
    bool peerless = call == VIGIL_SIM_CALL_ADDRESS && status == VIGIL_ENOTCONN;
    return status != VIGIL__EAGAIN && status != VIGIL_EFULL && !aborts && !peerless;
}

static const struct plan_kinds all = { kinds, FAIL_COUNT, error_name, may_stay };

static struct walk *walk; /* NULL: rows run once */

/* ---- what a world does not count ---- */

static unsigned made[FAIL_COUNT]; /* in this run */
static vigil_host sound;          /* the table without failures */

static bool fails(unsigned call)
{
    const struct plan *plan = &walk->plan;
    unsigned nth = ++made[call];
    return plan->on && plan->call == call && (plan->ever ? nth >= plan->nth : nth == plan->nth);
}

/* The descriptor is gone whatever close(2) answers. */
static int fail_close(void *self, vigil_fd fd)
{
    int answer = sound.close(self, fd);
    return fails(FAIL_CLOSE) ? walk->plan.error : answer;
}

static bool fail_readable(void *self, vigil_fd fd)
{
    return !fails(FAIL_READABLE) && sound.readable(self, fd);
}

static int fail_reopen(void *self, vigil_fd fd)
{
    return fails(FAIL_REOPEN) ? walk->plan.error : sound.reopen(self, fd);
}

static int fail_identity(void *self, const char *path, uint64_t identity[2])
{
    return fails(FAIL_IDENTITY) ? walk->plan.error : sound.path_identity(self, path, identity);
}

static int fail_mode(void *self, const char *path, unsigned mode)
{
    return fails(FAIL_MODE) ? walk->plan.error : sound.path_mode(self, path, mode);
}

static int fail_signal(void *self, int signo, struct vigil__signal_sink *sink)
{
    return fails(FAIL_SIGNAL) ? walk->plan.error : sound.signal_add(self, signo, sink);
}

static void stand_between(vigil_host *table)
{
    memset(made, 0, sizeof(made));
    sound = *table;
    table->close = fail_close;
    table->readable = fail_readable;
    table->reopen = fail_reopen;
    table->path_identity = fail_identity;
    table->path_mode = fail_mode;
    table->signal_add = fail_signal;
}

/* ---- the world of a run ---- */

bool virtual_is_repeated(void)
{
    return walk != NULL;
}

bool fail_now(void)
{
    return walk != NULL && walk->plan.on;
}

void fail_prepare(void)
{
    if (walk == NULL)
        return;
    stand_between(&world.host->table);
    const struct plan *plan = &walk->plan;
    if (!plan->on)
        return;
    if (plan->call != VIGIL_SIM_CALL_WAIT) /* a row that waits for what cannot come any more ends */
        vigil_sim_fail_call(world.sim, world.table, VIGIL_SIM_CALL_WAIT,
                            WAITS_MORE + 4 * walk->made[VIGIL_SIM_CALL_WAIT], VIGIL_ENOMEM, true);
    world.resets_fail = plan->call == VIGIL_SIM_CALL_OPTION;
    if (plan->call < VIGIL_SIM_CALL_COUNT)
        vigil_sim_fail_call(world.sim, world.table, (vigil_sim_call)plan->call, plan->nth,
                            plan->error, plan->ever);
}

void fail_note(void)
{
    if (walk == NULL)
        return;
    for (unsigned i = 0; i < VIGIL_SIM_CALL_COUNT; i++)
        made[i] = (unsigned)vigil_sim_calls(world.sim, world.table, (vigil_sim_call)i);
    world.fired = walk->plan.on && made[walk->plan.call] >= walk->plan.nth;
    if (!walk->plan.on)
        walk_begins(walk, made);
}

/* ---- runs ---- */

struct row {
    void (*run)(void *arg);
    void *arg;
};

static bool run_once(struct walk *of, void *arg)
{
    const struct row *row = arg;
    world_stderr = of->used ? -1 : of->tell;
    row->run(row->arg);
    of->failures += world.failures > 0;
    return world.fired;
}

/* A row that leaves in its midst keeps what it had in memory and in static variables; one that
 * leaves the library in its midst leaves that. */
static enum walk_rest rest_of(void)
{
    return world.lost ? WALK_SPENT : world.left ? WALK_USED : WALK_CLEAN;
}

static void run_all(struct walk *of, void *row)
{
    if (of->only == NULL && freopen("/dev/null", "w", stderr) == NULL)
        _exit(1); /* what the row finds wrong is of no interest */
    walk_all(of, run_once, rest_of, row);
}

int virtual_repeat(const char *program, const char *title, void (*run)(void *arg), void *arg,
                   const char **skip)
{
    struct row row = { run, arg };
    if (getenv("VIGIL_FAIL_STEP") == NULL && getenv("VIGIL_FAIL_ONLY") == NULL) {
        run(arg);
        return 0;
    }
    static int tell = -1;
    tell = tell < 0 ? dup(STDERR_FILENO) : tell;
    walk = walk_new(&all, program, title);
    if (walk == NULL)
        return 1;
    walk->tell = tell;
    (void)mallopt(M_MMAP_THRESHOLD, MALLOC_KEEPS); /* pages are kept from one run to the next */
    (void)mallopt(M_TRIM_THRESHOLD, MALLOC_KEEPS);
    (void)walk_run(walk, (struct plan){ 0 }, run_once, &row);
    if (!world.left && world.failures == 0) {
        walk_in_children(walk, run_all, &row);
        walk_sum(walk);
        *skip = walk_for_nothing(walk);
    }
    int failures = (int)walk->failures;
    walk_free(walk);
    walk = NULL;
    return failures;
}
