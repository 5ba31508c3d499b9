/* SPDX-License-Identifier: MIT
 *
 * removed_when_it_had_ended.c -- with many completions about, a watch was cancelled whose own had
 * come already: it was thrown away to make room, and then waited for, a second long.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "conform/loop_rig.h"

enum { WATCHES = 2000 };

static vigil_watch watches[WATCHES];
static bool heard[WATCHES];
static vigil_ns took;

static void cancel_another(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    (void)watch;
    (void)events;
    heard[(bool *)arg - heard] = true;
    for (int i = WATCHES - 1; i >= 0 && took == 0; i--) {
        if (heard[i])
            continue;
        vigil_ns began = now_ns();
        EQ_INT(0, vigil_watch_cancel(loop, watches[i]));
        took = now_ns() - began + 1;
        heard[i] = true;
    }
}

CONFORM(a_watch_was_cancelled_within_a_second)
{
    test_needs_large_sets(backend);
    struct rig rig;
    rig_open(&rig, backend);
    static int fds[WATCHES];
    memset(heard, 0, sizeof(heard));
    took = 0;
    fds[0] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < WATCHES; i++) {
        if (i > 0)
            fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        EQ_INT(0,
               vigil_on_ready(rig.loop, fds[i], VIGIL_IN, cancel_another, &heard[i], &watches[i]));
    }
    for (int turns = 0; turns < 100 && took == 0; turns++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(100)) >= 0);
    OK(took > 0 && took < VIGIL_MS(900) * test_time_scale(), "%lld ns", (long long)took);
    rig_close(&rig);
    for (int i = 0; i < WATCHES; i++)
        close(fds[i]);
}
