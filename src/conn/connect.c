/* SPDX-License-Identifier: MIT
 *
 * connect.c -- connections that we begin, and descriptors that we are given.  Floor: conn.
 *
 * Each address of a WHERE is tried in turn under one deadline.
 */
#include "conn/conn.h"
#include "sys/addr.h"

#include <string.h>

static const vigil_ns backlog_retry_ns = VIGIL_MS(10);

static const vigil_conn_options no_options;

static int connect_socket(vigil_loop *loop, struct vigil__conn *c);
static void connect_failed(vigil_loop *loop, struct vigil__conn *c, int status);

/* What every new connection needs. */
static int conn_make(vigil_loop *loop, const vigil_conn_options *o, bool stream,
                     struct vigil__conn **out)
{
    int status = vigil__loop_check(loop);
    if (status == 0 && (loop->draining || loop->closing))
        status = VIGIL_ECANCELED; /* its `close` could not be told any more */
    if (status == 0)
        status = vigil__conns_need(loop);
    struct vigil__shared *shared = NULL;
    if (status == 0)
        status = vigil__shared_new(loop, o->ops, &o->limits, stream, (vigil_listener){ 0 },
                                   &shared);
    if (status == 0)
        status = vigil__conn_new(loop, o->ctx, shared, out);
    vigil__shared_drop(loop, shared);
    return status;
}

/* ---- connecting ---- */

int vigil_connect(vigil_loop *loop, const char *where, const vigil_conn_options *options,
                  vigil_conn *out)
{
    const vigil_conn_options *o = options != NULL ? options : &no_options;
    vigil_addr addresses[VIGIL__ADDRESSES_MAX];
    int count = vigil__where_addresses(loop->host, where, false, addresses, VIGIL__ADDRESSES_MAX);
    if (count < 0)
        return count;
    struct vigil__conn *c;
    int status = conn_make(loop, o, true, &c);
    if (status != 0)
        return status;
    struct vigil__busy *busy = vigil__conn_busy(loop, c);
    if (busy != NULL)
        busy->connecting = vigil__alloc(&loop->allocator, sizeof(*busy->connecting));
    if (busy == NULL || busy->connecting == NULL) {
        vigil__conn_undo(loop, c);
        return VIGIL_ENOMEM;
    }
    memset(c->busy->connecting, 0, sizeof(*c->busy->connecting));
    memcpy(c->busy->connecting->addresses, addresses, sizeof(addresses));
    c->busy->connecting->count = count;
    c->busy->connecting->retry_due = VIGIL_FOREVER;
    c->opened_at = vigil__loop_clock(loop);
    status = connect_socket(loop, c);
    if (status != 0) {
        vigil__conn_undo(loop, c);
        return status;
    }
    vigil__deadline_arm(loop, c);
    vigil__conn_todo(loop, c, VIGIL__TODO_CONNECT);
    if (out != NULL)
        *out = vigil__conn_handle(c);
    return 0;
}

/* A socket for the address that is tried now. */
static int connect_try(vigil_loop *loop, struct vigil__conn *c)
{
    const vigil_host *host = loop->host;
    const vigil_addr *addr = &c->busy->connecting->addresses[c->busy->connecting->at];
    vigil_fd fd = VIGIL_FD_NONE;
    int status = host->socket(host->self, (vigil_family)addr->family, &fd);
    if (status != 0)
        return status;
    if (addr->family != VIGIL_FAMILY_UNIX)
        (void)host->option(host->self, fd, VIGIL__SO_NODELAY, 1); /* slower without it, not wrong */
    vigil__conn_socket(c, fd);
    return 0;
}

/* The same, passing over families that this machine does not have. */
static int connect_socket(vigil_loop *loop, struct vigil__conn *c)
{
    int status = VIGIL_EADDR;
    while (c->busy->connecting->at < c->busy->connecting->count && status == VIGIL_EADDR) {
        status = connect_try(loop, c);
        c->busy->connecting->at += status == VIGIL_EADDR;
    }
    return status;
}

