/* SPDX-License-Identifier: MIT
 *
 * watches.c -- descriptors of the caller's own: every situation, levels, shots and edges, changing
 * and cancelling, also of what is in the same batch.
 */
#include "loop_rig.h"

struct seen {
    int count;
    unsigned events;
    vigil_watch watch;
};

static void note_events(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)loop;
    struct seen *seen = arg;
    seen->count++;
    seen->events = events;
    seen->watch = watch;
}

static bool has_edges(const char *backend)
{
    vigil_poller *poller;
    REQUIRE(vigil_poller_open(&poller, backend) == 0);
    bool edges = (vigil_poller_caps(poller) & VIGIL_EDGE) != 0;
    vigil_poller_close(poller);
    return edges;
}

CONFORM(every_situation)
{
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        int fds[2];
        situations[i].make(fds);
        for (size_t j = 0; j < TEST_COUNT(asked_rows); j++) {
            struct rig rig;
            vigil_loop *loop = rig_open(&rig, backend);
            struct seen seen = { 0 };
            vigil_watch watch;
            EQ_INT(0, vigil_on_ready(loop, fds[0], asked_rows[j], note_events, &seen, &watch));
            unsigned want = told(backend, &situations[i], asked_rows[j]);
            for (int turn = 1; turn <= 2; turn++) {
                EQ_INT(want != 0, vigil_loop_turn(loop, VIGIL_NOWAIT), "%s, asked 0x%x",
                       situations[i].name, asked_rows[j]);
                EQ_INT(want, seen.events, "%s, asked 0x%x", situations[i].name, asked_rows[j]);
            }
            if (want != 0)
                EQ_INT(watch.v, seen.watch.v);
            EQ_INT(0, vigil_watch_cancel(loop, watch));
            EQ_INT(VIGIL_ESTALE, vigil_watch_cancel(loop, watch));
            EQ_INT(VIGIL_ESTALE, vigil_watch_set(loop, watch, VIGIL_IN));
            EQ_INT(0, vigil_loop_turn(loop, VIGIL_NOWAIT), "%s", situations[i].name);
            rig_close(&rig);
        }
        close_pair(fds);
    }
}

CONFORM(flags_of_the_descriptor_are_kept)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen seen = { 0 };
    pipe_data(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, NULL));
    turns_until(loop, &seen.count, 1);
    EQ_INT(0, fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(bad_arguments)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen seen = { 0 };
    vigil_watch watch;
    pipe_data(fds);
    const struct {
        int want, fd;
        unsigned events;
        vigil_watch_fn *fn;
    } rows[] = {
        { VIGIL_EINVAL, fds[0], 0, note_events },
        { VIGIL_EINVAL, fds[0], VIGIL_ONESHOT, note_events },
        { VIGIL_EINVAL, fds[0], VIGIL_IN | VIGIL_ERR, note_events },
        { VIGIL_EINVAL, fds[0], VIGIL_IN | 0x10000, note_events },
        { VIGIL_EINVAL, fds[0], VIGIL_IN, NULL },
        { VIGIL_EBADF, closed_fd(-1), VIGIL_IN, note_events },
        { VIGIL_EBADF, closed_fd(5000), VIGIL_IN, note_events },
        { VIGIL_EBADF, -1, VIGIL_IN, note_events },
        { VIGIL_EBADF, INT32_MAX, VIGIL_IN, note_events },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++)
        EQ_INT(rows[i].want,
               vigil_on_ready(loop, rows[i].fd, rows[i].events, rows[i].fn, &seen, &watch),
               "row %zu", i);
    EQ_INT(0, vigil_loop_run(loop), "none of them is there");
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, &watch));
    EQ_INT(VIGIL_EINVAL, vigil_watch_set(loop, watch, VIGIL_HUP));
    EQ_INT(VIGIL_EINVAL, vigil_watch_set(loop, watch, 0x10000));
    EQ_INT(VIGIL_ESTALE, vigil_watch_set(loop, (vigil_watch){ 0 }, VIGIL_IN));
    EQ_INT(VIGIL_ESTALE, vigil_watch_cancel(loop, (vigil_watch){ UINT64_MAX }));
    turns_until(loop, &seen.count, 1);
    close_pair(fds);
    rig_close(&rig);
}

