/* SPDX-License-Identifier: MIT
 *
 * opened_before_connected.c -- a wait that told a connecting socket to be ready without a reason
 * made the connection open: there was no error, and nobody asked whether there was a peer.
 */
#include "conform/conn_rig.h"
#include "sys/host.h"

/* Connects only in its own time: until then the socket is as one that nobody connected. */
static int connects_later(void *self, vigil_fd fd, const vigil_addr *addr)
{
    (void)self;
    (void)fd;
    (void)addr;
    return -200; /* VIGIL__EAGAIN: under way */
}

CONFORM(a_connect_told_to_be_over_too_early_goes_on)
{
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.connect = connects_later;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    vigil_conn conn;
    EQ_INT(0, rig_connect(&rig, rig.where, NULL, &conn));
    for (int i = 0; i < 5; i++) /* poll(2) says of such a socket: writable, hung up */
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
    EQ_INT(0, rig.opened);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(rig.addr.port) };
    memcpy(&to.sin_addr, rig.addr.ip, 4);
    int fd = (int)vigil_conn_fd(rig.loop, conn);
    REQUIRE(client_connect(fd, &to, sizeof(to)) == 0 || errno == EINPROGRESS);
    RIG_UNTIL(&rig, rig.opened == 2); /* both ends */
    rig_close(&rig);
}
