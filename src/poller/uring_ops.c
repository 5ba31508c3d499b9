/* SPDX-License-Identifier: MIT
 *
 * uring_ops.c -- operations that the kernel performs.  Floor: poller.
 *
 * One submission is one operation, and its last completion, the one without MORE, its last record.
 * It is named by a ticket, which is free again then: there is no completion that comes later.
 */
#include "poller/uring.h"
#include "sys/mark.h"

#ifdef __linux__

/* Where an operation's cancelling stands. */
enum cancelling {
    CANCEL_NOT,
    CANCEL_DUE, /* there was no room in the queue */
    CANCELLED,
    WITHDRAWN, /* the kernel never saw it */
};

enum { CANCELLING_SHIFT = 60, TICKETS_MIN = 64 };

static const uint64_t cancelling_bits = UINT64_C(3) << CANCELLING_SHIFT;

static uint64_t op_user_data(uint32_t ticket)
{
    return vigil__key(VIGIL__KEY_OP, 0, 0, ticket);
}

/* ---- tickets ---- */

static bool ticket_taken(const struct vigil__uring_ops *ops, uint32_t ticket)
{
    return vigil__key_class(ops->keys[ticket]) == VIGIL__KEY_OP;
}

static uint64_t ticket_key(const struct vigil__uring_ops *ops, uint32_t ticket)
{
    return ops->keys[ticket] & ~cancelling_bits;
}

static enum cancelling ticket_cancelling(const struct vigil__uring_ops *ops, uint32_t ticket)
{
    return (enum cancelling)(ops->keys[ticket] >> CANCELLING_SHIFT & 3);
}

static void ticket_cancel(struct vigil__uring_ops *ops, uint32_t ticket, enum cancelling how)
{
    ops->keys[ticket] = ticket_key(ops, ticket) | (uint64_t)how << CANCELLING_SHIFT;
}

/* Sees to it that there is one to take.  False: out of memory. */
static bool ticket_reserve(struct vigil__uring *uring)
{
    struct vigil__uring_ops *ops = &uring->ops;
    if (ops->free_head != UINT32_MAX || ops->used < ops->room)
        return true;
    uint32_t room = ops->room == 0 ? TICKETS_MIN : ops->room * 2;
    uint64_t *keys = vigil__resize(uring->allocator, ops->keys, ops->room * sizeof(*keys),
                                   room * sizeof(*keys));
    if (keys == NULL)
        return false;
    ops->keys = keys;
    ops->room = room;
    return true;
}

static uint32_t ticket_take(struct vigil__uring_ops *ops, uint64_t key)
{
    VIGIL_ASSERT(vigil__key_class(key) == VIGIL__KEY_OP && (key & cancelling_bits) == 0);
    uint32_t ticket = ops->used;
    if (ops->free_head != UINT32_MAX) {
        ticket = ops->free_head;
        ops->free_head = (uint32_t)ops->keys[ticket];
    } else {
        ops->used++;
    }
    ops->keys[ticket] = key;
    ops->live++;
    return ticket;
}

static void ticket_give(struct vigil__uring_ops *ops, uint32_t ticket)
{
    VIGIL_ASSERT(ticket_taken(ops, ticket));
    ops->keys[ticket] = ops->free_head;
    ops->free_head = ticket;
    ops->live--;
}

void vigil__uring_ops_clear(struct vigil__uring *uring)
{
    vigil__free(uring->allocator, uring->ops.keys, uring->ops.room * sizeof(*uring->ops.keys));
}

/* ---- submitting ---- */

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

_Static_assert(sizeof(struct vigil__uring_message) <= VIGIL__OP_ROOM, "it has room");

/* It never waits: one that would block ends at once and says so.  (Where the peer has ended its
 * side, the kernel takes a wait for room for one that is over, tries in vain again and again, and
 * in the end keeps a thread of its own blocked in the send.) */
static void fill_send(const struct vigil__op *op, struct vigil__sqe *sqe)
{
    sqe->what = vigil__uring_send_flags();
    if (op->u.io.count == 1) {
        sqe->opcode = VIGIL__URING_SEND;
        sqe->addr = (uint64_t)(uintptr_t)op->u.io.iov->base;
        sqe->len = (uint32_t)vigil__min(op->u.io.iov->len, INT32_MAX);
    } else {
        struct vigil__uring_message *message = op->u.io.room;
        vigil__uring_message_fill(message, op->u.io.iov, op->u.io.count);
        sqe->opcode = VIGIL__URING_SENDMSG;
        sqe->addr = (uint64_t)(uintptr_t)message;
        sqe->len = 1;
    }
}

static void fill(const struct vigil__uring *uring, const struct vigil__op *op,
                 struct vigil__sqe *sqe)
{
    sqe->fd = op->fd;
    sqe->user_data = op_user_data(op->ticket);
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
        fill_send(op, sqe);
    }
}

int vigil__uring_op_submit(struct vigil__uring *uring, struct vigil__op *op)
{
    int err = op->kind == VIGIL__OP_RECV ? vigil__uring_bufs_need(uring) : 0;
    if (err < 0 || !ticket_reserve(uring))
        return VIGIL_ENOMEM;
    struct vigil__sqe *sqe = vigil__ring_sqe(&uring->ring);
    if (sqe == NULL)
        return VIGIL_EFULL;
    op->ticket = ticket_take(&uring->ops, op->key);
    fill(uring, op, sqe);
    return 0;
}

