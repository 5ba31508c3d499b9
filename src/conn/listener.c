/* SPDX-License-Identifier: MIT
 *
 * listener.c -- listening, and who comes in.  Floor: conn.
 *
 * A listener survives every accept error.  Errors of a newcomer are skipped; when descriptors or
 * memory run out it rests, and the clients wait in the backlog.
 */
#include "conn/conn.h"
#include "sys/addr.h"

#include <string.h>

enum {
    BACKLOG_DEFAULT = 4096, /* the system cuts it to its own limit */
    DRAIN_MAX = 64,         /* newcomers taken in one go while draining */
    PORT_TRIES = 32,        /* free for one family is mostly free for the other */
};

static const vigil_ns rest_ns = VIGIL_MS(100);

static void listener_update(vigil_loop *loop, struct vigil__listener *l);
static void listener_rest(vigil_loop *loop, struct vigil__listener *l);
static void listener_rested(vigil_loop *loop, struct vigil__listener *l);
static int listener_sockets(vigil_loop *loop, struct vigil__listener *l, vigil_addr *addresses,
                            int count);
static int unix_path_free(vigil_loop *loop, const char *path);

/* ---- making ---- */

VIGIL_COLD static int listener_new(vigil_loop *loop, const vigil_listen_options *options,
                                   struct vigil__listener **out)
{
    static const vigil_listen_options none;
    const vigil_listen_options *o = options != NULL ? options : &none;
    int status = vigil__loop_check(loop);
    if (status == 0 && (loop->draining || loop->closing))
        status = VIGIL_ECANCELED;
    if (status == 0)
        status = vigil__conns_need(loop);
    if (status != 0)
        return status;
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__listener *l = vigil__slab_take(&conns->listeners);
    if (l == NULL)
        return VIGIL_ENOMEM;
    status = vigil__shared_new(loop, o->ops, &o->limits, true,
                               (vigil_listener){ vigil__slot_handle(&l->slot) }, &l->shared);
    if (status != 0) {
        vigil__slab_give(&conns->listeners, l);
        return status;
    }
    l->options = *o;
    l->rest_due = VIGIL_FOREVER;
    l->spare = VIGIL_FD_NONE;
    vigil__list_append(&conns->all_listeners, &l->all);
    vigil__gauge(&loop->stats.listeners, conns->listeners.live);
    *out = l;
    return 0;
}

/* A descriptor in reserve, to accept and close newcomers with. */
static void listener_spare(vigil_loop *loop, struct vigil__listener *l)
{
    if (l->options.shed && l->spare == VIGIL_FD_NONE)
        (void)loop->host->socket(loop->host->self, VIGIL_FAMILY_INET,
                                 &l->spare); /* none to be had: then it rests */
}

/* Listens on `fd`, which the listener then owns. */
static int listener_add(vigil_loop *loop, struct vigil__listener *l, vigil_fd fd)
{
    struct vigil__listening *s = &l->sockets[l->count];
    int status = vigil__port_open(loop, fd, &s->port);
    if (status != 0)
        return status;
    s->fd = fd;
    s->op.key = vigil__key(VIGIL__KEY_OP, VIGIL__OWNER_LISTENER + (unsigned)l->count,
                           l->slot.generation, l->slot.index);
    s->op.kind = VIGIL__OP_ACCEPT;
    s->op.fd = fd;
    s->op.port = s->port;
    l->count++;
    return 0;
}

static void listener_begin(vigil_loop *loop, struct vigil__listener *l, vigil_listener *out)
{
    listener_spare(loop, l);
    listener_update(loop, l);
    if (out != NULL)
        *out = (vigil_listener){ vigil__slot_handle(&l->slot) };
}

int vigil_listen(vigil_loop *loop, const char *where, const vigil_listen_options *options,
                 vigil_listener *out)
{
    vigil_addr addresses[VIGIL__ADDRESSES_MAX];
    int count = vigil__where_addresses(loop->host, where, true, addresses, VIGIL__ADDRESSES_MAX);
    if (count < 0)
        return count;
    struct vigil__listener *l;
    int status = listener_new(loop, options, &l);
    if (status != 0)
        return status;
    status = listener_sockets(loop, l, addresses, count);
    if (status != 0) {
        vigil__listener_end(loop, l);
        return status;
    }
    listener_begin(loop, l, out);
    return 0;
}

