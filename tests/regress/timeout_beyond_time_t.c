/* SPDX-License-Identifier: MIT
 *
 * timeout_beyond_time_t.c -- a timeout of more seconds than 31 bits hold, where time_t has 32: it
 * was refused or much too short.
 */
#include <sys/wait.h>

#include "test.h"

static const vigil_ns rows[] = { VIGIL_S(INT64_C(1) << 31), VIGIL_S(INT64_C(1) << 32),
                                 VIGIL_FOREVER - 1 };

/* A pipe that becomes readable when the wait has begun, most likely. */
struct late_pipe {
    int ends[2];
    pid_t writer;
};

static void late_pipe_open(struct late_pipe *late)
{
    REQUIRE(pipe(late->ends) == 0);
    late->writer = fork();
    REQUIRE(late->writer >= 0);
    if (late->writer == 0) {
        usleep(20000);
        _exit(write(late->ends[1], "x", 1) == 1 ? 0 : 1);
    }
}

static void late_pipe_close(struct late_pipe *late)
{
    int state = -1;
    EQ_INT(late->writer, waitpid(late->writer, &state, 0));
    EQ_INT(0, state);
    close(late->ends[0]);
    close(late->ends[1]);
}

TEST(a_call_waits_for_68_years_and_more)
{
    for (size_t i = 0; i < 2 * TEST_COUNT(rows); i++) {
        vigil_ns timeout = rows[i / 2];
        struct late_pipe late;
        late_pipe_open(&late);
        vigil_pollfd poll = { .fd = late.ends[0], .events = VIGIL_IN };
        vigil_fd ready;
        vigil_set in = { .fds = &late.ends[0], .count = 1, .ready = &ready };
        int n = i % 2 == 0 ? vigil_poll(&poll, 1, timeout) : vigil_select(&in, NULL, NULL, timeout);
        EQ_INT(1, n, "%s %lld ns", i % 2 == 0 ? "poll" : "select", (long long)timeout);
        late_pipe_close(&late);
    }
}

CONFORM(a_poller_waits_for_68_years_and_more)
{
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct late_pipe late;
        vigil_poller *poller;
        vigil_event event;
        vigil_reg reg;
        late_pipe_open(&late);
        REQUIRE(vigil_poller_open(&poller, backend) == 0);
        EQ_INT(0, vigil_poller_register(poller, late.ends[0], VIGIL_IN, 0, &reg));
        int n;
        do /* the end of the writer is a signal, which may end a wait */
            n = vigil_poller_wait(poller, &event, 1, rows[i]);
        while (n == 0);
        EQ_INT(1, n, "%lld ns", (long long)rows[i]);
        vigil_poller_close(poller);
        late_pipe_close(&late);
    }
}
