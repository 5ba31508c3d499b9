/* SPDX-License-Identifier: MIT
 *
 * backend.c -- the backends' own contract (src/poller/backend.h), where vigil_poller does not show
 * it: memory that runs out at every step, the descriptor that stands for a wait, keys, forget.
 */
#include "situations.h"

#include "poller/backend.h"

/* A backend opened on an allocator that counts. */
struct opened {
    struct test_allocator counting;
    const struct vigil__backend *backend;
    struct vigil__backend_caps caps;
    void *self;
};

static void close_backend(void *arg)
{
    struct opened *opened = arg;
    test_on_leave(NULL, NULL);
    opened->backend->close(opened->self);
}

static int open_backend(struct opened *opened, const char *name, size_t fail_after)
{
    const vigil_allocator *allocator = test_counting_allocator(&opened->counting);
    opened->counting.fail_after = fail_after;
    struct vigil__backend_config config = { .host = vigil__host_system(), .allocator = allocator };
    int err = vigil__backend_open(name, &config, &opened->backend, &opened->self, &opened->caps);
    if (err == VIGIL_ENOTSUP)
        SKIP("not to be had here");
    if (err == 0)
        test_on_leave(close_backend, opened);
    return err;
}

static int set(const struct opened *opened, int fd, uint32_t was, uint32_t want, uint32_t slot)
{
    return opened->backend->set(opened->self, fd, was, want,
                                vigil__key(VIGIL__KEY_WATCH, 5, 0xabcdef, slot));
}

static int wait_records(const struct opened *opened, struct vigil__record *records, int cap,
                        vigil_ns timeout)
{
    return opened->backend->wait(opened->self, records, cap, timeout);
}

/* The steps are opening, and adding three descriptors that are readable. */
static void run_out_of_memory(const char *backend, const int order[3])
{
    bool all = false;
    for (size_t fail_after = 0; !all; fail_after++) {
        REQUIRE(fail_after < 30);
        struct opened opened;
        int err = open_backend(&opened, backend, fail_after);
        OK(err == 0 || err == VIGIL_ENOMEM, "%s", vigil_err_name(err));
        all = err == 0;
        int added = 0;
        for (size_t i = 0; err == 0 && i < 3; i++) {
            int result = set(&opened, order[i], 0, VIGIL_IN, (uint32_t)i);
            OK(result == 0 || result == VIGIL_ENOMEM, "%s", vigil_err_name(result));
            added += result == 0;
            all = all && result == 0;
        }
        struct vigil__record records[8];
        if (err == 0)
            EQ_INT(added, wait_records(&opened, records, 8, VIGIL_NOWAIT), "after %zu", fail_after);
        opened.counting.fail_after = SIZE_MAX;
        for (size_t i = 0; err == 0 && i < 3; i++) {
            EQ_INT(0, set(&opened, order[i], VIGIL_IN, 0, 0), "removing never fails");
            EQ_INT(0, set(&opened, order[i], 0, VIGIL_IN, 0), "memory came back");
        }
        if (err == 0) {
            EQ_INT(3, wait_records(&opened, records, 8, VIGIL_NOWAIT), "after %zu", fail_after);
            close_backend(&opened);
        }
        OK_ALLOCATOR_EMPTY(&opened.counting);
    }
}

CONFORM(out_of_memory_at_every_step)
{
    test_needs_large_sets(backend);
    int fds[2], file = empty_file();
    pipe_data(fds);
    int high = move_high(dup(fds[0]), 4000); /* tables and bitmaps grow */
    run_out_of_memory(backend, (const int[]){ fds[0], file, high });
    close_pair(fds);
    close(high);
    close(file);
}

CONFORM(out_of_memory_at_every_step_with_sockets_alone)
{
    int pairs[3][2];
    for (size_t i = 0; i < 3; i++)
        tcp_data(pairs[i]);
    run_out_of_memory(backend, (const int[]){ pairs[0][0], pairs[1][0], pairs[2][0] });
    for (size_t i = 0; i < 3; i++)
        close_pair(pairs[i]);
}

CONFORM(keys_come_back_whole)
{
    struct opened opened;
    REQUIRE(open_backend(&opened, backend, SIZE_MAX) == 0);
    int fds[2];
    tcp_data(fds);
    EQ_INT(0, set(&opened, fds[0], 0, VIGIL_IN, 0xfedcba98));
    struct vigil__record record;
    REQUIRE(wait_records(&opened, &record, 1, VIGIL_FOREVER) == 1);
    EQ_INT(VIGIL__KEY_WATCH, vigil__key_class(record.key));
    EQ_INT(5, vigil__key_kind(record.key));
    EQ_INT(0xabcdef, vigil__key_generation(record.key));
    EQ_INT(0xfedcba98, vigil__key_slot(record.key));
    EQ_INT(0, set(&opened, fds[0], VIGIL_IN, VIGIL_IN, 7)); /* a change may bring another key */
    REQUIRE(wait_records(&opened, &record, 1, VIGIL_FOREVER) == 1);
    EQ_INT(7, vigil__key_slot(record.key));

    EQ_INT(0, opened.backend->wake(opened.self));
    EQ_INT(0, set(&opened, fds[0], VIGIL_IN, 0, 0));
    REQUIRE(wait_records(&opened, &record, 1, VIGIL_FOREVER) == 1);
    EQ_INT(VIGIL__KEY_WAKE, vigil__key_class(record.key));
    EQ_INT(0, wait_records(&opened, &record, 1, VIGIL_MS(5)), "drained");
    close_backend(&opened);
    OK_ALLOCATOR_EMPTY(&opened.counting);
    close_pair(fds);
}