int vigil_listen_fd(vigil_loop *loop, vigil_fd fd, const vigil_listen_options *options,
                    vigil_listener *out)
{
    struct vigil__fd_info info;
    int status = vigil__loop_check(loop);
    if (status == 0)
        status = loop->host->describe(loop->host->self, fd, &info);
    if (status == 0 && info.kind != VIGIL__FD_LISTENER)
        status = VIGIL_EINVAL;
    struct vigil__listener *l;
    if (status == 0)
        status = listener_new(loop, options, &l);
    if (status != 0)
        return status;
    status = listener_add(loop, l, fd);
    if (status != 0) {
        vigil__listener_end(loop, l);
        return status;
    }
    l->given = true;
    l->sockets[0].op.flags = info.nonblocking ? 0 : VIGIL__OP_BLOCKING;
    listener_begin(loop, l, out);
    return 0;
}

/* ---- sockets ---- */

static int socket_options(vigil_loop *loop, const struct vigil__listener *l, vigil_fd fd,
                          const vigil_addr *addr, bool only_v6)
{
    const vigil_host *host = loop->host;
    if (addr->family == VIGIL_FAMILY_UNIX)
        return 0;
    int status = host->option(host->self, fd, VIGIL__SO_REUSEADDR, 1);
    if (status == 0 && l->options.reuse_port)
        status = host->option(host->self, fd, VIGIL__SO_REUSEPORT, 1);
    if (status == 0 && addr->family == VIGIL_FAMILY_INET6)
        status = host->option(host->self, fd, VIGIL__SO_V6ONLY, only_v6);
    if (status == 0) /* those accepted from it have it too: tcp(7), and every BSD */
        status = host->option(host->self, fd, VIGIL__SO_NODELAY, 1);
    return status;
}

static int socket_bind(vigil_loop *loop, struct vigil__listener *l, vigil_fd fd,
                       const vigil_addr *addr)
{
    const vigil_host *host = loop->host;
    bool path = addr->family == VIGIL_FAMILY_UNIX && addr->path[0] != 0;
    int status = path ? unix_path_free(loop, addr->path) : 0;
    if (status == 0)
        status = host->bind(host->self, fd, addr);
    if (status != 0 || !path)
        return status;
    memcpy(l->path, addr->path, sizeof(l->path));
    status = host->path_identity(host->self, l->path, l->identity);
    if (status == 0 && l->options.unix_mode != 0) /* before listen: nobody got in otherwise */
        status = host->path_mode(host->self, l->path, l->options.unix_mode);
    return status;
}

/* Binds and listens on one address; `bound` is where. */
static int socket_listen(vigil_loop *loop, struct vigil__listener *l, const vigil_addr *addr,
                         bool only_v6, vigil_addr *bound)
{
    const vigil_host *host = loop->host;
    uint32_t backlog = l->options.backlog != 0 ? l->options.backlog : BACKLOG_DEFAULT;
    vigil_fd fd = VIGIL_FD_NONE;
    int status = host->socket(host->self, (vigil_family)addr->family, &fd);
    if (status != 0)
        return status;
    status = socket_options(loop, l, fd, addr, only_v6);
    if (status == 0)
        status = socket_bind(loop, l, fd, addr);
    if (status == 0)
        status = host->listen(host->self, fd, backlog > INT32_MAX ? INT32_MAX : (int)backlog);
    if (status == 0)
        status = host->local(host->self, fd, bound);
    if (status == 0)
        status = listener_add(loop, l, fd);
    if (status != 0)
        vigil__fd_close(loop, fd);
    return status;
}

static void socket_close(vigil_loop *loop, struct vigil__listening *s)
{
    if (s->fd == VIGIL_FD_NONE)
        return;
    if (vigil__process_is(loop->process))
        vigil__port_close(loop, s->port);
    vigil__fd_close(loop, s->fd);
    s->fd = VIGIL_FD_NONE;
}

static void sockets_close(vigil_loop *loop, struct vigil__listener *l)
{
    while (l->count > 0) {
        struct vigil__listening *s = &l->sockets[--l->count];
        (void)vigil__op_cancel(loop, &s->op);
        socket_close(loop, s);
    }
}

