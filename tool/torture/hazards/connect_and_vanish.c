/* SPDX-License-Identifier: MIT
 *
 * connect_and_vanish.c -- thousands connect and leave at once, with a reset or a FIN, some before
 * accept(2) has them: then accept(2) may fail with ECONNABORTED (POSIX), or answer a descriptor
 * for which getpeername(2) has nothing to tell.  Neither is a reason to stop.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>

#include "../observe.h"
#include "../wire.h"
#include "hazards.h"

#define AT_ONCE 50

static uint64_t crowd(struct torture *t);

static void run(struct torture *t)
{
    const struct observed before = observe_now(t);
    const vigil_ns began = torture_now();
    uint64_t made = 0;
    uint64_t open = 0;
    while (made < t->limits.connections * 4 && torture_goes_on(t, began)) {
        open += crowd(t);
        made += AT_ONCE;
    }
    found_value(t, "connections", (int64_t)made);
    found_value(t, "left_later_connections", (int64_t)open);
    observe_left(t, before, made);
    found_pass(t, "%" PRIu64 " came and went, half of them at once", made);
}

/* Half of them go before the server can have seen them, the others when they are connected; one
 * behind them is served, so that a slow server has no more than these before it.  Answers how many
 * were connected. */
static uint64_t crowd(struct torture *t)
{
    struct wire wires[AT_ONCE];
    uint64_t open = 0;
    for (size_t i = 0; i < AT_ONCE; i++) {
        wire_open(&wires[i], t, WIRE_BYSTANDER);
        if (i % 4 == 0)
            wire_reset(&wires[i]);
        else if (i % 4 == 1)
            wire_close(&wires[i]);
    }
    (void)drive_for(t, wires, AT_ONCE, VIGIL_MS(1));
    for (size_t i = 0; i < AT_ONCE; i++) {
        open += wires[i].open && wires[i].fd >= 0;
        if (i % 4 == 2)
            wire_reset(&wires[i]);
        wire_close(&wires[i]);
    }
    (void)torture_pulse(t);
    return open;
}

const struct probe probe_connect_and_vanish = {
    .name = "connect-and-vanish",
    .hazard = "thousands connect and leave at once, some before they are accepted",
    .passes = "goes on accepting, and closes what has left",
    .run = run,
};
