/* SPDX-License-Identifier: MIT
 *
 * sim_faults.c -- every kind of fault of vigil_sim.h: by number, once and from then on; sticky by
 * choice; and what the choices take away for a while and give back.
 *
 * The program under them is an echo server and a client whose connections have something of every
 * occasion: accepts, several rounds of sending, timers, and some that are cancelled.
 */
#include <string.h>

#include "test.h"
#include "vigil_sim.h"

enum { CONNS = 6, ROUNDS = 5, TOLD_MAX = 4000 };

struct program {
    vigil_sim *sim;
    const vigil_host *at_server, *at_client;
    vigil_loop *server, *client;
    vigil_conn conns[CONNS];
    size_t rounds, starts, got;
    bool sticks[VIGIL_SIM_FAULT_COUNT]; /* so it was told */
    unsigned told;
    const char *what; /* goes wrong */
};

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static size_t count(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct program *program = ctx;
    (void)loop;
    (void)conn;
    (void)p;
    program->got += n;
    return n;
}

static const vigil_conn_ops echoing = { .data = echo };
static const vigil_conn_ops counting = { .data = count };

static void server_open(struct program *program, const char *backend)
{
    const vigil_loop_options options = { .host = program->at_server, .backend = backend };
    const vigil_listen_options listening = { .ops = &echoing };
    if (vigil_loop_open(&program->server, &options) == 0)
        (void)vigil_listen(program->server, "10.0.0.1:7", &listening,
                           NULL); /* a fault may refuse */
}

static void started(void *arg)
{
    struct program *program = arg;
    vigil_loop_close(program->server);
    program->server = NULL;
    program->starts++;
    server_open(program, "sim-ready");
}

/* Each says something again; one of them is paused and goes on, and one connects. */
static void round_of(vigil_loop *loop, void *arg)
{
    struct program *program = arg;
    const vigil_conn_options options = { &counting, program, { .idle_ns = VIGIL_S(10) } };
    for (size_t i = 0; i < CONNS; i++) {
        (void)vigil_send_all(loop, program->conns[i], "hello", 5); /* it may be gone */
        (void)vigil_pause(loop, program->conns[i]);                /* likewise */
        if (i % 2 == 0)
            (void)vigil_resume(loop, program->conns[i]); /* likewise */
    }
    if (program->rounds < CONNS)
        (void)vigil_connect(loop, "10.0.0.1:7", &options, &program->conns[program->rounds]);
    for (size_t i = 1; i < CONNS; i += 2)
        (void)vigil_resume(loop, program->conns[i]); /* likewise */
    if (++program->rounds < CONNS + ROUNDS)
        (void)vigil_after(loop, VIGIL_MS(20), round_of, program, NULL); /* memory may be short */
}

static void play(struct program *program, vigil_sim *sim, const char *backend)
{
    program->sim = sim;
    vigil_sim_may_kill(sim, program->at_server, started, program);
    server_open(program, backend);
    const vigil_loop_options options = { .host = program->at_client, .backend = backend };
    if (vigil_loop_open(&program->client, &options) == 0 &&
        vigil_after(program->client, 1, round_of, program, NULL) == 0)
        (void)vigil_sim_run_for(sim, VIGIL_S(200)); /* the end says whether it failed */
    vigil_loop_close(program->client);
    vigil_loop_close(program->server);
    bool spins = strcmp(program->what, "WAIT for ever") == 0; /* whose loop can do nothing else */
    OK(vigil_sim_check_balance(sim) == !spins, "%s: %s", program->what, vigil_sim_failure(sim));
}

static void hosts_make(struct program *program, vigil_sim *sim, bool calm)
{
    const vigil_sim_host_options options = { .calm = calm };
    *program = (struct program){ .what = "by choice",
                                 .at_server = vigil_sim_host(sim, "10.0.0.1", &options),
                                 .at_client = vigil_sim_host(sim, "10.0.0.2", &options) };
}

static bool is_endless(unsigned fault)
{
#define GOES_ON(name, goes_on, text) [VIGIL_SIM_##name] = #goes_on,
    static const char *const how[] = { VIGIL_SIM_FAULT_MAP(GOES_ON) };
#undef GOES_ON
    return strcmp(how[fault], "TIMES") == 0;
}

