/* SPDX-License-Identifier: MIT
 *
 * uring_threads.c -- loops and pollers on io_uring that pass from thread to thread.  A ring may be
 * bound to the thread that made it, so all that is under way moves to another: nothing may be lost,
 * doubled, or out of order.  Also as on older kernels, which bind it otherwise or not at all.
 */
#include "uring_rig.h"

#include <pthread.h>
#include <semaphore.h>

enum { DEFER = VIGIL__URING_SETUP_DEFER_TASKRUN, SINGLE = VIGIL__URING_SETUP_SINGLE_ISSUER };
static const uint32_t refused[] = { 0, DEFER, DEFER | SINGLE };

enum { TALKS = 6, HANDOVERS = 40, ROUNDS = 60, TALK_TOTAL = 6 << 20 };

/* What is handed over, and what is expected of it.  The last talk reads slowly. */
static struct {
    struct rig rig;
    struct talk talks[TALKS];
    int clients[HANDOVERS], opened;
    vigil_watch watch;
    int pipe[2], watched, timers, failed; /* failed: a line */
    vigil_conn paused;
    int paused_peer;
    size_t paused_got;
    int handovers;
} shared;

#define NOTE_UNLESS(fact)                  \
    do {                                   \
        if (!(fact) && shared.failed == 0) \
            shared.failed = __LINE__;      \
    } while (0)

static size_t shared_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    rig->log[0] = '\0';
    if (conn.v != shared.paused.v)
        return vigil_send(rig->loop, conn, p, n);
    NOTE_UNLESS(pattern_is(p, n, shared.paused_got, 9));
    shared.paused_got += n;
    return n;
}

static void shared_watch(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop, (void)watch, (void)events, (void)arg;
    char c;
    shared.watched += read(shared.pipe[0], &c, 1) == 1;
}

static void shared_timer(vigil_loop *loop, void *arg)
{
    (void)loop, (void)arg;
    shared.timers++;
}

static void shared_opened(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    rig->log[0] = '\0';
}

static void shared_open(void)
{
    struct rig *rig = &shared.rig;
    vigil_conn conn;
    memset(&shared, 0, sizeof(shared));
    uring_open(rig, NULL);
    rig->on_data = shared_data;
    rig->on_open = shared_opened;
    rig->on_close = shared_opened;
    for (unsigned i = 0; i < TALKS; i++) {
        size_t chunk = i == 0 ? 100 : i == TALKS - 1 ? 3000 : 20000u * i;
        shared.talks[i] = (struct talk){ .seed = i, .total = TALK_TOTAL, .chunk = chunk };
        shared.talks[i].total = i == 0 ? 60000 : i == TALKS - 1 ? 1 << 20 : TALK_TOTAL;
        shared.talks[i].fd = uring_pair(rig, NULL, &conn);
    }
    shared.paused_peer = uring_pair(rig, NULL, &shared.paused);
    EQ_INT(0, vigil_pause(rig->loop, shared.paused));
    REQUIRE(pipe2(shared.pipe, O_CLOEXEC | O_NONBLOCK) == 0);
    EQ_INT(0,
           vigil_on_ready(rig->loop, shared.pipe[0], VIGIL_IN, shared_watch, NULL, &shared.watch));
    uint8_t p[5000];
    pattern_fill(p, sizeof(p), 0, 9);
    EQ_INT(sizeof(p), send(shared.paused_peer, p, sizeof(p), MSG_NOSIGNAL));
}

/* One thread's share. */
static void shared_turns(void)
{
    struct rig *rig = &shared.rig;
    NOTE_UNLESS(vigil_after(rig->loop, VIGIL_US(100), shared_timer, NULL, NULL) == 0);
    NOTE_UNLESS(write(shared.pipe[1], "x", 1) == 1);
    shared.clients[shared.handovers] = client_socket(AF_INET);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(rig->addr.port) };
    memcpy(&to.sin_addr, rig->addr.ip, 4);
    int result;
    do /* the end of a ring may interrupt it */
        result = connect(shared.clients[shared.handovers], (struct sockaddr *)&to, sizeof(to));
    while (result < 0 && errno == EINTR);
    NOTE_UNLESS(result == 0);
    shared.handovers++;
    for (int i = 0; i < ROUNDS; i++) {
        for (size_t j = 0; j < TALKS; j++) {
            talk_put(&shared.talks[j]);
            if (j < TALKS - 1 || i % 8 == 0)
                talk_get(&shared.talks[j]);
        }
        NOTE_UNLESS(vigil_loop_turn(rig->loop, i % 3 ? VIGIL_NOWAIT : VIGIL_US(200)) >= 0);
    }
    for (size_t j = 0; j < TALKS; j++)
        talk_put(&shared.talks[j]); /* what comes between two threads' turns */
}

