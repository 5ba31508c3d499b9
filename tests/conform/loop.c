/* SPDX-License-Identifier: MIT
 *
 * loop.c -- a loop as a whole: when run returns, stopping, nesting, threads, closing inside
 * callbacks, stalls, embedding, fork, memory.
 */

#include "loop_rig.h"

/* ---- run and stop ------------------------------------------------------------------------- */

CONFORM(run_returns_when_nothing_is_left)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    EQ_STR(backend, vigil_loop_backend(loop));
    EQ_INT(0, vigil_loop_run(loop), "nothing was ever there");
    int fired = 0;
    EQ_INT(0, vigil_after(loop, VIGIL_MS(2), count_timer, &fired, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_MS(1), count_timer, &fired, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(2, fired);
    rig_close(&rig);
}

CONFORM(signals_and_remotes_do_not_keep_it_running)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_remote *remote;
    int count = 0;
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &count, NULL));
    EQ_INT(0, vigil_remote_open(loop, &remote));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(0, vigil_post(remote, count_post, &count));
    EQ_INT(0, vigil_loop_run(loop), "a post does");
    EQ_INT(1, count);
    vigil_remote_drop(remote);
    rig_close(&rig);
}

static void cancel_watch(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    count_watch(loop, watch, events, arg);
    if (*(int *)arg == 3)
        EQ_INT(0, vigil_watch_cancel(loop, watch));
}

CONFORM(a_watch_keeps_it_running)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2], count = 0;
    pipe_data(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, cancel_watch, &count, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(3, count);
    close_pair(fds);
    rig_close(&rig);
}

struct stopper {
    vigil_loop *loop;
    _Atomic int stopped;
};

/* Stops a loop once it has nothing left and goes on nevertheless. */
static void *stop_when_idle(void *arg)
{
    struct stopper *stopper = arg;
    vigil_ns deadline = in_the_end();
    vigil_stats stats;
    do {
        usleep(1000);
        vigil_stats_get(stopper->loop, &stats);
    } while (stats.timers_fired == 0 && now_ns() < deadline);
    usleep(10000); /* a run that does not stay has returned by now: no luck, the check is below */
    stopper->stopped = 1;
    vigil_loop_stop(stopper->loop);
    return NULL;
}

CONFORM(keep_running_stays_until_another_thread_stops_it)
{
    struct rig rig;
    struct stopper stopper = { .stopped = 0 };
    stopper.loop = rig_open_with(&rig, backend, (vigil_loop_options){ .keep_running = true });
    int fired = 0;
    EQ_INT(0, vigil_after(stopper.loop, 0, count_timer, &fired, NULL));
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, stop_when_idle, &stopper) == 0);
    EQ_INT(0, vigil_loop_run(stopper.loop));
    EQ_INT(1, stopper.stopped);
    EQ_INT(1, fired);
    pthread_join(thread, NULL);
    rig_close(&rig);
}

CONFORM(stop_ends_run_after_the_turn_under_way)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_remote *remote;
    int fired = 0, posted = 0, fds[2], ready = 0;
    pipe_data(fds);
    EQ_INT(0, vigil_remote_open(loop, &remote));
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, count_watch, &ready, NULL));
    EQ_INT(0, vigil_post(remote, count_post, &posted));
    EQ_INT(0, vigil_after(loop, 0, stop_timer, NULL, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), count_timer, &fired, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1, ready, "the turn's I/O and");
    EQ_INT(1, posted, "its posts ran");
    EQ_INT(0, fired);
    vigil_remote_drop(remote);
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(stop_before_run_counts_once)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fired = 0;
    vigil_loop_stop(loop);
    vigil_loop_stop(loop);
    EQ_INT(0, vigil_after(loop, 0, count_timer, &fired, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(0, fired, "it returned at once");
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1, fired);
    vigil_loop_stop(loop);
    EQ_INT(0, vigil_loop_run(loop), "nothing is left, and");
    EQ_INT(0, vigil_after(loop, 0, count_timer, &fired, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(2, fired, "that stop was not for this run");
    rig_close(&rig);
}

CONFORM(stop_in_the_last_callback_does_not_stop_the_next_run)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fired = 0;
    EQ_INT(0, vigil_after(loop, 0, stop_timer, NULL, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(0, vigil_after(loop, 0, count_timer, &fired, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1, fired);
    rig_close(&rig);
}

CONFORM(stop_does_not_make_turns_spin)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), stop_timer, NULL, NULL));
    vigil_loop_stop(loop);
    turns_now(loop, 2);
    OK(vigil_loop_due(loop) > VIGIL_S(3000));
    vigil_ns start = now_ns();
    EQ_INT(0, vigil_loop_turn(loop, VIGIL_MS(20)));
    OK(now_ns() - start >= VIGIL_MS(20));
    EQ_INT(0, vigil_loop_run(loop), "and it is kept for run");
    rig_close(&rig);
}

