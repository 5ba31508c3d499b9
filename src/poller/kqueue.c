/* SPDX-License-Identifier: MIT
 *
 * kqueue.c -- the backend on kqueue(2): FreeBSD, macOS and their relatives.  Floor: poller.
 *
 * The kernel has a filter per direction of a descriptor; what one finds, and what its end means,
 * stands in one table.  What is changed is noted and goes to the kernel with the wait, in the same
 * call.  Its queue goes by descriptors: one that is closed leaves it by itself, and a forked child
 * has no queue at all.  What it has no filter for (files, devices that refuse, a pipe whose reader
 * has gone) is ready for ever, which a user event of the same number says.
 */
#include "poller/backend.h"
#include "sys/wait_calls.h"

#ifdef VIGIL_KQUEUE

#include "poller/fd_table.h"

#include <string.h>

enum {
    BATCH = 256,        /* events and changes of one call */
    CHANGES_OF_ONE = 8, /* each filter taken away and added, and one to trigger */
    ROOM_MIN = 64,
};

static const vigil_ns memory_rest = VIGIL_MS(1); /* before the kernel is asked again */
static const uintptr_t wake_ident = UINTPTR_MAX; /* no descriptor has this number */

/* The kernel's filters; sets of them have bit 1 << filter. */
enum filter { READ, WRITE, EXCEPT, ALWAYS, FILTERS };

static const struct {
    short number;
    unsigned fflags;
} filters[FILTERS] = {
    [READ] = { EVFILT_READ, 0 },
    [WRITE] = { EVFILT_WRITE, 0 },
#if defined(EVFILT_EXCEPT) && defined(NOTE_OOB)
    [EXCEPT] = { EVFILT_EXCEPT, NOTE_OOB },
#define KQUEUE_REPORTS (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP | VIGIL_ERR | VIGIL_HUP)
#else
#define KQUEUE_REPORTS (VIGIL_IN | VIGIL_OUT | VIGIL_RDHUP | VIGIL_ERR | VIGIL_HUP)
#endif
    [ALWAYS] = { EVFILT_USER, 0 },
};

/* Those of a descriptor that no kernel filter works for come last. */
enum kind { SOCKET, PIPE, TERMINAL, OTHER, FILE_LIKE, BROKEN_PIPE, KINDS };

/* What it means that a filter reports, and that it reports EV_EOF.  The end of a socket's writing
 * says nothing of its reading: it may be our own doing. */
static const struct {
    uint16_t ready, end;
} meanings[FILTERS][KINDS] = {
    [READ] = { [SOCKET] = { VIGIL_IN, VIGIL_RDHUP },
               [PIPE] = { VIGIL_IN, VIGIL_HUP },
               [TERMINAL] = { VIGIL_IN, VIGIL_HUP },
               [OTHER] = { VIGIL_IN, VIGIL_HUP } },
    [WRITE] = { [SOCKET] = { VIGIL_OUT, 0 },
                [PIPE] = { VIGIL_OUT, VIGIL_ERR },
                [TERMINAL] = { VIGIL_OUT, VIGIL_HUP },
                [OTHER] = { VIGIL_OUT, VIGIL_HUP } },
    [EXCEPT] = { [SOCKET] = { VIGIL_PRI, 0 } },
    [ALWAYS] = { [FILE_LIKE] = { VIGIL_IN | VIGIL_OUT, 0 },
                 [BROKEN_PIPE] = { VIGIL_OUT | VIGIL_ERR, 0 } },
};

/* How the kernel was told to report. */
enum {
    MODE_EDGE = 1,
    MODE_ONESHOT = 2,
    MODE_END_ONLY = 4, /* nobody waits for input: the read filter is there for its end */
};

struct descriptor {
    uint16_t found; /* events, collected in the wait under way */
    uint8_t ended;  /* the filters that found an end in it */
    uint8_t kind;
    uint8_t told; /* the filters that the kernel has, and their mode */
    uint8_t mode;
    bool fired;     /* a one-shot that was reported */
    bool round;     /* in which it was reported last */
    uint32_t noted; /* its place in `notes`, and one; 0: the kernel knows all */
};

