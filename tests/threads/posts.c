/* SPDX-License-Identifier: MIT
 *
 * posts.c -- posts, stops and signals against a loop that sleeps, turns, changes hands and closes,
 * in thousands of orders: the sources of the library itself, under a seeded scheduler.
 *
 * Below them stands a backend whose wait sleeps until it is woken.  Every post that was taken runs
 * exactly once, in its poster's order, at the latest in the close; none runs that was refused; a
 * loop never sleeps with a post, a stop or a signal to see to; nothing is used that was freed.
 */
#include "loop/loop.h" /* its counters have one writer: no place to switch */

#include "scheduler.h"

#include "loop/loop.c"
#include "loop/post_pool.c"
#include "loop/remote.c"
#include "loop/signals.c"

enum {
    POSTERS_MAX = 3,
    POSTS_EACH_MAX = 4,
    POSTS_WITHIN_MAX = 3, /* that the loop's own thread makes, in callbacks */
    LOOPERS = 2,
    BLOCKS_MAX = 512,
    SIGNO = 10,
};

/* ---- memory: what is freed stays, poisoned, until the run is over ---------------------------- */

static struct {
    unsigned char *p;
    size_t size;
    bool freed;
} blocks[BLOCKS_MAX];
static int block_count;

static void *poisoning_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    unsigned char *p = NULL;
    if (new_size > 0 && block_count < BLOCKS_MAX) {
        p = malloc(new_size);
        memset(p, 0xa5, new_size);
        if (old != NULL)
            memcpy(p, old, vigil__min(old_size, new_size));
        blocks[block_count].p = p;
        blocks[block_count].size = new_size;
        blocks[block_count++].freed = false;
    }
    for (int i = 0; i < block_count && old != NULL; i++)
        if (blocks[i].p == old) {
            memset(old, 0x5a, old_size);
            blocks[i].freed = true;
        }
    return p;
}

/* All was freed, and what was freed is as it was left. */
static const char *memory_fault(void)
{
    const char *fault = NULL;
    for (int i = 0; i < block_count; i++) {
        fault = blocks[i].freed ? fault : "memory is left";
        for (size_t at = 0; blocks[i].freed && at < blocks[i].size; at++)
            fault = blocks[i].p[at] == 0x5a ? fault : "what was freed is written to";
        free(blocks[i].p);
    }
    block_count = 0;
    return fault;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static struct {
    bool signalled; /* the waker's edge */
    bool forgets;   /* a bug on purpose: an edge that came before the sleep is lost */
    vigil_ns now;
    struct vigil__signal_sink *sink;
    int inside; /* handlers */
    bool closed, woken_late;
} machine;

static bool not_signalled(void *arg)
{
    (void)arg;
    return !machine.signalled;
}

static int model_open(void **self, const struct vigil__backend_config *config,
                      struct vigil__backend_caps *found)
{
    (void)config;
    *found = (struct vigil__backend_caps){ .events = VIGIL_IN };
    *self = &machine;
    return 0;
}

static void model_close(void *self)
{
    (void)self;
    machine.closed = true;
}

static int model_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    (void)self, (void)cap;
    switch_point();
    if (machine.forgets)
        machine.signalled = false;
    if (timeout_ns != VIGIL_NOWAIT && !block_while(not_signalled, NULL))
        return VIGIL_ESYS; /* it sleeps for ever */
    bool woken = machine.signalled;
    machine.signalled = false;
    records[0] = (struct vigil__record){ .key = vigil__key(VIGIL__KEY_WAKE, 0, 0, 0) };
    switch_point();
    return woken;
}

static int model_wake(void *self)
{
    (void)self;
    switch_point();
    machine.signalled = true;
    switch_point();
    machine.woken_late = machine.woken_late || machine.closed; /* and freed since the call */
    return 0;
}

static const struct vigil__backend model = { .name = "model",
                                             .open = model_open,
                                             .close = model_close,
                                             .forget = model_close,
                                             .wait = model_wait,
                                             .wake = model_wake };

static vigil_ns model_now(void *self)
{
    (void)self;
    return machine.now += 1000;
}

static int model_signal_add(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self, (void)signo;
    machine.sink = sink;
    return 0;
}

static bool handler_inside(void *arg)
{
    (void)arg;
    return machine.inside > 0;
}

static void model_signal_remove(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self, (void)signo, (void)sink;
    machine.sink = NULL;
    (void)block_while(handler_inside, NULL);
}

const vigil_host *__wrap_vigil__host_system(void);
const vigil_host *__wrap_vigil__host_system(void)
{
    static const struct vigil__backend *const backends[] = { &model, NULL };
    static const vigil_host host = { .backends = backends,
                                     .allocator = { .resize = poisoning_resize },
                                     .now = model_now,
                                     .signal_add = model_signal_add,
                                     .signal_remove = model_signal_remove };
    return &host;
}

