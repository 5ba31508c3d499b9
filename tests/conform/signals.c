/* SPDX-License-Identifier: MIT
 *
 * signals.c -- signals as calls in a turn: shared by callers and loops, coalesced, never lost, and
 * the disposition that was found put back.
 */
#include "loop_rig.h"

CONFORM(a_signal_is_told_once_however_often_it_came)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int count = 0;
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &count, NULL));
    for (int i = 0; i < 1000; i++)
        raise(SIGUSR1);
    turns_until(loop, &count, 1);
    turns_now(loop, 5);
    EQ_INT(1, count);
    raise(SIGUSR1);
    turns_until(loop, &count, 2);
    OK(stats_of(loop).wakes >= 1);
    rig_close(&rig);
}

CONFORM(two_callers_share_a_signal)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int first = 0, second = 0, other = 0;
    vigil_signal signal;
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &first, &signal));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &second, NULL));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR2, count_signal, &other, NULL));
    raise(SIGUSR1);
    turns_until(loop, &second, 1);
    EQ_INT(1, first);
    EQ_INT(0, vigil_signal_cancel(loop, signal));
    EQ_INT(VIGIL_ESTALE, vigil_signal_cancel(loop, signal));
    raise(SIGUSR1);
    turns_until(loop, &second, 2);
    EQ_INT(1, first);
    EQ_INT(0, other);
    rig_close(&rig);
}

CONFORM(two_that_came_before_the_turn_are_both_told)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int first = 0, second = 0;
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &first, NULL));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR2, count_signal, &second, NULL));
    raise(SIGUSR1);
    raise(SIGUSR2);
    turns_now(loop, 5);
    EQ_INT(1, first);
    EQ_INT(1, second);
    rig_close(&rig);
}

CONFORM(two_loops_share_a_signal)
{
    struct rig rigs[2];
    int counts[2] = { 0 };
    for (int i = 0; i < 2; i++)
        EQ_INT(0, vigil_on_signal(rig_open(&rigs[i], backend), SIGUSR1, count_signal, &counts[i],
                                  NULL));
    raise(SIGUSR1);
    turns_until(rigs[0].loop, &counts[0], 1);
    turns_until(rigs[1].loop, &counts[1], 1);
    rig_close(&rigs[0]);
    raise(SIGUSR1);
    turns_until(rigs[1].loop, &counts[1], 2);
    EQ_INT(1, counts[0]);
    rig_close(&rigs[1]);
}

/* ---- dispositions ------------------------------------------------------------------------- */

static volatile sig_atomic_t found_called;

static void found_handler(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    found_called++;
}

static bool is_found_handler(void)
{
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    return (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == found_handler &&
           (now.sa_flags & SA_NODEFER) != 0 && sigismember(&now.sa_mask, SIGUSR2) == 1 &&
           sigismember(&now.sa_mask, SIGTERM) == 0;
}

CONFORM(the_disposition_found_is_put_back_by_the_last)
{
    struct sigaction found = { .sa_flags = SA_SIGINFO | SA_NODEFER }, before;
    found.sa_sigaction = found_handler;
    sigaddset(&found.sa_mask, SIGUSR2);
    REQUIRE(sigaction(SIGUSR1, &found, &before) == 0);
    for (int order = 0; order < 3; order++) {
        struct rig rigs[2];
        vigil_signal signals[2];
        int count = 0;
        for (int i = 0; i < 2; i++)
            EQ_INT(0, vigil_on_signal(rig_open(&rigs[i], backend), SIGUSR1, count_signal, &count,
                                      &signals[i]));
        OK(!is_found_handler());
        int first = order == 1 ? 1 : 0;
        if (order < 2)
            EQ_INT(0, vigil_signal_cancel(rigs[first].loop, signals[first]));
        else
            rig_close(&rigs[first]);
        OK(!is_found_handler(), "order %d: another is left", order);
        if (order < 2)
            EQ_INT(0, vigil_signal_cancel(rigs[1 - first].loop, signals[1 - first]));
        else
            rig_close(&rigs[1 - first]);
        OK(is_found_handler(), "order %d", order);
        found_called = 0;
        raise(SIGUSR1);
        EQ_INT(1, found_called);
        for (int i = 0; i < 2 && order < 2; i++)
            rig_close(&rigs[i]);
    }
    sigaction(SIGUSR1, &before, NULL);
}

CONFORM(what_cannot_be_a_signal)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int count = 0;
    static const int rows[] = { 0, -1, 65, 1000, INT32_MIN, INT32_MAX, SIGKILL, SIGSTOP };
    size_t blocks = rig.memory.blocks;
    for (size_t i = 0; i < TEST_COUNT(rows); i++)
        EQ_INT(VIGIL_EINVAL, vigil_on_signal(loop, rows[i], count_signal, &count, NULL), "%d",
               rows[i]);
    EQ_INT(VIGIL_EINVAL, vigil_on_signal(loop, SIGUSR1, NULL, &count, NULL));
    OK(rig.memory.blocks <= blocks + 2, "room for handlers, once");
    EQ_INT(VIGIL_ESTALE, vigil_signal_cancel(loop, (vigil_signal){ 0 }));
    EQ_INT(VIGIL_ESTALE, vigil_signal_cancel(loop, (vigil_signal){ UINT64_MAX }));
    rig_close(&rig);
}