struct kqueue_backend {
    struct vigil__fd_table table; /* key, want */
    struct descriptor *fds;       /* as many as the table has, beside it */
    vigil_fd *notes;              /* those with something to tell the kernel; as many as fit */
    uint32_t room, note_count;
    int kqueue;
    bool round;      /* what is ready and was not reported in this round comes first */
    bool wake_round; /* of the last wake-up reported */
    bool wake_found;
    bool rests; /* the kernel had no memory for a change: the next wait makes none */
    struct kevent changes[BATCH], events[BATCH];
};

static int kqueue_add(struct kqueue_backend *kq, vigil_fd fd, uint32_t want, uint64_t key);
static void kqueue_remove(struct kqueue_backend *kq, vigil_fd fd);
static void note(struct kqueue_backend *kq, vigil_fd fd);
static int take_notes(struct kqueue_backend *kq);
static void note_remove(struct kqueue_backend *kq, vigil_fd fd);
static int tell_one(struct kqueue_backend *kq, vigil_fd fd);
static void collect(struct kqueue_backend *kq, const struct kevent *event);
static int report(struct kqueue_backend *kq, int ready, struct vigil__record *records, int cap);

static int kqueue_open(void **self, const struct vigil__backend_config *config,
                       struct vigil__backend_caps *found)
{
    struct kqueue_backend *kq = vigil__alloc(config->allocator, sizeof(*kq));
    if (kq == NULL)
        return VIGIL_ENOMEM;
    memset(kq, 0, sizeof(*kq));
    kq->table.allocator = config->allocator;
    kq->round = true;
    kq->kqueue = vigil__call_kqueue();
    int err = kq->kqueue < 0 ? kq->kqueue : 0;
    if (err < 0)
        goto fail_free;
    EV_SET(&kq->changes[0], wake_ident, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL);
    err = vigil__call_kevent(kq->kqueue, kq->changes, 1, NULL, 0, VIGIL_NOWAIT);
    if (err < 0)
        goto fail_close;
    *found = (struct vigil__backend_caps){
        .events = KQUEUE_REPORTS,
        .edge = true,
        .batch = BATCH / ALWAYS, /* records, when every descriptor has all its filters' events */
    };
    *self = kq;
    return 0;
fail_close:
    vigil__call_close(kq->kqueue);
fail_free:
    vigil__free(config->allocator, kq, sizeof(*kq));
    return err;
}

/* In a forked child: the queue was not inherited, and its number may be another file's by now. */
static void kqueue_forget(void *self)
{
    struct kqueue_backend *kq = self;
    const vigil_allocator *allocator = kq->table.allocator;
    vigil__free(allocator, kq->notes, kq->room * sizeof(*kq->notes));
    vigil__free(allocator, kq->fds, kq->room * sizeof(*kq->fds));
    vigil__fd_table_clear(&kq->table);
    vigil__free(allocator, kq, sizeof(*kq));
}

static void kqueue_close(void *self)
{
    struct kqueue_backend *kq = self;
    vigil__call_close(kq->kqueue);
    kqueue_forget(kq);
}

static int kqueue_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct kqueue_backend *kq = self;
    struct vigil__fd_entry *entry = vigil__fd_table_find(&kq->table, fd);
    if (want == 0) {
        if (entry != NULL)
            kqueue_remove(kq, fd);
        return 0;
    }
    if (entry == NULL)
        return kqueue_add(kq, fd, want, key);
    if (was == 0)
        return VIGIL_EEXIST;
    entry->want = (uint16_t)want;
    entry->key = key;
    kq->fds[fd].fired = false;
    if (kq->fds[fd].kind == BROKEN_PIPE)
        kq->fds[fd].kind = PIPE; /* a named one may have a reader again */
    note(kq, fd);
    return 0;
}

static int kqueue_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct kqueue_backend *kq = self;
    bool rests = kq->rests;
    int ready;
    kq->rests = false;
    do { /* once, unless there is more to tell than fits into a call */
        int count = rests ? 0 : take_notes(kq);
        vigil_ns limit = rests ? memory_rest : kq->note_count > 0 ? VIGIL_NOWAIT : VIGIL_FOREVER;
        ready = vigil__call_kevent(kq->kqueue, kq->changes, count, kq->events, BATCH,
                                   timeout_ns < limit ? timeout_ns : limit);
    } while (ready == 0 && kq->note_count > 0 && !rests);
    for (int i = 0; i < ready; i++)
        collect(kq, &kq->events[i]);
    return ready < 0 ? ready : report(kq, ready, records, cap);
}