/* One try at all addresses, the later ones on the port that the first got. */
VIGIL_COLD static int sockets_try(vigil_loop *loop, struct vigil__listener *l,
                                  const vigil_addr *addresses, int count)
{
    uint16_t port = addresses[0].port;
    int status = 0;
    for (int i = 0; i < count; i++) {
        vigil_addr addr = addresses[i];
        vigil_addr bound;
        addr.port = port;
        status = socket_listen(loop, l, &addr, l->options.v6_only || count > 1, &bound);
        if (status == VIGIL_EADDR && count > 1)
            continue; /* a machine without IPv6 has no ::1 */
        if (status != 0) {
            sockets_close(loop, l);
            return status;
        }
        port = bound.port;
    }
    return l->count > 0 ? 0 : status;
}

/* Every address of both families is one socket; without IPv6 it is every address of IPv4. */
static bool any_without_v6(const struct vigil__listener *l, vigil_addr *addr, int status)
{
    static const uint8_t any[sizeof(addr->ip)];
    if (status != VIGIL_EADDR || l->options.v6_only || addr->family != VIGIL_FAMILY_INET6 ||
        memcmp(addr->ip, any, sizeof(any)) != 0)
        return false;
    addr->family = VIGIL_FAMILY_INET;
    return true;
}

static int listener_sockets(vigil_loop *loop, struct vigil__listener *l, vigil_addr *addresses,
                            int count)
{
    int status = VIGIL_EADDRINUSE;
    bool any_port = addresses[0].family != VIGIL_FAMILY_UNIX && addresses[0].port == 0;
    for (int i = 0; i < (any_port ? PORT_TRIES : 1) && status == VIGIL_EADDRINUSE; i++)
        status = sockets_try(loop, l, addresses, count);
    if (any_without_v6(l, &addresses[0], status))
        status = sockets_try(loop, l, addresses, count);
    return status;
}

/* Makes way for a Unix socket: a file that nobody listens on any more is removed. */
static int unix_path_free(vigil_loop *loop, const char *path)
{
    const vigil_host *host = loop->host;
    uint64_t identity[2];
    int status = host->path_identity(host->self, path, identity);
    if (status == VIGIL_ENOENT)
        return 0;
    if (status != 0)
        return status == VIGIL_EEXIST ? VIGIL_EADDRINUSE : status; /* no socket: not ours */
    vigil_addr addr = { .family = VIGIL_FAMILY_UNIX, .path_len = (uint8_t)strlen(path) };
    memcpy(addr.path, path, addr.path_len);
    vigil_fd fd = VIGIL_FD_NONE;
    status = host->socket(host->self, VIGIL_FAMILY_UNIX, &fd);
    if (status != 0)
        return status;
    status = host->connect(host->self, fd, &addr);
    vigil__fd_close(loop, fd);
    if (status != VIGIL_ECONNREFUSED)
        return VIGIL_EADDRINUSE;
    return host->unlink(host->self, path);
}

/* ---- accepting ---- */

/* The kernel goes on accepting until it hears that it shall stop.  Where newcomers are counted it
 * is asked for one at a time, and on several sockets, each of which might bring the last, not. */
static unsigned listener_flags(const vigil_loop *loop, const struct vigil__listener *l)
{
    if (l->options.max_conns == 0 || !vigil__op_native(loop, VIGIL__OP_ACCEPT))
        return VIGIL__OP_MULTI;
    return l->count > 1 ? VIGIL__OP_MULTI | VIGIL__OP_WAIT : 0;
}

/* Starts or stops accepting, as the state says. */
static void listener_update(vigil_loop *loop, struct vigil__listener *l)
{
    if (!vigil__slot_taken(&l->slot) || l->closing)
        return; /* a callback closed it */
    if (l->drain) {
        vigil__conns(loop)->listeners_work |= !l->resting;
        return;
    }
    uint32_t max = l->options.max_conns;
    bool full = max != 0 && l->conns >= max;
    bool accepting = !l->paused && !l->resting && !full;
    if (accepting && !vigil__conn_reserve(loop)) {
        listener_rest(loop, l); /* taken in and then dropped would be worse than waiting outside */
        return;
    }
    for (int i = 0; i < l->count; i++) {
        struct vigil__op *op = &l->sockets[i].op;
        if (!accepting) {
            (void)vigil__op_cancel(loop, op); /* what still comes is taken */
            continue;
        }
        if (op->active)
            continue;
        op->flags = (uint8_t)((op->flags & VIGIL__OP_BLOCKING) | listener_flags(loop, l));
        struct vigil__record record; /* unused: without NOWAIT it never ends at once */
        int status = vigil__op_start(loop, op, &record);
        if (status == VIGIL_EFULL)
            vigil__conns(loop)->listeners_work = true; /* behind the next wait there is room */
        else if (status < 0)
            listener_rest(loop, l);
    }
}

