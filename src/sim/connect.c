/* SPDX-License-Identifier: MIT
 *
 * connect.c -- binding, listening, connecting and accepting in a world.  Floor: sim.
 */
#include "sim/sim.h"

#include <string.h>

enum {
    BACKLOG_MAX = 4096, /* as net.core.somaxconn */
    SYN_TRIES_MAX = 6,  /* as net.ipv4.tcp_syn_retries: 127 s in all */
    DELAY_MAX_MS = 3000,
};

static const vigil_ns unreachable_after = VIGIL_S(3);

static void syn_arrives(struct sim_event *event);
static void syn_answered(struct sim_event *event);
static void syn_refused(struct sim_event *event);
static void nobody_there(struct sim_event *event);

static struct sim_file *of_event(struct sim_event *event)
{
    return VIGIL_OWNER(event, struct sim_file, event);
}

/* ---- addresses ---- */

static bool is_any(const vigil_addr *addr)
{
    static const uint8_t zero[16];
    return memcmp(addr->ip, zero, addr->family == VIGIL_FAMILY_INET ? 4 : 16) == 0;
}

static bool is_loopback(const vigil_addr *addr)
{
    static const uint8_t loopback6[16] = { [15] = 1 };
    return addr->family == VIGIL_FAMILY_INET ? addr->ip[0] == 127
                                             : memcmp(addr->ip, loopback6, 16) == 0;
}

static bool is_of_host(const struct sim_host *host, const vigil_addr *addr)
{
    return is_any(addr) || is_loopback(addr) ||
           (host->address.family == addr->family && memcmp(host->address.ip, addr->ip, 16) == 0);
}

static bool same_path(const vigil_addr *a, const vigil_addr *b)
{
    return a->path_len == b->path_len && memcmp(a->path, b->path, a->path_len) == 0;
}

/* Whether the name still leads to it: another may have taken the name since. */
static bool has_name(const struct sim_file *listener)
{
    const vigil_addr *at = &listener->local;
    const struct sim_name *name = vigil__sim_name_find(listener->host, at->path, at->path_len);
    return at->path[0] == '\0' || (name != NULL && name->identity == listener->name);
}

/* Whether a listener takes what comes for `to`. */
static bool takes(const struct sim_file *listener, const vigil_addr *to)
{
    const vigil_addr *at = &listener->local;
    if (at->family == VIGIL_FAMILY_UNIX || to->family == VIGIL_FAMILY_UNIX)
        return at->family == to->family && same_path(at, to) && has_name(listener);
    if (at->port != to->port)
        return false;
    if (at->family != to->family)
        return at->family == VIGIL_FAMILY_INET6 && is_any(at) && !listener->v6_only;
    return is_any(at) || memcmp(at->ip, to->ip, 16) == 0;
}

/* Of several that share a port the client's decides, as SO_REUSEPORT's hash does, and chance. */
static struct sim_file *listener_find(struct sim_host *host, const vigil_addr *from,
                                      const vigil_addr *to)
{
    vigil_sim *sim = host->sim;
    struct sim_file *found[16];
    uint32_t n = 0;
    for (struct vigil__link *at = sim->listeners.next; at != &sim->listeners; at = at->next) {
        struct sim_file *file = VIGIL_OWNER(at, struct sim_file, link);
        if (file->kind == SIM_LISTENER && file->host == host && takes(file, to) &&
            n < VIGIL_COUNT(found))
            found[n++] = file;
    }
    return n == 0 ? NULL : found[(from->port + vigil_sim_choose(sim, "which listener", n)) % n];
}

static bool clashes(const struct sim_file *mine, const struct sim_file *other,
                    const vigil_addr *addr)
{
    if (other == mine || other->host != mine->host || (mine->reuse_port && other->reuse_port))
        return false;
    if (takes(other, addr))
        return true;
    bool both_ip = addr->family != VIGIL_FAMILY_UNIX && other->local.family != VIGIL_FAMILY_UNIX;
    bool both_families = addr->family != other->local.family && (mine->v6_only || other->v6_only);
    return both_ip && is_any(addr) && addr->port == other->local.port && !both_families;
}

