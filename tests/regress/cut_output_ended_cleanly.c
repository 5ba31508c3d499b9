/* SPDX-License-Identifier: MIT
 *
 * cut_output_ended_cleanly.c -- a connection that closed with output still queued, for a reason of
 * its own, ended with a FIN: the peer took the part for the whole.
 */
#include "conform/conn_rig.h"

enum { IN_MAX = 1024, OUTPUT = 1 << 20 };

static void sends_much(struct rig *rig, vigil_conn conn)
{
    static char much[OUTPUT];
    EQ_INT(0, vigil_conn_option(rig->loop, conn, VIGIL_SNDBUF, 16384));
    EQ_INT(0, vigil_send_all(rig->loop, conn, much, sizeof(much)));
}

static size_t wants_more(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig;
    (void)conn;
    (void)p;
    (void)n;
    return 0;
}

CONFORM(the_peer_of_a_cut_output_sees_a_reset)
{
    needs_resets();
    struct rig rig;
    static const char too_much[IN_MAX + 1];
    rig_open(&rig, backend,
             &(vigil_listen_options){ .limits = { .in_max = IN_MAX, .out_high = OUTPUT } });
    rig.on_open = sends_much;
    rig.on_data = wants_more;
    int fd = rig_client(&rig);
    int small = 4096;
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
    RIG_UNTIL(&rig, rig.opened == 1 && rig_info(&rig, rig.conn).bytes_out > 0);
    REQUIRE(send(fd, too_much, sizeof(too_much), MSG_NOSIGNAL) == (ssize_t)sizeof(too_much));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ELIMIT, rig.why);
    OK(rig_stats(&rig).dropped_out > 0, "nothing was cut: the row shows nothing");
    EQ_INT(-2, rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}