static void connect_release(vigil_loop *loop, struct vigil__conn *c)
{
    if (c->port.fd == VIGIL_FD_NONE)
        return;
    vigil__port_close(loop, &c->port);
    vigil__fd_close(loop, c->port.fd);
    c->port.fd = VIGIL_FD_NONE;
}

void vigil__connect_work(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__op *op = &c->busy->op_out;
    if (c->busy->connecting == NULL || op->active)
        return;
    c->busy->connecting->retry_due = VIGIL_FOREVER;
    op->kind = VIGIL__OP_CONNECT;
    op->flags = 0;
    op->fd = c->port.fd;
    op->port = &c->port;
    op->u.addr = &c->busy->connecting->addresses[c->busy->connecting->at];
    struct vigil__record record;
    int status = vigil__op_start(loop, op, &record);
    if (status == VIGIL_EFULL)
        vigil__conn_todo(loop, c, VIGIL__TODO_CONNECT); /* behind the next wait there is room */
    else if (status != 0)
        vigil__connect_record(loop, c, status < 0 ? status : record.res);
}

/* A socket that met itself: it took the very port, with no listener, that it was to connect to. */
static bool connected_to_itself(vigil_loop *loop, const struct vigil__conn *c)
{
    const vigil_host *host = loop->host;
    vigil_addr local, peer;
    if (c->busy->connecting->addresses[c->busy->connecting->at].family == VIGIL_FAMILY_UNIX ||
        host->local(host->self, c->port.fd, &local) != 0 ||
        host->peer(host->self, c->port.fd, &peer) != 0)
        return false;
    return local.port == peer.port && local.family == peer.family &&
           memcmp(local.ip, peer.ip, sizeof(local.ip)) == 0;
}

void vigil__connect_record(vigil_loop *loop, struct vigil__conn *c, int res)
{
    if (res == VIGIL_EBUSY) { /* a Unix backlog is full: nothing will tell when it is not */
        c->busy->connecting->retry_due = vigil__time_add(loop->now, backlog_retry_ns);
        vigil__deadline_arm(loop, c);
        return;
    }
    if (res == 0 && connected_to_itself(loop, c)) {
        (void)loop->host->option(loop->host->self, c->port.fd, VIGIL__SO_RESET,
                                 1); /* frees the port at once; later is as good */
        res = VIGIL_ECONNREFUSED;
    }
    if (res != 0) {
        connect_failed(loop, c, res);
        return;
    }
    vigil__free(&loop->allocator, c->busy->connecting, sizeof(*c->busy->connecting));
    c->busy->connecting = NULL;
    c->busy->op_out.flags = 0;
    vigil__count(&loop->stats.connected, 1);
    vigil__conn_todo(loop, c, VIGIL__TODO_OPEN);
}

/* Goes on with the next address, or gives up. */
static void connect_failed(vigil_loop *loop, struct vigil__conn *c, int status)
{
    struct vigil__connecting *connecting = c->busy->connecting;
    connect_release(loop, c);
    if (++connecting->at < connecting->count) {
        int next = connect_socket(loop, c);
        if (next == 0) {
            vigil__conn_todo(loop, c, VIGIL__TODO_CONNECT);
            return;
        }
        status = next == VIGIL_EADDR ? status : next;
    }
    vigil__count(&loop->stats.connect_failed, 1);
    vigil__conn_close(loop, c, status);
}

/* ---- adopting ---- */

/* One side of what is adopted: a port of its own. */
static int adopt_side(vigil_loop *loop, vigil_fd fd, bool *socket, bool *blocking,
                      struct vigil__port **port)
{
    const vigil_host *host = loop->host;
    struct vigil__fd_info info;
    *socket = *blocking = false;
    if (fd == VIGIL_FD_NONE)
        return 0;
    int status = host->describe(host->self, fd, &info);
    if (status != 0)
        return status;
    if (info.kind == VIGIL__FD_LISTENER)
        return VIGIL_EINVAL;
    *socket = info.kind == VIGIL__FD_SOCKET;
    /* A socket is asked call by call not to block; others are opened anew, once all is well. */
    *blocking = !*socket && !info.nonblocking;
    return vigil__port_open(loop, fd, port);
}

