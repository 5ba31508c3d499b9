/* SPDX-License-Identifier: MIT
 *
 * main.h -- what the parts of the main function of test programs share: what it was asked for, the
 * process that watches it, and traces in files.  Floor: sim.
 */
#ifndef VIGIL_SIM_MAIN_H
#define VIGIL_SIM_MAIN_H

#include "sim/sim.h"

struct sim_main {
    const char *program;
    const char *const *environment; /* names of variables the test looks at; NULL: none */
    vigil_sim_test_fn *test;
    void *arg;
    uint64_t from, seeds, limit_s;
    bool one, trace, shrink, strict, help;
    const char *replay, *bytes, *save;
};

/* Whether one world alone is to be run. */
static inline bool vigil__sim_main_is_single(const struct sim_main *run)
{
    return run->one || run->replay != NULL || run->bytes != NULL;
}

/* ---- main.c ---- */

/* Prints a line: what it shows, and the command that runs that seed, with more options behind. */
void vigil__sim_main_command(const struct sim_main *run, const char *shows, uint64_t seed,
                             const char *options);

/* ---- main_guard.c ---- */

/* From now on a process of its own watches this one.  Without one all goes on unwatched. */
void vigil__sim_guard_begin(const struct sim_main *run);
void vigil__sim_guard_end(void);

/* ---- main_trace.c: a line "value label" per choice ---- */

struct sim_trace {
    uint32_t *choices; /* by malloc() */
    size_t count, room;
};

/* False: no memory. */
bool vigil__sim_trace_add(struct sim_trace *trace, uint32_t value);
/* False: that is printed. */
bool vigil__sim_trace_read(const char *path, const char *program, struct sim_trace *out);
bool vigil__sim_trace_write(const char *path, const vigil_sim *sim);
/* All bytes of a file, by malloc(); NULL: that is printed. */
uint8_t *vigil__sim_bytes_read(const char *path, const char *program, size_t *len);

#endif
