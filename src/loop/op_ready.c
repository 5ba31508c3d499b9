/* SPDX-License-Identifier: MIT
 *
 * op_ready.c -- operations performed over readiness.  Floor: loop.
 *
 * Try now; on "would block" park on the descriptor's port; try again when that is ready.  Input and
 * new connections are parked first: trying before anything can be there costs a call for nothing.
 * Those who start operations cannot tell this from a kernel that completes them.
 */
#include "loop/loop.h"

#include <limits.h>

enum {
    ACCEPTS_MAX = 64, /* newcomers from one listener before those already here have theirs */
};

static int op_attempt(vigil_loop *loop, struct vigil__op *op, bool ready);
static void op_park(vigil_loop *loop, struct vigil__op *op);
static void op_unpark(vigil_loop *loop, struct vigil__op *op);
static void perform_accepts(vigil_loop *loop, struct vigil__op *op);
static void perform_reads(vigil_loop *loop, struct vigil__op *op);
static void perform_once(vigil_loop *loop, struct vigil__op *op);
static void op_deliver(vigil_loop *loop, struct vigil__op *op, struct vigil__record *record);
static void watch_call(vigil_loop *loop, struct vigil__port *port, uint32_t events);

static bool op_is_input(const struct vigil__op *op)
{
    return op->kind == VIGIL__OP_ACCEPT || op->kind == VIGIL__OP_RECV || op->kind == VIGIL__OP_READ;
}

static unsigned op_event(const struct vigil__op *op)
{
    return op_is_input(op) ? VIGIL_IN : VIGIL_OUT;
}

/* One receive into a buffer of the pool.  Answers as host->recv does. */
static int op_receive(vigil_loop *loop, struct vigil__op *op, struct vigil__record *record)
{
    const vigil_host *host = loop->host;
    size_t len = vigil__min(op->u.len, VIGIL__BUF_READ);
    if (!loop->above->may_hold(loop, op->key))
        return VIGIL_ENOBUFS;
    struct vigil__buf *buf = vigil__buf_take(&loop->pool, len, VIGIL__BUF_INPUT);
    if (buf == NULL)
        return VIGIL_ENOBUFS;
    int res = op->kind == VIGIL__OP_RECV ? host->recv(host->self, op->fd, buf->data, len)
                                         : host->read(host->self, op->fd, buf->data, len);
    if (res <= 0) {
        vigil__buf_untake(&loop->pool, buf);
        return res;
    }
    record->buf = buf;
    record->flags = (size_t)res < len ? VIGIL__RECORD_DRAINED : 0;
    return res;
}

/* Whether it would wait, which one that may block cannot be asked by trying. */
static bool op_would_wait(const vigil_loop *loop, const struct vigil__op *op)
{
    return (op->flags & VIGIL__OP_BLOCKING) != 0 && !loop->host->readable(loop->host->self, op->fd);
}

static int start_ready(vigil_loop *loop, struct vigil__op *op, struct vigil__record *record)
{
    bool try_now = op_is_input(op) ? (op->flags & VIGIL__OP_NOWAIT) != 0
                                   : (op->flags & (VIGIL__OP_WAIT | VIGIL__OP_BLOCKING)) == 0;
    if (try_now) {
        *record = (struct vigil__record){ .key = op->key };
        if (op_would_wait(loop, op))
            record->res = VIGIL__EAGAIN;
        else if (op->kind == VIGIL__OP_RECV || op->kind == VIGIL__OP_READ)
            record->res = op_receive(loop, op, record);
        else
            record->res = op_attempt(loop, op, op->kind == VIGIL__OP_ACCEPT);
        if (record->res != VIGIL__EAGAIN || (op->flags & VIGIL__OP_NOWAIT) != 0)
            return 1;
    }
    op_park(loop, op);
    return 0;
}

int vigil__op_start(vigil_loop *loop, struct vigil__op *op, struct vigil__record *record)
{
    VIGIL_ASSERT(!op->active);
    /* What must not wait is tried here, and what must wait for room waits here.  So does all of a
     * forked child that ends the turn: the backend is its parent's. */
    op->native = vigil__op_native(loop, op->kind) &&
                 (op->flags & (VIGIL__OP_NOWAIT | VIGIL__OP_WAIT)) == 0 &&
                 vigil__process_is(loop->process);
    if (op->native && op->kind == VIGIL__OP_RECV && vigil__pool_input_full(&loop->pool))
        return VIGIL_ENOMEM;
    int status = op->native ? loop->backend->submit(loop->backend_self, op)
                            : start_ready(loop, op, record);
    op->active = status == 0;
    return status;
}