static void *shared_thread(void *arg)
{
    (void)arg;
    shared_turns();
    return NULL;
}

static void *shared_closing_thread(void *arg)
{
    (void)arg;
    vigil_loop_close(shared.rig.loop);
    return NULL;
}

static void run_in_thread(void *(*fn)(void *))
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static void shared_is_whole(uint32_t flags)
{
    struct rig *rig = &shared.rig;
    EQ_INT(0, shared.failed, "the line; without 0x%x", flags);
    EQ_INT(0, vigil_resume(rig->loop, shared.paused));
    talks_echo(rig, shared.talks, TALKS);
    RIG_UNTIL(rig, shared.paused_got == 5000);
    EQ_INT(0, shared.failed, "the line; without 0x%x", flags);
    RIG_UNTIL(rig, rig->opened == TALKS + 1 + shared.handovers);
    RIG_UNTIL(rig, shared.timers >= shared.handovers && shared.watched >= shared.handovers);
    rig_settle(rig);
    EQ_INT(shared.handovers, shared.timers, "without 0x%x", flags);
    EQ_INT(shared.handovers, shared.watched, "without 0x%x", flags);
    EQ_INT(0, rig->closed, "without 0x%x", flags);
    EQ_INT(TALKS + 1 + shared.handovers, rig->opened);
    for (size_t i = 0; i < TALKS; i++) {
        char c;
        EQ_INT(shared.talks[i].total, shared.talks[i].got, "talk %zu", i);
        EQ_INT(-1, client_peek(shared.talks[i].fd, &c, 1), "talk %zu: more than was said", i);
    }
    EQ_INT(0, rig_stats(rig).memory);
    EQ_INT(view.places_count, buffers_in_kernel(), "without 0x%x", flags);
}

static void shared_close(void)
{
    run_in_thread(shared_closing_thread);
    OK_ALLOCATOR_EMPTY(&shared.rig.memory);
    for (size_t i = 0; i < TALKS; i++)
        close(shared.talks[i].fd);
    for (int i = 0; i < shared.handovers; i++)
        close(shared.clients[i]);
    close(shared.paused_peer);
    close(shared.pipe[0]);
    close(shared.pipe[1]);
}

TEST(a_loop_turned_by_threads_that_end_loses_what_was_under_way)
{
    uring_needed();
    for (size_t i = 0; i < TEST_COUNT(refused); i++) {
        older.setup_flags = refused[i];
        shared_open();
        for (int j = 0; j < HANDOVERS; j++) {
            if (j % 3 == 2)
                shared_turns(); /* here */
            else
                run_in_thread(shared_thread);
        }
        shared_is_whole(refused[i]);
        shared_close();
    }
    older.setup_flags = 0;
}

/* Two that live on, and turn the loop in turns. */
static sem_t mine[2];

static void *alternating(void *arg)
{
    int me = *(const int *)arg;
    for (int i = 0; i < HANDOVERS / 2; i++) {
        while (sem_wait(&mine[me]) != 0)
            continue; /* interrupted */
        shared_turns();
        sem_post(&mine[1 - me]);
    }
    return NULL;
}

TEST(a_loop_turned_by_two_threads_in_turns_loses_what_was_under_way)
{
    uring_needed();
    for (size_t i = 0; i < TEST_COUNT(refused); i++) {
        pthread_t threads[2];
        int numbers[] = { 0, 1 };
        older.setup_flags = refused[i];
        shared_open();
        sem_init(&mine[0], 0, 1);
        sem_init(&mine[1], 0, 0);
        for (int j = 0; j < 2; j++)
            REQUIRE(pthread_create(&threads[j], NULL, alternating, &numbers[j]) == 0);
        for (int j = 0; j < 2; j++)
            REQUIRE(pthread_join(threads[j], NULL) == 0);
        shared_is_whole(refused[i]);
        shared_close();
        for (int j = 0; j < 2; j++)
            sem_destroy(&mine[j]);
    }
    older.setup_flags = 0;
}

/* ---- bytes that come meanwhile ---- */

enum { PUMPED = 4, PUMP_HANDOVERS = 300 };

static struct {
    struct rig rig;
    vigil_conn conns[PUMPED];
    int peers[PUMPED];
    size_t put[PUMPED], got[PUMPED];
    _Atomic bool stop;
    bool wrong;
    int failed;
} pump;

