/* SPDX-License-Identifier: MIT
 *
 * turn_of_sends.c -- a turn in which nothing but sends ran, and they took long: bytes that moved at
 * its end were stamped with its beginning, and their connection was idle too early.
 */
#include "conform/conn_rig.h"
#include "sys/host.h"

static vigil_ns clock_ns, send_takes;
static vigil_ns last_moved;

static vigil_ns read_clock(void *self)
{
    (void)self;
    return clock_ns;
}

static int slow_send(void *self, vigil_fd fd, const void *p, size_t n)
{
    int res = vigil__host_system()->send(self, fd, p, n);
    if (res > 0) {
        clock_ns += send_takes;
        last_moved = clock_ns;
    }
    return res;
}

enum { PAIRS = 5, MUCH = 1 << 20 };

CONFORM(bytes_that_moved_at_the_end_of_a_long_turn_were_old)
{
    static char bytes[MUCH], got[MUCH];
    if (test_kernel_performs(backend))
        SKIP("the kernel sends");
    struct rig rig;
    vigil_host host = *vigil__host_system();
    int fds[PAIRS][2];
    vigil_conn conns[PAIRS];
    host.now = read_clock;
    host.send = slow_send;
    clock_ns = VIGIL_S(1000);
    send_takes = 0;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .host = &host });
    for (int i = 0; i < PAIRS; i++) {
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds[i]) == 0);
        vigil_conn_options o = { .ops = &rig.ops,
                                 .ctx = &rig,
                                 .limits = { .idle_ns = VIGIL_S(1) } };
        REQUIRE(vigil_adopt(rig.loop, fds[i][0], fds[i][0], &o, &conns[i]) == 0);
    }
    RIG_UNTIL(&rig, rig.opened == PAIRS);
    for (int i = 0; i < PAIRS; i++)
        EQ_INT(0, vigil_send_owned(rig.loop, conns[i], bytes, MUCH, NULL, NULL));
    for (int i = 0; i < 5; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    for (int i = 0; i < PAIRS; i++) /* all have room again */
        while (recv(fds[i][1], got, sizeof(got), MSG_DONTWAIT) > 0)
            ;
    send_takes = VIGIL_MS(400);
    EQ_INT(0, vigil_loop_turn(rig.loop, VIGIL_NOWAIT), "no callback");
    OK(clock_ns - VIGIL_S(1000) == PAIRS * send_takes, "%lld ns", (long long)clock_ns);
    send_takes = 0;
    for (int i = 0; i < 5; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_NOWAIT) >= 0);
    EQ_INT(0, rig.closed, "%s: %d ms behind its last byte", vigil_err_name(rig.why),
           (int)((clock_ns - last_moved) / 1000000));
    for (int i = 0; i < PAIRS; i++)
        close(fds[i][1]);
    rig_close(&rig);
}
