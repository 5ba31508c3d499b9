/* SPDX-License-Identifier: MIT
 *
 * backend.c -- waiting in a world, in both shapes: sim-ready tells which descriptors are ready,
 * sim-complete performs operations as well (complete.c).  Floor: sim.
 *
 * While a loop waits in vigil_loop_run(), the world goes on around it.
 */
#include "sim/sim.h"

#include <string.h>

static bool backend_answers(const struct sim_turner *turner);
static int collect(struct sim_backend *backend, struct vigil__record *records, int cap);

static int backend_open(void **self, const struct vigil__backend_config *config, bool completes)
{
    struct sim_host *host = vigil__sim_host_of(config->host);
    int err = vigil__sim_call(host, VIGIL_SIM_CALL_OPEN);
    if (err == 0 && host->dead)
        err = host->why_dead != 0 ? host->why_dead : VIGIL_ENOTSUP;
    if (err == 0)
        err = vigil__sim_short_of_fds(host);
    if (err < 0)
        return err;
    struct sim_backend *backend = vigil__alloc(config->allocator, sizeof(*backend));
    if (backend == NULL)
        return VIGIL_ENOMEM;
    *backend = (struct sim_backend){ .host = host,
                                     .allocator = config->allocator,
                                     .pool = config->pool };
    backend->turner.host = host;
    backend->turner.answers = backend_answers;
    if (config->pool != NULL)
        backend->turner.loop = VIGIL_OWNER(config->pool, struct vigil_loop, pool);
    vigil__list_init(&backend->ops);
    err = completes && config->pool != NULL ? vigil__sim_ops_open(backend) : 0;
    if (err < 0) {
        vigil__free(config->allocator, backend, sizeof(*backend));
        return err;
    }
    vigil__sim_turner_add(&backend->turner);
    *self = backend;
    return 0;
}

static const unsigned all_events = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP | VIGIL_ERR |
                                   VIGIL_HUP | VIGIL_NVAL;

static int ready_open(void **self, const struct vigil__backend_config *config,
                      struct vigil__backend_caps *found)
{
    *found = (struct vigil__backend_caps){ .events = all_events, .edge = true };
    return backend_open(self, config, false);
}

static int complete_open(void **self, const struct vigil__backend_config *config,
                         struct vigil__backend_caps *found)
{
    *found = (struct vigil__backend_caps){ .events = all_events, .edge = true };
    if (config->pool != NULL)
        found->op_kinds = 1u << VIGIL__OP_RECV | 1u << VIGIL__OP_SEND | 1u << VIGIL__OP_ACCEPT;
    return backend_open(self, config, true);
}

static void backend_close(void *self)
{
    struct sim_backend *backend = self;
    vigil__sim_turner_remove(&backend->turner);
    vigil__sim_ops_close(backend);
    vigil__free(backend->allocator, backend->entries, backend->room * sizeof(*backend->entries));
    vigil__free(backend->allocator, backend, sizeof(*backend));
}

/* ---- what is registered ---- */

static bool entry_room(struct sim_backend *backend, uint32_t fd)
{
    if (fd < backend->room)
        return true;
    uint32_t room = backend->room != 0 ? backend->room : 16;
    while (room <= fd)
        room *= 2;
    struct sim_entry *entries = vigil__resize(backend->allocator, backend->entries,
                                              backend->room * sizeof(*entries),
                                              room * sizeof(*entries));
    if (entries == NULL)
        return false;
    memset(entries + backend->room, 0, (room - backend->room) * sizeof(*entries));
    backend->entries = entries;
    backend->room = room;
    return true;
}

static bool is_registered(const struct sim_backend *backend, vigil_fd fd)
{
    return vigil__fd_valid(fd) && (uint32_t)fd < backend->room && backend->entries[fd].want != 0;
}

