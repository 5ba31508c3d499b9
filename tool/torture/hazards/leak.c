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

#define ROUNDS_MAX      16
#define ROUNDS_ENOUGH   80000 /* connections in all, but not less than half of the rounds */
#define NOISE_BYTES     ((int64_t)32 * 1024) /* of memory, whatever the number of connections */
#define AT_ONCE         40
#define LOOK_EVERY      400 /* connections */
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

static uint64_t warm_up(struct torture *t);
static bool round_run(struct torture *t, struct growth *growth, uint64_t n);
static uint64_t crowds(struct torture *t, uint64_t count, struct observed before, vigil_ns until);
static void crowd(struct torture *t);
static void leave(struct wire *wire, size_t way);

static void run(struct torture *t)
{
    char kept[SHOWN_MAX];
    const uint64_t n = warm_up(t);
    struct growth growth = { .before = observe_now(t) };
    int rounds = 0;
    bool settled = false;
    growth.memory = process_memory(&t->process);
    while (!settled && !found(t) && !*t->interrupted && rounds < ROUNDS_MAX &&
           (rounds < ROUNDS_MAX / 2 || (uint64_t)rounds * n < ROUNDS_ENOUGH)) {
        settled = round_run(t, &growth, n);
        rounds++;
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

/* What a server allocates once.  Answers how many connections make a round: those of the limit, or
 * what a slow server gets done in the time that they may take. */
static uint64_t warm_up(struct torture *t)
{
    const vigil_ns began = torture_now();
    const vigil_ns time = 4 * t->limits.idle_ns;
    const uint64_t limit = t->limits.leak_connections;
    const uint64_t made = crowds(t, limit / 2 + 1, observe_now(t), began + time / 2);
    const uint64_t each_ns = (uint64_t)(torture_now() - began) / (made > 0 ? made : 1) + 1;
    const uint64_t n = (uint64_t)time / each_ns;
    return n > limit ? limit : n > AT_ONCE ? n : AT_ONCE;
}

/* Whether there was a round for each kind of thing in which it did not grow. */
static bool round_run(struct torture *t, struct growth *growth, uint64_t n)
{
    const int64_t kept = (int64_t)(n * t->limits.leak_bytes);
    (void)crowds(t, n, growth->before, VIGIL_FOREVER);
    observe_rest(t);
    const struct observed now = observe_closed(t, growth->before);
    const int64_t memory = process_memory(&t->process);
    growth->memory_grown = memory - growth->memory;
    if (now.descriptors <= growth->before.descriptors)
        growth->descriptors_settled = true;
    if (now.children <= growth->before.children)
        growth->children_settled = true;
    if (growth->memory_grown <= (kept > NOISE_BYTES ? kept : NOISE_BYTES))
        growth->memory_settled = true;
    growth->before = now;
    growth->memory = memory;
    return growth->descriptors_settled && growth->children_settled && growth->memory_settled;
}

/* Answers how many it made.  A server that leaks much is found out before it has nothing left. */
static uint64_t crowds(struct torture *t, uint64_t count, struct observed before, vigil_ns until)
{
    struct observed most = before;
    uint64_t made = 0;
    most.descriptors += DESCRIPTORS_MAX;
    most.children += DESCRIPTORS_MAX;
    while (made < count && !found(t) && !*t->interrupted && torture_now() < until) {
        crowd(t);
        made += AT_ONCE;
        if (made % LOOK_EVERY > 0 || process_descriptors(&t->process) <= most.descriptors)
            continue;
        const struct observed now = observe_closed(t, most);
        if (now.descriptors > most.descriptors || now.children > most.children)
            found_fail(t, "keeps %" PRId64 " descriptors of %" PRIu64 " connections that are over",
                       now.descriptors - before.descriptors, made);
    }
    return made;
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
    wires_close(wires, AT_ONCE);
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