static bool is_taken(const struct sim_file *file, const vigil_addr *addr)
{
    const vigil_sim *sim = file->sim;
    for (struct vigil__link *at = sim->listeners.next; at != &sim->listeners; at = at->next)
        if (clashes(file, VIGIL_OWNER(at, struct sim_file, link), addr))
            return true;
    return false;
}

static uint16_t free_port(struct sim_host *host)
{
    host->next_port = host->next_port < UINT16_MAX ? (uint16_t)(host->next_port + 1)
                                                   : SIM_FIRST_PORT;
    return host->next_port;
}

/* ---- names ---- */

struct sim_name *vigil__sim_name_find(struct sim_host *host, const char *path, size_t len)
{
    for (struct vigil__link *at = host->names.next; at != &host->names; at = at->next) {
        struct sim_name *name = VIGIL_OWNER(at, struct sim_name, link);
        if (name->len == len && memcmp(name->path, path, len) == 0)
            return name;
    }
    return NULL;
}

static int name_make(struct sim_file *file, const vigil_addr *addr)
{
    struct sim_host *host = file->host;
    vigil_sim *sim = host->sim;
    if (addr->path_len == 0 || addr->path[0] == '\0')
        return 0; /* abstract: it leaves no name behind */
    if (vigil__sim_name_find(host, addr->path, addr->path_len) != NULL)
        return VIGIL_EADDRINUSE;
    struct sim_name *name = vigil__alloc(&sim->memory, sizeof(*name));
    if (name == NULL)
        return VIGIL_ENOMEM;
    *name = (struct sim_name){ .identity = ++sim->next_identity,
                               .mode = 0755, /* what the usual umask leaves */
                               .len = addr->path_len };
    memcpy(name->path, addr->path, addr->path_len);
    vigil__list_append(&host->names, &name->link);
    file->name = name->identity;
    return 0;
}

/* ---- listening ---- */

int vigil__sim_bind(struct sim_file *file, const vigil_addr *addr)
{
    if (file->local.family != VIGIL_FAMILY_NONE || file->kind != SIM_SOCKET)
        return VIGIL_EINVAL;
    if (addr->family != VIGIL_FAMILY_UNIX && !is_of_host(file->host, addr))
        return VIGIL_EADDR;
    vigil_addr at = *addr;
    if (at.family != VIGIL_FAMILY_UNIX && at.port == 0)
        at.port = free_port(file->host);
    if (is_taken(file, &at))
        return VIGIL_EADDRINUSE;
    int err = at.family == VIGIL_FAMILY_UNIX ? name_make(file, &at) : 0;
    if (err < 0)
        return err;
    file->local = at;
    vigil__list_remove(&file->link); /* it holds its address from now on */
    vigil__list_append(&file->sim->listeners, &file->link);
    return 0;
}

int vigil__sim_listen(struct sim_file *file, int backlog)
{
    if (file->state != SIM_NEW)
        return VIGIL_EINVAL;
    if (file->local.family == VIGIL_FAMILY_NONE) { /* a port of its own, as Linux gives it */
        int err = vigil__sim_bind(file, &(vigil_addr){ .family = VIGIL_FAMILY_INET });
        if (err < 0)
            return err;
    }
    file->kind = SIM_LISTENER;
    file->backlog = backlog > 0 ? (uint32_t)vigil__min((size_t)backlog, BACKLOG_MAX) : 1;
    return 0;
}

static struct sim_file *newcomer_take(struct sim_file *listener)
{
    struct sim_file *file = VIGIL_OWNER(listener->waiting.next, struct sim_file, waiting_link);
    vigil__list_remove(&file->waiting_link);
    listener->waiting_count--;
    return file;
}

void vigil__sim_listener_close(struct sim_file *listener)
{
    while (!vigil__list_empty(&listener->waiting)) {
        struct sim_file *file = newcomer_take(listener);
        file->reset_on_close = true;
        vigil__sim_file_close(file);
    }
}

