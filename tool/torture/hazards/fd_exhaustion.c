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
#define STUCK_NS      VIGIL_MS(100)
#define WINDOW_NS_MAX VIGIL_S(2)

struct tally {
    int served;
    int shed; /* closed without an answer */
    int left; /* done with, in one way or the other */
};

static void starve(struct torture *t, const struct starving *starving);
static void clients_open(struct torture *t, struct wire *wires, unsigned flags);
static struct tally clients_stuck(struct torture *t, struct wire *wires);
static bool starved(const struct torture *t, const struct starving *starving, struct tally tally);
static void clients_leave(struct torture *t, struct wire *wires);
static struct tally tally_of(const struct wire *wires);
static void clients_close(struct wire *wires);

static void run(struct torture *t)
{
    struct starving starving;
    struct wire wires[CLIENTS];
    (void)observe_now(t); /* it has closed what the last probe left */
    const char *fault = starve_begin(&starving, &t->process, SPARE);
    if (fault) {
        found_skip(t, "%s", fault);
        return;
    }
    starve(t, &starving);
    starve_end(&starving);
    clients_open(t, wires, 0);
    for (size_t i = 0; i < CLIENTS; i++)
        wire_finish(&wires[i]);
    (void)drive(t, wires, CLIENTS);
    clients_close(wires);
    found_pass(t, "rests without descriptors, and serves when it has some again");
}

static void starve(struct torture *t, const struct starving *starving)
{
    struct wire wires[CLIENTS];
    const vigil_ns window = t->limits.idle_ns / 2;
    clients_open(t, wires, WIRE_BYSTANDER);
    const struct tally tally = clients_stuck(t, wires);
    observe_rest(t);
    const int64_t percent = observe_cpu_percent(t, window < WINDOW_NS_MAX ? window : WINDOW_NS_MAX);
    found_value(t, "descriptors_limit", (int64_t)starving->now);
    found_value(t, "clients", CLIENTS);
    found_value(t, "served_at_first", tally.served);
    found_value(t, "shed_at_first", tally.shed);
    found_value(t, "cpu_percent", percent);
    if (!starved(t, starving, tally))
        found_skip(t, "is not out of descriptors: %d of %d served, with %d of them left for it",
                   tally.served, CLIENTS, SPARE);
    else if (percent > (int64_t)t->limits.cpu_percent)
        found_fail(t, "uses %" PRId64 " %% of a CPU while it is out of descriptors", percent);
    clients_leave(t, wires);
    clients_close(wires);
}

static void clients_open(struct torture *t, struct wire *wires, unsigned flags)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        wire_open(&wires[i], t, flags);
        wire_echo(&wires[i], PAYLOAD_LINE);
    }
}

/* Until nobody else is served or closed: the others wait. */
static struct tally clients_stuck(struct torture *t, struct wire *wires)
{
    struct tally tally = { 0 };
    vigil_ns moved = torture_now();
    vigil_ns patience = t->mode == MODE_DISCARD ? STUCK_NS : t->limits.patience_ns;
    while (torture_now() - moved < patience && drive_for(t, wires, CLIENTS, VIGIL_MS(10))) {
        const struct tally now = tally_of(wires);
        if (now.served + now.shed > tally.served + tally.shed) {
            moved = torture_now();
            patience = STUCK_NS; /* it has begun */
        }
        tally = now;
    }
    return tally;
}

/* A server that answers nothing does not tell whom it has accepted. */
static bool starved(const struct torture *t, const struct starving *starving, struct tally tally)
{
    if (t->mode == MODE_DISCARD)
        return process_own_descriptors(&t->process) + 1 >= (int64_t)starving->now;
    return tally.served > 0 && tally.served < CLIENTS;
}

/* Those who were served leave, by which the others get their turn; they have said all they will,
 * too. */
static void clients_leave(struct torture *t, struct wire *wires)
{
    vigil_ns moved = torture_now();
    int left = 0;
    char patience[SHOWN_MAX];
    for (size_t i = 0; i < CLIENTS; i++)
        wire_finish(&wires[i]);
    while (left < CLIENTS && torture_now() - moved < t->limits.patience_ns &&
           drive_for(t, wires, CLIENTS, VIGIL_MS(5))) {
        const int now = tally_of(wires).left;
        if (now > left)
            moved = torture_now();
        left = now;
    }
    if (left < CLIENTS)
        found_fail(t, "%d who waited are not served for %s, though others have left",
                   CLIENTS - left, show_time(patience, t->limits.patience_ns));
}

static struct tally tally_of(const struct wire *wires)
{
    struct tally tally = { 0 };
    for (size_t i = 0; i < CLIENTS; i++) {
        const bool over = wires[i].ended || wires[i].error;
        const bool served = wires[i].read_goal > 0 && wires[i].received >= wires[i].read_goal;
        tally.served += served;
        tally.shed += over && !served;
        tally.left += over || wire_done(&wires[i]);
    }
    return tally;
}

static void clients_close(struct wire *wires)
{
    for (size_t i = 0; i < CLIENTS; i++)
        wire_close(&wires[i]);
}

const struct probe probe_fd_exhaustion = {
    .name = "fd-exhaustion",
    .hazard = "more clients than the server has descriptors",
    .passes = "rests, and serves who waited when others have left",
    .needs = NEEDS_PID,
    .run = run,
};