static int why_not_set(struct sim_backend *backend, vigil_fd fd, uint32_t was)
{
    struct sim_host *host = backend->host;
    int err = vigil__sim_call(host, VIGIL_SIM_CALL_SET);
    if (err < 0)
        return err;
    if (vigil__sim_fd_file(host, fd) == NULL)
        return VIGIL_EBADF;
    if (was == 0 && is_registered(backend, fd))
        return VIGIL_EEXIST;
    if (was == 0 && vigil__sim_short_of_buffers(host) != 0)
        return VIGIL_ENOMEM;
    return entry_room(backend, (uint32_t)fd) ? 0 : VIGIL_ENOMEM;
}

static int backend_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct sim_backend *backend = self;
    if (want == 0) {
        if (is_registered(backend, fd)) {
            backend->entries[fd].want = 0;
            backend->registered--;
        }
        return 0;
    }
    int err = why_not_set(backend, fd, was);
    if (err < 0)
        return err;
    backend->registered += !is_registered(backend, fd);
    backend->entries[fd] = (struct sim_entry){ .key = key, .want = want, .told = UINT64_MAX };
    return 0;
}

/* What is to be told of a descriptor now; 0: nothing. */
static unsigned entry_events(const struct sim_backend *backend, uint32_t fd)
{
    const struct sim_entry *entry = &backend->entries[fd];
    if (entry->want == 0 || entry->fired)
        return 0;
    const struct sim_file *file = vigil__sim_fd_file(backend->host, (vigil_fd)fd);
    if (file == NULL)
        return VIGIL_NVAL | VIGIL_ERR; /* closed behind our back */
    if ((entry->want & VIGIL_EDGE) != 0 && entry->told == file->activity)
        return 0;
    return vigil__sim_ready(file) & (entry->want | VIGIL_ERR | VIGIL_HUP);
}

/* ---- waiting ---- */

static bool backend_answers(const struct sim_turner *turner)
{
    const struct sim_backend *backend = VIGIL_OWNER(turner, struct sim_backend, turner);
    if (backend->woken)
        return true;
    for (uint32_t fd = 0, left = backend->registered; left > 0; fd++) {
        if (backend->entries[fd].want == 0)
            continue;
        if (entry_events(backend, fd) != 0)
            return true;
        left--;
    }
    return vigil__sim_ops_ready(backend);
}

static int backend_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct sim_backend *backend = self;
    vigil_sim *sim = backend->host->sim;
    int err = vigil__sim_call(backend->host, VIGIL_SIM_CALL_WAIT);
    if (err < 0)
        return err;
    if (vigil__sim_turner_dead(&backend->turner))
        return collect(backend, records, cap); /* operations end; nothing else happens */
    vigil_ns deadline = vigil__sim_deadline(backend->host, timeout_ns);
    if (vigil__sim_fault(sim, backend->host, VIGIL_SIM_EINTR))
        return 0;
    for (;;) {
        int n = collect(backend, records, cap);
        if (n > 0 || timeout_ns == VIGIL_NOWAIT || sim->now >= deadline)
            return n;
        if (sim->failed_oracle != NULL)
            return VIGIL_ECANCELED;
        if (!vigil__sim_step(sim, &backend->turner, deadline))
            return VIGIL_ETIMEDOUT; /* nothing will ever happen */
    }
}

static int backend_wake(void *self)
{
    struct sim_backend *backend = self;
    backend->woken = true;
    return 0;
}

/* ---- records ---- */

static bool tell_ready(struct sim_backend *backend, uint32_t fd, struct vigil__record *record)
{
    struct sim_entry *entry = &backend->entries[fd];
    unsigned events = entry_events(backend, fd);
    if (events == 0 || vigil__sim_fault(backend->host->sim, backend->host, VIGIL_SIM_LATE))
        return false;
    const struct sim_file *file = vigil__sim_fd_file(backend->host, (vigil_fd)fd);
    entry->told = file != NULL ? file->activity : 0;
    entry->fired = (entry->want & VIGIL_ONESHOT) != 0;
    *record = (struct vigil__record){ .key = entry->key, .res = (int32_t)events };
    return true;
}