static bool cancel_submit(struct vigil__uring *uring, uint32_t ticket)
{
    struct vigil__sqe *sqe = vigil__ring_sqe(&uring->ring);
    if (sqe == NULL)
        return false;
    ticket_cancel(&uring->ops, ticket, CANCELLED);
    sqe->opcode = VIGIL__URING_CANCEL;
    sqe->flags = VIGIL__URING_SKIP_SUCCESS;
    sqe->fd = VIGIL_FD_NONE;
    sqe->addr = op_user_data(ticket);
    return true;
}

/* What the kernel has not taken yet of an operation, the last of it being the first to be looked
 * at: it was submitted since the last wait.  Or NULL. */
static struct vigil__sqe *op_unsubmitted(const struct vigil__uring *uring, uint32_t ticket)
{
    const struct vigil__ring *ring = &uring->ring;
    uint32_t count = vigil__ring_unsubmitted(ring);
    for (uint32_t behind = 1; behind <= count; behind++) {
        struct vigil__sqe *sqe = vigil__ring_unsubmitted_sqe(ring, ring->sq_tail - behind);
        if (sqe != NULL && sqe->user_data == op_user_data(ticket))
            return sqe;
    }
    return NULL;
}

void vigil__uring_op_cancel(struct vigil__uring *uring, const struct vigil__op *op)
{
    struct vigil__uring_ops *ops = &uring->ops;
    uint32_t ticket = op->ticket;
    bool over = !ticket_taken(ops, ticket) || ticket_key(ops, ticket) != op->key;
    if (over || ticket_cancelling(ops, ticket) != CANCEL_NOT)
        return; /* its last record is brought, or it is on its way */
    struct vigil__sqe *sqe = op_unsubmitted(uring, ticket);
    if (sqe != NULL) { /* or it would be performed first, and cancelled then */
        *sqe = (struct vigil__sqe){ .opcode = VIGIL__URING_NOP, .user_data = op_user_data(ticket) };
        ticket_cancel(ops, ticket, WITHDRAWN);
        return;
    }
    if (cancel_submit(uring, ticket))
        return;
    ticket_cancel(ops, ticket, CANCEL_DUE);
    uring->cancels_due = true;
}

void vigil__uring_ops_cancel_due(struct vigil__uring *uring)
{
    const struct vigil__uring_ops *ops = &uring->ops;
    bool all = true;
    for (uint32_t ticket = 0; ticket < ops->used && all; ticket++)
        if (ticket_taken(ops, ticket) && ticket_cancelling(ops, ticket) == CANCEL_DUE)
            all = cancel_submit(uring, ticket);
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
    bool one = !is_received(cqe) || (uint32_t)cqe->res <= uring->bufs.size;
    if (VIGIL_LIKELY(one) || uring->bufs.size == 0)
        return 1;
    return ((uint32_t)cqe->res - 1) / uring->bufs.size + 1;
}

/* One record per buffer; only the last can be the operation's last. */
static uint32_t records_received(struct vigil__uring *uring, const struct vigil__cqe *cqe,
                                 struct vigil__record *records)
{
    uint64_t key = records->key;
    uint32_t flags = records->flags;
    uint32_t id = cqe->flags >> VIGIL__URING_CQE_BUFFER_SHIFT;
    uint32_t n = 0;
    for (uint32_t left = (uint32_t)cqe->res; left > 0;) {
        struct vigil__record *record = &records[n++];
        record->key = key;
        left = vigil__uring_bufs_take(uring, &id, cqe->flags, left, record);
        record->flags = left > 0 ? VIGIL__RECORD_MORE : flags;
        vigil__mark_written(record->buf->data + record->offset, (uint32_t)record->res);
    }
    return n;
}

uint32_t vigil__uring_op_records(struct vigil__uring *uring, const struct vigil__cqe *cqe,
                                 struct vigil__record *records)
{
    uint32_t ticket = vigil__key_slot(cqe->user_data);
    bool withdrawn = ticket_cancelling(&uring->ops, ticket) == WITHDRAWN;
    bool more = (cqe->flags & VIGIL__URING_CQE_MORE) != 0;
    records->key = ticket_key(&uring->ops, ticket);
    records->flags = more ? VIGIL__RECORD_MORE : 0;
    if (!more)
        ticket_give(&uring->ops, ticket);
    if (is_received(cqe))
        return records_received(uring, cqe, records);
    vigil__uring_bufs_return(uring, cqe->flags);
    records->res = withdrawn ? VIGIL_ECANCELED : vigil__uring_result(cqe->res);
    records->buf = NULL;
    records->offset = 0;
    return 1;
}

/* ---- leaving a ring ---- */

uint32_t vigil__uring_ops_under_way(const struct vigil__uring *uring)
{
    return uring->ops.live;
}

uint32_t vigil__uring_ops_give_up(struct vigil__uring *uring, struct vigil__record *records)
{
    struct vigil__uring_ops *ops = &uring->ops;
    uint32_t n = 0;
    for (uint32_t ticket = 0; ticket < ops->used; ticket++) {
        if (!ticket_taken(ops, ticket))
            continue;
        records[n++] = (struct vigil__record){ .key = ticket_key(ops, ticket),
                                               .res = VIGIL_ECANCELED };
        ticket_give(ops, ticket);
    }
    return n;
}

#endif
