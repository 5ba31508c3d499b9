/* SPDX-License-Identifier: MIT
 *
 * complete.c -- operations that a simulated system performs, when the loop waits.
 * Floor: sim.
 */
#include "sim/sim.h"

enum {
    ROUNDS_MAX = 8,   /* records of one operation per wait */
    MEMORY_SHARE = 8, /* buffers are at most that part of the loop's memory */
};

/* Few and large, or small ones that run out. */
static const struct {
    uint32_t size, count;
} measures[] = { { 16384, 4 }, { 4096, 8 }, { 256, 2 } };

int vigil__sim_ops_open(struct sim_backend *backend)
{
    vigil_sim *sim = backend->host->sim;
    uint32_t measure = vigil_sim_choose(sim, "buffers", VIGIL_COUNT(measures));
    size_t most = backend->pool->limit / MEMORY_SHARE / measures[measure].size;
    backend->buf_size = measures[measure].size;
    for (size_t i = 0; i < vigil__min(measures[measure].count, vigil__max(most, 1)); i++) {
        struct vigil__buf *buf = vigil__buf_new(backend->allocator, backend->buf_size);
        if (buf == NULL) {
            vigil__sim_ops_close(backend);
            return VIGIL_ENOMEM;
        }
        buf->refs = 0;
        buf->size_class = VIGIL__BUF_LENT;
        buf->lender_id = (uint16_t)i;
        backend->bufs[i] = buf;
        backend->buf_count++;
    }
    backend->pool->lendable = backend->buf_count;
    return 0;
}

void vigil__sim_ops_close(struct sim_backend *backend)
{
    vigil_sim *sim = backend->host->sim;
    vigil__sim_oracle_count(sim, "operations end");
    const struct sim_planned *wait = &backend->host->planned[VIGIL_SIM_CALL_WAIT];
    bool never_told = wait->sticky && wait->n == 1; /* a wait that fails for ever tells of no end */
    if (!vigil__list_empty(&backend->ops) && !never_told)
        vigil__sim_fail(sim, "operations end",
                        "a backend is closed while an operation is under way");
    while (!vigil__list_empty(&backend->ops)) {
        struct sim_op *slot = VIGIL_OWNER(backend->ops.next, struct sim_op, link);
        vigil__list_remove(&slot->link);
        vigil__free(backend->allocator, slot, sizeof(*slot));
    }
    vigil__sim_oracle_count(sim, "buffers come back");
    for (uint32_t i = 0; i < backend->buf_count; i++) {
        struct vigil__buf *buf = backend->bufs[i];
        if (buf->refs != 0)
            vigil__sim_fail(sim, "buffers come back", "a lent buffer has %u references at the end",
                            buf->refs);
        vigil__buf_free(backend->allocator, buf);
    }
    backend->buf_count = 0;
}

int vigil__sim_ops_submit(void *self, struct vigil__op *op)
{
    struct sim_backend *backend = self;
    int err = vigil__sim_call(backend->host, VIGIL_SIM_CALL_SUBMIT);
    if (err < 0)
        return err;
    struct sim_op *slot = vigil__alloc(backend->allocator, sizeof(*slot));
    if (slot == NULL)
        return VIGIL_ENOMEM;
    *slot = (struct sim_op){ .op = *op };
    vigil__list_append(&backend->ops, &slot->link);
    return 0;
}

void vigil__sim_ops_cancel(void *self, struct vigil__op *op)
{
    struct sim_backend *backend = self;
    for (struct vigil__link *at = backend->ops.next; at != &backend->ops; at = at->next) {
        struct sim_op *slot = VIGIL_OWNER(at, struct sim_op, link);
        if (slot->op.key == op->key)
            slot->cancelled = true;
    }
}

int vigil__sim_ops_close_fd(void *self, vigil_fd fd)
{
    struct sim_backend *backend = self;
    (void)vigil__sim_fd_close(backend->host, fd); /* a socket of a dead host has gone already */
    return 0;
}

/* Nobody refers to it any more: free is what has no reference. */
void vigil__sim_ops_give(void *self, struct vigil__buf *buf)
{
    (void)self;
    VIGIL_ASSERT(buf->refs == 0);
}

/* ---- performing ---- */

static int perform(struct sim_backend *backend, const struct vigil__op *op,
                   struct vigil__record *record);

static struct vigil__buf *buf_free(struct sim_backend *backend)
{
    if (vigil__sim_fault(backend->host->sim, backend->host, VIGIL_SIM_NO_BUFFERS))
        return NULL;
    for (uint32_t i = 0; i < backend->buf_count; i++)
        if (backend->bufs[i]->refs == 0)
            return backend->bufs[i];
    return NULL;
}

static int perform_receive(struct sim_backend *backend, struct sim_file *file,
                           const struct vigil__op *op, struct vigil__record *record)
{
    if (file->readable && (vigil__sim_ready(file) & VIGIL_IN) == 0)
        return VIGIL__EAGAIN;
    struct vigil__buf *buf = buf_free(backend);
    if (buf == NULL)
        return VIGIL_ENOBUFS;
    bool multi = (op->flags & VIGIL__OP_MULTI) != 0;
    size_t len = multi ? buf->cap : vigil__min(op->u.len, buf->cap);
    int res = vigil__sim_read(file, buf->data, len);
    if (res > 0) {
        vigil__buf_lend(backend->pool, buf);
        record->buf = buf;
    }
    return res;
}

/* The host counts what its loops have been told. */
static void count_sent(struct sim_backend *backend, const struct sim_op *slot, int sign)
{
    int64_t n = slot->record.res > 0 ? slot->record.res : 0;
    backend->host->bytes_out += (uint64_t)(sign * n);
    backend->host->sends += (uint64_t)(sign * (n > 0));
}

