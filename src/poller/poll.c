/* SPDX-License-Identifier: MIT
 *
 * poll.c -- the backend on poll(2).  Floor: poller.
 *
 * One array goes to the system as it is; it has no holes, and the table tells each descriptor's
 * place in it.  A one-shot that has fired stays in its place with its number inverted: negative, so
 * that the system skips it and not even a hang-up is reported.
 */
#ifndef _WIN32

#include "poller/backend.h"
#include "poller/fd_table.h"
#include "sys/wait_calls.h"

#ifdef __linux__
#define POLL_ASKED (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP)
#else
#define POLL_ASKED (VIGIL_IN | VIGIL_PRI | VIGIL_OUT)
#endif

enum { POLL_ROOM_MIN = 16 };

struct poll_backend {
    const vigil_allocator *allocator;
    struct vigil__fd_table table; /* at: index in fds */
    struct vigil__waker waker;    /* stands in the array like any other, key class WAKE */
    vigil_pollfd *fds;
    uint32_t count, room;
    uint32_t next; /* where the search for ready ones begins, behind the last one reported */
};

static int poll_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key);
static void poll_close(void *self);
static int poll_add(struct poll_backend *poll, vigil_fd fd, uint32_t want, uint64_t key);
static void poll_remove(struct poll_backend *poll, struct vigil__fd_entry *entry);
static void poll_report(struct poll_backend *poll, uint32_t at, struct vigil__record *record);

static int poll_open(void **self, const struct vigil__backend_config *config,
                     struct vigil__backend_caps *found)
{
    struct poll_backend *poll = vigil__alloc(config->allocator, sizeof(*poll));
    if (poll == NULL)
        return VIGIL_ENOMEM;
    *poll = (struct poll_backend){ .allocator = config->allocator,
                                   .table.allocator = config->allocator };
    int err = vigil__call_waker_open(&poll->waker);
    if (err < 0) {
        vigil__free(config->allocator, poll, sizeof(*poll));
        return err;
    }
    err = poll_set(poll, poll->waker.read_fd, 0, VIGIL_IN, vigil__key(VIGIL__KEY_WAKE, 0, 0, 0));
    if (err < 0) {
        poll_close(poll);
        return err;
    }
    *found = (struct vigil__backend_caps){
        .events = POLL_ASKED | VIGIL_ERR | VIGIL_HUP | VIGIL_NVAL,
    };
    *self = poll;
    return 0;
}

/* In a forked child too: nothing here is shared with the parent but the waker, and closing it here
 * leaves the parent's open. */
static void poll_close(void *self)
{
    struct poll_backend *poll = self;
    vigil__call_waker_close(&poll->waker);
    vigil__fd_table_clear(&poll->table);
    vigil__free(poll->allocator, poll->fds, poll->room * sizeof(*poll->fds));
    vigil__free(poll->allocator, poll, sizeof(*poll));
}

static int poll_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct poll_backend *poll = self;
    struct vigil__fd_entry *entry = vigil__fd_table_find(&poll->table, fd);
    if (want == 0) {
        if (entry != NULL)
            poll_remove(poll, entry);
        return 0;
    }
    if (entry == NULL)
        return poll_add(poll, fd, want, key);
    if (was == 0)
        return VIGIL_EEXIST;
    entry->want = (uint16_t)want;
    entry->key = key;
    poll->fds[entry->at].fd = fd;
    poll->fds[entry->at].events = (uint16_t)(want & POLL_ASKED);
    return 0;
}

static int poll_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct poll_backend *poll = self;
    int ready = vigil__call_poll(poll->fds, poll->count, timeout_ns);
    if (ready <= 0)
        return ready;
    if (ready > cap)
        ready = cap;
    uint32_t at = poll->next < poll->count ? poll->next : 0;
    int n = 0;
    for (uint32_t seen = 0; n < ready && seen < poll->count; seen++) {
        if (poll->fds[at].revents != 0)
            poll_report(poll, at, &records[n++]);
        at = at + 1 < poll->count ? at + 1 : 0;
    }
    poll->next = at;
    return n;
}

static int poll_wake(void *self)
{
    struct poll_backend *poll = self;
    return vigil__call_waker_signal(&poll->waker);
}

const struct vigil__backend vigil__backend_poll = {
    .name = "poll",
    .open = poll_open,
    .close = poll_close,
    .forget = poll_close,
    .set = poll_set,
    .wait = poll_wait,
    .wake = poll_wake,
};

static int poll_add(struct poll_backend *poll, vigil_fd fd, uint32_t want, uint64_t key)
{
    int err = vigil__call_check_fd(fd);
    if (err == 0)
        err = vigil__fd_table_reserve(&poll->table, fd);
    if (err < 0)
        return err;
    if (poll->count == poll->room) {
        uint32_t room = poll->room == 0 ? POLL_ROOM_MIN : poll->room * 2;
        vigil_pollfd *fds = vigil__resize(poll->allocator, poll->fds, poll->room * sizeof(*fds),
                                          room * sizeof(*fds));
        if (fds == NULL)
            return VIGIL_ENOMEM;
        poll->fds = fds;
        poll->room = room;
    }
    poll->table.entries[fd] = (struct vigil__fd_entry){
        .key = key,
        .want = (uint16_t)want,
        .at = poll->count,
    };
    poll->fds[poll->count++] = (vigil_pollfd){
        .fd = fd,
        .events = (uint16_t)(want & POLL_ASKED),
    };
    return 0;
}

/* The last one moves into the hole. */
static void poll_remove(struct poll_backend *poll, struct vigil__fd_entry *entry)
{
    vigil_pollfd last = poll->fds[--poll->count];
    poll->fds[entry->at] = last;
    poll->table.entries[last.fd < 0 ? ~last.fd : last.fd].at = entry->at;
    entry->want = 0;
}

static void poll_report(struct poll_backend *poll, uint32_t at, struct vigil__record *record)
{
    vigil_pollfd *fd = &poll->fds[at];
    struct vigil__fd_entry *entry = &poll->table.entries[fd->fd];
    unsigned events = fd->revents;
    if (events & VIGIL_NVAL)
        events |= VIGIL_ERR; /* closed behind our back */
    *record = (struct vigil__record){ .key = entry->key, .res = (int32_t)events };
    if (entry->want & VIGIL_ONESHOT)
        fd->fd = ~fd->fd;
    if (vigil__key_class(entry->key) == VIGIL__KEY_WAKE)
        vigil__call_waker_drain(&poll->waker);
}

#endif
