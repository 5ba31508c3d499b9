/* SPDX-License-Identifier: MIT
 *
 * hosts.c -- the hosts of a world, what lies between them, and their descriptors.
 * Floor: sim.
 */
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

static const vigil_ns latency_far = VIGIL_US(100);
static const vigil_ns latency_near = VIGIL_US(10);

struct sim_host *vigil__sim_host_in(const vigil_sim *sim, const vigil_host *table)
{
    struct sim_host *host = table != NULL ? vigil__sim_host_of(table) : NULL;
    return host != NULL && host->sim == sim && host->why_dead == 0 ? host : NULL;
}

/* ---- hosts ---- */

static bool same_host(const vigil_addr *a, const vigil_addr *b)
{
    size_t len = a->family == VIGIL_FAMILY_INET ? 4 : 16;
    return a->family == b->family && memcmp(a->ip, b->ip, len) == 0;
}

struct sim_host *vigil__sim_host_find(vigil_sim *sim, const vigil_addr *addr)
{
    for (struct vigil__link *at = sim->hosts.next; at != &sim->hosts; at = at->next) {
        struct sim_host *host = VIGIL_OWNER(at, struct sim_host, link);
        if (same_host(&host->address, addr))
            return host;
    }
    return NULL;
}

/* Reads "10.0.0.1" or "fd00::1". */
static bool read_address(vigil_addr *out, const char *address)
{
    char where[128];
    int n = strchr(address, ':') != NULL ? snprintf(where, sizeof(where), "[%s]:0", address)
                                         : snprintf(where, sizeof(where), "%s:0", address);
    return n > 0 && (size_t)n < sizeof(where) && vigil_addr_parse(out, where) == 0 &&
           (out->family == VIGIL_FAMILY_INET || out->family == VIGIL_FAMILY_INET6);
}

static void host_init(vigil_sim *sim, struct sim_host *host, const vigil_sim_host_options *o)
{
    memset(host, 0, sizeof(*host));
    host->sim = sim;
    host->calm = o->calm;
    host->fd_limit = o->fd_limit != 0 ? o->fd_limit : SIM_FD_LIMIT;
    host->memory_limit = o->memory_limit != 0 ? o->memory_limit : (size_t)1 << 30;
    host->next_port = SIM_FIRST_PORT;
    vigil__list_init(&host->link);
    vigil__list_init(&host->names);
    vigil__list_init(&host->blocks);
    vigil__sim_host_table_fill(host);
}

/* What cannot be made: no loop opens on it, so that none gets this machine instead. */
static const vigil_host *nowhere(vigil_sim *sim, int why, const char *address)
{
    static const vigil_sim_host_options none;
    struct sim_host *host = &sim->nowhere[why == VIGIL_ENOMEM];
    vigil__sim_fail(sim, "hosts can be made", "%.64s: %s", address != NULL ? address : "(NULL)",
                    why == VIGIL_ENOMEM ? "no memory" : "malformed, or taken");
    if (host->sim == NULL)
        host_init(sim, host, &none);
    host->dead = true;
    host->why_dead = why;
    return &host->table;
}

const vigil_host *vigil_sim_host(vigil_sim *sim, const char *address,
                                 const vigil_sim_host_options *options)
{
    static const vigil_sim_host_options none;
    vigil_addr addr = { 0 };
    if (address == NULL || !read_address(&addr, address) ||
        vigil__sim_host_find(sim, &addr) != NULL)
        return nowhere(sim, VIGIL_EINVAL, address);
    struct sim_host *host = vigil__alloc(&sim->memory, sizeof(*host));
    if (host == NULL)
        return nowhere(sim, VIGIL_ENOMEM, address);
    host_init(sim, host, options != NULL ? options : &none);
    host->address = addr;
    vigil__list_append(&sim->hosts, &host->link);
    return &host->table;
}

static void names_clear(struct sim_host *host)
{
    while (!vigil__list_empty(&host->names)) {
        struct sim_name *name = VIGIL_OWNER(host->names.next, struct sim_name, link);
        vigil__list_remove(&name->link);
        vigil__free(&host->sim->memory, name, sizeof(*name));
    }
}