static vigil_loop *loop_to_stop;

static void stop_handler(int signo)
{
    (void)signo;
    vigil_loop_stop(loop_to_stop);
}

static void *raise_until_stopped(void *arg)
{
    struct stopper *stopper = arg;
    stopper->stopped = 1;
    kill(getpid(), SIGUSR1);
    return NULL;
}

CONFORM(stop_in_a_signal_handler)
{
#ifdef __SANITIZE_THREAD__
    if (strcmp(backend, "io_uring") == 0)
        SKIP("ThreadSanitizer puts a handler off for as long as a raw system call waits");
#endif
    struct rig rig;
    struct stopper stopper = { .stopped = 0 };
    loop_to_stop = rig_open_with(&rig, backend, (vigil_loop_options){ .keep_running = true });
    struct sigaction action = { .sa_handler = stop_handler }, before;
    REQUIRE(sigaction(SIGUSR1, &action, &before) == 0);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        stopper.stopped = 0;
        REQUIRE(pthread_create(&thread, NULL, raise_until_stopped, &stopper) == 0);
        EQ_INT(0, vigil_loop_run(loop_to_stop));
        EQ_INT(1, stopper.stopped);
        pthread_join(thread, NULL);
    }
    sigaction(SIGUSR1, &before, NULL);
    rig_close(&rig);
}

static void nest(vigil_loop *loop, void *arg)
{
    EQ_INT(VIGIL_EINVAL, vigil_loop_run(loop));
    EQ_INT(VIGIL_EINVAL, vigil_loop_turn(loop, VIGIL_NOWAIT));
    count_timer(loop, arg);
}

CONFORM(nested_run_and_turn_are_refused)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int count = 0;
    EQ_INT(0, vigil_after(loop, 0, nest, &count, NULL));
    EQ_INT(0, vigil_after(loop, 0, nest, &count, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(2, count);
    EQ_INT(VIGIL_EINVAL, vigil_loop_turn(loop, -1));
    rig_close(&rig);
}

CONFORM(turn_answers_how_many_callbacks_ran)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int count = 0, fds[2];
    pipe_data(fds);
    EQ_INT(0, vigil_loop_turn(loop, VIGIL_NOWAIT));
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, count_watch, &count, NULL));
    EQ_INT(0, vigil_turn_soon(loop, count_timer, &count));
    EQ_INT(0, vigil_turn_soon(loop, count_timer, &count));
    EQ_INT(3, vigil_loop_turn(loop, VIGIL_FOREVER));
    EQ_INT(3, count);
    OK(vigil_now(loop) <= now_ns() && vigil_now(loop) > now_ns() - VIGIL_S(60));
    EQ_INT(3, stats_of(loop).callbacks);
    EQ_INT(2, stats_of(loop).turns);
    close_pair(fds);
    rig_close(&rig);
}

TEST(bad_options_open_nothing)
{
    const vigil_loop_options rows[] = {
        { .backend = "no such" },
        { .stall_after_ns = -1 },
        { .grace_ns = -1 },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        vigil_loop *loop = (vigil_loop *)(uintptr_t)1;
        EQ_INT(VIGIL_EINVAL, vigil_loop_open(&loop, &rows[i]), "row %zu", i);
        EQ_PTR(NULL, loop, "row %zu", i);
    }
    vigil_loop_close(NULL);
}

/* ---- drain, without connections ----------------------------------------------------------- */

static void drain_timer(vigil_loop *loop, void *arg)
{
    EQ_INT(0, vigil_loop_drain(loop, VIGIL_S(60)));
    count_timer(loop, arg);
}

CONFORM(a_drain_is_not_held_up_by_timers_and_watches)
{
    struct rig rig;
    vigil_loop *loop = rig_open_with(&rig, backend, (vigil_loop_options){ .keep_running = true });
    int count = 0, fds[2];
    pipe_empty(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, count_watch, &count, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), count_timer, &count, NULL));
    EQ_INT(0, vigil_after(loop, 0, drain_timer, &count, NULL));
    EQ_INT(VIGIL_EINVAL, vigil_loop_drain(loop, -1));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(1, count);
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(a_drain_that_is_over_does_not_make_turns_spin)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    EQ_INT(0, vigil_loop_drain(loop, 0));
    turns_now(loop, 2);
    EQ_INT(VIGIL_FOREVER, vigil_loop_due(loop));
    rig_close(&rig);
}

/* ---- threads ------------------------------------------------------------------------------ */

struct everything {
    vigil_loop *loop;
    vigil_timer timer;
    vigil_signal signal;
    vigil_watch watch;
    int fd, other_fd, count, wrong;
    bool asked;
};

