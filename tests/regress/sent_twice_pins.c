/* SPDX-License-Identifier: MIT
 *
 * sent_twice_pins.c -- a message that `data` sent back twice held the whole buffer that it had come
 * in, 64 KiB for each few bytes of a peer that did not read: the second was taken for one that
 * passes through, though the first waited in front of it.
 */
#include "conform/conn_rig.h"

enum { SLOW = 20, MESSAGE = 10, EACH_MAX = 4096, FULL_AT_MOST = 1 << 18 };

static int times, answered;

static size_t send_back(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    for (int i = 0; i < times; i++)
        EQ_INT((int)n, vigil_send(rig->loop, conn, p, n));
    answered++;
    return n;
}

CONFORM(a_few_bytes_sent_back_several_times_pin_no_large_buffer)
{
    if (TEST_IN_WORLD)
        SKIP("sockets are never so full there");
    for (times = 1; times <= 3; times++) {
        struct rig rig;
        int fds[SLOW][2];
        rig_open_loop(&rig, backend, NULL);
        rig.on_data = send_back;
        answered = 0;
        for (int i = 0; i < SLOW; i++) {
            vigil_conn conn;
            vigil_conn_options options = { .ops = &rig.ops, .ctx = &rig };
            REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds[i]) == 0);
            REQUIRE(vigil_adopt(rig.loop, fds[i][0], fds[i][0], &options, &conn) == 0);
        }
        RIG_UNTIL(&rig, rig.opened == SLOW);
        REQUIRE(rig.closed == 0);
        for (int i = 0; i < SLOW; i++) {
            int filled = 0; /* no room for an answer */
            while (filled < FULL_AT_MOST &&
                   send(fds[i][0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
                filled++;
            REQUIRE(filled < FULL_AT_MOST);
            EQ_INT(MESSAGE, send(fds[i][1], "0123456789", MESSAGE, MSG_NOSIGNAL));
        }
        RIG_UNTIL(&rig, answered == SLOW);
        rig_settle(&rig);
        uint64_t memory = rig_stats(&rig).memory;
        OK(memory <= (uint64_t)SLOW * EACH_MAX, "sent %d times: %llu bytes for %d", times,
           (unsigned long long)memory, SLOW);
        for (int i = 0; i < SLOW; i++)
            close(fds[i][1]);
        rig_close(&rig);
    }
}
