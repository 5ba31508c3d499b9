/* SPDX-License-Identifier: MIT
 *
 * offered_again_for_epipe.c -- output that failed had what was held offered once more, to a `data`
 * that had left it because it wants more.
 */
#include "conform/conn_rig.h"

static size_t wants_ten(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig;
    (void)conn;
    (void)p;
    return n >= 10 ? n : 0;
}

CONFORM(who_wants_more_was_offered_the_same_when_output_failed)
{
    struct rig rig;
    int fds[2];
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = wants_ten;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], NULL));
    client_send(fds[1], "12345");
    RIG_UNTIL(&rig, strcmp(rig.log, "open data(5)") == 0);
    REQUIRE(shutdown(fds[1], SHUT_RD) == 0);
    EQ_INT(1, vigil_send(rig.loop, rig.conn, "!", 1));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("open data(5) close(VIGIL_ECONNRESET)", rig_take_log(&rig));
    close(fds[1]);
    rig_close(&rig);
}
