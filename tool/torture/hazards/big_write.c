/* SPDX-License-Identifier: MIT
 *
 * big_write.c -- all of a long message in one write, as large as the system lets it be.  A server
 * that takes a message for what one read gives, or has room for so much only, loses the rest.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../wire.h"
#include "hazards.h"

static void run(struct torture *t)
{
    struct wire wire;
    char all[SHOWN_MAX];
    char largest[SHOWN_MAX];
    wire_open(&wire, t, WIRE_ROOMY);
    wire_echo(&wire, t->limits.stream_bytes);
    (void)drive(t, &wire, 1);
    wire_finish(&wire);
    (void)drive(t, &wire, 1);
    found_value(t, "returned_bytes", (int64_t)wire.received);
    found_value(t, "largest_write_bytes", (int64_t)wire.largest);
    found_pass(t, "all of %s came back, written by %s at a time", show_bytes(all, wire.received),
               show_bytes(largest, wire.largest));
    wire_close(&wire);
}

const struct probe probe_big_write = {
    .name = "big-write",
    .hazard = "sends much in a single write",
    .passes = "everything comes back",
    .needs = NEEDS_ANSWER,
    .run = run,
};
