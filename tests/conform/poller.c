/* SPDX-License-Identifier: MIT
 *
 * poller.c -- vigil_poller, sentence by sentence of vigil.h, on every backend: events in every
 * situation, modes, handles that go stale, fairness, wake-ups, fork, and descriptors that somebody
 * closed behind the poller's back.
 */
#include <limits.h>

#include "situations.h"

enum { ASK_ALL = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP };

static vigil_poller *open_poller(const char *backend)
{
    vigil_poller *poller = NULL;
    int err = vigil_poller_open(&poller, backend);
    if (err == VIGIL_ENOTSUP)
        SKIP("not to be had here");
    REQUIRE(err == 0, "%s", vigil_strerror(err));
    return poller;
}

static vigil_reg add(vigil_poller *poller, vigil_fd fd, unsigned events, uintptr_t tag)
{
    vigil_reg reg = { 0 };
    int err = vigil_poller_register(poller, fd, events, tag, &reg);
    REQUIRE(err == 0, "%s", vigil_err_name(err));
    return reg;
}

/* One wait that finds exactly one event. */
static vigil_event wait_one(vigil_poller *poller, vigil_ns timeout)
{
    vigil_event events[8] = { 0 };
    int n = vigil_poller_wait(poller, events, 8, timeout);
    EQ_INT(1, n);
    return events[0];
}

/* The poller has nothing to say for a while, and sleeps meanwhile. */
static void expect_silence(vigil_poller *poller, const char *why)
{
    vigil_event events[8];
    vigil_ns start = now_ns();
    int n = vigil_poller_wait(poller, events, 8, VIGIL_MS(15));
    EQ_INT(0, n, "%s: 0x%x of tag %d", why, n > 0 ? events[0].events : 0u,
           n > 0 ? (int)events[0].tag : -1);
    OK(now_ns() - start >= VIGIL_MS(15), "%s", why);
}

/* Waits until the poller is silent in three waits on end; answers which tags it reported before. */
static unsigned drain_to_silence(vigil_poller *poller)
{
    unsigned tags = 0;
    int silent = 0;
    for (int i = 0; i < 50 && silent < 3; i++) {
        vigil_event event;
        vigil_ns start = now_ns();
        int n = vigil_poller_wait(poller, &event, 1, VIGIL_MS(5));
        if (n > 0)
            tags |= 1u << event.tag;
        silent = n == 0 && now_ns() - start >= VIGIL_MS(5) ? silent + 1 : 0;
    }
    EQ_INT(3, silent, "it keeps returning early");
    return tags;
}

static bool is_select(const char *backend)
{
    return strcmp(backend, "select") == 0;
}

/* As FreeBSD has it: without a filter for urgent data. */
static bool is_kqueue(const char *backend)
{
    return strcmp(backend, "kqueue") == 0;
}

/* ---- opening ----------------------------------------------------------------------------- */

CONFORM(backend_is_what_was_asked_for)
{
    EQ_INT(0, vigil_backend_try(backend));
    vigil_poller *poller = open_poller(backend);
    EQ_STR(backend, vigil_poller_backend(poller));
    vigil_poller_close(poller);

    setenv("VIGIL_BACKEND", backend, 1);
    poller = open_poller(NULL);
    EQ_STR(backend, vigil_poller_backend(poller), "from the environment");
    vigil_poller_close(poller);
    unsetenv("VIGIL_BACKEND");
}

TEST(choosing_a_backend)
{
    vigil_poller *poller = NULL;
    bool first_performs = strcmp(vigil_backend_name(0), "io_uring") == 0; /* of no use here */
    const char *best = vigil_backend_name(first_performs ? 1 : 0);
    EQ_INT(VIGIL_EINVAL, vigil_poller_open(&poller, "kevent"));
    EQ_INT(VIGIL_EINVAL, vigil_poller_open(NULL, "poll"));
    EQ_INT(VIGIL_EINVAL, vigil_backend_try("nonsense"));
    EQ_INT(VIGIL_EINVAL, vigil_backend_try(NULL));
    EQ_INT(VIGIL_EINVAL, vigil_backend_try(""));
    vigil_feature feature;
    EQ_INT(VIGIL_EINVAL, vigil_backend_features("nonsense", &feature, 1));
    EQ_INT(VIGIL_EINVAL, vigil_backend_features(NULL, &feature, 1));
    EQ_INT(VIGIL_EINVAL, vigil_backend_features("select", &feature, -1));
    EQ_INT(VIGIL_EINVAL, vigil_backend_features("select", NULL, 1));
    EQ_INT(0, vigil_backend_features("select", NULL, 0));
    EQ_PTR(NULL, poller);
    setenv("VIGIL_BACKEND", "nonsense", 1);
    EQ_INT(VIGIL_EINVAL, vigil_poller_open(&poller, NULL));
    setenv("VIGIL_BACKEND", "", 1);
    poller = open_poller(NULL);
    EQ_STR(best, vigil_poller_backend(poller), "empty is as if not there");
    vigil_poller_close(poller);
    unsetenv("VIGIL_BACKEND");
    poller = open_poller(NULL);
    EQ_STR(best, vigil_poller_backend(poller), "the best");
    vigil_poller_close(poller);
    vigil_poller_close(NULL);
    EQ_STR(NULL, vigil_backend_name(SIZE_MAX));
}

