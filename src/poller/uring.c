/* SPDX-License-Identifier: MIT
 *
 * uring.c -- the backend on io_uring(7): readiness, and operations taken to the kernel.
 * Floor: poller.
 *
 * A wait enters the kernel once: it hands over what was submitted since the last one and brings
 * completions, which are turned into records.  A ring may be bound to the thread that made it (the
 * kernel is quicker so); when another thread comes, all moves to a new ring.
 */
#include "poller/uring.h"

#ifdef __linux__

enum {
    SQ_ENTRIES = 256,  /* a turn's worth; more cost another call */
    CQ_ENTRIES = 2048, /* the kernel keeps what does not fit */
    OVERFLOW_ROUNDS_MAX = 64,
    LOOKS_MAX = 8,
    FLUSH_ROUNDS_MAX = 4, /* what is armed may end at once, and be armed otherwise */
    BATCH = 16, /* reports per call: the kernel does some 20 of what it put off, and comes back */
};

#define URING_REPORTS \
    (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP | VIGIL_ERR | VIGIL_HUP | VIGIL_NVAL)

static void uring_close(void *self);
static void uring_close_unsubmitted(struct vigil__uring *uring);
static void uring_flush(void *self);
static int uring_move(struct vigil__uring *uring);
static int uring_take(struct vigil__uring *uring, struct vigil__record *records, int cap,
                      uint32_t *taken);
static int uring_take_kept(struct vigil__uring *uring, struct vigil__record *records, int cap);
static bool uring_keep(struct vigil__uring *uring, uint32_t extra);
static void uring_keep_overflow(struct vigil__uring *uring);
static void uring_trim(struct vigil__uring *uring);

static uint64_t wake_key(void)
{
    return vigil__key(VIGIL__KEY_WAKE, 0, 0, 0);
}

VIGIL_COLD static int uring_open(void **self, const struct vigil__backend_config *config,
                                 struct vigil__backend_caps *found)
{
    struct vigil__uring *uring = vigil__alloc(config->allocator, sizeof(*uring));
    if (uring == NULL)
        return VIGIL_ENOMEM;
    *uring = (struct vigil__uring){ .allocator = config->allocator,
                                    .pool = config->pool,
                                    .process = vigil__process_mark(),
                                    .polls.table.allocator = config->allocator };
    uring->ops.free_head = UINT32_MAX;
    int err = vigil__ring_open(&uring->ring, SQ_ENTRIES, CQ_ENTRIES);
    if (err < 0)
        goto fail_free;
    err = vigil__uring_try(&uring->ring, &uring->found, config->pool != NULL);
    if (err < 0)
        goto fail_close;
    err = vigil__call_waker_open(&uring->waker);
    if (err < 0)
        goto fail_close;
    err = vigil__uring_polls_set(uring, uring->waker.read_fd, 0, VIGIL_IN | VIGIL_EDGE, wake_key());
    if (err < 0) {
        uring_close(uring);
        return err;
    }
    *found = (struct vigil__backend_caps){ .events = URING_REPORTS, .edge = true, .batch = BATCH };
    if (uring->found.operations)
        found->op_kinds = 1u << VIGIL__OP_RECV | 1u << VIGIL__OP_SEND | 1u << VIGIL__OP_ACCEPT;
    *self = uring;
    return 0;
fail_close:
    vigil__ring_close(&uring->ring);
fail_free:
    vigil__free(config->allocator, uring, sizeof(*uring));
    return err;
}

static void uring_free(struct vigil__uring *uring)
{
    vigil__ring_close(&uring->ring);
    vigil__call_waker_close(&uring->waker);
    if (uring->embedded)
        vigil__call_waker_close(&uring->embed);
    vigil__uring_polls_clear(uring);
    vigil__uring_bufs_clear(uring);
    vigil__uring_ops_clear(uring);
    vigil__free(uring->allocator, uring->kept, uring->kept_room * sizeof(*uring->kept));
    vigil__free(uring->allocator, uring, sizeof(*uring));
}

/* The ring of buffers is the parent's alone, and where it lay may be something else by now. */
static void uring_forget(void *self)
{
    struct vigil__uring *uring = self;
    uring->bufs.places = NULL;
    uring_free(uring);
}

/* What is still polled is taken back first: the kernel ends a ring in its own time, and would hold
 * the files until then. */
static void uring_close(void *self)
{
    struct vigil__uring *uring = self;
    vigil__uring_polls_end(uring);
    if (vigil__ring_unsubmitted(&uring->ring) > 0)
        (void)vigil__uring_enter(uring, 0, VIGIL_NOWAIT); /* the last closes */
    uring_close_unsubmitted(uring);
    uring_free(uring);
}

