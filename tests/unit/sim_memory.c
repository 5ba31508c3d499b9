/* SPDX-License-Identifier: MIT
 *
 * sim_memory.c -- a world's own memory runs out: its first allocation fails, its second ..., once
 * and from then on, until a run passes untouched.  What it cannot do it says, it gives back what it
 * had, and it accuses nobody of what is its own trouble.
 */
#include <stdlib.h>
#include <string.h>

#include "sys/host.h"
#include "test.h"
#include "vigil_sim.h"

enum { BYTES = 20000, CHOICES = 1100, RUNS_MAX = 5000, MARK = 0x76696769 };

/* The machine's allocator for the world, which asks vigil__host_system() for it: linked with
 * --wrap, see the Makefile. */
const vigil_host *__real_vigil__host_system(void);
const vigil_host *__wrap_vigil__host_system(void);

static struct {
    bool on, ever;
    unsigned long nth, asked; /* the one that fails; how many there were */
    size_t live;              /* blocks */
    bool wrong;               /* a block was given back by another size than its own */
} memory;

union head {
    struct {
        size_t size;
        unsigned mark;
    } is;
    max_align_t align;
};

static bool fails_now(void)
{
    memory.asked++;
    return memory.nth != 0 &&
           (memory.ever ? memory.asked >= memory.nth : memory.asked == memory.nth);
}

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    union head *was = old != NULL ? (union head *)old - 1 : NULL;
    if (was != NULL && (was->is.mark != MARK || was->is.size != old_size))
        memory.wrong = true;
    if (new_size > 0 && fails_now())
        return NULL;
    union head *now = NULL;
    if (new_size > 0) {
        now = malloc(sizeof(*now) + new_size);
        if (now == NULL)
            return NULL;
        now->is.size = new_size;
        now->is.mark = MARK;
        memory.live++;
    }
    if (was != NULL && now != NULL)
        memcpy(now + 1, was + 1, old_size < new_size ? old_size : new_size);
    if (was != NULL)
        memory.live--;
    free(was);
    return now != NULL ? now + 1 : NULL;
}

const vigil_host *__wrap_vigil__host_system(void)
{
    static vigil_host host;
    if (!memory.on)
        return __real_vigil__host_system();
    host = *__real_vigil__host_system();
    host.allocator = (vigil_allocator){ .resize = resize };
    return &host;
}

/* ---- a world with something of everything ---- */

struct scene {
    vigil_sim *sim;
    const vigil_host *at_1, *at_2;
    bool hosts; /* could be made */
    const char *backend;
    vigil_loop *server, *clients;
    unsigned closed, calls, looks;
    size_t got;
};

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static size_t count(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct scene *scene = ctx;
    (void)loop, (void)conn, (void)p;
    scene->got += n;
    return n;
}

static void closed(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct scene *scene = ctx;
    (void)loop, (void)conn, (void)why;
    scene->closed++;
}

static const vigil_conn_ops echoing = { .data = echo };
static const vigil_conn_ops counting = { .data = count, .close = closed };

static bool holds(void *arg)
{
    ((struct scene *)arg)->looks++;
    return true;
}

static void cut(void *arg)
{
    struct scene *scene = arg;
    scene->calls++;
    (void)vigil_sim_partition(scene->sim, scene->at_1, scene->at_2); /* or memory is short */
}

static void heal(void *arg)
{
    struct scene *scene = arg;
    scene->calls++;
    (void)vigil_sim_heal(scene->sim, scene->at_1, scene->at_2);
}

static void power(void *arg)
{
    struct scene *scene = arg;
    scene->calls++;
    vigil_sim_kill(scene->sim, scene->at_1);
    vigil_sim_restart(scene->sim, scene->at_1);
}

/* What is there without a loop.  Each is made whole, or not at all. */
static void make_files(struct scene *scene)
{
    vigil_fd pair[2], file;
    if (vigil_sim_pair(scene->sim, scene->at_1, pair) == 0) {
        vigil_sim_close_fd(scene->sim, scene->at_1, pair[0]);
        vigil_sim_close_fd(scene->sim, scene->at_1, pair[1]);
    }
    if (vigil_sim_pipe(scene->sim, scene->at_2, pair) == 0) {
        vigil_sim_close_fd(scene->sim, scene->at_2, pair[1]);
        vigil_sim_close_fd(scene->sim, scene->at_2, pair[0]);
    }
    if (vigil_sim_file(scene->sim, scene->at_2, "content", 7, &file) == 0)
        vigil_sim_close_fd(scene->sim, scene->at_2, file);
}

static void connect_to(struct scene *scene, vigil_loop *loop, const char *where)
{
    static const char bytes[BYTES];
    const vigil_conn_options options = { .ops = &counting,
                                         .ctx = scene,
                                         .limits = { .idle_ns = VIGIL_S(30),
                                                     .connect_ns = VIGIL_S(30) } };
    vigil_conn conn;
    if (loop == NULL || vigil_connect(loop, where, &options, &conn) != 0)
        return;
    (void)vigil_send_all(loop, conn, bytes, sizeof(bytes)); /* as far as memory goes */
    (void)vigil_end(loop, conn);
}