/* The backend does not know a watch for nothing, and took the second one of its descriptor. */
CONFORM(a_descriptor_is_watched_once)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen first = { 0 }, second = { 0 };
    vigil_watch watch;
    pipe_data(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &first, &watch));
    for (int turn = 0; turn < 2; turn++) {
        EQ_INT(VIGIL_EEXIST, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &second, NULL));
        EQ_INT(0, vigil_watch_set(loop, watch, 0));
        EQ_INT(VIGIL_EEXIST, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &second, NULL));
        turns_now(loop, 1);
        EQ_INT(VIGIL_EEXIST, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &second, NULL));
        EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_ONESHOT)); /* nothing, too */
        EQ_INT(VIGIL_EEXIST, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &second, NULL));
        EQ_INT(0, first.count);
        EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_IN));
    }
    turns_now(loop, 1);
    EQ_INT(1, first.count);
    EQ_INT(VIGIL_IN, first.events);
    EQ_INT(0, second.count);
    EQ_INT(0, vigil_watch_set(loop, watch, 0));
    EQ_INT(0, vigil_watch_cancel(loop, watch));
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &second, NULL), "now it may");
    turns_until(loop, &second.count, 1);
    close_pair(fds);
    rig_close(&rig);
}

/* ---- levels, shots, edges ----------------------------------------------------------------- */

CONFORM(one_shot_and_armed_again)
{
    static const struct {
        const char *name;
        void (*make)(int fds[2]);
    } rows[] = { { "pipe", pipe_data },
                 { "hung up", pipe_ended },
                 { "file", file_data },
                 { "/dev/null", dev_null },
                 { "socket", unix_data } };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        int fds[2];
        struct seen seen = { 0 };
        vigil_watch watch;
        rows[i].make(fds);
        EQ_INT(0,
               vigil_on_ready(loop, fds[0], VIGIL_IN | VIGIL_ONESHOT, note_events, &seen, &watch));
        for (int shot = 1; shot <= 3; shot++) {
            turns_until(loop, &seen.count, shot);
            turns_now(loop, 3);
            EQ_INT(shot, seen.count, "%s", rows[i].name);
            EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_IN | VIGIL_ONESHOT));
        }
        EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_IN));
        turns_now(loop, 3);
        EQ_INT(6, seen.count, "%s: by level now", rows[i].name);
        close_pair(fds);
        rig_close(&rig);
    }
}

static void arm_in_callback(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    note_events(loop, watch, events, arg);
    if (((struct seen *)arg)->count < 3)
        EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_IN | VIGIL_ONESHOT));
}

