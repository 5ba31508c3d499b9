/* SPDX-License-Identifier: MIT
 *
 * uring_polls.c -- readiness by requests to poll.  Floor: poller.
 *
 * io_uring has no level-triggered poll: a request answers once, with what is true.  So a level is
 * asked for again before the next wait, and one that is nobody's any more costs nothing.  Edges are
 * a request that goes on.  An armed request holds the file open, therefore it is taken back, and
 * its end seen, before a descriptor leaves.
 */
#include "poller/uring.h"

#ifdef __linux__

#include "sys/wait_calls.h"

/* An entry's marks: where it stands, and more. */
enum {
    RESTING = 0, /* the kernel knows nothing of it */
    DUE = 1,     /* to be armed before the next wait */
    ARMED = 2,
    STANDING = 3,
    LISTED = 4,   /* its number is in the list of those that are due */
    COUNTED = 16, /* a level or a single shot that is armed */
    BY_EDGE = 8,  /* armed as for edges, because of what cannot be masked: see poll_unasked() */
    LEAVING = 32, /* the request of the generation before is unwanted, and its end not seen */
    UNTAKEN = 64, /* and there was no room to ask for that */
};

enum {
    TAKE_BACK_TRIES = 4,  /* at once: what the kernel had in hand it has told by then */
    TAKE_BACK_EVERY = 64, /* and then seldom: one that is over has a completion each time */
};

enum { POLL_ALWAYS = VIGIL_ERR | VIGIL_HUP | VIGIL_NVAL };

static const int reap_tries_max = 1000;
static const vigil_ns reap_wait_ns = VIGIL_MS(1);

static int polls_reserve(struct vigil__uring *uring, vigil_fd fd);
static void poll_list(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry);
static bool poll_arm(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry);
static bool poll_take_back(struct vigil__uring *uring, uint64_t user_data);
static void poll_disarm(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry);
static void poll_remove(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry);
static void poll_unasked(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry,
                         const struct vigil__cqe *cqe);
static void poll_leaves(struct vigil__uring *uring, uint64_t user_data, bool more);

static void mark(struct vigil__fd_entry *entry, unsigned marks)
{
    entry->marks = (uint16_t)(entry->marks | marks);
}

static void mark_not(struct vigil__fd_entry *entry, unsigned marks)
{
    entry->marks = (uint16_t)(entry->marks & ~marks);
}

static unsigned standing(const struct vigil__fd_entry *entry)
{
    return entry->marks & STANDING;
}

static void stand(struct vigil__uring *uring, struct vigil__fd_entry *entry, unsigned where)
{
    uring->polls.standing -= (entry->marks & COUNTED) != 0;
    mark_not(entry, STANDING | COUNTED);
    mark(entry, where);
}

static uint64_t poll_user_data(const struct vigil__fd_entry *entry, vigil_fd fd)
{
    return vigil__key(VIGIL__KEY_WATCH, 0, entry->generation, (uint32_t)fd);
}

/* The request that is LEAVING. */
static uint64_t poll_leaving(const struct vigil__fd_entry *entry, vigil_fd fd)
{
    return vigil__key(VIGIL__KEY_WATCH, 0, entry->generation - 1, (uint32_t)fd);
}

/* Whether it is asked for by one request that goes on. */
static bool poll_goes_on(const struct vigil__fd_entry *entry)
{
    bool edge = (entry->want & (VIGIL_EDGE | VIGIL_ONESHOT)) == VIGIL_EDGE;
    return edge || (entry->marks & BY_EDGE) != 0;
}

void vigil__uring_polls_clear(struct vigil__uring *uring)
{
    struct vigil__uring_polls *polls = &uring->polls;
    vigil__free(uring->allocator, polls->due, polls->due_room * sizeof(*polls->due));
    vigil__fd_table_clear(&polls->table);
}

int vigil__uring_polls_set(struct vigil__uring *uring, vigil_fd fd, uint32_t was, uint32_t want,
                           uint64_t key)
{
    struct vigil__fd_entry *entry = vigil__fd_table_find(&uring->polls.table, fd);
    if (want == 0) {
        if (entry != NULL)
            poll_remove(uring, fd, entry);
        return 0;
    }
    if (entry != NULL && was == 0)
        return VIGIL_EEXIST;
    if (entry == NULL) {
        int err = polls_reserve(uring, fd);
        if (err < 0)
            return err;
        entry = &uring->polls.table.entries[fd];
    } else if (standing(entry) == ARMED) {
        poll_disarm(uring, fd, entry);
    }
    entry->want = (uint16_t)want;
    entry->key = key;
    mark_not(entry, BY_EDGE);
    poll_list(uring, fd, entry);
    return 0;
}