CONFORM(out_of_descriptors)
{
    struct rlimit old, none;
    if (TEST_IN_WORLD)
        SKIP("a world's backends need no descriptors");
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    for (rlim_t more = 0; more < 2; more++) { /* epoll and io_uring need two */
        int lowest = dup(STDOUT_FILENO);
        close(lowest);
        none = (struct rlimit){ .rlim_cur = (rlim_t)lowest + more, .rlim_max = old.rlim_max };
        REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
        vigil_poller *poller = NULL;
        int err = vigil_poller_open(&poller, backend);
        setrlimit(RLIMIT_NOFILE, &old);
        bool two = strcmp(backend, "epoll") == 0 || strcmp(backend, "io_uring") == 0;
        bool enough = more == 1 && !two;
        EQ_INT(enough ? 0 : VIGIL_EMFILE, err);
        if (err == 0)
            vigil_poller_close(poller);
    }
}

CONFORM(bad_arguments)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    pipe_data(fds);
    vigil_reg reg = { 99 };
    static const unsigned refused[] = { 0,
                                        VIGIL_ERR,
                                        VIGIL_IN | VIGIL_HUP,
                                        VIGIL_IN | VIGIL_NVAL,
                                        VIGIL_IN | 0x10000,
                                        VIGIL_ONESHOT,
                                        VIGIL_EDGE,
                                        0x40,
                                        ~0u };
    for (size_t i = 0; i < TEST_COUNT(refused); i++)
        EQ_INT(VIGIL_EINVAL, vigil_poller_register(poller, fds[0], refused[i], 0, &reg), "0x%x",
               refused[i]);
    EQ_INT(VIGIL_EINVAL, vigil_poller_register(NULL, fds[0], VIGIL_IN, 0, &reg));
    EQ_INT(VIGIL_EINVAL, vigil_poller_register(poller, fds[0], VIGIL_IN, 0, NULL));
    EQ_INT(99, reg.v, "an error leaves it alone");

    reg = add(poller, fds[0], VIGIL_IN, 0);
    for (size_t i = 1; i < TEST_COUNT(refused); i++) /* 0 is no error here */
        EQ_INT(VIGIL_EINVAL, vigil_poller_modify(poller, reg, refused[i]), "0x%x", refused[i]);
    EQ_INT(VIGIL_EINVAL, vigil_poller_modify(NULL, reg, VIGIL_IN));
    EQ_INT(VIGIL_EINVAL, vigil_poller_unregister(NULL, reg));
    EQ_INT(VIGIL_EINVAL, vigil_poller_wake(NULL));

    vigil_event event;
    EQ_INT(VIGIL_EINVAL, vigil_poller_wait(poller, &event, 0, 0));
    EQ_INT(VIGIL_EINVAL, vigil_poller_wait(poller, &event, -1, 0));
    EQ_INT(VIGIL_EINVAL, vigil_poller_wait(poller, NULL, 1, 0));
    EQ_INT(VIGIL_EINVAL, vigil_poller_wait(poller, &event, 1, -1));
    EQ_INT(VIGIL_EINVAL, vigil_poller_wait(NULL, &event, 1, 0));
    EQ_INT(1, vigil_poller_wait(poller, &event, INT_MAX, VIGIL_FOREVER), "any max above 0 will do");
    EQ_INT(VIGIL_IN, event.events, "and the refused changes changed nothing");
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(closed_and_negative_descriptors)
{
    static const int numbers[] = { -1, INT_MIN, 50, 900, 5000, 1 << 20, INT_MAX };
    vigil_poller *poller = open_poller(backend);
    vigil_reg reg;
    for (size_t i = 0; i < TEST_COUNT(numbers); i++) {
        for (int twice = 0; twice < 2; twice++)
            EQ_INT(VIGIL_EBADF, vigil_poller_register(poller, numbers[i], VIGIL_IN, 0, &reg), "%d",
                   numbers[i]);
    }
    expect_silence(poller, "nothing was registered");
    vigil_poller_close(poller);
}

/* ---- what is reported -------------------------------------------------------------------- */

CONFORM(every_situation_bit_for_bit)
{
    vigil_poller *poller = open_poller(backend);
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        int fds[2];
        situations[i].make(fds);
        for (size_t j = 0; j < TEST_COUNT(asked_rows); j++) {
            vigil_event event = { 0 };
            vigil_reg reg = add(poller, fds[0], asked_rows[j], i);
            unsigned want = told(backend, &situations[i], asked_rows[j]);
            for (int twice = 0; twice < 2; twice++) { /* level-triggered: it stays true */
                int n = vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT);
                EQ_INT(want != 0, n, "%s, asked 0x%x", situations[i].name, asked_rows[j]);
                EQ_INT(want, n > 0 ? event.events : 0, "%s, asked 0x%x", situations[i].name,
                       asked_rows[j]);
                if (n <= 0)
                    continue;
                EQ_INT(reg.v, event.reg.v);
                EQ_INT(i, event.tag);
                EQ_INT(fds[0], event.fd);
            }
            EQ_INT(0, vigil_poller_unregister(poller, reg));
            EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT), "%s", situations[i].name);
        }
        close_pair(fds);
    }
    vigil_poller_close(poller);
}

CONFORM(modify_reports_what_is_already_true)
{
    vigil_poller *poller = open_poller(backend);
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        int fds[2];
        situations[i].make(fds);
        vigil_reg reg = add(poller, fds[0], VIGIL_PRI, i);
        for (size_t j = 0; j < TEST_COUNT(asked_rows); j++) {
            vigil_event event = { 0 };
            EQ_INT(0, vigil_poller_modify(poller, reg, asked_rows[j]));
            unsigned want = told(backend, &situations[i], asked_rows[j]);
            int n = vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT);
            EQ_INT(want, n > 0 ? event.events : 0, "%s, asked 0x%x", situations[i].name,
                   asked_rows[j]);
        }
        EQ_INT(0, vigil_poller_unregister(poller, reg));
        close_pair(fds);
    }
    vigil_poller_close(poller);
}