static void wrong_thread(struct everything *all, int status)
{
    all->wrong += status != VIGIL_ETHREAD;
}

static void no_text(void *arg, const char *text, size_t len)
{
    (void)text, (void)len;
    ++*(int *)arg;
}

static void *call_everything(void *arg)
{
    struct everything *all = arg;
    vigil_loop *loop = all->loop;
    vigil_remote *remote;
    wrong_thread(all, vigil_loop_run(loop));
    wrong_thread(all, vigil_loop_turn(loop, VIGIL_NOWAIT));
    wrong_thread(all, vigil_loop_drain(loop, 0));
    wrong_thread(all, vigil_after(loop, 0, count_timer, &all->wrong, NULL));
    wrong_thread(all, vigil_turn_soon(loop, count_timer, &all->wrong));
    wrong_thread(all, vigil_timer_set(loop, all->timer, VIGIL_S(3600)));
    wrong_thread(all, vigil_cancel(loop, all->timer));
    wrong_thread(all, vigil_on_signal(loop, SIGUSR2, count_signal, &all->wrong, NULL));
    wrong_thread(all, vigil_signal_cancel(loop, all->signal));
    wrong_thread(all,
                 vigil_on_ready(loop, all->other_fd, VIGIL_IN, count_watch, &all->wrong, NULL));
    wrong_thread(all, vigil_watch_set(loop, all->watch, 0));
    wrong_thread(all, vigil_watch_cancel(loop, all->watch));
    wrong_thread(all, vigil_remote_open(loop, &remote));
    wrong_thread(all, vigil_dump(loop, no_text, &all->wrong));
    vigil_loop_close(loop);
    return NULL;
}

static void let_another_thread_call(vigil_loop *loop, void *arg)
{
    struct everything *all = arg;
    (void)loop;
    all->asked = true;
    in_thread(call_everything, all);
}

CONFORM(calls_of_another_thread_change_nothing)
{
    struct rig rig;
    struct everything all = { .loop = rig_open(&rig, backend) };
    vigil_loop *loop = all.loop;
    int fds[2];
    pipe_data(fds);
    all.other_fd = fds[1];
    struct sigaction before, after;
    sigaction(SIGUSR2, NULL, &before);
    EQ_INT(0, vigil_after(loop, 0, let_another_thread_call, &all, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_MS(1), count_timer, &all.count, &all.timer));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &all.count, &all.signal));
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN | VIGIL_ONESHOT, count_watch, &all.count,
                             &all.watch));
    size_t blocks = rig.memory.blocks;
    while (!all.asked)
        turns_now(loop, 1);
    EQ_INT(0, all.wrong);
    EQ_INT(blocks, rig.memory.blocks);
    raise(SIGUSR1);
    turns_until(loop, &all.count, 3);
    turns_now(loop, 3);
    EQ_INT(3, all.count, "the timer, the signal and the watch");
    EQ_INT(0, all.wrong);
    sigaction(SIGUSR2, NULL, &after);
    OK(before.sa_handler == after.sa_handler);
    close_pair(fds);
    rig_close(&rig);
}

static void *turn_here(void *arg)
{
    struct everything *all = arg;
    int status = vigil_after(all->loop, 0, count_timer, &all->count, NULL);
    all->wrong += status != 0 || vigil_loop_turn(all->loop, VIGIL_FOREVER) != 1;
    return NULL;
}

CONFORM(a_loop_goes_from_thread_to_thread_between_turns)
{
    struct rig rig;
    struct everything all = { .loop = rig_open(&rig, backend) };
    for (int i = 0; i < 20; i++) {
        in_thread(turn_here, &all);
        turn_here(&all);
    }
    EQ_INT(40, all.count);
    EQ_INT(0, all.wrong);
    rig_close(&rig);
}

static void *read_stats(void *arg)
{
    struct stopper *reader = arg;
    uint64_t turns = 0;
    while (!reader->stopped) {
        vigil_stats stats;
        vigil_stats_get(reader->loop, &stats);
        if (stats.turns < turns || stats.timers > 1)
            return arg;
        turns = stats.turns;
    }
    return NULL;
}

CONFORM(stats_are_read_by_another_thread_while_it_turns)
{
    struct rig rig;
    struct stopper reader = { .loop = rig_open(&rig, backend) };
    pthread_t thread;
    static const vigil_conn_ops ops;
    vigil_listen_options options = { .ops = &ops };
    vigil_listener listener;
    REQUIRE(pthread_create(&thread, NULL, read_stats, &reader) == 0);
    /* The floor of connections comes while they are read: a race that ThreadSanitizer sees. */
    EQ_INT(0, vigil_listen(reader.loop, "tcp://127.0.0.1:0", &options, &listener));
    int count = 0;
    for (int i = 0; i < 5000; i++) {
        EQ_INT(0, vigil_turn_soon(reader.loop, count_timer, &count));
        EQ_INT(1, vigil_loop_turn(reader.loop, VIGIL_FOREVER));
    }
    reader.stopped = 1;
    void *wrong;
    pthread_join(thread, &wrong);
    EQ_PTR(NULL, wrong);
    vigil_stats stats = stats_of(reader.loop);
    EQ_INT(5000, stats.turns);
    EQ_INT(5000, stats.callbacks);
    EQ_INT(5000, stats.timers_fired);
    rig_close(&rig);
}

