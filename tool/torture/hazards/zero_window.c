/* SPDX-License-Identifier: MIT
 *
 * zero_window.c -- a client closes its window for a while, twice, and then goes on: it must be
 * waited for (RFC 1122, 4.2.2.17), and then everything comes.  A server that forgets what it could
 * not send, or that it wanted to send, loses some of it.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>
#include <inttypes.h>

#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define SHARE    4 /* one in so many of limits.stream_bytes */
#define SHORT_NS VIGIL_MS(50)
#define LOOK_NS  VIGIL_MS(5)

static void hold(struct torture *t, struct wire *wire, vigil_ns time);

static void run(struct torture *t)
{
    struct wire wire;
    char all[SHOWN_MAX];
    char time[SHOWN_MAX];
    const uint64_t size = payload_lines(t->limits.stream_bytes / SHARE);
    const vigil_ns began = torture_now();
    wire_open(&wire, t, WIRE_NARROW | WIRE_BYSTANDER);
    wire_send(&wire, size);
    while (!wires_stuck(&wire, 1) && torture_now() - began < t->limits.patience_ns &&
           drive_for(t, &wire, 1, LOOK_NS)) {
    }
    found_value(t, "taken_bytes", (int64_t)(wire.sent - wire_transit(&wire)));
    hold(t, &wire, t->limits.idle_ns);
    wire.read_goal = size / 2;
    while (wire.received < wire.read_goal && !wire.error && !wire.ended &&
           torture_now() - wire.moved < t->limits.patience_ns &&
           drive_for(t, &wire, 1, VIGIL_MS(1))) {
    }
    if (wire.ended)
        found_fail(t, "a clean end after %s of %s that had to come back",
                   show_bytes(all, wire.received), show_bytes(time, size));
    hold(t, &wire, SHORT_NS);
    wire.bystander = false;
    wire.read_goal = size;
    (void)drive(t, &wire, 1);
    wire_finish(&wire); /* not before: what an end does to the rest is half-close's affair */
    (void)drive(t, &wire, 1);
    found_value(t, "closed_window_ns", t->limits.idle_ns);
    found_value(t, "returned_bytes", (int64_t)wire.received);
    found_pass(t, "all of %s came back after a window that was closed for %s",
               show_bytes(all, wire.received), show_time(time, t->limits.idle_ns));
    wire_close(&wire);
}

/* Reads nothing for so long.  One that is reset meanwhile knows that it did not get all, and why is
 * the server's policy; an end that looks clean is another thing. */
static void hold(struct torture *t, struct wire *wire, vigil_ns time)
{
    char shown[SHOWN_MAX];
    (void)drive_for(t, wire, 1, time);
    wire->moved = torture_now();
    if (wire->error == EPROTO)
        found_fail(t, "a wrong byte came back at offset %" PRIu64, wire->received);
    else if (wire->error)
        found_skip(t, "resets a client that does not read for %s, by a policy of its own",
                   show_time(shown, t->limits.idle_ns));
}

const struct probe probe_zero_window = {
    .name = "zero-window",
    .hazard = "does not read until its window is closed, leaves it so, and reads on",
    .passes = "everything comes back",
    .needs = NEEDS_ANSWER | NEEDS_TCP,
    .run = run,
};
