/* SPDX-License-Identifier: MIT
 *
 * eof_behind_a_failed_send.c -- output failed when the end of input had been seen and not been told
 * yet: `eof` ran all the same, where vigil.h says that `close` tells why and no `eof` comes before.
 */
#include "conform/conn_rig.h"
#include "sys/host.h"

static int sends;

static int full_then_failed(void *self, vigil_fd fd, const void *p, size_t n)
{
    (void)self, (void)fd, (void)p, (void)n;
    return sends++ == 0 ? VIGIL__EAGAIN : VIGIL_ENOBUFS;
}

static void answer(struct rig *rig, vigil_conn conn)
{
    EQ_INT(0, vigil_send_all(rig->loop, conn, "answer", 6));
}

/* Both in one report: the end of input, which is looked at first, and room for output. */
CONFORM(eof_ran_behind_a_send_that_had_failed)
{
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.send = full_then_failed;
    if (test_kernel_performs(backend))
        SKIP("the kernel sends");
    sends = 0;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    rig.on_open = answer;
    int fd = rig_client(&rig);
    REQUIRE(shutdown(fd, SHUT_WR) == 0);
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_STR("open close(VIGIL_ENOBUFS)", rig_take_log(&rig));
    close(fd);
    rig_close(&rig);
}
