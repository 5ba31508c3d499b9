/* SPDX-License-Identifier: MIT
 *
 * passed_on_and_out_of_memory.c -- in one callback a message was sent back whole, and then more
 * than there was memory for: with what was taken back out of the queue went the message, which was
 * still counted as queued, and what was to be sent was looked for where there was nothing.
 */
#include "conform/conn_rig.h"

enum { MORE = 200 << 10 };

static size_t answer_and_more(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    static char more[MORE];
    size_t sent = vigil_send(rig->loop, conn, p, n);
    if (rig->number++ == 0)
        EQ_INT(VIGIL_ENOMEM, vigil_send_all(rig->loop, conn, more, sizeof(more)));
    return sent;
}

CONFORM(what_was_passed_on_went_with_what_had_no_room)
{
    struct rig rig;
    char got[6] = "";
    if (test_kernel_performs(backend))
        SKIP("what is read lies in buffers of the kernel's, and there is memory for all");
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .memory_limit = 256 << 10 });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    rig.on_data = answer_and_more;
    int fd = rig_client_opened(&rig);
    for (int i = 0; i < 2; i++) {
        client_send(fd, "hello");
        rig_client_gets(&rig, fd, got, 5);
        EQ_STR("hello", got);
    }
    EQ_INT(10, rig_stats(&rig).bytes_out);
    EQ_INT(0, rig_info(&rig, rig.conn).queued);
    close(fd);
    rig_close(&rig);
}
