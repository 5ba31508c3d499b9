/* SPDX-License-Identifier: MIT
 *
 * accept_burst.c -- many clients connect at the same moment, more than a backlog may hold.  The
 * system drops those for whom there is no room, and they come again; those who are in must all be
 * accepted, and not only one for each time that the server is woken.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define AGAIN_NS \
    VIGIL_MS(200) /* a connect that was dropped is made anew: the system's wait grows */

static void burst(struct torture *t, struct wire *crowd, size_t count);
static void client_open(struct torture *t, struct wire *wire);
static size_t serve(struct torture *t, struct wire *crowd, size_t count);

static void run(struct torture *t)
{
    const size_t count = (size_t)t->limits.connections;
    struct wire *crowd = wires_new(t, count);
    if (crowd)
        burst(t, crowd, count);
    wires_free(crowd, count);
}

static void burst(struct torture *t, struct wire *crowd, size_t count)
{
    const vigil_ns began = torture_now();
    size_t left = count;
    int64_t again = 0;
    char time[SHOWN_MAX];
    for (size_t i = 0; i < count && !(i > 0 && crowd[i - 1].error); i++)
        client_open(t, &crowd[i]);
    for (vigil_ns moved = torture_now(); left > 0 && !found(t) && !*t->interrupted;) {
        const vigil_ns now = torture_now();
        const size_t before = left;
        left = serve(t, crowd, count);
        moved = left < before ? now : moved;
        if (now - moved >= t->limits.patience_ns)
            found_fail(t, "%zu of %zu clients are not served, and nobody was for %s", left, count,
                       show_time(time, t->limits.patience_ns));
        for (size_t i = 0; i < count && !found(t); i++) {
            if (!crowd[i].open && now - crowd[i].moved >= AGAIN_NS) {
                wire_close(&crowd[i]);
                client_open(t, &crowd[i]);
                again++;
            }
        }
    }
    (void)show_time(time, torture_now() - began);
    found_value(t, "clients_count", (int64_t)count);
    found_value(t, "served_count", (int64_t)(count - left));
    found_value(t, "connected_again_count", again);
    found_value(t, "last_served_ns", torture_now() - began);
    found_pass(t, "all %zu that came at once were served within %s", count, time);
}

/* A line; behind its answer, the end. */
static void client_open(struct torture *t, struct wire *wire)
{
    wire_open(wire, t, 0);
    wire_echo(wire, PAYLOAD_LINE);
}

/* Moves them for a little while.  Who was served goes; answers how many were not. */
static size_t serve(struct torture *t, struct wire *crowd, size_t count)
{
    size_t left = 0;
    (void)drive_for(t, crowd, count, VIGIL_MS(5));
    for (size_t i = 0; i < count; i++) {
        struct wire *wire = &crowd[i];
        left += !wire->finish || !wire_done(wire);
        if (!wire_done(wire))
            continue;
        if (wire->finish)
            wire_close(wire);
        else
            wire_finish(wire);
    }
    return left;
}

const struct probe probe_accept_burst = {
    .name = "accept-burst",
    .hazard = "many clients connect at the same moment",
    .passes = "every one of them is served",
    .run = run,
};
