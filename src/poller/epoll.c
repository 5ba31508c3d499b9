/* SPDX-License-Identifier: MIT
 *
 * epoll.c -- the backend on epoll(7).  Floor: poller.
 *
 * Two things the kernel does not do are done here.  Files that it refuses (regular files,
 * /dev/null) are always ready, as poll(2) says: while there are any, an eventfd that is readable
 * for ever stands for them in the set, so that they wait their turn among the others.  And it
 * watches open files, not descriptors: when somebody closed a descriptor that has a duplicate, the
 * old file cannot be taken out any more and is reported for ever.  So an event names its descriptor
 * with a generation; one that nobody waits for any more makes us begin a new set without it.
 */
#include "poller/backend.h"

#ifdef __linux__

#include "poller/fd_table.h"
#include "sys/wait_calls.h"

#define EPOLL_REPORTS (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP | VIGIL_ERR | VIGIL_HUP)

enum { EPOLL_BATCH = 256, FILES_ROOM_MIN = 4 };

/* An entry's `at` is a place in the list of files that are ready, or one of these. */
static const uint32_t in_kernel = UINT32_MAX;           /* armed there */
static const uint32_t in_kernel_fired = UINT32_MAX - 1; /* a one-shot that was reported */
static const uint32_t file_resting = UINT32_MAX - 2;    /* a file that has nothing to report */

/* What the kernel keeps with a descriptor and gives back is its number below a generation; these
 * name no descriptor. */
static const uint64_t waker_cookie = UINT64_MAX, beacon_cookie = UINT64_MAX - 1;

struct epoll_backend {
    const vigil_allocator *allocator;
    struct vigil__fd_table table;
    struct vigil__waker waker; /* edge-triggered: it need not be read */
    int epoll;
    struct vigil__waker beacon; /* stands for files; opened with the first of them */
    bool has_beacon;
    vigil_fd *files; /* those that are ready */
    uint32_t files_ready, files_all, files_room; /* room for all, so that re-arming cannot fail */
    uint32_t files_next;                         /* behind the last one reported */
};

static int epoll_watch_wakers(struct epoll_backend *epoll);
static int epoll_add(struct epoll_backend *epoll, vigil_fd fd, uint32_t want, uint64_t key);
static int epoll_change(struct epoll_backend *epoll, vigil_fd fd, uint32_t want, uint64_t key);
static void epoll_remove(struct epoll_backend *epoll, vigil_fd fd);
static bool epoll_report(struct epoll_backend *epoll, const struct vigil__epoll_event *event,
                         struct vigil__record *record);
static void epoll_begin_anew(struct epoll_backend *epoll);
static int files_reserve(struct epoll_backend *epoll);
static int beacon_open(struct epoll_backend *epoll);
static void files_arm(struct epoll_backend *epoll, vigil_fd fd);
static void files_rest(struct epoll_backend *epoll, struct vigil__fd_entry *entry);
static int files_report(struct epoll_backend *epoll, struct vigil__record *records, int cap);

static int epoll_open(void **self, const struct vigil__backend_config *config,
                      struct vigil__backend_caps *found)
{
    struct epoll_backend *epoll = vigil__alloc(config->allocator, sizeof(*epoll));
    if (epoll == NULL)
        return VIGIL_ENOMEM;
    *epoll = (struct epoll_backend){ .allocator = config->allocator,
                                     .table.allocator = config->allocator };
    epoll->epoll = vigil__call_epoll_create();
    int err = epoll->epoll;
    if (err < 0)
        goto fail_free;
    err = vigil__call_waker_open(&epoll->waker);
    if (err < 0)
        goto fail_close;
    err = epoll_watch_wakers(epoll);
    if (err < 0)
        goto fail_waker;
    *found = (struct vigil__backend_caps){ .events = EPOLL_REPORTS, .edge = true };
    *self = epoll;
    return 0;
fail_waker:
    vigil__call_waker_close(&epoll->waker);
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
    if (epoll->has_beacon)
        vigil__call_waker_close(&epoll->beacon);
    vigil__call_waker_close(&epoll->waker);
    vigil__call_close(epoll->epoll);
    vigil__fd_table_clear(&epoll->table);
    vigil__free(epoll->allocator, epoll->files, epoll->files_room * sizeof(*epoll->files));
    vigil__free(epoll->allocator, epoll, sizeof(*epoll));
}

static int epoll_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct epoll_backend *epoll = self;
    bool known = vigil__fd_table_find(&epoll->table, fd) != NULL;
    if (want == 0) {
        if (known)
            epoll_remove(epoll, fd);
        return 0;
    }
    if (!known)
        return epoll_add(epoll, fd, want, key);
    return was == 0 ? VIGIL_EEXIST : epoll_change(epoll, fd, want, key);
}