/* ---- closing inside callbacks ------------------------------------------------------------- */

enum kind { TIMER, SIGNAL, WATCH, POST, STALL, KINDS };
static const char *const kind_names[KINDS] = { "timer", "signal", "watch", "post", "stall" };

struct closing {
    enum kind by;
    bool closed;
    int after, canceled, posts;
};

static void ran(vigil_loop *loop, struct closing *closing, enum kind kind)
{
    closing->after += closing->closed;
    if (kind != closing->by)
        return;
    vigil_loop_close(loop);
    vigil_loop_close(loop); /* twice is once */
    closing->closed = true;
}

static void closing_timer(vigil_loop *loop, void *arg)
{
    struct closing *closing = arg;
    if (closing->by == STALL)
        busy_for(VIGIL_MS(5));
    ran(loop, arg, TIMER);
}

static void closing_signal(vigil_loop *loop, int signo, void *arg)
{
    (void)signo;
    ran(loop, arg, SIGNAL);
}

static void closing_watch(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)watch, (void)events;
    ran(loop, arg, WATCH);
}

static void closing_post(vigil_loop *loop, void *arg, int status)
{
    struct closing *closing = arg;
    closing->posts++;
    if (status == VIGIL_ECANCELED)
        closing->canceled += closing->closed;
    else
        ran(loop, arg, POST);
}

static void closing_stall(vigil_loop *loop, const char *callback, vigil_ns took, void *user)
{
    (void)callback, (void)took;
    struct closing *closing = user;
    if (closing->by == STALL)
        ran(loop, user, STALL);
}

/* Two of each are due in one turn; the first of the kind closes. */
static void close_by(const char *backend, enum kind kind, bool by_turn)
{
    struct rig rig;
    struct closing closing = { .by = kind };
    int fds[2][2];
    vigil_loop *loop = rig_open_with(&rig, backend,
                                     (vigil_loop_options){ .stall_after_ns = VIGIL_MS(1),
                                                           .on_stall = closing_stall,
                                                           .user = &closing });
    vigil_remote *remote;
    EQ_INT(0, vigil_remote_open(loop, &remote));
    for (int i = 0; i < 2; i++) {
        pipe_data(fds[i]);
        EQ_INT(0, vigil_after(loop, 0, closing_timer, &closing, NULL));
        EQ_INT(0, vigil_on_signal(loop, SIGUSR1, closing_signal, &closing, NULL));
        EQ_INT(0, vigil_on_ready(loop, fds[i][0], VIGIL_IN, closing_watch, &closing, NULL));
        EQ_INT(0, vigil_post(remote, closing_post, &closing));
    }
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), closing_timer, &closing, NULL));
    raise(SIGUSR1);
    int status;
    do
        status = by_turn ? vigil_loop_turn(loop, VIGIL_S(1)) : vigil_loop_run(loop);
    while (by_turn && status >= 0);
    EQ_INT(VIGIL_ECANCELED, status, "%s", kind_names[kind]);
    if (!OK(closing.closed, "%s", kind_names[kind]))
        vigil_loop_close(loop); /* nobody has */
    EQ_INT(0, closing.after, "callbacks after close in a %s", kind_names[kind]);
    EQ_INT(2, closing.posts, "%s", kind_names[kind]);
    if (kind != STALL) /* which may come after the posts */
        EQ_INT(kind == POST ? 1 : 2, closing.canceled, "%s", kind_names[kind]);
    OK_ALLOCATOR_EMPTY(&rig.memory);
    EQ_INT(VIGIL_ECANCELED, vigil_post(remote, closing_post, &closing));
    vigil_remote_drop(remote);
    close_pair(fds[0]);
    close_pair(fds[1]);
}

CONFORM(close_inside_a_callback_of_every_kind)
{
    for (int kind = 0; kind < KINDS; kind++) {
        close_by(backend, (enum kind)kind, false);
        close_by(backend, (enum kind)kind, true);
    }
}

static void close_at_once(vigil_loop *loop, const char *callback, vigil_ns took, void *user)
{
    (void)callback, (void)took, (void)user;
    vigil_loop_close(loop);
}

static void busy_timer(vigil_loop *loop, void *arg)
{
    busy_for(VIGIL_MS(5));
    count_timer(loop, arg);
}