void vigil__sim_hosts_clear(vigil_sim *sim)
{
    while (!vigil__list_empty(&sim->hosts)) {
        struct sim_host *host = VIGIL_OWNER(sim->hosts.next, struct sim_host, link);
        names_clear(host);
        vigil__list_remove(&host->link);
        vigil__free(&sim->memory, host->fds, host->fd_room * sizeof(struct sim_fd));
        vigil__free(&sim->memory, host, sizeof(*host));
    }
    while (!vigil__list_empty(&sim->links)) {
        struct sim_link *between = VIGIL_OWNER(sim->links.next, struct sim_link, link);
        vigil__list_remove(&between->link);
        vigil__free(&sim->memory, between, sizeof(*between));
    }
}

void vigil__sim_hosts_hurt(struct sim_host *a, struct sim_host *b)
{
    vigil_sim *sim = a->sim;
    a->hurt = true;
    if (b != NULL)
        b->hurt = true;
    for (struct vigil__link *at = sim->files.next; at != &sim->files; at = at->next) {
        struct sim_file *file = VIGIL_OWNER(at, struct sim_file, link);
        if (file->host != a || file->peer == NULL || (b != NULL && file->peer->host != b))
            continue;
        file->hurt = file->peer->hurt = true;
    }
}

void vigil_sim_kill(vigil_sim *sim, const vigil_host *table)
{
    struct sim_host *host = vigil__sim_host_in(sim, table);
    if (host == NULL)
        return;
    vigil__sim_outage_end(sim, &host->outage);
    if (host->dead)
        return;
    vigil__sim_story(sim, host, "killed");
    host->dead = true;
    host->epoch++;
    vigil__sim_hosts_hurt(host, NULL);
    for (uint32_t fd = 0; fd < host->fd_room; fd++)
        if (host->fds[fd].file != NULL)
            (void)vigil__sim_fd_close(host, (vigil_fd)fd); /* it is open: cannot fail */
    memset(host->sinks, 0, sizeof(host->sinks));
    names_clear(host);
    vigil__sim_moved(sim);
}

void vigil_sim_restart(vigil_sim *sim, const vigil_host *table)
{
    struct sim_host *host = vigil__sim_host_in(sim, table);
    if (host == NULL || !host->dead)
        return;
    vigil__sim_outage_end(sim, &host->outage);
    vigil__sim_story(sim, host, "started again");
    host->dead = false;
    vigil__sim_healed(sim); /* what was on its way to it arrives now */
}

void vigil_sim_signal(vigil_sim *sim, const vigil_host *table, int signo)
{
    struct sim_host *host = vigil__sim_host_in(sim, table);
    if (host == NULL)
        return;
    vigil__sim_story(sim, host, "signal %d", signo);
    for (size_t i = 0; i < VIGIL_COUNT(host->sinks); i++) {
        struct vigil__signal_sink *sink = host->sinks[i].sink;
        if (sink == NULL || host->sinks[i].signo != signo)
            continue;
        atomic_fetch_or(&sink->pending, (uint64_t)1 << (signo - 1));
        sink->wake(sink->arg);
    }
    vigil__sim_moved(sim);
}

/* ---- links ---- */

static struct sim_link *link_of(vigil_sim *sim, const struct sim_host *a, const struct sim_host *b)
{
    for (struct vigil__link *at = sim->links.next; at != &sim->links; at = at->next) {
        struct sim_link *between = VIGIL_OWNER(at, struct sim_link, link);
        if ((between->a == a && between->b == b) || (between->a == b && between->b == a))
            return between;
    }
    return NULL;
}

const struct sim_link *vigil__sim_link_find(vigil_sim *sim, const struct sim_host *a,
                                            const struct sim_host *b)
{
    static const struct sim_link far = { .is = { .latency_ns = latency_far,
                                                 .buffer = SIM_BUFFER } };
    static const struct sim_link near = { .is = { .latency_ns = latency_near,
                                                  .buffer = SIM_BUFFER } };
    const struct sim_link *found = link_of(sim, a, b);
    if (found != NULL)
        return found;
    return a == b ? &near : &far;
}