static int uring_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    return vigil__uring_polls_set(self, fd, was, want, key);
}

int vigil__uring_enter(struct vigil__uring *uring, uint32_t min_complete, vigil_ns timeout_ns)
{
    int err = vigil__ring_enter(&uring->ring, min_complete, timeout_ns);
    if (VIGIL_LIKELY(err == 0))
        return 0;
    return err == VIGIL_ETHREAD ? uring_move(uring) : err;
}

/* Hands over what is due and enters. */
static int uring_turn(struct vigil__uring *uring, uint32_t min_complete, vigil_ns timeout_ns)
{
    vigil__uring_polls_arm(uring, UINT32_MAX);
    if (VIGIL_UNLIKELY(uring->cancels_due))
        vigil__uring_ops_cancel_due(uring);
    return vigil__uring_enter(uring, min_complete, timeout_ns);
}

static vigil_ns time_left(vigil_ns deadline)
{
    if (deadline == VIGIL_FOREVER)
        return VIGIL_FOREVER;
    vigil_ns now = vigil__call_now();
    return deadline > now ? deadline - now : 0;
}

/* What came before this wait, or was not taken by the one before, may be over.  It is asked anew,
 * and entered on its own: Linux 6.1 tells what fails before what was asked for earlier, and a
 * closed descriptor would be told again and again before the others. */
static void uring_ask_anew(struct vigil__uring *uring)
{
    uint32_t doubted = vigil__uring_polls_doubt(uring);
    uring_trim(uring);
    if (doubted == 0)
        return;
    vigil__uring_polls_arm(uring, doubted);
    (void)vigil__uring_enter(uring, 0, VIGIL_NOWAIT); /* the next one tells why not */
}

/* Enters once, but again when all that came was for nobody, as of a poll that was taken back. */
static int uring_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct vigil__uring *uring = self;
    bool timed = timeout_ns != VIGIL_NOWAIT && timeout_ns != VIGIL_FOREVER;
    vigil_ns deadline = timed ? vigil__time_add(vigil__call_now(), timeout_ns) : timeout_ns;
    int looks = 0;
    for (vigil_ns left = timeout_ns;;) {
        if (VIGIL_UNLIKELY(uring->kept_count > 0))
            return uring_take_kept(uring, records, cap);
        uint32_t moves = uring->moves;
        if (VIGIL_UNLIKELY(uring->polls.standing > 0 && vigil__ring_has_work(&uring->ring)))
            (void)vigil__uring_enter(uring, 0, VIGIL_NOWAIT); /* the next one tells why not */
        if (VIGIL_UNLIKELY(vigil__ring_ready(&uring->ring) > 0))
            uring_ask_anew(uring);
        uint32_t ready = vigil__ring_ready(&uring->ring);
        bool look = ready > 0 || uring->woken || left == VIGIL_NOWAIT;
        int err = uring_turn(uring, look ? 0 : 1, left);
        uint32_t taken;
        int n = uring_take(uring, records, cap, &taken);
        bool overflown = vigil__ring_overflown(&uring->ring);
        if (VIGIL_UNLIKELY(overflown))
            uring_keep_overflow(uring);
        bool again = taken > 0 || overflown || uring->moves != moves;
        if (left == VIGIL_NOWAIT) /* unless some were not even looked at */
            again = again && (overflown || uring->polls.due_count > 0) && looks++ < LOOKS_MAX;
        if (n > 0 || !again)
            return n == 0 && err < 0 && err != VIGIL_EBUSY ? err : n;
        left = timed ? time_left(deadline) : timeout_ns;
    }
}

static int uring_wake(void *self)
{
    struct vigil__uring *uring = self;
    if (uring->embedded) /* the kernel would do it some milliseconds later */
        (void)vigil__call_waker_signal(&uring->embed); /* the other one tells */
    return vigil__call_waker_signal(&uring->waker);
}

static int embed_register(struct vigil__uring *uring)
{
    return vigil__call_uring_register(uring->ring.fd, VIGIL__URING_REGISTER_EVENTFD,
                                      &uring->embed.read_fd, 1);
}

/* An eventfd that the kernel signals.  The ring's own descriptor will not do: where work is put off
 * until somebody enters, whoever polls it sleeps on (seen on 6.18). */
static int uring_fd(void *self)
{
    struct vigil__uring *uring = self;
    if (uring->embedded)
        return uring->embed.read_fd;
    int err = vigil__call_waker_open(&uring->embed);
    if (err < 0)
        return err;
    err = embed_register(uring);
    if (err == VIGIL_ETHREAD) { /* the ring is bound to another: entering it moves */
        err = vigil__uring_enter(uring, 0, VIGIL_NOWAIT);
        err = err < 0 ? err : embed_register(uring);
    }
    if (err < 0) {
        vigil__call_waker_close(&uring->embed);
        return err;
    }
    uring->embedded = true;
    uring_flush(uring); /* for what came before */
    return uring->embed.read_fd;
}

