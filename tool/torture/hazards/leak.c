/* SPDX-License-Identifier: MIT
 *
 * leak.c -- thousands of connections, ended in every usual way; what is left of them afterwards?
 * Memory that is kept for reuse settles, as does what an allocator holds back; a leak goes on in
 * every round.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>

#include "../observe.h"
#include "../payload.h"
#include "../wire.h"
#include "hazards.h"

#define ROUNDS_MAX      8
#define ROUNDS_MORE     8000 /* connections, for heaps that settle late: rounds of few are more */
#define AT_ONCE         20
#define LOOK_EVERY      500 /* connections */
#define DESCRIPTORS_MAX 200 /* more than before, and it is not waited for the end of the round */

/* What a server can leak, and whether there was a round in which it did not. */
struct growth {
    struct observed before;
    int64_t memory;
    int64_t memory_grown;
    bool descriptors_settled;
    bool children_settled;
    bool memory_settled;
};

static bool round_run(struct torture *t, struct growth *growth);
static void crowds(struct torture *t, uint64_t count, struct observed before);
static void crowd(struct torture *t);
static void leave(struct wire *wire, size_t way);

static void run(struct torture *t)
{
    char kept[SHOWN_MAX];
    struct growth growth = { .before = observe_now(t) };
    const uint64_t n = t->limits.leak_connections;
    const int rounds_max = ROUNDS_MAX + (int)(ROUNDS_MORE / n);
    int rounds = 0;
    crowds(t, n / 2 + 1, growth.before); /* what a server allocates once */
    growth.before = observe_now(t);
    growth.memory = process_memory(&t->process);
    while (rounds < rounds_max && !found(t) && !*t->interrupted) {
        rounds++;
        if (round_run(t, &growth))
            break;
    }
    found_value(t, "connections", (int64_t)n * rounds);
    found_value(t, "rounds", rounds);
    found_value(t, "descriptors", growth.before.descriptors);
    found_value(t, "children", growth.before.children);
    found_value(t, "rss_bytes", growth.memory);
    found_value(t, "rss_grown_bytes", growth.memory_grown);
    (void)show_bytes(kept, growth.memory_grown > 0 ? (uint64_t)growth.memory_grown : 0);
    if (!growth.descriptors_settled)
        found_fail(t, "has more descriptors after each of %d rounds of %" PRIu64 " connections",
                   rounds, n);
    else if (!growth.children_settled)
        found_fail(t, "has more children after each of %d rounds of %" PRIu64 " connections",
                   rounds, n);
    else if (!growth.memory_settled)
        found_fail(t, "has more memory after each of %d rounds of %" PRIu64 " connections: +%s",
                   rounds, n, kept);
    found_pass(t, "nothing is left of %" PRIu64 " connections: no descriptor, +%s of memory", n,
               kept);
}

/* Whether nothing grew in it, or in an earlier one. */
static bool round_run(struct torture *t, struct growth *growth)
{
    const uint64_t n = t->limits.leak_connections;
    crowds(t, n, growth->before);
    observe_rest(t);
    const struct observed now = observe_closed(t, growth->before);
    const int64_t memory = process_memory(&t->process);
    growth->memory_grown = memory - growth->memory;
    if (now.descriptors <= growth->before.descriptors)
        growth->descriptors_settled = true;
    if (now.children <= growth->before.children)
        growth->children_settled = true;
    if (growth->memory_grown <= (int64_t)(n * t->limits.leak_bytes))
        growth->memory_settled = true;
    growth->before = now;
    growth->memory = memory;
    return growth->descriptors_settled && growth->children_settled && growth->memory_settled;
}

/* A server that leaks much is found out before it has nothing left. */
static void crowds(struct torture *t, uint64_t count, struct observed before)
{
    struct observed most = before;
    most.descriptors += DESCRIPTORS_MAX;
    most.children += DESCRIPTORS_MAX;
    for (uint64_t made = 0; made < count && !found(t) && !*t->interrupted; made += AT_ONCE) {
        crowd(t);
        if (made % LOOK_EVERY > 0 || process_descriptors(&t->process) <= most.descriptors)
            continue;
        const struct observed now = observe_closed(t, most);
        if (now.descriptors > most.descriptors || now.children > most.children)
            found_fail(t, "keeps %" PRId64 " descriptors of %" PRIu64 " connections that are over",
                       now.descriptors - before.descriptors, made + AT_ONCE);
    }
}

static void crowd(struct torture *t)
{
    struct wire wires[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++) {
        wire_open(&wires[i], t, 0);
        if (i % 4 > 0)
            wire_echo(&wires[i], PAYLOAD_LINE);
    }
    (void)drive(t, wires, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++)
        leave(&wires[i], i % 4);
    (void)drive(t, wires, AT_ONCE);
    for (size_t i = 0; i < AT_ONCE; i++)
        wire_close(&wires[i]);
}

static void leave(struct wire *wire, size_t way)
{
    wire->bystander = way < 3;
    if (way == 1)
        wire_reset(wire);
    else if (way < 3)
        wire_close(wire);
    else
        wire_finish(wire);
}

const struct probe probe_leak = {
    .name = "leak",
    .hazard = "thousands of connections, ended in every usual way",
    .passes = "has no more descriptors and memory than before, once it has settled",
    .needs = NEEDS_PID,
    .run = run,
};