CONFORM(too_many_subscriptions_are_refused)
{
    enum { LOOPS = 80 };
    static struct rig rigs[LOOPS];
    struct sigaction before, after;
    sigaction(SIGUSR1, NULL, &before);
    int count = 0, opened = 0, status = 0;
    while (status == 0 && opened < LOOPS)
        status = vigil_on_signal(rig_open(&rigs[opened++], backend), SIGUSR1, count_signal, &count,
                                 NULL);
    EQ_INT(VIGIL_EFULL, status);
    EQ_INT(0, vigil_on_signal(rigs[0].loop, SIGUSR1, count_signal, &count, NULL),
           "a loop needs one per signal");
    raise(SIGUSR1);
    turns_now(rigs[opened - 1].loop, 2);
    EQ_INT(0, count, "the refused one hears nothing");
    turns_until(rigs[0].loop, &count, 2);
    for (int i = 0; i < opened; i++)
        rig_close(&rigs[i]);
    sigaction(SIGUSR1, NULL, &after);
    OK(before.sa_handler == after.sa_handler);
}

/* ---- inside callbacks --------------------------------------------------------------------- */

struct signals {
    vigil_signal first, second, added;
    int called, late;
};

static void cancel_both(vigil_loop *loop, int signo, void *arg)
{
    struct signals *signals = arg;
    count_signal(loop, signo, &signals->called);
    EQ_INT(0, vigil_signal_cancel(loop, signals->first));
    EQ_INT(0, vigil_signal_cancel(loop, signals->second));
}

CONFORM(cancelled_inside_the_callback)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct signals signals = { .called = 0 };
    struct sigaction before, after;
    sigaction(SIGUSR1, NULL, &before);
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, cancel_both, &signals, &signals.first));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, cancel_both, &signals, &signals.second));
    raise(SIGUSR1);
    turns_until(loop, &signals.called, 1);
    turns_now(loop, 3);
    EQ_INT(1, signals.called, "the other never ran");
    sigaction(SIGUSR1, NULL, &after);
    OK(before.sa_handler == after.sa_handler);
    rig_close(&rig);
}

static void add_another(vigil_loop *loop, int signo, void *arg)
{
    struct signals *signals = arg;
    if (signals->called++ < 100)
        EQ_INT(0, vigil_on_signal(loop, signo, add_another, arg, NULL));
}

/* Each new one was called for the signal that the one before it was called for. */
CONFORM(one_added_inside_the_callback_waits_for_the_next_signal)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct signals signals = { .called = 0 };
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, add_another, &signals, NULL));
    raise(SIGUSR1);
    turns_until(loop, &signals.called, 1);
    turns_now(loop, 3);
    EQ_INT(1, signals.called);
    raise(SIGUSR1);
    turns_until(loop, &signals.called, 3);
    turns_now(loop, 3);
    EQ_INT(3, signals.called);
    rig_close(&rig);
}

/* What came for a caller who has gone was told to the next who asked. */
CONFORM(a_signal_from_before_is_not_told)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_signal signal;
    int count = 0;
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &count, &signal));
    raise(SIGUSR1);
    EQ_INT(0, vigil_signal_cancel(loop, signal));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &count, NULL));
    turns_now(loop, 3);
    EQ_INT(0, count);
    raise(SIGUSR1);
    turns_until(loop, &count, 1);
    rig_close(&rig);
}

/* ---- stop_on_signals ---------------------------------------------------------------------- */

static void raise_timer(vigil_loop *loop, void *arg)
{
    (void)loop;
    raise(*(const int *)arg);
}

CONFORM(stop_on_signals_drains)
{
    static const int rows[] = { SIGINT, SIGTERM };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct sigaction before, during, after;
        sigaction(rows[i], NULL, &before);
        struct rig rig;
        vigil_loop *loop = rig_open_with(
            &rig, backend, (vigil_loop_options){ .stop_on_signals = true, .keep_running = true });
        sigaction(rows[i], NULL, &during);
        OK(before.sa_handler != during.sa_handler, "%d", rows[i]);
        int never = 0, signo = rows[i];
        EQ_INT(0, vigil_after(loop, VIGIL_S(3600), count_timer, &never, NULL));
        EQ_INT(0, vigil_after(loop, VIGIL_MS(1), raise_timer, &signo, NULL));
        EQ_INT(0, vigil_loop_run(loop), "%d", rows[i]);
        rig_close(&rig);
        sigaction(rows[i], NULL, &after);
        OK(before.sa_handler == after.sa_handler, "%d", rows[i]);
    }
}

