/* SPDX-License-Identifier: MIT
 *
 * afd.c -- the backend on Windows' driver of sockets: polls of \Device\Afd that complete to a port.
 * Floor: poller.
 *
 * A poll is a request for one socket; it completes once, when something of it is true, and is made
 * anew before the next wait, which makes the reports level-triggered.  What completed between two
 * waits may be true no longer, so it is asked again before it is told.  A request under way is the
 * system's memory until its completion was taken: a socket that is removed stays that long.
 */
#include "poller/backend.h"

#if defined(_WIN32) || defined(VIGIL_AFD_MODEL) /* tests/model */

#include <stdatomic.h>

#include "base/list.h"
#include "base/slab.h"
#include "poller/fd_table.h"
#include "sys/wait_calls.h"
#include "sys/wait_calls_windows.h"

#define AFD_ASKED (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP)

enum {
    GROUP_SOCKETS_MAX = 32, /* polled through one handle of the driver, which searches its polls */
    LAST_WAITS_MAX = 1000,  /* for completions at the end: some seconds */
};

static const vigil_ns cancel_wait_ns = VIGIL_MS(10); /* it comes at once, but not always sooner */

/* A handle of the driver. */
struct afd_group {
    struct vigil__link link; /* in afd_backend.roomy, or in .full */
    uintptr_t handle;
    uint32_t users;
};

struct afd_socket {
    struct vigil__slot slot;
    struct vigil__afd_request request;
    struct vigil__link due; /* in afd_backend.due: to be polled before the next wait */
    struct afd_group *group;
    uint64_t key;
    uint32_t want;  /* 0: removed, and given back with its completion */
    uint32_t asked; /* the driver's bits of the poll under way; 0: none is */
    bool canceling;
};

struct afd_backend {
    const vigil_allocator *allocator;
    struct vigil__fd_table table; /* at: slot in sockets */
    struct vigil__slab sockets;
    struct vigil__link roomy, full; /* groups */
    struct vigil__link due;
    uintptr_t port;
    uint32_t under_way;  /* requests */
    uint32_t canceling;  /* of these, those whose socket waits for something else */
    bool woken;          /* to be told by the wait */
    _Atomic bool posted; /* a wake-up is in the port */
};

static int afd_group_open(struct afd_backend *afd, struct afd_group **out);
static int afd_add(struct afd_backend *afd, vigil_fd fd, uint32_t want, uint64_t key);
static void afd_remove(struct afd_backend *afd, struct afd_socket *socket);
static void afd_change(struct afd_backend *afd, struct afd_socket *socket);
static int afd_catch_up(struct afd_backend *afd);
static int afd_poll_due(struct afd_backend *afd);
static int afd_take(struct afd_backend *afd, struct vigil__record *records, int cap,
                    vigil_ns timeout_ns, int *count);
static void afd_last_completions(struct afd_backend *afd);

static struct afd_socket *afd_socket_at(const struct afd_backend *afd,
                                        const struct vigil__fd_entry *entry)
{
    return vigil__slab_at(&afd->sockets, entry->at);
}

static int afd_open(void **self, const struct vigil__backend_config *config,
                    struct vigil__backend_caps *found)
{
    struct afd_backend *afd = vigil__alloc(config->allocator, sizeof(*afd));
    if (afd == NULL)
        return VIGIL_ENOMEM;
    *afd = (struct afd_backend){ .allocator = config->allocator,
                                 .table.allocator = config->allocator };
    vigil__slab_init(&afd->sockets, config->allocator, sizeof(struct afd_socket));
    vigil__list_init(&afd->roomy);
    vigil__list_init(&afd->full);
    vigil__list_init(&afd->due);
    int err = vigil__call_port_open(&afd->port);
    if (err < 0)
        goto fail_free;
    struct afd_group *group;
    err = afd_group_open(afd, &group); /* now, to see whether the driver is to be had */
    if (err < 0)
        goto fail_close;
    *found = (struct vigil__backend_caps){
        .events = AFD_ASKED | VIGIL_ERR | VIGIL_HUP | VIGIL_NVAL,
    };
    *self = afd;
    return 0;
fail_close:
    vigil__call_handle_close(afd->port);
fail_free:
    vigil__free(config->allocator, afd, sizeof(*afd));
    return err;
}

static void afd_groups_close(struct afd_backend *afd, struct vigil__link *groups)
{
    while (!vigil__list_empty(groups)) {
        struct afd_group *group = VIGIL_OWNER(groups->next, struct afd_group, link);
        vigil__list_remove(&group->link);
        vigil__call_handle_close(group->handle); /* which cancels what is under way */
        vigil__free(afd->allocator, group, sizeof(*group));
    }
}