CONFORM(close_in_the_report_of_a_stall_does_not_wait)
{
    for (int by_turn = 0; by_turn < 2; by_turn++) {
        struct rig rig;
        vigil_loop *loop = rig_open_with(
            &rig, backend,
            (vigil_loop_options){ .stall_after_ns = VIGIL_MS(1), .on_stall = close_at_once });
        int count = 0, fds[2];
        pipe_empty(fds);
        EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, count_watch, &count, NULL));
        EQ_INT(0, vigil_after(loop, 0, busy_timer, &count, NULL));
        int status = by_turn ? vigil_loop_turn(loop, VIGIL_FOREVER) : vigil_loop_run(loop);
        EQ_INT(VIGIL_ECANCELED, status);
        if (status != VIGIL_ECANCELED)
            vigil_loop_close(loop); /* nobody has */
        EQ_INT(1, count);
        OK_ALLOCATOR_EMPTY(&rig.memory);
        close_pair(fds);
    }
}

CONFORM(close_with_everything_still_there)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2], count = 0;
    vigil_remote *remote;
    pipe_data(fds);
    struct sigaction before, after;
    sigaction(SIGUSR1, NULL, &before);
    EQ_INT(0, vigil_remote_open(loop, &remote));
    EQ_INT(0, vigil_after(loop, 0, count_timer, &count, NULL));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &count, NULL));
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, count_watch, &count, NULL));
    rig_close(&rig);
    EQ_INT(0, count);
    sigaction(SIGUSR1, NULL, &after);
    OK(before.sa_handler == after.sa_handler);
    OK(fcntl(fds[0], F_GETFD) >= 0, "the descriptor is the caller's");
    vigil_remote_drop(remote);
    close_pair(fds);
}

/* ---- stalls ------------------------------------------------------------------------------- */

struct stalls {
    int reports;
    const char *longest;
    vigil_ns took;
};

static void note_stall(vigil_loop *loop, const char *callback, vigil_ns took, void *user)
{
    (void)loop;
    struct stalls *stalls = user;
    stalls->reports++;
    if (took < stalls->took)
        return;
    stalls->took = took;
    stalls->longest = callback;
}

static void slow(void)
{
    busy_for(VIGIL_MS(60));
}

static void slow_timer(vigil_loop *loop, void *arg)
{
    slow();
    count_timer(loop, arg);
}

static void slow_signal(vigil_loop *loop, int signo, void *arg)
{
    slow();
    count_signal(loop, signo, arg);
}

static void slow_watch(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    slow();
    count_watch(loop, watch, events, arg);
}

static void slow_post(vigil_loop *loop, void *arg, int status)
{
    slow();
    count_post(loop, arg, status);
}

static void start_slow(vigil_loop *loop, vigil_remote *remote, int kind, int fd, int *count)
{
    switch (kind) {
    case TIMER:
        EQ_INT(0, vigil_after(loop, 0, slow_timer, count, NULL));
        break;
    case SIGNAL:
        EQ_INT(0, vigil_on_signal(loop, SIGUSR1, slow_signal, count, NULL));
        raise(SIGUSR1);
        break;
    case WATCH:
        EQ_INT(0, vigil_on_ready(loop, fd, VIGIL_IN | VIGIL_ONESHOT, slow_watch, count, NULL));
        break;
    default:
        EQ_INT(0, vigil_post(remote, slow_post, count));
    }
}

