/* SPDX-License-Identifier: MIT
 *
 * uring.h -- the inside of the backend on io_uring(7).  Floor: poller.
 *
 * One ring does three things: it polls descriptors for those who wait for readiness
 * (uring_polls.c), it performs operations (uring_ops.c), and it fills buffers of ours when bytes
 * come (uring_bufs.c).  What the kernel can do is found by trying (uring_trial.c).
 *
 * What a completion is for stands in its user_data, which is made like a key: class WATCH, with the
 * number of the descriptor, is a poll's; class OP, with a slot, an operation's; 0 is nobody's.
 */
#ifndef VIGIL_URING_H
#define VIGIL_URING_H

#include "base/slab.h"
#include "poller/backend.h"
#include "poller/fd_table.h"
#include "poller/uring_ring.h"
#include "sys/wait_calls.h"

/* What was found by trying. */
struct vigil__uring_found {
    uint32_t setup_flags, features;
    bool operations;  /* all that follow are as they must be: the kernel shall perform */
    bool receive;     /* multishot receive into provided buffers */
    bool accept;      /* multishot accept */
    bool cancel;      /* of both, each ended by one completion */
    bool incremental; /* a provided buffer is filled bit by bit */
    bool bundle;      /* one completion tells of several buffers */
};

/* ---- polls ---- */

struct vigil__uring_polls {
    struct vigil__fd_table table; /* marks: see uring_polls.c */
    vigil_fd *due;                /* to be armed before the next wait; room for each of the table */
    uint32_t due_count, due_room;
    uint32_t standing; /* levels and single shots that are armed */
};

/* ---- buffers ---- */

struct vigil__uring_lent {
    struct vigil__buf *buf;
    uint32_t filled; /* up to where the kernel has got */
    uint16_t next;   /* the one behind it in the kernel's ring, for bundles */
    bool in_kernel;  /* in the ring, or being filled */
};

struct vigil__uring_bufs {
    struct vigil__uring_lent *lent;  /* by id */
    struct vigil__uring_buf *places; /* the ring that the kernel takes them from */
    size_t places_size;
    uint32_t count, size; /* of the buffers; count 0: not made yet */
    uint16_t tail;
    uint16_t last; /* the id that stands last in the ring */
    bool incremental;
    bool registered; /* with the ring that there is now */
};

/* ---- operations ---- */

/* There may be one for every connection, so of each only this is kept, by its ticket: its key, and
 * in two bits that no key of an operation has how its cancelling stands.  A ticket that is free has
 * the next free one. */
struct vigil__uring_ops {
    uint64_t *keys;
    uint32_t room, used; /* tickets behind `used` were never taken */
    uint32_t free_head;  /* UINT32_MAX: none */
    uint32_t live;
};

/* ---- the backend ---- */

struct vigil__uring {
    const vigil_allocator *allocator;
    struct vigil__pool *pool;
    uint64_t process; /* which one opened it: vigil__process_is */
    struct vigil__ring ring;
    struct vigil__uring_found found;
    struct vigil__uring_polls polls;
    struct vigil__uring_bufs bufs;
    struct vigil__uring_ops ops;
    struct vigil__waker waker; /* polled for edges: it need not be read */
    struct vigil__waker embed; /* what a foreign loop waits for, if there is one: see uring.c */
    _Atomic bool embedded;
    bool woken;       /* and not told yet */
    uint32_t moves;   /* how often a ring was left for a new one */
    bool cancels_due; /* some operations could not be cancelled yet */

    /* Records of a ring that was left, or that overflowed: the next waits hand them out. */
    struct vigil__record *kept;
    uint32_t kept_count, kept_at, kept_room;
};

/* Enters the ring.  When it is bound to another thread, moves to a new one, which is this thread's.
 * 0, VIGIL_ENOMEM, VIGIL_EMFILE, VIGIL_EBUSY. */
int vigil__uring_enter(struct vigil__uring *uring, uint32_t min_complete, vigil_ns timeout_ns);

/* Sees to it that half of the places for completions are free. */
void vigil__uring_make_room(struct vigil__uring *uring);

/* ---- uring_trial.c ---- */

