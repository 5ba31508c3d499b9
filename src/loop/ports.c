/* SPDX-License-Identifier: MIT
 *
 * ports.c -- the descriptors a loop has in its backend, and the user's watches.  Floor: loop.
 */
#include "loop/loop.h"

static const uint16_t watch_events = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP;

/* In a forked child the set may be the parent's too: nobody changes it there. */
static int port_tell(vigil_loop *loop, struct vigil__port *port, uint16_t want)
{
    if (!vigil__process_is(loop->process))
        return VIGIL_EFORK;
    int status = loop->backend->set(loop->backend_self, port->fd, port->known, want,
                                    vigil__port_key(port));
    if (status == 0)
        port->known = want;
    return status;
}

static bool port_is_dirty(const struct vigil__port *port)
{
    return port->want != port->known || (port->rearm && port->want != 0);
}

static void port_list(vigil_loop *loop, struct vigil__port *port)
{
    vigil__list_remove(&port->link);
    if (port_is_dirty(port))
        vigil__list_append(&loop->dirty, &port->link);
    else if (port->watch && port->known == 0)
        vigil__list_append(&loop->resting, &port->link);
}

int vigil__port_open(vigil_loop *loop, vigil_fd fd, struct vigil__port **out)
{
    struct vigil__port *port = vigil__slab_take(&loop->ports);
    if (port == NULL)
        return VIGIL_ENOMEM;
    port->fd = fd;
    vigil__list_init(&port->link);
    *out = port;
    return 0;
}

void vigil__port_close(vigil_loop *loop, struct vigil__port *port)
{
    VIGIL_ASSERT(port->watch || (port->u.ops.in == NULL && port->u.ops.out == NULL));
    vigil__list_remove(&port->link);
    if (port->known != 0)
        (void)port_tell(loop, port, 0); /* removing never fails */
    vigil__slab_give(&loop->ports, port);
}

void vigil__port_want(vigil_loop *loop, struct vigil__port *port, uint16_t want)
{
    port->want = want;
    port_list(loop, port);
}

int vigil__port_flush(vigil_loop *loop, struct vigil__port *port)
{
    vigil__list_remove(&port->link);
    if (port_is_dirty(port)) {
        int status = port_tell(loop, port, port->want);
        if (status != 0)
            return status;
    }
    port->rearm = false;
    port_list(loop, port);
    return 0;
}

void vigil__ports_flush(vigil_loop *loop)
{
    while (!vigil__list_empty(&loop->dirty)) {
        struct vigil__port *port = VIGIL_OWNER(loop->dirty.next, struct vigil__port, link);
        if (vigil__port_flush(loop, port) != 0)
            vigil__list_append(&loop->refused, &port->link);
    }
}

void vigil__ports_refused(vigil_loop *loop)
{
    struct vigil__link refused;
    vigil__list_move(&refused, &loop->refused);
    while (!vigil__list_empty(&refused)) {
        struct vigil__port *port = VIGIL_OWNER(refused.next, struct vigil__port, link);
        vigil__list_remove(&port->link);
        int status = loop->closing ? 0 : vigil__port_flush(loop, port); /* again, to say why */
        if (status != 0)
            vigil__port_fail(loop, port, status);
    }
}

/* ---- watches ---- */

static struct vigil__port *watch_find(vigil_loop *loop, vigil_watch watch)
{
    struct vigil__port *port = vigil__slab_find(&loop->ports, watch.v);
    return port != NULL && port->watch ? port : NULL;
}

static int watch_events_check(const vigil_loop *loop, unsigned events)
{
    if ((events & ~(unsigned)(watch_events | VIGIL_EDGE | VIGIL_ONESHOT)) != 0)
        return VIGIL_EINVAL;
    if ((events & VIGIL_EDGE) != 0 && !loop->caps.edge)
        return VIGIL_ENOTSUP;
    return 0;
}

/* Whether `fd` is watched for nothing: the backend, which refuses what it knows, cannot tell. */
static bool watch_rests(vigil_loop *loop, vigil_fd fd)
{
    vigil__ports_flush(loop);
    for (struct vigil__link *at = loop->resting.next; at != &loop->resting; at = at->next)
        if (VIGIL_OWNER(at, struct vigil__port, link)->fd == fd)
            return true;
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
    port->u.watch.fn = fn;
    port->u.watch.arg = arg;
    vigil__port_want(loop, port, (uint16_t)events);
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
    vigil__port_want(loop, port, (events & watch_events) == 0 ? 0 : (uint16_t)events);
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