static int kqueue_wake(void *self)
{
    struct kqueue_backend *kq = self;
    return vigil__call_kevent_trigger(kq->kqueue, wake_ident);
}

static int kqueue_fd(void *self)
{
    struct kqueue_backend *kq = self;
    return kq->kqueue;
}

/* What the kernel does not take stays noted, and the next wait says why: that one is asked for. */
static void kqueue_flush(void *self)
{
    struct kqueue_backend *kq = self;
    for (uint32_t i = kq->note_count; i-- > 0;) {
        vigil_fd fd = kq->notes[i];
        if (tell_one(kq, fd) == 0)
            note_remove(kq, fd);
    }
    if (kq->note_count > 0)
        (void)kqueue_wake(kq); /* the event is there: it cannot fail */
}

const struct vigil__backend vigil__backend_kqueue = {
    .name = "kqueue",
    .open = kqueue_open,
    .close = kqueue_close,
    .forget = kqueue_forget,
    .set = kqueue_set,
    .wait = kqueue_wait,
    .wake = kqueue_wake,
    .fd = kqueue_fd,
    .flush = kqueue_flush,
};

/* ---- telling the kernel ------------------------------------------------------------------ */

static unsigned bit(enum filter filter)
{
    return 1U << filter;
}

/* The filters that report what is wanted of it. */
static unsigned filters_wanted(const struct kqueue_backend *kq, vigil_fd fd)
{
    const struct descriptor *d = &kq->fds[fd];
    uint32_t want = kq->table.entries[fd].want;
    if (d->fired)
        return 0;
    switch (d->kind) {
    case FILE_LIKE:
        return (want & (VIGIL_IN | VIGIL_OUT)) != 0 ? bit(ALWAYS) : 0;
    case BROKEN_PIPE:
        return bit(ALWAYS); /* an error is reported unasked */
    default:
        return ((want & (VIGIL_IN | VIGIL_RDHUP)) != 0 ? bit(READ) : 0) |
               ((want & VIGIL_OUT) != 0 ? bit(WRITE) : 0) |
               ((want & VIGIL_PRI & KQUEUE_REPORTS) != 0 && d->kind == SOCKET ? bit(EXCEPT) : 0);
    }
}

static unsigned mode_wanted(uint32_t want)
{
    return ((want & VIGIL_EDGE) != 0 ? MODE_EDGE : 0u) |
           ((want & VIGIL_ONESHOT) != 0 ? MODE_ONESHOT : 0u) |
           ((want & (VIGIL_IN | VIGIL_RDHUP)) == VIGIL_RDHUP ? MODE_END_ONLY : 0u);
}

/* A read filter that is there for the end alone tells of new input only, so that input that nobody
 * takes does not spin (it ends a wait, with nothing to report); nor may that use up a shot. */
static unsigned flags_of(enum filter filter, unsigned mode)
{
    if (filter == READ && (mode & MODE_END_ONLY) != 0)
        return EV_CLEAR;
    return ((mode & MODE_EDGE) != 0 ? EV_CLEAR : 0u) |
           ((mode & MODE_ONESHOT) != 0 ? EV_ONESHOT : 0u);
}

static struct kevent change_of(vigil_fd fd, enum filter filter, unsigned flags, unsigned fflags)
{
    struct kevent change;
    EV_SET(&change, fd, filters[filter].number, flags, fflags, 0, NULL);
    return change;
}

/* What the kernel is to be told of it, as if it knew that already.  How a filter reports can only
 * be changed by adding it anew.  One that it should have is added again: that runs it, and finds
 * the file that has this number now. */
