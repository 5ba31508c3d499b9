/* SPDX-License-Identifier: MIT
 *
 * offered_twice.c -- blocked for no longer than its own `data` took: the rest was offered twice to
 * a `data` that wants more.
 */
#include "conform/conn_rig.h"

static size_t block_then_want(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    static const char block[5000];
    (void)p;
    if (n < 8)
        return n == 6 ? 1 : 0; /* 6: uses one; 5: wants more */
    EQ_INT(4096, vigil_send(rig->loop, conn, block, sizeof(block))); /* cut: leaves at once */
    return 2;
}

CONFORM(unblocked_at_once_the_rest_was_offered_twice_to_who_wants_more)
{
    struct rig rig;
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .out_high = 4096 } });
    rig.ops.writable = NULL;
    rig.on_data = block_then_want;
    int fd = rig_client_opened(&rig);
    client_send(fd, "12345678");
    RIG_UNTIL(&rig, strstr(rig.log, "data(5)") != NULL);
    rig_settle(&rig);
    EQ_STR("data(8) data(6) data(5)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}
