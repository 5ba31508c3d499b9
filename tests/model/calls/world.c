/* SPDX-License-Identifier: MIT
 *
 * world.c -- what the models of the calls that wait share: whose call it is, descriptors of their
 * own, time that passes while one waits, and the faults of waiting.
 */
#include "world.h"

#include <string.h>

struct world_frame world;

struct sim_file *world_file(int fd)
{
    return world.host != NULL && !world.dead ? vigil__sim_fd_file(world.host, fd) : NULL;
}

int world_open(const struct sim_special *special, void *self)
{
    struct sim_host *host = world.host;
    if (host == NULL || world.dead)
        return VIGIL_ENOTSUP;
    struct sim_file *file;
    vigil_fd fd;
    int err = vigil__sim_call(host, VIGIL_SIM_CALL_OPEN);
    if (err == 0)
        err = vigil__sim_fd_open(host, SIM_SPECIAL, &file, &fd);
    if (err != 0)
        return err;
    file->special = special; /* only now: closing it ends what stands behind it, too */
    file->special_self = self;
    return fd;
}

void *world_special(int fd, const struct sim_special *special)
{
    const struct sim_file *file = world_file(fd);
    return file != NULL && file->special == special ? file->special_self : NULL;
}

void *world_alloc(size_t size)
{
    void *p = vigil__alloc(&world.host->sim->memory, size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void world_free(void *p, size_t size)
{
    vigil__free(&vigil__host_system()->allocator, p, size); /* which is a world's own */
}

/* ---- time ---- */

vigil_ns world_deadline(vigil_ns timeout_ns)
{
    if (!world.may_pass)
        return vigil__time_add(timeout_ns, world.host->sim->now);
    return vigil__sim_deadline(world.host, timeout_ns);
}

bool world_waits(vigil_ns deadline, int *result)
{
    vigil_sim *sim = world.host->sim;
    *result = 0;
    if (!world.may_pass || world.dead || sim->now >= deadline)
        return false;
    if (sim->failed_oracle != NULL) {
        *result = VIGIL_ECANCELED;
        return false;
    }
    struct world_frame mine = world; /* others make calls meanwhile */
    bool goes_on = vigil__sim_step(sim, mine.turner, deadline);
    world = mine;
    world.dead = vigil__sim_turner_dead(mine.turner);
    if (!goes_on)
        *result = VIGIL_ETIMEDOUT; /* nothing will ever happen */
    return goes_on;
}

/* ---- faults ---- */

bool world_fault(vigil_sim_fault fault)
{
    return vigil__sim_fault(world.host->sim, world.host, fault);
}

bool world_interrupted(void)
{
    bool is = world_fault(VIGIL_SIM_EINTR);
    world.told = world.told || is;
    return is;
}

bool world_late(void)
{
    bool is = world_fault(VIGIL_SIM_LATE);
    world.told = world.told || is;
    return is;
}

int world_spurious(uint32_t n)
{
    if (n == 0 || !world_fault(VIGIL_SIM_SPURIOUS))
        return -1;
    return (int)vigil_sim_choose(world.host->sim, "which descriptor", n);
}

uint64_t world_edges(const struct sim_file *file, uint32_t events)
{
    uint64_t edges = file->activity;
    if ((events & (VIGIL_IN | VIGIL_PRI)) == 0)
        edges -= file->inputs;
    if ((events & VIGIL_OUT) == 0)
        edges -= file->outputs;
    return edges;
}