static void afd_close(void *self)
{
    struct afd_backend *afd = self;
    afd_groups_close(afd, &afd->roomy);
    afd_groups_close(afd, &afd->full);
    afd_last_completions(afd);
    vigil__call_handle_close(afd->port);
    vigil__fd_table_clear(&afd->table);
    if (afd->under_way > 0)
        return; /* lost: memory that the system may still write to is better lost than given away */
    vigil__slab_clear(&afd->sockets);
    vigil__free(afd->allocator, afd, sizeof(*afd));
}

static int afd_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct afd_backend *afd = self;
    struct vigil__fd_entry *entry = vigil__fd_table_find(&afd->table, fd);
    if (want == 0) {
        if (entry != NULL) {
            entry->want = 0;
            afd_remove(afd, afd_socket_at(afd, entry));
        }
        return 0;
    }
    if (entry == NULL)
        return afd_add(afd, fd, want, key);
    if (was == 0)
        return VIGIL_EEXIST;
    struct afd_socket *socket = afd_socket_at(afd, entry);
    socket->want = want;
    socket->key = key;
    afd_change(afd, socket);
    return 0;
}

/* How long the next look at the port may take. */
static vigil_ns time_left(const struct afd_backend *afd, vigil_ns timeout_ns, vigil_ns deadline)
{
    vigil_ns left = timeout_ns;
    if (timeout_ns != VIGIL_NOWAIT && timeout_ns != VIGIL_FOREVER)
        left = deadline - vigil__call_now();
    if (afd->woken)
        return VIGIL_NOWAIT;
    if (left <= 0) /* what a canceled poll would have told is asked for behind its end */
        return afd->canceling > 0 ? cancel_wait_ns : VIGIL_NOWAIT;
    return left;
}

static int afd_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct afd_backend *afd = self;
    vigil_ns begun = timeout_ns != VIGIL_NOWAIT ? vigil__call_now() : 0;
    vigil_ns deadline = vigil__time_add(begun, timeout_ns);
    int n = 0;
    int result = afd_catch_up(afd);
    do {
        if (result >= 0)
            result = afd_poll_due(afd);
        if (result >= 0)
            result = afd_take(afd, records, cap, time_left(afd, timeout_ns, deadline), &n);
    } while (result > 0 && n == 0 && !afd->woken); /* it was told to nobody: asked again */
    if (afd->woken && n < cap) {
        afd->woken = false;
        records[n++] = (struct vigil__record){ .key = vigil__key(VIGIL__KEY_WAKE, 0, 0, 0) };
    }
    return n > 0 || result > 0 ? n : result;
}

/* One post at a time is in the port: it is enough, and the port cannot grow. */
static int afd_wake(void *self)
{
    struct afd_backend *afd = self;
    if (atomic_exchange(&afd->posted, true))
        return 0;
    int err = vigil__call_port_post(afd->port);
    if (err < 0)
        atomic_store(&afd->posted, false);
    return err;
}

const struct vigil__backend vigil__backend_afd = {
    .name = "afd",
    .open = afd_open,
    .close = afd_close,
    .forget = afd_close,
    .set = afd_set,
    .wait = afd_wait,
    .wake = afd_wake,
};

/* ---- the driver's words ------------------------------------------------------------------- */

static uint32_t bits_of(uint32_t want)
{
    uint32_t bits = VIGIL__AFD_ABORT | VIGIL__AFD_CONNECT_FAIL | VIGIL__AFD_LOCAL_CLOSE;
    if (want & VIGIL_IN)
        bits |= VIGIL__AFD_RECEIVE | VIGIL__AFD_ACCEPT | VIGIL__AFD_DISCONNECT;
    if (want & VIGIL_PRI)
        bits |= VIGIL__AFD_RECEIVE_URGENT;
    if (want & VIGIL_OUT)
        bits |= VIGIL__AFD_SEND;
    if (want & VIGIL_RDHUP)
        bits |= VIGIL__AFD_DISCONNECT;
    return bits;
}