CONFORM(all_situations_at_once)
{
    enum { COUNT = TEST_COUNT(situations) };
    vigil_poller *poller = open_poller(backend);
    int fds[COUNT][2];
    int ready = 0;
    unsigned seen[COUNT] = { 0 };
    for (size_t i = 0; i < COUNT; i++) {
        situations[i].make(fds[i]);
        (void)add(poller, fds[i][0], ASK_ALL, i);
        ready += told(backend, &situations[i], ASK_ALL) != 0;
    }
    vigil_event events[COUNT] = { 0 };
    EQ_INT(ready, vigil_poller_wait(poller, events, COUNT, VIGIL_FOREVER));
    for (int i = 0; i < ready; i++)
        seen[events[i].tag] |= events[i].events;
    for (size_t i = 0; i < COUNT; i++)
        EQ_INT(told(backend, &situations[i], ASK_ALL), seen[i], "%s", situations[i].name);
    vigil_poller_close(poller); /* registered descriptors stay open */
    for (size_t i = 0; i < COUNT; i++) {
        EQ_INT(0, fcntl(fds[i][0], F_GETFD) < 0, "%s", situations[i].name);
        close_pair(fds[i]);
    }
}

CONFORM(caps_say_what_can_be_reported)
{
    vigil_poller *poller = open_poller(backend);
    unsigned caps = vigil_poller_caps(poller);
    OK((caps & (VIGIL_IN | VIGIL_OUT | VIGIL_ONESHOT)) == (VIGIL_IN | VIGIL_OUT | VIGIL_ONESHOT),
       "0x%x", caps);
    EQ_INT(!is_kqueue(backend), (caps & VIGIL_PRI) != 0);
    EQ_INT(!is_select(backend), (caps & VIGIL_RDHUP) != 0);
    EQ_INT(!is_select(backend), (caps & VIGIL_HUP) != 0);
    bool edges = strcmp(backend, "epoll") == 0 || strcmp(backend, "io_uring") == 0 ||
                 strncmp(backend, "sim-", 4) == 0 || is_kqueue(backend);
    EQ_INT(edges, (caps & VIGIL_EDGE) != 0);
    vigil_poller_close(poller);
}

CONFORM(interest_0_reports_nothing_and_does_not_spin)
{
    vigil_poller *poller = open_poller(backend);
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        int fds[2];
        situations[i].make(fds);
        vigil_reg reg = add(poller, fds[0], VIGIL_IN, 1), other = { 0 };
        EQ_INT(0, vigil_poller_modify(poller, reg, 0));
        vigil_event event;
        EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_US(100)), "%s", situations[i].name);
        OK(vigil_poller_live(poller, reg));
        EQ_INT(VIGIL_EEXIST, vigil_poller_register(poller, fds[0], VIGIL_IN, 0, &other),
               "it is still registered");
        EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN));
        unsigned want = told(backend, &situations[i], VIGIL_IN);
        EQ_INT(want != 0, vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT), "%s",
               situations[i].name);
        EQ_INT(0, vigil_poller_modify(poller, reg, 0));
        EQ_INT(0, vigil_poller_unregister(poller, reg), "with the change not handed over yet");
        close_pair(fds);
    }
    int fds[2];
    unix_peer_closed(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN, 1);
    EQ_INT(0, vigil_poller_modify(poller, reg, 0));
    expect_silence(poller, "hung up, and nobody asked");
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(changes_are_merged_until_the_wait)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    unix_data(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_OUT, 0);
    for (unsigned i = 0; i < 100; i++)
        EQ_INT(0, vigil_poller_modify(poller, reg, asked_rows[i % TEST_COUNT(asked_rows)]));
    EQ_INT(0, vigil_poller_modify(poller, reg, 0));
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN));
    EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events);
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN));
    EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events, "the same once more");
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_PRI));
    expect_silence(poller, "only urgent data is waited for");
    vigil_poller_close(poller);
    close_pair(fds);
}

/* ---- one-shot and edge ------------------------------------------------------------------- */

CONFORM(one_shot_reports_once_until_modified)
{
    vigil_poller *poller = open_poller(backend);
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        unsigned want = told(backend, &situations[i], ASK_ALL);
        if (want == 0)
            continue;
        int fds[2];
        situations[i].make(fds);
        vigil_event event = { 0 };
        vigil_reg reg = add(poller, fds[0], ASK_ALL | VIGIL_ONESHOT, i);
        for (int again = 0; again < 3; again++) {
            EQ_INT(1, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER), "%s",
                   situations[i].name);
            EQ_INT(want, event.events, "%s", situations[i].name);
            EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_US(100)), "%s, not even ERR",
                   situations[i].name);
            EQ_INT(0, vigil_poller_modify(poller, reg, ASK_ALL | VIGIL_ONESHOT));
        }
        EQ_INT(0, vigil_poller_modify(poller, reg, ASK_ALL));
        for (int again = 0; again < 3; again++)
            EQ_INT(1, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER), "%s, level now",
                   situations[i].name);
        EQ_INT(0, vigil_poller_modify(poller, reg, ASK_ALL | VIGIL_ONESHOT));
        EQ_INT(1, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER), "%s", situations[i].name);
        EQ_INT(0, vigil_poller_unregister(poller, reg), "%s, fired", situations[i].name);
        close_pair(fds);
    }
    vigil_poller_close(poller);
}

