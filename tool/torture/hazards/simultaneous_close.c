/* SPDX-License-Identifier: MIT
 *
 * simultaneous_close.c -- many clients end in one moment, each in its own way: the FIN alone, the
 * FIN and a close(2) behind it while the answer comes, the FIN and a reset behind it.  The server
 * finds several ends in one turn, closes where the other side has closed already (RFC 9293, 3.6),
 * and those that only sent their FIN must see a clean end.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>

#include "../observe.h"
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define AT_ONCE 24

static void crowd(struct torture *t);
static void end(struct wire *wire, size_t way);

static void run(struct torture *t)
{
    const uint64_t rounds = 2 + t->limits.connections / 100;
    const struct observed before = observe_now(t);
    const vigil_ns began = torture_now();
    uint64_t ended = 0;
    for (uint64_t i = 0; i < rounds && torture_goes_on(t, began); i++, ended += AT_ONCE)
        crowd(t);
    found_value(t, "connections", (int64_t)ended);
    observe_left(t, before, ended);
    found_pass(t, "%" PRIu64 " clients ended, %d at a time; who waited for the end saw it", ended,
               AT_ONCE);
}

static void crowd(struct torture *t)
{
    struct wire wires[AT_ONCE];
    wires_open(wires, AT_ONCE, t, 0, PAYLOAD_LINE);
    (void)drive(t, wires, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++)
        end(&wires[i], i % 3);
    (void)drive(t, wires, AT_ONCE);
    wires_close(wires, AT_ONCE);
}

static void end(struct wire *wire, size_t way)
{
    if (way == 1)
        wire_echo(wire, PAYLOAD_LINE);
    wire_finish(wire);
    wire_flush(wire);
    wire->bystander = way > 0;
    if (way == 1)
        wire_close(wire);
    else if (way == 2)
        wire_reset(wire);
}

const struct probe probe_simultaneous_close = {
    .name = "simultaneous-close",
    .hazard = "many end in one moment, some while the server closes, too",
    .passes = "lives, and who waits for the end sees it",
    .run = run,
};