CONFORM(a_shot_armed_in_its_own_callback)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen seen = { 0 };
    pipe_data(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN | VIGIL_ONESHOT, arm_in_callback, &seen, NULL));
    turns_until(loop, &seen.count, 3);
    turns_now(loop, 3);
    EQ_INT(3, seen.count);
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(edges_where_the_kernel_has_them)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen seen = { 0 };
    vigil_watch watch;
    pipe_data(fds);
    int status = vigil_on_ready(loop, fds[0], VIGIL_IN | VIGIL_EDGE, note_events, &seen, &watch);
    EQ_INT(has_edges(backend) ? 0 : VIGIL_ENOTSUP, status);
    if (status == 0) {
        turns_now(loop, 4);
        EQ_INT(1, seen.count);
        put(fds[1], "more");
        turns_now(loop, 4);
        EQ_INT(2, seen.count);
    } else {
        EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, &watch));
        EQ_INT(VIGIL_ENOTSUP, vigil_watch_set(loop, watch, VIGIL_IN | VIGIL_EDGE));
        turns_now(loop, 1);
        EQ_INT(1, seen.count, "the level is still watched");
    }
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(hang_up_with_unread_data)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen seen = { 0 };
    char tail[8];
    pipe_ended_unread(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, NULL));
    turns_now(loop, 1);
    OK((seen.events & VIGIL_IN) != 0);
    EQ_INT(4, read(fds[0], tail, sizeof(tail)));
    turns_now(loop, 1);
    EQ_INT(2, seen.count, "and the end is told");
    EQ_INT(0, read(fds[0], tail, sizeof(tail)));
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(watched_for_nothing_a_hung_up_peer_does_not_spin)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2], fired = 0;
    struct seen seen = { 0 };
    vigil_watch watch;
    tcp_reset(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, &watch));
    turns_until(loop, &seen.count, 1);
    EQ_INT(0, vigil_watch_set(loop, watch, 0));
    uint64_t turns = stats_of(loop).turns;
    EQ_INT(0, vigil_after(loop, VIGIL_MS(50), count_timer, &fired, NULL));
    turns_until(loop, &fired, 1);
    EQ_INT(1, seen.count);
    OK(stats_of(loop).turns - turns <= 3, "%" PRIu64 " turns", stats_of(loop).turns - turns);
    EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_IN));
    turns_until(loop, &seen.count, 2);
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(changed_from_in_to_out_and_back)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen seen = { 0 };
    vigil_watch watch;
    unix_data(fds);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, &watch));
    static const unsigned rows[] = { VIGIL_IN, VIGIL_OUT, VIGIL_IN | VIGIL_OUT, VIGIL_IN };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        EQ_INT(0, vigil_watch_set(loop, watch, VIGIL_OUT)); /* merged: only the last counts */
        EQ_INT(0, vigil_watch_set(loop, watch, 0));
        EQ_INT(0, vigil_watch_set(loop, watch, rows[i]));
        EQ_INT(1, vigil_loop_turn(loop, VIGIL_NOWAIT));
        EQ_INT(rows[i], seen.events, "row %zu", i);
    }
    close_pair(fds);
    rig_close(&rig);
}

/* Its descriptor is not there any more: told once.  Of a shot that was armed again nothing was. */
CONFORM(closed_before_it_is_set_again)
{
    static const unsigned rows[] = { VIGIL_IN, VIGIL_IN | VIGIL_ONESHOT };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        bool shot = (rows[i] & VIGIL_ONESHOT) != 0;
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        int fds[2];
        struct seen seen = { 0 };
        vigil_watch watch;
        pipe_data(fds);
        EQ_INT(0, vigil_on_ready(loop, fds[0], rows[i], note_events, &seen, &watch));
        turns_now(loop, 1);
        EQ_INT(1, seen.count);
        if (!shot)
            EQ_INT(0, vigil_watch_set(loop, watch, 0));
        turns_now(loop, 1);
        close(fds[0]);
        EQ_INT(0, vigil_watch_set(loop, watch, rows[i]));
        turns_now(loop, 3);
        EQ_INT(2, seen.count, "row %zu", i);
        EQ_INT(VIGIL_ERR | VIGIL_NVAL, seen.events, "row %zu", i);
        EQ_INT(0, vigil_watch_cancel(loop, watch));
        close(fds[1]);
        rig_close(&rig);
    }
}

static void close_and_count(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    note_events(loop, watch, events, arg);
    vigil_loop_close(loop);
}

/* The others of whom the backend would not hear either were still called. */
CONFORM(closing_in_the_call_that_tells_of_a_closed_descriptor)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[4][2];
    struct seen seen = { 0 };
    vigil_watch watches[4];
    for (int i = 0; i < 4; i++) {
        pipe_data(fds[i]);
        EQ_INT(0, vigil_on_ready(loop, fds[i][0], VIGIL_IN, close_and_count, &seen, &watches[i]));
        EQ_INT(0, vigil_watch_set(loop, watches[i], 0));
    }
    turns_now(loop, 1);
    for (int i = 0; i < 4; i++) {
        close_pair(fds[i]);
        EQ_INT(0, vigil_watch_set(loop, watches[i], VIGIL_IN));
    }
    int status = vigil_loop_turn(loop, VIGIL_FOREVER);
    EQ_INT(VIGIL_ECANCELED, status);
    if (status != VIGIL_ECANCELED)
        vigil_loop_close(loop); /* nobody has */
    EQ_INT(1, seen.count);
    OK_ALLOCATOR_EMPTY(&rig.memory);
}