static int adopt_sides(vigil_loop *loop, struct vigil__conn *c, vigil_fd in, vigil_fd out,
                       bool stream)
{
    c->port.fd = in;
    if (in == out && stream)
        return 0;
    struct vigil__busy *busy = vigil__conn_busy(loop, c);
    if (busy == NULL)
        return VIGIL_ENOMEM;
    c->two_ways = true;
    int status = adopt_side(loop, in, &busy->socket_in, &busy->blocking_in, &busy->port_in);
    if (status != 0)
        return status;
    busy->fd_out = out;
    if (in != out)
        return adopt_side(loop, out, &busy->socket_out, &busy->blocking_out, &busy->port_out);
    busy->socket_out = busy->socket_in;
    busy->blocking_out = busy->blocking_in;
    busy->port_out = busy->port_in;
    return 0;
}

/* Whether this loop has the descriptor already: in a connection, a listener, or a watch. */
static bool adopted_already(const vigil_loop *loop, vigil_fd fd)
{
    for (int of_conn = 0; of_conn < 2 && fd != VIGIL_FD_NONE; of_conn++) {
        for (uint32_t i = 0; i < vigil__slab_slots(loop->ports[of_conn].slab); i++) {
            const struct vigil__port *port = vigil__port_at(loop, of_conn, i);
            if (vigil__slot_taken(&port->slot) && port->fd == fd)
                return true;
        }
    }
    return false;
}

/* What may block is opened anew, where that works: its flags are its holders', too. */
static void adopt_reopen(vigil_loop *loop, struct vigil__conn *c)
{
    const vigil_host *host = loop->host;
    struct vigil__busy *busy = c->busy;
    bool same = busy->fd_out == c->port.fd;
    if (busy->blocking_in && host->reopen(host->self, c->port.fd) == 0) {
        busy->blocking_in = false;
        busy->blocking_out = busy->blocking_out && !same;
    }
    if (busy->blocking_out && !same && host->reopen(host->self, busy->fd_out) == 0)
        busy->blocking_out = false;
    busy->op_out.flags = busy->blocking_out ? VIGIL__OP_BLOCKING : 0;
}

int vigil_adopt(vigil_loop *loop, vigil_fd in, vigil_fd out, const vigil_conn_options *options,
                vigil_conn *conn)
{
    const vigil_conn_options *o = options != NULL ? options : &no_options;
    if (in == VIGIL_FD_NONE && out == VIGIL_FD_NONE)
        return VIGIL_EBADF;
    const vigil_host *host = loop->host;
    struct vigil__fd_info info = { .kind = VIGIL__FD_OTHER };
    int status = out != VIGIL_FD_NONE ? host->describe(host->self, out, &info) : 0;
    struct vigil__conn *c;
    if (status == 0)
        status = conn_make(loop, o, info.kind == VIGIL__FD_SOCKET, &c);
    if (status != 0)
        return status;
    status = VIGIL_EEXIST;
    if (!adopted_already(loop, in) && !adopted_already(loop, out))
        status = adopt_sides(loop, c, in, out, info.kind == VIGIL__FD_SOCKET);
    if (status != 0) {
        vigil__conn_undo(loop, c);
        return status;
    }
    if (c->two_ways)
        adopt_reopen(loop, c);
    c->eof_seen = c->eof_told = in == VIGIL_FD_NONE;
    c->end_asked = c->out_done = out == VIGIL_FD_NONE;
    vigil__conn_todo(loop, c, VIGIL__TODO_OPEN);
    if (conn != NULL)
        *conn = vigil__conn_handle(c);
    return 0;
}
