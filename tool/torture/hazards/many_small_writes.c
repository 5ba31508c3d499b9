/* SPDX-License-Identifier: MIT
 *
 * many_small_writes.c -- thousands of short messages on one connection: first each waits for the
 * answer to the last one, then nobody waits, and the answers pile up.  A server that counts or
 * queues messages runs out of what it has for them.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define ANSWERED 300 /* lines, each waits for the answer to the last one */
#define SHARE    16  /* one in so many of limits.stream_bytes, without waiting */

static void run(struct torture *t)
{
    struct wire wire;
    const vigil_ns began = torture_now();
    wire_open(&wire, t, WIRE_NARROW);
    wire.chunk_max = PAYLOAD_LINE;
    for (int i = 0; i < ANSWERED && torture_asks_on(t, began); i++) {
        wire_echo(&wire, PAYLOAD_LINE);
        (void)drive(t, &wire, 1);
    }
    wire.reluctant = true;
    wire_echo(&wire, payload_lines(t->limits.stream_bytes / SHARE));
    (void)drive(t, &wire, 1);
    wire_finish(&wire);
    (void)drive(t, &wire, 1);
    found_value(t, "writes_count", (int64_t)(wire.sent / PAYLOAD_LINE));
    found_value(t, "returned_bytes", (int64_t)wire.received);
    found_pass(t, "all of %lld writes came back", (long long)(wire.sent / PAYLOAD_LINE));
    wire_close(&wire);
}

const struct probe probe_many_small_writes = {
    .name = "many-small-writes",
    .hazard = "sends thousands of short messages, with and without waiting for the answers",
    .passes = "everything comes back",
    .needs = NEEDS_ANSWER,
    .run = run,
};