/* ---- the same batch ----------------------------------------------------------------------- */

struct batch {
    int fds[8][2];
    vigil_watch watches[8];
    int count, called[8];
    void (*act)(vigil_loop *loop, struct batch *batch, int me);
};

struct member {
    struct batch *batch;
    int index;
};

static void batch_called(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)watch, (void)events;
    struct member *member = arg;
    member->batch->called[member->index]++;
    if (member->batch->count++ == 0)
        member->batch->act(loop, member->batch, member->index);
}

static void batch_run(const char *backend, void (*act)(vigil_loop *, struct batch *, int),
                      unsigned events, struct batch *batch)
{
    struct rig rig;
    struct member members[8];
    vigil_loop *loop = rig_open(&rig, backend);
    *batch = (struct batch){ .act = act };
    for (int i = 0; i < 8; i++) {
        pipe_data(batch->fds[i]);
        members[i] = (struct member){ batch, i };
        EQ_INT(0, vigil_on_ready(loop, batch->fds[i][0], events, batch_called, &members[i],
                                 &batch->watches[i]));
    }
    REQUIRE(vigil_loop_turn(loop, VIGIL_FOREVER) >= 1);
    for (int i = 0; i < 8; i++)
        close_pair(batch->fds[i]);
    rig_close(&rig);
}

static void cancel_the_others(vigil_loop *loop, struct batch *batch, int me)
{
    for (int i = 0; i < 8; i++)
        if (i != me)
            EQ_INT(0, vigil_watch_cancel(loop, batch->watches[i]));
}

CONFORM(cancelled_by_another_of_the_same_batch)
{
    struct batch batch;
    batch_run(backend, cancel_the_others, VIGIL_IN, &batch);
    EQ_INT(1, batch.count);
}

static void mute_the_others(vigil_loop *loop, struct batch *batch, int me)
{
    for (int i = 0; i < 8; i++)
        if (i != me)
            EQ_INT(0, vigil_watch_set(loop, batch->watches[i], 0));
}

CONFORM(set_to_nothing_by_another_of_the_same_batch)
{
    struct batch batch;
    batch_run(backend, mute_the_others, VIGIL_IN, &batch);
    EQ_INT(1, batch.count);
    batch_run(backend, mute_the_others, VIGIL_IN | VIGIL_ONESHOT, &batch);
    EQ_INT(1, batch.count);
}

static struct seen newcomers[8];

/* Closes the descriptors of the others and watches idle ones that have their numbers. */
static void replace_the_others(vigil_loop *loop, struct batch *batch, int me)
{
    for (int i = 0; i < 8; i++) {
        if (i == me)
            continue;
        int fd = batch->fds[i][0], fds[2];
        EQ_INT(0, vigil_watch_cancel(loop, batch->watches[i]));
        close_pair(batch->fds[i]);
        pipe_empty(fds);
        fds[0] = move_high(fds[0], 200 + i);
        fds[1] = move_high(fds[1], 300 + i);
        REQUIRE(dup3(fds[0], fd, O_CLOEXEC) == fd);
        close(fds[0]);
        batch->fds[i][0] = fd;
        batch->fds[i][1] = fds[1];
        EQ_INT(0, vigil_on_ready(loop, fd, VIGIL_IN, note_events, &newcomers[i], NULL));
    }
}

CONFORM(a_number_reused_in_the_same_batch_gets_no_event_of_the_old)
{
    struct batch batch;
    memset(newcomers, 0, sizeof(newcomers));
    batch_run(backend, replace_the_others, VIGIL_IN, &batch);
    EQ_INT(1, batch.count);
    for (int i = 0; i < 8; i++)
        EQ_INT(0, newcomers[i].count, "%d", i);
}

