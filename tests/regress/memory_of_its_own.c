/* SPDX-License-Identifier: MIT
 *
 * memory_of_its_own.c -- a receive that the system refused for want of memory spun: the buffer that
 * it gave back was taken for memory that has come, and so it was tried again at once.
 */
#include "conform/conn_rig.h"
#include "sys/host.h"

static int tries;

static int no_memory(void *self, vigil_fd fd, void *p, size_t n)
{
    (void)self, (void)fd, (void)p, (void)n;
    tries++;
    return VIGIL_ENOMEM;
}

CONFORM(a_receive_without_memory_was_tried_again_at_once)
{
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.recv = no_memory;
    if (test_kernel_performs(backend))
        SKIP("the kernel receives");
    tries = 0;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    int fd = rig_client_opened(&rig);
    client_send(fd, "hello");
    RIG_UNTIL(&rig, tries > 0);
    int before = tries;
    for (int i = 0; i < 100; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_US(100)) >= 0);
    OK(tries - before <= 50, "%d tries in 100 turns of 100 us", tries - before);
    close(fd);
    rig_close(&rig);
}
