/* SPDX-License-Identifier: MIT
 *
 * fd_for_another_thread.c -- a loop that was opened by one thread and embedded by another had no
 * descriptor there: io_uring refused the thread.
 */
#include <poll.h>
#include <pthread.h>

#include "conform/loop_rig.h"

static int found;

static void *ask(void *loop)
{
    found = vigil_loop_fd(loop);
    return NULL;
}

CONFORM(a_loop_that_was_handed_over_had_no_descriptor)
{
    struct rig rig;
    rig_open(&rig, backend);
    int here = vigil_loop_fd(rig.loop);
    rig_close(&rig);
    if (here == VIGIL_ENOTSUP)
        SKIP("it has none");
    rig_open(&rig, backend);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, ask, rig.loop) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    OK(found >= 0, "%s", vigil_strerror(found));
    rig_close(&rig);
}