/* No more at once than there are places for: all may answer at once, and what does not fit would be
 * asked again, for ever if it is enough. */
void vigil__uring_polls_arm(struct vigil__uring *uring, uint32_t max)
{
    struct vigil__uring_polls *polls = &uring->polls;
    uint32_t enough = uring->ring.cq_entries / 2;
    uint32_t done = 0;
    while (done < polls->due_count && done < max && vigil__ring_ready(&uring->ring) < enough) {
        vigil_fd fd = polls->due[done];
        struct vigil__fd_entry *entry = &polls->table.entries[fd];
        if (standing(entry) == DUE && !poll_arm(uring, fd, entry))
            break;
        mark_not(entry, LISTED);
        done++;
    }
    for (uint32_t i = done; i < polls->due_count; i++)
        polls->due[i - done] = polls->due[i];
    polls->due_count -= done;
}

/* Whether a completion is of a request that nobody listens to any more. */
static bool poll_stale(const struct vigil__uring *uring, uint64_t user_data)
{
    const struct vigil__fd_table *table = &uring->polls.table;
    const struct vigil__fd_entry *entry = &table->entries[vigil__key_slot(user_data)];
    return entry->want == 0 || standing(entry) != ARMED ||
           (entry->generation & 0xffffff) != vigil__key_generation(user_data);
}

/* What a completion says: the events that were asked for, or that are told unasked. */
static uint32_t poll_events(const struct vigil__fd_entry *entry, const struct vigil__cqe *cqe)
{
    if (cqe->res >= 0)
        return (uint32_t)cqe->res & (entry->want | POLL_ALWAYS);
    switch (vigil__uring_result(cqe->res)) {
    case VIGIL_EINVAL: /* of a file that cannot be waited for: nothing happens to it */
    case VIGIL_ECANCELED:
        return 0;
    case VIGIL_EBADF:
        return VIGIL_NVAL | VIGIL_ERR;
    default:
        return VIGIL_ERR;
    }
}

bool vigil__uring_polls_silent(const struct vigil__uring *uring, const struct vigil__cqe *cqe)
{
    uint32_t fd = vigil__key_slot(cqe->user_data);
    return poll_stale(uring, cqe->user_data) ||
           poll_events(&uring->polls.table.entries[fd], cqe) == 0;
}

bool vigil__uring_polls_record(struct vigil__uring *uring, const struct vigil__cqe *cqe,
                               struct vigil__record *record)
{
    bool more = (cqe->flags & VIGIL__URING_CQE_MORE) != 0;
    if (poll_stale(uring, cqe->user_data)) {
        poll_leaves(uring, cqe->user_data, more);
        if (more) /* it was refused, or its end is on its way, and then this does no harm */
            (void)poll_take_back(uring, cqe->user_data);
        return false;
    }
    vigil_fd fd = (vigil_fd)vigil__key_slot(cqe->user_data);
    struct vigil__fd_entry *entry = &uring->polls.table.entries[fd];
    uint32_t events = poll_events(entry, cqe);
    if (events == 0) {
        poll_unasked(uring, fd, entry, cqe);
        return false;
    }
    *record = (struct vigil__record){ .key = entry->key, .res = (int32_t)events };
    bool once = (entry->want & VIGIL_ONESHOT) != 0;
    if ((entry->marks & BY_EDGE) != 0 && more) {
        poll_disarm(uring, fd, entry); /* a level again: asked anew, or enough */
        mark_not(entry, BY_EDGE);
        more = false;
    }
    bool level = (entry->want & (VIGIL_EDGE | VIGIL_ONESHOT)) == 0;
    if (once || (!more && !level && vigil__call_never_waits(fd)))
        stand(uring, entry, RESTING); /* a file has one edge: the first report */
    else if (!more)
        poll_list(uring, fd, entry);
    return true;
}