/* When listener_rested() is called at the latest. */
static void listener_wake_at(vigil_loop *loop, struct vigil__listener *l, vigil_ns due)
{
    struct vigil__conns *conns = vigil__conns(loop);
    l->rest_due = due;
    conns->rest_due = VIGIL_FOREVER;
    for (uint32_t i = 0; i < vigil__slab_slots(&conns->listeners); i++) {
        const struct vigil__listener *other = vigil__slab_at(&conns->listeners, i);
        if (vigil__slot_taken(&other->slot) && other->rest_due < conns->rest_due)
            conns->rest_due = other->rest_due;
    }
}

void vigil__listeners_rested(vigil_loop *loop, vigil_ns now)
{
    struct vigil__conns *conns = vigil__conns(loop);
    for (uint32_t i = 0; i < vigil__slab_slots(&conns->listeners) && conns->rest_due <= now; i++) {
        struct vigil__listener *l = vigil__slab_at(&conns->listeners, i);
        if (vigil__slot_taken(&l->slot) && l->rest_due <= now)
            listener_rested(loop, l);
    }
}

static void listener_rest(vigil_loop *loop, struct vigil__listener *l)
{
    if (l->resting)
        return;
    vigil__count(&loop->stats.accept_rests, 1);
    l->resting = true;
    listener_wake_at(loop, l, vigil__time_add(loop->now, rest_ns));
    listener_update(loop, l);
}

static void listener_rested(vigil_loop *loop, struct vigil__listener *l)
{
    listener_wake_at(loop, l, VIGIL_FOREVER);
    if (!l->resting)
        return; /* a drain ended it */
    l->resting = false;
    listener_spare(loop, l);
    listener_update(loop, l);
}

void vigil__listeners_fd_closed(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    for (struct vigil__link *at = conns->all_listeners.next, *next; at != &conns->all_listeners;
         at = next) {
        next = at->next;
        struct vigil__listener *l = VIGIL_OWNER(at, struct vigil__listener, all);
        if (l->resting)
            listener_rested(loop, l);
    }
}

/* Closes a newcomer that is not served: with a reset, or it would take the end for an answer. */
static void turn_away(vigil_loop *loop, vigil_fd fd)
{
    (void)loop->host->option(loop->host->self, fd, VIGIL__SO_RESET,
                             1);                   /* else it is closed politely */
    (void)loop->host->close(loop->host->self, fd); /* it is gone whatever the answer: close(2) */
}

/* Closes a newcomer with the spare descriptor's help.  False: there is nobody, or no spare.  (The
 * kernel tells that descriptors are out before anybody has come, and the listener may block.) */
static bool listener_shed(vigil_loop *loop, struct vigil__listener *l, vigil_fd listening)
{
    const vigil_host *host = loop->host;
    if (l->spare == VIGIL_FD_NONE || !host->readable(host->self, listening))
        return false;
    (void)host->close(host->self, l->spare); /* gone whatever it answers */
    l->spare = VIGIL_FD_NONE;
    vigil_fd fd = VIGIL_FD_NONE;
    bool shed = host->accept(host->self, listening, &fd) == 0;
    if (shed) {
        turn_away(loop, fd);
        vigil__count(&loop->stats.accept_shed, 1);
    }
    listener_spare(loop, l);
    return shed;
}

static void listener_refuse(vigil_loop *loop, struct vigil__conn *c, vigil_fd fd)
{
    vigil__conn_undo(loop, c);
    turn_away(loop, fd);
    vigil__conns(loop)->fd_closed = true;
}

static void listener_accepted(vigil_loop *loop, struct vigil__listener *l, vigil_fd fd)
{
    const vigil_listen_options *o = &l->options;
    struct vigil__conn *c;
    int status = vigil__conn_new(loop, o->user, l->shared, &c);
    if (status != 0) {
        turn_away(loop, fd);
        listener_rest(loop, l);
        return;
    }
    vigil__conn_socket(c, fd);
    if (l->given)
        (void)loop->host->option(loop->host->self, fd, VIGIL__SO_NODELAY,
                                 1); /* a Unix one has none */
    l->conns++;
    vigil__count(&loop->stats.accepted, 1);
    if (o->ctx != NULL) {
        c->ctx = o->ctx(loop, vigil__conn_handle(c), o->user);
        loop->turn_callbacks++;
        if (c->ctx == NULL) {
            vigil__count(&loop->stats.refused, 1);
            listener_refuse(loop, c, fd);
            return;
        }
    }
    vigil__conn_todo(loop, c, VIGIL__TODO_OPEN);
}

