/* SPDX-License-Identifier: MIT
 *
 * half_close.c -- a client sends all it has, then FIN, and reads slowly.  Its end of input says
 * that it sends no more, not that it does not want the rest (RFC 9293, 3.6: CLOSE means "I have no
 * more data to send"): a server that closes at once loses the tail.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define WIRES         4 /* each ends once, and the server must have some unsent at that moment */
#define READ_SIZE     ((size_t)16 * 1024)
#define READ_PAUSE_NS VIGIL_MS(2) /* 8 MB/s: slower than any server sends here */

static void run(struct torture *t)
{
    struct wire *wires = wires_new(t, WIRES);
    uint64_t sent = 0;
    uint64_t returned = 0;
    char all[SHOWN_MAX];
    for (size_t i = 0; wires && i < WIRES; i++) {
        wire_open(&wires[i], t, WIRE_NARROW);
        wires[i].reluctant = true;
        wires[i].read_max = READ_SIZE;
        wires[i].read_pause_ns = READ_PAUSE_NS;
        wire_echo(&wires[i], payload_lines(t->limits.stream_bytes / WIRES));
        wire_finish(&wires[i]);
    }
    (void)drive(t, wires, WIRES);
    for (size_t i = 0; wires && i < WIRES; i++) {
        sent += wires[i].sent;
        returned += wires[i].received;
    }
    found_value(t, "sent_bytes", (int64_t)sent);
    found_value(t, "returned_bytes", (int64_t)returned);
    found_pass(t, "all of %s came back, and then a clean end", show_bytes(all, returned));
    wires_free(wires, WIRES);
}

const struct probe probe_half_close = {
    .name = "half-close",
    .hazard = "sends much, then FIN, and reads slowly",
    .passes = "everything comes back, and then a clean end",
    .needs = NEEDS_ANSWER,
    .run = run,
};
