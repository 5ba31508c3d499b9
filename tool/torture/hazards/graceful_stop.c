/* SPDX-License-Identifier: MIT
 *
 * graceful_stop.c -- last of all the server is told to end, by the signal that was named, while
 * clients that read slowly have not got all their answers.  What it has taken it answers; then it
 * ends, and does not wait for clients that have nothing more to say.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "../observe.h"
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define CLIENTS       4
#define READ_MAX      ((size_t)32 * 1024)
#define READ_PAUSE_NS VIGIL_MS(1)
#define GOODBYE_NS    VIGIL_MS(20)

static uint64_t talk(struct torture *t, struct wire *wires);
static void stop(struct torture *t);
static void listen_to_the_end(struct torture *t, struct wire *wires);

static void run(struct torture *t)
{
    struct wire wires[CLIENTS];
    char waiting[SHOWN_MAX];
    char patience[SHOWN_MAX];
    if (!t->process.accepts) {
        found_skip(t, "a child of this process accepts: give that one as --pid");
        return;
    }
    const uint64_t outstanding = talk(t, wires);
    found_value(t, "clients", CLIENTS);
    found_value(t, "outstanding_bytes", (int64_t)outstanding);
    observe_rest(t);
    stop(t);
    const vigil_ns stopped = torture_now();
    listen_to_the_end(t, wires);
    wires_close(wires, CLIENTS);
    if (!found(t) && !observe_end(t))
        found_fail(t, "answered everything, and has not ended for %s since",
                   show_time(patience, t->limits.patience_ns));
    found_value(t, "stop_ns", torture_now() - stopped);
    found_pass(t, "%s were under way and came back; then it ended",
               show_bytes(waiting, outstanding));
}

/* Until the server's system has all that was sent, and as much as it can hold of the answers is
 * still there: of two clients most in the system's queues, of two in the server. */
static uint64_t talk(struct torture *t, struct wire *wires)
{
    uint64_t outstanding = 0;
    const uint64_t lines = t->limits.stream_bytes / CLIENTS / 2 / PAYLOAD_LINE + 1;
    for (size_t i = 0; i < CLIENTS; i++) {
        wire_open(&wires[i], t, i % 2 == 0 ? WIRE_NARROW : 0);
        wires[i].holding = wires[i].reluctant = true;
        wire_echo(&wires[i], lines * PAYLOAD_LINE);
    }
    (void)drive(t, wires, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++)
        outstanding += wires[i].read_goal - wires[i].received;
    return outstanding;
}

static void stop(struct torture *t)
{
    if (!found(t) && !*t->interrupted && kill(t->process.pid, t->signal) < 0)
        found_skip(t, "its process may not be signalled: %s", strerror(errno));
}

/* What is behind the last byte is no finding: each side may be the first to end. */
static void listen_to_the_end(struct torture *t, struct wire *wires)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        wires[i].holding = false;
        wires[i].read_max = READ_MAX;
        wires[i].read_pause_ns = READ_PAUSE_NS;
        wires[i].moved = torture_now();
    }
    (void)drive(t, wires, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) {
        wires[i].bystander = true;
        wire_finish(&wires[i]);
    }
    (void)drive_for(t, wires, CLIENTS, GOODBYE_NS);
}

const struct probe probe_graceful_stop = {
    .name = "graceful-stop",
    .hazard = "is told to end while answers are under way",
    .passes = "sends them, and then ends",
    .needs = NEEDS_PID | NEEDS_SIGNAL | ENDS_SERVER,
    .run = run,
};