CONFORM(set_answers_what_it_says)
{
    struct opened opened;
    REQUIRE(open_backend(&opened, backend, SIZE_MAX) == 0);
    int fds[2], file = empty_file();
    pipe_data(fds);
    const int both[] = { fds[0], file };
    for (size_t i = 0; i < 2; i++) {
        EQ_INT(0, set(&opened, both[i], VIGIL_IN, 0, 1), "what is not there can be removed");
        EQ_INT(0, set(&opened, both[i], 0, VIGIL_IN, 1));
        EQ_INT(VIGIL_EEXIST, set(&opened, both[i], 0, VIGIL_IN, 1));
        if (opened.caps.edge)
            EQ_INT(0, set(&opened, both[i], VIGIL_IN, VIGIL_IN | VIGIL_EDGE, 1));
        EQ_INT(0, set(&opened, both[i], VIGIL_IN, 0, 1));
        EQ_INT(0, set(&opened, both[i], VIGIL_IN, 0, 1), "twice");
    }
    int gone = closed_fd(-1);
    EQ_INT(VIGIL_EBADF, set(&opened, gone, 0, VIGIL_IN, 1));
    EQ_INT(0, set(&opened, gone, VIGIL_IN, 0, 1));
    EQ_INT(0, set(&opened, -1, VIGIL_IN, 0, 1));
    struct vigil__record record;
    EQ_INT(0, wait_records(&opened, &record, 1, VIGIL_MS(5)), "nothing is left");
    close_backend(&opened);
    OK_ALLOCATOR_EMPTY(&opened.counting);
    close_pair(fds);
    close(file);
}

static bool is_readable(int fd)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    return poll(&entry, 1, 0) == 1;
}

/* Whether the descriptor that stands for a wait is, with nothing put off. */
static bool would_answer(const struct opened *opened)
{
    if (opened->backend->flush != NULL)
        opened->backend->flush(opened->self);
    return is_readable(opened->backend->fd(opened->self));
}

/* The same with nothing to tell, behind a wake-up.  That signals an eventfd which io_uring polls,
 * and what the kernel signals from within that call comes behind a grace period of its own: once,
 * some milliseconds after the wake-up was taken.  Who looks in that moment looks again. */
static bool is_silent(struct opened *opened)
{
    if (!would_answer(opened))
        return true;
    struct vigil__record record;
    return opened->backend == &vigil__backend_io_uring &&
           wait_records(opened, &record, 1, VIGIL_NOWAIT) == 0 && !would_answer(opened);
}

CONFORM(the_descriptor_is_readable_when_a_wait_would_answer)
{
    struct opened opened;
    REQUIRE(open_backend(&opened, backend, SIZE_MAX) == 0);
    if (opened.backend->fd == NULL) {
        close_backend(&opened);
        SKIP("this backend has none");
    }
    int fds[2], file = empty_file();
    struct vigil__record record;
    pipe_empty(fds);
    EQ_INT(0, set(&opened, fds[0], 0, VIGIL_IN, 1));
    OK(!would_answer(&opened));
    put(fds[1], "x");
    OK(would_answer(&opened), "data");
    EQ_INT(0, set(&opened, fds[0], VIGIL_IN, 0, 1));
    OK(!would_answer(&opened));
    EQ_INT(0, opened.backend->wake(opened.self));
    OK(would_answer(&opened), "a wake-up");
    EQ_INT(1, wait_records(&opened, &record, 1, VIGIL_NOWAIT));
    OK(is_silent(&opened));

    /* Files that the kernel refuses count as well. */
    EQ_INT(0, set(&opened, file, 0, VIGIL_IN | VIGIL_ONESHOT, 1));
    OK(would_answer(&opened), "a file");
    EQ_INT(1, wait_records(&opened, &record, 1, VIGIL_NOWAIT));
    OK(is_silent(&opened), "its shot is spent");
    EQ_INT(0, set(&opened, file, VIGIL_IN | VIGIL_ONESHOT, VIGIL_PRI, 1));
    OK(is_silent(&opened), "a file has no urgent data");
    EQ_INT(0, set(&opened, file, VIGIL_PRI, VIGIL_OUT, 1));
    OK(would_answer(&opened), "a file, again");
    EQ_INT(0, set(&opened, file, VIGIL_OUT, 0, 1));
    OK(is_silent(&opened), "removed");
    close_backend(&opened);
    close_pair(fds);
    close(file);
}

