/* SPDX-License-Identifier: MIT
 *
 * file.c -- open descriptions: reading, writing, ending, closing, and what is true of one.
 * Floor: sim.
 */
#include "sim/sim.h"

#include <string.h>

enum {
    BUFFER_MIN = 2304,  /* as Linux has it for the smallest */
    PIPE_ATOMIC = 4096, /* PIPE_BUF: a pipe is writable that takes so much at once, pipe(7) */
};

/* How long a system sends again what nobody acknowledges: tcp(7), tcp_retries2. */
static const vigil_ns gives_up_after = VIGIL_S(924);

static void file_free(struct sim_file *file);
static void gave_up(struct sim_event *event);

struct sim_file *vigil__sim_file_new(struct sim_host *host, enum sim_kind kind)
{
    vigil_sim *sim = host->sim;
    struct sim_file *file = vigil__alloc(&sim->memory, sizeof(*file));
    if (file == NULL)
        return NULL;
    memset(file, 0, sizeof(*file));
    file->sim = sim;
    file->host = host;
    file->kind = kind;
    file->readable = file->writable = true;
    vigil__sim_stream_init(&file->in);
    vigil__list_init(&file->waiting);
    vigil__list_init(&file->waiting_link);
    vigil__list_init(&file->watchers);
    vigil__list_append(&sim->files, &file->link);
    return file;
}

void vigil__sim_join(struct sim_file *a, struct sim_file *b)
{
    const struct sim_link *link = vigil__sim_link_find(a->sim, a->host, b->host);
    a->peer = b;
    b->peer = a;
    a->state = b->state = SIM_CONNECTED;
    a->in.cap = b->in.cap = link->is.buffer;
}

void vigil__sim_break(struct sim_file *file, int error)
{
    if (file->state == SIM_BROKEN)
        return;
    file->state = SIM_BROKEN;
    file->error = error;
    file->fate.broken_by = error;
    file->activity++;
    vigil__sim_moved(file->sim);
    vigil__sim_story_file(file, "is broken: %s", vigil_strerror(error));
}

/* ---- reading and writing ---- */

static int take_error(struct sim_file *file)
{
    int error = file->error;
    file->error = 0;
    vigil__sim_story_file(file, "is told: %s", vigil_strerror(error));
    return error;
}

/* Fewer than `n`, but at least one, where that fault is to happen. */
static size_t cut_short(struct sim_file *file, vigil_sim_fault fault, size_t n)
{
    if (n < 2 || !vigil__sim_fault(file->sim, file->host, fault))
        return n;
    return n - 1 - vigil_sim_choose(file->sim, "short by", (uint32_t)vigil__min(n - 1, UINT16_MAX));
}

static bool would_block(struct sim_file *file)
{
    if (file->blocking || !vigil__sim_fault(file->sim, file->host, VIGIL_SIM_EAGAIN))
        return false;
    file->activity++; /* for edges: it is ready again at once */
    return true;
}

static int read_regular(struct sim_file *file, void *p, size_t n)
{
    n = vigil__min(n, file->in.room - vigil__min((size_t)file->at, file->in.room));
    if (n > 0)
        memcpy(p, file->in.bytes + file->at, n);
    file->at += (int64_t)n;
    if (file->sim->tap.read != NULL)
        file->sim->tap.read(file, p, n);
    return (int)n;
}

