/* SPDX-License-Identifier: MIT
 *
 * left_in_the_last_turn.c -- what the last turn of vigil_loop_run() sent and closed stayed here
 * until the loop was called again, which could be never: the peer waited.
 */
#include "conform/conn_rig.h"

static size_t answer_and_stop(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(3, vigil_send(rig->loop, conn, "bye", 3));
    vigil_loop_stop(rig->loop);
    return n;
}

CONFORM(an_answer_of_the_last_turn_was_not_sent)
{
    struct rig rig;
    char got[4] = "";
    rig_open(&rig, backend, NULL);
    rig.on_data = answer_and_stop;
    int fd = rig_client_opened(&rig);
    client_send(fd, "x");
    EQ_INT(0, vigil_loop_run(rig.loop));
    EQ_INT(3, client_peek(fd, got, 3)); /* a call of ours does not come between */
    EQ_STR("bye", got);
    close(fd);
    rig_close(&rig);
}

static size_t go(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(0, vigil_abort(rig->loop, conn));
    return n;
}

CONFORM(who_was_aborted_in_the_last_turn_saw_no_end)
{
    struct rig rig;
    int fds[2];
    char scratch[8];
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = go;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], NULL));
    client_send(fds[1], "x");
    EQ_INT(0, vigil_loop_run(rig.loop)); /* until nothing is left */
    EQ_INT(1, rig.closed);
    EQ_INT(0, client_peek(fds[1], scratch, sizeof(scratch)));
    close(fds[1]);
    rig_close(&rig);
}