static int epoll_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct epoll_backend *epoll = self;
    struct vigil__epoll_event events[EPOLL_BATCH];
    int ready = vigil__call_epoll_wait(epoll->epoll, events, cap < EPOLL_BATCH ? cap : EPOLL_BATCH,
                                       timeout_ns);
    int n = 0;
    bool stale = false;
    for (int i = 0; i < ready; i++) {
        if (VIGIL_UNLIKELY(events[i].key == beacon_cookie))
            n += files_report(epoll, records + n, cap - n - (ready - i - 1));
        else if (VIGIL_LIKELY(epoll_report(epoll, &events[i], &records[n])))
            n++;
        else
            stale = true;
    }
    if (VIGIL_UNLIKELY(stale))
        epoll_begin_anew(epoll);
    return ready < 0 ? ready : n;
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

/* ---- what the kernel holds --------------------------------------------------------------- */

static uint64_t cookie_of(const struct epoll_backend *epoll, vigil_fd fd)
{
    return (uint64_t)epoll->table.entries[fd].generation << 32 | (uint32_t)fd;
}

static int epoll_watch_wakers(struct epoll_backend *epoll)
{
    int err = vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_ADD, epoll->waker.read_fd,
                                    VIGIL_IN | VIGIL_EDGE, waker_cookie);
    if (err == 0 && epoll->has_beacon)
        err = vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_ADD, epoll->beacon.read_fd,
                                    epoll->files_ready > 0 ? VIGIL_IN : 0, beacon_cookie);
    return err;
}

static int epoll_add(struct epoll_backend *epoll, vigil_fd fd, uint32_t want, uint64_t key)
{
    int err = vigil__fd_table_reserve(&epoll->table, fd);
    if (err < 0)
        return err;
    struct vigil__fd_entry *entry = &epoll->table.entries[fd];
    uint64_t cookie = cookie_of(epoll, fd);
    err = vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_ADD, fd, want, cookie);
    if (err == VIGIL_EEXIST) /* left behind by a close behind our back; the file is back, too */
        err = vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_MODIFY, fd, want, cookie);
    bool file = err == VIGIL_ENOTSUP;
    if (file)
        err = files_reserve(epoll);
    if (err < 0)
        return err;
    entry->want = want;
    entry->key = key;
    entry->at = in_kernel;
    if (file) {
        entry->at = file_resting;
        epoll->files_all++;
        files_arm(epoll, fd);
    }
    return 0;
}

static int epoll_change(struct epoll_backend *epoll, vigil_fd fd, uint32_t want, uint64_t key)
{
    struct vigil__fd_entry *entry = &epoll->table.entries[fd];
    entry->key = key;
    entry->want = want;
    if (entry->at < in_kernel_fired) {
        files_rest(epoll, entry);
        files_arm(epoll, fd);
        return 0;
    }
    int err = vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_MODIFY, fd, want,
                                    cookie_of(epoll, fd));
    if (err == VIGIL_ENOENT) { /* another file has the number: wait for that, as poll(2) does */
        entry->generation++;
        err = vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_ADD, fd, want,
                                    cookie_of(epoll, fd));
    }
    if (err == 0)
        entry->at = in_kernel;
    return err;
}

static void epoll_remove(struct epoll_backend *epoll, vigil_fd fd)
{
    struct vigil__fd_entry *entry = &epoll->table.entries[fd];
    entry->want = 0;
    if (entry->at < in_kernel_fired) {
        files_rest(epoll, entry);
        epoll->files_all--;
        return;
    }
    /* It fails when the descriptor was closed before.  Then the kernel has taken it out, or else
     * its next event, with a generation that is over, will tell. */
    (void)vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_REMOVE, fd, 0, 0);
    entry->generation++;
}

/* False: nobody waits for it any more. */
static bool epoll_report(struct epoll_backend *epoll, const struct vigil__epoll_event *event,
                         struct vigil__record *record)
{
    if (event->key == waker_cookie) {
        *record = (struct vigil__record){ .key = vigil__key(VIGIL__KEY_WAKE, 0, 0, 0),
                                          .res = VIGIL_IN };
        return true;
    }
    struct vigil__fd_entry *entry = &epoll->table.entries[(uint32_t)event->key];
    if (VIGIL_UNLIKELY(entry->generation != event->key >> 32))
        return false;
    if (entry->want & VIGIL_ONESHOT)
        entry->at = in_kernel_fired;
    *record = (struct vigil__record){ .key = entry->key,
                                      .res = (int32_t)(event->events & EPOLL_REPORTS) };
    return true;
}