static int changes_of(struct kqueue_backend *kq, vigil_fd fd, struct kevent *changes)
{
    struct descriptor *d = &kq->fds[fd];
    unsigned wanted = filters_wanted(kq, fd), mode = mode_wanted(kq->table.entries[fd].want);
    unsigned gone = mode == d->mode ? d->told & ~wanted : d->told;
    int count = 0;
    for (enum filter f = 0; f < FILTERS; f++) {
        if ((gone & bit(f)) != 0)
            changes[count++] = change_of(fd, f, EV_DELETE, 0);
        if ((wanted & bit(f)) != 0)
            changes[count++] = change_of(fd, f, EV_ADD | flags_of(f, mode), filters[f].fflags);
        if ((wanted & bit(f)) != 0 && f == ALWAYS)
            changes[count++] = change_of(fd, f, 0, NOTE_TRIGGER); /* adding may not do it */
    }
    d->told = (uint8_t)wanted;
    d->mode = (uint8_t)mode;
    return count;
}

static enum filter filter_of(short number)
{
    enum filter f = READ;
    while (f < ALWAYS && filters[f].number != number)
        f++;
    return f;
}

static int tell(struct kqueue_backend *kq, const struct kevent *changes, int count)
{
    return vigil__call_kevent(kq->kqueue, changes, count, NULL, 0, VIGIL_NOWAIT);
}

/* Whether what the kernel said to a filter means that this kind of file is always ready, in its own
 * way: devices without a filter as poll(2) says, and a pipe that nobody can read any more. */
static bool is_ready_for_ever(struct descriptor *d, int err)
{
    bool refused = err == VIGIL_EINVAL || err == VIGIL_ENOTSUP;
    if (d->kind == PIPE && err == VIGIL_ECONNRESET) /* EPIPE */
        d->kind = BROKEN_PIPE;
    else if (d->kind == OTHER && refused)
        d->kind = FILE_LIKE;
    else
        return false;
    return true;
}

/* Tells the kernel of one, now.  The call does not say which change it stopped at. */
static int tell_one(struct kqueue_backend *kq, vigil_fd fd)
{
    struct descriptor *d = &kq->fds[fd];
    struct kevent changes[CHANGES_OF_ONE];
    int count = changes_of(kq, fd, changes);
    if (count == 0 || tell(kq, changes, count) == 0)
        return 0;
    int result = 0;
    for (int i = 0; i < count; i++) {
        int err = tell(kq, &changes[i], 1);
        if (err == 0 || (changes[i].flags & EV_DELETE) != 0)
            continue; /* what is gone already need not be taken away */
        d->told &= (uint8_t)~bit(filter_of((short)changes[i].filter));
        result = err;
    }
    if (result < 0 && is_ready_for_ever(d, result))
        return tell_one(kq, fd); /* once: a user event has no such answer */
    return result;
}

/* ---- what is noted ----------------------------------------------------------------------- */

static void note(struct kqueue_backend *kq, vigil_fd fd)
{
    if (kq->fds[fd].noted != 0)
        return;
    kq->notes[kq->note_count++] = fd;
    kq->fds[fd].noted = kq->note_count;
}

/* The last one moves into the hole. */
static void note_remove(struct kqueue_backend *kq, vigil_fd fd)
{
    struct descriptor *d = &kq->fds[fd];
    if (d->noted == 0)
        return;
    vigil_fd last = kq->notes[--kq->note_count];
    kq->notes[d->noted - 1] = last;
    kq->fds[last].noted = d->noted;
    d->noted = 0;
}

/* Makes changes of as many notes as fit; answers how many changes. */
static int take_notes(struct kqueue_backend *kq)
{
    int count = 0;
    while (kq->note_count > 0 && count <= BATCH - CHANGES_OF_ONE) {
        vigil_fd fd = kq->notes[kq->note_count - 1];
        note_remove(kq, fd);
        count += changes_of(kq, fd, &kq->changes[count]);
    }
    return count;
}

/* ---- adding and removing ----------------------------------------------------------------- */