/* Takes the oldest completions as long as they have nothing to tell. */
static void uring_trim(struct vigil__uring *uring)
{
    while (vigil__ring_ready(&uring->ring) > 0) {
        const struct vigil__cqe *cqe = vigil__ring_cqe(&uring->ring, 0);
        enum vigil__key_class key_class = vigil__key_class(cqe->user_data);
        if (key_class == VIGIL__KEY_OP)
            return;
        if (key_class == VIGIL__KEY_WATCH) {
            if (!vigil__uring_polls_silent(uring, cqe))
                return;
            (void)vigil__uring_polls_record(uring, cqe, NULL); /* there is none: it takes note */
        }
        vigil__ring_taken(&uring->ring, 1);
    }
}

void vigil__uring_make_room(struct vigil__uring *uring)
{
    uint32_t enough = uring->ring.cq_entries / 2;
    if (VIGIL_LIKELY(vigil__ring_ready(&uring->ring) < enough))
        return;
    uring_trim(uring);
    if (vigil__ring_ready(&uring->ring) >= enough)
        (void)uring_keep(uring, 0); /* without memory for it there is still the other half */
}

static bool uring_is_put_off(const struct vigil__uring *uring)
{
    return uring->polls.due_count > 0 || vigil__ring_unsubmitted(&uring->ring) > 0;
}

/* What was put off is handed over.  True: once more. */
static bool flush_round(struct vigil__uring *uring)
{
    if (uring->embedded)
        vigil__call_waker_drain(&uring->embed);
    uint32_t before = uring->ring.cq_head + vigil__ring_ready(&uring->ring);
    (void)uring_turn(uring, 0, VIGIL_NOWAIT); /* what it could not do the wait tells of */
    uint32_t after = uring->ring.cq_head + vigil__ring_ready(&uring->ring);
    uring_trim(uring);
    return uring_is_put_off(uring) || (uring->embedded && after != before);
}

/* What comes behind the last look makes the eventfd readable; what was there before it, we do. */
static void uring_flush(void *self)
{
    struct vigil__uring *uring = self;
    uring_trim(uring);
    bool more = uring->embedded || uring_is_put_off(uring);
    for (int i = 0; i < FLUSH_ROUNDS_MAX && more; i++)
        more = flush_round(uring);
    uring_keep_overflow(uring); /* the next turn may be another thread's */
    bool answers = vigil__ring_ready(&uring->ring) > 0 || uring->woken || uring->kept_count > 0;
    if (uring->embedded && (answers || more))
        (void)vigil__call_waker_signal(&uring->embed); /* it is open: cannot fail */
}

static int uring_submit(void *self, struct vigil__op *op)
{
    return vigil__uring_op_submit(self, op);
}

static void uring_cancel(void *self, struct vigil__op *op)
{
    vigil__uring_op_cancel(self, op);
}

static int uring_close_fd(void *self, vigil_fd fd)
{
    return vigil__uring_close_fd(self, fd);
}

static void uring_give(void *self, struct vigil__buf *buf)
{
    vigil__uring_bufs_give(self, buf);
}

static int uring_features(vigil_feature *out, int max)
{
    struct vigil__ring ring;
    struct vigil__uring_found found = { 0 };
    int err = vigil__ring_open(&ring, SQ_ENTRIES, CQ_ENTRIES);
    if (err < 0)
        return err;
    err = vigil__uring_try(&ring, &found, true);
    vigil__ring_close(&ring);
    return err < 0 ? err : vigil__uring_features(&found, out, max);
}

const struct vigil__backend vigil__backend_io_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .forget = uring_forget,
    .set = uring_set,
    .wait = uring_wait,
    .wake = uring_wake,
    .fd = uring_fd,
    .flush = uring_flush,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .close_fd = uring_close_fd,
    .give = uring_give,
    .features = uring_features,
};