/* Not of the machine, which a calm host has a good one of. */
static bool is_of_network(unsigned fault)
{
    static const vigil_sim_fault kinds[] = { VIGIL_SIM_RESET,      VIGIL_SIM_ABORTED,
                                             VIGIL_SIM_REFUSED,    VIGIL_SIM_DELAYED,
                                             VIGIL_SIM_BLACK_HOLE, VIGIL_SIM_VANISH,
                                             VIGIL_SIM_PARTITION };
    for (size_t i = 0; i < TEST_COUNT(kinds); i++)
        if (kinds[i] == fault)
            return true;
    return false;
}

/* The backend that knows of it; most do not care. */
static const char *backend_for(unsigned fault)
{
    switch (fault) {
    case VIGIL_SIM_CANCEL_LOST:
    case VIGIL_SIM_MULTI_ENDS:
    case VIGIL_SIM_OVERFLOW:
    case VIGIL_SIM_NO_BUFFERS:
        return "sim-complete";
    default:
        return "sim-ready";
    }
}

static void by_number(vigil_sim_fault fault, uint64_t n, bool sticky)
{
    struct program program;
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    hosts_make(&program, sim, false);
    const vigil_host *host = fault == VIGIL_SIM_KILL ? program.at_server : program.at_client;
    EQ_INT(0, vigil_sim_inject(sim, host, fault, n, sticky));
    program.what = vigil_sim_fault_name(fault);
    play(&program, sim, backend_for(fault));
    uint64_t occasions = vigil_sim_occasions(sim, host, fault);
    const char *name = vigil_sim_fault_name(fault);
    OK(occasions >= n, "%s: only %d occasions", name, (int)occasions);
    EQ_INT(sticky ? occasions - n + 1 : 1, vigil_sim_hits(sim, fault), "%s %d of %d", name, (int)n,
           (int)occasions);
    vigil_sim_close(sim);
}

TEST(every_kind_comes_up_by_number_once)
{
    for (unsigned fault = 0; fault < VIGIL_SIM_FAULT_COUNT; fault++)
        by_number(fault, 1, false);
    for (unsigned fault = 0; fault < VIGIL_SIM_FAULT_COUNT; fault++)
        by_number(fault, 2, false);
}

TEST(every_kind_comes_up_from_then_on_unless_it_would_never_end)
{
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    for (unsigned fault = 0; fault < VIGIL_SIM_FAULT_COUNT; fault++) {
        if (is_endless(fault))
            EQ_INT(VIGIL_EINVAL, vigil_sim_inject(sim, NULL, fault, 1, true), "%u", fault);
        else
            by_number(fault, 2, true);
    }
    EQ_INT(VIGIL_EINVAL, vigil_sim_inject(sim, NULL, VIGIL_SIM_FAULT_COUNT, 1, false));
    EQ_INT(0, vigil_sim_occasions(sim, NULL, VIGIL_SIM_FAULT_COUNT));
    vigil_sim_close(sim);
}

TEST(what_is_planned_can_be_taken_back_and_is_one_hosts)
{
    struct program program;
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    hosts_make(&program, sim, false);
    EQ_INT(0, vigil_sim_inject(sim, NULL, VIGIL_SIM_SHORT_READ, 1, true));
    EQ_INT(0, vigil_sim_inject(sim, NULL, VIGIL_SIM_SHORT_READ, 0, true));
    EQ_INT(0, vigil_sim_inject(sim, program.at_client, VIGIL_SIM_SHORT_WRITE, 1, true));
    play(&program, sim, "sim-ready");
    EQ_INT(0, vigil_sim_hits(sim, VIGIL_SIM_SHORT_READ));
    uint64_t ours = vigil_sim_occasions(sim, program.at_client, VIGIL_SIM_SHORT_WRITE);
    EQ_INT(ours, vigil_sim_hits(sim, VIGIL_SIM_SHORT_WRITE));
    OK(ours > 0 && vigil_sim_occasions(sim, NULL, VIGIL_SIM_SHORT_WRITE) > ours);
    vigil_sim_close(sim);
}

static void hear(void *arg, const char *text, size_t len)
{
    struct program *program = arg;
    char line[TOLD_MAX], want[64];
    REQUIRE(len < sizeof(line));
    memcpy(line, text, len);
    line[len] = '\0';
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++) {
        snprintf(want, sizeof(want), "fault %s: ", vigil_sim_fault_name(i));
        if (strstr(line, want) == NULL)
            continue;
        program->told++;
        if (strstr(line, ", until ") != NULL || strstr(line, " more in a row") != NULL)
            program->sticks[i] = true;
    }
}