/* Each of the scheduler's threads is one to the library, too. */
const void *vigil__thread_mark(void)
{
    static char marks[THREADS_MAX + 1];
    return &marks[scheduler.current + 1];
}

void __wrap_vigil__thread_yield(void);
void __wrap_vigil__thread_yield(void)
{
    if (scheduler.current >= 0)
        scheduler.threads[scheduler.current].rank = 0; /* or by rank it would go on for ever */
    switch_point();
    if (scheduler.steps > STEPS_MAX)
        raise(SIGSEGV); /* it waits for what nobody will do: on_crash() says where */
}

/* ---- one run --------------------------------------------------------------------------------- */

struct post_note {
    int poster, number;
    int status; /* what vigil_post() answered */
    int runs, ran_with;
};

static struct {
    vigil_loop *loop;
    vigil_remote *remote;
    struct post_note notes[POSTERS_MAX + 1][POSTS_EACH_MAX + POSTS_WITHIN_MAX];
    int posted[POSTERS_MAX + 1], last_run[POSTERS_MAX + 1];
    int posters, posts_each, posters_over, turn_of, handovers;
    int signals_sent, signals_told;
    int begun, may_wait; /* posts: calls so far, and those of them that may wait now */
    bool stops_early, stopping, stopped, closed;
    const char *fault;
    uint64_t seed;
} run;

static void fault(const char *what)
{
    run.fault = run.fault != NULL ? run.fault : what;
}

static void post_one(int poster);

static void on_post(vigil_loop *loop, void *arg, int status)
{
    struct post_note *note = arg;
    if (loop != run.loop || run.closed)
        fault("a post runs when the loop has been closed");
    if (note->runs++ > 0)
        fault("a post runs twice");
    if (note->number <= run.last_run[note->poster])
        fault("posts of one thread run in another order");
    if (status != 0 && status != VIGIL_ECANCELED)
        fault("a post has another status");
    run.may_wait--;
    run.last_run[note->poster] = note->number;
    note->ran_with = status;
    if (run.posted[POSTERS_MAX] < POSTS_WITHIN_MAX && choose(3) == 0)
        post_one(POSTERS_MAX);
}

static void post_one(int poster)
{
    int number = run.posted[poster]++;
    struct post_note *note = &run.notes[poster][number];
    *note = (struct post_note){ .poster = poster, .number = number };
    int others = run.may_wait++, begun = ++run.begun;
    note->status = vigil_post(run.remote, on_post, note);
    run.may_wait -= note->status != 0;
    others += run.begun - begun; /* there were never more than that meanwhile */
    if (note->status == VIGIL_EFULL && others < VIGIL__POSTS_MAX)
        fault("a post is refused though there is room");
    if (note->status != 0 && note->status != VIGIL_ECANCELED && note->status != VIGIL_EFULL)
        fault("vigil_post answers neither 0 nor VIGIL_ECANCELED nor VIGIL_EFULL");
}

static void poster_thread(void *arg)
{
    int poster = (int)(intptr_t)arg;
    for (int i = 0; i < run.posts_each; i++)
        post_one(poster);
    vigil_remote_drop(run.remote);
    run.posters_over++;
}

static void on_signal(vigil_loop *loop, int signo, void *arg)
{
    (void)loop, (void)signo, (void)arg;
    run.signals_told = run.signals_sent;
}

/* As the handler of sys/signals.c does, once it has found the sink. */
static void signal_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 && machine.sink != NULL; i++) {
        machine.inside++;
        run.signals_sent++;
        struct vigil__signal_sink *sink = machine.sink;
        atomic_fetch_or(&sink->pending, UINT64_C(1) << (SIGNO - 1));
        sink->wake(sink->arg);
        machine.inside--;
        switch_point();
    }
}

/* Whether anybody has still something to say, or has not been heard. */
static bool unheard(void *arg)
{
    (void)arg;
    bool quiet = run.posters_over == run.posters && run.signals_told == run.signals_sent &&
                 machine.inside == 0;
    for (int poster = 0; poster <= POSTERS_MAX; poster++)
        for (int i = 0; i < run.posted[poster]; i++)
            quiet = quiet && (run.notes[poster][i].status != 0 || run.notes[poster][i].runs > 0);
    return !quiet;
}

static void stop_thread(void *arg)
{
    (void)arg;
    if (!run.stops_early)
        (void)block_while(unheard, NULL);
    run.stopping = true;
    vigil_loop_stop(run.loop);
    run.stopped = true;
}

static bool not_stopped(void *arg)
{
    (void)arg;
    return !run.stopped;
}