CONFORM(a_stall_names_the_callback_after_the_first)
{
    struct rig rig;
    struct stalls stalls = { 0 };
    vigil_loop *loop = rig_open_with(&rig, backend,
                                     (vigil_loop_options){ .stall_after_ns = VIGIL_MS(20),
                                                           .on_stall = note_stall,
                                                           .user = &stalls });
    vigil_remote *remote;
    int fds[2], count = 0;
    pipe_data(fds);
    EQ_INT(0, vigil_remote_open(loop, &remote));
    EQ_INT(0, vigil_after(loop, 0, slow_timer, &count, NULL));
    turns_until(loop, &count, 1);
    turns_now(loop, 1);
    OK(stalls.reports >= 1 && stalls.took >= VIGIL_MS(60) && stalls.longest != NULL);
    for (int kind = TIMER; kind <= POST; kind++) {
        stalls = (struct stalls){ 0 };
        start_slow(loop, remote, kind, fds[0], &count);
        turns_until(loop, &count, 2 + kind);
        OK(stalls.took >= VIGIL_MS(60), "%s", kind_names[kind]);
        EQ_STR(kind_names[kind], stalls.longest);
    }
    OK(stats_of(loop).stalls >= 5);
    OK(stats_of(loop).stall_max_ns >= (uint64_t)VIGIL_MS(60));
    vigil_remote_drop(remote);
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(time_between_turns_is_no_stall)
{
    struct rig rig;
    vigil_loop *loop = rig_open_with(&rig, backend,
                                     (vigil_loop_options){ .stall_after_ns = VIGIL_MS(500) });
    int count = 0;
    for (int i = 0; i < 2; i++) {
        EQ_INT(0, vigil_after(loop, 0, count_timer, &count, NULL));
        EQ_INT(0, i == 0 ? vigil_loop_turn(loop, VIGIL_FOREVER) - 1 : vigil_loop_run(loop));
        usleep(600000);
    }
    turns_now(loop, 1);
    EQ_INT(2, count);
    EQ_INT(0, stats_of(loop).stalls);
    rig_close(&rig);
}

/* ---- embedding ---------------------------------------------------------------------------- */

/* A foreign loop in poll(2): one turn when it is due or its descriptor is readable. */
static void foreign_turn(vigil_loop *loop)
{
    vigil_ns due = vigil_loop_due(loop);
    int wait_ms = due > VIGIL_S(5) ? 5000 : (int)((due + 999999) / 1000000);
    struct pollfd entry = { .fd = vigil_loop_fd(loop), .events = POLLIN };
    if (poll(&entry, 1, wait_ms) > 0 || due <= VIGIL_S(5))
        REQUIRE(vigil_loop_turn(loop, VIGIL_NOWAIT) >= 0);
}

static void *post_from_outside(void *arg)
{
    static int ignored;
    return vigil_post(arg, count_post, &ignored) == 0 ? NULL : arg;
}

static void foreign_until(vigil_loop *loop, const int *count, int want, const char *what)
{
    vigil_ns deadline = in_the_end();
    while (*count < want) {
        REQUIRE(now_ns() < deadline, "%s", what);
        foreign_turn(loop);
    }
}

static bool readable_now(vigil_loop *loop)
{
    struct pollfd entry = { .fd = vigil_loop_fd(loop), .events = POLLIN };
    return poll(&entry, 1, 0) == 1;
}

/* Nothing is due, and nothing there. */
static bool rests(vigil_loop *loop)
{
    return vigil_loop_due(loop) == VIGIL_FOREVER && !readable_now(loop);
}

/* The same, behind wake-ups, of which io_uring's kernel tells once more, in its own time: for who
 * looks in that moment there is a turn with nothing to do. */
static bool rests_behind_wakes(vigil_loop *loop)
{
    bool late = strcmp(vigil_loop_backend(loop), "io_uring") == 0;
    return rests(loop) || (late && vigil_loop_turn(loop, VIGIL_NOWAIT) == 0 && rests(loop));
}

CONFORM(it_lives_inside_a_foreign_loop)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    if (vigil_loop_fd(loop) < 0) {
        EQ_INT(VIGIL_ENOTSUP, vigil_loop_fd(loop));
        EQ_INT(VIGIL_FOREVER, vigil_loop_due(loop));
        rig_close(&rig);
        return;
    }
    OK(rests(loop), "nothing is there");
    int count = 0, fds[2];
    vigil_watch watch;
    vigil_remote *remote;
    vigil_ns began = now_ns();
    EQ_INT(0, vigil_after(loop, VIGIL_MS(20), count_timer, &count, NULL));
    vigil_ns due = vigil_loop_due(loop);
    OK((due > 0 || now_ns() - began >= VIGIL_MS(20)) && due <= VIGIL_MS(20));
    foreign_until(loop, &count, 1, "timer");
    pipe_data(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN | VIGIL_ONESHOT, count_watch, &count, &watch));
    foreign_until(loop, &count, 2, "watch");
    OK(rests(loop), "the shot is fired");
    EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_IN | VIGIL_ONESHOT));
    EQ_INT(VIGIL_FOREVER, vigil_loop_due(loop));
    OK(readable_now(loop), "asking for the due time told the kernel");
    foreign_until(loop, &count, 3, "watch again");
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &count, NULL));
    raise(SIGUSR1);
    OK(readable_now(loop), "a signal");
    foreign_until(loop, &count, 4, "signal");
    EQ_INT(0, vigil_remote_open(loop, &remote));
    EQ_PTR(NULL, in_thread(post_from_outside, remote));
    OK(readable_now(loop), "a post");
    uint64_t posts = stats_of(loop).posts;
    while (stats_of(loop).posts == posts)
        foreign_turn(loop);
    OK(rests_behind_wakes(loop), "nothing is left");
    vigil_remote_drop(remote);
    close_pair(fds);
    rig_close(&rig);
}

/* ---- fork --------------------------------------------------------------------------------- */

struct forked {
    struct rig *rig;
    vigil_watch watch;
    void (*handler)(int); /* found before the loop's */
};