struct changing {
    vigil_watch watch;
    unsigned events[2];
    int steps;
};

static void change_in_timer(vigil_loop *loop, void *arg)
{
    struct changing *changing = arg;
    for (int i = 0; i < changing->steps; i++)
        EQ_INT(0, vigil_watch_set(loop, changing->watch, changing->events[i]));
}

/* A timer runs before the I/O of its turn: what was waited for is not what is wanted any more. */
CONFORM(changed_by_a_timer_of_the_same_turn)
{
    static const struct {
        unsigned before, events[2];
        int steps;
        unsigned first_turn, later; /* what is told in that turn, and in the next ones together */
        int later_count;
    } rows[] = {
        { VIGIL_IN, { 0 }, 1, 0, 0, 0 },
        { VIGIL_IN, { VIGIL_OUT }, 1, 0, VIGIL_OUT, 3 },
        { VIGIL_IN, { 0, VIGIL_IN }, 2, VIGIL_IN, VIGIL_IN, 3 },
        { VIGIL_IN, { VIGIL_OUT | VIGIL_ONESHOT }, 1, 0, VIGIL_OUT, 1 },
        { VIGIL_IN, { VIGIL_IN | VIGIL_ONESHOT }, 1, 0, VIGIL_IN, 1 },
        { VIGIL_IN | VIGIL_ONESHOT, { 0 }, 1, 0, 0, 0 },
        { VIGIL_IN | VIGIL_ONESHOT, { VIGIL_OUT | VIGIL_ONESHOT }, 1, 0, VIGIL_OUT, 1 },
        { VIGIL_IN | VIGIL_ONESHOT, { VIGIL_IN | VIGIL_ONESHOT }, 1, VIGIL_IN, 0, 0 },
        { VIGIL_IN | VIGIL_ONESHOT, { VIGIL_IN }, 1, 0, VIGIL_IN, 3 },
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        int fds[2];
        struct seen seen = { 0 };
        struct changing changing = { .steps = rows[i].steps };
        memcpy(changing.events, rows[i].events, sizeof(changing.events));
        unix_data(fds);
        EQ_INT(0,
               vigil_on_ready(loop, fds[0], rows[i].before, note_events, &seen, &changing.watch));
        EQ_INT(0, vigil_turn_soon(loop, change_in_timer, &changing));
        turns_now(loop, 1);
        EQ_INT(rows[i].first_turn, seen.events, "row %zu", i);
        seen = (struct seen){ 0 };
        turns_now(loop, 3);
        EQ_INT(rows[i].later, seen.events, "row %zu", i);
        EQ_INT(rows[i].later_count, seen.count, "row %zu", i);
        close_pair(fds);
        rig_close(&rig);
    }
}

static struct changing set_back;

static void set_back_after(vigil_loop *loop, struct batch *batch, int me)
{
    (void)me;
    for (int i = 0; i < 8; i++)
        EQ_INT(0, vigil_watch_set(loop, batch->watches[i], set_back.events[0]));
}

/* Muted by a timer, skipped, and set back by a callback behind it: the shot or edge is not lost. */
CONFORM(muted_and_set_back_within_one_turn)
{
    static const unsigned rows[] = { VIGIL_IN, VIGIL_IN | VIGIL_ONESHOT, VIGIL_IN | VIGIL_EDGE };
    for (size_t row = 0; row < TEST_COUNT(rows); row++) {
        if ((rows[row] & VIGIL_EDGE) != 0 && !has_edges(backend))
            continue;
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        struct batch batch = { .act = set_back_after };
        struct member last = { &batch, 7 };
        struct seen seen[7] = { { 0 } };
        struct changing muting[7];
        set_back.events[0] = rows[row];
        for (int i = 0; i < 8; i++)
            pipe_data(batch.fds[i]);
        for (int i = 0; i < 7; i++) {
            EQ_INT(0, vigil_on_ready(loop, batch.fds[i][0], rows[row], note_events, &seen[i],
                                     &batch.watches[i]));
            muting[i] = (struct changing){ .watch = batch.watches[i], .steps = 1 };
            EQ_INT(0, vigil_turn_soon(loop, change_in_timer, &muting[i]));
        }
        EQ_INT(0, vigil_on_ready(loop, batch.fds[7][0], VIGIL_IN, batch_called, &last,
                                 &batch.watches[7]));
        turns_now(loop, 4);
        for (int i = 0; i < 7; i++)
            OK(seen[i].count > 0, "row %zu, watch %d", row, i);
        for (int i = 0; i < 8; i++)
            close_pair(batch.fds[i]);
        rig_close(&rig);
    }
}