/* What an accept still brought when the listener had ended; the rest waits in the backlog. */
static void listener_late(vigil_loop *loop, struct vigil__listener *l, int res)
{
    if (res >= 0) {
        turn_away(loop, (vigil_fd)res);
        vigil__conns(loop)->fd_closed = true;
    }
    if (l->closing)
        vigil__listener_end(loop, l);
}

static bool out_of_resources(int status)
{
    return status == VIGIL_EMFILE || status == VIGIL_ENOBUFS || status == VIGIL_ENOMEM;
}

void vigil__listener_op(const vigil_loop *loop, uint64_t key, struct vigil__op *op)
{
    const struct vigil__listener *l = vigil__slab_at(&vigil__conns(loop)->listeners,
                                                     vigil__key_slot(key));
    *op = l->sockets[vigil__key_kind(key) - VIGIL__OWNER_LISTENER].op;
}

void vigil__listener_record(vigil_loop *loop, struct vigil__record *record)
{
    struct vigil__conns *conns = vigil__conns(loop);
    struct vigil__listener *l = vigil__slab_at(&conns->listeners, vigil__key_slot(record->key));
    VIGIL_ASSERT((l->slot.generation & 0xffffff) == vigil__key_generation(record->key));
    struct vigil__listening *s = &l->sockets[vigil__key_kind(record->key) - VIGIL__OWNER_LISTENER];
    bool more = (record->flags & VIGIL__RECORD_MORE) != 0;
    if (!more)
        s->op.active = false;
    if (l->closing || loop->closing) {
        listener_late(loop, l, record->res);
        return;
    }
    if (record->res >= 0) {
        listener_accepted(loop, l, (vigil_fd)record->res);
    } else if (record->res == VIGIL__EAGAIN) {
        s->drained = true;
    } else if (vigil__accept_goes_on(record->res)) {
        vigil__count(&loop->stats.accept_errors, 1);
    } else if (record->res != VIGIL_ECANCELED &&
               !(out_of_resources(record->res) && listener_shed(loop, l, s->fd))) {
        listener_rest(loop, l); /* whatever it is, asking again at once would spin */
    }
    listener_update(loop, l);
}

void vigil__listener_left(vigil_loop *loop, vigil_listener listener)
{
    struct vigil__listener *l = vigil__slab_find(&vigil__conns(loop)->listeners, listener.v);
    if (l == NULL)
        return;
    l->conns--;
    if (l->options.max_conns != 0 && !loop->closing)
        listener_update(loop, l);
}

/* ---- steering and ending ---- */

struct vigil__listener *vigil__listener_find(vigil_loop *loop, vigil_listener listener)
{
    if (loop->above == NULL)
        return NULL;
    struct vigil__listener *l = vigil__slab_find(&vigil__conns(loop)->listeners, listener.v);
    return l != NULL && !l->closing ? l : NULL;
}

static int listener_set_paused(vigil_loop *loop, vigil_listener listener, bool paused)
{
    int status = vigil__loop_check(loop);
    struct vigil__listener *l = status == 0 ? vigil__listener_find(loop, listener) : NULL;
    if (l == NULL)
        return status != 0 ? status : VIGIL_ESTALE;
    l->paused = paused;
    listener_update(loop, l);
    return 0;
}

int vigil_listener_pause(vigil_loop *loop, vigil_listener listener)
{
    return listener_set_paused(loop, listener, true);
}

int vigil_listener_resume(vigil_loop *loop, vigil_listener listener)
{
    return listener_set_paused(loop, listener, false);
}

int vigil_listener_close(vigil_loop *loop, vigil_listener listener)
{
    int status = vigil__loop_check(loop);
    struct vigil__listener *l = status == 0 ? vigil__listener_find(loop, listener) : NULL;
    if (l == NULL)
        return status != 0 ? status : VIGIL_ESTALE;
    vigil__listener_end(loop, l);
    return 0;
}

