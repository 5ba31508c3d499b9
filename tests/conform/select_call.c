/* SPDX-License-Identifier: MIT
 *
 * select_call.c -- vigil_select, sentence by sentence of vigil.h: all three lists in every
 * situation, descriptors of any value, closed and negative ones, timeouts never early, signals.
 */
#include <limits.h>

#include "situations.h"

enum { MANY = 64 };

#ifdef VIGIL_SELECT_BY_POLL
static const char call_below[] = "poll";
#else
static const char call_below[] = "select";
#endif

/* One list with room for its answers. */
struct list {
    vigil_set set;
    vigil_fd fds[MANY], ready[MANY];
};

static vigil_set *list_of(struct list *list, const int *fds, size_t count)
{
    REQUIRE(count <= MANY);
    for (size_t i = 0; i < count; i++)
        list->fds[i] = fds[i];
    list->set = (vigil_set){
        .fds = list->fds, .count = count, .ready = list->ready, .ready_count = 12345
    };
    return &list->set;
}

TEST(every_situation_in_every_list)
{
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        int fds[2];
        situations[i].make(fds);
        struct list in, out, except;
        unsigned want = answered_by_select(situations[i].events, ~0u);
        int n = vigil_select(list_of(&in, fds, 1), list_of(&out, fds, 1), list_of(&except, fds, 1),
                             VIGIL_NOWAIT);
        EQ_INT(__builtin_popcount(want), n, "%s", situations[i].name);
        EQ_INT((want & VIGIL_IN) != 0, in.set.ready_count, "%s", situations[i].name);
        EQ_INT((want & VIGIL_OUT) != 0, out.set.ready_count, "%s", situations[i].name);
        EQ_INT((want & VIGIL_PRI) != 0, except.set.ready_count, "%s", situations[i].name);
        EQ_INT((want & VIGIL_IN) != 0, vigil_select(&in.set, NULL, NULL, 0), "%s",
               situations[i].name);
        EQ_INT((want & VIGIL_OUT) != 0, vigil_select(NULL, &out.set, NULL, 0), "%s",
               situations[i].name);
        EQ_INT((want & VIGIL_PRI) != 0, vigil_select(NULL, NULL, &except.set, 0), "%s",
               situations[i].name);
        close_pair(fds);
    }
}

TEST(an_exceptional_list_waits_beside_a_hung_up_one)
{
    int fds[2];
    unix_peer_closed(fds);
    struct list except;
    vigil_ns start = now_ns();
    EQ_INT(0, vigil_select(NULL, NULL, list_of(&except, fds, 1), VIGIL_MS(20)));
    OK(now_ns() - start >= VIGIL_MS(20), "a hang-up is not exceptional");
    close_pair(fds);
}

TEST(the_same_array_in_all_lists)
{
    int idle[2], data[2], urgent[2];
    tcp_idle(idle);
    tcp_data(data);
    tcp_urgent(urgent);
    const vigil_fd all[] = { urgent[0], idle[0], data[0], idle[0] };
    vigil_fd ready[3][4];
    vigil_set sets[3];
    for (int i = 0; i < 3; i++)
        sets[i] = (vigil_set){ .fds = all, .count = 4, .ready = ready[i] };
    EQ_INT(2 + 4 + 1, vigil_select(&sets[0], &sets[1], &sets[2], VIGIL_FOREVER));
    EQ_INT(2, sets[0].ready_count);
    EQ_INT(urgent[0], ready[0][0]);
    EQ_INT(data[0], ready[0][1]);
    EQ_INT(4, sets[1].ready_count, "one that stands there twice is two entries");
    for (int i = 0; i < 4; i++)
        EQ_INT(all[i], ready[1][i], "in the order of fds, place %d", i);
    EQ_INT(1, sets[2].ready_count);
    EQ_INT(urgent[0], ready[2][0]);
    close_pair(idle);
    close_pair(data);
    close_pair(urgent);
}