int vigil__sim_accept(struct sim_file *listener, vigil_fd *out)
{
    struct sim_host *host = listener->host;
    if (listener->kind != SIM_LISTENER)
        return VIGIL_EINVAL;
    if (vigil__list_empty(&listener->waiting))
        return VIGIL__EAGAIN;
    int err = vigil__sim_short_of_fds(host);
    if (err == 0)
        err = vigil__sim_short_of_buffers(host);
    if (err == 0 && host->fd_count >= host->fd_limit)
        err = VIGIL_EMFILE;
    if (err != 0) {
        host->accept_shortages++;
        host->short_at = host->sim->now;
        return err; /* the newcomer stays where it is */
    }
    struct sim_file *file = newcomer_take(listener);
    listener->accepted++;
    vigil__sim_moved(host->sim);
    if (vigil__sim_fault(host->sim, NULL, VIGIL_SIM_ABORTED)) {
        file->reset_on_close = true;
        host->accept_errors++;
        if (file->peer != NULL)
            vigil__sim_hurt_file(file->peer, VIGIL_SIM_ABORTED);
        vigil__sim_file_close(file);
        return VIGIL_ECONNRESET;
    }
    err = vigil__sim_fd_new(host, file, out);
    if (err != 0)
        vigil__sim_file_close(file);
    if (err == 0 && file->peer != NULL)
        file->peer->fate.accepted_at = host->sim->now;
    host->accepts += err == 0;
    return err;
}

/* ---- connecting ---- */

/* A connection of two files, of which the new one waits at the listener.  False: no memory. */
static bool newcomer_make(struct sim_file *listener, struct sim_file *client)
{
    struct sim_file *file = vigil__sim_file_new(listener->host, SIM_SOCKET);
    if (file == NULL)
        return false;
    file->open = true;
    file->local = client->remote;
    file->remote = client->local;
    if (client->local.family == VIGIL_FAMILY_NONE)
        file->remote.family = VIGIL_FAMILY_UNIX;
    file->hurt = client->hurt;
    enum sim_state state = client->state;
    vigil__sim_join(client, file);
    client->state = state;
    vigil__list_append(&listener->waiting, &file->waiting_link);
    listener->waiting_count++;
    listener->activity++;
    listener->inputs++;
    listener->sim->connections++;
    vigil__sim_moved(listener->sim);
    vigil__sim_story_file(file, "waits to be accepted");
    return true;
}

static int connect_unix(struct sim_file *file, const vigil_addr *to)
{
    struct sim_file *listener = listener_find(file->host, &file->local, to);
    if (listener == NULL) { /* an abstract name is there for whoever asks, as on Linux */
        bool there = to->path[0] == '\0' ||
                     vigil__sim_name_find(file->host, to->path, to->path_len) != NULL;
        return there ? VIGIL_ECONNREFUSED : VIGIL_ENOENT;
    }
    if (listener->waiting_count >= listener->backlog)
        return VIGIL_EBUSY;
    file->remote = *to;
    if (file->local.family == VIGIL_FAMILY_NONE)
        file->local.family = VIGIL_FAMILY_UNIX;
    if (!newcomer_make(listener, file))
        return VIGIL_ENOBUFS;
    file->state = SIM_CONNECTED;
    return 0;
}

static struct sim_host *host_to(const struct sim_file *file)
{
    const vigil_addr *to = &file->remote;
    bool own = is_any(to) || is_loopback(to);
    return own ? file->host : vigil__sim_host_find(file->sim, to);
}

static vigil_ns one_way(struct sim_file *file, const struct sim_host *to)
{
    return vigil__sim_link_find(file->sim, file->host, to)->is.latency_ns;
}

static int await(struct sim_file *file, void (*fn)(struct sim_event *event), vigil_ns delay)
{
    file->event.fn = fn;
    return vigil__sim_event_at(file->sim, &file->event, file->sim->now + delay) ? 0 : VIGIL_ENOBUFS;
}