static void pump_put(unsigned i)
{
    uint8_t p[3000];
    pattern_fill(p, sizeof(p), pump.put[i], i);
    ssize_t n = send(pump.peers[i], p, sizeof(p), MSG_NOSIGNAL | MSG_DONTWAIT);
    pump.put[i] += n > 0 ? (size_t)n : 0;
}

/* All but the first, at any time. */
static void *pump_thread(void *arg)
{
    (void)arg;
    while (!atomic_load(&pump.stop))
        for (unsigned i = 1; i < PUMPED; i++)
            pump_put(i);
    return NULL;
}

/* The first, when a ring is left and what it had to tell has been taken.  The thread that had it
 * has time to do what came of that. */
static void pump_late(void)
{
    pump_put(0);
    rig_sleep(VIGIL_US(100));
}

static size_t pump_data(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    rig->log[0] = '\0';
    for (unsigned i = 0; i < PUMPED; i++) {
        if (pump.conns[i].v != conn.v)
            continue;
        pump.wrong = pump.wrong || !pattern_is(p, n, pump.got[i], i);
        pump.got[i] += n;
    }
    return n;
}

static void *pumped_turns(void *arg)
{
    int me = *(const int *)arg;
    for (int i = 0; i < PUMP_HANDOVERS / 2; i++) {
        while (sem_wait(&mine[me]) != 0)
            continue; /* interrupted */
        for (int j = 0; j < 1 + i % 3; j++)
            if (vigil_loop_turn(pump.rig.loop, VIGIL_US(50)) < 0)
                pump.failed = __LINE__;
        sem_post(&mine[1 - me]);
    }
    return NULL;
}

static bool pumped_all(void)
{
    for (unsigned i = 0; i < PUMPED; i++)
        if (pump.got[i] != pump.put[i])
            return false;
    return true;
}

TEST(bytes_that_come_while_a_loop_changes_hands_are_lost)
{
    uring_needed();
    for (size_t i = 0; i < TEST_COUNT(refused); i++) {
        pthread_t threads[3];
        int numbers[] = { 0, 1 };
        older.setup_flags = refused[i];
        memset(&pump, 0, sizeof(pump));
        uring_open_loop(&pump.rig);
        pump.rig.on_data = pump_data;
        for (unsigned j = 0; j < PUMPED; j++)
            pump.peers[j] = uring_pair(&pump.rig, NULL, &pump.conns[j]);
        sem_init(&mine[0], 0, 1);
        sem_init(&mine[1], 0, 0);
        REQUIRE(pthread_create(&threads[2], NULL, pump_thread, NULL) == 0);
        before_unmap = pump_late;
        for (int j = 0; j < 2; j++)
            REQUIRE(pthread_create(&threads[j], NULL, pumped_turns, &numbers[j]) == 0);
        for (int j = 0; j < 2; j++)
            REQUIRE(pthread_join(threads[j], NULL) == 0);
        before_unmap = NULL;
        atomic_store(&pump.stop, true);
        REQUIRE(pthread_join(threads[2], NULL) == 0);
        RIG_UNTIL(&pump.rig, pump.wrong || pumped_all());
        OK(!pump.wrong, "without 0x%x: other bytes", refused[i]);
        EQ_INT(0, pump.failed);
        EQ_INT(0, pump.rig.closed);
        for (unsigned j = 0; j < PUMPED; j++)
            close(pump.peers[j]);
        RIG_UNTIL(&pump.rig, pump.rig.closed == PUMPED);
        rig_close(&pump.rig);
        for (int j = 0; j < 2; j++)
            sem_destroy(&mine[j]);
    }
    older.setup_flags = 0;
}

/* ---- pollers ---- */

static struct {
    vigil_poller *poller;
    int ends[3][2], told[3], round, failed;
} passed;

/* Each is told of once per byte; the byte is read. */
static void *poller_waits(void *arg)
{
    (void)arg;
    vigil_event events[8];
    for (int i = 0; i < 3; i++)
        if (write(passed.ends[i][1], "x", 1) != 1)
            passed.failed = __LINE__;
    vigil_ns deadline = rig_clock() + VIGIL_S(10) * test_time_scale();
    for (int idle = 0; idle < 4 && rig_clock() < deadline;) {
        int n = vigil_poller_wait(passed.poller, events, 8, VIGIL_MS(1));
        if (n < 0)
            passed.failed = __LINE__;
        bool all = passed.told[0] + passed.told[1] + passed.told[2] >= 3 * passed.round;
        idle = n <= 0 && all ? idle + 1 : 0; /* a wait may end early: others wait for longer */
        for (int i = 0; i < n; i++) {
            char c;
            passed.told[events[i].tag]++;
            if (read(events[i].fd, &c, 1) != 1)
                passed.failed = __LINE__;
            if (events[i].tag == 2 &&
                vigil_poller_modify(passed.poller, events[i].reg, VIGIL_IN | VIGIL_ONESHOT) != 0)
                passed.failed = __LINE__;
        }
    }
    return NULL;
}