TEST(answers_keep_the_order_of_the_list)
{
    enum { COUNT = 20 };
    int pipes[COUNT][2];
    int order[COUNT];
    for (int i = 0; i < COUNT; i++)
        pipe_empty(pipes[i]);
    for (int i = 0; i < COUNT; i++)
        order[i] = pipes[(i * 7) % COUNT][0]; /* not the order of the numbers */
    for (int i = 0; i < COUNT; i += 2)
        put(pipes[(i * 7) % COUNT][1], "x");
    struct list in;
    EQ_INT(COUNT / 2, vigil_select(list_of(&in, order, COUNT), NULL, NULL, VIGIL_FOREVER));
    EQ_INT(COUNT / 2, in.set.ready_count);
    for (int i = 0; i < COUNT / 2; i++)
        EQ_INT(order[2 * i], in.ready[i], "place %d", i);
    for (int i = 0; i < COUNT; i++)
        close_pair(pipes[i]);
}

/* The kernel ignores closed descriptors above the process's table: 900 and 5000 were such here. */
TEST(closed_descriptors_are_errors)
{
    static const int closed[] = { 50, 900, 5000, 1 << 20, INT_MAX };
    int fds[2];
    pipe_data(fds);
    for (size_t i = 0; i < TEST_COUNT(closed); i++) {
        const int mixed[] = { fds[0], closed_fd(closed[i]), fds[0] };
        for (size_t first = 0; first < 2; first++) { /* with an open one before it, or behind */
            struct list lists[3];
            vigil_set *sets[3];
            for (size_t j = 0; j < 3; j++)
                sets[j] = list_of(&lists[j], mixed, 0);
            for (size_t j = 0; j < 3; j++) {
                vigil_set *keep = list_of(&lists[j], mixed + first, 2);
                EQ_INT(VIGIL_EBADF, vigil_select(sets[0], sets[1], sets[2], VIGIL_MS(1)),
                       "%d in list %zu", closed[i], j);
                EQ_INT(0, keep->ready_count, "%d in list %zu", closed[i], j);
                keep->count = 0;
            }
        }
    }
    close_pair(fds);
}

TEST(a_closed_one_below_an_open_one)
{
    test_needs_large_sets(call_below);
    static const int closed[] = { 50, 900, 5000 };
    int fds[2];
    pipe_data(fds);
    int high = move_high(fds[0], 5100);
    for (size_t i = 0; i < TEST_COUNT(closed); i++) {
        const int mixed[] = { high, closed_fd(closed[i]) };
        struct list in, except;
        EQ_INT(VIGIL_EBADF, vigil_select(list_of(&in, mixed, 2), NULL, NULL, VIGIL_FOREVER), "%d",
               closed[i]);
        EQ_INT(0, in.set.ready_count);
        EQ_INT(VIGIL_EBADF,
               vigil_select(list_of(&in, mixed, 1), NULL, list_of(&except, mixed + 1, 1),
                            VIGIL_FOREVER),
               "%d", closed[i]);
        EQ_INT(0, in.set.ready_count, "on an error all are empty");
    }
    close(high);
    close(fds[1]);
}

TEST(bad_arguments)
{
    int fds[2] = { STDOUT_FILENO, -1 };
    struct list in, out;
    EQ_INT(VIGIL_EBADF, vigil_select(list_of(&in, fds, 2), NULL, NULL, 0), "a negative one");
    EQ_INT(0, in.set.ready_count);
    fds[1] = INT_MIN;
    EQ_INT(VIGIL_EBADF, vigil_select(NULL, list_of(&out, fds, 2), NULL, 0));
    EQ_INT(VIGIL_EINVAL, vigil_select(list_of(&in, fds, 1), NULL, NULL, -1));
    EQ_INT(0, in.set.ready_count);
    EQ_INT(VIGIL_EINVAL, vigil_select(NULL, NULL, NULL, INT64_MIN));
    vigil_set no_room = { .fds = in.fds, .count = 1 };
    EQ_INT(VIGIL_EINVAL, vigil_select(&no_room, NULL, NULL, 0));
    vigil_set no_fds = { .ready = in.ready, .count = 1 };
    EQ_INT(VIGIL_EINVAL, vigil_select(NULL, NULL, &no_fds, 0));
}