/* What was submitted goes to the system.  Of that a send happens at once, and is told before what
 * happens later: they stand first. */
void vigil__sim_ops_flush(void *self)
{
    struct sim_backend *backend = self;
    struct vigil__link *next, *first = backend->ops.next;
    while (first != &backend->ops && VIGIL_OWNER(first, struct sim_op, link)->done)
        first = first->next;
    for (struct vigil__link *at = first; at != &backend->ops; at = next) {
        next = at->next;
        struct sim_op *slot = VIGIL_OWNER(at, struct sim_op, link);
        if (slot->op.kind != VIGIL__OP_SEND || slot->cancelled)
            continue;
        if (at == first) {
            first = next;
        } else {
            vigil__list_remove(at);
            vigil__list_append(first, at);
        }
        slot->record = (struct vigil__record){ .key = slot->op.key };
        slot->record.res = perform(backend, &slot->op, &slot->record);
        slot->done = true;
        count_sent(backend, slot, -1);
    }
}

/* One result of an operation, or VIGIL__EAGAIN: it has none yet. */
static int perform(struct sim_backend *backend, const struct vigil__op *op,
                   struct vigil__record *record)
{
    struct sim_host *host = backend->host;
    struct sim_file *file = vigil__sim_fd_file(host, op->fd);
    if (file == NULL)
        return VIGIL_EBADF;
    int err;
    vigil_fd fd;
    switch (op->kind) {
    case VIGIL__OP_ACCEPT:
        err = vigil__sim_call(host, VIGIL_SIM_CALL_ACCEPT);
        err = err < 0 ? err : vigil__sim_accept(file, &fd);
        return err < 0 ? err : (int)fd;
    case VIGIL__OP_RECV:
        err = vigil__sim_call(host, VIGIL_SIM_CALL_RECV);
        return err < 0 ? err : perform_receive(backend, file, op, record);
    default:
        VIGIL_ASSERT(op->kind == VIGIL__OP_SEND);
        err = vigil__sim_call(host, VIGIL_SIM_CALL_SEND);
        return err < 0 ? err : vigil__sim_writev(file, op->u.io.iov, op->u.io.count);
    }
}

/* Whether the operation goes on behind that result. */
static bool goes_on(struct sim_backend *backend, const struct vigil__op *op, int res)
{
    bool good = op->kind == VIGIL__OP_ACCEPT ? res >= 0 : res > 0;
    return good && (op->flags & VIGIL__OP_MULTI) != 0 &&
           !vigil__sim_fault(backend->host->sim, backend->host, VIGIL_SIM_MULTI_ENDS);
}

static void slot_free(struct sim_backend *backend, struct sim_op *slot)
{
    vigil__list_remove(&slot->link);
    vigil__free(backend->allocator, slot, sizeof(*slot));
}

/* One that is cancelled ends, with what it did before if the cancel comes too late. */
static void end_cancelled(struct sim_backend *backend, struct sim_op *slot,
                          struct vigil__record *record)
{
    *record = (struct vigil__record){ .key = slot->op.key, .res = VIGIL_ECANCELED };
    if (vigil__sim_fault(backend->host->sim, backend->host, VIGIL_SIM_CANCEL_LOST)) {
        int res = perform(backend, &slot->op, record);
        record->res = res == VIGIL__EAGAIN ? VIGIL_ECANCELED : res;
    }
    slot_free(backend, slot);
}

static int slot_records(struct sim_backend *backend, struct sim_op *slot,
                        struct vigil__record *records, int cap)
{
    const struct vigil__op *op = &slot->op;
    for (int n = 0;; n++) {
        if (n == cap || n == ROUNDS_MAX)
            return n;
        struct vigil__record *record = &records[n];
        if (slot->done) {
            count_sent(backend, slot, 1);
            *record = slot->record;
            slot_free(backend, slot);
            return n + 1;
        }
        if (slot->cancelled) {
            end_cancelled(backend, slot, record);
            return n + 1;
        }
        *record = (struct vigil__record){ .key = op->key };
        record->res = perform(backend, op, record);
        if (record->res == VIGIL__EAGAIN && op->kind != VIGIL__OP_SEND)
            return n; /* a send never waits: it ends with that */
        if (!goes_on(backend, op, record->res)) {
            slot_free(backend, slot);
            return n + 1;
        }
        record->flags = VIGIL__RECORD_MORE;
    }
}

int vigil__sim_ops_records(struct sim_backend *backend, struct vigil__record *records, int cap)
{
    vigil_sim *sim = backend->host->sim;
    int n = 0;
    struct vigil__link *next;
    for (struct vigil__link *at = backend->ops.next; at != &backend->ops && n < cap; at = next) {
        next = at->next;
        n += slot_records(backend, VIGIL_OWNER(at, struct sim_op, link), records + n, cap - n);
        if (n > 0 && vigil__sim_fault(sim, backend->host, VIGIL_SIM_OVERFLOW))
            break; /* the others come with later waits */
    }
    return n;
}

bool vigil__sim_ops_ready(const struct sim_backend *backend)
{
    for (struct vigil__link *at = backend->ops.next; at != &backend->ops; at = at->next) {
        const struct sim_op *slot = VIGIL_OWNER(at, struct sim_op, link);
        const struct sim_file *file = vigil__sim_fd_file(backend->host, slot->op.fd);
        bool ends = slot->cancelled || file == NULL || slot->op.kind == VIGIL__OP_SEND;
        if (ends || (vigil__sim_ready(file) & ~(unsigned)VIGIL_OUT) != 0)
            return true;
    }
    return false;
}