static bool others_turn(void *arg)
{
    return run.handovers > 0 && run.turn_of != (int)(intptr_t)arg;
}

/* Two threads have the loop in turns, one turn each; then the first one runs and closes it. */
static void loop_thread(void *arg)
{
    int me = (int)(intptr_t)arg;
    while (block_while(others_turn, arg) && run.handovers > 0) {
        bool sleeps = !run.stopping && choose(2) == 0; /* a stop is for the run, and wakes once */
        int count = vigil_loop_turn(run.loop, sleeps ? VIGIL_FOREVER : VIGIL_NOWAIT);
        if (count < 0)
            fault(scheduler.deadlock ? "it sleeps, and nobody wakes it" : "a turn fails");
        run.turn_of = 1 - me;
        run.handovers--;
        switch_point();
    }
    if (me != 0 || scheduler.deadlock)
        return;
    if (vigil_loop_run(run.loop) != 0)
        fault(scheduler.deadlock ? "it sleeps, and nobody wakes it" : "vigil_loop_run fails");
    if (!block_while(not_stopped, NULL)) /* who stops it is still in there */
        return;
    vigil_loop_close(run.loop);
    run.closed = true;
}

static void run_prepare(uint64_t seed)
{
    memset(&run, 0, sizeof(run));
    run.seed = seed;
    memset(&machine, 0, sizeof(machine));
    for (int i = 0; i <= POSTERS_MAX; i++)
        run.last_run[i] = -1;
    run.posters = 1 + (int)choose(POSTERS_MAX);
    run.posts_each = 1 + (int)choose(POSTS_EACH_MAX);
    run.stops_early = choose(2) == 0;
    run.handovers = choose(2) == 0 ? (int)choose(6) : 0;
    vigil_loop_options options = { .backend = "model", .keep_running = true };
    if (vigil_loop_open(&run.loop, &options) != 0 ||
        vigil_remote_open(run.loop, &run.remote) != 0 ||
        vigil_on_signal(run.loop, SIGNO, on_signal, NULL, NULL) != 0)
        fault("it does not open");
}

static void run_check(void)
{
    if (machine.woken_late)
        fault("a closed loop is woken");
    for (int poster = 0; poster <= POSTERS_MAX; poster++)
        for (int i = 0; i < run.posted[poster]; i++) {
            const struct post_note *note = &run.notes[poster][i];
            if (note->runs != (note->status == 0))
                fault(note->status == 0 ? "a post is lost" : "a post runs that was refused");
            if (note->runs > 0 && note->ran_with != 0 && !run.stops_early && poster < POSTERS_MAX)
                fault("a post is cancelled that came before the stop");
        }
}

/* One order of things.  NULL: all is well; else what is wrong. */
static const char *run_order(uint64_t seed, bool forgets)
{
    scheduler_seed(seed);
    run_prepare(seed);
    machine.forgets = forgets;
    for (int i = 0; i < run.posters; i++) {
        (void)vigil_remote_keep(run.remote);
        thread_add(poster_thread, (void *)(intptr_t)i);
    }
    thread_add(stop_thread, NULL);
    if (choose(2) == 0)
        thread_add(signal_thread, NULL);
    for (int i = 0; i < (run.handovers > 0 ? LOOPERS : 1); i++)
        thread_add(loop_thread, (void *)(intptr_t)i);
    bool ended = scheduler_run();
    if (!ended)
        fault("threads stand still");
    run_check();
    if (ended) {
        if (vigil_post(run.remote, on_post, NULL) != VIGIL_ECANCELED)
            fault("a closed loop takes posts");
        vigil_remote_drop(run.remote);
    }
    const char *memory = memory_fault();
    if (ended && memory != NULL)
        fault(memory);
    return run.fault;
}

/* Most of what is used after it was freed shows as a crash. */
static void on_crash(int signo)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "\n# it crashes, or spins: VIGIL_SEED=%llu\n",
                     (unsigned long long)run.seed);
    test_write_out(text, (size_t)n);
    signal(signo, SIG_DFL);
    raise(signo);
}

static const char *run_well(uint64_t seed)
{
    return run_order(seed, false);
}

TEST(every_order_of_posts_stops_signals_and_the_close)
{
    signal(SIGSEGV, on_crash);
    orders_run(run_well, 50000);
}

/* A wait that forgets what came before it: the order in which that hurts must be found. */
TEST(a_lost_wake_on_purpose_is_found)
{
    enum { ENOUGH = 2000 };
    uint64_t seed = 1;
    while (seed <= ENOUGH && run_order(seed, true) == NULL)
        seed++;
    OK(seed <= ENOUGH, "%d orders have not found it", ENOUGH);
    printf("# found after %llu orders\n", (unsigned long long)seed);
}