/* ---- many, and the end -------------------------------------------------------------------- */

CONFORM(none_of_many_starves)
{
    enum {
        MANY = 700,  /* more than one wait brings */
        COPIES = 100 /* of one socket: epoll bounds how often sets of sets may have a file */
    };
    static struct seen seen[MANY];
    static int copies[MANY];
    struct rig rig;
    int fds[MANY / COPIES][2];
    vigil_loop *loop = rig_open(&rig, backend);
    for (int i = 0; i < MANY; i++) {
        seen[i] = (struct seen){ 0 };
        if (i % COPIES == 0)
            tcp_data(fds[i / COPIES]);
        copies[i] = dup(fds[i / COPIES][0]);
        REQUIRE(copies[i] >= 0);
        EQ_INT(0, vigil_on_ready(loop, copies[i], VIGIL_IN, note_events, &seen[i], NULL));
    }
    turns_now(loop, 5);
    for (int i = 0; i < MANY; i++) {
        OK(seen[i].count > 0, "%d", i);
        close(copies[i]);
    }
    rig_close(&rig);
    for (int i = 0; i < MANY / COPIES; i++)
        close_pair(fds[i]);
}

CONFORM(a_descriptor_above_1024)
{
    test_needs_large_sets(backend);
    struct rig rig;
    int fds[2];
    struct seen seen = { 0 };
    pipe_empty(fds);
    fds[0] = move_high(fds[0], 3000);
    vigil_loop *loop = rig_open(&rig, backend);
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, NULL));
    turns_now(loop, 1);
    EQ_INT(0, seen.count);
    put(fds[1], "x");
    turns_until(loop, &seen.count, 1);
    close_pair(fds);
    rig_close(&rig);
}

CONFORM(cancel_and_close_show_the_peer_the_end_at_once)
{
    for (int by_close = 0; by_close < 2; by_close++) {
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        int fds[2];
        struct seen seen = { 0 };
        vigil_watch watch;
        unix_pair(fds);
        EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, &watch));
        turns_now(loop, 1); /* it is in the kernel's set */
        if (by_close)
            rig_close(&rig);
        else
            EQ_INT(0, vigil_watch_cancel(loop, watch));
        close(fds[0]);
        struct pollfd peer = { .fd = fds[1], .events = POLLIN };
        EQ_INT(1, poll(&peer, 1, 0));
        char byte;
        EQ_INT(0, read(fds[1], &byte, 1));
        close(fds[1]);
        if (!by_close)
            rig_close(&rig);
    }
}

/* The handles of watches and of what has their slots later are different. */
CONFORM(stale_handles_never_name_another)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int fds[2];
    struct seen seen = { 0 };
    vigil_watch old[100], live;
    pipe_data(fds);
    for (int i = 0; i < 100; i++) {
        EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, &old[i]));
        EQ_INT(0, vigil_watch_cancel(loop, old[i]));
    }
    EQ_INT(0, vigil_on_ready(loop, fds[0], VIGIL_IN, note_events, &seen, &live));
    for (int i = 0; i < 100; i++) {
        EQ_INT(VIGIL_ESTALE, vigil_watch_cancel(loop, old[i]));
        EQ_INT(VIGIL_ESTALE, vigil_watch_set(loop, old[i], 0));
    }
    turns_until(loop, &seen.count, 1);
    EQ_INT(live.v, seen.watch.v);
    close_pair(fds);
    rig_close(&rig);
}