/* A backend whose kernel noted it when it was true must look once more. */
CONFORM(what_was_read_between_two_waits_is_not_told)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    char byte;
    unix_pair(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN, 0);
    for (int i = 0; i < 20; i++) {
        expect_silence(poller, "nothing came yet");
        put(fds[1], "x");
        until(fds[0], POLLIN);
        EQ_INT(1, read(fds[0], &byte, 1));
        expect_silence(poller, "it was read");
        put(fds[1], "y");
        EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events);
        EQ_INT(1, read(fds[0], &byte, 1));
    }
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(one_shot_hang_up_after_it_fired)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    unix_data(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN | VIGIL_ONESHOT, 0);
    EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events);
    close(fds[1]);
    fds[1] = -1;
    expect_silence(poller, "a hang-up waits for the next modify, too");
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN | VIGIL_ONESHOT));
    const struct situation hung_up = { .events = VIGIL_IN | PEER_CLOSED, .name = "hung up" };
    EQ_INT(told(backend, &hung_up, VIGIL_IN), wait_one(poller, VIGIL_FOREVER).events);
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(one_shot_of_two_events_is_spent_by_the_first)
{
    static char p[1 << 16];
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    unix_full(fds);
    put(fds[1], "x");
    vigil_reg reg = add(poller, fds[0], VIGIL_IN | VIGIL_OUT | VIGIL_ONESHOT, 0);
    EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events);
    set_nonblocking(fds[1]);
    while (read(fds[1], p, sizeof(p)) > 0)
        continue;
    until(fds[0], POLLOUT);
    expect_silence(poller, "there is room now, and nobody waits for it");
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN | VIGIL_OUT | VIGIL_ONESHOT));
    EQ_INT(VIGIL_IN | VIGIL_OUT, wait_one(poller, VIGIL_FOREVER).events);
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(one_shots_that_have_fired_among_others_that_go)
{
    enum { COUNT = 8 };
    vigil_poller *poller = open_poller(backend);
    int fds[COUNT][2];
    vigil_reg regs[COUNT];
    vigil_event events[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        pipe_data(fds[i]);
        regs[i] = add(poller, fds[i][0], VIGIL_IN | VIGIL_ONESHOT, i);
    }
    EQ_INT(COUNT, vigil_poller_wait(poller, events, COUNT, VIGIL_FOREVER));
    for (size_t i = 0; i < COUNT; i += 2)
        EQ_INT(0, vigil_poller_unregister(poller, regs[i]));
    for (size_t i = 1; i < COUNT; i += 2) {
        EQ_INT(0, vigil_poller_modify(poller, regs[i], VIGIL_IN | VIGIL_ONESHOT));
        EQ_INT(i, wait_one(poller, VIGIL_FOREVER).tag);
    }
    expect_silence(poller, "all have fired again");
    vigil_poller_close(poller);
    for (size_t i = 0; i < COUNT; i++)
        close_pair(fds[i]);
}

CONFORM(edge_reports_changes_or_is_refused)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2], file = empty_file();
    pipe_data(fds);
    vigil_reg reg = { 0 };
    if ((vigil_poller_caps(poller) & VIGIL_EDGE) == 0) {
        EQ_INT(VIGIL_ENOTSUP,
               vigil_poller_register(poller, fds[0], VIGIL_IN | VIGIL_EDGE, 0, &reg));
        reg = add(poller, fds[0], VIGIL_IN, 0);
        EQ_INT(VIGIL_ENOTSUP, vigil_poller_modify(poller, reg, VIGIL_IN | VIGIL_EDGE));
        EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events, "as before");
    } else {
        reg = add(poller, fds[0], VIGIL_IN | VIGIL_EDGE, 0);
        EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events);
        expect_silence(poller, "no new edge");
        put(fds[1], "more");
        EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events, "a new edge");
        EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN | VIGIL_EDGE));
        EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events, "modify tells what is true");
        expect_silence(poller, "once");
        reg = add(poller, file, VIGIL_IN | VIGIL_EDGE, 1);
        EQ_INT(1, wait_one(poller, VIGIL_FOREVER).tag, "a file has one edge");
        expect_silence(poller, "a file has one edge");
        EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_OUT | VIGIL_EDGE));
        EQ_INT(VIGIL_OUT, wait_one(poller, VIGIL_FOREVER).events);
    }
    vigil_poller_close(poller);
    close_pair(fds);
    close(file);
}

/* ---- names ------------------------------------------------------------------------------- */

CONFORM(a_descriptor_is_registered_once)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2], copy;
    pipe_data(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN, 1), other = { 0 };
    EQ_INT(VIGIL_EEXIST, vigil_poller_register(poller, fds[0], VIGIL_OUT, 2, &other));
    EQ_INT(1, wait_one(poller, VIGIL_FOREVER).tag, "the first is as it was");
    copy = dup(fds[0]);
    other = add(poller, copy, VIGIL_IN, 2); /* a duplicate is another descriptor */
    vigil_event events[4];
    EQ_INT(2, vigil_poller_wait(poller, events, 4, VIGIL_FOREVER));
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    EQ_INT(2, wait_one(poller, VIGIL_FOREVER).tag);
    (void)add(poller, fds[0], VIGIL_IN, 3);
    EQ_INT(2, vigil_poller_wait(poller, events, 4, VIGIL_FOREVER));
    int file = empty_file();
    (void)add(poller, file, VIGIL_IN, 4);
    EQ_INT(VIGIL_EEXIST, vigil_poller_register(poller, file, VIGIL_IN, 5, &other), "a file, too");
    vigil_poller_close(poller);
    close_pair(fds);
    close(copy);
    close(file);
}

