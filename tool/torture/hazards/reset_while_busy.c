/* SPDX-License-Identifier: MIT
 *
 * reset_while_busy.c -- clients reset while the server sends to them.  Its next send(2) answers
 * ECONNRESET and the one after that EPIPE, which comes with a SIGPIPE that ends a process without
 * MSG_NOSIGNAL (send(2)); and what was queued for them must go, with the descriptor.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>

#include "../observe.h"
#include "../wire.h"
#include "hazards.h"

#define AT_ONCE     20
#define STEP_BYTES  ((uint64_t)24 * 1024) /* each client sends so much more than the one before */
#define BURST_BYTES ((uint64_t)128 * 1024)
#define BUSY_NS     VIGIL_MS(20)

static uint64_t crowd(struct torture *t);

static void run(struct torture *t)
{
    const uint64_t rounds = 1 + t->limits.connections / 200;
    const struct observed before = observe_now(t);
    const vigil_ns began = torture_now();
    uint64_t reset = 0;
    uint64_t outstanding = 0;
    for (uint64_t i = 0; i < rounds && torture_goes_on(t, began); i++, reset += AT_ONCE)
        outstanding += crowd(t);
    found_value(t, "resets", (int64_t)reset);
    found_value(t, "outstanding_bytes", (int64_t)outstanding);
    observe_left(t, before, reset);
    found_pass(t, "%" PRIu64 " clients reset with their answers under way", reset);
}

/* Some read a little before, and some send once more right before: then the server finds input,
 * answers it, and finds the reset in the middle of that.  Answers how many bytes were still to
 * come. */
static uint64_t crowd(struct torture *t)
{
    struct wire wires[AT_ONCE];
    uint64_t outstanding = 0;
    wires_open(wires, AT_ONCE, t, WIRE_NARROW, 0);
    (void)drive(t, wires, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++) {
        wires[i].bystander = true; /* a server may have had enough of it before */
        wires[i].holding = i % 3 != 0;
        wires[i].reluctant = true;
        wire_echo(&wires[i], (i + 1) * STEP_BYTES);
    }
    (void)drive_for(t, wires, AT_ONCE, BUSY_NS);
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (i % 2 == 0)
            wire_echo(&wires[i], BURST_BYTES);
        wire_flush(&wires[i]);
        outstanding += wires[i].sent - wires[i].received;
        wire_reset(&wires[i]);
    }
    return outstanding;
}

const struct probe probe_reset_while_busy = {
    .name = "reset-while-busy",
    .hazard = "resets while the server answers",
    .passes = "lives, and closes what was reset",
    .run = run,
};