struct sim_link *vigil__sim_link_made(vigil_sim *sim, struct sim_host *from, struct sim_host *to)
{
    struct sim_link *between = link_of(sim, from, to);
    if (between != NULL)
        return between;
    between = vigil__alloc(&sim->memory, sizeof(*between));
    if (between == NULL)
        return NULL;
    *between = *vigil__sim_link_find(sim, from, to);
    between->a = from;
    between->b = to;
    vigil__list_append(&sim->links, &between->link);
    return between;
}

int vigil_sim_connect_hosts(vigil_sim *sim, const vigil_host *a, const vigil_host *b,
                            const vigil_sim_link *link)
{
    struct sim_host *from = vigil__sim_host_in(sim, a);
    struct sim_host *to = vigil__sim_host_in(sim, b);
    if (from == NULL || to == NULL || link == NULL || link->latency_ns < 0 || link->jitter_ns < 0)
        return VIGIL_EINVAL;
    struct sim_link *between = vigil__sim_link_made(sim, from, to);
    if (between == NULL)
        return VIGIL_ENOMEM;
    between->is = *link;
    if (link->latency_ns == 0)
        between->is.latency_ns = a == b ? latency_near : latency_far;
    if (link->buffer == 0)
        between->is.buffer = SIM_BUFFER;
    return 0;
}

static int set_cut(vigil_sim *sim, struct sim_host *a, struct sim_host *b, bool cut)
{
    if (a == NULL || b == NULL)
        return VIGIL_EINVAL;
    struct sim_link *between = vigil__sim_link_made(sim, a, b);
    if (between == NULL)
        return VIGIL_ENOMEM;
    between->cut = cut;
    if (!cut)
        vigil__sim_outage_end(sim, &between->outage);
    vigil__sim_story(sim, a, cut ? "is cut off from a host" : "reaches a host again");
    return 0;
}

int vigil_sim_partition(vigil_sim *sim, const vigil_host *a, const vigil_host *b)
{
    struct sim_host *from = vigil__sim_host_in(sim, a);
    struct sim_host *to = vigil__sim_host_in(sim, b);
    int err = set_cut(sim, from, to, true);
    if (err == 0)
        vigil__sim_hosts_hurt(from, to);
    return err;
}

int vigil_sim_heal(vigil_sim *sim, const vigil_host *a, const vigil_host *b)
{
    int err = set_cut(sim, vigil__sim_host_in(sim, a), vigil__sim_host_in(sim, b), false);
    if (err == 0)
        vigil__sim_healed(sim);
    return err;
}

/* ---- descriptors ---- */

/* Numbers are used again at once. */
int vigil__sim_fd_new_from(struct sim_host *host, struct sim_file *file, uint32_t lowest,
                           vigil_fd *out)
{
    vigil_sim *sim = host->sim;
    uint32_t fd = lowest;
    while (fd < host->fd_room && host->fds[fd].file != NULL)
        fd++;
    if (fd >= host->fd_limit || host->dead)
        return VIGIL_EMFILE;
    if (fd >= host->fd_room) {
        uint32_t room = host->fd_room == 0 ? 16 : host->fd_room * 2;
        while (room <= fd)
            room *= 2;
        struct sim_fd *fds = vigil__resize(&sim->memory, host->fds,
                                           host->fd_room * sizeof(struct sim_fd),
                                           room * sizeof(struct sim_fd));
        if (fds == NULL)
            return VIGIL_ENOMEM;
        memset(fds + host->fd_room, 0, (room - host->fd_room) * sizeof(struct sim_fd));
        host->fds = fds;
        host->fd_room = room;
    }
    host->fds[fd] = (struct sim_fd){ .file = file };
    host->fd_count++;
    file->refs++;
    file->open = true;
    *out = (vigil_fd)fd;
    return 0;
}

int vigil__sim_fd_new(struct sim_host *host, struct sim_file *file, vigil_fd *out)
{
    return vigil__sim_fd_new_from(host, file, 0, out);
}

