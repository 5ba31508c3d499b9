/* SPDX-License-Identifier: MIT
 *
 * scenarios.c -- which scenarios there are; a world's first choice is which of them it plays.
 */
#include "sim/rig.h"

#include <string.h>

static const struct {
    const char *name;
    void (*play)(vigil_sim *sim);
} scenarios[] = {
    { "echo", scenario_echo },
    { "proxy", scenario_proxy },
    { "crowd", scenario_crowd },
    { "slow", scenario_slow },
    { "half_close", scenario_half_close },
    { "drain", scenario_drain },
    { "storm", scenario_storm },
    { "outage", scenario_outage },
    { "timers", scenario_timers },
    { "posts", scenario_posts },
    { "twins", scenario_twins },
};

/* Each must have been looked at in the end, or the run shows less than it says. */
static const char *const oracles[] = {
    "what comes back is a prefix of what was sent",
    "the end comes behind everything",
    "a clean end is a whole one",
    "every bad end is explained",
    "all clients end",
    "one who comes late is served",
    "accepting survives everything",
    "open comes once, and first",
    "close comes once",
    "no callback after close",
    "a stale handle is stale",
    "a drain ends",
    "a host comes up again",
    "output is bounded",
    "memory is bounded",
    "buffers are given back",
    "what the loops say is so",
    "counters agree",
    "limits of time end in time",
    "every client ends within its time",
    "the reason of an end is the right one",
    "newcomers leave a turn to others",
    "one connection leaves a turn to others",
    "writable comes at the low mark",
    "who pauses is left alone",
    "no callback inside a call",
    "a send fails for a reason",
    "no spinning",
    "turns are for something",
    "nobody waits for what is there",
    "who is ready is served",
    "operations end",
    "buffers come back",
    "everything is given back",
    "freed memory is left alone",
    "timers are never early",
    "timers are not late",
    "a fired timer is stale",
    "a timer does not fire in the turn that armed it",
    "an armed timer can be cancelled",
    "moving a timer never fails",
    "timers fire in order",
    "timers fire once, when armed",
    "every timer fires",
    "a post runs once",
    "posts run in order",
    "no post is lost",
    "a post is taken",
    "a post wakes the loop",
    "posts are cancelled by a close alone",
    "every post runs",
    "a stop ends the run",
    "a calm world works",
    "all backends tell the same story",
    "all backends bring the same bytes",
    "at the zero choice the same bytes at the same times",
    "at the zero choice in the same pieces",
    "at the zero choice in the same order",
};

void scenario_play(vigil_sim *sim, const uint32_t *only)
{
    for (size_t o = 0; o < VIGIL_COUNT(oracles); o++)
        vigil__sim_oracle_declare(sim, oracles[o]);
    uint32_t i = vigil_sim_choose(sim, "scenario", VIGIL_COUNT(scenarios));
    scenarios[only != NULL ? *only : i].play(sim);
}

bool scenario_find(const char *name, uint32_t *out)
{
    for (*out = 0; *out < VIGIL_COUNT(scenarios); (*out)++)
        if (strcmp(scenarios[*out].name, name) == 0)
            return true;
    return false;
}
