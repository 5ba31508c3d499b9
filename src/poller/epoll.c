/* SPDX-License-Identifier: MIT
 *
 * epoll.c -- the backend on epoll(7).  Floor: poller.
 *
 * The kernel watches open files, not descriptors: when somebody closed a descriptor that has a
 * duplicate, the old file cannot be taken out any more and is reported for ever.  So an event names
 * its descriptor with a generation; one that nobody waits for any more makes us begin a new set
 * without it.  Files that it refuses are epoll_files.c's.
 */
#include "poller/backend.h"

#ifdef __linux__

#include "poller/epoll_files.h"
#include "poller/fd_table.h"
#include "sys/wait_calls.h"

#define EPOLL_REPORTS (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP | VIGIL_ERR | VIGIL_HUP)

enum { EPOLL_BATCH = 256 }; /* more ready ones come with the next wait */

/* An entry's marks. */
enum {
    ARMED,
    BEACON,   /* of the files that epoll refuses, which tell it nothing */
    ONE_SHOT, /* armed once */
    FIRED,    /* and reported */
};

/* An entry's generation goes up by two, and has this while its mark is another than ARMED.  The
 * kernel is told it without: one look tells whether there is nothing to do but to hand an event on.
 */
enum { MARKED = 1, GENERATION = 2 };

struct epoll_backend {
    const vigil_allocator *allocator;
    struct vigil__fd_table table; /* also the waker, key class WAKE, and the files' beacon */
    struct vigil__waker waker;    /* edge-triggered: it need not be read */
    struct vigil__epoll_files files;
    int epoll;
    struct vigil__epoll_event events[EPOLL_BATCH];
};

static void epoll_close(void *self);
static int epoll_arm(struct epoll_backend *epoll, enum vigil__epoll_op op, vigil_fd fd,
                     uint32_t want, uint64_t key);
static void epoll_remove(struct epoll_backend *epoll, vigil_fd fd);
static int epoll_add_file(struct epoll_backend *epoll, vigil_fd fd, uint32_t want, uint64_t key);
static void epoll_begin_anew(struct epoll_backend *epoll);
static void epoll_mark(struct vigil__fd_entry *entry, uint16_t mark);

static int epoll_open(void **self, const struct vigil__backend_config *config,
                      struct vigil__backend_caps *found)
{
    struct epoll_backend *epoll = vigil__alloc(config->allocator, sizeof(*epoll));
    if (epoll == NULL)
        return VIGIL_ENOMEM;
    *epoll = (struct epoll_backend){ .allocator = config->allocator,
                                     .table.allocator = config->allocator };
    vigil__epoll_files_init(&epoll->files, config->allocator);
    epoll->epoll = vigil__call_epoll_create();
    int err = epoll->epoll;
    if (err < 0)
        goto fail_free;
    err = vigil__call_waker_open(&epoll->waker);
    if (err < 0)
        goto fail_close;
    err = epoll_arm(epoll, VIGIL__EPOLL_ADD, epoll->waker.read_fd, VIGIL_IN | VIGIL_EDGE,
                    vigil__key(VIGIL__KEY_WAKE, 0, 0, 0));
    if (err < 0) {
        epoll_close(epoll);
        return err;
    }
    *found = (struct vigil__backend_caps){ .events = EPOLL_REPORTS, .edge = true };
    *self = epoll;
    return 0;
fail_close:
    vigil__call_close(epoll->epoll);
fail_free:
    vigil__free(config->allocator, epoll, sizeof(*epoll));
    return err;
}

/* In a forked child too: it closes descriptors and changes no set, so the parent's goes on. */
static void epoll_close(void *self)
{
    struct epoll_backend *epoll = self;
    vigil__epoll_files_close(&epoll->files);
    vigil__fd_table_clear(&epoll->table);
    vigil__call_waker_close(&epoll->waker);
    vigil__call_close(epoll->epoll);
    vigil__free(epoll->allocator, epoll, sizeof(*epoll));
}

static int epoll_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct epoll_backend *epoll = self;
    if (vigil__epoll_files_has(&epoll->files, fd))
        return vigil__epoll_files_set(&epoll->files, fd, was, want, key);
    bool known = vigil__fd_table_find(&epoll->table, fd) != NULL;
    if (want == 0) {
        if (known)
            epoll_remove(epoll, fd);
        return 0;
    }
    if (known)
        return was == 0 ? VIGIL_EEXIST : epoll_arm(epoll, VIGIL__EPOLL_MODIFY, fd, want, key);
    int err = epoll_arm(epoll, VIGIL__EPOLL_ADD, fd, want, key);
    return err == VIGIL_ENOTSUP ? epoll_add_file(epoll, fd, want, key) : err;
}

static uint32_t event_generation(const struct vigil__epoll_event *event)
{
    return (uint32_t)(event->key >> 32);
}

/* Of an entry with a mark.  Answers how many records it made, of which there is room for one at
 * least; or -1: nobody waits for it any more. */
static int epoll_report_marked(struct epoll_backend *epoll, struct vigil__fd_entry *entry,
                               const struct vigil__epoll_event *event,
                               struct vigil__record *records, int room)
{
    if (entry->generation != (event_generation(event) | MARKED))
        return -1;
    if (entry->marks == BEACON)
        return vigil__epoll_files_report(&epoll->files, records, room);
    epoll_mark(entry, FIRED);
    records->key = entry->key;
    records->res = (int32_t)event->events;
    return 1;
}