int vigil__sim_read(struct sim_file *file, void *p, size_t n)
{
    if (!file->readable)
        return VIGIL_EBADF;
    if (file->kind == SIM_REGULAR)
        return read_regular(file, p, n);
    if (file->state == SIM_NEW)
        return VIGIL_ENOTCONN;
    if (file->state == SIM_CONNECTING)
        return VIGIL__EAGAIN;
    size_t there = (size_t)(file->in.arrived - file->in.read);
    if (there == 0) {
        if (file->error != 0)
            return take_error(file);
        if (file->state != SIM_BROKEN && !file->in.fin_arrived)
            return VIGIL__EAGAIN;
        file->fate.told_end = file->in.fin_arrived;
        vigil__sim_story_file(file, "receives the end");
        return 0;
    }
    if (would_block(file))
        return VIGIL__EAGAIN;
    bool was_full = vigil__sim_stream_room(&file->in) == 0;
    n = cut_short(file, VIGIL_SIM_SHORT_READ, vigil__min(n, there));
    n = vigil__sim_stream_take(&file->in, p, n);
    if (file->sim->tap.read != NULL)
        file->sim->tap.read(file, p, n);
    if (was_full && file->peer != NULL) {
        file->peer->activity++;
        file->peer->outputs++;
    }
    file->host->bytes_in += n;
    file->host->receives++;
    file->fate.receives++;
    file->fate.read_at = file->sim->now;
    vigil__sim_note(file->sim, n);
    vigil__sim_moved(file->sim);
    vigil__sim_story_file(file, "receives %zu bytes", n);
    return (int)n;
}

/* What may happen in the network to a connection that is used. */
static void network_faults(struct sim_file *file)
{
    if (file->kind != SIM_SOCKET || file->local.family == VIGIL_FAMILY_UNIX || file->vanished)
        return;
    if (vigil__sim_fault(file->sim, NULL, VIGIL_SIM_RESET)) {
        file->hurt = file->peer->hurt = true;
        file->fate.faults |= 1u << VIGIL_SIM_RESET;
        file->peer->fate.faults |= 1u << VIGIL_SIM_RESET;
        vigil__sim_stream_end(file->peer, true);
        vigil__sim_stream_end(file, true);
    } else if (vigil__sim_fault(file->sim, NULL, VIGIL_SIM_VANISH)) {
        vigil__sim_vanish(file);
    }
}

static void gave_up(struct sim_event *event)
{
    vigil__sim_break(VIGIL_OWNER(event, struct sim_file, event), VIGIL_ETIMEDOUT);
}

/* Within a host it is known at once that the peer has closed: unix(7). */
static bool is_peer_gone(const struct sim_file *file)
{
    return file->kind == SIM_SOCKET && file->local.family == VIGIL_FAMILY_UNIX &&
           file->peer != NULL && !file->peer->open;
}

static int why_not_write(struct sim_file *file)
{
    if (!file->writable)
        return VIGIL_EBADF;
    if (file->state == SIM_NEW)
        return VIGIL_ENOTCONN;
    if (file->state == SIM_CONNECTING)
        return VIGIL__EAGAIN;
    if (file->error != 0)
        return take_error(file);
    bool over = file->state == SIM_BROKEN || file->shut || is_peer_gone(file);
    return over ? VIGIL_ECONNRESET : 0;
}

/* The file is as long as what is in it. */
static int write_regular(struct sim_file *file, const vigil_iov *iov, size_t count)
{
    int64_t began = file->at;
    for (size_t i = 0; i < count; i++) {
        size_t end = (size_t)file->at + iov[i].len;
        if (end > file->in.room) {
            uint8_t *bytes = vigil__resize(&file->sim->memory, file->in.bytes, file->in.room, end);
            if (bytes == NULL)
                return VIGIL_ENOBUFS;
            file->in.bytes = bytes;
            file->in.room = end;
        }
        if (iov[i].len > 0)
            memcpy(file->in.bytes + file->at, iov[i].base, iov[i].len);
        file->at += (int64_t)iov[i].len;
    }
    return (int)(file->at - began);
}

static int send_pieces(struct sim_file *file, const vigil_iov *iov, size_t count, size_t n)
{
    size_t left = n;
    for (size_t i = 0; i < count && left > 0; i++) {
        size_t piece = vigil__min(iov[i].len, left);
        if (piece > 0 && !vigil__sim_stream_send(file->peer, iov[i].base, piece))
            break; /* no memory: what went so far has gone */
        left -= piece;
    }
    return left < n ? (int)(n - left) : VIGIL_ENOBUFS;
}