/* All but those that last by themselves. */
TEST(every_kind_is_sticky_in_some_world)
{
    bool sticks[VIGIL_SIM_FAULT_COUNT] = { false };
    size_t left = VIGIL_SIM_FAULT_COUNT - 2, starts = 0;
    for (uint64_t seed = 1; left > 0 && seed < 3000; seed++) {
        struct program program, listener = { .sim = NULL };
        const vigil_sim_options options = { .seed = seed, .story = hear, .story_arg = &listener };
        vigil_sim *sim;
        REQUIRE(vigil_sim_open(&sim, &options) == 0);
        hosts_make(&program, sim, false);
        play(&program, sim, NULL);
        uint64_t hits = 0;
        for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++) {
            hits += vigil_sim_hits(sim, i);
            left -= listener.sticks[i] && !sticks[i];
            sticks[i] |= listener.sticks[i];
        }
        EQ_INT(hits, listener.told, "all that is counted is told");
        starts += program.starts;
        vigil_sim_close(sim);
    }
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        OK(sticks[i] == (i != VIGIL_SIM_PARTITION && i != VIGIL_SIM_KILL), "%s",
           vigil_sim_fault_name(i));
    OK(starts > 0, "no host was ever started again");
}

/* Whether a world's choices say that a kind is on in it. */
static void kinds_on(const vigil_sim *sim, bool on[VIGIL_SIM_FAULT_COUNT])
{
    const uint32_t *made;
    size_t count = vigil_sim_choices(sim, &made);
    unsigned fault = 0;
    for (size_t i = 0; i < count && fault < VIGIL_SIM_FAULT_COUNT; i++)
        if (strcmp(vigil_sim_choice_label(sim, i), "fault on") == 0)
            on[fault++] = made[i] != 0;
}

TEST(each_kind_is_off_in_half_of_the_worlds_and_then_never_comes)
{
    enum { WORLDS = 400 };
    unsigned worlds[VIGIL_SIM_FAULT_COUNT] = { 0 };
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct program program;
        bool on[VIGIL_SIM_FAULT_COUNT];
        vigil_sim *sim;
        REQUIRE(vigil_sim_open(&sim, &(vigil_sim_options){ .seed = seed }) == 0);
        hosts_make(&program, sim, false);
        kinds_on(sim, on);
        play(&program, sim, NULL);
        for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++) {
            worlds[i] += on[i];
            OK(on[i] || vigil_sim_hits(sim, i) == 0, "%s", vigil_sim_fault_name(i));
        }
        vigil_sim_close(sim);
    }
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        OK(worlds[i] > WORLDS * 2 / 5 && worlds[i] < WORLDS * 3 / 5, "%s: %u",
           vigil_sim_fault_name(i), worlds[i]);
}

/* How often each kind comes up in some worlds. */
static void sum_hits(uint64_t sums[VIGIL_SIM_FAULT_COUNT], uint32_t faults_off, bool calm_hosts)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct program program;
        vigil_sim *sim;
        const vigil_sim_options options = { .seed = seed, .faults_off = faults_off };
        REQUIRE(vigil_sim_open(&sim, &options) == 0);
        hosts_make(&program, sim, calm_hosts);
        play(&program, sim, NULL);
        for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
            sums[i] += vigil_sim_hits(sim, i);
        vigil_sim_close(sim);
    }
}

TEST(what_the_options_turn_off_never_comes_up)
{
    uint64_t sums[VIGIL_SIM_FAULT_COUNT] = { 0 };
    sum_hits(sums, ~(1u << VIGIL_SIM_SHORT_READ), false);
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        OK((sums[i] > 0) == (i == VIGIL_SIM_SHORT_READ), "%s: %u", vigil_sim_fault_name(i),
           (unsigned)sums[i]);
}

