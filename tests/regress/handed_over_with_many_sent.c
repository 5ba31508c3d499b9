/* SPDX-License-Identifier: MIT
 *
 * handed_over_with_many_sent.c -- what was sent to more connections in one turn than io_uring has
 * places for completions was sent twice, when the next turn was another thread's: the completions
 * that the kernel kept for itself were lost with the ring.
 */
#include <pthread.h>

#include "conform/conn_rig.h"

enum { PEERS = 3000 };

static int peers[PEERS];
static vigil_conn conns[PEERS];

static void tell_all(vigil_loop *loop, void *arg)
{
    (void)arg;
    for (int i = 0; i < PEERS; i++)
        EQ_INT(1, vigil_send(loop, conns[i], "!", 1));
    vigil_loop_stop(loop);
}

static void *some_turns(void *rig)
{
    for (int i = 0; i < 100; i++)
        REQUIRE(vigil_loop_turn(((struct rig *)rig)->loop, VIGIL_NOWAIT) >= 0);
    return NULL;
}

CONFORM(to_many_and_handed_over_it_was_sent_twice)
{
    test_needs_large_sets(backend);
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.ops = (vigil_conn_ops){ 0 };
    for (int i = 0; i < PEERS; i++) {
        int fds[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        peers[i] = fds[1];
        EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], &conns[i]));
    }
    for (int i = 0; i < 100; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(0, vigil_after(rig.loop, 0, tell_all, NULL, NULL));
    EQ_INT(0, vigil_loop_run(rig.loop));
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, some_turns, &rig) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    int once = 0;
    for (int i = 0; i < PEERS; i++) {
        char got[4];
        once += client_peek(peers[i], got, sizeof(got)) == 1;
    }
    EQ_INT(PEERS, once);
    EQ_INT(PEERS, rig_stats(&rig).bytes_out);
    rig_close(&rig);
    for (int i = 0; i < PEERS; i++)
        close(peers[i]);
}
