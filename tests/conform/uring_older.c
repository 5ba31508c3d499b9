/* SPDX-License-Identifier: MIT
 *
 * uring_older.c -- the backend on io_uring as on older kernels: set-up flags that are refused,
 * buffers that are not filled bit by bit, with and without bundles, no buffers at all.  A chain of
 * rows is run on each.  Bundles without such buffers (Linux 6.10 and 6.11) no newer kernel shows.
 */
#include "uring_rig.h"

enum {
    NO_SQARRAY = VIGIL__URING_SETUP_NO_SQARRAY,
    BOUND = VIGIL__URING_SETUP_DEFER_TASKRUN | VIGIL__URING_SETUP_SINGLE_ISSUER,
    COOP = VIGIL__URING_SETUP_COOP_TASKRUN,
    SUBMIT_ALL = VIGIL__URING_SETUP_SUBMIT_ALL,
    BUNDLE = VIGIL__URING_FEAT_RECVSEND_BUNDLE,
    MIN_WAIT = VIGIL__URING_FEAT_MIN_TIMEOUT,
};

static const struct {
    const char *name;
    struct uring_older older;
    bool performs; /* else it works by readiness */
} kernels[] = {
    { "this one", { 0, 0, false, false }, true },
    { "no bundles", { 0, BUNDLE, false, false }, true },
    { "6.11", { 0, MIN_WAIT, true, false }, true }, /* bundles alone */
    { "6.6", { 0, BUNDLE | MIN_WAIT, true, false }, true },
    { "6.1", { NO_SQARRAY, BUNDLE | MIN_WAIT, true, false }, true },
    { "6.0", { NO_SQARRAY | VIGIL__URING_SETUP_DEFER_TASKRUN, BUNDLE, true, false }, true },
    { "not bound", { NO_SQARRAY | BOUND, BUNDLE, true, false }, true },
    { "no cooperation", { NO_SQARRAY | BOUND | COOP, BUNDLE, true, false }, true },
    { "no submit all", { NO_SQARRAY | BOUND | COOP | SUBMIT_ALL, BUNDLE, true, false }, true },
    { "bundles, no flags", { NO_SQARRAY | BOUND | COOP | SUBMIT_ALL, 0, true, false }, true },
    { "no flags", { NO_SQARRAY | BOUND | COOP | SUBMIT_ALL, 0, false, false }, true },
    { "no buffers", { 0, 0, false, true }, false },
    { "nothing", { NO_SQARRAY | BOUND | COOP | SUBMIT_ALL, BUNDLE, true, true }, false },
};

static const char *kernel_name;

/* All of it came back. */
static void kernel_is_left(struct rig *rig, bool performs)
{
    rig_settle(rig);
    EQ_INT(0, rig_stats(rig).memory, "%s", kernel_name);
    if (performs)
        EQ_INT(view.places_count, buffers_in_kernel(), "%s", kernel_name);
    EQ_INT(0, seen.twice, "%s", kernel_name);
    EQ_INT(0, seen.sends_overlapping, "%s", kernel_name);
    rig_close(rig);
    EQ_INT(0, seen.under_way, "%s", kernel_name);
}

static void no_log(struct rig *rig, vigil_conn conn)
{
    (void)conn;
    rig->log[0] = '\0';
}

static size_t quiet_echo(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    rig->log[0] = '\0';
    return vigil_send(rig->loop, conn, p, n);
}

/* Runs a row on each kernel, on a loop whose connections echo. */
static bool kernel_has_bundles; /* the one that runs: what it lacks cannot be shown */

static void on_each_kernel(void (*row)(struct rig *rig))
{
    uring_needed();
    kernel_has_bundles = test_kernel_has("bundles");
    for (size_t i = 0; i < TEST_COUNT(kernels); i++) {
        struct rig rig;
        kernel_name = kernels[i].name;
        older = kernels[i].older;
        EQ_INT(kernels[i].performs, test_kernel_performs("io_uring"), "%s", kernel_name);
        seen_reset();
        uring_open(&rig, NULL);
        EQ_INT(0, view.params.flags & older.setup_flags, "%s", kernel_name);
        rig.on_data = quiet_echo;
        rig.on_open = no_log;
        rig.on_close = no_log;
        row(&rig);
        kernel_is_left(&rig, kernels[i].performs);
    }
    older = (struct uring_older){ 0 };
}

static void talk_close(struct rig *rig, struct talk *talks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(talks[i].fd);
    RIG_UNTIL(rig, rig->closed == rig->opened);
}

static void many_small(struct rig *rig)
{
    enum { TALKS = 20 };
    struct talk talks[TALKS];
    vigil_conn conn;
    for (unsigned i = 0; i < TALKS; i++)
        talks[i] = (struct talk){ .seed = i, .chunk = 1 + i * 3, .total = 300 * (1 + i * 3) };
    for (unsigned i = 0; i < TALKS; i++)
        talks[i].fd = i % 2 ? rig_client_opened(rig) : uring_pair(rig, NULL, &conn);
    talks_echo(rig, talks, TALKS);
    talk_close(rig, talks, TALKS);
}

TEST(small_messages)
{
    on_each_kernel(many_small);
}

