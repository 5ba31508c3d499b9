/* SPDX-License-Identifier: MIT
 *
 * blocked_in_max.c -- blocked with in_max bytes held, and unblocked as soon as its `data` returned:
 * it was closed with ELIMIT before it was asked again.
 */
#include "conform/conn_rig.h"

static size_t block_twice(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    static const char block[5000];
    (void)p;
    if (++rig->number > 2)
        return n;
    EQ_INT(4096, vigil_send(rig->loop, conn, block, sizeof(block))); /* cut: leaves at once */
    return 0;
}

CONFORM(blocked_with_in_max_bytes_held_was_closed_with_ELIMIT)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .out_high = 4096, .in_max = 8 } });
    rig.ops.writable = NULL;
    rig.on_data = block_twice;
    int fd = rig_client_opened(&rig);
    client_send(fd, "12345678");
    RIG_UNTIL(&rig, rig.number == 3 || rig.closed > 0);
    rig_settle(&rig);
    EQ_STR("data(8) data(8) data(8)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}
