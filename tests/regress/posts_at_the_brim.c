/* SPDX-License-Identifier: MIT
 *
 * posts_at_the_brim.c -- where as many posts waited as may, callbacks that each posted all that was
 * let in took the limit below nothing, which was read as no limit at all: more and more waited, and
 * behind the close of that loop a post was answered with 0 and never ran.
 */
#include "conform/loop_rig.h"

enum { WAITING_MAX = 65536 };

static vigil_remote *remote;
static int waiting, most, accepted, ran;

static void post_all_that_is_let_in(vigil_loop *loop, void *arg, int status);

static void post_all(void)
{
    while (vigil_post(remote, post_all_that_is_let_in, NULL) == 0) {
        accepted++;
        waiting++;
        most = waiting > most ? waiting : most;
    }
}

static void post_all_that_is_let_in(vigil_loop *loop, void *arg, int status)
{
    (void)loop, (void)arg;
    waiting--;
    ran++;
    if (status == 0)
        post_all();
}

static void begin(vigil_loop *loop, void *arg)
{
    (void)loop, (void)arg;
    post_all();
}

CONFORM(callbacks_that_post_at_the_brim_stay_within_it_and_the_close_holds)
{
    if (test_is_repeated())
        SKIP("so many posts take long, and each call fails in turn");
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    waiting = most = accepted = ran = 0;
    EQ_INT(0, vigil_remote_open(loop, &remote));
    EQ_INT(0, vigil_after(loop, 0, begin, NULL, NULL));
    for (int turn = 0; turn < 3; turn++)
        REQUIRE(vigil_loop_turn(loop, VIGIL_NOWAIT) >= 0);
    OK(most >= WAITING_MAX / 2, "%d waited: the limit was not met", most);
    OK(most <= WAITING_MAX, "%d waited", most);
    rig_close(&rig);
    EQ_INT(accepted, ran);
    for (int i = 0; i < 3; i++)
        EQ_INT(VIGIL_ECANCELED, vigil_post(remote, post_all_that_is_let_in, NULL));
    EQ_INT(accepted, ran);
    vigil_remote_drop(remote);
}
