/* SPDX-License-Identifier: MIT
 *
 * made_up_handle.c -- what `data` was offered was sent to a handle that nobody had given out, all
 * ones, by which the loop noted that there is no offer: it went to who had brought it, or nowhere,
 * and counted as sent.
 */
#include "conform/conn_rig.h"

static size_t send_to_nobody(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    for (uint64_t v = UINT64_MAX; v > UINT64_MAX - 4; v--) {
        rig_info(rig, conn);
        EQ_INT(0, vigil_send(rig->loop, (vigil_conn){ v }, p, n));
    }
    size_t sent = vigil_send(rig->loop, conn, p, n);
    for (uint64_t v = UINT64_MAX; v > UINT64_MAX - 4; v--)
        EQ_INT(0, vigil_send(rig->loop, (vigil_conn){ v }, p, n));
    return sent;
}

static size_t send_behind(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    size_t sent = vigil_send(rig->loop, conn, p, n);
    for (uint64_t v = UINT64_MAX; v > UINT64_MAX - 4; v--)
        EQ_INT(0, vigil_send(rig->loop, (vigil_conn){ v }, p, n));
    return sent;
}

CONFORM(what_was_offered_went_to_who_was_nobody)
{
    struct rig rig;
    char got[16] = "";
    rig_open(&rig, backend, NULL);
    int fd = rig_client_opened(&rig);
    rig.on_data = send_to_nobody;
    client_send(fd, "hello ");
    rig_client_gets(&rig, fd, got, 6);
    rig.on_data = send_behind;
    client_send(fd, "world");
    rig_client_gets(&rig, fd, got + 6, 5);
    EQ_STR("hello world", got);
    rig_settle(&rig);
    EQ_INT(-1, client_peek(fd, got, sizeof(got)), "nothing more comes");
    EQ_INT(11, rig_stats(&rig).bytes_out);
    close(fd);
    rig_close(&rig);
}
