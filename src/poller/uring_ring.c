/* SPDX-License-Identifier: MIT
 *
 * uring_ring.c -- one ring of io_uring(7): submissions go in, completions come out.  Floor: poller.
 *
 * The kernel reads the submission tail and our completion head, we read the other two; each side
 * releases what it wrote before, and acquires before it reads.
 */
#include "poller/uring_ring.h"

#ifdef __linux__

#include <string.h>

#include "sys/wait_calls.h"

enum {
    NEEDED = VIGIL__URING_FEAT_SINGLE_MMAP | VIGIL__URING_FEAT_NODROP | VIGIL__URING_FEAT_EXT_ARG |
             VIGIL__URING_FEAT_CQE_SKIP, /* 5.17 */
};

/* Newest first: a kernel that has one of them has those behind it.  A ring that is bound to a
 * thread must do nothing unless it is entered (6.0 has the one without the other): else it goes on
 * receiving while all moves to another thread, and those bytes are lost. */
static const uint32_t optional_flags[] = {
    VIGIL__URING_SETUP_NO_SQARRAY,
    VIGIL__URING_SETUP_DEFER_TASKRUN | VIGIL__URING_SETUP_SINGLE_ISSUER,
    VIGIL__URING_SETUP_COOP_TASKRUN | VIGIL__URING_SETUP_TASKRUN_FLAG,
    VIGIL__URING_SETUP_SUBMIT_ALL,
};

static int ring_setup(struct vigil__ring *ring, uint32_t sq_entries,
                      struct vigil__uring_params *params);
static int ring_map(struct vigil__ring *ring, const struct vigil__uring_params *params);

VIGIL_COLD int vigil__ring_open(struct vigil__ring *ring, uint32_t sq_entries, uint32_t cq_entries)
{
    struct vigil__uring_params params = { .cq_entries = cq_entries };
    memset(ring, 0, sizeof(*ring));
    int err = ring_setup(ring, sq_entries, &params);
    if (err < 0)
        return err;
    err = (params.features & NEEDED) == NEEDED ? ring_map(ring, &params) : VIGIL_ENOTSUP;
    if (err < 0)
        vigil__ring_close(ring);
    return err;
}

void vigil__ring_close(struct vigil__ring *ring)
{
    if (ring->sqes_memory != NULL)
        vigil__call_uring_unmap(ring->sqes_memory, ring->sqes_size);
    if (ring->rings != NULL)
        vigil__call_uring_unmap(ring->rings, ring->rings_size);
    vigil__call_close(ring->fd);
    memset(ring, 0, sizeof(*ring));
    ring->fd = VIGIL_FD_NONE;
}

struct vigil__sqe *vigil__ring_sqe(struct vigil__ring *ring)
{
    if (VIGIL_UNLIKELY(vigil__ring_unsubmitted(ring) == ring->sq_entries)) {
        (void)vigil__ring_enter(ring, 0, VIGIL_NOWAIT); /* what it took tells */
        if (vigil__ring_unsubmitted(ring) == ring->sq_entries)
            return NULL;
    }
    struct vigil__sqe *sqe = &ring->sqes[ring->sq_tail++ & ring->sq_mask];
    memset(sqe, 0, sizeof(*sqe));
    return sqe;
}

int vigil__ring_enter(struct vigil__ring *ring, uint32_t min_complete, vigil_ns timeout_ns)
{
    atomic_store_explicit(ring->sq_tail_kernel, ring->sq_tail, memory_order_release);
    int n = vigil__call_uring_enter(ring->fd, vigil__ring_unsubmitted(ring), min_complete,
                                    timeout_ns);
    return n < 0 ? n : 0;
}

static int ring_setup(struct vigil__ring *ring, uint32_t sq_entries,
                      struct vigil__uring_params *params)
{
    uint32_t flags = VIGIL__URING_SETUP_CQSIZE | VIGIL__URING_SETUP_CLAMP;
    uint32_t cq_entries = params->cq_entries;
    for (size_t i = 0; i < VIGIL_COUNT(optional_flags); i++)
        flags |= optional_flags[i];
    for (size_t dropped = 0;; dropped++) {
        *params = (struct vigil__uring_params){ .cq_entries = cq_entries, .flags = flags };
        ring->fd = vigil__call_uring_setup(sq_entries, params);
        if (ring->fd >= 0)
            break;
        if (ring->fd != VIGIL_EINVAL)
            return ring->fd;
        if (dropped == VIGIL_COUNT(optional_flags))
            return VIGIL_ENOTSUP; /* as where a sandbox implements it by half */
        flags &= ~optional_flags[dropped];
    }
    ring->setup_flags = flags;
    ring->features = params->features;
    return 0;
}

static int ring_map(struct vigil__ring *ring, const struct vigil__uring_params *params)
{
    bool array = (ring->setup_flags & VIGIL__URING_SETUP_NO_SQARRAY) == 0;
    size_t cq_end = params->cq.cqes + params->cq_entries * sizeof(struct vigil__cqe);
    size_t sq_end = array ? params->sq.array + params->sq_entries * sizeof(uint32_t) : 0;
    ring->rings_size = vigil__max(cq_end, sq_end);
    ring->rings = vigil__call_uring_map(ring->fd, ring->rings_size, VIGIL__URING_MAP_RINGS);
    ring->sqes_size = params->sq_entries * sizeof(struct vigil__sqe);
    ring->sqes_memory = vigil__call_uring_map(ring->fd, ring->sqes_size, VIGIL__URING_MAP_SQES);
    if (ring->rings == NULL || ring->sqes_memory == NULL)
        return VIGIL_ENOMEM;

    char *at = ring->rings;
    ring->sq_entries = params->sq_entries;
    ring->sq_mask = params->sq_entries - 1; /* a power of two */
    ring->sq_head_kernel = (_Atomic uint32_t *)(void *)(at + params->sq.head);
    ring->sq_tail_kernel = (_Atomic uint32_t *)(void *)(at + params->sq.tail);
    ring->sq_flags = (_Atomic uint32_t *)(void *)(at + params->sq.flags);
    ring->sqes = ring->sqes_memory;
    ring->cq_entries = params->cq_entries;
    ring->cq_mask = params->cq_entries - 1;
    ring->cq_head_kernel = (_Atomic uint32_t *)(void *)(at + params->cq.head);
    ring->cq_tail_kernel = (_Atomic uint32_t *)(void *)(at + params->cq.tail);
    ring->cqes = (const struct vigil__cqe *)(void *)(at + params->cq.cqes);
    uint32_t *places = (uint32_t *)(void *)(at + params->sq.array);
    for (uint32_t i = 0; array && i < params->sq_entries; i++)
        places[i] = i; /* we never change the order */
    return 0;
}

#endif