static void play(struct scene *scene)
{
    const vigil_sim_link link = { .latency_ns = VIGIL_MS(1), .jitter_ns = VIGIL_MS(5) };
    const vigil_listen_options listening = { .ops = &echoing,
                                             .limits = { .idle_ns = VIGIL_S(30) } };
    vigil_sim *sim = scene->sim;
    scene->at_1 = vigil_sim_host(sim, "10.0.0.1", NULL);
    scene->at_2 = vigil_sim_host(sim, "10.0.0.2", NULL);
    scene->hosts = vigil_sim_failure(sim) == NULL;
    if (!scene->hosts) /* which is told as a failure: nothing of what follows could be */
        return;
    (void)vigil_sim_connect_hosts(sim, scene->at_1, scene->at_2, &link);
    (void)vigil_sim_invariant(sim, "it is looked at", holds, scene);
    (void)vigil_sim_after(sim, VIGIL_MS(4), cut, scene);
    (void)vigil_sim_after(sim, VIGIL_S(2), heal, scene);
    (void)vigil_sim_after(sim, VIGIL_S(20), power, scene);
    for (unsigned i = 0; i < CHOICES; i++) /* more than a trace has room for at first */
        (void)vigil_sim_choose(sim, "ours", 2);
    make_files(scene);
    const vigil_loop_options at_1 = { .host = scene->at_1, .backend = scene->backend };
    const vigil_loop_options at_2 = { .host = scene->at_2, .backend = scene->backend };
    if (vigil_loop_open(&scene->server, &at_1) == 0) {
        (void)vigil_listen(scene->server, "10.0.0.1:7", &listening, NULL);
        (void)vigil_listen(scene->server, "unix:/socket", &listening, NULL);
    }
    (void)vigil_loop_open(&scene->clients, &at_2);
    connect_to(scene, scene->clients, "10.0.0.1:7");
    connect_to(scene, scene->clients, "10.0.0.1:9"); /* where nobody listens */
    connect_to(scene, scene->clients, "10.0.0.9:7"); /* where nobody is */
    connect_to(scene, scene->server, "unix:/socket");
    (void)vigil_sim_run(sim, VIGIL_S(300));
}

/* One run; true: what was to fail did. */
static bool run(const char *backend, uint64_t seed, struct scene *scene)
{
    const vigil_sim_options options = { .seed = seed, .calm = true };
    memory.asked = 0;
    memory.wrong = false;
    memory.on = true;
    *scene = (struct scene){ .backend = backend };
    int status = vigil_sim_open(&scene->sim, &options);
    OK(status == 0 || (status == VIGIL_ENOMEM && scene->sim == NULL), "%d", status);
    if (status == 0) {
        play(scene);
        vigil_loop_close(scene->clients);
        vigil_loop_close(scene->server);
        bool good = vigil_sim_check_balance(scene->sim);
        const char *failure = vigil_sim_failure(scene->sim);
        if (!scene->hosts)
            OK(failure != NULL && strstr(failure, "hosts can be made") == failure, "%s", failure);
        else
            OK(good, "%s", failure);
    }
    vigil_sim_close(scene->sim);
    memory.on = false;
    EQ_INT(0, (int)memory.live, "blocks that were not given back");
    OK(!memory.wrong, "given back by another size");
    return memory.nth != 0 && memory.asked >= memory.nth;
}

static void fail_each(const char *backend, bool ever)
{
    struct scene scene;
    memory.nth = 0;
    memory.ever = ever;
    (void)run(backend, 1, &scene);
    EQ_INT(4, (int)scene.closed, "%s", backend);
    EQ_INT(3, (int)scene.calls);
    OK(scene.looks > 0);
    OK(scene.got >= BYTES, "%zu", scene.got); /* that of the Unix socket at least */
    for (memory.nth = 1; memory.nth < RUNS_MAX; memory.nth++) {
        int failures = test_state.test_failures;
        if (!run(backend, 1, &scene))
            break;
        if (test_state.test_failures != failures)
            fprintf(stderr, "# allocation %lu, %s, on %s\n", memory.nth, ever ? "ever" : "once",
                    backend);
        REQUIRE(test_state.test_failures < 10);
    }
    OK(memory.nth > 50 && memory.nth < RUNS_MAX, "%lu", memory.nth);
    printf("# %lu allocations on %s, %s\n", memory.nth - 1, backend, ever ? "ever" : "once");
    memory.nth = 0;
}

TEST(each_allocation_of_a_world_fails_once)
{
    fail_each("sim-ready", false);
    fail_each("sim-complete", false);
}

TEST(each_allocation_of_a_world_fails_and_all_behind_it)
{
    fail_each("sim-ready", true);
    fail_each("sim-complete", true);
}

static void fails_with_a_1(vigil_sim *sim, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 10; i++)
        vigil_sim_always(sim, "no 1", vigil_sim_choose(sim, "ours", 2) == 0, "there is one");
}

/* A trace that cannot be made smaller stays one that fails. */
TEST(a_trace_is_shrunk_with_what_memory_there_is)
{
    for (memory.nth = 1; memory.nth < RUNS_MAX; memory.nth++) {
        uint32_t choices[200];
        for (size_t i = 0; i < TEST_COUNT(choices); i++)
            choices[i] = 1; /* those of the faults are the world's, then come ours */
        memory.asked = 0;
        memory.on = true;
        size_t left = vigil_sim_shrink(fails_with_a_1, NULL, choices, TEST_COUNT(choices), 1000);
        memory.on = false;
        EQ_INT(0, (int)memory.live);
        bool there = false;
        for (size_t i = 0; i < left; i++)
            there = there || choices[i] == 1;
        OK(there, "%lu", memory.nth);
        if (memory.asked < memory.nth)
            break;
    }
    OK(memory.nth > 20 && memory.nth < RUNS_MAX, "%lu", memory.nth);
    memory.nth = 0;
}