/* Room for one more descriptor, in all three arrays. */
static int reserve(struct kqueue_backend *kq, vigil_fd fd)
{
    int err = vigil__fd_table_reserve(&kq->table, fd);
    if (err < 0 || kq->table.room == kq->room)
        return err;
    const vigil_allocator *allocator = kq->table.allocator;
    uint32_t room = kq->table.room;
    struct descriptor *fds = vigil__alloc(allocator, room * sizeof(*fds));
    vigil_fd *notes = vigil__alloc(allocator, room * sizeof(*notes));
    if (fds == NULL || notes == NULL) {
        vigil__free(allocator, fds, room * sizeof(*fds));
        vigil__free(allocator, notes, room * sizeof(*notes));
        return VIGIL_ENOMEM;
    }
    memset(fds, 0, room * sizeof(*fds));
    if (kq->room > 0) {
        memcpy(fds, kq->fds, kq->room * sizeof(*fds));
        memcpy(notes, kq->notes, kq->room * sizeof(*notes));
    }
    vigil__free(allocator, kq->fds, kq->room * sizeof(*fds));
    vigil__free(allocator, kq->notes, kq->room * sizeof(*notes));
    kq->fds = fds;
    kq->notes = notes;
    kq->room = room;
    return 0;
}

static int kind_of(vigil_fd fd)
{
    int kind = vigil__call_kind(fd);
    switch (kind) {
    case VIGIL__FD_SOCKET:
        return SOCKET;
    case VIGIL__FD_PIPE:
        return PIPE;
    case VIGIL__FD_TERMINAL:
        return TERMINAL;
    case VIGIL__FD_FILE: /* there is a filter, and it waits for more than the file's end */
        return FILE_LIKE;
    default:
        return kind < 0 ? kind : OTHER;
    }
}

static int kqueue_add(struct kqueue_backend *kq, vigil_fd fd, uint32_t want, uint64_t key)
{
    int kind = kind_of(fd);
    int err = kind < 0 ? kind : reserve(kq, fd);
    if (err < 0)
        return err;
    kq->table.entries[fd] = (struct vigil__fd_entry){ .key = key, .want = (uint16_t)want };
    kq->fds[fd] = (struct descriptor){ .kind = (uint8_t)kind };
    err = tell_one(kq, fd);
    if (err == 0)
        return 0;
    kqueue_remove(kq, fd);
    /* A terminal that has no filter (macOS: /dev/tty) is not always ready, as other devices are. */
    return err == VIGIL_EINVAL ? VIGIL_ENOTSUP : err;
}

static void kqueue_remove(struct kqueue_backend *kq, vigil_fd fd)
{
    kq->fds[fd].fired = true; /* so that nothing is wanted */
    (void)tell_one(kq, fd);   /* taking away: it fails for what has left by itself */
    kq->table.entries[fd].want = 0;
    note_remove(kq, fd);
}

/* ---- what it reports --------------------------------------------------------------------- */

/* A change that the kernel did not make: it is tried, and told, at every wait until it is taken
 * back or succeeds, as poll(2) tells of a descriptor that was closed. */
static void collect_error(struct kqueue_backend *kq, vigil_fd fd, enum filter filter, int err)
{
    struct descriptor *d = &kq->fds[fd];
    uint32_t want = kq->table.entries[fd].want;
    if (err == VIGIL_ENOENT)
        return; /* what was to be taken away has left by itself */
    d->told &= (uint8_t)~bit(filter);
    if (d->fired || d->kind >= FILE_LIKE)
        return; /* it has had its shot, or its other filter said so already */
    if (err == VIGIL_ENOMEM)
        kq->rests = true; /* says nothing of the descriptor; to try again at once would spin */
    else if (is_ready_for_ever(d, err))
        d->found |= (uint16_t)(meanings[ALWAYS][d->kind].ready & (want | VIGIL_ERR));
    else
        d->found |= err == VIGIL_EBADF ? VIGIL_NVAL | VIGIL_ERR : VIGIL_ERR;
    note(kq, fd);
}