/* What is true, as far as it was asked for; errors, hang-ups and closed ones are told unasked. */
static uint32_t events_of(uint32_t bits, uint32_t want)
{
    uint32_t events = 0;
    if (bits & (VIGIL__AFD_RECEIVE | VIGIL__AFD_ACCEPT))
        events |= VIGIL_IN;
    if (bits & VIGIL__AFD_RECEIVE_URGENT)
        events |= VIGIL_PRI;
    if (bits & VIGIL__AFD_SEND)
        events |= VIGIL_OUT;
    if (bits & VIGIL__AFD_DISCONNECT)
        events |= VIGIL_IN | VIGIL_RDHUP;
    if (bits & (VIGIL__AFD_ABORT | VIGIL__AFD_CONNECT_FAIL))
        events |= VIGIL_IN | VIGIL_OUT | VIGIL_RDHUP | VIGIL_ERR | VIGIL_HUP;
    if (bits & VIGIL__AFD_LOCAL_CLOSE)
        events |= VIGIL_ERR | VIGIL_NVAL;
    return events & (want | VIGIL_ERR | VIGIL_HUP | VIGIL_NVAL);
}

/* ---- sockets ------------------------------------------------------------------------------ */

static int afd_group_open(struct afd_backend *afd, struct afd_group **out)
{
    struct afd_group *group = vigil__alloc(afd->allocator, sizeof(*group));
    if (group == NULL)
        return VIGIL_ENOMEM;
    *group = (struct afd_group){ .users = 0 };
    int err = vigil__call_afd_open(afd->port, &group->handle);
    if (err < 0) {
        vigil__free(afd->allocator, group, sizeof(*group));
        return err;
    }
    vigil__list_append(&afd->roomy, &group->link);
    *out = group;
    return 0;
}

static int afd_group_enter(struct afd_backend *afd, struct afd_group **out)
{
    *out = VIGIL_OWNER(afd->roomy.next, struct afd_group, link);
    int err = vigil__list_empty(&afd->roomy) ? afd_group_open(afd, out) : 0;
    if (err == 0 && ++(*out)->users == GROUP_SOCKETS_MAX) {
        vigil__list_remove(&(*out)->link);
        vigil__list_append(&afd->full, &(*out)->link);
    }
    return err;
}

static void afd_socket_give(struct afd_backend *afd, struct afd_socket *socket)
{
    socket->group->users--;
    vigil__list_remove(&socket->group->link);
    vigil__list_append(&afd->roomy, &socket->group->link);
    vigil__slab_give(&afd->sockets, socket);
}

static int afd_add(struct afd_backend *afd, vigil_fd fd, uint32_t want, uint64_t key)
{
    uintptr_t base;
    int err = vigil__call_check_fd(fd);
    if (err == 0)
        err = vigil__fd_table_reserve(&afd->table, fd);
    if (err == 0)
        err = vigil__call_afd_base(fd, &base);
    if (err < 0)
        return err;
    struct afd_socket *socket = vigil__slab_take(&afd->sockets);
    if (socket == NULL)
        return VIGIL_ENOMEM;
    err = afd_group_enter(afd, &socket->group);
    if (err < 0) {
        vigil__slab_give(&afd->sockets, socket);
        return err;
    }
    socket->request.socket = base;
    socket->want = want;
    socket->key = key;
    vigil__list_init(&socket->due);
    vigil__list_append(&afd->due, &socket->due);
    *vigil__fd_table_at(&afd->table, fd) = (struct vigil__fd_entry){ .want = (uint16_t)want,
                                                                     .at = socket->slot.index };
    return 0;
}

/* The request under way is of no use any more. */
static void afd_cancel(struct afd_backend *afd, struct afd_socket *socket)
{
    if (socket->canceling)
        return;
    socket->canceling = true;
    afd->canceling++;
    vigil__call_afd_cancel(socket->group->handle, &socket->request);
}

static void afd_canceled(struct afd_backend *afd, struct afd_socket *socket)
{
    afd->canceling -= socket->canceling;
    socket->canceling = false;
}

static void afd_remove(struct afd_backend *afd, struct afd_socket *socket)
{
    vigil__list_remove(&socket->due);
    socket->want = 0;
    if (socket->asked == 0) {
        afd_socket_give(afd, socket);
        return;
    }
    afd_cancel(afd, socket);
    afd_canceled(afd, socket); /* nobody waits for that */
}

/* Asks for what is wanted now.  A request that asks for more than that stays: what it then tells
 * that is not wanted is not passed on, and the next asks for less. */
static void afd_change(struct afd_backend *afd, struct afd_socket *socket)
{
    if (socket->asked == 0) {
        vigil__list_remove(&socket->due);
        vigil__list_append(&afd->due, &socket->due);
    } else if ((bits_of(socket->want) & ~socket->asked) != 0) {
        afd_cancel(afd, socket);
    }
}