/* Turns completions into records, as many as there is room for. */
static int uring_take(struct vigil__uring *uring, struct vigil__record *records, int cap,
                      uint32_t *taken)
{
    uint32_t ready = vigil__ring_ready(&uring->ring);
    uint32_t room = (uint32_t)cap;
    uint32_t n = 0;
    uint32_t i = 0;
    for (; i < ready && n < room; i++) {
        const struct vigil__cqe *cqe = vigil__ring_cqe(&uring->ring, i);
        enum vigil__key_class key_class = vigil__key_class(cqe->user_data);
        if (key_class == VIGIL__KEY_OP) {
            if (vigil__uring_op_records_max(uring, cqe) > room - n)
                break;
            n += vigil__uring_op_records(uring, cqe, &records[n]);
        } else if (key_class == VIGIL__KEY_WATCH) {
            bool told = vigil__uring_polls_record(uring, cqe, &records[n]);
            bool wake = told && vigil__key_class(records[n].key) == VIGIL__KEY_WAKE;
            uring->woken = uring->woken || wake;
            n += told && !wake;
        }
    }
    vigil__ring_taken(&uring->ring, i);
    *taken = i;
    if (uring->woken && n < room) { /* behind the others, whose places many of them would take */
        records[n++] = (struct vigil__record){ .key = wake_key() };
        uring->woken = false;
    }
    return (int)n;
}

/* ---- records that are kept ---- */

static int uring_take_kept(struct vigil__uring *uring, struct vigil__record *records, int cap)
{
    int n = 0;
    while (n < cap && uring->kept_at < uring->kept_count)
        records[n++] = uring->kept[uring->kept_at++];
    if (uring->kept_at == uring->kept_count) {
        vigil__free(uring->allocator, uring->kept, uring->kept_room * sizeof(*uring->kept));
        uring->kept = NULL;
        uring->kept_at = uring->kept_count = uring->kept_room = 0;
    }
    return n;
}

/* Takes all completions there are into those that are kept, with room for `extra` more.  Those of
 * levels are not kept: they are asked anew. */
static bool uring_keep(struct vigil__uring *uring, uint32_t extra)
{
    (void)vigil__uring_polls_doubt(uring); /* whether there are any */
    uint32_t ready = vigil__ring_ready(&uring->ring);
    uint32_t room = uring->kept_count + extra + uring->woken; /* which will be told with them */
    for (uint32_t i = 0; i < ready; i++)
        room += vigil__uring_op_records_max(uring, vigil__ring_cqe(&uring->ring, i));
    if (room > uring->kept_room) {
        struct vigil__record *kept = vigil__resize(
            uring->allocator, uring->kept, uring->kept_room * sizeof(*kept), room * sizeof(*kept));
        if (kept == NULL)
            return false;
        uring->kept = kept;
        uring->kept_room = room;
    }
    if (ready == 0)
        return true;
    uint32_t taken;
    uring->kept_count += (uint32_t)uring_take(uring, &uring->kept[uring->kept_count],
                                              (int)(room - uring->kept_count), &taken);
    return true;
}

/* The kernel keeps completions beside its ring.  There they would be lost if the ring had to be
 * left, so they are fetched at once. */
static void uring_keep_overflow(struct vigil__uring *uring)
{
    bool overflown = vigil__ring_overflown(&uring->ring);
    for (int i = 0; i < OVERFLOW_ROUNDS_MAX && VIGIL_UNLIKELY(overflown); i++) {
        if (!uring_keep(uring, 0))
            return; /* no memory: they stay where they are */
        (void)vigil__ring_enter(&uring->ring, 0,
                                VIGIL_NOWAIT); /* brings them, or stays overflown */
        overflown = vigil__ring_overflown(&uring->ring);
    }
}

/* Closes that a ring was never handed, by ourselves. */
static void uring_close_unsubmitted(struct vigil__uring *uring)
{
    const struct vigil__ring *ring = &uring->ring;
    for (uint32_t left = vigil__ring_unsubmitted(ring); left > 0; left--) {
        const struct vigil__sqe *sqe = vigil__ring_unsubmitted_sqe(ring, ring->sq_tail - left);
        if (sqe->opcode == VIGIL__URING_CLOSE)
            vigil__call_close(sqe->fd);
    }
}

/* Leaves the ring, which another thread made, for a new one that is this thread's.  What the old
 * one had to tell is kept; what was under way in it has moved no byte and ends as cancelled, and
 * whoever wanted it will ask again; polls are armed anew. */
static int uring_move(struct vigil__uring *uring)
{
    struct vigil__ring fresh;
    int err = vigil__ring_open(&fresh, SQ_ENTRIES, CQ_ENTRIES);
    if (err < 0)
        return err;
    if (!uring_keep(uring, vigil__uring_ops_under_way(uring))) {
        vigil__ring_close(&fresh);
        return VIGIL_ENOMEM;
    }
    uring->kept_count += vigil__uring_ops_give_up(uring, &uring->kept[uring->kept_count]);
    vigil__uring_polls_moved(uring);
    vigil__uring_bufs_moved(uring);
    uring_close_unsubmitted(uring);
    vigil__ring_close(&uring->ring);
    uring->ring = fresh;
    uring->moves++;
    if (uring->embedded)
        (void)embed_register(uring); /* it went well with the ring before */
    return 0;
}

#endif
