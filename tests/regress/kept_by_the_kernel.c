/* SPDX-License-Identifier: MIT
 *
 * kept_by_the_kernel.c -- a loop was closed while the kernel would not give its operations back:
 * `close` did not run for their connections.
 */
#include "conform/conn_rig.h"
#include "poller/backend.h"

static bool stuck;

static int wait_or_not(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    return stuck ? VIGIL_ENOMEM : vigil__backend_io_uring.wait(self, records, cap, timeout_ns);
}

TEST(a_loop_that_closed_without_its_records_told_nobody)
{
    if (vigil_backend_try("io_uring") != 0 || !test_kernel_performs("io_uring"))
        SKIP("no operations of io_uring here");
    struct rig rig;
    struct vigil__backend failing = vigil__backend_io_uring;
    failing.wait = wait_or_not;
    const struct vigil__backend *const backends[] = { &failing, NULL };
    vigil_host host = *vigil__host_system();
    host.backends = backends;
    stuck = false;
    rig_open_loop(&rig, "io_uring", &(vigil_loop_options){ .host = &host });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    int fd = rig_client_opened(&rig);
    stuck = true;
    rig_close(&rig);
    EQ_STR("close(VIGIL_ECANCELED)", rig_take_log(&rig));
    close(fd);
}
