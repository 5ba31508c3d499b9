/* SPDX-License-Identifier: MIT
 *
 * ports.c -- the descriptors a loop has in its backend, and the user's watches.  Floor: loop.
 *
 * There may be very many of them, so a port has its events in short: six bits for those that can be
 * asked for.
 */
#include "loop/loop.h"

static const unsigned watch_events = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP;

enum {
    LOW_EVENTS = VIGIL_IN | VIGIL_PRI | VIGIL_OUT,
    HIGH_EVENTS = VIGIL_RDHUP | VIGIL_EDGE | VIGIL_ONESHOT,
    HIGH_SHIFT = 10, /* they follow upon the low ones */
};

static uint8_t events_short(unsigned events)
{
    return (uint8_t)((events & LOW_EVENTS) | (events & HIGH_EVENTS) >> HIGH_SHIFT);
}

static unsigned events_long(uint8_t events)
{
    return (events & LOW_EVENTS) | ((unsigned)events << HIGH_SHIFT & HIGH_EVENTS);
}

bool vigil__port_is_once(const struct vigil__port *port)
{
    return (events_long(port->known) & VIGIL_ONESHOT) != 0;
}

/* In a forked child the set may be the parent's too: nobody changes it there. */
static int port_tell(vigil_loop *loop, struct vigil__port *port, uint8_t want)
{
    if (!vigil__process_is(loop->process))
        return VIGIL_EFORK;
    int status = loop->backend->set(loop->backend_self, port->fd, events_long(port->known),
                                    events_long(want), vigil__port_key(port));
    if (status == 0)
        port->known = want;
    return status;
}

static bool port_is_dirty(const struct vigil__port *port)
{
    return port->want != port->known || (port->rearm && port->want != 0);
}

/* It is neither of those that are counted. */
static void port_uncount(vigil_loop *loop, struct vigil__port *port)
{
    loop->ports_refused -= port->refused;
    loop->ports_resting -= port->resting;
    port->refused = port->resting = false;
}

static void port_list(vigil_loop *loop, struct vigil__port *port)
{
    port_uncount(loop, port);
    if (port_is_dirty(port)) {
        vigil__port_listed(loop, port, VIGIL__LIST_DIRTY);
    } else if (port->watch && port->known == 0) {
        port->resting = true;
        loop->ports_resting++;
    }
}

bool vigil__ports_reserve(vigil_loop *loop, bool of_conn)
{
    struct vigil__ports *ports = &loop->ports[of_conn];
    uint32_t count = vigil__slab_next(ports->slab) + 1;
    return vigil__slab_reserve(ports->slab) &&
           vigil__queues_reserve(&ports->lists, &loop->allocator, count);
}

int vigil__port_open(vigil_loop *loop, vigil_fd fd, struct vigil__port **out)
{
    if (!vigil__ports_reserve(loop, false))
        return VIGIL_ENOMEM;
    uint8_t listed = vigil__ports_listed(&loop->own_ports);
    struct vigil__port *port = vigil__slab_take(&loop->own_ports);
    VIGIL_ASSERT(port != NULL);
    port->fd = fd;
    port->listed = listed;
    *out = port;
    return 0;
}

void vigil__port_close(vigil_loop *loop, struct vigil__port *port)
{
    VIGIL_ASSERT(port->watch || port->want == 0);
    port_uncount(loop, port);
    if (port->known != 0)
        (void)port_tell(loop, port, 0); /* removing never fails */
    port->want = port->known = 0;
    if (!port->of_conn)
        vigil__slab_give(&loop->own_ports, port);
}

void vigil__port_want(vigil_loop *loop, struct vigil__port *port, unsigned want)
{
    port->want = events_short(want);
    port_list(loop, port);
}

int vigil__port_flush(vigil_loop *loop, struct vigil__port *port)
{
    port_uncount(loop, port);
    if (port_is_dirty(port)) {
        int status = port_tell(loop, port, port->want);
        if (status != 0)
            return status;
    }
    port->rearm = false;
    port_list(loop, port);
    return 0;
}

static void ports_flush(vigil_loop *loop, bool of_conn)
{
    struct vigil__queues *lists = &loop->ports[of_conn].lists;
    struct vigil__port *port;
    uint32_t end = vigil__queue_end(lists, VIGIL__LIST_DIRTY); /* nothing is added below */
    while ((port = vigil__port_next(loop, of_conn, VIGIL__LIST_DIRTY, end)) != NULL) {
        if (!vigil__slot_taken(&port->slot) || vigil__port_flush(loop, port) == 0)
            continue;
        port->refused = true;
        loop->ports_refused++;
        vigil__port_listed(loop, port, VIGIL__LIST_REFUSED);
    }
}