VIGIL_HOT static int epoll_wait(void *self, struct vigil__record *records, int cap,
                                vigil_ns timeout_ns)
{
    struct epoll_backend *epoll = self;
    struct vigil__epoll_event *events = epoll->events;
    int ready = vigil__call_epoll_wait(epoll->epoll, events, cap < EPOLL_BATCH ? cap : EPOLL_BATCH,
                                       timeout_ns);
    struct vigil__fd_entry *entries = epoll->table.entries;
    struct vigil__record *next = records;
    bool stale = false;
    const struct vigil__epoll_event *end = events + (ready > 0 ? ready : 0);
    for (const struct vigil__epoll_event *event = events; event < end; event++) {
        struct vigil__fd_entry *entry = &entries[(uint32_t)event->key];
        if (VIGIL_UNLIKELY(entry->generation != event_generation(event))) {
            int others = (int)(end - event) - 1; /* their places are kept */
            int n = epoll_report_marked(epoll, entry, event, next,
                                        cap - (int)(next - records) - others);
            stale = stale || n < 0;
            next += n < 0 ? 0 : n;
            continue;
        }
        next->key = entry->key;
        next->res = (int32_t)event->events;
        next++;
    }
    if (VIGIL_UNLIKELY(stale))
        epoll_begin_anew(epoll);
    return ready < 0 ? ready : (int)(next - records);
}

static int epoll_wake(void *self)
{
    struct epoll_backend *epoll = self;
    return vigil__call_waker_signal(&epoll->waker);
}

static int epoll_fd(void *self)
{
    struct epoll_backend *epoll = self;
    return epoll->epoll;
}

const struct vigil__backend vigil__backend_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .forget = epoll_close,
    .set = epoll_set,
    .wait = epoll_wait,
    .wake = epoll_wake,
    .fd = epoll_fd,
};

static void epoll_mark(struct vigil__fd_entry *entry, uint16_t mark)
{
    entry->marks = mark;
    entry->generation = (entry->generation & ~(uint32_t)MARKED) | (mark != ARMED ? MARKED : 0);
}

/* Tells the kernel of a descriptor, with what it gives back: the number below the generation. */
static int tell(int epoll, enum vigil__epoll_op op, const struct vigil__fd_table *table,
                vigil_fd fd, uint32_t want)
{
    uint32_t generation = table->entries[fd].generation & ~(uint32_t)MARKED;
    return vigil__call_epoll_ctl(epoll, op, fd, want, (uint64_t)generation << 32 | (uint32_t)fd);
}

static int epoll_arm(struct epoll_backend *epoll, enum vigil__epoll_op op, vigil_fd fd,
                     uint32_t want, uint64_t key)
{
    int err = vigil__fd_table_reserve(&epoll->table, fd);
    if (err < 0)
        return err;
    struct vigil__fd_entry *entry = &epoll->table.entries[fd];
    err = tell(epoll->epoll, op, &epoll->table, fd, want);
    if (err == VIGIL_EEXIST) { /* left behind by a close behind our back; the file is back, too */
        err = tell(epoll->epoll, VIGIL__EPOLL_MODIFY, &epoll->table, fd, want);
    } else if (err == VIGIL_ENOENT) { /* another file has the number: take that, as poll(2) does */
        entry->generation += GENERATION;
        err = tell(epoll->epoll, VIGIL__EPOLL_ADD, &epoll->table, fd, want);
    }
    if (err < 0)
        return err;
    entry->want = (uint16_t)want;
    entry->key = key;
    epoll_mark(entry, (want & VIGIL_ONESHOT) != 0 ? ONE_SHOT : ARMED);
    return 0;
}

static void epoll_remove(struct epoll_backend *epoll, vigil_fd fd)
{
    struct vigil__fd_entry *entry = &epoll->table.entries[fd];
    /* It fails when the descriptor was closed before.  Then the kernel has taken it out, or else
     * its next event, with a generation that is over, will tell. */
    (void)tell(epoll->epoll, VIGIL__EPOLL_REMOVE, &epoll->table, fd, 0);
    entry->want = 0;
    entry->generation += GENERATION;
}

static int epoll_add_file(struct epoll_backend *epoll, vigil_fd fd, uint32_t want, uint64_t key)
{
    int err = vigil__epoll_files_open(&epoll->files);
    vigil_fd beacon = epoll->files.beacon.read_fd;
    if (err == 0 && vigil__fd_table_find(&epoll->table, beacon) == NULL) {
        err = epoll_arm(epoll, VIGIL__EPOLL_ADD, beacon, VIGIL_IN, 0);
        if (err == 0)
            epoll_mark(vigil__fd_table_at(&epoll->table, beacon), BEACON);
    }
    return err < 0 ? err : vigil__epoll_files_add(&epoll->files, fd, want, key);
}

/* A new set, with what is still waited for, takes the old one's number: a foreign loop may wait for
 * that.  It tells once more of edges, the last wake-up's, too.  When there is no descriptor or
 * memory for it the old set stays, and the next event of that kind tries again. */
static void epoll_begin_anew(struct epoll_backend *epoll)
{
    int fresh = vigil__call_epoll_create();
    if (fresh < 0)
        return;
    int err = 0;
    for (uint32_t fd = 0; fd < epoll->table.used && err != VIGIL_ENOMEM; fd++) {
        const struct vigil__fd_entry *entry = &epoll->table.entries[fd];
        if (entry->want != 0 && entry->marks != FIRED)
            /* Fails for one that was closed, which is what closing it does anyway. */
            err = tell(fresh, VIGIL__EPOLL_ADD, &epoll->table, (vigil_fd)fd, entry->want);
    }
    if (err == VIGIL_ENOMEM || vigil__call_replace(epoll->epoll, fresh) < 0)
        vigil__call_close(fresh);
}

#endif
