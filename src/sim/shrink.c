/* SPDX-License-Identifier: MIT
 *
 * shrink.c -- makes a failing trace small: what is left tells the story of the failure.
 * Floor: sim.
 */
#include "sim/sim.h"

#include <string.h>

struct shrink {
    vigil_sim_test_fn *test;
    void *arg;
    unsigned runs_left;
    const char *oracle; /* the one that fails, in static storage */
    uint32_t *best;
    uint32_t *tried;
    const char **labels; /* of the best: what each choice was about when it ran */
    size_t count, room;
};

/* Runs the test on a trace.  True: it fails as before; then its labels are noted. */
static bool still_fails(struct shrink *shrink, const uint32_t *choices, size_t count)
{
    if (shrink->runs_left == 0)
        return false;
    const vigil_sim_options options = { .choices = choices, .choice_count = count };
    vigil_sim *sim = vigil__sim_play(shrink->test, shrink->arg, &options);
    if (sim == NULL)
        return false;
    shrink->runs_left--;
    bool fails = sim->failed_oracle != NULL;
    if (fails && shrink->oracle == NULL)
        shrink->oracle = sim->failed_oracle;
    fails = fails && strcmp(shrink->oracle, sim->failed_oracle) == 0;
    for (size_t i = 0; fails && i < shrink->room; i++)
        shrink->labels[i] = vigil_sim_choice_label(sim, i);
    vigil_sim_close(sim);
    return fails;
}

static bool adopt_if_failing(struct shrink *shrink, size_t count)
{
    if (!still_fails(shrink, shrink->tried, count))
        return false;
    memcpy(shrink->best, shrink->tried, count * sizeof(*shrink->best));
    shrink->count = count;
    return true;
}

static void copy_best(struct shrink *shrink)
{
    memcpy(shrink->tried, shrink->best, shrink->count * sizeof(*shrink->best));
}

static void cut_end(struct shrink *shrink)
{
    for (size_t piece = shrink->count / 2; piece > 0; piece /= 2) {
        copy_best(shrink);
        while (shrink->count > piece && adopt_if_failing(shrink, shrink->count - piece))
            continue;
    }
    while (shrink->count > 0 && shrink->best[shrink->count - 1] == 0)
        shrink->count--; /* behind the last all are 0 anyway */
}

/* All choices of one label at once: a fault that has nothing to do with it goes away whole. */
static bool zero_labels(struct shrink *shrink)
{
    bool better = false;
    for (size_t i = 0; i < shrink->count; i++) {
        const char *label = shrink->labels[i];
        if (shrink->best[i] == 0 || label == NULL)
            continue;
        copy_best(shrink);
        for (size_t j = i; j < shrink->count; j++)
            if (shrink->labels[j] != NULL && strcmp(shrink->labels[j], label) == 0)
                shrink->tried[j] = 0;
        better = adopt_if_failing(shrink, shrink->count) || better;
    }
    return better;
}

static bool zero_piece(struct shrink *shrink, size_t from, size_t piece)
{
    bool some = false;
    copy_best(shrink);
    for (size_t i = from; i < vigil__min(from + piece, shrink->count); i++) {
        some = some || shrink->tried[i] != 0;
        shrink->tried[i] = 0;
    }
    return some && adopt_if_failing(shrink, shrink->count);
}

static bool delete_piece(struct shrink *shrink, size_t from, size_t piece)
{
    if (from + piece > shrink->count)
        return false;
    copy_best(shrink);
    memmove(shrink->tried + from, shrink->tried + from + piece,
            (shrink->count - from - piece) * sizeof(*shrink->tried));
    return adopt_if_failing(shrink, shrink->count - piece);
}

static bool is_labelled(const struct shrink *shrink, size_t i, const char *label)
{
    return i < shrink->count && shrink->labels[i] != NULL && strcmp(shrink->labels[i], label) == 0;
}

/* A fault that is off is asked for no more: its rate and its occasions leave together with it, so
 * that what stands behind them keeps its meaning. */
static bool forget_fault(struct shrink *shrink, size_t on, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < shrink->count; i++) {
        if ((i == on + 1 && is_labelled(shrink, i, "fault rate")) || is_labelled(shrink, i, name))
            continue;
        shrink->tried[count++] = i == on ? 0 : shrink->best[i];
    }
    return adopt_if_failing(shrink, count);
}

static bool forget_faults(struct shrink *shrink)
{
    bool better = false;
    unsigned fault = 0;
    for (size_t i = 0; i < shrink->count && fault < VIGIL_SIM_FAULT_COUNT; i++) {
        if (!is_labelled(shrink, i, "fault on"))
            continue;
        const char *name = vigil_sim_fault_name(fault++);
        better = (shrink->best[i] != 0 && forget_fault(shrink, i, name)) || better;
    }
    return better;
}

static bool in_pieces(struct shrink *shrink,
                      bool (*with)(struct shrink *shrink, size_t from, size_t piece))
{
    bool better = false;
    for (size_t piece = shrink->count / 2; piece > 0 && shrink->runs_left > 0; piece /= 2)
        for (size_t from = 0; from < shrink->count && shrink->runs_left > 0; from += piece)
            better = with(shrink, from, piece) || better;
    return better;
}

static void shrink_all(struct shrink *shrink)
{
    bool better = still_fails(shrink, shrink->best, shrink->count);
    if (!better)
        return;
    while (better && shrink->runs_left > 0) {
        cut_end(shrink);
        better = zero_labels(shrink);
        better = forget_faults(shrink) || better;
        better = in_pieces(shrink, zero_piece) || better;
        better = in_pieces(shrink, delete_piece) || better;
    }
    cut_end(shrink);
}

size_t vigil_sim_shrink(vigil_sim_test_fn *test, void *arg, uint32_t *choices, size_t count,
                        unsigned runs_max)
{
    const vigil_allocator memory = vigil__host_system()->allocator;
    size_t room = vigil__max(count, 1);
    struct shrink shrink = { .test = test,
                             .arg = arg,
                             .runs_left = runs_max,
                             .best = choices,
                             .count = count,
                             .room = room };
    shrink.tried = vigil__alloc(&memory, room * sizeof(*shrink.tried));
    shrink.labels = vigil__alloc(&memory, room * sizeof(*shrink.labels));
    if (shrink.tried != NULL && shrink.labels != NULL)
        shrink_all(&shrink);
    vigil__free(&memory, shrink.tried, room * sizeof(*shrink.tried));
    vigil__free(&memory, shrink.labels, room * sizeof(*shrink.labels));
    return shrink.count;
}