int vigil_listener_address(vigil_loop *loop, vigil_listener listener, vigil_addr *out)
{
    int status = vigil__loop_check(loop);
    struct vigil__listener *l = status == 0 ? vigil__listener_find(loop, listener) : NULL;
    if (l == NULL)
        return status != 0 ? status : VIGIL_ESTALE;
    return loop->host->local(loop->host->self, l->sockets[0].fd, out);
}

void vigil__listener_drain(vigil_loop *loop, struct vigil__listener *l)
{
    l->drain = true;
    l->resting = false;
    for (int i = 0; i < l->count; i++)
        (void)vigil__op_cancel(loop, &l->sockets[i].op); /* goes on as NOWAIT */
    listener_update(loop, l);
}

/* Takes those who wait on one socket, a turn's share of them at once.  True: nobody is left. */
static bool drain_socket(vigil_loop *loop, struct vigil__listener *l, struct vigil__listening *s)
{
    uint32_t generation = l->slot.generation;
    for (int i = 0; i < DRAIN_MAX && !s->drained && !s->op.active && !l->resting; i++) {
        struct vigil__record record;
        s->op.flags = (s->op.flags & VIGIL__OP_BLOCKING) | VIGIL__OP_NOWAIT;
        int status = vigil__op_start(loop, &s->op, &record);
        if (status == VIGIL_EFULL)
            return false; /* behind the next wait there is room */
        if (status <= 0)
            record = (struct vigil__record){ .key = s->op.key, .res = status };
        if (status != 0)
            vigil__listener_record(loop, &record);
        if (l->slot.generation != generation)
            return false; /* a callback closed it */
    }
    return s->drained;
}

static void listener_drain_work(vigil_loop *loop, struct vigil__listener *l)
{
    bool drained = true;
    bool more = false; /* what the kernel is asked already, its record goes on with */
    for (int i = 0; i < l->count; i++) {
        bool over = drain_socket(loop, l, &l->sockets[i]);
        drained = drained && over;
        more = more || (!over && !l->sockets[i].op.active);
    }
    if (drained)
        vigil__listener_end(loop, l);
    else if (more && !l->resting)
        vigil__conns(loop)->listeners_work = true;
}

void vigil__listeners_work(vigil_loop *loop)
{
    struct vigil__conns *conns = vigil__conns(loop);
    conns->listeners_work = false;
    struct vigil__link listeners; /* a snapshot: a callback may close any of them */
    vigil__list_move(&listeners, &conns->all_listeners);
    while (!vigil__list_empty(&listeners)) {
        struct vigil__listener *l = VIGIL_OWNER(listeners.next, struct vigil__listener, all);
        vigil__list_remove(&l->all);
        vigil__list_append(&conns->all_listeners, &l->all);
        if (l->drain && !l->closing)
            listener_drain_work(loop, l);
        else
            listener_update(loop, l);
    }
}

/* Removes the socket's file if it is still the one that was bound. */
static void unix_path_remove(vigil_loop *loop, const struct vigil__listener *l)
{
    const vigil_host *host = loop->host;
    uint64_t identity[2];
    if (l->path[0] == 0 || !vigil__process_is(loop->process) ||
        host->path_identity(host->self, l->path, identity) != 0 ||
        memcmp(identity, l->identity, sizeof(identity)) != 0)
        return;
    (void)host->unlink(host->self, l->path); /* a file left behind is stale, and replaced */
}

void vigil__listener_end(vigil_loop *loop, struct vigil__listener *l)
{
    if (!l->closing)
        unix_path_remove(loop, l);
    l->closing = true;
    bool over = true;
    for (int i = 0; i < l->count; i++)
        over = vigil__op_cancel(loop, &l->sockets[i].op) && over;
    if (over) {
        vigil__listener_free(loop, l);
        return;
    }
    vigil__loop_hand_over(loop); /* the cancels: their records may come later, the ports are free */
    for (int i = 0; i < l->count; i++)
        socket_close(loop, &l->sockets[i]);
}

void vigil__listener_free(vigil_loop *loop, struct vigil__listener *l)
{
    struct vigil__conns *conns = vigil__conns(loop);
    sockets_close(loop, l);
    if (l->spare != VIGIL_FD_NONE)
        vigil__fd_close(loop, l->spare);
    listener_wake_at(loop, l, VIGIL_FOREVER);
    vigil__shared_drop(loop, l->shared);
    vigil__list_remove(&l->all);
    vigil__slab_give(&conns->listeners, l);
    vigil__gauge(&loop->stats.listeners, conns->listeners.live);
}