CONFORM(registered_for_nothing_it_is_registered)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    pipe_data(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN, 1), other = { 0 };
    vigil_event event;
    EQ_INT(0, vigil_poller_modify(poller, reg, 0));
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT), "the backend knows it no more");
    EQ_INT(VIGIL_EEXIST, vigil_poller_register(poller, fds[0], VIGIL_IN, 2, &other));
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN));
    EQ_INT(1, wait_one(poller, VIGIL_FOREVER).tag);
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    (void)add(poller, fds[0], VIGIL_IN, 3);
    EQ_INT(3, wait_one(poller, VIGIL_FOREVER).tag);
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(a_name_goes_stale_and_never_names_another)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    pipe_data(fds);
    vigil_reg old = add(poller, fds[0], VIGIL_IN, 1);
    OK(old.v != 0);
    OK(vigil_poller_live(poller, old));
    EQ_INT(0, vigil_poller_unregister(poller, old));
    for (int round = 0; round < 2; round++) { /* with its slot free, and with it taken again */
        OK(!vigil_poller_live(poller, old));
        EQ_INT(VIGIL_ESTALE, vigil_poller_unregister(poller, old));
        EQ_INT(VIGIL_ESTALE, vigil_poller_modify(poller, old, VIGIL_OUT));
        EQ_INT(VIGIL_ESTALE, vigil_poller_modify(poller, old, 0));
        if (round == 0)
            OK(add(poller, fds[0], VIGIL_IN, 2).v != old.v);
    }
    EQ_INT(2, wait_one(poller, VIGIL_FOREVER).tag);
    static const uint64_t never[] = { 0, 1, UINT64_MAX, UINT64_C(1) << 32, 0x100000005 };
    for (size_t i = 0; i < TEST_COUNT(never); i++)
        EQ_INT(VIGIL_ESTALE, vigil_poller_unregister(poller, (vigil_reg){ never[i] }), "row %zu",
               i);
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(a_number_reused_within_one_batch)
{
    vigil_poller *poller = open_poller(backend);
    int first[2], second[2], fresh[2];
    unix_data(first);
    unix_data(second);
    unix_pair(fresh);
    vigil_reg regs[2] = { add(poller, first[0], VIGIL_IN, 0), add(poller, second[0], VIGIL_IN, 1) };
    vigil_event events[4];
    EQ_INT(2, vigil_poller_wait(poller, events, 4, VIGIL_FOREVER));

    /* Handling the first event ends the second's descriptor, whose number is taken at once. */
    EQ_INT(0, vigil_poller_unregister(poller, regs[1]));
    close(second[0]);
    REQUIRE(dup3(fresh[0], second[0], O_CLOEXEC) == second[0]);
    vigil_reg reused = add(poller, second[0], VIGIL_IN, 2);
    for (int i = 0; i < 2; i++)
        EQ_INT(events[i].tag == 0, vigil_poller_live(poller, events[i].reg));
    OK(vigil_poller_live(poller, reused));
    EQ_INT(0, wait_one(poller, VIGIL_FOREVER).tag, "the new one has nothing to report");
    put(fresh[1], "x");
    EQ_INT(0, vigil_poller_unregister(poller, regs[0]));
    EQ_INT(2, wait_one(poller, VIGIL_FOREVER).tag);
    vigil_poller_close(poller);
    close_pair(first);
    close_pair(second);
    close_pair(fresh);
}

CONFORM(many_come_and_go)
{
    enum { COUNT = 300, ROUNDS = 20 };
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    tcp_data(fds);
    static int copies[COUNT];
    static vigil_reg regs[COUNT];
    static vigil_event events[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        copies[i] = dup(fds[0]);
        REQUIRE(copies[i] >= 0);
        regs[i] = add(poller, copies[i], VIGIL_IN, i);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = round % 3; i < COUNT; i += 3)
            EQ_INT(0, vigil_poller_unregister(poller, regs[i]));
        bool seen[COUNT] = { false };
        for (int turns = 0; turns < 2; turns++) { /* a wait may bring no more than a batch */
            int n = vigil_poller_wait(poller, events, COUNT, VIGIL_FOREVER);
            OK(n > 0);
            for (int i = 0; i < n; i++)
                seen[events[i].tag] = true;
        }
        for (size_t i = 0; i < COUNT; i++)
            EQ_INT(i % 3 != round % 3, seen[i], "round %zu, %zu", round, i);
        for (size_t i = round % 3; i < COUNT; i += 3)
            regs[i] = add(poller, copies[i], VIGIL_IN, i);
    }
    vigil_poller_close(poller);
    for (size_t i = 0; i < COUNT; i++)
        close(copies[i]);
    close_pair(fds);
}

/* ---- fairness ---------------------------------------------------------------------------- */