bool vigil__op_cancel(vigil_loop *loop, struct vigil__op *op)
{
    if (!op->active)
        return true;
    if (op->native) {
        if (!vigil__process_is(loop->process)) { /* the parent has it */
            op->active = false;
            return true;
        }
        loop->backend->cancel(loop->backend_self, op); /* it only hurries the last record */
        return false;
    }
    op_unpark(loop, op);
    return true;
}

static void watch_call(vigil_loop *loop, struct vigil__port *port, uint32_t events)
{
    const struct vigil__own_port *own = vigil__port_own(port);
    own->u.watch.fn(loop, (vigil_watch){ vigil__slot_handle(&port->slot) }, events,
                    own->u.watch.arg);
    vigil__callback_ran(loop, "watch");
}

void vigil__port_ready(vigil_loop *loop, uint64_t key, uint32_t events)
{
    struct vigil__port *port = vigil__port_at(loop, vigil__key_kind(key) != 0,
                                              vigil__key_slot(key));
    uint32_t generation = port->slot.generation;
    if ((generation & 0xffffff) != vigil__key_generation(key))
        return; /* of one that is gone */
    if (loop->closing) {
        vigil__port_want(loop, port, 0); /* nobody listens: it shall not end the last waits */
        return;
    }
    if (port->watch) {
        if (port->want != port->known)
            return; /* changed in this turn: the next wait tells what is true of it now */
        if (vigil__port_is_once(port))
            port->rearm = false;
        watch_call(loop, port, events);
        return;
    }
    struct vigil__op op;
    if ((events & ~(uint32_t)VIGIL_OUT) != 0 && vigil__port_parked(loop, port, true, &op)) {
        if (op.kind == VIGIL__OP_ACCEPT)
            perform_accepts(loop, &op);
        else
            perform_reads(loop, &op);
        if (port->slot.generation != generation)
            return; /* that closed it */
    }
    if ((events & (VIGIL_OUT | VIGIL_HUP | VIGIL_ERR | VIGIL_NVAL)) != 0 &&
        vigil__port_parked(loop, port, false, &op))
        perform_once(loop, &op);
}

void vigil__port_fail(vigil_loop *loop, struct vigil__port *port, int status)
{
    uint32_t generation = port->slot.generation;
    if (port->watch) {
        watch_call(loop, port, VIGIL_ERR | VIGIL_NVAL);
        return;
    }
    struct vigil__op op;
    for (int i = 0; i < 2 && port->slot.generation == generation; i++)
        if (vigil__port_parked(loop, port, i == 0, &op))
            vigil__op_ended(loop, &op, status);
}

bool vigil__accept_goes_on(int status)
{
    switch (status) {
    case VIGIL_ECONNRESET:
    case VIGIL_EPROTO:
    case VIGIL_EUNREACH:
    case VIGIL_EACCES:
    case VIGIL_ETIMEDOUT:
    case VIGIL_ECONNREFUSED:
    case VIGIL_ENOTSUP:
        return true;
    default:
        return false;
    }
}

/* What has become of a connect that is told to be over.  A wait may have told so without a reason;
 * then there is no error, and no peer either. */
static int connect_result(const vigil_host *host, vigil_fd fd)
{
    vigil_addr peer;
    int err = host->socket_error(host->self, fd);
    if (err == 0 && host->peer(host->self, fd, &peer) == VIGIL_ENOTCONN)
        return VIGIL__EAGAIN;
    return err;
}

