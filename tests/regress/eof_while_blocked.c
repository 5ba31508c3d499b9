/* SPDX-License-Identifier: MIT
 *
 * eof_while_blocked.c -- blocked, and unblocked as soon as its `data` returned: the end of input
 * was told before it was asked again, and what it held was dropped.
 */
#include "conform/conn_rig.h"

static size_t block_often(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    static const char block[5000];
    (void)p;
    if (++rig->number > 6)
        return n;
    EQ_INT(4096, vigil_send(rig->loop, conn, block, sizeof(block))); /* cut: leaves at once */
    return 0;
}

CONFORM(blocked_at_the_end_of_input_it_was_told_before_the_rest_was_offered)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .out_high = 4096 } });
    rig.ops.writable = NULL;
    rig.on_data = block_often;
    int fd = rig_client_opened(&rig);
    client_send(fd, "12345678");
    shutdown(fd, SHUT_WR);
    RIG_UNTIL(&rig, strstr(rig.log, "eof") != NULL);
    EQ_STR("data(8) data(8) data(8) data(8) data(8) data(8) data(8) eof", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}
