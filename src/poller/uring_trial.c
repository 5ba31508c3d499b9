/* SPDX-License-Identifier: MIT
 *
 * uring_trial.c -- what an io_uring of this kernel can do, found by trying it.  Floor: poller.
 *
 * Versions tell little: sandboxes deny calls, systems are patched, features come back broken.  So a
 * new ring has to do once, in some hundred microseconds, what it will do all the time.  It is the
 * real one: for another, closing it, the kernel would soon interrupt a call of this thread.
 */
#include "poller/uring.h"

#ifdef __linux__

#include <stdatomic.h>
#include <string.h>

enum {
    TRIAL_BUFS = 2,
    TRIAL_BUF_SIZE = 64,
    GROUP = 1,
    TRIES_MAX = 100, /* waits for the ends of what was cancelled */
};

enum { RECEIVES = 1, ACCEPTS = 2 }; /* user_data */

static const vigil_ns patience_ns = VIGIL_MS(100); /* for what should be there at once */
static const vigil_ns moment_ns = VIGIL_US(1);

struct trial {
    struct vigil__ring *ring;
    int ends[2], listener;
    char *memory; /* a ring of provided buffers, and behind it the buffers */
    bool registered, incremental;
    unsigned under_way; /* RECEIVES and ACCEPTS */
};

static const size_t trial_memory = 4096;

static int trial_operations(struct trial *trial, struct vigil__uring_found *found);
static void trial_end(struct trial *trial);

/* Set-up may be allowed where entering is denied; and a wait must end by its time. */
static int ring_waits(struct vigil__ring *ring)
{
    int err = vigil__ring_enter(ring, 1, moment_ns);
    if (err < 0)
        return err == VIGIL_ENOMEM ? err : VIGIL_ENOTSUP;
    return vigil__ring_ready(ring) == 0 ? 0 : VIGIL_ENOTSUP;
}

int vigil__uring_try(struct vigil__ring *ring, struct vigil__uring_found *found, bool operations)
{
    *found = (struct vigil__uring_found){ .setup_flags = ring->setup_flags,
                                          .features = ring->features };
    int err = ring_waits(ring);
    if (err < 0 || !operations)
        return err;
    struct trial trial = { .ring = ring,
                           .ends = { VIGIL_FD_NONE, VIGIL_FD_NONE },
                           .listener = VIGIL_FD_NONE };
    err = trial_operations(&trial, found);
    trial_end(&trial);
    return trial.under_way == 0 ? err : VIGIL_ENOTSUP;
}

static void trial_end(struct trial *trial)
{
    struct vigil__uring_buf_ring ring = { .group = GROUP };
    if (trial->registered) /* it is there; where it fails the memory is the kernel's own concern */
        (void)vigil__call_uring_register(trial->ring->fd, VIGIL__URING_UNREGISTER_BUF_RING, &ring,
                                         1);
    if (trial->memory != NULL)
        vigil__call_uring_unmap(trial->memory, trial_memory);
    for (size_t i = 0; i < VIGIL_COUNT(trial->ends); i++)
        if (trial->ends[i] != VIGIL_FD_NONE)
            vigil__call_close(trial->ends[i]);
    if (trial->listener != VIGIL_FD_NONE)
        vigil__call_close(trial->listener);
}

static int trial_buffers(struct trial *trial)
{
    trial->memory = vigil__call_uring_map(VIGIL_FD_NONE, trial_memory, 0);
    if (trial->memory == NULL)
        return VIGIL_ENOMEM;
    struct vigil__uring_buf_ring ring = { .addr = (uint64_t)(uintptr_t)trial->memory,
                                          .entries = TRIAL_BUFS,
                                          .group = GROUP,
                                          .flags = VIGIL__URING_BUF_RING_INCREMENTAL };
    int err = vigil__call_uring_register(trial->ring->fd, VIGIL__URING_REGISTER_BUF_RING, &ring, 1);
    trial->incremental = err == 0;
    if (err == VIGIL_EINVAL) {
        ring.flags = 0;
        err = vigil__call_uring_register(trial->ring->fd, VIGIL__URING_REGISTER_BUF_RING, &ring, 1);
    }
    if (err < 0)
        return err;
    trial->registered = true;
    struct vigil__uring_buf *places = (struct vigil__uring_buf *)(void *)trial->memory;
    for (uint16_t i = 0; i < TRIAL_BUFS; i++) {
        char *buf = trial->memory + trial_memory / 2 + (size_t)i * TRIAL_BUF_SIZE;
        places[i] = (struct vigil__uring_buf){ (uint64_t)(uintptr_t)buf, TRIAL_BUF_SIZE, i, 0 };
    }
    _Atomic uint16_t *tail = (_Atomic uint16_t *)(void *)&places[0].reserved;
    atomic_store_explicit(tail, TRIAL_BUFS, memory_order_release);
    return 0;
}

static void trial_start(struct trial *trial, const struct vigil__uring_found *found)
{
    struct vigil__sqe *sqe = vigil__ring_sqe(trial->ring);
    sqe->opcode = VIGIL__URING_RECV;
    sqe->fd = trial->ends[0];
    sqe->flags = VIGIL__URING_BUFFER_SELECT;
    sqe->how = VIGIL__URING_RECV_MULTISHOT | (found->bundle ? VIGIL__URING_BUNDLE : 0);
    sqe->buf_group = GROUP;
    sqe->user_data = RECEIVES;
    sqe = vigil__ring_sqe(trial->ring);
    sqe->opcode = VIGIL__URING_ACCEPT;
    sqe->fd = trial->listener;
    sqe->how = VIGIL__URING_ACCEPT_MULTISHOT;
    sqe->what = vigil__uring_accept_flags();
    sqe->user_data = ACCEPTS;
    trial->under_way = RECEIVES | ACCEPTS;
}