static int child_of_a_loop(void *arg)
{
    struct forked *forked = arg;
    vigil_loop *loop = forked->rig->loop;
    if (vigil_loop_turn(loop, VIGIL_NOWAIT) != VIGIL_EFORK)
        return 1;
    if (vigil_loop_run(loop) != VIGIL_EFORK)
        return 2;
    (void)vigil_watch_cancel(loop, forked->watch); /* whatever it answers: not the parent's */
    vigil_loop_close(loop);
    struct sigaction now;
    if (sigaction(SIGUSR1, NULL, &now) != 0 || now.sa_handler != forked->handler)
        return 4;
    return forked->rig->memory.blocks == 0 && test_state.test_failures == 0 ? 0 : 3;
}

CONFORM(a_child_cannot_use_the_loop_and_does_not_harm_it)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct forked forked = { .rig = &rig };
    int count = 0, fds[2];
    vigil_remote *remote;
    struct sigaction found;
    pipe_empty(fds);
    sigaction(SIGUSR1, NULL, &found);
    forked.handler = found.sa_handler;
    EQ_INT(0, vigil_remote_open(loop, &remote));
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, count_watch, &count, &forked.watch));
    EQ_INT(0, vigil_on_signal(loop, SIGUSR1, count_signal, &count, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_MS(10), count_timer, &count, NULL));
    EQ_INT(0, vigil_post(remote, count_post, &count));
    in_child(child_of_a_loop, &forked);
    turns_until(loop, &count, 2); /* the post and the timer */
    put(fds[1], "x");
    turns_until(loop, &count, 3);
    EQ_INT(0, vigil_watch_cancel(loop, forked.watch));
    raise(SIGUSR1);
    turns_until(loop, &count, 4);
    EQ_INT(0, vigil_post(remote, count_post, &count));
    turns_until(loop, &count, 5);
    vigil_remote_drop(remote);
    close_pair(fds);
    rig_close(&rig);
}

static void fork_and_close(vigil_loop *loop, void *arg)
{
    pid_t *child = arg;
    fflush(stdout); /* or the child's copy would be written too */
    *child = fork();
    if (*child == 0) {
        alarm(60);
        vigil_loop_close(loop);
    }
}

CONFORM(fork_inside_a_callback_and_close_in_the_child)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int count = 0;
    pid_t child = -1;
    EQ_INT(0, vigil_after(loop, 0, fork_and_close, &child, NULL));
    EQ_INT(0, vigil_after(loop, 0, count_timer, &count, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_MS(1), count_timer, &count, NULL));
    int status = vigil_loop_run(loop);
    if (child == 0)
        _exit(status == VIGIL_ECANCELED && count == 0 && rig.memory.blocks == 0 ? 0 : 1);
    EQ_INT(0, status);
    EQ_INT(2, count);
    wait_for_child(child);
    rig_close(&rig);
}

struct posters_forked {
    struct rig *rig;
    vigil_remote *remote;
    _Atomic bool over;
    int taken, ran; /* of the poster's; of the loop's thread */
};

static void *post_until_over(void *arg)
{
    struct posters_forked *forked = arg;
    while (!forked->over)
        if (vigil_post(forked->remote, count_post, &forked->ran) == 0)
            forked->taken++;
        else
            sched_yield();
    return NULL;
}

static int child_of_a_poster(void *arg)
{
    struct posters_forked *forked = arg;
    int ran = forked->ran;
    vigil_loop_close(forked->rig->loop);
    if (vigil_post(forked->remote, count_post, &forked->ran) != VIGIL_ECANCELED)
        return 2;
    vigil_remote_drop(forked->remote);
    return forked->ran == ran && forked->rig->memory.blocks == 0 ? 0 : 3;
}

static int child_of_nobody(void *unused)
{
    (void)unused;
    return 0;
}

CONFORM(fork_while_another_thread_posts)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer's own allocator may be locked for good in a child: posting takes memory");
#endif
    in_child(child_of_nobody, NULL); /* no fork: it ends here, with no other thread about */
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct posters_forked forked = { .rig = &rig };
    pthread_t poster;
    EQ_INT(0, vigil_remote_open(loop, &forked.remote));
    REQUIRE(pthread_create(&poster, NULL, post_until_over, &forked) == 0);
    for (int i = 1; i <= 5; i++) {
        turns_until(loop, &forked.ran, i);
        in_child(child_of_a_poster, &forked);
    }
    forked.over = true;
    pthread_join(poster, NULL);
    turns_until(loop, &forked.ran, forked.taken);
    EQ_INT(forked.taken, forked.ran);
    vigil_remote_drop(forked.remote);
    rig_close(&rig);
}

/* ---- time, memory, manners ---------------------------------------------------------------- */

