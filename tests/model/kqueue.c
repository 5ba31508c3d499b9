/* SPDX-License-Identifier: MIT
 *
 * kqueue.c -- the kqueue backend on the model, where it is unlike the others: which calls it makes,
 * the end of each filter, what the kernel refuses, a queue that fork does not pass on.  That it
 * does what every backend must do, tests/conform/ shows.
 *
 * This program has a copy of its own of the backend, as macOS has it: with a filter for urgent
 * data.
 */
#define KEVENT_MODEL_MACOS
#define vigil__backend_kqueue kqueue_of_macos
#include "poller/kqueue.c"
#undef vigil__backend_kqueue

#include <sys/stat.h>

#include "conform/situations.h"
#include "kevent.h"

enum { ASK_ALL = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP };

static vigil_poller *open_poller(void)
{
    vigil_poller *poller = NULL;
    REQUIRE(vigil_poller_open(&poller, "kqueue") == 0);
    return poller;
}

static vigil_reg add(vigil_poller *poller, vigil_fd fd, unsigned events, uintptr_t tag)
{
    vigil_reg reg = { 0 };
    int err = vigil_poller_register(poller, fd, events, tag, &reg);
    REQUIRE(err == 0, "%s", vigil_err_name(err));
    return reg;
}

/* What a wait without time says of the only one registered. */
static unsigned events_now(vigil_poller *poller)
{
    vigil_event event = { 0 };
    int n = vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT);
    REQUIRE(n >= 0, "%s", vigil_err_name(n));
    return n > 0 ? event.events : 0;
}

static void expect_silence(vigil_poller *poller, const char *why)
{
    vigil_event event;
    vigil_ns start = now_ns();
    int n = vigil_poller_wait(poller, &event, 1, VIGIL_MS(15));
    EQ_INT(0, n, "%s: 0x%x of %d", why, n > 0 ? event.events : 0u, n > 0 ? (int)event.tag : -1);
    OK(now_ns() - start >= VIGIL_MS(15), "%s", why);
}

/* ---- calls -------------------------------------------------------------------------------- */

TEST(changes_go_to_the_kernel_with_the_wait)
{
    enum { COUNT = 20 };
    vigil_poller *poller = open_poller();
    int fds[COUNT][2];
    vigil_reg regs[COUNT];
    vigil_event events[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        unix_data(fds[i]);
        int before = kevent_model.calls;
        regs[i] = add(poller, fds[i][0], VIGIL_PRI | VIGIL_IN, i);
        EQ_INT(1, kevent_model.calls - before, "adding is a call, so that it can fail");
    }
    for (int round = 0; round < 6; round++) {
        int before = kevent_model.calls;
        unsigned want = round % 2 == 0 ? VIGIL_IN | VIGIL_OUT : VIGIL_OUT;
        for (size_t i = 0; i < COUNT; i++)
            EQ_INT(0, vigil_poller_modify(poller, regs[i], want));
        EQ_INT(COUNT, vigil_poller_wait(poller, events, COUNT, VIGIL_FOREVER));
        for (size_t i = 0; i < COUNT; i++)
            EQ_INT(want, events[i].events);
        EQ_INT(1, kevent_model.calls - before, "for %d changes and the wait", COUNT);
    }
    int before = kevent_model.calls;
    EQ_INT(0, vigil_poller_unregister(poller, regs[0]));
    EQ_INT(1, kevent_model.calls - before, "removing is a call: the peer sees the end at once");
    vigil_poller_close(poller);
    for (int i = 0; i < COUNT; i++)
        close_pair(fds[i]);
}

