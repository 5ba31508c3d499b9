/* SPDX-License-Identifier: MIT
 *
 * fd_exhaustion.c -- more clients come than the server has descriptors for: its limit is lowered
 * to what it has open and a few more.  accept(2) then answers EMFILE, and the listener stays
 * readable: a server that only tries again spins.  Who waits in the backlog must be served when
 * others leave, unless the server closes him at once.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>

#include "../observe.h"
#include "../payload.h"
#include "../starve.h"
#include "../wire.h"
#include "hazards.h"

#define SPARE         8  /* descriptors that the server gets, */
#define CLIENTS       40 /* and those who come */
#define MORE          32 /* of them than a limit that cannot be lowered */
#define STUCK_NS      VIGIL_MS(100)
#define WINDOW_NS_MAX VIGIL_S(2)

struct tally {
    size_t served;
    size_t shed; /* closed without an answer */
    size_t left; /* done with, in one way or the other */
};

static bool starve(struct torture *t, uint64_t limit, size_t count);
static struct tally clients_stuck(struct torture *t, struct wire *wires, size_t count);
static void cpu_check(struct torture *t);
static void clients_leave(struct torture *t, struct wire *wires, size_t count);
static struct tally tally_of(const struct wire *wires, size_t count);

/* io_uring's accept has the limit that was there when it was asked for, however often it answers:
 * such a server is out of descriptors when it has as many as it may have had at first. */
static void run(struct torture *t)
{
    struct starving starving;
    if (!t->process.accepts) {
        found_skip(t, "a child of this process accepts: give that one as --pid");
        return;
    }
    (void)observe_now(t); /* it has closed what the last probe left */
    const char *fault = starve_begin(&starving, &t->process, SPARE);
    if (fault) {
        found_skip(t, "%s", fault);
        return;
    }
    bool starved = starve(t, starving.now, CLIENTS);
    starve_end(&starving);
    const uint64_t more = starving.before - (starving.now - SPARE) + MORE;
    if (!starved && starving.before > starving.now && more <= t->limits.connections + 100)
        starved = starve(t, starving.before, (size_t)more);
    if (!starved && !*t->interrupted)
        found_skip(t,
                   "a new limit does not concern it, and its own is %" PRIu64
                   " (try it under ulimit -n %" PRIu64 ")",
                   starving.before, t->limits.connections);
    (void)torture_pulses(t, CLIENTS);
    found_pass(t, "rests without descriptors, and serves when it has some again");
}

/* Answers whether it was out of descriptors, and finds out what it did then.  A server that
 * answers nothing does not tell whom it has accepted. */
static bool starve(struct torture *t, uint64_t limit, size_t count)
{
    bool starved = false;
    struct wire *wires = wires_new(t, count);
    if (!wires)
        return false;
    wires_open(wires, count, t, WIRE_BYSTANDER, PAYLOAD_LINE);
    const struct tally tally = clients_stuck(t, wires, count);
    if (t->mode == MODE_DISCARD)
        starved = process_own_descriptors(&t->process) + 1 >= (int64_t)limit;
    else if (tally.served == 0)
        found_skip(t, "serves none of %zu with %d descriptors left", count, SPARE);
    else
        starved = tally.served < count;
    if (starved) {
        found_value(t, "descriptors_limit", (int64_t)limit);
        found_value(t, "clients", (int64_t)count);
        found_value(t, "clients_served_at_first", (int64_t)tally.served);
        found_value(t, "clients_shed_at_first", (int64_t)tally.shed);
        cpu_check(t);
        clients_leave(t, wires, count);
    }
    wires_free(wires, count);
    return starved;
}

/* Until nobody else is served or closed, and the server does nothing: the others wait. */
static struct tally clients_stuck(struct torture *t, struct wire *wires, size_t count)
{
    struct tally tally = { 0 };
    vigil_ns moved = torture_now();
    vigil_ns patience = t->mode == MODE_DISCARD ? STUCK_NS : t->limits.patience_ns;
    while (tally.served < count && torture_now() - moved < patience &&
           drive_for(t, wires, count, VIGIL_MS(10))) {
        const struct tally now = tally_of(wires, count);
        if (now.served + now.shed > tally.served + tally.shed) {
            moved = torture_now();
            patience = STUCK_NS; /* it has begun */
        }
        tally = now;
    }
    observe_rest(t);
    (void)drive_for(t, wires, count, VIGIL_MS(10));
    return tally_of(wires, count);
}

static void cpu_check(struct torture *t)
{
    const vigil_ns window = t->limits.idle_ns / 2;
    const int64_t percent = observe_cpu_percent(t, window < WINDOW_NS_MAX ? window : WINDOW_NS_MAX);
    found_value(t, "cpu_percent", percent);
    if (percent < 0)
        found_skip(t, "the system does not tell how much CPU it uses (proc(5), schedstat)");
    else if (percent > (int64_t)t->limits.cpu_percent)
        found_fail(t, "uses %" PRId64 " %% of a CPU while it is out of descriptors", percent);
}

/* Those who were served leave, by which the others get their turn; they have said all they will,
 * too. */
static void clients_leave(struct torture *t, struct wire *wires, size_t count)
{
    vigil_ns moved = torture_now();
    size_t left = 0;
    char patience[SHOWN_MAX];
    for (size_t i = 0; i < count; i++)
        wire_finish(&wires[i]);
    while (left < count && torture_now() - moved < t->limits.patience_ns &&
           drive_for(t, wires, count, VIGIL_MS(5))) {
        const size_t now = tally_of(wires, count).left;
        if (now > left)
            moved = torture_now();
        left = now;
    }
    if (left < count)
        found_fail(t, "%zu who waited are not served for %s, though others have left", count - left,
                   show_time(patience, t->limits.patience_ns));
}

static struct tally tally_of(const struct wire *wires, size_t count)
{
    struct tally tally = { 0 };
    for (size_t i = 0; i < count; i++) {
        const bool over = wires[i].ended || wires[i].error;
        const bool served = wires[i].read_goal > 0 && wires[i].received >= wires[i].read_goal;
        tally.served += served;
        tally.shed += over && !served;
        tally.left += over || wire_done(&wires[i]);
    }
    return tally;
}

const struct probe probe_fd_exhaustion = {
    .name = "fd-exhaustion",
    .hazard = "more clients than the server has descriptors",
    .passes = "rests, and serves who waited when others have left",
    .needs = NEEDS_PID,
    .run = run,
};
