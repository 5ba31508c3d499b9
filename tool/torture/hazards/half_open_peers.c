/* SPDX-License-Identifier: MIT
 *
 * half_open_peers.c -- peers are gone without a word, as machines without power, so that their
 * connections stay open on the server's side alone (RFC 9293, 3.5.1).  It may keep them, but must
 * serve the others; and the peers once they are there again.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>

#include "../observe.h"
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define PEERS     32
#define OTHERS    10
#define SILENT_NS VIGIL_MS(50)
#define RETURN_NS VIGIL_S(1) /* without one more that is served */

static void vanish(struct torture *t, struct wire *wires);
static int64_t come_back(struct torture *t, struct wire *wires);

static void run(struct torture *t)
{
    struct wire wires[PEERS];
    const struct observed before = observe_now(t);
    vanish(t, wires);
    torture_sleep(t, SILENT_NS);
    const struct observed half_open = observe_now(t);
    (void)torture_pulses(t, OTHERS);
    const int64_t served = come_back(t, wires);
    found_value(t, "half_open_connections", PEERS);
    if (t->process.pid) {
        found_value(t, "descriptors_before", before.descriptors);
        found_value(t, "descriptors_half_open", half_open.descriptors);
        found_value(t, "descriptors_after", observe_now(t).descriptors);
    }
    found_value(t, "returned_and_served", served);
    found_pass(t, "%d peers vanished, %d others were served; %" PRId64 " came back and were served",
               PEERS, OTHERS, served);
}

/* Half of them while the server still has something to answer. */
static void vanish(struct torture *t, struct wire *wires)
{
    bool vanished = true;
    for (size_t i = 0; i < PEERS; i++) {
        wire_open(&wires[i], t, WIRE_OWN_PORT);
        if (i % 2 == 0)
            wire_echo(&wires[i], PAYLOAD_LINE);
    }
    (void)drive(t, wires, PEERS);
    for (size_t i = 0; i < PEERS; i++) {
        if (i % 2 == 1)
            wire_echo(&wires[i], PAYLOAD_LINE);
        wire_flush(&wires[i]);
        vanished = wire_vanish(&wires[i]) && vanished;
    }
    if (!vanished)
        found_skip(t, "to vanish without a FIN takes CAP_NET_ADMIN (tcp(7), TCP_REPAIR)");
}

/* Also after a finding, so that the server is not left with them.  Answers how many were served:
 * what stands between here and the server may see to it that none is. */
static int64_t come_back(struct torture *t, struct wire *wires)
{
    int64_t served = 0;
    for (size_t i = 0; i < PEERS; i++) {
        wire_return(&wires[i]);
        wire_echo(&wires[i], PAYLOAD_LINE);
        wire_finish(&wires[i]);
    }
    vigil_ns moved = torture_now();
    while (served < PEERS && torture_now() - moved < RETURN_NS &&
           drive_for(t, wires, PEERS, VIGIL_MS(5))) {
        int64_t now = 0;
        for (size_t i = 0; i < PEERS; i++)
            now += wire_done(&wires[i]);
        moved = now > served ? torture_now() : moved;
        served = now;
    }
    for (size_t i = 0; i < PEERS; i++) {
        if (!wires[i].ended)
            wire_reset(&wires[i]);
        wire_close(&wires[i]);
    }
    return served;
}

const struct probe probe_half_open_peers = {
    .name = "half-open-peers",
    .hazard = "peers are gone without FIN or reset",
    .passes = "serves the others, and the peers when they are back",
    .needs = NEEDS_TCP,
    .run = run,
};
