/* SPDX-License-Identifier: MIT
 *
 * uring_ops.c -- operations that the kernel performs.  Floor: poller.
 *
 * One submission is one operation, and its last completion, the one without MORE, its last record.
 * A slot holds what the kernel needs meanwhile, and tells a completion of today from none at all.
 */
#include "poller/uring.h"
#include "sys/mark.h"

#ifdef __linux__

/* Where an operation's cancelling stands. */
enum {
    CANCEL_NOT,
    CANCEL_DUE, /* there was no room in the queue */
    CANCELLED,
    WITHDRAWN, /* the kernel never saw it */
};

static uint64_t op_user_data(const struct vigil__uring_op *slot)
{
    return vigil__key(VIGIL__KEY_OP, 0, slot->slot.generation, slot->slot.index);
}

static void fill_receive(const struct vigil__uring *uring, const struct vigil__op *op,
                         struct vigil__sqe *sqe)
{
    bool multi = (op->flags & VIGIL__OP_MULTI) != 0;
    sqe->opcode = VIGIL__URING_RECV;
    sqe->flags = VIGIL__URING_BUFFER_SELECT;
    sqe->how = multi ? VIGIL__URING_RECV_MULTISHOT : 0;
    if (multi && uring->found.bundle && !uring->found.incremental)
        sqe->how |= VIGIL__URING_BUNDLE;
    sqe->len = multi ? 0 : (uint32_t)op->u.len;
}

/* It never waits: one that would block ends at once and says so.  (Where the peer has ended its
 * side, the kernel takes a wait for room for one that is over, tries in vain again and again, and
 * in the end keeps a thread of its own blocked in the send.) */
static void fill_send(struct vigil__uring_op *slot, const struct vigil__op *op,
                      struct vigil__sqe *sqe)
{
    sqe->what = vigil__uring_send_flags();
    if (op->u.io.count == 1) {
        sqe->opcode = VIGIL__URING_SEND;
        sqe->addr = (uint64_t)(uintptr_t)op->u.io.iov->base;
        sqe->len = (uint32_t)vigil__min(op->u.io.iov->len, INT32_MAX);
    } else {
        vigil__uring_message_fill(&slot->message, op->u.io.iov, op->u.io.count);
        sqe->opcode = VIGIL__URING_SENDMSG;
        sqe->addr = (uint64_t)(uintptr_t)&slot->message;
        sqe->len = 1;
    }
}

static void fill(const struct vigil__uring *uring, struct vigil__uring_op *slot,
                 struct vigil__sqe *sqe)
{
    const struct vigil__op *op = slot->op;
    sqe->fd = op->fd;
    sqe->user_data = op_user_data(slot);
    switch (op->kind) {
    case VIGIL__OP_ACCEPT:
        sqe->opcode = VIGIL__URING_ACCEPT;
        sqe->how = (op->flags & VIGIL__OP_MULTI) != 0 ? VIGIL__URING_ACCEPT_MULTISHOT : 0;
        sqe->what = vigil__uring_accept_flags();
        break;
    case VIGIL__OP_RECV:
        fill_receive(uring, op, sqe);
        break;
    default:
        VIGIL_ASSERT(op->kind == VIGIL__OP_SEND);
        fill_send(slot, op, sqe);
    }
}

int vigil__uring_op_submit(struct vigil__uring *uring, struct vigil__op *op)
{
    int err = op->kind == VIGIL__OP_RECV ? vigil__uring_bufs_need(uring) : 0;
    if (err < 0)
        return VIGIL_ENOMEM;
    struct vigil__uring_op *slot = vigil__slab_take(&uring->ops);
    if (slot == NULL)
        return VIGIL_ENOMEM;
    struct vigil__sqe *sqe = vigil__ring_sqe(&uring->ring);
    if (sqe == NULL) {
        vigil__slab_give(&uring->ops, slot);
        return VIGIL_EFULL;
    }
    slot->op = op;
    slot->tail = uring->ring.sq_tail - 1;
    op->ticket = slot->slot.index;
    fill(uring, slot, sqe);
    return 0;
}

static bool cancel_submit(struct vigil__uring *uring, struct vigil__uring_op *slot)
{
    struct vigil__sqe *sqe = vigil__ring_sqe(&uring->ring);
    if (sqe == NULL)
        return false;
    slot->cancel = CANCELLED;
    sqe->opcode = VIGIL__URING_CANCEL;
    sqe->flags = VIGIL__URING_SKIP_SUCCESS;
    sqe->fd = VIGIL_FD_NONE;
    sqe->addr = op_user_data(slot);
    return true;
}