/* Of a request that is stale: it goes on, or that was its end. */
static void poll_leaves(struct vigil__uring *uring, uint64_t user_data, bool more)
{
    uint32_t fd = vigil__key_slot(user_data);
    struct vigil__fd_entry *entry = &uring->polls.table.entries[fd];
    if (entry->want == 0 || poll_leaving(entry, (vigil_fd)fd) != user_data)
        return;
    if (more)
        mark(entry, LEAVING);
    else
        mark_not(entry, LEAVING | UNTAKEN);
}

static void fds_reverse(vigil_fd *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        vigil_fd fd = fds[i];
        fds[i] = fds[count - 1 - i];
        fds[count - 1 - i] = fd;
    }
}

uint32_t vigil__uring_polls_doubt(struct vigil__uring *uring)
{
    struct vigil__uring_polls *polls = &uring->polls;
    uint32_t before = polls->due_count;
    uint32_t ready = vigil__ring_ready(&uring->ring);
    for (uint32_t i = 0; i < ready; i++) {
        uint64_t user_data = vigil__ring_cqe(&uring->ring, i)->user_data;
        if (vigil__key_class(user_data) != VIGIL__KEY_WATCH || poll_stale(uring, user_data))
            continue;
        vigil_fd fd = (vigil_fd)vigil__key_slot(user_data);
        struct vigil__fd_entry *entry = &polls->table.entries[fd];
        if (poll_goes_on(entry))
            continue;
        entry->generation++; /* so that this one is stale */
        poll_list(uring, fd, entry);
    }
    uint32_t doubted = polls->due_count - before;
    /* Before those that were reported: each has its turn. */
    fds_reverse(polls->due, before);
    fds_reverse(polls->due + before, doubted);
    fds_reverse(polls->due, polls->due_count);
    return doubted;
}

void vigil__uring_polls_end(struct vigil__uring *uring)
{
    struct vigil__fd_table *table = &uring->polls.table;
    for (uint32_t fd = 0; fd < table->used; fd++)
        if (table->entries[fd].want != 0)
            poll_remove(uring, (vigil_fd)fd, &table->entries[fd]);
}

void vigil__uring_polls_moved(struct vigil__uring *uring)
{
    struct vigil__fd_table *table = &uring->polls.table;
    for (uint32_t fd = 0; fd < table->used; fd++) {
        struct vigil__fd_entry *entry = &table->entries[fd];
        mark_not(entry, LEAVING | UNTAKEN); /* with the ring */
        if (entry->want != 0 && standing(entry) == ARMED)
            poll_list(uring, (vigil_fd)fd, entry);
    }
}

/* Room in the table, and in the list for each one of it. */
static int polls_reserve(struct vigil__uring *uring, vigil_fd fd)
{
    struct vigil__uring_polls *polls = &uring->polls;
    int err = vigil__fd_table_reserve(&polls->table, fd);
    if (err == 0)
        err = vigil__call_check_fd(fd); /* the kernel would tell only when it is asked to wait */
    if (err < 0 || polls->due_room == polls->table.room)
        return err;
    vigil_fd *due = vigil__resize(uring->allocator, polls->due,
                                  polls->due_room * sizeof(*polls->due),
                                  polls->table.room * sizeof(*polls->due));
    if (due == NULL)
        return VIGIL_ENOMEM;
    polls->due = due;
    polls->due_room = polls->table.room;
    return 0;
}

static void poll_list(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry)
{
    stand(uring, entry, DUE);
    if ((entry->marks & LISTED) != 0)
        return;
    mark(entry, LISTED);
    uring->polls.due[uring->polls.due_count++] = fd;
}

/* What there was no room to take back goes first: behind the next nobody would know of it. */
static bool poll_arm(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry)
{
    if ((entry->marks & UNTAKEN) != 0 && !poll_take_back(uring, poll_leaving(entry, fd)))
        return false;
    mark_not(entry, UNTAKEN);
    struct vigil__sqe *sqe = vigil__ring_sqe(&uring->ring);
    if (sqe == NULL)
        return false;
    uint32_t modes = VIGIL_EDGE | VIGIL_ONESHOT;
    sqe->opcode = VIGIL__URING_POLL_ADD;
    sqe->fd = fd;
    sqe->len = poll_goes_on(entry) ? VIGIL__URING_POLL_MULTI : 0;
    sqe->what = vigil__uring_poll_events(entry->want & ~modes);
    sqe->user_data = poll_user_data(entry, fd);
    bool counted = !poll_goes_on(entry);
    stand(uring, entry, ARMED | (counted ? COUNTED : 0));
    uring->polls.standing += counted;
    return true;
}