/* A new set with what is still waited for.  Without a descriptor for it the old set stays, and the
 * next event of that kind tries again. */
static void epoll_begin_anew(struct epoll_backend *epoll)
{
    int fresh = vigil__call_epoll_create();
    if (fresh < 0)
        return;
    int old = epoll->epoll;
    epoll->epoll = fresh;
    if (epoll_watch_wakers(epoll) < 0) {
        epoll->epoll = old;
        vigil__call_close(fresh);
        return;
    }
    for (uint32_t fd = 0; fd < epoll->table.room; fd++) {
        const struct vigil__fd_entry *entry = &epoll->table.entries[fd];
        if (entry->want != 0 && entry->at == in_kernel)
            /* Fails for one that was closed, which is what closing it does anyway. */
            (void)vigil__call_epoll_ctl(fresh, VIGIL__EPOLL_ADD, (int)fd, entry->want,
                                        cookie_of(epoll, (int)fd));
    }
    vigil__call_close(old);
}

/* ---- files that are always ready --------------------------------------------------------- */

/* Makes room for one more file, so that arming it cannot fail. */
static int files_reserve(struct epoll_backend *epoll)
{
    if (!epoll->has_beacon) {
        int err = beacon_open(epoll);
        if (err < 0)
            return err;
    }
    if (epoll->files_all < epoll->files_room)
        return 0;
    uint32_t room = epoll->files_room == 0 ? FILES_ROOM_MIN : epoll->files_room * 2;
    vigil_fd *files = vigil__resize(epoll->allocator, epoll->files,
                                    epoll->files_room * sizeof(*files), room * sizeof(*files));
    if (files == NULL)
        return VIGIL_ENOMEM;
    epoll->files = files;
    epoll->files_room = room;
    return 0;
}

static int beacon_open(struct epoll_backend *epoll)
{
    int err = vigil__call_waker_open(&epoll->beacon);
    if (err < 0)
        return err;
    err = vigil__call_waker_signal(&epoll->beacon);
    if (err == 0)
        err = vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_ADD, epoll->beacon.read_fd, 0,
                                    beacon_cookie);
    if (err < 0)
        vigil__call_waker_close(&epoll->beacon);
    epoll->has_beacon = err == 0;
    return err;
}

static void beacon_show(struct epoll_backend *epoll, bool on)
{
    /* Changing what is there needs nothing, so it does not fail. */
    (void)vigil__call_epoll_ctl(epoll->epoll, VIGIL__EPOLL_MODIFY, epoll->beacon.read_fd,
                                on ? VIGIL_IN : 0, beacon_cookie);
}

/* Lists a file that rests, if anything is waited for that it has. */
static void files_arm(struct epoll_backend *epoll, vigil_fd fd)
{
    struct vigil__fd_entry *entry = &epoll->table.entries[fd];
    if ((entry->want & (VIGIL_IN | VIGIL_OUT)) == 0)
        return;
    entry->at = epoll->files_ready;
    epoll->files[epoll->files_ready++] = fd;
    if (epoll->files_ready == 1)
        beacon_show(epoll, true);
}

/* Takes a file off the list; the last one moves into the hole. */
static void files_rest(struct epoll_backend *epoll, struct vigil__fd_entry *entry)
{
    if (entry->at == file_resting)
        return;
    vigil_fd last = epoll->files[--epoll->files_ready];
    epoll->files[entry->at] = last;
    epoll->table.entries[last].at = entry->at;
    entry->at = file_resting;
    if (epoll->files_ready == 0)
        beacon_show(epoll, false);
}

/* Its edge, like its one shot, is spent by the first report: nothing ever happens to a file. */
static int files_report(struct epoll_backend *epoll, struct vigil__record *records, int cap)
{
    uint32_t count = epoll->files_ready;
    int n = 0;
    for (; n < cap && (uint32_t)n < count; n++) {
        uint32_t at = epoll->files_next < epoll->files_ready ? epoll->files_next : 0;
        struct vigil__fd_entry *entry = &epoll->table.entries[epoll->files[at]];
        records[n] = (struct vigil__record){
            .key = entry->key,
            .res = (int32_t)(entry->want & (VIGIL_IN | VIGIL_OUT)),
        };
        epoll->files_next = at + 1;
        if (entry->want & (VIGIL_EDGE | VIGIL_ONESHOT)) {
            files_rest(epoll, entry);
            epoll->files_next = at; /* the last one stands here now */
        }
    }
    return n;
}

#endif