int vigil__sim_writev(struct sim_file *file, const vigil_iov *iov, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += iov[i].len;
    if (file->kind == SIM_REGULAR)
        return write_regular(file, iov, count);
    int err = why_not_write(file);
    if (err != 0 || n == 0)
        return err;
    size_t room = vigil__sim_stream_room(&file->peer->in);
    if (room == 0 || would_block(file))
        return VIGIL__EAGAIN;
    err = vigil__sim_short_of_buffers(file->host);
    if (err != 0)
        return file->fate.shortage = err;
    n = cut_short(file, VIGIL_SIM_SHORT_WRITE, vigil__min(n, room));
    int sent = send_pieces(file, iov, count, n);
    if (sent > 0) {
        file->host->bytes_out += (uint64_t)sent;
        file->host->sends++;
        file->fate.wrote_at = file->sim->now;
        if (file->sim->tap.wrote != NULL)
            file->sim->tap.wrote(file, iov, count, (size_t)sent);
        vigil__sim_story_file(file, "sends %d bytes", sent);
        network_faults(file);
        if (file->vanished && file->event.id == 0) {
            file->event.fn = gave_up;
            (void)vigil__sim_event_at(file->sim, &file->event, file->sim->now + gives_up_after);
        }
        vigil__sim_note(file->sim, (uint64_t)sent);
        vigil__sim_moved(file->sim);
    }
    return sent;
}

int vigil__sim_shutdown(struct sim_file *file)
{
    if (file->state != SIM_CONNECTED)
        return VIGIL_ENOTCONN;
    if (!file->shut) {
        file->fate.shut_at = file->sim->now;
        vigil__sim_stream_end(file->peer, false);
    }
    vigil__sim_story_file(file, "ends its output");
    file->shut = true;
    file->activity++;
    vigil__sim_moved(file->sim);
    return 0;
}

/* The buffer of a direction is the reader's, but for Unix sockets, where it is the writer's. */
static void set_buffer(struct sim_file *file, enum vigil__sockopt option, int value)
{
    bool is_unix = file->local.family == VIGIL_FAMILY_UNIX;
    size_t size = vigil__max(value > 0 ? (size_t)value : 0, BUFFER_MIN);
    if (is_unix && option == VIGIL__SO_SNDBUF && file->peer != NULL)
        file->peer->in.cap = size;
    else if (!is_unix && option == VIGIL__SO_RCVBUF)
        file->in.cap = size;
}

void vigil__sim_option(struct sim_file *file, enum vigil__sockopt option, int value)
{
    switch (option) {
    case VIGIL__SO_RESET:
        file->reset_on_close = value != 0;
        break;
    case VIGIL__SO_REUSEPORT:
        file->reuse_port = value != 0;
        break;
    case VIGIL__SO_V6ONLY:
        file->v6_only = value != 0;
        break;
    case VIGIL__SO_SNDBUF:
    case VIGIL__SO_RCVBUF:
        set_buffer(file, option, value);
        break;
    case VIGIL__SO_NODELAY:
    case VIGIL__SO_KEEPALIVE:
    case VIGIL__SO_REUSEADDR:
        break; /* nothing here depends on them */
    }
}

/* ---- what is true ---- */

static unsigned ready_pipe(const struct sim_file *file)
{
    unsigned events = 0;
    if (file->readable) {
        events |= file->in.arrived > file->in.read ? VIGIL_IN : 0;
        events |= file->in.fin_arrived ? VIGIL_HUP : 0;
        return events;
    }
    events |= file->state == SIM_BROKEN ? VIGIL_ERR : 0;
    return events | (vigil__sim_stream_room(&file->peer->in) >= PIPE_ATOMIC ? VIGIL_OUT : 0);
}