int vigil__sim_fd_open(struct sim_host *host, enum sim_kind kind, struct sim_file **file,
                       vigil_fd *out)
{
    int err = vigil__sim_short_of_fds(host);
    if (err == 0)
        err = vigil__sim_short_of_buffers(host);
    if (err != 0)
        return err;
    *file = vigil__sim_file_new(host, kind);
    if (*file == NULL)
        return VIGIL_ENOMEM;
    err = vigil__sim_fd_new(host, *file, out);
    if (err != 0)
        vigil__sim_file_close(*file);
    return err;
}

bool vigil__sim_fd_blocks(const struct sim_host *host, vigil_fd fd)
{
    const struct sim_file *file = vigil__sim_fd_file(host, fd);
    return file != NULL && file->blocking && !host->fds[fd].reopened;
}

int vigil__sim_fd_close(struct sim_host *host, vigil_fd fd)
{
    struct sim_file *file = vigil__sim_fd_file(host, fd);
    if (file == NULL)
        return VIGIL_EBADF;
    host->fds[fd].file = NULL;
    host->fd_count--;
    vigil__sim_moved(host->sim);
    vigil__sim_file_release(file);
    return 0;
}

void vigil__sim_file_release(struct sim_file *file)
{
    if (--file->refs == 0)
        vigil__sim_file_close(file);
}

static int both_new(struct sim_host *host, enum sim_kind kind, struct sim_file *files[2],
                    vigil_fd out[2])
{
    if (host == NULL)
        return VIGIL_EINVAL;
    for (int i = 0; i < 2; i++) {
        files[i] = vigil__sim_file_new(host, kind);
        int err = files[i] != NULL ? vigil__sim_fd_new(host, files[i], &out[i]) : VIGIL_ENOMEM;
        if (err == 0)
            continue;
        if (files[i] != NULL)
            vigil__sim_file_close(files[i]);
        if (i == 1)
            (void)vigil__sim_fd_close(host, out[0]); /* it is open: cannot fail */
        return err;
    }
    vigil__sim_join(files[0], files[1]);
    return 0;
}

int vigil_sim_pair(vigil_sim *sim, const vigil_host *host, vigil_fd out[2])
{
    struct sim_file *files[2];
    int err = both_new(vigil__sim_host_in(sim, host), SIM_SOCKET, files, out);
    for (int i = 0; i < 2 && err == 0; i++)
        files[i]->local.family = files[i]->remote.family = VIGIL_FAMILY_UNIX;
    return err;
}

int vigil_sim_pipe(vigil_sim *sim, const vigil_host *host, vigil_fd out[2])
{
    struct sim_file *files[2];
    int err = both_new(vigil__sim_host_in(sim, host), SIM_PIPE, files, out);
    if (err == 0) {
        files[0]->writable = false;
        files[1]->readable = false;
    }
    return err;
}

int vigil_sim_file(vigil_sim *sim, const vigil_host *table, const void *p, size_t n, vigil_fd *out)
{
    struct sim_host *host = vigil__sim_host_in(sim, table);
    if (host == NULL)
        return VIGIL_EINVAL;
    struct sim_file *file = vigil__sim_file_new(host, SIM_REGULAR);
    if (file == NULL)
        return VIGIL_ENOMEM;
    file->in.bytes = n > 0 ? vigil__alloc(&sim->memory, n) : NULL;
    int err = n > 0 && file->in.bytes == NULL ? VIGIL_ENOMEM : vigil__sim_fd_new(host, file, out);
    if (file->in.bytes != NULL) {
        file->in.room = n;
        file->in.arrived = n;
        memcpy(file->in.bytes, p, n);
    }
    if (err != 0)
        vigil__sim_file_close(file);
    return err;
}

void vigil_sim_close_fd(vigil_sim *sim, const vigil_host *table, vigil_fd fd)
{
    struct sim_host *host = vigil__sim_host_in(sim, table);
    if (host != NULL)
        (void)vigil__sim_fd_close(host, fd); /* one that is not open: nothing to do */
}

bool vigil_sim_excused(const vigil_sim *sim, const vigil_host *table, vigil_fd fd)
{
    const struct sim_host *host = vigil__sim_host_in(sim, table);
    if (host == NULL)
        return false;
    const struct sim_file *file = vigil__sim_fd_file(host, fd);
    return host->hurt || (file != NULL && (file->hurt || file->vanished));
}
