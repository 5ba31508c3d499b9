/* SPDX-License-Identifier: MIT
 *
 * shutdown_then_reset.c -- clients send, then FIN, and reset while the answer still drains to
 * them.  A reset behind a FIN makes the very next send(2) answer EPIPE, with SIGPIPE unless it has
 * MSG_NOSIGNAL: the signal that ends most servers.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>

#include "../observe.h"
#include "../wire.h"
#include "hazards.h"

#define AT_ONCE     10
#define STEP_BYTES  ((uint64_t)64 * 1024) /* each client sends so much more than the one before */
#define SAID_NS     VIGIL_MS(500)         /* for all to be taken; else they are reset as they are */
#define BURST_BYTES ((uint64_t)16 * 1024) /* fits into the window, with the FIN behind it */

static uint64_t crowd(struct torture *t);
static void burst(struct torture *t);
static bool all_said(const struct wire *wires);

static void run(struct torture *t)
{
    const uint64_t rounds = 1 + t->limits.connections / 250;
    const struct observed before = observe_now(t);
    const vigil_ns began = torture_now();
    uint64_t ended = 0;
    uint64_t outstanding = 0;
    for (uint64_t i = 0; i < rounds && torture_goes_on(t, began); i++, ended += 2 * AT_ONCE) {
        outstanding += crowd(t);
        burst(t);
    }
    found_value(t, "resets", (int64_t)ended);
    found_value(t, "outstanding_bytes", (int64_t)outstanding);
    observe_left(t, before, ended);
    found_pass(t, "%" PRIu64 " clients reset behind their FIN, with answers under way", ended);
}

/* Answers how many bytes were still to come. */
static uint64_t crowd(struct torture *t)
{
    struct wire wires[AT_ONCE];
    uint64_t outstanding = 0;
    wires_open(wires, AT_ONCE, t, WIRE_NARROW, 0);
    (void)drive(t, wires, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++) {
        wires[i].bystander = true; /* what comes back is another probe's affair */
        wires[i].holding = wires[i].reluctant = true;
        wire_echo(&wires[i], (i + 1) * STEP_BYTES);
        wire_finish(&wires[i]);
    }
    const vigil_ns until = torture_now() + SAID_NS;
    while (!all_said(wires) && torture_now() < until &&
           drive_for(t, wires, AT_ONCE, VIGIL_MS(10))) {
    }
    observe_rest(t); /* it has seen the FIN of those whose rest fits into its queue */
    for (size_t i = 0; i < AT_ONCE; i++) {
        outstanding += wires[i].sent - wires[i].received;
        wire_reset(&wires[i]);
    }
    return outstanding;
}

/* The same before the server has read what was sent: it finds the reset while it answers, and has
 * not seen the FIN. */
static void burst(struct torture *t)
{
    struct wire wires[AT_ONCE];
    wires_open(wires, AT_ONCE, t, 0, 0);
    (void)drive(t, wires, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++) {
        wire_echo(&wires[i], BURST_BYTES + i * 2048);
        wire_finish(&wires[i]);
        wire_flush(&wires[i]);
        wire_reset(&wires[i]);
    }
}

static bool all_said(const struct wire *wires)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (!wire_done(&wires[i]) && wires[i].error == 0 && !wires[i].ended)
            return false;
    }
    return true;
}

const struct probe probe_shutdown_then_reset = {
    .name = "shutdown-then-reset",
    .hazard = "sends FIN, and resets while the answer drains",
    .passes = "lives, and closes what was reset",
    .run = run,
};