TEST(more_changes_than_fit_into_a_call)
{
    enum { COUNT = 400 };
    vigil_poller *poller = open_poller();
    static int fds[COUNT][2];
    static vigil_reg regs[COUNT];
    static vigil_event events[COUNT];
    bool seen[COUNT] = { false };
    int left = COUNT;
    for (size_t i = 0; i < COUNT; i++) {
        unix_data(fds[i]);
        regs[i] = add(poller, fds[i][0], VIGIL_PRI, i);
    }
    for (size_t i = 0; i < COUNT; i++)
        EQ_INT(0, vigil_poller_modify(poller, regs[i], VIGIL_IN | VIGIL_OUT | VIGIL_ONESHOT));
    for (int waits = 0; left > 0 && waits < 20; waits++) {
        int n = vigil_poller_wait(poller, events, COUNT, VIGIL_FOREVER);
        OK(n > 0);
        for (int i = 0; i < n; i++) {
            EQ_INT(VIGIL_IN | VIGIL_OUT, events[i].events);
            left -= !seen[events[i].tag];
            seen[events[i].tag] = true;
        }
    }
    EQ_INT(0, left);
    expect_silence(poller, "each had one shot");
    for (size_t i = 0; i < COUNT; i++) {
        EQ_INT(4, read(fds[i][0], &(char[4]){ 0 }, 4));
        EQ_INT(0, vigil_poller_modify(poller, regs[i], VIGIL_IN));
    }
    expect_silence(poller, "the wait is not over when some of the changes are made");
    vigil_poller_close(poller);
    for (int i = 0; i < COUNT; i++)
        close_pair(fds[i]);
}

/* Edges and shots that the kernel handed out, and that there was no room for. */
TEST(what_was_passed_over_comes_later)
{
    static const unsigned modes[] = { VIGIL_EDGE, VIGIL_ONESHOT, VIGIL_EDGE | VIGIL_ONESHOT };
    enum { COUNT = 9 };
    for (size_t mode = 0; mode < TEST_COUNT(modes); mode++) {
        vigil_poller *poller = open_poller();
        int fds[COUNT][2], file = empty_file(), seen[COUNT + 1] = { 0 };
        for (size_t i = 0; i < COUNT; i++) {
            unix_data(fds[i]);
            (void)add(poller, fds[i][0], VIGIL_IN | VIGIL_OUT | modes[mode], i);
        }
        (void)add(poller, file, VIGIL_IN | modes[mode], COUNT);
        EQ_INT(0, vigil_poller_wake(poller));
        for (int i = 0; i < COUNT + 2; i++) { /* and the wake-up */
            vigil_event event;
            int n = vigil_poller_wait(poller, &event, 1, VIGIL_S(20));
            if (n > 0)
                seen[event.tag]++;
        }
        for (int i = 0; i <= COUNT; i++)
            EQ_INT(1, seen[i], "mode 0x%x, %d", modes[mode], i);
        expect_silence(poller, "all were told");
        vigil_poller_close(poller);
        for (int i = 0; i < COUNT; i++)
            close_pair(fds[i]);
        close(file);
    }
}

/* ---- the end of each filter --------------------------------------------------------------- */

/* Trap 22: EV_EOF on the write filter, taken for the peer's end. */
TEST(our_own_end_is_not_the_peer_s)
{
    void (*const pairs[])(int[2]) = { tcp_pair, unix_pair };
    for (size_t i = 0; i < TEST_COUNT(pairs); i++) {
        vigil_poller *poller = open_poller();
        int fds[2];
        pairs[i](fds);
        shutdown(fds[0], SHUT_WR);
        vigil_reg reg = add(poller, fds[0], VIGIL_IN | VIGIL_OUT | VIGIL_RDHUP, 0);
        EQ_INT(VIGIL_OUT, events_now(poller));
        EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN | VIGIL_RDHUP));
        expect_silence(poller, "nothing came from the peer");
        put(fds[1], "x");
        until(fds[0], POLLIN);
        EQ_INT(VIGIL_IN, events_now(poller));
        vigil_poller_close(poller);
        close_pair(fds);
    }
}

