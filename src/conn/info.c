/* SPDX-License-Identifier: MIT
 *
 * info.c -- looking at connections, and at all of them.  Floor: conn.
 */
#include "conn/conn.h"

#include <string.h>

int vigil_conn_peer(vigil_loop *loop, vigil_conn conn, vigil_addr *out)
{
    struct vigil__conn *c;
    int status = vigil__conn_seen(loop, conn, &c);
    if (status != 0)
        return status;
    return vigil__conn_socket_in(c) ? loop->host->peer(loop->host->self, c->port.fd, out)
                                    : VIGIL_ENOTSUP;
}

int vigil_conn_local(vigil_loop *loop, vigil_conn conn, vigil_addr *out)
{
    struct vigil__conn *c;
    int status = vigil__conn_seen(loop, conn, &c);
    if (status != 0)
        return status;
    return vigil__conn_socket_in(c) ? loop->host->local(loop->host->self, c->port.fd, out)
                                    : VIGIL_ENOTSUP;
}

void *vigil_conn_ctx(vigil_loop *loop, vigil_conn conn)
{
    struct vigil__conn *c;
    return vigil__conn_seen(loop, conn, &c) == 0 ? c->ctx : NULL;
}

int vigil_conn_set_ctx(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status == 0)
        c->ctx = ctx;
    return status;
}

int vigil_conn_set_ops(vigil_loop *loop, vigil_conn conn, const vigil_conn_ops *ops)
{
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status == 0 && ops == NULL)
        status = VIGIL_EINVAL;
    if (status != 0)
        return status;
    struct vigil__shared *shared = vigil__shared_with(loop, vigil__conn_shared(loop, c), ops);
    if (shared == NULL)
        return VIGIL_ENOMEM;
    vigil__conn_share(loop, c, shared);
    if (c->busy->held_len > 0 && !vigil__conn_in_data(loop, c))
        vigil__conn_todo(loop, c, VIGIL__TODO_OFFER); /* the new ones may want what is held */
    return 0;
}

vigil_fd vigil_conn_fd(vigil_loop *loop, vigil_conn conn)
{
    struct vigil__conn *c;
    return vigil__conn_seen(loop, conn, &c) == 0 ? c->port.fd : VIGIL_FD_NONE;
}

int vigil_conn_option(vigil_loop *loop, vigil_conn conn, vigil_option option, int value)
{
    static const enum vigil__sockopt options[] = {
        [VIGIL_NODELAY] = VIGIL__SO_NODELAY,
        [VIGIL_KEEPALIVE] = VIGIL__SO_KEEPALIVE,
        [VIGIL_SNDBUF] = VIGIL__SO_SNDBUF,
        [VIGIL_RCVBUF] = VIGIL__SO_RCVBUF,
    };
    struct vigil__conn *c;
    int status = vigil__conn_get(loop, conn, &c);
    if (status != 0)
        return status;
    if (option < VIGIL_NODELAY || option > VIGIL_RCVBUF || value < 0)
        return VIGIL_EINVAL;
    if (!vigil__conn_socket_in(c))
        return VIGIL_ENOTSUP;
    return loop->host->option(loop->host->self, c->port.fd, options[option], value);
}

static vigil_conn_state conn_state(const struct vigil__conn *c)
{
    if (c->closing)
        return VIGIL_CLOSING;
    if (c->busy->connecting != NULL)
        return VIGIL_CONNECTING;
    if (c->finishing)
        return VIGIL_FINISHING;
    if (c->end_asked)
        return VIGIL_HALF_IN;
    return c->eof_told ? VIGIL_HALF_OUT : VIGIL_OPEN;
}

static const char *conn_waiting_for(const struct vigil__conn *c)
{
    if (c->closing)
        return "its close";
    if (c->busy->connecting != NULL)
        return "the connect to end";
    if (c->busy->queued > 0 && c->busy->op_out.active)
        return "the peer to take output";
    if (c->busy->blocked_on.v != 0)
        return "room in another's output";
    if (c->memory_wait)
        return "memory";
    if (c->paused)
        return "vigil_resume";
    if (c->finishing)
        return "the peer's end, lingering";
    return c->eof_told ? "something to send" : "input";
}

int vigil_conn_info_get(vigil_loop *loop, vigil_conn conn, vigil_conn_info *out)
{
    struct vigil__conn *c;
    int status = vigil__conn_seen(loop, conn, &c);
    if (status != 0)
        return status;
    vigil_ns progress = vigil__gaps_latest(&loop->gaps, c->moved_at);
    *out = (vigil_conn_info){
        .state = conn_state(c),
        .queued = c->busy->queued,
        .held = c->busy->held_len,
        .bytes_in = c->bytes_in,
        .bytes_out = c->bytes_out,
        .opened = c->opened_at,
        .progress = progress < loop->now ? progress : loop->now,
        .waiting_for = conn_waiting_for(c),
        .blocked_on = c->busy->blocked_on,
        .listener = vigil__conn_shared(loop, c)->listener,
    };
    return 0;
}