TEST(faults_of_the_machine_spare_a_calm_host)
{
    uint64_t sums[VIGIL_SIM_FAULT_COUNT] = { 0 };
    sum_hits(sums, 0, true);
    for (unsigned i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        OK((sums[i] > 0) == is_of_network(i), "%s: %u", vigil_sim_fault_name(i), (unsigned)sums[i]);
}

/* Whoever is cut off or killed by a choice comes back by itself, and it explains what it broke. */
TEST(an_outage_ends_and_explains_what_it_broke)
{
    const vigil_sim_fault rows[] = { VIGIL_SIM_PARTITION, VIGIL_SIM_KILL };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct program program;
        vigil_sim *sim;
        REQUIRE(vigil_sim_open(&sim, NULL) == 0);
        hosts_make(&program, sim, false);
        EQ_INT(0, vigil_sim_inject(sim, NULL, rows[i], 1, false));
        play(&program, sim, "sim-ready");
        EQ_INT(rows[i] == VIGIL_SIM_KILL, program.starts);
        OK(vigil_sim_excused(sim, program.at_server, VIGIL_FD_NONE));
        OK(program.got > 0, "nobody was served behind it");
        vigil_sim_close(sim);
    }
}

struct matter { /* of hosts that are cut off or killed by choice and by hand */
    vigil_sim *sim;
    const vigil_host *a, *b;
    unsigned starts;
};

static void count_start(void *arg)
{
    ((struct matter *)arg)->starts++;
}

static void kills(void *arg)
{
    struct matter *matter = arg;
    vigil_sim_kill(matter->sim, matter->a);
}

static void restarts(void *arg)
{
    struct matter *matter = arg;
    vigil_sim_restart(matter->sim, matter->a);
}

/* Begins in 1 ms and lasts 1 ms, as 0 chooses; what the user does meanwhile counts more. */
TEST(an_outage_by_hand_is_the_users_own)
{
    static const struct {
        vigil_ns at;
        void (*fn)(void *arg);
        unsigned starts;
        int opens; /* a loop on the host, at last */
    } rows[] = {
        { VIGIL_S(1), restarts, 1, 0 },             /* it is up again already */
        { VIGIL_US(500), kills, 0, VIGIL_ENOTSUP }, /* before the choice's own */
        { VIGIL_US(1500), kills, 0, VIGIL_ENOTSUP },
        { VIGIL_US(1500), restarts, 0, 0 },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct matter matter = { .sim = NULL };
        vigil_loop *loop;
        REQUIRE(vigil_sim_open(&matter.sim, NULL) == 0);
        matter.a = vigil_sim_host(matter.sim, "10.0.0.1", NULL);
        matter.b = vigil_sim_host(matter.sim, "10.0.0.2", NULL);
        vigil_sim_may_kill(matter.sim, matter.a, count_start, &matter);
        EQ_INT(0, vigil_sim_inject(matter.sim, matter.a, VIGIL_SIM_KILL, 1, false));
        EQ_INT(0, vigil_sim_after(matter.sim, rows[i].at, rows[i].fn, &matter));
        REQUIRE(vigil_loop_open(&loop, &(vigil_loop_options){ .host = matter.b }) == 0);
        REQUIRE(vigil_connect(loop, "10.0.0.1:7", &(vigil_conn_options){ .ops = &counting },
                              NULL) == 0);
        (void)vigil_sim_run_for(matter.sim, VIGIL_S(5)); /* nothing is left, or that has passed */
        vigil_loop_close(loop);
        EQ_INT(rows[i].starts, matter.starts, "row %zu", i);
        EQ_INT(rows[i].opens, vigil_loop_open(&loop, &(vigil_loop_options){ .host = matter.a }),
               "row %zu", i);
        vigil_loop_close(loop);
        vigil_sim_close(matter.sim);
    }
}

/* A status, and for ALLOCATE no memory: every call of the host's, once and from then on. */
TEST(every_call_fails_by_number)
{
#define NAME(name) [VIGIL_SIM_CALL_##name] = #name,
    static const char *const names[] = { VIGIL_SIM_CALL_MAP(NAME) };
#undef NAME
    for (unsigned call = 0; call < VIGIL_SIM_CALL_COUNT; call++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            struct program program;
            vigil_sim *sim;
            REQUIRE(vigil_sim_open(&sim, NULL) == 0);
            hosts_make(&program, sim, false);
            program.what = sticky && call == VIGIL_SIM_CALL_WAIT ? "WAIT for ever" : names[call];
            vigil_sim_fail_call(sim, program.at_server, call, 1, VIGIL_ENOMEM, sticky != 0);
            play(&program, sim, call == VIGIL_SIM_CALL_SUBMIT ? "sim-complete" : "sim-ready");
            vigil_sim_close(sim);
        }
    }
}
