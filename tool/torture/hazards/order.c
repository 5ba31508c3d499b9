/* SPDX-License-Identifier: MIT
 *
 * order.c -- what comes back must be what was sent, byte for byte (RFC 862), whatever the pieces
 * are.  Eight clients at once send pieces of random sizes without waiting for an answer, six of
 * them through small windows: what a server could not send at once waits beside what came since,
 * for several clients at the same time.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define READING 2 /* of the wires read at once; */
#define HOLDING 6 /* the others wait until the server takes no more of what they send */
#define WIRES   (READING + HOLDING)
#define LOOK_NS VIGIL_MS(5)

static const struct {
    unsigned flags;
    size_t chunk_max;
    size_t read_max;
    uint64_t share; /* one in so many of limits.stream_bytes */
} kinds[] = {
    { 0, 200000, 0, 4 },              /* pieces of all sizes */
    { WIRE_NARROW, 2000, 0, 4 },      /* small ones, */
    { WIRE_NARROW, 100000, 1000, 4 }, /* large ones that are read in small pieces, */
    { WIRE_TINY, 300, 0, 8 },         /* and through a window of two KiB */
};

static uint64_t all_begin(struct torture *t, struct wire *wires);
static void holding_fill(struct torture *t, struct wire *wires);

static void run(struct torture *t)
{
    struct wire *wires = wires_new(t, WIRES);
    char all[SHOWN_MAX];
    uint64_t returned = 0;
    uint64_t held = 0;
    if (wires) {
        held = all_begin(t, wires);
        (void)drive(t, wires, WIRES);
        for (size_t i = 0; i < WIRES; i++) {
            returned += wires[i].received;
            wire_finish(&wires[i]);
        }
        (void)drive(t, wires, WIRES);
    }
    found_value(t, "held_bytes", (int64_t)held);
    found_value(t, "returned_bytes", (int64_t)returned);
    found_pass(t, "%s came back to %d clients, every byte in its place", show_bytes(all, returned),
               WIRES);
    wires_free(wires, WIRES);
}

/* Until six have sent all that the server takes, and nothing is read by them; answers how much that
 * was.  Then they read, too. */
static uint64_t all_begin(struct torture *t, struct wire *wires)
{
    uint64_t held = 0;
    for (size_t i = 0; i < WIRES; i++) {
        const size_t kind = i < READING ? 0 : 1 + i % (sizeof kinds / sizeof kinds[0] - 1);
        const uint64_t size = payload_lines(t->limits.stream_bytes / kinds[kind].share);
        wire_open(&wires[i], t, kinds[kind].flags);
        wires[i].chunk_random = true;
        wires[i].chunk_max = kinds[kind].chunk_max;
        wires[i].read_max = kinds[kind].read_max;
        if (i < READING)
            wire_echo(&wires[i], size);
        else
            wire_send(&wires[i], size);
    }
    holding_fill(t, wires);
    for (size_t i = READING; i < WIRES; i++) {
        held += wires[i].sent;
        wires[i].read_goal = wires[i].send_goal;
        wires[i].moved = torture_now();
    }
    return held;
}

static void holding_fill(struct torture *t, struct wire *wires)
{
    const vigil_ns enough = torture_now() + t->limits.patience_ns;
    while (!wires_stuck(&wires[READING], HOLDING) && torture_now() < enough &&
           drive_for(t, wires, WIRES, LOOK_NS)) {
    }
}

const struct probe probe_order = {
    .name = "order",
    .hazard = "eight clients send pieces of random sizes, and read through small windows",
    .passes = "every byte comes back in its place",
    .needs = NEEDS_ANSWER,
    .run = run,
};