vigil_conn vigil_conn_next(vigil_loop *loop, vigil_conn conn)
{
    if (vigil__loop_check(loop) != 0 || loop->above == NULL)
        return (vigil_conn){ 0 };
    uint32_t at = conn.v == 0 ? 0 : vigil__key_slot(conn.v) + 1;
    struct vigil__conn *c;
    do
        c = vigil__conn_from(loop, &at);
    while (c != NULL && c->closing);
    return c != NULL ? vigil__conn_handle(c) : (vigil_conn){ 0 };
}

/* ---- vigil_dump: lines made without printf(), which would be a system header ---- */

struct line {
    char text[512];
    size_t len;
};

static void line_text(struct line *line, const char *text)
{
    size_t n = vigil__min(strlen(text), sizeof(line->text) - line->len);
    memcpy(line->text + line->len, text, n);
    line->len += n;
}

static void line_number(struct line *line, const char *before, uint64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);
    digits[--at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    line_text(line, before);
    line_text(line, digits + at);
}

static void line_address(struct line *line, const vigil_loop *loop, vigil_fd fd,
                         int (*ask)(void *self, vigil_fd fd, vigil_addr *out))
{
    vigil_addr addr;
    char text[VIGIL_ADDR_TEXT_MAX] = "unknown";
    if (ask(loop->host->self, fd, &addr) == 0)
        (void)vigil_addr_format(&addr, text, sizeof(text)); /* cut is as good, in a dump */
    line_text(line, text);
}

static void dump_conn(vigil_loop *loop, struct vigil__conn *c, vigil_text_fn *write, void *arg)
{
    struct line line = { .len = 0 };
    line_text(&line, "connection ");
    if (vigil__conn_socket_in(c))
        line_address(&line, loop, c->port.fd, loop->host->peer);
    else
        line_number(&line, "of descriptor ",
                    (uint64_t)(c->port.fd != VIGIL_FD_NONE ? c->port.fd : vigil__conn_fd_out(c)));
    line_text(&line, ": waits for ");
    line_text(&line, conn_waiting_for(c));
    line_number(&line, ", queued ", c->busy->queued);
    line_number(&line, " B, held ", c->busy->held_len);
    line_number(&line, " B, in ", c->bytes_in);
    line_number(&line, " B, out ", c->bytes_out);
    line_number(&line, " B, last byte ",
                (uint64_t)(vigil__loop_clock(loop) - c->moved_at) / 1000000);
    line_text(&line, " ms ago\n");
    write(arg, line.text, line.len);
}

static void dump_listener(vigil_loop *loop, struct vigil__listener *l, vigil_text_fn *write,
                          void *arg)
{
    struct line line = { .len = 0 };
    line_text(&line, "listener ");
    line_address(&line, loop, l->sockets[0].fd, loop->host->local);
    line_number(&line, ": connections ", l->conns);
    line_text(&line, l->paused ? ", paused" : l->resting ? ", resting" : "");
    line_text(&line, "\n");
    write(arg, line.text, line.len);
}

void vigil__conns_dump(vigil_loop *loop, vigil_text_fn *write, void *arg)
{
    struct vigil__conns *conns = vigil__conns(loop);
    vigil__straight_look(loop);
    for (struct vigil__link *at = conns->all_listeners.next; at != &conns->all_listeners;
         at = at->next)
        dump_listener(loop, VIGIL_OWNER(at, struct vigil__listener, all), write, arg);
    struct vigil__conn *c;
    for (uint32_t at = 0; (c = vigil__conn_from(loop, &at)) != NULL;)
        dump_conn(loop, c, write, arg);
}

int vigil_dump(vigil_loop *loop, vigil_text_fn *write, void *arg)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    struct line line = { .len = 0 };
    line_text(&line, "loop on ");
    line_text(&line, loop->backend->name);
    line_number(&line, ": timers ", loop->timers.count);
    line_number(&line, ", watches ", loop->watches);
    line_number(&line, ", buffers ", loop->pool.used);
    line_number(&line, " of ", loop->pool.limit);
    line_text(&line, " B\n");
    write(arg, line.text, line.len);
    if (loop->above != NULL)
        loop->above->dump(loop, write, arg);
    return 0;
}