void vigil__uring_op_cancel(struct vigil__uring *uring, const struct vigil__op *op)
{
    struct vigil__uring_op *slot = vigil__slab_at(&uring->ops, op->ticket);
    bool over = !vigil__slot_taken(&slot->slot) || slot->op != op; /* its last record is brought */
    if (over || slot->cancel != CANCEL_NOT)
        return;
    struct vigil__sqe *sqe = vigil__ring_unsubmitted_sqe(&uring->ring, slot->tail);
    if (sqe != NULL) { /* or it would be performed first, and cancelled then */
        *sqe = (struct vigil__sqe){ .opcode = VIGIL__URING_NOP, .user_data = op_user_data(slot) };
        slot->cancel = WITHDRAWN;
        return;
    }
    if (cancel_submit(uring, slot))
        return;
    slot->cancel = CANCEL_DUE;
    uring->cancels_due = true;
}

void vigil__uring_ops_cancel_due(struct vigil__uring *uring)
{
    bool all = true;
    for (uint32_t i = 0; i < vigil__slab_slots(&uring->ops) && all; i++) {
        struct vigil__uring_op *slot = vigil__slab_at(&uring->ops, i);
        if (vigil__slot_taken(&slot->slot) && slot->cancel == CANCEL_DUE)
            all = cancel_submit(uring, slot);
    }
    uring->cancels_due = !all;
}

int vigil__uring_close_fd(struct vigil__uring *uring, vigil_fd fd)
{
    struct vigil__sqe *sqe = vigil__ring_sqe(&uring->ring);
    if (sqe == NULL)
        return VIGIL_EFULL;
    sqe->opcode = VIGIL__URING_CLOSE;
    sqe->flags = VIGIL__URING_SKIP_SUCCESS;
    sqe->fd = fd;
    return 0;
}

/* ---- records ---- */

static bool is_received(const struct vigil__cqe *cqe)
{
    return cqe->res > 0 && (cqe->flags & VIGIL__URING_CQE_BUFFER) != 0;
}

uint32_t vigil__uring_op_records_max(const struct vigil__uring *uring, const struct vigil__cqe *cqe)
{
    if (!is_received(cqe) || uring->bufs.size == 0)
        return 1;
    return ((uint32_t)cqe->res - 1) / uring->bufs.size + 1;
}

/* One record per buffer; only the last can be the operation's last. */
static uint32_t records_received(struct vigil__uring *uring, const struct vigil__cqe *cqe,
                                 const struct vigil__record *common, struct vigil__record *records)
{
    uint32_t left = (uint32_t)cqe->res;
    uint32_t id = cqe->flags >> VIGIL__URING_CQE_BUFFER_SHIFT;
    uint32_t n = 0;
    while (left > 0) {
        struct vigil__record *record = &records[n++];
        uint32_t len;
        *record = *common;
        record->buf = vigil__uring_bufs_take(uring, &id, cqe->flags, &left, &record->offset, &len);
        record->res = (int32_t)len;
        vigil__mark_written(record->buf->data + record->offset, len);
        if (left > 0)
            record->flags = VIGIL__RECORD_MORE;
    }
    return n;
}

uint32_t vigil__uring_op_records(struct vigil__uring *uring, const struct vigil__cqe *cqe,
                                 struct vigil__record *records)
{
    struct vigil__uring_op *slot = vigil__slab_at(&uring->ops, vigil__key_slot(cqe->user_data));
    struct vigil__record common = { .key = slot->op->key };
    int32_t res = slot->cancel == WITHDRAWN ? VIGIL_ECANCELED : vigil__uring_result(cqe->res);
    if ((cqe->flags & VIGIL__URING_CQE_MORE) != 0)
        common.flags = VIGIL__RECORD_MORE;
    else
        vigil__slab_give(&uring->ops, slot);
    if (is_received(cqe))
        return records_received(uring, cqe, &common, records);
    vigil__uring_bufs_return(uring, cqe->flags);
    records[0] = common;
    records[0].res = res;
    return 1;
}

/* ---- leaving a ring ---- */

uint32_t vigil__uring_ops_under_way(const struct vigil__uring *uring)
{
    return uring->ops.live;
}

uint32_t vigil__uring_ops_give_up(struct vigil__uring *uring, struct vigil__record *records)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < vigil__slab_slots(&uring->ops); i++) {
        struct vigil__uring_op *slot = vigil__slab_at(&uring->ops, i);
        if (!vigil__slot_taken(&slot->slot))
            continue;
        records[n++] = (struct vigil__record){ .key = slot->op->key, .res = VIGIL_ECANCELED };
        vigil__slab_give(&uring->ops, slot);
    }
    return n;
}

#endif