static unsigned ready_socket(const struct sim_file *file)
{
    switch (file->state) {
    case SIM_NEW:
        return VIGIL_OUT | VIGIL_HUP;
    case SIM_CONNECTING:
        return 0;
    case SIM_BROKEN:
        return VIGIL_IN | VIGIL_OUT | VIGIL_HUP | VIGIL_RDHUP | (file->error != 0 ? VIGIL_ERR : 0);
    case SIM_CONNECTED:
        break;
    }
    unsigned events = 0;
    if (file->in.arrived > file->in.read)
        events |= VIGIL_IN;
    if (file->in.fin_arrived)
        events |= VIGIL_IN | VIGIL_RDHUP | (file->shut || is_peer_gone(file) ? VIGIL_HUP : 0);
    if (file->shut || is_peer_gone(file) || vigil__sim_stream_room(&file->peer->in) > 0)
        events |= VIGIL_OUT;
    return events;
}

unsigned vigil__sim_ready(const struct sim_file *file)
{
    switch (file->kind) {
    case SIM_LISTENER:
        return vigil__list_empty(&file->waiting) ? 0 : VIGIL_IN;
    case SIM_PIPE:
        return ready_pipe(file);
    case SIM_REGULAR:
        return VIGIL_IN | VIGIL_OUT;
    case SIM_SPECIAL:
        return file->special->ready(file);
    case SIM_SOCKET:
        break;
    }
    return ready_socket(file);
}

/* ---- closing ---- */

/* What the peer hears.  A host without power says nothing. */
static void say_goodbye(struct sim_file *file)
{
    struct sim_file *peer = file->peer;
    if (peer == NULL || !peer->open || file->host->dead || file->state == SIM_BROKEN)
        return;
    if (file->kind == SIM_PIPE) {
        if (file->readable)
            vigil__sim_break(peer, 0);
        else
            vigil__sim_stream_end(peer, false);
        return;
    }
    bool unread = file->in.arrived > file->in.read;
    bool is_unix = file->local.family == VIGIL_FAMILY_UNIX;
    peer->shut = peer->shut || is_unix; /* it need not write to find out */
    if ((file->reset_on_close && !is_unix) || unread || file->state == SIM_CONNECTING)
        vigil__sim_stream_end(peer, true);
    else if (!file->shut)
        vigil__sim_stream_end(peer, false);
}

void vigil__sim_file_close(struct sim_file *file)
{
    struct sim_file *peer = file->peer;
    if (file->kind == SIM_LISTENER)
        vigil__sim_listener_close(file);
    vigil__sim_story_file(file, file->reset_on_close ? "closes with a reset" : "closes");
    say_goodbye(file);
    if (file->fate_out != NULL) {
        *file->fate_out = file->fate;
        file->fate_out = NULL;
    }
    file->open = false;
    while (!vigil__list_empty(&file->watchers))
        vigil__list_remove(file->watchers.next);
    if (file->special != NULL)
        file->special->close(file);
    vigil__sim_event_cancel(file->sim, &file->event);
    if (peer != NULL && peer->open) {
        peer->activity++;
        return; /* what comes to it here is answered until it closes, too */
    }
    if (peer != NULL)
        file_free(peer);
    file_free(file);
}

static void file_free(struct sim_file *file)
{
    vigil_sim *sim = file->sim;
    vigil__sim_event_cancel(sim, &file->event);
    vigil__sim_stream_clear(sim, &file->in);
    vigil__list_remove(&file->waiting_link);
    vigil__list_remove(&file->link);
    vigil__free(&sim->memory, file, sizeof(*file));
}

/* They may hold others, which they let go: each may close more, therefore from the start. */
static void specials_close(vigil_sim *sim)
{
    struct vigil__link *at = sim->files.next;
    while (at != &sim->files) {
        struct sim_file *file = VIGIL_OWNER(at, struct sim_file, link);
        bool special = file->special != NULL;
        if (special)
            vigil__sim_file_close(file);
        at = special ? sim->files.next : at->next;
    }
}

void vigil__sim_files_clear(vigil_sim *sim)
{
    specials_close(sim);
    while (!vigil__list_empty(&sim->files))
        file_free(VIGIL_OWNER(sim->files.next, struct sim_file, link));
    while (!vigil__list_empty(&sim->listeners))
        file_free(VIGIL_OWNER(sim->listeners.next, struct sim_file, link));
}
