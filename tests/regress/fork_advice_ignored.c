/* SPDX-License-Identifier: MIT
 *
 * fork_advice_ignored.c -- a system that accepts MADV_WIPEONFORK and does nothing, as qemu-user: a
 * forked child took itself for its parent.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "test.h"

/* Stands before the C library's: every advice is welcome, none is taken. */
int madvise(void *at, size_t len, int advice)
{
    (void)at, (void)len, (void)advice;
    return 0;
}

TEST(a_child_is_told_from_its_parent_where_advice_is_ignored)
{
    vigil_poller *poller;
    vigil_event event;
    REQUIRE(vigil_poller_open(&poller, NULL) == 0);
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT));
    int state = -1;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT) == VIGIL_EFORK ? 0 : 1);
    REQUIRE(waitpid(child, &state, 0) == child);
    EQ_INT(0, state, "the child's exit status");
    EQ_INT(0, vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT), "the parent goes on");
    vigil_poller_close(poller);
}
