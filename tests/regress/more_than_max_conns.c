/* SPDX-License-Identifier: MIT
 *
 * more_than_max_conns.c -- a listener with a socket per family let in one more for each: the kernel
 * was asked for one newcomer on every socket at once.
 */
#include "conform/conn_rig.h"

static int client_inet6(uint16_t port)
{
    int fd = client_socket(AF_INET6);
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    to.sin6_addr.s6_addr[15] = 1;
    if (client_connect(fd, &to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int client_inet(uint16_t port)
{
    int fd = client_socket(AF_INET);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(client_connect(fd, &to, sizeof(to)) == 0, "%s", strerror(errno));
    return fd;
}

CONFORM(two_families_let_in_more_than_max_conns)
{
    struct rig rig;
    rig_open_loop(&rig, backend, NULL);
    rig.ops.eof = NULL;
    rig_listen(&rig, "tcp://localhost:0", &(vigil_listen_options){ .max_conns = 1 });
    int fd6 = client_inet6(rig.addr.port);
    if (fd6 < 0) {
        rig_close(&rig);
        SKIP("no IPv6 on this machine");
    }
    int fd4 = client_inet(rig.addr.port);
    rig_settle(&rig);
    EQ_INT(1, rig.opened);
    close(fd6);
    close(fd4);
    RIG_UNTIL(&rig, rig.closed == 2); /* one after the other */
    EQ_INT(2, rig.opened);
    rig_is_quiet(&rig);
    rig_close(&rig);
}