static void bulk(struct rig *rig)
{
    enum { TALKS = 5 };
    struct talk talks[TALKS];
    vigil_conn conn;
    for (unsigned i = 0; i < TALKS; i++)
        talks[i] = (struct talk){ .seed = i, .chunk = 65536 - i * 1237, .total = 3 << 20 };
    for (unsigned i = 0; i < TALKS; i++)
        talks[i].fd = i % 2 ? rig_client_opened(rig) : uring_pair(rig, NULL, &conn);
    talks_echo(rig, talks, TALKS);
    talk_close(rig, talks, TALKS);
    bool bundles = !older.no_buf_ring && older.no_incremental && (older.features & BUNDLE) == 0;
    if (bundles && kernel_has_bundles)
        OK(seen.bundles_long > 0, "%s: no bundle of several buffers came", kernel_name);
    else
        EQ_INT(0, seen.bundles_long, "%s", kernel_name);
}

TEST(bulk_both_ways)
{
    on_each_kernel(bulk);
}

static void slow(struct rig *rig)
{
    vigil_conn conn;
    int small = 1;
    struct talk talks[] = {
        { .seed = 1, .chunk = 700, .total = 400000 },
        { .seed = 2, .chunk = 50, .total = 20000 },
    };
    talks[0].fd = uring_pair(rig, NULL, &conn);
    talks[1].fd = uring_pair(rig, NULL, &(vigil_conn){ 0 });
    RIG_UNTIL(rig, rig->opened == 2);
    setsockopt(vigil_conn_fd(rig->loop, conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    talks_echo(rig, talks, 2);
    talk_close(rig, talks, 2);
}

TEST(slow_readers)
{
    on_each_kernel(slow);
}

static void half_close(struct rig *rig)
{
    struct talk talk = { .fd = rig_client_opened(rig), .seed = 3, .chunk = 50000 };
    talk.total = 1000000;
    bool ended = false;
    for (long turns = 0; !talk.ended && turns < 100000; turns++) {
        talk_put(&talk);
        if (talk.put == talk.total && !ended)
            ended = shutdown(talk.fd, SHUT_WR) == 0;
        talk_get(&talk);
        REQUIRE(!talk.wrong, "%s: before %zu", kernel_name, talk.got);
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    }
    EQ_INT(talk.total, talk.got, "%s", kernel_name);
    RIG_UNTIL(rig, rig->closed == 1);
    EQ_INT(VIGIL_OK, rig->why, "%s", kernel_name);
    close(talk.fd);
}

TEST(half_closed_peers)
{
    on_each_kernel(half_close);
}

static size_t use_half(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    rig->log[0] = '\0';
    rig->number++;
    if (rig->number % 5 == 0 && vigil_pause(rig->loop, conn) == 0)
        return 0;
    return vigil_send(rig->loop, conn, p, n > 1 ? n / 2 : n);
}

/* What a burst brought beyond what was asked for is held, while others take part. */
static void held_and_paused(struct rig *rig)
{
    enum { TALKS = 3 };
    struct talk talks[TALKS];
    vigil_conn conns[TALKS];
    rig->on_data = use_half;
    for (unsigned i = 0; i < TALKS; i++) {
        talks[i] = (struct talk){ .seed = i, .chunk = 30000 + i, .total = 700000 };
        talks[i].fd = uring_pair(rig, NULL, &conns[i]);
    }
    size_t left = TALKS;
    for (long turns = 0; left > 0 && turns < 200000; turns++) {
        left = TALKS;
        for (unsigned i = 0; i < TALKS; i++) {
            talk_put(&talks[i]);
            talk_get(&talks[i]);
            REQUIRE(!talks[i].wrong, "%s: before %zu", kernel_name, talks[i].got);
            REQUIRE(!talks[i].ended, "%s: after %zu", kernel_name, talks[i].got);
            left -= talks[i].got == talks[i].total;
            if (turns % 3 == 0)
                EQ_INT(0, vigil_resume(rig->loop, conns[i]));
        }
        REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    }
    EQ_INT(0, left, "%s", kernel_name);
    rig->on_data = quiet_echo;
    for (unsigned i = 0; i < TALKS; i++)
        EQ_INT(0, vigil_abort(rig->loop, conns[i]));
    talk_close(rig, talks, TALKS);
}

TEST(input_that_is_held_and_connections_that_pause)
{
    on_each_kernel(held_and_paused);
}

/* More at once than there are buffers, of sizes that fill none of them evenly. */
static void crowd(struct rig *rig)
{
    enum { TALKS = 60 };
    struct talk talks[TALKS];
    vigil_conn conn;
    for (unsigned i = 0; i < TALKS; i++) {
        talks[i] = (struct talk){ .seed = i, .chunk = 40000 - i * 331, .total = 200000 };
        talks[i].fd = uring_pair(rig, NULL, &conn);
    }
    talks_echo(rig, talks, TALKS);
    talk_close(rig, talks, TALKS);
}

TEST(more_at_once_than_there_are_buffers)
{
    on_each_kernel(crowd);
}

static void ends(struct rig *rig)
{
    static const char text[30000];
    for (int round = 0; round < 60; round++) {
        vigil_conn conn;
        int fd = uring_pair(rig, NULL, &conn);
        for (int turns = 0; turns < round % 4; turns++)
            REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
        (void)!send(fd, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT); /* what fits */
        if (round % 3 == 0)
            REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
        if (round % 2 == 0)
            EQ_INT(0, vigil_abort(rig->loop, conn));
        close(fd);
    }
    RIG_UNTIL(rig, rig->closed == 60);
}

TEST(connections_that_end_while_bytes_come)
{
    on_each_kernel(ends);
}
