/* SPDX-License-Identifier: MIT
 *
 * uring_ring.h -- one ring of io_uring(7): submissions go in, completions come out.  Floor: poller.
 *
 * Nothing here knows what they are for.  The flags that a ring is set up with are dropped one by
 * one where the kernel does not have them.
 */
#ifndef VIGIL_URING_RING_H
#define VIGIL_URING_RING_H

#include "sys/uring_calls.h"

struct vigil__ring {
    int fd;
    uint32_t setup_flags; /* those that the kernel took */
    uint32_t features;

    uint32_t sq_entries, sq_mask;
    uint32_t sq_tail; /* ours; the kernel sees it when we enter */
    _Atomic uint32_t *sq_head_kernel, *sq_tail_kernel, *sq_flags;
    struct vigil__sqe *sqes;

    uint32_t cq_entries, cq_mask;
    uint32_t cq_head; /* ours; the kernel sees it when completions were taken */
    _Atomic uint32_t *cq_head_kernel, *cq_tail_kernel;
    const struct vigil__cqe *cqes;

    void *rings, *sqes_memory;
    size_t rings_size, sqes_size;
};

/* VIGIL_ENOTSUP: not to be had here; VIGIL_ENOMEM, VIGIL_EMFILE. */
int vigil__ring_open(struct vigil__ring *ring, uint32_t sq_entries, uint32_t cq_entries);
void vigil__ring_close(struct vigil__ring *ring);

/* A zeroed place for a submission; NULL: the queue is full, and the kernel takes none now. */
struct vigil__sqe *vigil__ring_sqe(struct vigil__ring *ring);

/* Submits what is queued and waits for `min_complete` completions, those not taken yet among them.
 * 0, also for a timeout or a signal; else as vigil__call_uring_enter(). */
int vigil__ring_enter(struct vigil__ring *ring, uint32_t min_complete, vigil_ns timeout_ns);

/* How many submissions the kernel has not taken yet. */
static inline uint32_t vigil__ring_unsubmitted(const struct vigil__ring *ring)
{
    return ring->sq_tail - atomic_load_explicit(ring->sq_head_kernel, memory_order_acquire);
}

/* The submission that was the tail-th of all, if the kernel has not taken it yet; else NULL. */
static inline struct vigil__sqe *vigil__ring_unsubmitted_sqe(const struct vigil__ring *ring,
                                                             uint32_t tail)
{
    uint32_t behind = ring->sq_tail - tail; /* that one, and those behind it */
    bool taken = behind == 0 || behind > vigil__ring_unsubmitted(ring);
    return taken ? NULL : &ring->sqes[tail & ring->sq_mask];
}

/* How many completions are there to take. */
static inline uint32_t vigil__ring_ready(const struct vigil__ring *ring)
{
    return atomic_load_explicit(ring->cq_tail_kernel, memory_order_acquire) - ring->cq_head;
}

/* The i-th of those. */
static inline const struct vigil__cqe *vigil__ring_cqe(const struct vigil__ring *ring, uint32_t i)
{
    return &ring->cqes[(ring->cq_head + i) & ring->cq_mask];
}

/* Gives the places of the first `n` back to the kernel. */
static inline void vigil__ring_taken(struct vigil__ring *ring, uint32_t n)
{
    ring->cq_head += n;
    atomic_store_explicit(ring->cq_head_kernel, ring->cq_head, memory_order_release);
}

/* Whether the kernel has put off work until it is entered, as far as it tells. */
static inline bool vigil__ring_has_work(const struct vigil__ring *ring)
{
    uint32_t flags = atomic_load_explicit(ring->sq_flags, memory_order_relaxed);
    return (flags & VIGIL__URING_SQ_TASKRUN) != 0;
}

/* Whether there were more completions than places: the kernel keeps them, and brings them when it
 * is entered. */
static inline bool vigil__ring_overflown(const struct vigil__ring *ring)
{
    uint32_t flags = atomic_load_explicit(ring->sq_flags, memory_order_relaxed);
    return (flags & VIGIL__URING_SQ_CQ_OVERFLOW) != 0;
}

#endif