/* Asks the kernel to take a request back, by cancelling it: POLL_REMOVE is refused while there is
 * an event in hand, and then a request that goes on goes on.  False: there is no room to ask. */
static bool poll_take_back(struct vigil__uring *uring, uint64_t user_data)
{
    struct vigil__sqe *sqe = vigil__ring_sqe(&uring->ring);
    if (sqe == NULL)
        return false;
    sqe->opcode = VIGIL__URING_CANCEL;
    sqe->flags = VIGIL__URING_SKIP_SUCCESS;
    sqe->fd = VIGIL_FD_NONE;
    sqe->addr = user_data;
    return true;
}

/* The same, and listens to it no more.  Where there is no room to ask, it is asked for before the
 * next is armed, or by who waits for its end. */
static void poll_disarm(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry)
{
    bool asked = poll_take_back(uring, poll_user_data(entry, fd));
    entry->generation++;
    stand(uring, entry, RESTING);
    mark(entry, LEAVING | (asked ? 0 : UNTAKEN));
}

/* Whether the request's last completion is there. */
static bool poll_ended(const struct vigil__uring *uring, uint64_t user_data)
{
    for (uint32_t i = vigil__ring_ready(&uring->ring); i-- > 0;) {
        const struct vigil__cqe *cqe = vigil__ring_cqe(&uring->ring, i);
        if (cqe->user_data == user_data && (cqe->flags & VIGIL__URING_CQE_MORE) == 0)
            return true;
    }
    return false;
}

/* Waits for the end of a request that was asked back: it comes only to who enters and looks.  A
 * ring of another thread's is left, with all that it polls; if there is no descriptor or no memory
 * for a new one the kernel lets go only when a later wait leaves it. */
static void poll_reap(struct vigil__uring *uring, uint64_t user_data)
{
    bool armed = true;
    for (int i = 0; i < reap_tries_max && armed; i++) {
        if (i > 0 && (i < TAKE_BACK_TRIES || i % TAKE_BACK_EVERY == 0))
            (void)poll_take_back(uring, user_data); /* it may have been refused */
        uint32_t more = i > 0 ? vigil__ring_ready(&uring->ring) + 1 : 0;
        if (vigil__ring_enter(&uring->ring, more, reap_wait_ns) == VIGIL_ETHREAD) {
            (void)vigil__uring_enter(uring, 0, VIGIL_NOWAIT); /* moves, or cannot */
            return;
        }
        armed = !poll_ended(uring, user_data); /* what else came of it is looked at */
    }
}

/* When this returns the kernel holds the file no more, neither by its request nor by the one
 * before, if that was changed just now; but see poll_reap().  (An end that is there already is
 * looked for first: making room would throw it away.) */
static void poll_remove(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry)
{
    uint64_t user_data = poll_user_data(entry, fd), before = poll_leaving(entry, fd);
    bool leaving = (entry->marks & LEAVING) != 0 && !poll_ended(uring, before);
    bool armed = standing(entry) == ARMED && !poll_ended(uring, user_data);
    if (armed)
        poll_disarm(uring, fd, entry);
    entry->want = 0;
    stand(uring, entry, RESTING);
    entry->generation++;
    mark_not(entry, BY_EDGE | LEAVING | UNTAKEN);
    uint32_t moves = uring->moves;
    if (armed || leaving)
        vigil__uring_make_room(uring); /* for their completions */
    if (leaving && uring->moves == moves)
        poll_reap(uring, before);
    if (armed && uring->moves == moves && !poll_ended(uring, user_data))
        poll_reap(uring, user_data);
}

/* It ended by itself, or it tells of what cannot be masked and was not asked for: that the peer has
 * shut down its writing.  As that stays true a request of the ordinary kind would answer at once
 * for ever; one that goes on tells of it once, and then of changes. */
static void poll_unasked(struct vigil__uring *uring, vigil_fd fd, struct vigil__fd_entry *entry,
                         const struct vigil__cqe *cqe)
{
    if ((cqe->flags & VIGIL__URING_CQE_MORE) != 0)
        return;
    if (cqe->res < 0 && vigil__uring_result(cqe->res) != VIGIL_ECANCELED) {
        stand(uring, entry, RESTING);
        return;
    }
    if (cqe->res > 0 && !poll_goes_on(entry))
        mark(entry, BY_EDGE);
    poll_list(uring, fd, entry);
}

#endif