CONFORM(a_storm_of_signals_neither_spins_nor_fires_early)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fired = 0;
    timer_t timer = start_ticks(VIGIL_MS(1));
    vigil_ns start = now_ns();
    EQ_INT(0, vigil_after(loop, VIGIL_MS(200), count_timer, &fired, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    vigil_ns took = now_ns() - start;
    int seen = ticks;
    stop_ticks(timer);
    EQ_INT(1, fired);
    OK(took >= VIGIL_MS(200), "%" PRId64 " ns", took);
    OK(seen > 0);
    OK(stats_of(loop).turns <= (uint64_t)seen + 10, "%" PRIu64 " turns, %d signals",
       stats_of(loop).turns, seen);
    rig_close(&rig);
}

CONFORM(an_idle_loop_takes_no_time)
{
    if (test_time_scale() > 1)
        SKIP("measures CPU time");
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2], count = 0;
    pipe_empty(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, count_watch, &count, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_S(3600), count_timer, &count, NULL));
    EQ_INT(0, vigil_after(loop, VIGIL_S(1), stop_timer, NULL, NULL));
    vigil_ns before = cpu_ns();
    EQ_INT(0, vigil_loop_run(loop));
    OK(cpu_ns() - before < VIGIL_MS(10), "%" PRId64 " ns of 1 s", cpu_ns() - before);
    OK(stats_of(loop).turns <= 3, "%" PRIu64 " turns", stats_of(loop).turns);
    close_pair(fds);
    rig_close(&rig);
}

/* 0, or the first error, of which nothing may be left. */
static int use_a_loop(const char *backend, struct test_allocator *memory, int fd)
{
    vigil_loop *loop;
    vigil_loop_options options = { .backend = backend, .allocator = &memory->allocator };
    int status = vigil_loop_open(&loop, &options);
    if (status != 0)
        return status;
    int fired = 0;
    for (int i = 0; i < 40 && status == 0; i++)
        status = vigil_after(loop, VIGIL_NOWAIT, count_timer, &fired, NULL);
    if (status == 0)
        status = vigil_on_signal(loop, SIGUSR1, count_signal, &fired, NULL);
    if (status == 0)
        status = vigil_on_ready(loop, fd, VIGIL_IN | VIGIL_ONESHOT, count_watch, &fired, NULL);
    if (status == 0) {
        raise(SIGUSR1);
        while (status >= 0 && fired < 42)
            status = vigil_loop_turn(loop, VIGIL_S(1));
    }
    vigil_loop_close(loop);
    return status < 0 ? status : 0;
}

CONFORM(out_of_memory_anywhere_is_a_clean_error)
{
    struct test_allocator memory;
    struct sigaction before, after;
    int fds[2], status = VIGIL_ENOMEM;
    pipe_data(fds);
    sigaction(SIGUSR1, NULL, &before);
    for (size_t n = 0; status == VIGIL_ENOMEM && n < 200; n++) {
        test_counting_allocator(&memory);
        memory.fail_after = n;
        status = use_a_loop(backend, &memory, fds[0]);
        OK_ALLOCATOR_EMPTY(&memory);
        OK(status == 0 || status == VIGIL_ENOMEM, "after %zu: %s", n, vigil_err_name(status));
        sigaction(SIGUSR1, NULL, &after);
        OK(before.sa_handler == after.sa_handler, "after %zu", n);
    }
    EQ_INT(0, status);
    OK(memory.calls > 4);
    close_pair(fds);
}

CONFORM(no_disposition_is_changed_unasked)
{
    struct sigaction before[65], during;
    for (int signo = 1; signo < 65; signo++)
        if (sigaction(signo, NULL, &before[signo]) != 0)
            before[signo].sa_handler = SIG_ERR;
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2], count = 0;
    pipe_data(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, cancel_watch, &count, NULL));
    EQ_INT(0, vigil_loop_run(loop));
    for (int signo = 1; signo < 65; signo++)
        if (before[signo].sa_handler != SIG_ERR && sigaction(signo, NULL, &during) == 0)
            OK(before[signo].sa_handler == during.sa_handler &&
                   before[signo].sa_flags == during.sa_flags,
               "signal %d", signo);
    close_pair(fds);
    rig_close(&rig);
}

static void keep_text(void *arg, const char *text, size_t len)
{
    char *all = arg;
    size_t used = strlen(all);
    if (used + len < TEST_TEXT_MAX)
        memcpy(all + used, text, len);
}

CONFORM(a_dump_tells_in_lines)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    char text[TEST_TEXT_MAX] = "";
    int count = 0;
    EQ_INT(0, vigil_after(loop, VIGIL_S(1), count_timer, &count, NULL));
    EQ_INT(0, vigil_dump(loop, keep_text, text));
    OK(strstr(text, backend) != NULL && strchr(text, '\n') != NULL, "%s", text);
    rig_close(&rig);
}