/* ---- requests ----------------------------------------------------------------------------- */

/* The request of a completion is the socket's own again.  NULL: the socket has been removed, or it
 * was a wake-up. */
static struct afd_socket *afd_completed(struct afd_backend *afd,
                                        const struct vigil__completion *completion)
{
    if (completion->request == NULL) {
        /* First: a wake-up from now on is another.  Exchanged: who found it there has written
         * before what the loop looks at behind this. */
        (void)atomic_exchange(&afd->posted, false);
        afd->woken = true;
        return NULL;
    }
    struct afd_socket *socket = VIGIL_OWNER(completion->request, struct afd_socket, request);
    afd->under_way--;
    afd_canceled(afd, socket);
    socket->asked = 0;
    if (socket->want != 0)
        return socket;
    afd_socket_give(afd, socket);
    return NULL;
}

/* Takes what completed since the last wait, and asks for it once more: before those that were
 * reported by it, so that none starves. */
static int afd_catch_up(struct afd_backend *afd)
{
    struct vigil__completion completions[VIGIL__COMPLETIONS_MAX];
    struct vigil__link reported;
    int n;
    vigil__list_move(&reported, &afd->due);
    do {
        n = vigil__call_port_wait(afd->port, completions, VIGIL__COMPLETIONS_MAX, VIGIL_NOWAIT);
        for (int i = 0; i < n; i++) {
            struct afd_socket *socket = afd_completed(afd, &completions[i]);
            if (socket != NULL)
                vigil__list_append(&afd->due, &socket->due);
        }
    } while (n == VIGIL__COMPLETIONS_MAX);
    while (!vigil__list_empty(&reported)) {
        struct vigil__link *link = reported.next;
        vigil__list_remove(link);
        vigil__list_append(&afd->due, link);
    }
    return n < 0 ? n : 0;
}

/* Begins a poll of every socket that is due. */
static int afd_poll_due(struct afd_backend *afd)
{
    while (!vigil__list_empty(&afd->due)) {
        struct afd_socket *socket = VIGIL_OWNER(afd->due.next, struct afd_socket, due);
        socket->request.events = bits_of(socket->want);
        int err = vigil__call_afd_poll(socket->group->handle, afd->port, &socket->request);
        if (err < 0)
            return err;
        vigil__list_remove(&socket->due);
        socket->asked = bits_of(socket->want);
        afd->under_way++;
    }
    return 0;
}

static void afd_tell(struct afd_backend *afd, const struct vigil__completion *completion,
                     struct vigil__record *records, int *count)
{
    struct afd_socket *socket = afd_completed(afd, completion);
    if (socket == NULL)
        return;
    int told = vigil__call_afd_result(&socket->request);
    uint32_t events = told < 0 ? VIGIL_ERR | (told == VIGIL_EBADF ? VIGIL_NVAL : 0u)
                               : events_of((uint32_t)told, socket->want);
    if (events != 0)
        records[(*count)++] = (struct vigil__record){ .key = socket->key, .res = (int32_t)events };
    if (events == 0 || (socket->want & VIGIL_ONESHOT) == 0)
        vigil__list_append(&afd->due, &socket->due);
}

/* Reports what completes, as much as there is room for.  Answers how much did, what is told to
 * nobody included. */
static int afd_take(struct afd_backend *afd, struct vigil__record *records, int cap,
                    vigil_ns timeout_ns, int *count)
{
    struct vigil__completion completions[VIGIL__COMPLETIONS_MAX];
    int n = 0, asked = 0, all = 0;
    while (n == asked && *count < cap) {
        asked = (int)vigil__min((size_t)(cap - *count), VIGIL__COMPLETIONS_MAX);
        n = vigil__call_port_wait(afd->port, completions, asked,
                                  all > 0 ? VIGIL_NOWAIT : timeout_ns);
        for (int i = 0; i < n; i++)
            afd_tell(afd, &completions[i], records, count);
        all += n > 0 ? n : 0;
    }
    return all > 0 ? all : n;
}

/* The handles are closed: what was under way ends now. */
static void afd_last_completions(struct afd_backend *afd)
{
    struct vigil__completion completions[VIGIL__COMPLETIONS_MAX];
    for (int i = 0; i < LAST_WAITS_MAX && afd->under_way > 0; i++) {
        int n = vigil__call_port_wait(afd->port, completions, VIGIL__COMPLETIONS_MAX,
                                      cancel_wait_ns);
        for (int j = 0; j < n; j++)
            afd->under_way -= completions[j].request != NULL;
    }
}

#endif