static int collect_ready(struct sim_backend *backend, struct vigil__record *records, int cap)
{
    vigil_sim *sim = backend->host->sim;
    int n = 0;
    uint32_t fd = backend->from < backend->room ? backend->from : 0;
    for (uint32_t left = backend->registered; left > 0 && n < cap;) {
        left -= backend->entries[fd].want != 0;
        if (tell_ready(backend, fd, &records[n])) {
            n++;
            bool once = (backend->entries[fd].want & VIGIL_ONESHOT) != 0;
            if (n < cap && !once && vigil__sim_fault(sim, backend->host, VIGIL_SIM_DUPLICATE)) {
                records[n] = records[n - 1];
                n++;
            }
        }
        fd = fd + 1 < backend->room ? fd + 1 : 0;
    }
    backend->from = n == cap ? fd : 0;
    return n;
}

/* One that is registered is called ready and is not. */
static int collect_spurious(struct sim_backend *backend, struct vigil__record *record)
{
    vigil_sim *sim = backend->host->sim;
    if (backend->room == 0 || !vigil__sim_fault(sim, backend->host, VIGIL_SIM_SPURIOUS))
        return 0;
    const struct sim_entry *entry =
        &backend->entries[vigil_sim_choose(sim, "which descriptor", backend->room)];
    uint32_t events = entry->want & (VIGIL_IN | VIGIL_OUT);
    if (events == 0 || entry->fired || (entry->want & VIGIL_ONESHOT) != 0)
        return 0;
    *record = (struct vigil__record){ .key = entry->key, .res = (int32_t)events };
    return 1;
}

/* What a system does to one connection it tells in order. */
static bool is_of_one(const struct vigil__record *a, const struct vigil__record *b)
{
    return a->key == b->key || (vigil__key_class(a->key) == vigil__key_class(b->key) &&
                                vigil__key_slot(a->key) == vigil__key_slot(b->key));
}

/* Neighbours change places. */
static void reorder(struct sim_backend *backend, struct vigil__record *records, int n)
{
    vigil_sim *sim = backend->host->sim;
    if (n < 2 || !vigil__sim_fault(sim, backend->host, VIGIL_SIM_REORDER))
        return;
    for (int i = 0; i + 1 < n; i++) {
        if (is_of_one(&records[i], &records[i + 1]) || vigil_sim_choose(sim, "swap", 2) == 0)
            continue;
        struct vigil__record record = records[i];
        records[i] = records[i + 1];
        records[i + 1] = record;
    }
}

static int collect_wake(struct sim_backend *backend, struct vigil__record *record)
{
    if (!backend->woken)
        return 0;
    backend->woken = false;
    *record = (struct vigil__record){ .key = vigil__key(VIGIL__KEY_WAKE, 0, 0, 0) };
    return 1;
}

/* A wake comes first, but not twice: who wakes all the time keeps nobody else out. */
static int collect(struct sim_backend *backend, struct vigil__record *records, int cap)
{
    bool first = !backend->woke;
    int n = first ? collect_wake(backend, records) : 0;
    backend->woke = n > 0;
    n += collect_ready(backend, records + n, cap - n);
    n += vigil__sim_ops_records(backend, records + n, cap - n);
    if (!first && n < cap)
        n += collect_wake(backend, &records[n]);
    if (n < cap)
        n += collect_spurious(backend, &records[n]);
    reorder(backend, records, n);
    vigil__sim_note(backend->host->sim, (uint64_t)n);
    return n;
}

const struct vigil__backend vigil__sim_backend_ready = {
    .name = "sim-ready",
    .open = ready_open,
    .close = backend_close,
    .forget = backend_close,
    .set = backend_set,
    .wait = backend_wait,
    .wake = backend_wake,
};

const struct vigil__backend vigil__sim_backend_complete = {
    .name = "sim-complete",
    .open = complete_open,
    .close = backend_close,
    .forget = backend_close,
    .set = backend_set,
    .wait = backend_wait,
    .wake = backend_wake,
    .flush = vigil__sim_ops_flush,
    .submit = vigil__sim_ops_submit,
    .cancel = vigil__sim_ops_cancel,
    .close_fd = vigil__sim_ops_close_fd,
    .give = vigil__sim_ops_give,
};