TEST(empty_lists_wait_for_the_time)
{
    vigil_set empty = { 0 };
    vigil_ns start = now_ns();
    EQ_INT(0, vigil_select(NULL, &empty, NULL, VIGIL_MS(20)));
    OK(now_ns() - start >= VIGIL_MS(20));
    EQ_INT(0, vigil_select(NULL, NULL, NULL, VIGIL_NOWAIT));
}

TEST(never_early)
{
    static const vigil_ns rows[] = { 1,           100,          999999,       VIGIL_US(1500),
                                     VIGIL_MS(2), VIGIL_MS(30), VIGIL_US(100) };
    int fds[2];
    pipe_empty(fds);
    struct list in;
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        for (int repeat = 0; repeat < 10; repeat++) {
            vigil_ns start = now_ns();
            EQ_INT(0, vigil_select(list_of(&in, fds, 1), NULL, NULL, rows[i]));
            vigil_ns took = now_ns() - start;
            OK(took >= rows[i], "%lld ns of %lld", (long long)took, (long long)rows[i]);
            EQ_INT(0, in.set.ready_count, "all lists are empty");
        }
    }
    close_pair(fds);
}

TEST(signals_do_not_end_it)
{
    int fds[2];
    pipe_empty(fds);
    struct list in;
    timer_t timer = start_ticks(VIGIL_MS(5));
    vigil_ns start = now_ns();
    EQ_INT(0, vigil_select(list_of(&in, fds, 1), NULL, NULL, VIGIL_MS(150)));
    OK(now_ns() - start >= VIGIL_MS(150));
    OK(ticks > 1, "%d signals came", (int)ticks);
    struct later later;
    start_later(&later, fds[1], VIGIL_MS(50));
    EQ_INT(1, vigil_select(&in.set, NULL, NULL, VIGIL_FOREVER), "nor one without limit");
    EQ_INT(fds[0], in.ready[0]);
    join_later(&later);
    stop_ticks(timer);
    close_pair(fds);
}

/* There is no FD_SETSIZE here: 1023 to 5100 on the stack and beyond it, and one word's ends. */
TEST(descriptors_of_any_value)
{
    test_needs_large_sets(call_below);
    static const int numbers[] = { 63, 64, 127, 128, 1023, 1024, 1025, 4095, 4096, 5100, 19000 };
    for (size_t i = 0; i < TEST_COUNT(numbers); i++) {
        int fds[2];
        pipe_empty(fds);
        int high = move_high(fds[0], numbers[i]);
        struct list in, out;
        EQ_INT(0, vigil_select(list_of(&in, &high, 1), NULL, NULL, VIGIL_NOWAIT), "%d", high);
        put(fds[1], "x");
        const int both[] = { high, fds[1] };
        EQ_INT(2,
               vigil_select(list_of(&in, both, 1), list_of(&out, both + 1, 1), NULL, VIGIL_FOREVER),
               "%d", high);
        EQ_INT(high, in.ready[0]);
        EQ_INT(fds[1], out.ready[0]);
        close(high);
        close(fds[1]);
    }
}

TEST(two_thousand_descriptors)
{
    test_needs_large_sets(call_below);
    enum { COUNT = 2000 };
    static vigil_fd fds[COUNT], ready[COUNT];
    int pipes[2];
    pipe_data(pipes);
    int last = move_high(dup(pipes[0]), 6000 + COUNT); /* raises the limit */
    close(last);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = 6000 + i;
        REQUIRE(dup3(pipes[0], fds[i], O_CLOEXEC) == fds[i]);
    }
    vigil_set in = { .fds = fds, .count = COUNT, .ready = ready };
    EQ_INT(COUNT, vigil_select(&in, NULL, NULL, VIGIL_FOREVER));
    EQ_INT(0, memcmp(fds, ready, sizeof(fds)));
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    close_pair(pipes);
}
