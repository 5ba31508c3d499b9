/* SPDX-License-Identifier: MIT
 *
 * poller.c -- layer 1: register once, wait many times.  Floor: poller.
 *
 * A registration is a slot with a generation, and its key is what the backend reports.  Adding and
 * removing reach the backend at once; changes are noted in a list and handed over before the wait.
 */
#include "base/list.h"
#include "base/slab.h"
#include "poller/backend.h"
#include "poller/fd_table.h"

enum {
    POLLER_BATCH = 256, /* records per wait; more ready ones come with the next */
    POLLER_EVENTS = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP,
    POLLER_MODES = VIGIL_EDGE | VIGIL_ONESHOT,
};

struct registration {
    struct vigil__slot slot;
    vigil_fd fd;
    uint32_t want; /* what the user wants; 0: nothing for now */
    uint32_t set;  /* what the backend was told last */
    uintptr_t tag;
    struct vigil__link change; /* in vigil_poller.changes while want is not handed over */
};

struct vigil_poller {
    const vigil_allocator *allocator;
    const struct vigil__backend *backend;
    void *self;
    struct vigil__backend_caps caps;
    uint64_t process;
    struct vigil__slab registrations;
    struct vigil__fd_table registered; /* also those that want nothing now; key: the handle */
    struct vigil__link changes;
    struct vigil__record records[POLLER_BATCH];
};

static int check_events(const vigil_poller *poller, unsigned events);
static int hand_over_changes(vigil_poller *poller, vigil_event *events, int max);
static int take_records(vigil_poller *poller, vigil_event *events, int count);

static struct registration *find(const vigil_poller *poller, vigil_reg reg)
{
    return vigil__slab_find(&poller->registrations, reg.v);
}

static uint64_t key_of(const struct registration *r)
{
    return vigil__key(VIGIL__KEY_WATCH, 0, r->slot.generation, r->slot.index);
}

int vigil_poller_open(vigil_poller **out, const char *backend)
{
    if (out == NULL)
        return VIGIL_EINVAL;
    const vigil_host *host = vigil__host_system();
    const vigil_allocator *allocator = &host->allocator;
    vigil_poller *poller = vigil__alloc(allocator, sizeof(*poller));
    if (poller == NULL)
        return VIGIL_ENOMEM;
    *poller = (vigil_poller){ .allocator = allocator,
                              .process = vigil__process_mark(),
                              .registered.allocator = allocator };
    struct vigil__backend_config config = { .host = host, .allocator = allocator };
    int err = vigil__backend_open(backend, &config, &poller->backend, &poller->self, &poller->caps);
    if (err < 0) {
        vigil__free(allocator, poller, sizeof(*poller));
        return err;
    }
    vigil__slab_init(&poller->registrations, allocator, sizeof(struct registration));
    vigil__list_init(&poller->changes);
    *out = poller;
    return 0;
}

void vigil_poller_close(vigil_poller *poller)
{
    if (poller == NULL)
        return;
    if (vigil__process_is(poller->process))
        poller->backend->close(poller->self);
    else
        poller->backend->forget(poller->self);
    vigil__slab_clear(&poller->registrations);
    vigil__fd_table_clear(&poller->registered);
    vigil__free(poller->allocator, poller, sizeof(*poller));
}

int vigil_poller_register(vigil_poller *poller, vigil_fd fd, unsigned events, uintptr_t tag,
                          vigil_reg *out)
{
    if (poller == NULL || out == NULL || events == 0)
        return VIGIL_EINVAL;
    if (!vigil__process_is(poller->process))
        return VIGIL_EFORK;
    int err = check_events(poller, events);
    if (err == 0)
        err = vigil__fd_table_reserve(&poller->registered, fd);
    if (err < 0)
        return err;
    struct vigil__fd_entry *entry = vigil__fd_table_at(&poller->registered, fd);
    if (entry->want != 0)
        return VIGIL_EEXIST;
    struct registration *r = vigil__slab_take(&poller->registrations);
    if (r == NULL)
        return VIGIL_ENOMEM;
    r->fd = fd;
    r->want = r->set = events;
    r->tag = tag;
    vigil__list_init(&r->change);
    err = poller->backend->set(poller->self, fd, 0, events, key_of(r));
    if (err < 0) {
        vigil__slab_give(&poller->registrations, r);
        return err;
    }
    out->v = vigil__slot_handle(&r->slot);
    *entry = (struct vigil__fd_entry){ .key = out->v, .want = 1 };
    return 0;
}