/* Notes what an event says of its descriptor: the events of its filters are one record. */
static void collect(struct kqueue_backend *kq, const struct kevent *event)
{
    if (event->ident == wake_ident && event->filter == EVFILT_USER) {
        kq->wake_found = true;
        return;
    }
    vigil_fd fd = (vigil_fd)event->ident;
    const struct vigil__fd_entry *entry = vigil__fd_table_find(&kq->table, fd);
    if (entry == NULL)
        return;
    struct descriptor *d = &kq->fds[fd];
    enum filter filter = filter_of((short)event->filter);
    if ((event->flags & EV_ERROR) != 0) {
        collect_error(kq, fd, filter, vigil__status_of((int)event->data));
        return;
    }
    unsigned found = meanings[filter][d->kind].ready;
    if ((event->flags & EV_EOF) != 0) {
        found |= meanings[filter][d->kind].end;
        d->ended |= (uint8_t)bit(filter);
        if (d->kind == SOCKET && event->fflags != 0)
            found |= VIGIL_ERR;
        if (d->kind == SOCKET && d->ended == (bit(READ) | bit(WRITE)))
            found |= VIGIL_HUP;
    }
    d->found |= (uint16_t)(found & (entry->want | VIGIL_ERR | VIGIL_HUP));
    if ((flags_of(filter, d->mode) & EV_ONESHOT) != 0)
        d->told &= (uint8_t)~bit(filter); /* the kernel has taken it away */
}

static struct vigil__record report_one(struct kqueue_backend *kq, vigil_fd fd)
{
    struct descriptor *d = &kq->fds[fd];
    const struct vigil__fd_entry *entry = &kq->table.entries[fd];
    struct vigil__record record = { .key = entry->key, .res = d->found };
    bool end = (d->found & (VIGIL_RDHUP | VIGIL_HUP | VIGIL_ERR)) != 0;
    if ((entry->want & VIGIL_ONESHOT) != 0) {
        d->fired = true;
        if (d->told != 0)
            note(kq, fd); /* its other filters are to be taken away */
    } else if (end && (d->mode & MODE_END_ONLY) != 0 && (entry->want & VIGIL_EDGE) == 0) {
        note(kq, fd); /* the end stays true, and is told by adding the filter again */
    }
    d->found = 0;
    d->ended = 0;
    d->round = kq->round;
    return record;
}

/* Reports those among the events that were not reported in this round. */
static int report_round(struct kqueue_backend *kq, int ready, struct vigil__record *records,
                        int cap)
{
    int count = 0;
    for (int i = 0; i < ready && count < cap; i++) {
        const struct kevent *event = &kq->events[i];
        if (event->ident == wake_ident) {
            if (!kq->wake_found || kq->wake_round == kq->round)
                continue;
            kq->wake_found = false;
            kq->wake_round = kq->round;
            records[count++] = (struct vigil__record){ .key = vigil__key(VIGIL__KEY_WAKE, 0, 0,
                                                                         0) };
            continue;
        }
        vigil_fd fd = (vigil_fd)event->ident;
        if (vigil__fd_table_find(&kq->table, fd) != NULL && kq->fds[fd].found != 0 &&
            kq->fds[fd].round != kq->round)
            records[count++] = report_one(kq, fd);
    }
    return count;
}

/* What was found and has no place comes with the next wait.  A level does so by itself; the others
 * are told anew, which runs their filters. */
static void pass_over(struct kqueue_backend *kq, int ready)
{
    for (int i = 0; i < ready; i++) {
        vigil_fd fd = (vigil_fd)kq->events[i].ident;
        if (kq->events[i].ident == wake_ident || vigil__fd_table_find(&kq->table, fd) == NULL ||
            kq->fds[fd].found == 0)
            continue;
        struct descriptor *d = &kq->fds[fd];
        if (d->mode != 0 || d->told != filters_wanted(kq, fd))
            note(kq, fd);
        d->found = 0;
        d->ended = 0;
    }
    if (kq->wake_found)
        (void)kqueue_wake(kq); /* the event is there: it cannot fail */
    kq->wake_found = false;
}

/* Makes records of what was collected from `ready` events.  All of them are looked at, so that one
 * descriptor's filters come together, but there may be room for a few only: then none is reported
 * twice before each other one was. */
static int report(struct kqueue_backend *kq, int ready, struct vigil__record *records, int cap)
{
    int count = report_round(kq, ready, records, cap);
    if (count < cap) {
        kq->round = !kq->round;
        count += report_round(kq, ready, records + count, cap - count);
    }
    pass_over(kq, ready);
    return count;
}

#endif