static int lowest_free(void)
{
    int fd = dup(STDOUT_FILENO);
    REQUIRE(fd >= 0);
    close(fd);
    return fd;
}

/* Somebody closed a descriptor that has a duplicate: the backend gets rid of what the kernel goes
 * on reporting (trap 1), and a foreign loop goes on waiting for the number that it was told. */
CONFORM(the_descriptor_stays_the_same_when_a_foreign_close_is_healed)
{
    struct opened opened;
    REQUIRE(open_backend(&opened, backend, SIZE_MAX) == 0);
    if (opened.backend->fd == NULL) {
        close_backend(&opened);
        SKIP("this backend has none");
    }
    int fd = opened.backend->fd(opened.self), file = empty_file(), other[2];
    unix_pair(other);
    EQ_INT(0, set(&opened, other[0], 0, VIGIL_IN, 1));
    EQ_INT(0, set(&opened, file, 0, VIGIL_PRI, 2));
    int lowest = lowest_free();
    for (int i = 0; i < 3; i++) {
        int gone[2];
        struct vigil__record record;
        unix_data(gone);
        int copy = dup(gone[0]);
        EQ_INT(0, set(&opened, gone[0], 0, VIGIL_IN, 3));
        close(gone[0]);
        EQ_INT(0, set(&opened, gone[0], VIGIL_IN, 0, 3));
        bool held = strcmp(backend, "epoll") == 0; /* it cannot be taken out any more */
        OK(held ? would_answer(&opened) : is_silent(&opened), "for the duplicate alone");
        EQ_INT(0, wait_records(&opened, &record, 1, VIGIL_NOWAIT), "it is nobody's");
        if (i > 0 && wait_records(&opened, &record, 1, VIGIL_NOWAIT) == 1) /* the last round's */
            EQ_INT(VIGIL__KEY_WAKE, vigil__key_class(record.key), "one may be told again");
        OK(is_silent(&opened), "healed");
        EQ_INT(fd, opened.backend->fd(opened.self));
        EQ_INT(FD_CLOEXEC, fcntl(fd, F_GETFD));
        close(gone[1]);
        close(copy);
        EQ_INT(lowest, lowest_free(), "no descriptor is left over");

        /* What is waited for is seen through it as before: a descriptor, a file, a wake-up. */
        put(other[1], "x");
        OK(would_answer(&opened), "data");
        REQUIRE(wait_records(&opened, &record, 1, VIGIL_NOWAIT) == 1);
        EQ_INT(1, vigil__key_slot(record.key));
        EQ_INT(1, read(other[0], &(char){ 0 }, 1));
        EQ_INT(0, set(&opened, file, VIGIL_PRI, VIGIL_IN, 2));
        OK(would_answer(&opened), "a file");
        REQUIRE(wait_records(&opened, &record, 1, VIGIL_NOWAIT) == 1);
        EQ_INT(2, vigil__key_slot(record.key));
        EQ_INT(0, set(&opened, file, VIGIL_IN, VIGIL_PRI, 2));
        OK(is_silent(&opened), "silence");
        EQ_INT(0, opened.backend->wake(opened.self));
        OK(would_answer(&opened), "a wake-up");
        REQUIRE(wait_records(&opened, &record, 1, VIGIL_NOWAIT) == 1);
        EQ_INT(VIGIL__KEY_WAKE, vigil__key_class(record.key));
    }
    close_backend(&opened);
    OK_ALLOCATOR_EMPTY(&opened.counting);
    close_pair(other);
    close(file);
}

CONFORM(forget_frees_everything_and_changes_no_set)
{
    struct opened opened;
    REQUIRE(open_backend(&opened, backend, SIZE_MAX) == 0);
    int fds[2], file = empty_file(), status = -1;
    pipe_data(fds);
    EQ_INT(0, set(&opened, fds[0], 0, VIGIL_IN, 1));
    EQ_INT(0, set(&opened, file, 0, VIGIL_IN, 2));
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        opened.backend->forget(opened.self);
        _exit(opened.counting.blocks == 0 ? 0 : 1);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    EQ_INT(0, status);
    struct vigil__record records[4];
    EQ_INT(2, wait_records(&opened, records, 4, VIGIL_FOREVER));
    close_backend(&opened);
    close_pair(fds);
    close(file);
}

TEST(the_first_backend_that_works_is_taken)
{
    struct opened opened;
    REQUIRE(open_backend(&opened, NULL, SIZE_MAX) == 0);
    bool first_performs = strcmp(vigil_backend_name(0), "io_uring") == 0; /* of no use here */
    EQ_STR(vigil_backend_name(first_performs ? 1 : 0), opened.backend->name);
    close_backend(&opened);
    EQ_INT(VIGIL_EINVAL, open_backend(&opened, "nonsense", SIZE_MAX));
    EQ_INT(VIGIL_ENOMEM, open_backend(&opened, NULL, 0), "not a reason to take a lesser one");
}
