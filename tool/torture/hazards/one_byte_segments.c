/* SPDX-License-Identifier: MIT
 *
 * one_byte_segments.c -- TCP has no messages: one may come in as many pieces as it has bytes
 * (RFC 9293, 3.1), and be taken as slowly.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define ANSWERED (PAYLOAD_LINE * 4) /* bytes, of which each waits for the answer to the last one */
#define SHARE    1024               /* one in so many of limits.stream_bytes */

static void run(struct torture *t)
{
    struct wire wire;
    const vigil_ns began = torture_now();
    wire_open(&wire, t, 0);
    wire.chunk_max = wire.read_max = 1;
    for (size_t i = 0; i < ANSWERED && t->mode == MODE_ECHO && torture_asks_on(t, began); i++) {
        wire_echo(&wire, 1);
        (void)drive(t, &wire, 1);
    }
    wire_echo(&wire, payload_lines(t->limits.stream_bytes / SHARE));
    (void)drive(t, &wire, 1);
    wire_finish(&wire);
    (void)drive(t, &wire, 1);
    found_value(t, "sent_bytes", (int64_t)wire.sent);
    found_value(t, "returned_bytes", (int64_t)wire.received);
    if (t->mode == MODE_DISCARD)
        found_pass(t, "%lld segments of one byte were taken, then a clean end",
                   (long long)wire.sent);
    found_pass(t, "%lld segments of one byte each came back, then a clean end",
               (long long)wire.received);
    wire_close(&wire);
}

const struct probe probe_one_byte_segments = {
    .name = "one-byte-segments",
    .hazard = "sends and reads one byte at a time",
    .passes = "everything comes back, and then a clean end",
    .run = run,
};