/* The next completion, taken; NULL: none came. */
static const struct vigil__cqe *trial_next(struct trial *trial, vigil_ns patience)
{
    if (vigil__ring_ready(trial->ring) == 0) /* what came of it is looked at */
        (void)vigil__ring_enter(trial->ring, patience > 0 ? 1 : 0, patience);
    if (vigil__ring_ready(trial->ring) == 0)
        return NULL;
    const struct vigil__cqe *cqe = vigil__ring_cqe(trial->ring, 0);
    vigil__ring_taken(trial->ring, 1); /* nothing comes into its place before we enter again */
    if ((cqe->flags & VIGIL__URING_CQE_MORE) == 0)
        trial->under_way &= ~(unsigned)cqe->user_data;
    return cqe;
}

/* A byte must come into a buffer, and the request must go on. */
static bool trial_receives(struct trial *trial, struct vigil__uring_found *found)
{
    const struct vigil__cqe *cqe = trial_next(trial, patience_ns);
    uint32_t both = VIGIL__URING_CQE_BUFFER | VIGIL__URING_CQE_MORE;
    if (cqe == NULL || cqe->user_data != RECEIVES || cqe->res != 1 || (cqe->flags & both) != both)
        return false;
    bool filling = (cqe->flags & VIGIL__URING_CQE_BUF_MORE) != 0;
    found->incremental = trial->incremental && filling;
    return filling == trial->incremental;
}

static void trial_cancel(struct trial *trial, uint64_t user_data)
{
    struct vigil__sqe *sqe = vigil__ring_sqe(trial->ring);
    sqe->opcode = VIGIL__URING_CANCEL;
    sqe->flags = VIGIL__URING_SKIP_SUCCESS;
    sqe->fd = VIGIL_FD_NONE;
    sqe->addr = user_data;
}

/* Whether what is under way ends as cancelled, each with one completion. */
static bool trial_cancels(struct trial *trial)
{
    bool all = true;
    for (uint64_t each = RECEIVES; each <= ACCEPTS; each++)
        if ((trial->under_way & each) != 0)
            trial_cancel(trial, each);
    for (int i = 0; i < TRIES_MAX && trial->under_way != 0; i++) {
        const struct vigil__cqe *cqe = trial_next(trial, patience_ns);
        all = all && cqe != NULL && vigil__uring_result(cqe->res) == VIGIL_ECANCELED;
    }
    return all && trial->under_way == 0;
}

static int trial_sockets(struct trial *trial)
{
    int err = vigil__call_socket_pair(trial->ends);
    if (err < 0)
        return err;
    trial->listener = vigil__call_trial_listener();
    if (trial->listener >= 0)
        return 0;
    err = trial->listener;
    trial->listener = VIGIL_FD_NONE;
    return err;
}

/* Being out of memory or descriptors is told; whatever else is missing, readiness is left. */
static int trial_operations(struct trial *trial, struct vigil__uring_found *found)
{
    int err = trial_sockets(trial);
    if (err == 0)
        err = trial_buffers(trial);
    if (err == VIGIL_ENOMEM || err == VIGIL_EMFILE)
        return err;
    if (err < 0)
        return 0;
    bool bundle = (trial->ring->features & VIGIL__URING_FEAT_RECVSEND_BUNDLE) != 0;
    found->bundle = bundle;
    trial_start(trial, found);
    while (trial_next(trial, VIGIL_NOWAIT) != NULL)
        continue; /* refused */
    found->accept = (trial->under_way & ACCEPTS) != 0;
    found->receive = (trial->under_way & RECEIVES) != 0 &&
                     vigil__call_put_byte(trial->ends[1]) == 0 && trial_receives(trial, found);
    found->bundle = bundle && found->receive;
    found->cancel = trial_cancels(trial);
    found->operations = found->receive && found->accept && found->cancel;
    return 0;
}

int vigil__uring_features(const struct vigil__uring_found *found, vigil_feature *out, int max)
{
    const vigil_feature rows[] = {
        { "operations", "accept, receive and send by the kernel itself, 6.0", found->operations },
        { "multishot receive", "input into buffers of the loop, 6.0", found->receive },
        { "multishot accept", "newcomers without asking for each, 5.19", found->accept },
        { "cancelling", "each ended by one completion", found->cancel },
        { "incremental buffers", "one buffer for many messages, 6.12", found->incremental },
        { "bundles", "several buffers at once, unless incremental, 6.10", found->bundle },
        { "deferred work", "the kernel works only when it is entered, 6.1",
          (found->setup_flags & VIGIL__URING_SETUP_DEFER_TASKRUN) != 0 },
        { "single issuer", "a ring of one thread, 6.0",
          (found->setup_flags & VIGIL__URING_SETUP_SINGLE_ISSUER) != 0 },
        { "cooperative work", "no interrupts for completions, 5.19",
          (found->setup_flags & VIGIL__URING_SETUP_COOP_TASKRUN) != 0 },
        { "no index array", "submissions in their own order, 6.6",
          (found->setup_flags & VIGIL__URING_SETUP_NO_SQARRAY) != 0 },
        { "submit all", "one refused does not hold up the others, 5.18",
          (found->setup_flags & VIGIL__URING_SETUP_SUBMIT_ALL) != 0 },
        { "minimal wait", "a wait for a batch, 6.12; not used yet",
          (found->features & VIGIL__URING_FEAT_MIN_TIMEOUT) != 0 },
    };
    int count = (int)VIGIL_COUNT(rows);
    for (int i = 0; i < count && i < max; i++)
        out[i] = rows[i];
    return count;
}

#endif