static void serve_in_turn(const char *backend, int pipes, int files, int max)
{
    enum { ALL = 12, ROUNDS = 20 };
    vigil_poller *poller = open_poller(backend);
    int fds[2], all[ALL], count = pipes + files, served[ALL] = { 0 };
    pipe_data(fds);
    for (int i = 0; i < count; i++) {
        all[i] = i < pipes ? dup(fds[0]) : empty_file();
        (void)add(poller, all[i], VIGIL_IN, (uintptr_t)i);
    }
    vigil_event events[ALL + 1];
    int waits = ROUNDS * ((count + max - 1) / max), total = 0;
    for (int i = 0; i < waits; i++) {
        int n = vigil_poller_wait(poller, events, max, VIGIL_FOREVER);
        OK(n > 0 && n <= max, "%d of at most %d", n, max);
        total += n;
        for (int j = 0; j < n; j++)
            served[events[j].tag]++;
    }
    for (int i = 0; i < count; i++) {
        /* All files together may have a single turn among the others (epoll). */
        int fair = files == 0 || pipes == 0 ? total / count : total / (pipes + 1) / (files + 1);
        OK(served[i] + 1 >= fair && served[i] > 0,
           "%d + %d, max %d: %d served %d times, fair is %d", pipes, files, max, i, served[i],
           fair);
        close(all[i]);
    }
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(none_starves_when_max_is_small)
{
    static const int rows[][2] = { { 1, 0 }, { 2, 0 }, { 10, 0 }, { 0, 7 },
                                   { 9, 1 }, { 5, 5 }, { 1, 9 } };
    static const int max[] = { 1, 2, 3, 7, 9, 10, 13 };
    for (size_t i = 0; i < TEST_COUNT(rows); i++)
        for (size_t j = 0; j < TEST_COUNT(max); j++)
            serve_in_turn(backend, rows[i][0], rows[i][1], max[j]);
}

CONFORM(wake_ups_starve_nobody)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2], served = 0;
    pipe_data(fds);
    (void)add(poller, fds[0], VIGIL_IN, 0);
    for (int i = 0; i < 10; i++) {
        vigil_event event;
        EQ_INT(0, vigil_poller_wake(poller));
        served += vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER);
    }
    OK(served >= 4, "%d times in 10 waits", served);
    vigil_poller_close(poller);
    close_pair(fds);
}

/* ---- time, signals, wake-ups ------------------------------------------------------------- */

CONFORM(never_early)
{
    static const vigil_ns rows[] = { 1, 100, 999999, VIGIL_US(1500), VIGIL_MS(2), VIGIL_MS(30) };
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    pipe_empty(fds);
    (void)add(poller, fds[0], VIGIL_IN, 0);
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        for (int repeat = 0; repeat < 10; repeat++) {
            vigil_event event;
            vigil_ns start = now_ns();
            EQ_INT(0, vigil_poller_wait(poller, &event, 1, rows[i]));
            vigil_ns took = now_ns() - start;
            OK(took >= rows[i], "%lld ns of %lld", (long long)took, (long long)rows[i]);
        }
    }
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(without_limit_until_something_comes)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    pipe_empty(fds);
    (void)add(poller, fds[0], VIGIL_IN, 77);
    struct later later;
    start_later(&later, fds[1], VIGIL_MS(30));
    EQ_INT(77, wait_one(poller, VIGIL_FOREVER).tag);
    join_later(&later);
    vigil_poller_close(poller);
    close_pair(fds);
}

CONFORM(a_signal_ends_the_wait_with_0)
{
    vigil_poller *poller = open_poller(backend);
    vigil_event event;
    timer_t timer = start_ticks(VIGIL_MS(20));
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER));
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_S(50)));
    OK(ticks > 0);
    stop_ticks(timer);
    vigil_poller_close(poller);
}

static void *wake_later(void *arg)
{
    usleep(30000);
    return vigil_poller_wake(arg) == 0 ? NULL : arg;
}

CONFORM(wake_from_another_thread)
{
    vigil_poller *poller = open_poller(backend);
    vigil_event event;
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        void *failed;
        REQUIRE(pthread_create(&thread, NULL, wake_later, poller) == 0);
        EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER));
        REQUIRE(pthread_join(thread, &failed) == 0);
        EQ_PTR(NULL, failed);
    }
    expect_silence(poller, "every wake-up has been taken");
    vigil_poller_close(poller);
}

CONFORM(wake_before_the_wait)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    pipe_empty(fds);
    (void)add(poller, fds[0], VIGIL_IN, 3);
    vigil_event event;
    for (int i = 0; i < 1000; i++)
        EQ_INT(0, vigil_poller_wake(poller));
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER), "the next wait returns");
    expect_silence(poller, "a thousand wake-ups are one");
    EQ_INT(0, vigil_poller_wake(poller));
    put(fds[1], "x");
    vigil_event events[4];
    EQ_INT(1, vigil_poller_wait(poller, events, 4, VIGIL_FOREVER), "an event beside a wake-up");
    EQ_INT(3, events[0].tag);
    vigil_poller_close(poller);
    close_pair(fds);
}

static vigil_poller *poller_of_handler;
static volatile sig_atomic_t handler_errno, handler_result;

static void wake_in_handler(int signo)
{
    (void)signo;
    errno = 12345;
    handler_result = vigil_poller_wake(poller_of_handler);
    handler_errno = errno;
}

CONFORM(wake_from_a_signal_handler)
{
    vigil_poller *poller = poller_of_handler = open_poller(backend);
    /* SA_RESTART: it is the wake-up that the wait returns for, also when the signal came before. */
    struct sigaction action = { .sa_handler = wake_in_handler, .sa_flags = SA_RESTART };
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    handler_errno = handler_result = -1;
    raise(SIGUSR1);
    vigil_event event;
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER));
    EQ_INT(0, handler_result);
    EQ_INT(12345, handler_errno, "errno is as the interrupted code left it");
    expect_silence(poller, "once");
    signal(SIGUSR1, SIG_DFL);
    vigil_poller_close(poller);
}

/* The first eventfd from `fd` on: the one that stands behind wake-ups. */
static int find_eventfd(int fd)
{
    for (int end = fd + 3; fd < end; fd++) {
        char path[64], target[64] = "";
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) > 0 &&
            strcmp(target, "anon_inode:[eventfd]") == 0)
            return fd;
    }
    return -1;
}