static void *poller_closes(void *arg)
{
    (void)arg;
    vigil_poller_close(passed.poller);
    return NULL;
}

TEST(a_poller_waited_on_by_several_threads_loses_or_doubles_events)
{
    static const unsigned modes[] = { 0, VIGIL_EDGE, VIGIL_ONESHOT };
    uring_needed();
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < TEST_COUNT(refused); i++) {
        older.setup_flags = refused[i];
        memset(&passed, 0, sizeof(passed));
        REQUIRE(vigil_poller_open(&passed.poller, "io_uring") == 0);
        for (uintptr_t j = 0; j < 3; j++) {
            vigil_reg reg;
            REQUIRE(pipe2(passed.ends[j], O_CLOEXEC | O_NONBLOCK) == 0);
            REQUIRE(vigil_poller_register(passed.poller, passed.ends[j][0], VIGIL_IN | modes[j], j,
                                          &reg) == 0);
        }
        for (int round = 1; round <= 12; round++) {
            passed.round = round;
            if (round % 3 == 0)
                poller_waits(NULL);
            else
                run_in_thread(poller_waits);
            for (int j = 0; j < 3; j++)
                EQ_INT(round, passed.told[j], "0x%x, without 0x%x", modes[j], refused[i]);
        }
        EQ_INT(0, passed.failed, "the line; without 0x%x", refused[i]);
        run_in_thread(poller_closes);
        for (int j = 0; j < 3; j++) {
            close(passed.ends[j][0]);
            /* The ring of a thread that did not close it the kernel ends in its own time. */
            vigil_ns deadline = rig_clock() + VIGIL_S(10) * test_time_scale();
            while (write(passed.ends[j][1], "x", 1) == 1 && rig_clock() < deadline)
                rig_sleep(VIGIL_MS(1));
            EQ_INT(-1, write(passed.ends[j][1], "x", 1), "it is held open");
            close(passed.ends[j][1]);
        }
    }
    older.setup_flags = 0;
    signal(SIGPIPE, before);
}

/* Three edges are there; the first is told here, the second when all moves to another thread, and
 * the third is kept until the next wait. */
static void *kept_thread(void *arg)
{
    (void)arg;
    vigil_event event;
    passed.failed = vigil_poller_wait(passed.poller, &event, 1, VIGIL_S(10)) != 1;
    passed.told[event.tag]++;
    return NULL;
}

TEST(an_event_that_was_kept_is_told_to_whoever_has_the_place_now)
{
    uring_needed();
    vigil_reg regs[3], reg;
    vigil_event event;
    int quiet[2];
    memset(&passed, 0, sizeof(passed));
    REQUIRE(vigil_poller_open(&passed.poller, "io_uring") == 0);
    REQUIRE(pipe2(quiet, O_CLOEXEC) == 0);
    for (uintptr_t j = 0; j < 3; j++) {
        REQUIRE(pipe2(passed.ends[j], O_CLOEXEC) == 0);
        REQUIRE(vigil_poller_register(passed.poller, passed.ends[j][0], VIGIL_IN | VIGIL_EDGE, j,
                                      &regs[j]) == 0);
    }
    EQ_INT(0, vigil_poller_wait(passed.poller, &event, 1, VIGIL_NOWAIT));
    for (int j = 0; j < 3; j++)
        EQ_INT(1, write(passed.ends[j][1], "x", 1));
    EQ_INT(1, vigil_poller_wait(passed.poller, &event, 1, VIGIL_S(10)));
    passed.told[event.tag]++;
    run_in_thread(kept_thread);
    EQ_INT(0, passed.failed);
    for (int j = 0; j < 3; j++) {
        if (passed.told[j] != 0)
            continue;
        EQ_INT(0, vigil_poller_unregister(passed.poller, regs[j]));
        REQUIRE(vigil_poller_register(passed.poller, quiet[0], VIGIL_IN, 9, &reg) == 0);
    }
    EQ_INT(2, passed.told[0] + passed.told[1] + passed.told[2]);
    EQ_INT(0, vigil_poller_wait(passed.poller, &event, 1, VIGIL_NOWAIT), "nothing happened to it");
    vigil_poller_close(passed.poller);
    for (int j = 0; j < 3; j++) {
        close(passed.ends[j][0]);
        close(passed.ends[j][1]);
    }
    close(quiet[0]);
    close(quiet[1]);
}
