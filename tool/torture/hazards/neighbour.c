/* SPDX-License-Identifier: MIT
 *
 * neighbour.c -- four clients misbehave, and others must not notice.  First they do not read: a
 * server that waits until it can send to them serves nobody else.  Then they send without a pause:
 * one that reads a client until nothing is there stays with it for ever.  Then they come by the
 * byte.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define HOSTILE     4 /* wires behind the two that must be served */
#define WIRES       (2 + HOSTILE)
#define ROUNDS      10
#define MESSAGE     (PAYLOAD_LINE * 64)
#define NO_END      ((uint64_t)1 << 40)
#define BYTE_EVERY  VIGIL_MS(1)
#define LOOK_NS     VIGIL_MS(5)
#define DRIBBLE_LEN ((uint64_t)PAYLOAD_LINE * 64)

enum { NEWCOMER, RESIDENT, FIRST_HOSTILE };

static void one_after_the_other(struct torture *t, struct wire *wires);
static void do_not_read(struct torture *t, struct wire *wires, vigil_ns *worst);
static void flood(struct torture *t, struct wire *wires, vigil_ns *worst);
static void dribble(struct torture *t, struct wire *wires, vigil_ns *worst);
static void serve_others(struct torture *t, struct wire *wires, vigil_ns *worst);
static void hostile_open(struct torture *t, struct wire *wires, unsigned flags);
static void hostile_end(struct torture *t, struct wire *wires, vigil_ns *worst);
static bool hostile_gone(const struct wire *wires);

static void run(struct torture *t)
{
    struct wire *wires = wires_new(t, WIRES);
    if (wires)
        one_after_the_other(t, wires);
    wires_free(wires, WIRES);
}

static void one_after_the_other(struct torture *t, struct wire *wires)
{
    vigil_ns waits[3] = { 0 };
    char times[3][SHOWN_MAX];
    wire_open(&wires[RESIDENT], t, 0);
    do_not_read(t, wires, &waits[0]);
    found_while(t, "while others do not read");
    flood(t, wires, &waits[1]);
    found_while(t, "while others flood");
    dribble(t, wires, &waits[2]);
    found_while(t, "while others dribble");
    wire_finish(&wires[RESIDENT]);
    (void)drive(t, wires, WIRES);
    found_value(t, "worst_while_unread_ns", waits[0]);
    found_value(t, "worst_while_flooded_ns", waits[1]);
    found_value(t, "worst_while_dribbled_ns", waits[2]);
    for (size_t i = 0; i < 3; i++)
        (void)show_time(times[i], waits[i]);
    found_pass(t, "others waited at most %s (unread), %s (flood), %s (dribble)", times[0], times[1],
               times[2]);
}

/* For as long as the server takes what they send, and when it takes no more. */
static void do_not_read(struct torture *t, struct wire *wires, vigil_ns *worst)
{
    const vigil_ns enough = torture_now() + t->limits.patience_ns;
    hostile_open(t, wires, WIRE_NARROW);
    for (size_t i = FIRST_HOSTILE; i < WIRES; i++)
        wire_send(&wires[i], payload_lines(t->limits.appetite_bytes / HOSTILE));
    do {
        serve_others(t, wires, worst);
    } while (!wires_stuck(&wires[FIRST_HOSTILE], HOSTILE) && torture_now() < enough &&
             drive_for(t, wires, WIRES, LOOK_NS));
    serve_others(t, wires, worst);
    hostile_end(t, wires, worst);
}

static void flood(struct torture *t, struct wire *wires, vigil_ns *worst)
{
    const vigil_ns began = torture_now();
    hostile_open(t, wires, 0);
    for (size_t i = FIRST_HOSTILE; i < WIRES; i++)
        wire_echo(&wires[i], NO_END);
    for (int round = 0; round < ROUNDS && torture_asks_on(t, began); round++)
        serve_others(t, wires, worst);
    hostile_end(t, wires, worst);
}

static void dribble(struct torture *t, struct wire *wires, vigil_ns *worst)
{
    const vigil_ns began = torture_now();
    hostile_open(t, wires, WIRE_NARROW);
    for (size_t i = FIRST_HOSTILE; i < WIRES; i++) {
        wires[i].chunk_max = wires[i].read_max = 1;
        wires[i].send_pause_ns = wires[i].read_pause_ns = BYTE_EVERY;
        wire_echo(&wires[i], DRIBBLE_LEN);
    }
    for (int round = 0; round < ROUNDS && torture_asks_on(t, began); round++) {
        (void)drive_for(t, wires, WIRES, BYTE_EVERY);
        serve_others(t, wires, worst);
    }
    hostile_end(t, wires, worst);
}

/* One that is there already, and one that comes. */
static void serve_others(struct torture *t, struct wire *wires, vigil_ns *worst)
{
    wire_echo(&wires[RESIDENT], MESSAGE);
    (void)drive_newcomer(t, wires, WIRES, MESSAGE, worst);
}

static void hostile_open(struct torture *t, struct wire *wires, unsigned flags)
{
    for (size_t i = FIRST_HOSTILE; i < WIRES; i++)
        wire_open(&wires[i], t, flags | WIRE_BYSTANDER);
}

/* They send no more, take what comes, and leave in order: that they reset is another hazard. */
static void hostile_end(struct torture *t, struct wire *wires, vigil_ns *worst)
{
    const vigil_ns began = torture_now();
    for (size_t i = FIRST_HOSTILE; i < WIRES; i++) {
        struct wire *wire = &wires[i];
        wire->send_goal = wire->sent;
        wire->read_goal = t->mode == MODE_DISCARD ? 0 : wire->sent;
        wire->read_max = 0;
        wire->read_pause_ns = 0;
        wire_finish(wire);
    }
    while (!hostile_gone(wires) && torture_now() - began < t->limits.patience_ns &&
           drive_for(t, wires, WIRES, LOOK_NS))
        serve_others(t, wires, worst);
    wires_close(&wires[FIRST_HOSTILE], HOSTILE);
}

static bool hostile_gone(const struct wire *wires)
{
    bool gone = true;
    for (size_t i = FIRST_HOSTILE; i < WIRES; i++)
        gone = gone && (wires[i].ended || wires[i].error);
    return gone;
}

const struct probe probe_neighbour = {
    .name = "neighbour",
    .hazard = "some clients do not read, then flood, then dribble, while others want an answer",
    .passes = "the others are served all the same",
    .run = run,
};
