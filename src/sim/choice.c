/* SPDX-License-Identifier: MIT
 *
 * choice.c -- the one place where a world decides anything, and the trace of what it decided.
 * Floor: sim.
 */
#include "sim/sim.h"

#include <string.h>

static const uint64_t hash_start = 0xcbf29ce484222325u; /* FNV-1a */
static const uint64_t hash_prime = 0x100000001b3u;

/* Most choices are among many, of which the last are the rare ones: a byte is spread over all. */
static bool bytes_take(vigil_sim *sim)
{
    vigil_sim_options *o = &sim->options;
    sim->given = vigil__alloc(&sim->memory, vigil__max(o->byte_count, 1) * sizeof(*sim->given));
    if (sim->given == NULL)
        return false;
    for (size_t i = 0; i < o->byte_count; i++)
        sim->given[i] = (uint32_t)(uint8_t)(o->bytes[i] - ' ') * 2654435761u >> 8;
    o->choices = sim->given;
    o->choice_count = o->byte_count;
    return true;
}

int vigil__sim_choices_init(vigil_sim *sim)
{
    if (sim->options.bytes != NULL && !bytes_take(sim))
        return VIGIL_ENOMEM;
    sim->random = sim->options.seed;
    sim->hash = hash_start;
    sim->choice_room = 1024;
    sim->choices = vigil__alloc(&sim->memory, sim->choice_room * sizeof(*sim->choices));
    sim->values = vigil__alloc(&sim->memory, sim->choice_room * sizeof(*sim->values));
    return sim->choices != NULL && sim->values != NULL ? 0 : VIGIL_ENOMEM;
}

static void trace_free(vigil_sim *sim)
{
    vigil__free(&sim->memory, sim->choices, sim->choice_room * sizeof(*sim->choices));
    vigil__free(&sim->memory, sim->values, sim->choice_room * sizeof(*sim->values));
}

void vigil__sim_choices_clear(vigil_sim *sim)
{
    vigil__free(&sim->memory, sim->given,
                vigil__max(sim->options.byte_count, 1) * sizeof(*sim->given));
    trace_free(sim);
}

void vigil__sim_note(vigil_sim *sim, uint64_t what)
{
    sim->hash = (sim->hash ^ what) * hash_prime;
}

/* splitmix64: every seed gives a good sequence, also 1, 2, 3. */
static uint64_t next_random(vigil_sim *sim)
{
    uint64_t z = (sim->random += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t decide(vigil_sim *sim, uint32_t n)
{
    const vigil_sim_options *o = &sim->options;
    if (o->choices != NULL)
        return sim->choice_count < o->choice_count ? o->choices[sim->choice_count] % n : 0;
    return o->seed != 0 ? (uint32_t)((next_random(sim) >> 32) * n >> 32) : 0;
}

/* False: no memory; the choice is 0 and not recorded. */
static bool have_room(vigil_sim *sim)
{
    if (VIGIL_LIKELY(sim->choice_count < sim->choice_room))
        return true;
    size_t was = sim->choice_room;
    size_t room = was * 2;
    struct sim_choice *choices = vigil__alloc(&sim->memory, room * sizeof(*choices));
    uint32_t *values = vigil__alloc(&sim->memory, room * sizeof(*values));
    if (choices == NULL || values == NULL) { /* both grow, or none: they have one size */
        vigil__free(&sim->memory, choices, room * sizeof(*choices));
        vigil__free(&sim->memory, values, room * sizeof(*values));
        return false;
    }
    memcpy(choices, sim->choices, was * sizeof(*choices));
    memcpy(values, sim->values, was * sizeof(*values));
    trace_free(sim);
    sim->choices = choices;
    sim->values = values;
    sim->choice_room = room;
    return true;
}

uint32_t vigil_sim_choose(vigil_sim *sim, const char *label, uint32_t n)
{
    if (n < 2 || !have_room(sim))
        return 0;
    uint32_t value = decide(sim, n);
    sim->choices[sim->choice_count] = (struct sim_choice){ value, label };
    sim->values[sim->choice_count++] = value;
    vigil__sim_note(sim, value);
    return value;
}

size_t vigil_sim_choices(const vigil_sim *sim, const uint32_t **out)
{
    *out = sim->values;
    return sim->choice_count;
}

const char *vigil_sim_choice_label(const vigil_sim *sim, size_t i)
{
    return i < sim->choice_count ? sim->choices[i].label : NULL;
}

uint64_t vigil_sim_hash(const vigil_sim *sim)
{
    return sim->hash;
}
