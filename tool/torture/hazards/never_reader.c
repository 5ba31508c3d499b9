/* SPDX-License-Identifier: MIT
 *
 * never_reader.c -- a client sends and never reads.  What the server cannot send back it must
 * either keep or not take: one that takes whatever comes has no bound to its memory.  The verdict
 * is about what it takes; its memory is told beside that, for what a process keeps of memory that
 * it has freed is no matter of bounds.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <stdio.h>

#include "../wire.h"
#include "hazards.h"

#define LOOK_NS     VIGIL_MS(50)
#define PATIENCES   3 /* one that takes a little now and then for so long is not decided */
#define GREW_LENGTH 80

static bool send_all(struct torture *t, struct wire *wire);
static uint64_t taken_of(const struct wire *wire);
static void memory_tell(struct torture *t, int64_t before, char grew[GREW_LENGTH]);

static void run(struct torture *t)
{
    struct wire wire;
    char taken[SHOWN_MAX];
    char quiet[SHOWN_MAX];
    char grew[GREW_LENGTH] = "";
    const struct torture_limits *limits = &t->limits;
    const int64_t before = t->process.pid ? process_memory(&t->process) : 0;
    wire_open(&wire, t, WIRE_NARROW | WIRE_BYSTANDER);
    wire_send(&wire, limits->appetite_bytes);
    const bool is_quiet = send_all(t, &wire);
    const uint64_t took = taken_of(&wire);
    found_value(t, "taken_bytes", (int64_t)took);
    if (t->process.pid)
        memory_tell(t, before, grew);
    (void)show_bytes(taken, took);
    (void)show_time(quiet, limits->quiet_ns);
    if (took >= limits->appetite_bytes)
        found_fail(t, "took %s from a client that does not read%s", taken, grew);
    else if (wire.error)
        found_skip(t, "closed the connection after %s: its appetite is not known", taken);
    else if (is_quiet)
        found_pass(t, "took %s, then nothing for %s%s", taken, quiet, grew);
    else
        found_skip(t, "took %s, and takes a little now and then", taken);
    wire_reset(&wire);
}

/* Until all was taken, or nothing was for a while: then it answers true. */
static bool send_all(struct torture *t, struct wire *wire)
{
    const vigil_ns began = torture_now();
    const vigil_ns enough = PATIENCES * t->limits.patience_ns + t->limits.quiet_ns;
    vigil_ns moved = began;
    uint64_t taken = 0;
    while (taken < t->limits.appetite_bytes && wire->error == 0 && torture_now() - began < enough &&
           drive_for(t, wire, 1, LOOK_NS)) {
        const uint64_t now_taken = taken_of(wire);
        if (now_taken == taken && torture_now() - moved >= t->limits.quiet_ns)
            return true;
        moved = now_taken != taken ? torture_now() : moved;
        taken = now_taken;
    }
    return false;
}

/* Without what is still in this system's own queue. */
static uint64_t taken_of(const struct wire *wire)
{
    const uint64_t transit = wire_transit(wire);
    return transit < wire->sent ? wire->sent - transit : 0;
}

static void memory_tell(struct torture *t, int64_t before, char grew[GREW_LENGTH])
{
    char from[SHOWN_MAX];
    char to[SHOWN_MAX];
    const int64_t after = process_memory(&t->process);
    found_value(t, "rss_before_bytes", before);
    found_value(t, "rss_after_bytes", after);
    if (before >= 0 && after >= 0)
        (void)snprintf(grew, GREW_LENGTH, " (its memory: %s, then %s)",
                       show_bytes(from, (uint64_t)before), show_bytes(to, (uint64_t)after));
}

const struct probe probe_never_reader = {
    .name = "never-reader",
    .hazard = "sends without end, and never reads",
    .passes = "takes a bounded amount, and then nothing",
    .needs = NEEDS_ANSWER,
    .run = run,
};
