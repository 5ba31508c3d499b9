/* SPDX-License-Identifier: MIT
 *
 * select_windows.c -- the backend on Winsock's select.  Floor: poller.
 *
 * Winsock takes lists of sockets, of any length if they are our own: there is no limit of 64.  It
 * tells neither hang-up nor the peer's end; they show as IN and OUT.  A connect that failed shows
 * as an exception, as urgent data does: which of the two it is, whether the socket has a peer
 * tells.  So exceptions are asked for while a socket has none, and by those who want urgent data.
 */
#include "poller/backend.h"

#ifdef _WIN32

#include "poller/fd_table.h"
#include "sys/wait_calls.h"
#include "sys/wait_calls_windows.h"

enum { SOCKETS_ROOM_MIN = 16, LISTS = 3 /* readable, writable, exceptional */ };

struct select_socket {
    vigil_fd fd;
    uint64_t key;
    uint32_t want;
    uint32_t ready;
    bool connected; /* has been seen to have a peer */
    bool broken;    /* closed behind our back */
    bool fired;     /* a one-shot that was reported */
};

struct select_backend {
    const vigil_allocator *allocator;
    struct vigil__fd_table table; /* at: index in sockets */
    struct vigil__waker waker;    /* one of the sockets, key class WAKE */
    struct select_socket *sockets;
    struct vigil__socket_list *lists[LISTS];
    uint32_t count, room;
    uint32_t broken_count;
    uint32_t next; /* where the search for ready ones begins, behind the last one reported */
};

static int select_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key);
static void select_close(void *self);
static int select_add(struct select_backend *select, vigil_fd fd, uint32_t want, uint64_t key);
static void select_remove(struct select_backend *select, struct vigil__fd_entry *entry);
static void select_ask(struct select_backend *select);
static void select_find_broken(struct select_backend *select);
static void select_answer(struct select_backend *select);
static void select_report(struct select_backend *select, struct select_socket *socket,
                          struct vigil__record *record);

/* One block holds the sockets and, behind them, the lists, which every wait makes anew. */
static size_t select_block_size(uint32_t room)
{
    return room == 0 ? 0
                     : room * sizeof(struct select_socket) + LISTS * vigil__socket_list_size(room);
}

static int select_open(void **self, const struct vigil__backend_config *config,
                       struct vigil__backend_caps *found)
{
    struct select_backend *select = vigil__alloc(config->allocator, sizeof(*select));
    if (select == NULL)
        return VIGIL_ENOMEM;
    *select = (struct select_backend){ .allocator = config->allocator,
                                       .table.allocator = config->allocator };
    int err = vigil__call_waker_open(&select->waker);
    if (err < 0) {
        vigil__free(config->allocator, select, sizeof(*select));
        return err;
    }
    err = select_set(select, select->waker.read_fd, 0, VIGIL_IN,
                     vigil__key(VIGIL__KEY_WAKE, 0, 0, 0));
    if (err < 0) {
        select_close(select);
        return err;
    }
    /* ERR comes with NVAL alone, so it does not count as something that select can tell. */
    *found = (struct vigil__backend_caps){
        .events = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_NVAL,
    };
    *self = select;
    return 0;
}

static void select_close(void *self)
{
    struct select_backend *select = self;
    vigil__call_waker_close(&select->waker);
    vigil__fd_table_clear(&select->table);
    vigil__free(select->allocator, select->sockets, select_block_size(select->room));
    vigil__free(select->allocator, select, sizeof(*select));
}

static int select_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct select_backend *select = self;
    struct vigil__fd_entry *entry = vigil__fd_table_find(&select->table, fd);
    if (want == 0) {
        if (entry != NULL)
            select_remove(select, entry);
        return 0;
    }
    if (entry == NULL)
        return select_add(select, fd, want, key);
    if (was == 0)
        return VIGIL_EEXIST;
    struct select_socket *socket = &select->sockets[entry->at];
    socket->want = want;
    socket->key = key;
    socket->fired = false;
    select->broken_count -= socket->broken;
    socket->broken = false; /* whether it is will show again */
    return 0;
}

static int select_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct select_backend *select = self;
    select_ask(select);
    int n = vigil__call_select_sockets(select->lists[0], select->lists[1], select->lists[2],
                                       select->broken_count > 0 ? VIGIL_NOWAIT : timeout_ns);
    if (n > 0)
        select_answer(select);
    else if (n == VIGIL_EBADF)
        select_find_broken(select);
    else if (n < 0 || select->broken_count == 0)
        return n;
    uint32_t at = select->next < select->count ? select->next : 0;
    n = 0;
    for (uint32_t seen = 0; n < cap && seen < select->count; seen++) {
        struct select_socket *socket = &select->sockets[at];
        at = at + 1 < select->count ? at + 1 : 0;
        if (socket->ready == 0)
            continue;
        select_report(select, socket, &records[n++]);
        select->next = at;
    }
    return n;
}