/* Nobody asked for input: it neither spins nor hides the end, which is told as long as it lasts. */
TEST(the_peer_s_end_alone_with_input_that_nobody_takes)
{
    static const unsigned modes[] = { 0, VIGIL_ONESHOT, VIGIL_EDGE };
    for (size_t i = 0; i < TEST_COUNT(modes); i++) {
        vigil_poller *poller = open_poller();
        vigil_event event;
        int fds[2];
        unix_data(fds);
        vigil_reg reg = add(poller, fds[0], VIGIL_RDHUP | modes[i], 0);
        EQ_INT(0, events_now(poller));
        expect_silence(poller, "there is input");
        put(fds[1], "more");
        EQ_INT(0, events_now(poller));
        expect_silence(poller, "and more input");
        shutdown(fds[1], SHUT_WR);
        EQ_INT(1, vigil_poller_wait(poller, &event, 1, VIGIL_FOREVER));
        EQ_INT(VIGIL_RDHUP, event.events);
        if (modes[i] != 0)
            expect_silence(poller, "told once");
        else
            for (int again = 0; again < 3; again++)
                EQ_INT(VIGIL_RDHUP, events_now(poller));
        EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN | VIGIL_RDHUP));
        EQ_INT(VIGIL_IN | VIGIL_RDHUP, events_now(poller), "the data is behind it");
        vigil_poller_close(poller);
        close_pair(fds);
    }
}

/* ---- what the kernel refuses -------------------------------------------------------------- */

/* Trap 22: EPIPE from registering. */
TEST(a_pipe_whose_reader_has_gone_is_no_error_of_registering)
{
    vigil_poller *poller = open_poller();
    int fds[2];
    pipe_reader_gone(fds);
    vigil_reg reg = add(poller, fds[0], VIGIL_OUT, 0);
    for (int i = 0; i < 3; i++)
        EQ_INT(VIGIL_OUT | VIGIL_ERR, events_now(poller));
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_OUT | VIGIL_ONESHOT));
    EQ_INT(VIGIL_OUT | VIGIL_ERR, events_now(poller));
    expect_silence(poller, "one shot");
    EQ_INT(0, vigil_poller_modify(poller, reg, 0));
    expect_silence(poller, "nothing is asked");
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    vigil_poller_close(poller);
    close_pair(fds);
}

/* Trap 22: ENOENT on delete.  The number has another file; the filters left with the old one. */
TEST(a_filter_that_has_left_by_itself_is_taken_away_without_an_error)
{
    vigil_poller *poller = open_poller();
    int fds[2], others[2];
    unix_data(fds);
    unix_pair(others);
    vigil_reg reg = add(poller, fds[0], VIGIL_IN | VIGIL_OUT, 0);
    EQ_INT(VIGIL_IN | VIGIL_OUT, events_now(poller));
    REQUIRE(dup3(others[0], fds[0], O_CLOEXEC) == fds[0]);
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN));
    EQ_INT(0, events_now(poller));
    expect_silence(poller, "nothing has come");
    put(others[1], "x");
    EQ_INT(VIGIL_IN, events_now(poller));
    EQ_INT(0, vigil_poller_unregister(poller, reg));
    vigil_poller_close(poller);
    close_pair(fds);
    close_pair(others);
}

/* Its other filter is still to be taken away when somebody closes it. */
TEST(a_shot_that_was_fired_is_silent_when_it_is_closed)
{
    vigil_poller *poller = open_poller();
    int fds[2];
    unix_full(fds);
    put(fds[1], "x");
    (void)add(poller, fds[0], VIGIL_IN | VIGIL_OUT | VIGIL_ONESHOT, 0);
    EQ_INT(VIGIL_IN, events_now(poller));
    close(fds[0]);
    EQ_INT(0, events_now(poller));
    expect_silence(poller, "it was told");
    vigil_poller_close(poller);
    close(fds[1]);
}

TEST(a_named_pipe_gets_a_reader_again)
{
    char path[] = "/tmp/vigil-test-XXXXXX";
    REQUIRE(mkdtemp(path) != NULL);
    char name[64];
    snprintf(name, sizeof(name), "%s/fifo", path);
    REQUIRE(mkfifo(name, 0600) == 0);
    int reader = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int writer = open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(reader >= 0 && writer >= 0);
    vigil_poller *poller = open_poller();
    close(reader);
    vigil_reg reg = add(poller, writer, VIGIL_OUT, 0);
    EQ_INT(VIGIL_OUT | VIGIL_ERR, events_now(poller));
    reader = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_OUT | VIGIL_RDHUP));
    EQ_INT(VIGIL_OUT, events_now(poller));
    vigil_poller_close(poller);
    close(reader);
    close(writer);
    unlink(name);
    rmdir(path);
}

