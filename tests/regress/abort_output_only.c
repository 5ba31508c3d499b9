/* SPDX-License-Identifier: MIT
 *
 * abort_output_only.c -- the abort of a socket adopted for output alone: a reset, else it
 * looks like a good end.
 */
#include "conform/conn_rig.h"

static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct sockaddr *any = (struct sockaddr *)&at;
    socklen_t len = sizeof(at);
    int listening = client_socket(AF_INET);
    REQUIRE(bind(listening, any, len) == 0 && listen(listening, 1) == 0);
    REQUIRE(getsockname(listening, any, &len) == 0);
    fds[0] = client_socket(AF_INET);
    REQUIRE(connect(fds[0], any, len) == 0);
    fds[1] = accept(listening, NULL, NULL);
    REQUIRE(fds[1] >= 0);
    close(listening);
}

CONFORM(abort_of_a_socket_for_output_alone_sent_FIN)
{
    needs_resets();
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    int fds[2];
    tcp_pair(fds);
    vigil_conn conn;
    EQ_INT(0, rig_adopt(&rig, VIGIL_FD_NONE, fds[1], &conn));
    RIG_UNTIL(&rig, rig.opened == 1);
    EQ_INT(0, vigil_abort(rig.loop, conn));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(-2, rig_client_end(&rig, fds[0]));
    close(fds[0]);
    rig_close(&rig);
}