static int select_wake(void *self)
{
    struct select_backend *select = self;
    return vigil__call_waker_signal(&select->waker);
}

const struct vigil__backend vigil__backend_select = {
    .name = "select",
    .open = select_open,
    .close = select_close,
    .forget = select_close,
    .set = select_set,
    .wait = select_wait,
    .wake = select_wake,
};

static int select_reserve(struct select_backend *select)
{
    if (select->count < select->room)
        return 0;
    uint32_t room = select->room == 0 ? SOCKETS_ROOM_MIN : select->room * 2;
    struct select_socket *sockets = vigil__resize(select->allocator, select->sockets,
                                                  select_block_size(select->room),
                                                  select_block_size(room));
    if (sockets == NULL)
        return VIGIL_ENOMEM;
    char *lists = (char *)(sockets + room);
    for (size_t i = 0; i < LISTS; i++)
        select->lists[i] = (void *)(lists + i * vigil__socket_list_size(room));
    select->sockets = sockets;
    select->room = room;
    return 0;
}

static int select_add(struct select_backend *select, vigil_fd fd, uint32_t want, uint64_t key)
{
    int err = vigil__call_check_fd(fd);
    if (err == 0)
        err = vigil__fd_table_reserve(&select->table, fd);
    if (err == 0)
        err = select_reserve(select);
    if (err < 0)
        return err;
    *vigil__fd_table_at(&select->table, fd) = (struct vigil__fd_entry){ .want = (uint16_t)want,
                                                                        .at = select->count };
    select->sockets[select->count++] = (struct select_socket){
        .fd = fd,
        .key = key,
        .want = want,
        .connected = vigil__call_check_peer(fd) == 0,
    };
    return 0;
}

/* The last one moves into the hole. */
static void select_remove(struct select_backend *select, struct vigil__fd_entry *entry)
{
    select->broken_count -= select->sockets[entry->at].broken;
    const struct select_socket *last = &select->sockets[--select->count];
    vigil__fd_table_at(&select->table, last->fd)->at = entry->at;
    select->sockets[entry->at] = *last;
    entry->want = 0;
}

/* Who waits for what is told by an exception: a failed connect ends a wait for IN and OUT. */
static uint32_t exceptions_of(const struct select_socket *socket)
{
    return socket->connected ? VIGIL_PRI : VIGIL_IN | VIGIL_OUT;
}

static void select_ask(struct select_backend *select)
{
    struct vigil__socket_list *const *lists = select->lists;
    for (int i = 0; i < LISTS; i++)
        lists[i]->count = 0;
    for (uint32_t i = 0; i < select->count; i++) {
        struct select_socket *socket = &select->sockets[i];
        socket->ready = socket->broken ? VIGIL_ERR | VIGIL_NVAL : 0;
        if (socket->broken || socket->fired)
            continue;
        if (socket->want & VIGIL_IN)
            lists[0]->fds[lists[0]->count++] = socket->fd;
        if (socket->want & VIGIL_OUT)
            lists[1]->fds[lists[1]->count++] = socket->fd;
        if (!socket->connected && (socket->want & VIGIL_PRI))
            socket->connected = vigil__call_check_peer(socket->fd) == 0;
        if (socket->want & exceptions_of(socket))
            lists[2]->fds[lists[2]->count++] = socket->fd;
    }
}

static void select_find_broken(struct select_backend *select)
{
    for (uint32_t i = 0; i < select->count; i++) {
        struct select_socket *socket = &select->sockets[i];
        if (socket->fired || socket->broken || vigil__call_check_fd(socket->fd) == 0)
            continue;
        socket->broken = true;
        socket->ready = VIGIL_ERR | VIGIL_NVAL;
        select->broken_count++;
    }
}

static void select_answer(struct select_backend *select)
{
    static const uint32_t events[] = { VIGIL_IN, VIGIL_OUT };
    for (int i = 0; i < LISTS; i++) {
        for (unsigned j = 0; j < select->lists[i]->count; j++) {
            vigil_fd fd = select->lists[i]->fds[j];
            struct vigil__fd_entry *entry = vigil__fd_table_find(&select->table, fd);
            if (entry == NULL)
                continue;
            struct select_socket *socket = &select->sockets[entry->at];
            if (!socket->connected)
                socket->connected = vigil__call_check_peer(fd) == 0;
            socket->ready |= socket->want & (i < 2 ? events[i] : exceptions_of(socket));
        }
    }
}

static void select_report(struct select_backend *select, struct select_socket *socket,
                          struct vigil__record *record)
{
    *record = (struct vigil__record){ .key = socket->key, .res = (int32_t)socket->ready };
    if ((socket->want & VIGIL_ONESHOT) != 0) {
        socket->fired = true;
        select->broken_count -= socket->broken; /* it ends no wait any more */
        socket->broken = false;
    }
    if (vigil__key_class(socket->key) == VIGIL__KEY_WAKE)
        vigil__call_waker_drain(&select->waker);
}

#endif