/* Whether a ring that is new keeps its word, and what it can do; with `operations` false only
 * whether it waits.  0, then it is as new again; VIGIL_ENOTSUP, VIGIL_ENOMEM, VIGIL_EMFILE. */
int vigil__uring_try(struct vigil__ring *ring, struct vigil__uring_found *found, bool operations);

/* For a table of what was found: how many there are; the first `max` are written. */
int vigil__uring_features(const struct vigil__uring_found *found, vigil_feature *out, int max);

/* ---- uring_polls.c ---- */

void vigil__uring_polls_clear(struct vigil__uring *uring);
/* As vigil__backend.set. */
int vigil__uring_polls_set(struct vigil__uring *uring, vigil_fd fd, uint32_t was, uint32_t want,
                           uint64_t key);
/* Submits the first `max` polls that are due.  What finds no room in the queue stays due. */
void vigil__uring_polls_arm(struct vigil__uring *uring, uint32_t max);
/* Takes note of a poll's completion.  True: *record tells of it. */
bool vigil__uring_polls_record(struct vigil__uring *uring, const struct vigil__cqe *cqe,
                               struct vigil__record *record);
/* Of completions that were not taken by the wait before: what they say of a level or a single shot
 * may be over.  They are due before all others; answers how many. */
uint32_t vigil__uring_polls_doubt(struct vigil__uring *uring);
/* Whether a completion has nothing to tell: vigil__uring_polls_record() would answer false. */
bool vigil__uring_polls_silent(const struct vigil__uring *uring, const struct vigil__cqe *cqe);
/* Takes back all that is armed, for the ring will be closed. */
void vigil__uring_polls_end(struct vigil__uring *uring);
/* The ring is another: all that was armed is due. */
void vigil__uring_polls_moved(struct vigil__uring *uring);

/* ---- uring_bufs.c ---- */

/* Makes the buffers, once, and gives them to the ring.  0, VIGIL_ENOMEM, VIGIL_ENOTSUP. */
int vigil__uring_bufs_need(struct vigil__uring *uring);
void vigil__uring_bufs_clear(struct vigil__uring *uring);
/* Fills in where the first of `left` bytes lie that a receive brought: in the buffer *id, of which
 * the record has one reference then.  Answers how many more there are, in the next one, *id. */
uint32_t vigil__uring_bufs_take(struct vigil__uring *uring, uint32_t *id, uint32_t flags,
                                uint32_t left, struct vigil__record *record);
/* A completion that brought no bytes had a buffer in hand. */
void vigil__uring_bufs_return(struct vigil__uring *uring, uint32_t flags);
/* As vigil__backend.give. */
void vigil__uring_bufs_give(struct vigil__uring *uring, struct vigil__buf *buf);
/* The ring is another, which knows none of them. */
void vigil__uring_bufs_moved(struct vigil__uring *uring);

/* ---- uring_ops.c ---- */

void vigil__uring_ops_clear(struct vigil__uring *uring);
/* As vigil__backend.submit and .cancel. */
int vigil__uring_op_submit(struct vigil__uring *uring, struct vigil__op *op);
void vigil__uring_op_cancel(struct vigil__uring *uring, const struct vigil__op *op);
/* As vigil__backend.close_fd. */
int vigil__uring_close_fd(struct vigil__uring *uring, vigil_fd fd);
/* Cancels those for which there was no room in the queue. */
void vigil__uring_ops_cancel_due(struct vigil__uring *uring);
/* How many records an operation's completion makes at most: several with bundles. */
uint32_t vigil__uring_op_records_max(const struct vigil__uring *uring,
                                     const struct vigil__cqe *cqe);
/* Turns it into records; answers how many. */
uint32_t vigil__uring_op_records(struct vigil__uring *uring, const struct vigil__cqe *cqe,
                                 struct vigil__record *records);
/* How many are under way; and the last records of all of them, made by us: they are cancelled. */
uint32_t vigil__uring_ops_under_way(const struct vigil__uring *uring);
uint32_t vigil__uring_ops_give_up(struct vigil__uring *uring, struct vigil__record *records);

#endif