/* Trap 23: /dev/tty on macOS.  It is not always ready, so it cannot be answered for. */
TEST(a_terminal_that_has_no_filter_is_refused_at_once)
{
    vigil_poller *poller = open_poller();
    vigil_reg reg;
    int fds[2];
    terminal_data(fds);
    kevent_model.refuse_terminals = true;
    static const unsigned asked[] = { VIGIL_IN, VIGIL_OUT, VIGIL_IN | VIGIL_OUT | VIGIL_ONESHOT };
    for (size_t i = 0; i < TEST_COUNT(asked); i++)
        EQ_INT(VIGIL_ENOTSUP, vigil_poller_register(poller, fds[0], asked[i], 0, &reg));
    kevent_model.refuse_terminals = false;
    expect_silence(poller, "nothing is left of it");
    reg = add(poller, fds[0], VIGIL_PRI, 0);
    kevent_model.refuse_terminals = true;
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_IN));
    for (int i = 0; i < 3; i++)
        EQ_INT(VIGIL_ERR, events_now(poller), "told as long as it is refused");
    kevent_model.refuse_terminals = false;
    EQ_INT(VIGIL_IN, events_now(poller));
    vigil_poller_close(poller);
    close_pair(fds);
}

/* It was told as an error of the descriptor, and tried again at once, for as long as it lasted. */
TEST(a_kernel_without_memory_for_a_change_is_asked_again_a_little_later)
{
    vigil_poller *poller = open_poller();
    vigil_reg reg;
    int fds[2];
    unix_pair(fds);
    reg = add(poller, fds[0], VIGIL_PRI, 0);
    kevent_model.no_memory = true;
    EQ_INT(VIGIL_ENOMEM, vigil_poller_register(poller, fds[1], VIGIL_IN, 1, &(vigil_reg){ 0 }));
    EQ_INT(0, vigil_poller_modify(poller, reg, VIGIL_OUT));
    int before = kevent_model.calls, n = 0;
    vigil_event event;
    vigil_ns start = now_ns();
    while (n == 0 && now_ns() - start < VIGIL_MS(15))
        n = vigil_poller_wait(poller, &event, 1, VIGIL_MS(15));
    EQ_INT(0, n, "nothing is wrong with the descriptor");
    OK(kevent_model.calls - before <= 2 * 15 + 4, "%d calls", kevent_model.calls - before);
    kevent_model.no_memory = false;
    for (int i = 0; i < 5 && n == 0; i++)
        n = vigil_poller_wait(poller, &event, 1, VIGIL_S(20));
    EQ_INT(1, n);
    EQ_INT(VIGIL_OUT, event.events);
    vigil_poller_close(poller);
    close_pair(fds);
}

/* ---- the descriptor of the queue ---------------------------------------------------------- */

struct opened {
    struct test_allocator counting;
    void *self;
};

static void open_backend(struct opened *opened)
{
    struct vigil__backend_caps caps;
    const vigil_allocator *allocator = test_counting_allocator(&opened->counting);
    struct vigil__backend_config config = { .host = vigil__host_system(), .allocator = allocator };
    REQUIRE(kqueue_of_macos.open(&opened->self, &config, &caps) == 0);
    EQ_INT(VIGIL_PRI, caps.events & VIGIL_PRI);
}

static void close_backend(struct opened *opened)
{
    kqueue_of_macos.close(opened->self);
    OK_ALLOCATOR_EMPTY(&opened->counting);
}

static int set(const struct opened *opened, int fd, uint32_t was, uint32_t want)
{
    return kqueue_of_macos.set(opened->self, fd, was, want, vigil__key(VIGIL__KEY_WATCH, 0, 1, 2));
}

