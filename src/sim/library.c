/* SPDX-License-Identifier: MIT
 *
 * library.c -- what must hold of vigil itself in every world: oracles that look into loops.
 * Floor: sim.
 */
#include "sim/sim.h"

enum { PASSED_OVER_MAX = 20 }; /* turns; late readiness may take some of them */

/* Whether a connection or listener waits for what is there. */
static bool waits_in_vain(const struct sim_file *file, const struct vigil__port *port)
{
    unsigned ready = vigil__sim_ready(file);
    bool in = (port->want & VIGIL_IN) != 0 && (ready & ~(unsigned)VIGIL_OUT) != 0;
    bool out = (port->want & VIGIL_OUT) != 0 && (ready & (VIGIL_OUT | VIGIL_HUP | VIGIL_ERR)) != 0;
    return in || out;
}

static uint32_t ports_of(const vigil_loop *loop, bool of_conn)
{
    const struct vigil__slab *slab = loop->ports[of_conn].slab;
    return slab != NULL ? vigil__slab_slots(slab) : 0;
}

static uint32_t ports_all(const vigil_loop *loop)
{
    return ports_of(loop, false) + ports_of(loop, true);
}

/* The file of the i-th port of both kinds, if it is one that the loop serves itself; or NULL. */
static struct sim_file *file_of(const struct sim_turner *turner, uint32_t i,
                                const struct vigil__port **out)
{
    uint32_t own = ports_of(turner->loop, false);
    bool of_conn = i >= own;
    const struct vigil__port *port = vigil__port_at(turner->loop, of_conn, of_conn ? i - own : i);
    if (!vigil__slot_taken(&port->slot) || port->watch)
        return NULL;
    *out = port;
    return vigil__sim_fd_file(turner->host, port->fd);
}

static void check_loop(const struct sim_turner *turner)
{
    vigil_sim *sim = turner->host->sim;
    for (uint32_t i = 0; i < ports_all(turner->loop); i++) {
        const struct vigil__port *port;
        const struct sim_file *file = file_of(turner, i, &port);
        if (file != NULL && waits_in_vain(file, port))
            vigil__sim_fail(sim, "nobody waits for what is there",
                            "descriptor %d is ready, and its loop sleeps", (int)port->fd);
    }
}

void vigil__sim_check_blocked(vigil_sim *sim)
{
    if (sim->by_hand)
        return; /* a loop sleeps as long as its user likes */
    vigil__sim_oracle_count(sim, "nobody waits for what is there");
    for (struct vigil__link *at = sim->turners.next; at != &sim->turners; at = at->next) {
        const struct sim_turner *turner = VIGIL_OWNER(at, struct sim_turner, link);
        bool asleep = turner->loop != NULL && !turner->late_asked &&
                      !vigil__sim_turner_dead(turner);
        if (asleep && !turner->rests)
            check_loop(turner);
    }
}

void vigil__sim_check_fair(struct sim_turner *turner)
{
    vigil_sim *sim = turner->host->sim;
    if (turner->rests)
        return; /* its wait failed: it could not know */
    vigil__sim_oracle_count(sim, "who is ready is served");
    if (turner->host->kept_at == sim->turns)
        return; /* a fault passed them over, which may do so again and again */
    for (uint32_t i = 0; i < ports_all(turner->loop); i++) {
        const struct vigil__port *port;
        struct sim_file *file = file_of(turner, i, &port);
        if (file == NULL)
            continue;
        bool listens = file->kind == SIM_LISTENER;
        uint64_t served = listens ? file->accepted : file->in.read;
        bool there = listens ? file->waiting_count > 0 : file->in.arrived > file->in.read;
        /* Told of what is not watched yet, for want of memory, nobody can be. */
        bool waits = (port->want & port->known & VIGIL_IN) != 0 && there;
        file->passed_over = waits && served == file->seen_served ? file->passed_over + 1 : 0;
        file->seen_served = served;
        if (file->passed_over > PASSED_OVER_MAX)
            vigil__sim_fail(sim, "who is ready is served", "descriptor %d waits for %u turns",
                            (int)port->fd, file->passed_over);
    }
}
