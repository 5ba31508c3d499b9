/* SPDX-License-Identifier: MIT
 *
 * test.h -- the harness of all tests in C: TAP on stdout, what failed and why on stderr (so that
 * prove shows it), one program per file, header only.
 *
 *   TEST(name) { ... }      runs once
 *   CONFORM(name) { ... }   runs once per backend; `backend` is its name; prints "name [epoll]"
 *   OK, EQ_INT, EQ_PTR, EQ_STR   note a failure and go on; the text behind the values names the row
 *   REQUIRE(cond, text)     as OK, and ends the test: what follows makes no sense without it
 *   SKIP(reason)            ends the test as skipped
 * Checks belong to the thread and the process that run the test.
 *
 * Without arguments a program runs all its tests, else those named ("name" or "name [epoll]").
 * VIGIL_TEST_BACKEND restricts CONFORM to one backend; TEST_TIME_SCALE multiplies the 60 s that a
 * test may take; TEST_UNDER says what stands in for a machine, see test_not_under().  A test fails
 * too when it leaves a descriptor open that was not before.
 */
#ifndef VIGIL_TEST_H
#define VIGIL_TEST_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "vigil.h"

#define TEST_COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct test {
    const char *name;
    void (*run)(void);
    void (*run_on)(const char *backend); /* instead of run: a conformance test */
    struct test *next;
};

static struct {
    struct test *first, **last;
    int number;        /* TAP's, of the test that runs */
    int failed;        /* tests */
    int test_failures; /* of the test that runs */
    const char *skip;
    char title[160];
    jmp_buf leave;
    void (*on_leave)(void *arg); /* see test_on_leave() */
    void *on_leave_arg;
} test_state = { .last = &test_state.first };

#define TEST_MAYBE_UNUSED __attribute__((unused))

