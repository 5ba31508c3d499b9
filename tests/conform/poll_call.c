/* SPDX-License-Identifier: MIT
 *
 * poll_call.c -- vigil_poll, sentence by sentence of vigil.h: every event bit in every situation,
 * bad entries, timeouts that are never early, signals.
 */
#include <limits.h>

#include "situations.h"

TEST(every_situation_bit_for_bit)
{
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        int fds[2];
        situations[i].make(fds);
        for (size_t j = 0; j < TEST_COUNT(asked_rows); j++) {
            unsigned asked = asked_rows[j] & POLL_ASKS;
            vigil_pollfd entry = { .fd = fds[0], .events = (uint16_t)asked, .revents = 0xffff };
            unsigned want = answered_by_poll(situations[i].events, asked);
            int n = vigil_poll(&entry, 1, VIGIL_NOWAIT);
            EQ_INT(want != 0, n, "%s, asked 0x%x", situations[i].name, asked);
            EQ_INT(want, entry.revents, "%s, asked 0x%x", situations[i].name, asked);
            EQ_INT(fds[0], entry.fd, "%s", situations[i].name);
            EQ_INT(asked, entry.events, "%s", situations[i].name);
        }
        close_pair(fds);
    }
}

TEST(all_situations_in_one_call)
{
    enum { COUNT = TEST_COUNT(situations) };
    int fds[COUNT][2];
    vigil_pollfd entries[COUNT];
    int ready = 0;
    for (size_t i = 0; i < COUNT; i++) {
        situations[i].make(fds[i]);
        entries[i] = (vigil_pollfd){ .fd = fds[i][0], .events = POLL_ASKS };
        ready += answered_by_poll(situations[i].events, POLL_ASKS) != 0;
    }
    EQ_INT(ready, vigil_poll(entries, COUNT, VIGIL_FOREVER));
    for (size_t i = 0; i < COUNT; i++) {
        EQ_INT(answered_by_poll(situations[i].events, POLL_ASKS), entries[i].revents, "%s",
               situations[i].name);
        close_pair(fds[i]);
    }
}

TEST(closed_is_told_and_negative_is_skipped)
{
    int fds[2];
    pipe_data(fds);
    vigil_pollfd entries[] = {
        { .fd = closed_fd(50), .events = VIGIL_IN },
        { .fd = -1, .events = VIGIL_IN, .revents = 0xffff },
        { .fd = fds[0], .events = VIGIL_IN },
        { .fd = closed_fd(900), .events = 0 },
        { .fd = INT_MIN, .events = VIGIL_OUT, .revents = 0xffff },
        { .fd = closed_fd(5000), .events = VIGIL_OUT },
        { .fd = fds[0], .events = VIGIL_IN }, /* twice is two entries */
    };
    static const unsigned want[] = { VIGIL_NVAL, 0, VIGIL_IN, VIGIL_NVAL, 0, VIGIL_NVAL, VIGIL_IN };
    EQ_INT(5, vigil_poll(entries, TEST_COUNT(entries), VIGIL_FOREVER));
    for (size_t i = 0; i < TEST_COUNT(entries); i++)
        EQ_INT(want[i], entries[i].revents, "entry %zu", i);
    close_pair(fds);
}

TEST(negative_ones_alone_wait_for_the_time)
{
    vigil_pollfd entries[] = { { .fd = -1, .events = VIGIL_IN }, { .fd = -7 } };
    vigil_ns start = now_ns();
    EQ_INT(0, vigil_poll(entries, 2, VIGIL_MS(20)));
    OK(now_ns() - start >= VIGIL_MS(20));
}

TEST(bad_arguments)
{
    vigil_pollfd entries[2] = { { .fd = 0, .events = VIGIL_IN }, { .fd = 0, .events = VIGIL_IN } };
    EQ_INT(VIGIL_EINVAL, vigil_poll(entries, 2, -1));
    EQ_INT(VIGIL_EINVAL, vigil_poll(entries, 2, INT64_MIN));
    EQ_INT(VIGIL_EINVAL, vigil_poll(NULL, 1, 0));
    static const unsigned refused[] = { VIGIL_ERR,     VIGIL_HUP, VIGIL_NVAL, VIGIL_EDGE,
                                        VIGIL_ONESHOT, 0x40,      0x1000,     0xffff };
    for (size_t i = 0; i < TEST_COUNT(refused); i++) {
        entries[1].events = (uint16_t)(VIGIL_IN | refused[i]);
        EQ_INT(VIGIL_EINVAL, vigil_poll(entries, 2, 0), "0x%x", refused[i]);
    }
    EQ_INT(0, vigil_poll(NULL, 0, 0), "no entries are none");
}

TEST(never_early)
{
    static const vigil_ns rows[] = { 1,           100,          999999,       VIGIL_US(1500),
                                     VIGIL_MS(2), VIGIL_MS(30), VIGIL_US(100) };
    int fds[2];
    pipe_empty(fds);
    vigil_pollfd entry = { .fd = fds[0], .events = VIGIL_IN };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        for (int repeat = 0; repeat < 10; repeat++) {
            vigil_ns start = now_ns();
            EQ_INT(0, vigil_poll(&entry, 1, rows[i]));
            vigil_ns took = now_ns() - start;
            OK(took >= rows[i], "%lld ns of %lld", (long long)took, (long long)rows[i]);
        }
    }
    close_pair(fds);
}

TEST(signals_do_not_end_it)
{
    int fds[2];
    pipe_empty(fds);
    vigil_pollfd entry = { .fd = fds[0], .events = VIGIL_IN };
    timer_t timer = start_ticks(VIGIL_MS(5));
    vigil_ns start = now_ns();
    EQ_INT(0, vigil_poll(&entry, 1, VIGIL_MS(150)));
    OK(now_ns() - start >= VIGIL_MS(150));
    OK(ticks > 1, "%d signals came", (int)ticks);
    struct later later;
    start_later(&later, fds[1], VIGIL_MS(50));
    EQ_INT(1, vigil_poll(&entry, 1, VIGIL_FOREVER), "nor one without limit");
    EQ_INT(VIGIL_IN, entry.revents);
    join_later(&later);
    stop_ticks(timer);
    close_pair(fds);
}

TEST(ends_when_something_comes)
{
    int fds[2];
    pipe_empty(fds);
    vigil_pollfd entry = { .fd = fds[0], .events = VIGIL_IN };
    struct later later;
    start_later(&later, fds[1], VIGIL_MS(20));
    EQ_INT(1, vigil_poll(&entry, 1, VIGIL_S(50)));
    EQ_INT(VIGIL_IN, entry.revents);
    join_later(&later);
    close_pair(fds);
}

TEST(high_descriptors)
{
    int fds[2];
    pipe_data(fds);
    int high = move_high(fds[0], 5100);
    vigil_pollfd entry = { .fd = high, .events = VIGIL_IN };
    EQ_INT(1, vigil_poll(&entry, 1, VIGIL_FOREVER));
    EQ_INT(VIGIL_IN, entry.revents);
    close(high);
    close(fds[1]);
}
