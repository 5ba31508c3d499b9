/* SPDX-License-Identifier: MIT
 *
 * loop_rig.h -- a loop whose memory is counted, and the callbacks and bounded waits that the tests
 * of layer 2 share.
 */
#ifndef LOOP_RIG_H
#define LOOP_RIG_H

#include "situations.h"

struct rig {
    struct test_allocator memory;
    vigil_loop *loop;
};

static vigil_loop *rig_open_with(struct rig *rig, const char *backend, vigil_loop_options options)
{
    options.backend = backend;
    options.allocator = test_counting_allocator(&rig->memory);
    EQ_INT(0, vigil_loop_open(&rig->loop, &options));
    REQUIRE(rig->loop != NULL);
    return rig->loop;
}

TEST_MAYBE_UNUSED static vigil_loop *rig_open(struct rig *rig, const char *backend)
{
    return rig_open_with(rig, backend, (vigil_loop_options){ 0 });
}

/* Closes the loop; nothing of it may be left. */
TEST_MAYBE_UNUSED static void rig_close(struct rig *rig)
{
    vigil_loop_close(rig->loop);
    OK_ALLOCATOR_EMPTY(&rig->memory);
}

/* Until when something that must come may take. */
TEST_MAYBE_UNUSED static vigil_ns in_the_end(void)
{
    return now_ns() + VIGIL_S(30) * test_time_scale();
}

/* Turns until `*counter` has reached `want`. */
TEST_MAYBE_UNUSED static void turns_until(vigil_loop *loop, const int *counter, int want)
{
    vigil_ns deadline = in_the_end();
    while (*counter < want) {
        REQUIRE(now_ns() < deadline, "there are %d of %d", *counter, want);
        REQUIRE(vigil_loop_turn(loop, VIGIL_MS(100)) >= 0);
    }
}

/* Some turns that do not wait: what is wrongly still to come would come. */
TEST_MAYBE_UNUSED static void turns_now(vigil_loop *loop, int turns)
{
    for (int i = 0; i < turns; i++)
        REQUIRE(vigil_loop_turn(loop, VIGIL_NOWAIT) >= 0);
}

TEST_MAYBE_UNUSED static vigil_stats stats_of(const vigil_loop *loop)
{
    vigil_stats stats;
    vigil_stats_get(loop, &stats);
    return stats;
}

TEST_MAYBE_UNUSED static vigil_ns cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return VIGIL_S(now.tv_sec) + now.tv_nsec;
}

TEST_MAYBE_UNUSED static void busy_for(vigil_ns duration)
{
    vigil_ns end = now_ns() + duration;
    while (now_ns() < end)
        continue;
}

/* Runs `fn` in another thread and waits for it. */
TEST_MAYBE_UNUSED static void *in_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    void *result = NULL;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    return result;
}

/* It must leave with 0. */
TEST_MAYBE_UNUSED static void wait_for_child(pid_t child)
{
    int state = 0;
    REQUIRE(child > 0);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    OK(WIFEXITED(state) && WEXITSTATUS(state) == 0, "it ended with 0x%x", (unsigned)state);
}

/* Runs `fn` in a child.  It must not use the harness. */
TEST_MAYBE_UNUSED static void in_child(int (*fn)(void *), void *arg)
{
    fflush(stdout); /* or the child's copy would be written too */
    pid_t child = fork();
    if (child == 0) {
        alarm(60); /* one that hangs is killed and counted */
        _exit(fn(arg));
    }
    wait_for_child(child);
}

/* ---- callbacks ---------------------------------------------------------------------------- */

TEST_MAYBE_UNUSED static void count_timer(vigil_loop *loop, void *arg)
{
    (void)loop;
    ++*(int *)arg;
}

TEST_MAYBE_UNUSED static void stop_timer(vigil_loop *loop, void *arg)
{
    (void)arg;
    vigil_loop_stop(loop);
}

TEST_MAYBE_UNUSED static void count_signal(vigil_loop *loop, int signo, void *arg)
{
    (void)loop, (void)signo;
    ++*(int *)arg;
}

TEST_MAYBE_UNUSED static void count_watch(vigil_loop *loop, vigil_watch watch, unsigned events,
                                          void *arg)
{
    (void)loop, (void)watch, (void)events;
    ++*(int *)arg;
}

TEST_MAYBE_UNUSED static void count_post(vigil_loop *loop, void *arg, int status)
{
    (void)loop, (void)status;
    ++*(int *)arg;
}

#endif
