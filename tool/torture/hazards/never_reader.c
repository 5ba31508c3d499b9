/* SPDX-License-Identifier: MIT
 *
 * never_reader.c -- a client sends and never reads.  What the server cannot send back it must
 * either keep or not take: one that takes whatever comes has no bound to its memory.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../wire.h"
#include "hazards.h"

static void run(struct torture *t)
{
    struct wire wire;
    char taken[SHOWN_MAX];
    char quiet[SHOWN_MAX];
    const struct torture_limits *limits = &t->limits;
    const int64_t before = t->process.pid ? process_memory(&t->process) : 0;
    wire_open(&wire, t, WIRE_BYSTANDER);
    wire_send(&wire, limits->appetite_bytes);
    while (wire.sent < limits->appetite_bytes && wire.error == 0 &&
           torture_now() - wire.moved < limits->quiet_ns && drive_for(t, &wire, 1, VIGIL_MS(50))) {
    }
    const int64_t after = t->process.pid ? process_memory(&t->process) : 0;
    found_value(t, "taken_bytes", (int64_t)wire.sent);
    if (t->process.pid) {
        found_value(t, "rss_before_bytes", before);
        found_value(t, "rss_after_bytes", after);
    }
    (void)show_bytes(taken, wire.sent);
    (void)show_time(quiet, limits->quiet_ns);
    if (wire.sent >= limits->appetite_bytes)
        found_fail(t, "took %s from a client that does not read", taken);
    else if (wire.error)
        found_skip(t, "closed the connection after %s: its appetite is not known", taken);
    else if (*t->interrupted == 0)
        found_pass(t, "took %s, then nothing for %s", taken, quiet);
    wire_reset(&wire);
}

const struct probe probe_never_reader = {
    .name = "never-reader",
    .hazard = "sends without end, and never reads",
    .passes = "takes a bounded amount, and then nothing",
    .needs = NEEDS_ANSWER,
    .run = run,
};
