/* SPDX-License-Identifier: MIT
 *
 * uring.h -- the inside of the model of io_uring(7): rings, what is under way in them, and the
 * buffers that they were given.
 */
#ifndef MODEL_URING_H
#define MODEL_URING_H

#include "world.h"

enum { GROUPS_MAX = 4 };

/* What lies in the memory that both sides see; the completions and the index array follow. */
struct shared {
    _Atomic uint32_t sq_head, sq_tail, sq_flags, cq_head, cq_tail;
    uint32_t sq_mask, sq_entries, cq_mask, cq_entries, dropped, overflow, cq_flags;
};

/* Buffers that a ring may fill, by their ring's number. */
struct group {
    struct vigil__uring_buf *places; /* NULL: there is no such group */
    uint32_t entries;
    uint16_t head;     /* the next one to be filled */
    uint16_t seen;     /* up to where the tail has been looked at */
    bool incremental;  /* each is filled bit by bit */
    uint8_t *hands;    /* by id: in whose it is */
    uint32_t ids_room; /* of hands */
};

struct ring {
    struct vigil__link link;
    const struct sim_turner *turner; /* whose it is */
    vigil_sim *sim;
    const struct world_kernel *kernel;
    int fd;
    unsigned task, maps;
    bool closed;
    uint32_t flags;
    struct shared *shared;
    size_t shared_size;
    struct vigil__cqe *cqes;
    uint32_t *array;
    struct vigil__sqe *sqes;
    struct vigil__link requests; /* armed, oldest first */
    struct vigil__link overflow; /* completions that found no place, oldest first */
    struct group groups[GROUPS_MAX];
    int eventfd; /* -1: none */
};

struct request {
    struct vigil__link link;
    struct ring *ring;
    struct sim_file *file; /* held open */
    struct vigil__sqe sqe;
    uint64_t told, told_inputs, told_outputs; /* of a poll: the edges it has answered */
};

struct message { /* what SENDMSG's address leads to */
    const vigil_iov *iov;
    uint32_t count;
};

struct kept { /* a completion that found no place */
    struct vigil__link link;
    struct vigil__cqe cqe;
};

/* What must have come up in the worlds of a kernel, or they show less than is said. */
#define REACHED_SHORT    "reached: a bundle ends in a buffer that is not full"
#define REACHED_LATE     "reached: a cancel finds that it has ended already"
#define REACHED_OVERFLOW "reached: a completion finds no place"
#define REACHED_EMPTY    "reached: no buffer is left in the ring"

/* ---- uring_requests.c ---- */

void request_submit(struct ring *ring, const struct vigil__sqe *sqe);
/* Performs what can be performed now. */
void requests_run(struct ring *ring);
/* Whether there is any such. */
bool requests_have_work(const struct ring *ring);
void requests_cancel_all(struct ring *ring);
/* Whether one of them polls that file. */
bool requests_poll(const struct ring *ring, const struct sim_file *file);

/* Answers.  `aux` is one of several; false: it found no place, and was not kept either. */
bool ring_post(struct ring *ring, uint64_t user_data, int32_t res, uint32_t flags, bool aux);
void ring_bring_overflow(struct ring *ring);

/* ---- uring_bufs.c ---- */

/* Where the next bytes go.  False: there is no buffer. */
bool group_peek(struct ring *ring, uint16_t number, vigil_iov *space);
/* That many bytes have come into it.  Answers the completion's flags. */
uint32_t group_filled(struct ring *ring, uint16_t number, uint32_t n);
int group_register(struct ring *ring, const struct vigil__uring_buf_ring *asked);
int group_unregister(struct ring *ring, uint16_t number);
/* How many buffers were filled, and not offered again. */
uint32_t groups_missing(struct ring *ring);
void groups_clear(struct ring *ring);

#endif