static int op_attempt(vigil_loop *loop, struct vigil__op *op, bool ready)
{
    const vigil_host *host = loop->host;
    switch (op->kind) {
    case VIGIL__OP_ACCEPT: {
        vigil_fd fd = VIGIL_FD_NONE;
        int status = host->accept(host->self, op->fd, &fd);
        return status < 0 ? status : (int)fd;
    }
    case VIGIL__OP_CONNECT:
        return ready ? connect_result(host, op->fd) : host->connect(host->self, op->fd, op->u.addr);
    case VIGIL__OP_SEND:
        if (op->u.io.count == 1) /* mostly, and cheaper in the kernel */
            return host->send(host->self, op->fd, op->u.io.iov->base,
                              vigil__min(op->u.io.iov->len, INT_MAX));
        return host->sendv(host->self, op->fd, op->u.io.iov, op->u.io.count);
    default:
        VIGIL_ASSERT(op->kind == VIGIL__OP_WRITE);
        return host->writev(host->self, op->fd, op->u.io.iov, op->u.io.count);
    }
}

/* Where the key of what is parked stands in a port that is not a connection's. */
static uint64_t *own_place(const struct vigil__op *op)
{
    struct vigil__own_port *own = vigil__port_own(op->port);
    return op_is_input(op) ? &own->u.ops.in : &own->u.ops.out;
}

static void op_park(vigil_loop *loop, struct vigil__op *op)
{
    struct vigil__port *port = op->port;
    VIGIL_ASSERT((port->want & op_event(op)) == 0);
    if (!port->of_conn)
        *own_place(op) = op->key;
    vigil__port_want(loop, port, port->want | op_event(op));
}

static void op_unpark(vigil_loop *loop, struct vigil__op *op)
{
    op->active = false;
    vigil__port_want(loop, op->port, op->port->want & ~op_event(op));
}

static void op_deliver(vigil_loop *loop, struct vigil__op *op, struct vigil__record *record)
{
    if ((record->flags & VIGIL__RECORD_MORE) == 0)
        op_unpark(loop, op);
    loop->above->record(loop, record);
}

void vigil__op_ended(vigil_loop *loop, struct vigil__op *op, int res)
{
    op_deliver(loop, op, &(struct vigil__record){ .key = op->key, .res = res });
}

/* Whether input is parked there still: *op is what it is now. */
static bool op_goes_on(vigil_loop *loop, struct vigil__op *op, uint32_t generation)
{
    struct vigil__port *port = op->port;
    return port->slot.generation == generation && vigil__port_parked(loop, port, true, op);
}

static void perform_accepts(vigil_loop *loop, struct vigil__op *op)
{
    int rounds = (op->flags & VIGIL__OP_BLOCKING) != 0 ? 1 : ACCEPTS_MAX;
    uint32_t generation = op->port->slot.generation;
    for (int i = 0; i < rounds && op_goes_on(loop, op, generation); i++) {
        struct vigil__record record = { .key = op->key };
        record.res = op_attempt(loop, op, true);
        if (record.res == VIGIL__EAGAIN)
            return;
        if (record.res >= 0 || vigil__accept_goes_on(record.res))
            record.flags = VIGIL__RECORD_MORE;
        op_deliver(loop, op, &record);
        if (loop->closing)
            return;
    }
}

static void perform_reads(vigil_loop *loop, struct vigil__op *op)
{
    bool multi = (op->flags & VIGIL__OP_MULTI) != 0;
    int rounds = (op->flags & VIGIL__OP_BLOCKING) != 0 ? 1 : VIGIL__READS_MAX;
    uint32_t generation = op->port->slot.generation;
    for (int i = 0; i < rounds; i++) {
        struct vigil__record record = { .key = op->key };
        record.res = op_receive(loop, op, &record);
        if (record.res == VIGIL__EAGAIN)
            return;
        bool more = record.res > 0 && multi;
        bool drained = (record.flags & VIGIL__RECORD_DRAINED) != 0;
        record.flags |= more ? VIGIL__RECORD_MORE : 0;
        op_deliver(loop, op, &record);
        /* It may have been cancelled, and even started anew as another, by what that called. */
        if (!more || drained || loop->closing || !op_goes_on(loop, op, generation) ||
            (op->flags & VIGIL__OP_MULTI) == 0)
            return;
    }
}

static void perform_once(vigil_loop *loop, struct vigil__op *op)
{
    struct vigil__record record = { .key = op->key };
    record.res = op_attempt(loop, op, true);
    if (record.res != VIGIL__EAGAIN)
        op_deliver(loop, op, &record);
}
