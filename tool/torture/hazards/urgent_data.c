/* SPDX-License-Identifier: MIT
 *
 * urgent_data.c -- urgent bytes in the middle of a stream.  The system keeps one out of the way
 * (RFC 6093, 3.1), and tells who waits for exceptions.  Whether a server sends it back is its
 * own business; every byte around it must come back, and in order.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../observe.h"
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define ROUNDS   50
#define PIECE    (PAYLOAD_LINE * 8) /* bytes before and behind each urgent one */
#define WATCH_NS VIGIL_MS(150)

static void rest_check(struct torture *t);

static void run(struct torture *t)
{
    struct wire wire;
    const vigil_ns began = torture_now();
    wire_open(&wire, t, 0);
    wire_echo(&wire, PIECE);
    (void)drive(t, &wire, 1);
    for (int round = 0; round < ROUNDS && torture_asks_on(t, began); round++) {
        wire_urgent(&wire);
        wire_echo(&wire, PIECE);
        (void)drive(t, &wire, 1); /* in its turn: a second one would make the first a plain byte */
    }
    for (int round = 0; round < ROUNDS; round++) {
        wire_echo(&wire, PIECE);
        (void)drive_for(t, &wire, 1, VIGIL_US(100)); /* sent, but maybe not answered */
        wire_urgent(&wire);
    }
    (void)drive(t, &wire, 1);
    rest_check(t);
    wire_finish(&wire);
    (void)drive(t, &wire, 1);
    found_value(t, "urgent_sent_bytes", (int64_t)wire.urgent_sent);
    found_value(t, "urgent_returned_bytes", (int64_t)wire.urgent_back);
    found_value(t, "returned_bytes", (int64_t)wire.received);
    found_pass(t, "%lld urgent bytes did no harm to those around them (%lld came back)",
               (long long)wire.urgent_sent, (long long)wire.urgent_back);
    wire_close(&wire);
}

/* The last urgent byte stands unread: a loop that asks for exceptions, and never takes the byte,
 * comes back from each wait at once. */
static void rest_check(struct torture *t)
{
    if (found(t) || !t->process.pid)
        return;
    observe_rest(t);
    const int64_t percent = observe_cpu_percent(t, WATCH_NS);
    if (percent < 0)
        return;
    found_value(t, "idle_cpu_percent", percent);
    if (percent > (int64_t)t->limits.cpu_percent)
        found_fail(t, "uses %lld %% of a CPU over an urgent byte that it does not take",
                   (long long)percent);
}

const struct probe probe_urgent_data = {
    .name = "urgent-data",
    .hazard = "sends urgent bytes (MSG_OOB) between the others",
    .passes = "the others come back, and in order; it does not spin",
    .needs = NEEDS_TCP,
    .run = run,
};