int vigil_poller_modify(vigil_poller *poller, vigil_reg reg, unsigned events)
{
    if (poller == NULL)
        return VIGIL_EINVAL;
    struct registration *r = find(poller, reg);
    if (r == NULL)
        return VIGIL_ESTALE;
    int err = events == 0 ? 0 : check_events(poller, events);
    if (err < 0)
        return err;
    r->want = events;
    vigil__list_remove(&r->change);
    vigil__list_append(&poller->changes, &r->change);
    return 0;
}

int vigil_poller_unregister(vigil_poller *poller, vigil_reg reg)
{
    if (poller == NULL)
        return VIGIL_EINVAL;
    struct registration *r = find(poller, reg);
    if (r == NULL)
        return VIGIL_ESTALE;
    if (!vigil__process_is(poller->process))
        return VIGIL_EFORK; /* the kernel's set is the parent's */
    if (r->set != 0)
        (void)poller->backend->set(poller->self, r->fd, r->set, 0, 0); /* removing never fails */
    vigil__fd_table_at(&poller->registered, r->fd)->want = 0;
    vigil__list_remove(&r->change);
    vigil__slab_give(&poller->registrations, r);
    return 0;
}

bool vigil_poller_live(const vigil_poller *poller, vigil_reg reg)
{
    return find(poller, reg) != NULL;
}

int vigil_poller_wait(vigil_poller *poller, vigil_event *events, int max, vigil_ns timeout_ns)
{
    if (poller == NULL || events == NULL || max <= 0 || timeout_ns < 0)
        return VIGIL_EINVAL;
    if (!vigil__process_is(poller->process))
        return VIGIL_EFORK;
    int failed = hand_over_changes(poller, events, max);
    if (failed < 0 || failed == max)
        return failed;
    int cap = max - failed < POLLER_BATCH ? max - failed : POLLER_BATCH;
    int n = poller->backend->wait(poller->self, poller->records, cap,
                                  failed > 0 ? VIGIL_NOWAIT : timeout_ns);
    if (n < 0)
        return failed > 0 ? failed : n;
    return failed + take_records(poller, events + failed, n);
}

int vigil_poller_wake(vigil_poller *poller)
{
    if (poller == NULL)
        return VIGIL_EINVAL;
    if (!vigil__process_is(poller->process))
        return VIGIL_EFORK; /* the waker is the parent's, too */
    return poller->backend->wake(poller->self);
}

unsigned vigil_poller_caps(const vigil_poller *poller)
{
    unsigned modes = poller->caps.edge ? POLLER_MODES : VIGIL_ONESHOT;
    return poller->caps.events | modes;
}

const char *vigil_poller_backend(const vigil_poller *poller)
{
    return poller->backend->name;
}

static int check_events(const vigil_poller *poller, unsigned events)
{
    if ((events & POLLER_EVENTS) == 0 || (events & ~(unsigned)(POLLER_EVENTS | POLLER_MODES)) != 0)
        return VIGIL_EINVAL;
    return (events & VIGIL_EDGE) != 0 && !poller->caps.edge ? VIGIL_ENOTSUP : 0;
}

static vigil_event event_of(const struct registration *r, unsigned events)
{
    return (vigil_event){ .reg = { vigil__slot_handle(&r->slot) },
                          .tag = r->tag,
                          .fd = r->fd,
                          .events = (uint16_t)events };
}

/* Answers how many could not be changed, which is told in an event, once per change: a descriptor
 * that was closed meanwhile.  VIGIL_ENOMEM: the rest stays noted. */
static int hand_over_changes(vigil_poller *poller, vigil_event *events, int max)
{
    int failed = 0;
    while (failed < max && !vigil__list_empty(&poller->changes)) {
        struct registration *r = VIGIL_OWNER(poller->changes.next, struct registration, change);
        bool again = (r->want & POLLER_MODES) != 0; /* the same once more re-arms */
        int err = 0;
        if (r->want != r->set || again)
            err = poller->backend->set(poller->self, r->fd, r->set, r->want, key_of(r));
        if (err == VIGIL_ENOMEM)
            return failed > 0 ? failed : err;
        vigil__list_remove(&r->change);
        if (err == 0)
            r->set = r->want;
        else
            events[failed++] = event_of(r, err == VIGIL_EBADF ? VIGIL_NVAL | VIGIL_ERR : VIGIL_ERR);
    }
    return failed;
}

/* Turns records into events.  The waker's tells nothing but that the wait is over. */
static int take_records(vigil_poller *poller, vigil_event *events, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        const struct vigil__record *record = &poller->records[i];
        if (vigil__key_class(record->key) != VIGIL__KEY_WATCH)
            continue;
        struct registration *r = vigil__slab_at(&poller->registrations,
                                                vigil__key_slot(record->key));
        if (key_of(r) == record->key)
            events[n++] = event_of(r, (unsigned)record->res);
    }
    return n;
}