/* Whether the queue's descriptor is readable, with nothing put off. */
static bool would_answer(const struct opened *opened)
{
    kqueue_of_macos.flush(opened->self);
    struct pollfd entry = { .fd = kqueue_of_macos.fd(opened->self), .events = POLLIN };
    return poll(&entry, 1, 0) == 1;
}

/* A change that fails while a foreign loop waits for the queue's descriptor. */
TEST(a_foreign_loop_hears_of_a_change_that_failed)
{
    struct opened opened;
    struct vigil__record records[4];
    int fds[2];
    open_backend(&opened);
    unix_pair(fds);
    EQ_INT(0, set(&opened, fds[0], 0, VIGIL_IN));
    close(fds[0]);
    OK(!would_answer(&opened));
    EQ_INT(0, set(&opened, fds[0], VIGIL_IN, VIGIL_OUT));
    OK(would_answer(&opened), "there is something to say");
    unsigned told = 0;
    for (int i = 0; i < 3 && would_answer(&opened); i++) {
        int n = kqueue_of_macos.wait(opened.self, records, 4, VIGIL_NOWAIT);
        for (int j = 0; j < n; j++)
            told |= vigil__key_class(records[j].key) == VIGIL__KEY_WATCH ? (unsigned)records[j].res
                                                                         : 0u;
    }
    EQ_INT(VIGIL_NVAL | VIGIL_ERR, told);
    OK(would_answer(&opened), "as long as it is not taken back");
    EQ_INT(0, set(&opened, fds[0], VIGIL_OUT, 0));
    EQ_INT(1, kqueue_of_macos.wait(opened.self, records, 4, VIGIL_NOWAIT));
    EQ_INT(VIGIL__KEY_WAKE, vigil__key_class(records[0].key));
    OK(!would_answer(&opened));
    close_backend(&opened);
    close(fds[1]);
}

/* The queue's number is free in a child, and may have been taken by the time it forgets. */
TEST(forgetting_in_a_child_closes_nobody_s_descriptor)
{
    struct opened opened;
    int status = -1;
    open_backend(&opened);
    int queue = kqueue_of_macos.fd(opened.self);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int taken = dup(STDOUT_FILENO);
        kqueue_of_macos.forget(opened.self);
        _exit(taken != queue ? 1 : fcntl(taken, F_GETFD) < 0 ? 2 : 0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    EQ_INT(0, status);
    close_backend(&opened);
}

/* ---- macOS -------------------------------------------------------------------------------- */

TEST(urgent_data_where_there_is_a_filter_for_it)
{
    struct opened opened;
    struct vigil__record record = { 0 };
    static const unsigned modes[] = { 0, VIGIL_ONESHOT, VIGIL_EDGE };
    for (size_t i = 0; i < TEST_COUNT(modes); i++) {
        int fds[2], others[2];
        open_backend(&opened);
        tcp_pair(others);
        EQ_INT(0, set(&opened, others[0], 0, VIGIL_PRI | modes[i]));
        EQ_INT(0, kqueue_of_macos.wait(opened.self, &record, 1, VIGIL_NOWAIT));
        EQ_INT(0, set(&opened, others[0], VIGIL_PRI | modes[i], 0));
        tcp_urgent(fds);
        EQ_INT(0, set(&opened, fds[0], 0, ASK_ALL | modes[i]));
        REQUIRE(kqueue_of_macos.wait(opened.self, &record, 1, VIGIL_NOWAIT) == 1);
        EQ_INT(VIGIL_PRI | VIGIL_IN | VIGIL_OUT, record.res);
        EQ_INT(0, set(&opened, fds[0], ASK_ALL, VIGIL_PRI | modes[i]));
        REQUIRE(kqueue_of_macos.wait(opened.self, &record, 1, VIGIL_NOWAIT) == 1);
        EQ_INT(VIGIL_PRI, record.res);
        EQ_INT(modes[i] == 0, kqueue_of_macos.wait(opened.self, &record, 1, VIGIL_NOWAIT));
        close_backend(&opened);
        close_pair(fds);
        close_pair(others);
    }
}
