/* SPDX-License-Identifier: MIT
 *
 * slow_loris.c -- clients that send a line by a few bytes at a time and do not come to its end.  A
 * server that waits for the rest of it serves nobody else.  One that closes such a client, by a
 * policy of its own, does well.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>

#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define SLOW        8 /* wires behind the one that must be served */
#define WIRES       (1 + SLOW)
#define PIECE       3 /* bytes: 63 are a line but its last byte, and take 21 pieces */
#define PIECES      ((PAYLOAD_LINE - 1) / PIECE)
#define NEWCOMER_NS VIGIL_MS(20) /* between two who want to be served */

static void be_slow(struct torture *t, struct wire *wires);
static void come_to_the_end(struct torture *t, struct wire *wires);
static bool unfinished(struct wire *wires);

static void run(struct torture *t)
{
    struct wire *wires = wires_new(t, WIRES);
    if (wires)
        be_slow(t, wires);
    if (wires)
        come_to_the_end(t, wires);
    wires_free(wires, WIRES);
}

static void be_slow(struct torture *t, struct wire *wires)
{
    const vigil_ns began = torture_now();
    vigil_ns worst = 0;
    int64_t served = 0;
    for (size_t i = 1; i < WIRES; i++) {
        wire_open(&wires[i], t, WIRE_BYSTANDER);
        wires[i].chunk_max = PIECE;
        wires[i].send_pause_ns = t->limits.idle_ns / PIECES;
        wires[i].until_end = true; /* so that it is seen if it comes early */
        wire_send(&wires[i], PAYLOAD_LINE - 1);
    }
    while (torture_now() - began < t->limits.idle_ns && drive_for(t, wires, WIRES, NEWCOMER_NS) &&
           drive_newcomer(t, wires, WIRES, PAYLOAD_LINE, &worst))
        served++;
    found_while(t, "while others send a line slowly");
    found_value(t, "slow_ns", torture_now() - began);
    found_value(t, "served_count", served);
    found_value(t, "worst_served_ns", worst);
}

/* Those that were not closed send the last byte, and want their answer. */
static void come_to_the_end(struct torture *t, struct wire *wires)
{
    const vigil_ns began = torture_now();
    unsigned closed = 0;
    char time[SHOWN_MAX];
    for (size_t i = 1; i < WIRES; i++) {
        wire_send(&wires[i], PAYLOAD_LINE - wires[i].send_goal);
        wires[i].read_goal = t->mode == MODE_DISCARD ? 0 : PAYLOAD_LINE;
        wires[i].send_pause_ns = 0;
    }
    while (unfinished(wires) && drive_for(t, wires, WIRES, VIGIL_MS(1))) {
        if (torture_now() - began >= t->limits.patience_ns && unfinished(wires))
            found_fail(t, "a line that was sent slowly is not answered within %s",
                       show_time(time, t->limits.patience_ns));
    }
    for (size_t i = 1; i < WIRES; i++) {
        if (wires[i].error == EPROTO)
            found_fail(t, "a wrong byte came back of a line that was sent slowly");
        closed += !wire_done(&wires[i]);
    }
    found_value(t, "closed_count", (int64_t)closed);
    (void)show_time(time, t->limits.idle_ns);
    if (closed > 0)
        found_pass(t, "others were served for %s; it closed %u of %d slow clients", time, closed,
                   SLOW);
    else
        found_pass(t, "others were served for %s, and the slow ones in the end", time);
}

/* Behind the answer, the end. */
static bool unfinished(struct wire *wires)
{
    bool some = false;
    for (size_t i = 1; i < WIRES; i++) {
        struct wire *wire = &wires[i];
        if (!wire->finish && wire->sent == PAYLOAD_LINE && wire->received >= wire->read_goal)
            wire_finish(wire);
        some = some || (!wire->error && !wire->ended);
    }
    return some;
}

const struct probe probe_slow_loris = {
    .name = "slow-loris",
    .hazard = "clients send a line by three bytes at a time, and do not come to its end",
    .passes = "others are served; the slow ones get their answer, or are closed",
    .run = run,
};