CONFORM(a_second_stop_signal_aborts)
{
    struct rig rig;
    vigil_loop *loop = rig_open_with(
        &rig, backend, (vigil_loop_options){ .stop_on_signals = true, .grace_ns = VIGIL_S(3600) });
    int fds[2], first = SIGTERM, second = SIGINT;
    unix_pair(fds); /* its peer never ends, so the drain goes on */
    vigil_conn_options options = { .limits = { .linger_ns = VIGIL_FOREVER } };
    vigil_conn conn;
    EQ_INT(0, vigil_adopt(loop, fds[0], fds[0], &options, &conn));
    EQ_INT(0, vigil_after(loop, VIGIL_MS(1), raise_timer, &first, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_MS(30), raise_timer, &second, NULL));
    EQ_INT(VIGIL_ETIMEDOUT, vigil_loop_run(loop));
    EQ_INT(2, stats_of(loop).timers_fired);
    close(fds[1]);
    rig_close(&rig);
}

/* ---- a flood ------------------------------------------------------------------------------ */

enum { KINDS = 3, FLOOD = 100000 };

struct flood {
    int signos[KINDS];
    _Atomic int raised[KINDS];
    int seen[KINDS]; /* raised[] when the callback ran */
};

static void *raise_flood(void *arg)
{
    /* Not on this thread: TSan puts handlers off, and would drop the last ones with it. */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    struct flood *flood = arg;
    int count = FLOOD / (test_time_scale() > 1 ? 10 : 1);
    for (int i = 0; i < count; i++) {
        int kind = i % KINDS;
        flood->raised[kind]++;
        kill(getpid(), flood->signos[kind]);
    }
    return NULL;
}

static void flood_seen(vigil_loop *loop, int signo, void *arg)
{
    (void)loop;
    struct flood *flood = arg;
    for (int kind = 0; kind < KINDS; kind++)
        if (flood->signos[kind] == signo)
            flood->seen[kind] = flood->raised[kind];
}

/* Of each kind the callback runs after the last one was raised. */
CONFORM(a_flood_loses_no_kind)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer puts handlers off, and was seen to call none any more after a flood");
#endif
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct flood flood = { .signos = { SIGUSR1, SIGUSR2, SIGWINCH } };
    for (int kind = 0; kind < KINDS; kind++)
        EQ_INT(0, vigil_on_signal(loop, flood.signos[kind], flood_seen, &flood, NULL));
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, raise_flood, &flood) == 0);
    int expected = FLOOD / (test_time_scale() > 1 ? 10 : 1);
    while (flood.raised[0] + flood.raised[1] + flood.raised[2] < expected)
        REQUIRE(vigil_loop_turn(loop, VIGIL_MS(1)) >= 0);
    pthread_join(thread, NULL);
    vigil_ns deadline = in_the_end();
    for (int kind = 0; kind < KINDS; kind++)
        while (flood.seen[kind] != flood.raised[kind]) {
            REQUIRE(now_ns() < deadline, "signal %d: %d of %d", flood.signos[kind],
                    flood.seen[kind], flood.raised[kind]);
            REQUIRE(vigil_loop_turn(loop, VIGIL_MS(100)) >= 0);
        }
    rig_close(&rig);
}

/* Threads open, use and close loops on one signal while it comes all the time. */
static void *come_and_go(void *arg)
{
    const char *backend = arg;
    for (int i = 0; i < 50; i++) {
        vigil_loop_options options = { .backend = backend };
        vigil_loop *loop;
        int count = 0;
        if (vigil_loop_open(&loop, &options) != 0)
            return arg;
        if (vigil_on_signal(loop, SIGUSR1, count_signal, &count, NULL) != 0 ||
            vigil_loop_turn(loop, VIGIL_US(200)) < 0)
            return arg;
        vigil_loop_close(loop);
    }
    return NULL;
}

CONFORM(loops_come_and_go_while_signals_arrive)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
    test_not_under("qemu-user", "qemu-user dies of signals now and then while threads begin");
    REQUIRE(sigaction(SIGUSR1, &ignore, &before) == 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, come_and_go, (void *)(uintptr_t)backend) == 0);
    for (int i = 0; i < 2000; i++) {
        kill(getpid(), SIGUSR1);
        usleep(10);
    }
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        EQ_PTR(NULL, failed);
    }
    sigaction(SIGUSR1, &before, NULL);
}