void vigil__ports_flush_some(vigil_loop *loop)
{
    ports_flush(loop, false);
    ports_flush(loop, true);
}

static void ports_refused(vigil_loop *loop, bool of_conn)
{
    struct vigil__port *port;
    uint32_t end = vigil__queue_end(&loop->ports[of_conn].lists, VIGIL__LIST_REFUSED);
    while ((port = vigil__port_next(loop, of_conn, VIGIL__LIST_REFUSED, end)) != NULL) {
        if (!vigil__slot_taken(&port->slot) || !port->refused)
            continue;
        port_uncount(loop, port);
        int status = loop->closing ? 0 : vigil__port_flush(loop, port); /* again, to say why */
        if (status != 0)
            vigil__port_fail(loop, port, status);
    }
}

void vigil__ports_refused(vigil_loop *loop)
{
    ports_refused(loop, false);
    ports_refused(loop, true);
}

bool vigil__port_parked(const vigil_loop *loop, const struct vigil__port *port, bool input,
                        struct vigil__op *op)
{
    if (port->watch || (port->want & (input ? VIGIL_IN : VIGIL_OUT)) == 0)
        return false;
    if (VIGIL_LIKELY(port->of_conn)) {
        loop->above->port_op(loop, port, input, op);
        return true;
    }
    const struct vigil__own_port *own = vigil__port_own((struct vigil__port *)(uintptr_t)port);
    loop->above->op(loop, input ? own->u.ops.in : own->u.ops.out, op);
    return true;
}

/* ---- watches ---- */

static struct vigil__port *watch_find(vigil_loop *loop, vigil_watch watch)
{
    struct vigil__port *port = vigil__slab_find(&loop->own_ports, watch.v);
    return port != NULL && port->watch ? port : NULL;
}

static int watch_events_check(const vigil_loop *loop, unsigned events)
{
    if ((events & ~(watch_events | VIGIL_EDGE | VIGIL_ONESHOT)) != 0)
        return VIGIL_EINVAL;
    if ((events & VIGIL_EDGE) != 0 && !loop->caps.edge)
        return VIGIL_ENOTSUP;
    return 0;
}

/* Whether `fd` is watched for nothing: the backend, which refuses what it knows, cannot tell. */
static bool watch_rests(vigil_loop *loop, vigil_fd fd)
{
    vigil__ports_flush(loop);
    uint32_t slots = loop->ports_resting > 0 ? vigil__slab_slots(&loop->own_ports) : 0;
    for (uint32_t i = 0; i < slots; i++) {
        const struct vigil__port *port = vigil__port_at(loop, false, i);
        if (vigil__slot_taken(&port->slot) && port->resting && port->fd == fd)
            return true;
    }
    return false;
}

int vigil_on_ready(vigil_loop *loop, vigil_fd fd, unsigned events, vigil_watch_fn *fn, void *arg,
                   vigil_watch *out)
{
    int status = vigil__loop_check(loop);
    if (status == 0)
        status = watch_events_check(loop, events);
    if (status == 0 && (fn == NULL || (events & watch_events) == 0))
        status = VIGIL_EINVAL;
    if (status == 0 && watch_rests(loop, fd))
        status = VIGIL_EEXIST;
    if (status != 0)
        return status;
    struct vigil__port *port;
    status = vigil__port_open(loop, fd, &port);
    if (status != 0)
        return status;
    port->watch = true;
    vigil__port_own(port)->u.watch.fn = fn;
    vigil__port_own(port)->u.watch.arg = arg;
    vigil__port_want(loop, port, events);
    status = vigil__port_flush(loop, port);
    if (status != 0) {
        vigil__port_close(loop, port);
        return status;
    }
    loop->watches++;
    if (out != NULL)
        out->v = vigil__slot_handle(&port->slot);
    return 0;
}

int vigil_watch_set(vigil_loop *loop, vigil_watch watch, unsigned events)
{
    int status = vigil__loop_check(loop);
    if (status == 0)
        status = watch_events_check(loop, events);
    if (status != 0)
        return status;
    struct vigil__port *port = watch_find(loop, watch);
    if (port == NULL)
        return VIGIL_ESTALE;
    port->rearm = (events & (VIGIL_ONESHOT | VIGIL_EDGE)) != 0; /* tells again what is true */
    /* Nothing to report is removal: errors and hang-ups cannot be masked otherwise. */
    vigil__port_want(loop, port, (events & watch_events) == 0 ? 0 : events);
    return 0;
}

int vigil_watch_cancel(vigil_loop *loop, vigil_watch watch)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    struct vigil__port *port = watch_find(loop, watch);
    if (port == NULL)
        return VIGIL_ESTALE;
    vigil__port_close(loop, port);
    loop->watches--;
    return 0;
}