#define TEST_REGISTER(id, ...)                                        \
    __attribute__((constructor)) static void test_register_##id(void) \
    {                                                                 \
        static struct test test = { .name = #id, __VA_ARGS__ };       \
        *test_state.last = &test;                                     \
        test_state.last = &test.next;                                 \
    }

#define TEST(id)                            \
    static void test_run_##id(void);        \
    TEST_REGISTER(id, .run = test_run_##id) \
    static void test_run_##id(void)

#define CONFORM(id)                                 \
    static void test_run_##id(const char *backend); \
    TEST_REGISTER(id, .run_on = test_run_##id)      \
    static void test_run_##id(const char *backend TEST_MAYBE_UNUSED)

/* ---- checks ------------------------------------------------------------------------------ */

#define TEST_HERE __FILE__, __LINE__

/* A failure as TAP diagnostics: where, what, and the row's text, which has a space before it. */
__attribute__((format(__printf__, 5, 6))) TEST_MAYBE_UNUSED static bool test_ok(
    bool ok, const char *file, int line, const char *what, const char *row, ...)
{
    if (ok)
        return true;
    fprintf(stderr, "# %s:%d: %s", file, line, what);
    if (row[1] != '\0') {
        va_list args;
        va_start(args, row);
        fprintf(stderr, " --");
        vfprintf(stderr, row, args);
        va_end(args);
    }
    fprintf(stderr, "\n");
    test_state.test_failures++;
    return false;
}

enum { TEST_TEXT_MAX = 512 };

/* The first of the optional arguments is a format in quotes. */
#define OK(condition, ...) test_ok((condition), TEST_HERE, #condition " is false", " " __VA_ARGS__)

#define EQ_INT(want, got, ...)                                                                    \
    do {                                                                                          \
        intmax_t test_want = (intmax_t)(want), test_got = (intmax_t)(got);                        \
        char test_text[TEST_TEXT_MAX];                                                            \
        if (test_want != test_got) {                                                              \
            snprintf(test_text, sizeof(test_text),                                                \
                     "%s: want %" PRIdMAX " (0x%" PRIxMAX "), got %" PRIdMAX " (0x%" PRIxMAX ")", \
                     #got, test_want, (uintmax_t)test_want, test_got, (uintmax_t)test_got);       \
            test_ok(false, TEST_HERE, test_text, " " __VA_ARGS__);                                \
        }                                                                                         \
    } while (0)

#define EQ_PTR(want, got, ...)                                                             \
    do {                                                                                   \
        const void *test_want = (want), *test_got = (got);                                 \
        char test_text[TEST_TEXT_MAX];                                                     \
        if (test_want != test_got) {                                                       \
            snprintf(test_text, sizeof(test_text), "%s: want %p, got %p", #got, test_want, \
                     test_got);                                                            \
            test_ok(false, TEST_HERE, test_text, " " __VA_ARGS__);                         \
        }                                                                                  \
    } while (0)

/* NULL is equal to NULL alone. */
#define EQ_STR(want, got, ...)                                                                  \
    do {                                                                                        \
        const char *test_want = (want), *test_got = (got);                                      \
        char test_text[TEST_TEXT_MAX];                                                          \
        bool test_null = test_want == NULL || test_got == NULL;                                 \
        if (test_null ? test_want != test_got : strcmp(test_want, test_got) != 0) {             \
            snprintf(test_text, sizeof(test_text), "%s: want \"%.180s\", got \"%.180s\"", #got, \
                     test_want != NULL ? test_want : "(null)",                                  \
                     test_got != NULL ? test_got : "(null)");                                   \
            test_ok(false, TEST_HERE, test_text, " " __VA_ARGS__);                              \
        }                                                                                       \
    } while (0)

/* What a test that ends in its midst calls before, to give back what it has of the library's beside
 * loops and pollers; NULL: nothing any more. */
TEST_MAYBE_UNUSED static void test_on_leave(void (*fn)(void *arg), void *arg)
{
    test_state.on_leave = fn;
    test_state.on_leave_arg = arg;
}

/* Ends the test in its midst. */
_Noreturn TEST_MAYBE_UNUSED static void test_leave(void)
{
    if (test_state.on_leave != NULL)
        test_state.on_leave(test_state.on_leave_arg);
    test_leaving(test_state.skip != NULL);
    longjmp(test_state.leave, 1);
}

#define REQUIRE(condition, ...)          \
    do {                                 \
        if (!OK(condition, __VA_ARGS__)) \
            test_leave();                \
    } while (0)

_Noreturn TEST_MAYBE_UNUSED static void test_skip(const char *reason)
{
    test_state.skip = reason;
    test_leave();
}

#define SKIP(reason) test_skip(reason)

/* ---- helpers ----------------------------------------------------------------------------- */

/* How much longer things may take here (valgrind, a slow machine): TEST_TIME_SCALE, else 1. */
TEST_MAYBE_UNUSED static int test_time_scale(void)
{
    const char *text = getenv("TEST_TIME_SCALE");
    int scale = text != NULL ? atoi(text) : 1;
    return scale > 0 ? scale : 1;
}

/* As many; or as few, where the row runs again and again and another call fails each time: of calls
 * that are alike each has its turn, so that thousands would take days and say what dozens say. */
TEST_MAYBE_UNUSED static int test_many(int many, int few)
{
    return test_is_repeated() ? few : many;
}

/* Whether the kernel performs operations for that backend, so that the host table is not asked to
 * receive, send and accept. */
TEST_MAYBE_UNUSED static bool test_kernel_performs(const char *backend)
{
    vigil_feature first = { 0 };
    return vigil_backend_features(backend, &first, 1) > 0 && first.found;
}

/* Whether this kernel has a feature of io_uring, by the name that `vigil backends` tells. */
TEST_MAYBE_UNUSED static bool test_kernel_has(const char *name)
{
    vigil_feature found[32];
    int count = vigil_backend_features("io_uring", found, 32);
    for (int i = 0; i < count && i < 32; i++)
        if (strcmp(found[i].name, name) == 0)
            return found[i].found;
    return false;
}

/* Ends a row with the sizes of buffers that the kernel fills bit by bit, where it has none such. */
TEST_MAYBE_UNUSED static void test_needs_incremental(const char *backend)
{
    if (test_kernel_performs(backend) && !test_kernel_has("incremental buffers"))
        SKIP("this kernel's io_uring fills each buffer once, and they are smaller");
}

/* What a connection may have been brought at once, beside what it asked for: the buffers that the
 * kernel has of a loop, held in memory that doubled as it grew. */
enum { TEST_BURST_MAX = 1 << 20 };
TEST_MAYBE_UNUSED static size_t test_burst(const char *backend)
{
    return test_kernel_performs(backend) ? TEST_BURST_MAX : 0;
}

/* Ends a row that cannot hold under what TEST_UNDER names: "qemu-user", which translates system
 * calls and passes them on. */
TEST_MAYBE_UNUSED static void test_not_under(const char *name, const char *why)
{
    const char *under = getenv("TEST_UNDER");
    if (under != NULL && strcmp(under, name) == 0)
        SKIP(why);
}

/* Ends a row that hands descriptors above 1024 to the call, or to the backend, of that name where
 * select(2) has no such numbers: qemu-user dies of them in a set of its own. */
TEST_MAYBE_UNUSED static void test_needs_large_sets(const char *name)
{
    if (strcmp(name, "select") == 0)
        test_not_under("qemu-user", "qemu-user ends at descriptor 1024 in select(2)");
}

/* An allocator that counts what lives, checks the sizes it is told, and can be made to fail. */
struct test_allocator {
    vigil_allocator allocator;
    size_t blocks, bytes; /* now */
    size_t calls;         /* so far, that asked for memory */
    size_t fail_after;    /* calls that succeed before the others fail; SIZE_MAX: none fails */
};

union test_block { /* stands before each block */
    size_t size;
    max_align_t align;
};

TEST_MAYBE_UNUSED static void *test_allocator_resize(void *ctx, void *old, size_t old_size,
                                                     size_t new_size)
{
    struct test_allocator *counting = ctx;
    union test_block *block = old != NULL ? (union test_block *)old - 1 : NULL;
    if (block != NULL && block->size != old_size) {
        fprintf(stderr, "# a block of %zu bytes was given back as %zu\n", block->size, old_size);
        test_state.test_failures++;
        old_size = block->size;
    }
    if (new_size > 0) {
        if (counting->calls++ >= counting->fail_after)
            return NULL;
        block = test_memory(block, block != NULL ? sizeof(*block) + old_size : 0,
                            sizeof(*block) + new_size);
        if (block == NULL)
            return NULL;
        block->size = new_size;
        counting->blocks += old == NULL;
    } else {
        if (block != NULL)
            block = test_memory(block, sizeof(*block) + old_size, 0);
        counting->blocks -= old != NULL;
    }
    counting->bytes += new_size - (old != NULL ? old_size : 0);
    return block != NULL ? block + 1 : NULL;
}

/* Initialises `counting`; pass &counting->allocator on. */
TEST_MAYBE_UNUSED static const vigil_allocator *test_counting_allocator(
    struct test_allocator *counting)
{
    *counting = (struct test_allocator){ .allocator = { test_allocator_resize, counting },
                                         .fail_after = SIZE_MAX };
    return &counting->allocator;
}

/* Everything that was taken has been given back. */
#define OK_ALLOCATOR_EMPTY(counting)                                                          \
    OK((counting)->blocks == 0 && (counting)->bytes == 0, "%zu blocks of %zu bytes are left", \
       (counting)->blocks, (counting)->bytes)

/* ---- running ----------------------------------------------------------------------------- */

enum { TEST_SECONDS = 60 };

/* Tells of each descriptor that is open now and was not before, or the other way round. */
static void test_compare_fds(const unsigned char *before)
{
    static unsigned char after[TEST_FDS_MAX];
    test_note_fds(after);
    for (int fd = 0; fd < TEST_FDS_MAX; fd++) {
        if (before[fd] == after[fd])
            continue;
        char target[256] = "";
        test_name_fd(fd, target, sizeof(target));
        fprintf(stderr, "# descriptor %d %s %s\n", fd, after[fd] ? "was left open:" : "was closed",
                target);
        test_state.test_failures++;
    }
}

static void test_too_long(int signo)
{
    (void)signo;
    static const char text[] = "\nBail out! time limit of ";
    test_write_out(text, sizeof(text) - 1);
    test_write_out(test_state.title, strlen(test_state.title));
    test_write_out("\n", 1);
    _exit(1);
}

/* Ends a row on a backend that this machine does not have.  Any other failure to open it is for the
 * row to find. */
static void test_needs_backend(const char *backend)
{
    static const char *last;
    static int status;
    if (last != backend)
        status = vigil_backend_try(last = backend);
    if (status == VIGIL_ENOTSUP)
        SKIP("this backend is not to be had here");
}

struct test_trial {
    const struct test *test;
    const char *backend;
};

static void test_try(void *arg)
{
    static unsigned char before[TEST_FDS_MAX];
    const struct test_trial *trial = arg;
    test_state.test_failures = 0;
    test_state.skip = NULL;
    test_on_leave(NULL, NULL);
    test_begin(test_skip);
    test_note_fds(before);
    test_limit_time((unsigned)(TEST_SECONDS * test_time_scale()), test_too_long);
    if (setjmp(test_state.leave) == 0) {
        if (trial->backend == NULL) {
            trial->test->run();
        } else {
            test_needs_backend(trial->backend);
            trial->test->run_on(trial->backend);
        }
    }
    test_limit_time(0, test_too_long);
    if (test_state.skip == NULL)
        test_compare_fds(before);
    test_state.test_failures += test_end();
}

static void test_run_one(const struct test *test, const char *backend, const char *program)
{
    struct test_trial trial = { test, backend };
    int failures = test_repeat(program, test_state.title, test_try, &trial, &test_state.skip);
    bool passed = test_state.test_failures + failures == 0;
    test_state.failed += !passed;
    printf("%s %d - %s", passed ? "ok" : "not ok", ++test_state.number, test_state.title);
    if (test_state.skip != NULL)
        printf(" # SKIP %s", test_state.skip);
    printf("\n");
}

/* Whether the arguments ask for the test whose title is in test_state. */
static bool test_is_asked(const struct test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], test->name) == 0 || strcmp(argv[i], test_state.title) == 0)
            return true;
    return argc <= 1;
}

/* A kernel ends a ring of io_uring some time after it was closed, and interrupts a call of the
 * thread that used it.  So rows on that backend come behind all the others. */
static bool test_leaves_rings(const char *backend)
{
    return strcmp(backend, "io_uring") == 0;
}

/* Whether VIGIL_TEST_BACKEND names a backend of this library, or nothing: else no row would run,
 * and none fail. */
static bool test_backend_is_known(void)
{
    const char *only = getenv("VIGIL_TEST_BACKEND");
    bool known = only == NULL || only[0] == '\0';
    for (size_t i = 0; !known && vigil_backend_name(i) != NULL; i++)
        known = strcmp(only, vigil_backend_name(i)) == 0;
    if (!known)
        printf("Bail out! there is no backend %s\n", only);
    return known;
}

static void test_run_on_backends(const struct test *test, bool rings, int argc, char **argv)
{
    const char *only = getenv("VIGIL_TEST_BACKEND");
    const char *backend;
    for (size_t i = 0; (backend = vigil_backend_name(i)) != NULL; i++) {
        if (only != NULL && only[0] != '\0' && strcmp(only, backend) != 0)
            continue;
        if (test_leaves_rings(backend) != rings)
            continue;
        snprintf(test_state.title, sizeof(test_state.title), "%s [%s]", test->name, backend);
        if (test_is_asked(test, argc, argv))
            test_run_one(test, backend, argv[0]);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, TEST_BUFFERING, 0);
    setvbuf(stderr, NULL, TEST_BUFFERING, 0);
    if (!test_backend_is_known())
        return 2;
    for (const struct test *test = test_state.first; test != NULL; test = test->next) {
        if (test->run_on != NULL) {
            test_run_on_backends(test, false, argc, argv);
            continue;
        }
        snprintf(test_state.title, sizeof(test_state.title), "%s", test->name);
        if (test_is_asked(test, argc, argv))
            test_run_one(test, NULL, argv[0]);
    }
    for (const struct test *test = test_state.first; test != NULL; test = test->next)
        if (test->run_on != NULL)
            test_run_on_backends(test, true, argc, argv);
    if (argc > 1 && test_state.number == 0) {
        printf("Bail out! no such test\n");
        return 2;
    }
    printf("1..%d\n", test_state.number);
    return test_state.failed == 0 ? 0 : 1;
}

#endif
