/* SPDX-License-Identifier: MIT
 *
 * long_idle.c -- clients that say nothing for long, then something.  A server may have a limit for
 * that and close them; one that keeps them open must still listen.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>

#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define WIRES 4 /* every other one was served before */

static void wait_and_speak(struct torture *t, struct wire *wires);
static void closed_check(struct torture *t, const struct wire *wires, const char *when);
static bool unanswered(const struct wire *wires);

static void run(struct torture *t)
{
    struct wire *wires = wires_new(t, WIRES);
    for (size_t i = 0; wires && i < WIRES; i++) {
        wire_open(&wires[i], t, 0);
        if (i % 2 == 0)
            wire_echo(&wires[i], PAYLOAD_LINE);
    }
    (void)drive(t, wires, wires ? WIRES : 0);
    if (wires)
        wait_and_speak(t, wires);
    wires_free(wires, WIRES);
}

static void wait_and_speak(struct torture *t, struct wire *wires)
{
    char time[SHOWN_MAX];
    for (size_t i = 0; i < WIRES; i++)
        wires[i].bystander = wires[i].until_end = true; /* so that an early end is seen */
    (void)drive_for(t, wires, WIRES, t->limits.idle_ns);
    closed_check(t, wires, "is silent for");
    const vigil_ns spoke = torture_now();
    for (size_t i = 0; i < WIRES; i++)
        wire_echo(&wires[i], PAYLOAD_LINE);
    while (unanswered(wires) && drive_for(t, wires, WIRES, VIGIL_MS(1))) {
        if (torture_now() - spoke >= t->limits.patience_ns && unanswered(wires))
            found_fail(t, "a client that was silent for %s is not answered any more",
                       show_time(time, t->limits.idle_ns));
    }
    closed_check(t, wires, "speaks after a silence of");
    for (size_t i = 0; i < WIRES; i++) {
        wires[i].bystander = false;
        wire_finish(&wires[i]);
    }
    (void)drive(t, wires, WIRES);
    found_value(t, "silent_ns", t->limits.idle_ns);
    found_value(t, "answered_ns", torture_now() - spoke);
    found_pass(t, "all %d were answered after %s of silence", WIRES,
               show_time(time, t->limits.idle_ns));
}

/* Its limit may end just when a client speaks again. */
static void closed_check(struct torture *t, const struct wire *wires, const char *when)
{
    char time[SHOWN_MAX];
    for (size_t i = 0; i < WIRES; i++) {
        if (wires[i].error == EPROTO)
            found_fail(t, "a wrong byte came back after a long silence");
        else if (wires[i].error || wires[i].ended)
            found_skip(t, "closes a client that %s %s, by a policy of its own", when,
                       show_time(time, t->limits.idle_ns));
    }
}

static bool unanswered(const struct wire *wires)
{
    for (size_t i = 0; i < WIRES; i++) {
        const struct wire *wire = &wires[i];
        if (!wire->error && !wire->ended &&
            (wire->sent < wire->send_goal || wire->received < wire->read_goal))
            return true;
    }
    return false;
}

const struct probe probe_long_idle = {
    .name = "long-idle",
    .hazard = "says nothing for long, and then something",
    .passes = "answers as before",
    .run = run,
};
