/* SPDX-License-Identifier: MIT
 *
 * half_close.c -- a client sends all it has, then FIN, and reads slowly.  Its end of input says
 * that it sends no more, not that it does not want the rest (RFC 9293, 3.6: CLOSE means "I have no
 * more data to send"): a server that closes at once loses the tail.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../wire.h"
#include "hazards.h"

#define READ_PAUSE_NS VIGIL_US(200)

static void run(struct torture *t)
{
    struct wire wire;
    char all[SHOWN_MAX];
    wire_open(&wire, t, WIRE_NARROW);
    wire.reluctant = true;
    wire.read_max = 64 * 1024;
    wire.read_pause_ns = READ_PAUSE_NS;
    wire_echo(&wire, t->limits.stream_bytes);
    wire_finish(&wire);
    (void)drive(t, &wire, 1);
    found_value(t, "sent_bytes", (int64_t)wire.sent);
    found_value(t, "returned_bytes", (int64_t)wire.received);
    found_pass(t, "all of %s came back, and then a clean end", show_bytes(all, wire.received));
    wire_close(&wire);
}

const struct probe probe_half_close = {
    .name = "half-close",
    .hazard = "sends much, then FIN, and reads slowly",
    .passes = "everything comes back, and then a clean end",
    .needs = NEEDS_ANSWER,
    .run = run,
};