CONFORM(wake_when_the_counter_is_full)
{
    int lowest = dup(STDOUT_FILENO);
    close(lowest);
    vigil_poller *poller = open_poller(backend);
    int fd = find_eventfd(lowest);
    if (fd < 0) {
        vigil_poller_close(poller);
        SKIP("no eventfd behind wake-ups here");
    }
    uint64_t nearly = UINT64_MAX - 1;
    REQUIRE(write(fd, &nearly, sizeof(nearly)) == sizeof(nearly));
    vigil_event event;
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER));
    for (int i = 0; i < 3; i++) {
        EQ_INT(0, vigil_poller_wake(poller));
        EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER));
    }
    expect_silence(poller, "all taken");
    vigil_poller_close(poller);
}

/* ---- closing ----------------------------------------------------------------------------- */

CONFORM(after_unregister_and_close_the_peer_sees_the_end)
{
    static const unsigned modes[] = { 0, VIGIL_ONESHOT, VIGIL_EDGE };
    vigil_poller *poller = open_poller(backend);
    for (size_t i = 0; i < TEST_COUNT(modes); i++) {
        for (int waited = 0; waited < 2; waited++) {
            if ((modes[i] & ~vigil_poller_caps(poller)) != 0)
                continue;
            int fds[2];
            char byte;
            vigil_event event;
            unix_pair(fds);
            vigil_reg reg = add(poller, fds[0], VIGIL_IN | modes[i], 0);
            if (waited)
                EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_US(100)));
            EQ_INT(-1, recv(fds[1], &byte, 1, MSG_DONTWAIT), "not yet");
            EQ_INT(0, vigil_poller_unregister(poller, reg));
            close(fds[0]);
            EQ_INT(0, recv(fds[1], &byte, 1, MSG_DONTWAIT), "before any further call of ours");
            close(fds[1]);
        }
    }
    vigil_poller_close(poller);
}

/* The right order is the other one; what a wrong one does is bounded all the same: the others are
 * served, nothing spins once it is unregistered, and unregister succeeds. */
CONFORM(closed_while_registered)
{
    vigil_poller *poller = open_poller(backend);
    int gone[2], other[2];
    unix_pair(gone);
    unix_data(other);
    vigil_reg reg = add(poller, gone[0], VIGIL_IN, 1);
    vigil_reg other_reg = add(poller, other[0], VIGIL_IN, 2);
    close(gone[0]);
    gone[0] = -1;
    bool tells = (vigil_poller_caps(poller) & VIGIL_NVAL) != 0;
    int seen[3] = { 0 };
    for (int i = 0; i < 12; i++) { /* one at a time: they take turns */
        vigil_event event;
        int n = vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT);
        if (n <= 0)
            continue;
        seen[event.tag]++;
        EQ_INT(event.tag == 1 ? VIGIL_NVAL | VIGIL_ERR : VIGIL_IN, event.events);
    }
    OK(seen[2] >= 5, "the other was served %d times", seen[2]);
    OK(tells ? seen[1] >= 5 : seen[1] == 0, "told %d times", seen[1]);

    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_OUT));
    vigil_event events[4];
    unsigned told_now = 0;
    for (int i = 0; i < 2; i++) {
        int n = vigil_poller_wait(poller, events, 4, VIGIL_NOWAIT);
        for (int j = 0; j < n; j++)
            told_now |= events[j].tag == 1 ? events[j].events : 0u;
    }
    EQ_INT(VIGIL_NVAL | VIGIL_ERR, told_now, "a change of it is told everywhere");
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    EQ_INT(0, vigil_poller_unregister(poller, other_reg));
    expect_silence(poller, "all gone");
    vigil_poller_close(poller);
    close_pair(gone);
    close_pair(other);
}

/* A change is about the number, as with poll(2): it finds the file that has it now. */
CONFORM(a_number_that_changed_hands_while_registered)
{
    vigil_poller *poller = open_poller(backend);
    int old[2], fresh[2];
    unix_pair(old);
    unix_data(fresh);
    old[0] = move_high(old[0], 300);
    vigil_reg reg = add(poller, old[0], VIGIL_IN, 1);
    int copy = dup(old[0]); /* keeps the old file alive, in the kernel's set, too */
    REQUIRE(dup3(fresh[0], old[0], O_CLOEXEC) == old[0]);
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN | VIGIL_OUT));
    EQ_INT(VIGIL_IN | VIGIL_OUT, wait_one(poller, VIGIL_FOREVER).events);
    EQ_INT(1, read(fresh[0], &(char){ 0 }, 1));
    EQ_INT(3, read(fresh[0], &(char[4]){ 0 }, 4));
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN));
    put(old[1], "for the old file");
    EQ_INT(0, drain_to_silence(poller), "the old file is nobody's");
    put(fresh[1], "x");
    EQ_INT(VIGIL_IN, wait_one(poller, VIGIL_FOREVER).events);
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    EQ_INT(0, drain_to_silence(poller));
    vigil_poller_close(poller);
    close_pair(old);
    close_pair(fresh);
    close(copy);
}

CONFORM(a_one_shot_closed_while_registered_is_told_once)
{
    vigil_poller *poller = open_poller(backend);
    if ((vigil_poller_caps(poller) & VIGIL_NVAL) == 0) {
        vigil_poller_close(poller);
        SKIP("this backend cannot tell");
    }
    int fds[2];
    unix_pair(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN | VIGIL_ONESHOT, 1);
    close(fds[0]);
    fds[0] = -1;
    vigil_event event = { 0 };
    int n = 0;
    for (int i = 0; i < 2 && n == 0; i++)
        n = vigil_poller_wait(poller, &event, 1, VIGIL_S(20));
    EQ_INT(1, n);
    EQ_INT(VIGIL_NVAL | VIGIL_ERR, event.events);
    expect_silence(poller, "it fired");
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    vigil_poller_close(poller);
    close_pair(fds);
}

