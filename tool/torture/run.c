/* SPDX-License-Identifier: MIT
 *
 * run.c -- runs one probe: first whether it can be run at all, then its script, then whether the
 * server has survived it.  A server that has not fails the probe, whatever the script found.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <stdio.h>

#include "payload.h"
#include "wire.h"

static void needs_check(struct torture *t, unsigned needs);
static bool aftermath(struct torture *t);

bool torture_probe(struct torture *t, const struct probe *probe, struct finding *finding)
{
    const vigil_ns began = torture_now();
    bool well = true;
    *finding = (struct finding){ .verdict = VERDICT_NONE };
    t->finding = finding;
    t->random = t->limits.seed;
    needs_check(t, probe->needs);
    if (!found(t)) {
        probe->run(t);
        if (*t->interrupted) {
            finding->verdict = VERDICT_NONE;
            found_skip(t, "interrupted");
        } else if (!(probe->needs & ENDS_SERVER)) {
            well = aftermath(t);
        }
    }
    finding->took_ns = torture_now() - began;
    return well;
}

bool torture_pulse(struct torture *t)
{
    return torture_pulses(t, 1);
}

bool torture_pulses(struct torture *t, size_t count)
{
    struct wire *wires = wires_new(t, count);
    if (!wires)
        return false;
    wires_open(wires, count, t, 0, PAYLOAD_LINE);
    for (size_t i = 0; i < count && t->mode == MODE_DISCARD; i++)
        wire_finish(&wires[i]); /* the end is all that it answers */
    const bool served = drive(t, wires, count);
    wires_free(wires, count);
    return served;
}

static void needs_check(struct torture *t, unsigned needs)
{
    if (needs & NEEDS_ANSWER && t->mode == MODE_DISCARD)
        found_skip(t, "needs a server that answers (--mode discard)");
    else if (needs & NEEDS_TCP && t->target.addr.family == VIGIL_FAMILY_UNIX)
        found_skip(t, "needs TCP: a Unix socket has no such thing");
    else if (needs & NEEDS_PID && t->process.pid == 0)
        found_skip(t, "needs --pid, the server's process on this machine");
    else if (needs & NEEDS_SIGNAL && t->signal == 0)
        found_skip(t, "needs --signal, which ends the server");
}

/* Whether a client is served now; false: it is not, and the finding says so. */
static bool aftermath(struct torture *t)
{
    struct finding *finding = t->finding;
    struct finding pulse = { .verdict = VERDICT_NONE };
    t->finding = &pulse;
    const bool served = torture_pulse(t);
    t->finding = finding;
    if (served || *t->interrupted)
        return true;
    const bool died = t->process.pid && !process_lives(&t->process);
    const bool failed = finding->verdict == VERDICT_FAIL;
    char before[SEEN_MAX];
    (void)snprintf(before, sizeof before, "%s", finding->seen);
    finding->verdict = VERDICT_NONE;
    found_fail(t, "%s%s%s%s", failed ? before : "", failed ? "; " : "",
               died ? "the server has died of it" : "afterwards nobody is served: ",
               died ? "" : pulse.seen);
    return false;
}