static vigil_ns connect_faults(struct sim_file *file)
{
    vigil_sim *sim = file->sim;
    if (!vigil__sim_fault(sim, NULL, VIGIL_SIM_DELAYED))
        return 0;
    vigil__sim_hurt_file(file, VIGIL_SIM_DELAYED);
    return VIGIL_MS(1 + vigil_sim_choose(sim, "connect ms", DELAY_MAX_MS));
}

static int connect_begin(struct sim_file *file)
{
    vigil_sim *sim = file->sim;
    struct sim_host *to = host_to(file);
    file->state = SIM_CONNECTING;
    if (to == NULL)
        return await(file, nobody_there, unreachable_after);
    vigil__sim_outage_occasion(file->host, to);
    vigil_ns way = one_way(file, to);
    if (vigil__sim_fault(sim, NULL, VIGIL_SIM_REFUSED)) {
        vigil__sim_hurt_file(file, VIGIL_SIM_REFUSED);
        return await(file, syn_refused, 2 * way);
    }
    if (vigil__sim_fault(sim, NULL, VIGIL_SIM_BLACK_HOLE)) {
        vigil__sim_hurt_file(file, VIGIL_SIM_BLACK_HOLE);
        file->syn_tries = SYN_TRIES_MAX;
        return await(file, nobody_there, VIGIL_S(127));
    }
    return await(file, syn_arrives, way + connect_faults(file));
}

int vigil__sim_connect(struct sim_file *file, const vigil_addr *to)
{
    if (file->state != SIM_NEW || file->kind != SIM_SOCKET)
        return VIGIL_EINVAL;
    if (to->family == VIGIL_FAMILY_UNIX)
        return connect_unix(file, to);
    file->remote = *to;
    if (is_any(to)) { /* as Linux takes it */
        bool v4 = to->family == VIGIL_FAMILY_INET;
        file->remote.ip[v4 ? 0 : 15] = v4 ? 127 : 1;
        file->remote.ip[v4 ? 3 : 15] = 1;
    }
    if (file->local.family == VIGIL_FAMILY_NONE) {
        file->local = is_loopback(&file->remote) ? file->remote : file->host->address;
        file->local.port = free_port(file->host);
    }
    vigil__sim_story_file(file, "connects");
    int err = connect_begin(file);
    return err < 0 ? err : VIGIL__EAGAIN;
}

/* Sent again after 1, 2, 4 ... seconds. */
static void syn_again(struct sim_file *file)
{
    if (file->syn_tries == SYN_TRIES_MAX ||
        await(file, syn_arrives, VIGIL_S((vigil_ns)1 << file->syn_tries)) < 0)
        vigil__sim_break(file, VIGIL_ETIMEDOUT);
    file->syn_tries++;
    file->fate.lost_syn = true;
}

static void syn_arrives(struct sim_event *event)
{
    struct sim_file *file = of_event(event);
    struct sim_host *to = host_to(file);
    if (to->dead || vigil__sim_link_is_cut(vigil__sim_link_find(file->sim, file->host, to))) {
        if (!file->hurt)
            vigil__sim_hurt_file(file, VIGIL_SIM_PARTITION);
        syn_again(file);
        return;
    }
    struct sim_file *listener = listener_find(to, &file->local, &file->remote);
    vigil_ns way = one_way(file, to);
    if (listener == NULL) {
        if (await(file, syn_refused, way) < 0)
            vigil__sim_break(file, VIGIL_ECONNREFUSED);
        return;
    }
    if (listener->waiting_count >= listener->backlog || await(file, syn_answered, way) < 0 ||
        !newcomer_make(listener, file))
        syn_again(file);
}

static void syn_answered(struct sim_event *event)
{
    struct sim_file *file = of_event(event);
    if (file->state != SIM_CONNECTING)
        return; /* reset already */
    file->state = SIM_CONNECTED;
    file->activity++;
}

static void syn_refused(struct sim_event *event)
{
    vigil__sim_break(of_event(event), VIGIL_ECONNREFUSED);
}

static void nobody_there(struct sim_event *event)
{
    struct sim_file *file = of_event(event);
    vigil__sim_break(file, file->syn_tries == SYN_TRIES_MAX ? VIGIL_ETIMEDOUT : VIGIL_EUNREACH);
}