/* Trap 1: the kernel's set holds the open file, and the duplicate keeps that alive. */
CONFORM(a_duplicated_descriptor_closed_while_registered)
{
    vigil_poller *poller = open_poller(backend);
    int gone[2], fired[2], level[2], file = empty_file();
    unix_pair(gone);
    unix_data(fired);
    unix_pair(level);
    gone[0] = move_high(gone[0], 300); /* a number that nobody takes by chance */
    int copy = dup(gone[0]);
    vigil_reg fired_reg = add(poller, fired[0], VIGIL_IN | VIGIL_ONESHOT, 1);
    EQ_INT(1, wait_one(poller, VIGIL_FOREVER).tag);
    vigil_reg reg = add(poller, gone[0], VIGIL_IN, 2);
    (void)add(poller, level[0], VIGIL_IN, 3);
    vigil_reg file_reg = add(poller, file, VIGIL_PRI, 4);
    close(gone[0]);
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    put(gone[1], "for the duplicate alone");
    EQ_INT(0, drain_to_silence(poller), "nothing of it, nor of the one-shot that has fired");

    /* The others are waited for as before. */
    put(level[1], "x");
    EQ_INT(3, wait_one(poller, VIGIL_FOREVER).tag);
    EQ_INT(1, read(level[0], &(char){ 0 }, 1));
    EQ_INT(0, vigil_poller_modify(poller, fired_reg, VIGIL_IN | VIGIL_ONESHOT));
    EQ_INT(1, wait_one(poller, VIGIL_FOREVER).tag);
    EQ_INT(0, vigil_poller_modify(poller, file_reg, VIGIL_IN));
    EQ_INT(4, wait_one(poller, VIGIL_FOREVER).tag);
    EQ_INT(0, vigil_poller_modify(poller, file_reg, 0));
    EQ_INT(0, vigil_poller_wake(poller));
    vigil_event event;
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER), "wake-ups arrive, too");

    /* The number may come back, with another file and with the same one. */
    REQUIRE(dup3(level[0], gone[0], O_CLOEXEC) == gone[0]);
    reg = add(poller, gone[0], VIGIL_IN, 5);
    EQ_INT(0, drain_to_silence(poller));
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    REQUIRE(dup3(copy, gone[0], O_CLOEXEC) == gone[0]);
    (void)add(poller, gone[0], VIGIL_IN, 6);
    EQ_INT(6, wait_one(poller, VIGIL_FOREVER).tag);
    vigil_poller_close(poller);
    close_pair(gone);
    close_pair(fired);
    close_pair(level);
    close(copy);
    close(file);
}

CONFORM(a_duplicate_brings_the_number_back_before_anything_was_told)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2];
    unix_data(fds);
    int copy = dup(fds[0]);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN, 1);
    close(fds[0]);
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    REQUIRE(dup3(copy, fds[0], O_CLOEXEC) == fds[0]);
    (void)add(poller, fds[0], VIGIL_IN, 2);
    EQ_INT(2, wait_one(poller, VIGIL_FOREVER).tag);
    vigil_poller_close(poller);
    close_pair(fds);
    close(copy);
}

/* ---- fork -------------------------------------------------------------------------------- */

/* What a child does with its parent's poller; answers which step went wrong. */
static int misuse_in_child(vigil_poller *poller, vigil_reg reg, vigil_fd other)
{
    vigil_event event;
    vigil_reg fresh;
    if (vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT) != VIGIL_EFORK)
        return 1;
    if (vigil_poller_register(poller, other, VIGIL_IN, 0, &fresh) != VIGIL_EFORK)
        return 2;
    if (vigil_poller_unregister(poller, reg) != VIGIL_EFORK)
        return 3;
    if (vigil_poller_wake(poller) != VIGIL_EFORK)
        return 4;
    if (vigil_poller_modify(poller, reg, 0) != 0) /* found in the wait */
        return 5;
    if (vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT) != VIGIL_EFORK)
        return 6;
    vigil_poller_close(poller);
    vigil_poller *own;
    if (vigil_poller_open(&own, NULL) != 0 ||
        vigil_poller_register(own, other, VIGIL_OUT, 0, &fresh) != 0 ||
        vigil_poller_wait(own, &event, 1, VIGIL_FOREVER) != 1)
        return 7;
    vigil_poller_close(own);
    return 0;
}

CONFORM(a_child_is_refused_and_the_parent_s_set_is_untouched)
{
    vigil_poller *poller = open_poller(backend);
    int fds[2], other[2], file = empty_file(), status = -1;
    pipe_data(fds);
    unix_data(other);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN, 1);
    (void)add(poller, file, VIGIL_PRI, 2);
    fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(misuse_in_child(poller, reg, other[0]));
    REQUIRE(waitpid(child, &status, 0) == child);
    OK(WIFEXITED(status), "status 0x%x", (unsigned)status);
    EQ_INT(0, WEXITSTATUS(status), "the step that went wrong");
    EQ_INT(1, wait_one(poller, VIGIL_FOREVER).tag);
    (void)add(poller, other[0], VIGIL_IN, 3); /* the child did not */
    vigil_event events[4];
    EQ_INT(2, vigil_poller_wait(poller, events, 4, VIGIL_FOREVER));
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    EQ_INT(3, wait_one(poller, VIGIL_FOREVER).tag);
    vigil_poller_close(poller);
    close_pair(fds);
    close_pair(other);
    close(file);
}
