/* SPDX-License-Identifier: MIT
 *
 * kqueue.c -- the modelled kevent() over the files of a world, in place of its part of
 * src/sys/wait_calls.c: what a descriptor of a world answers to each filter.  What becomes of it in
 * a queue is ../knotes.c, which the model on this machine's descriptors shares.
 *
 * Comments cite FreeBSD's manual page kqueue(2), as there.  A file of a world counts what may have
 * made it ready: that is what wakes a filter, as the two lists of knotes of a socket do.
 */
#include "model/knotes.h"
#include "world.h"

#include <errno.h>

struct world_knote {
    struct knote knote;
    struct sim_file *file;
    struct vigil__link watch; /* in the file's list, as long as that is open */
    uint64_t told;            /* the edges for which its filter was run */
};

struct queue {
    struct knotes knotes;
    struct sim_host *host;
};

static struct world_knote *mine(const struct knote *knote)
{
    return VIGIL_OWNER((struct knote *)(uintptr_t)knote, struct world_knote, knote);
}

static struct sim_file *file_of(const struct knotes *knotes, uintptr_t ident)
{
    const struct queue *queue = VIGIL_OWNER(knotes, const struct queue, knotes);
    return vigil__sim_fd_file(queue->host, (vigil_fd)ident);
}

/* ---- filters ------------------------------------------------------------------------------ */

static bool is_above_low_water(const struct knote *knote, const struct kevent *out)
{
    return (knote->event.fflags & NOTE_LOWAT) == 0 || out->data >= knote->event.data;
}

static int64_t bytes_there(const struct sim_file *file)
{
    return (int64_t)(file->in.arrived - file->in.read);
}

/* EVFILT_READ and EVFILT_WRITE, Sockets: shut down is EV_EOF, with the socket's error in fflags. */
static bool end_of(struct kevent *out, unsigned ready)
{
    out->flags |= EV_EOF;
    out->fflags = (ready & VIGIL_ERR) != 0 ? ECONNRESET : 0;
    return true;
}

static bool run_socket(const struct knote *knote, unsigned ready, struct kevent *out, bool reading)
{
    const struct sim_file *file = mine(knote)->file;
    if (file->state == SIM_NEW)
        return false; /* FreeBSD: sowriteable */
    if (reading) {
        out->data = bytes_there(file);
        if ((ready & VIGIL_RDHUP) != 0)
            return end_of(out, ready);
        return (ready & VIGIL_IN) != 0 && is_above_low_water(knote, out);
    }
    bool both = (ready & VIGIL_HUP) != 0 && (ready & VIGIL_RDHUP) != 0;
    bool over = file->shut || both;
    if (over)
        return end_of(out, ready);
    out->data = file->peer != NULL ? (int64_t)vigil__sim_stream_room(&file->peer->in) : 0;
    return (ready & VIGIL_OUT) != 0 && is_above_low_water(knote, out);
}

/* EVFILT_READ, Pipes: the last writer's end is EV_EOF; EVFILT_WRITE: the reader's.  The other
 * direction of an end that has one only never fires (FreeBSD). */
static bool run_pipe(const struct sim_file *file, unsigned ready, struct kevent *out, bool reading)
{
    unsigned end = reading ? VIGIL_HUP : VIGIL_ERR;
    if (!(reading ? file->readable : file->writable))
        return false;
    out->data = reading ? bytes_there(file) : (ready & VIGIL_OUT) != 0;
    if ((ready & end) != 0)
        out->flags |= EV_EOF;
    return (ready & end) != 0 || out->data > 0;
}

static bool run(const struct knote *knote, struct kevent *out)
{
    const struct sim_file *file = mine(knote)->file;
    unsigned ready = vigil__sim_ready(file);
    bool reading = out->filter == EVFILT_READ;
    if (out->filter == MODEL_EVFILT_EXCEPT)
        return false; /* there is no urgent data in a world */
    switch (knote->kind) {
    case KIND_STREAM:
        return run_socket(knote, ready, out, reading);
    case KIND_PIPE:
        return run_pipe(file, ready, out, reading);
    case KIND_VNODE: /* EVFILT_READ, Vnodes: the way to the end; NOTE_FILE_POLL: always */
        out->data = (int64_t)file->in.room - file->at;
        return out->data != 0 || (knote->event.fflags & NOTE_FILE_POLL) != 0;
    default:
        out->data = 1; /* of a listener: the backlog's size does not matter here */
        return (ready & (reading ? VIGIL_IN : VIGIL_OUT)) != 0;
    }
}

/* ---- who tells ---------------------------------------------------------------------------- */

static uint64_t edges_of(const struct knote *knote)
{
    bool output = knote->event.filter == EVFILT_WRITE;
    return world_edges(mine(knote)->file, output ? VIGIL_OUT : VIGIL_IN);
}

/* DESCRIPTION: close() takes away what refers to the descriptor: the number, whatever else has the
 * file. */
static bool is_gone(const struct knotes *knotes, const struct knote *knote)
{
    return vigil__list_empty(&mine(knote)->watch) ||
           file_of(knotes, knote->event.ident) != mine(knote)->file;
}

static void listen_to_all(struct knotes *knotes)
{
    struct vigil__link *at = knotes->all.next;
    while (at != &knotes->all) {
        struct knote *knote = VIGIL_OWNER(at, struct knote, link);
        at = at->next;
        if (knote->kind == KIND_USER)
            continue;
        if (is_gone(knotes, knote)) {
            knote_drop(knotes, knote);
        } else if (mine(knote)->told != edges_of(knote)) {
            mine(knote)->told = edges_of(knote);
            knote_look(knotes, knote);
        }
    }
}

static enum knote_kind kind_of(const struct sim_file *file)
{
    switch (file->kind) {
    case SIM_SOCKET:
        return KIND_STREAM;
    case SIM_LISTENER:
        return KIND_LISTENER;
    case SIM_PIPE:
        return KIND_PIPE;
    case SIM_REGULAR:
        return KIND_VNODE;
    case SIM_SPECIAL:
        break;
    }
    return KIND_OTHER;
}

static const struct sim_special queues;

static int why_not_attach(const struct sim_file *file, const struct kevent *change,
                          enum knote_kind kind)
{
    bool is_queue = file->special == &queues;
    if (change->filter == MODEL_EVFILT_EXCEPT)
        return kind <= KIND_LISTENER && change->fflags == MODEL_NOTE_OOB ? 0 : EINVAL;
    if (change->filter == EVFILT_WRITE && (is_queue || kind == KIND_VNODE))
        return EINVAL; /* EVFILT_WRITE: not for vnodes */
    if (change->filter == EVFILT_WRITE && kind == KIND_PIPE && file->writable &&
        file->state == SIM_BROKEN)
        return EPIPE; /* FreeBSD: a pipe whose reader has gone (mio#584) */
    /* ERRORS: ENOMEM, no memory to register it. */
    bool short_of_memory = vigil__sim_call(world.host, VIGIL_SIM_CALL_SET) < 0 ||
                           vigil__sim_short_of_buffers(world.host) != 0;
    world.lacked = world.lacked || short_of_memory;
    return short_of_memory ? ENOMEM : 0;
}

static bool is_open(const struct knotes *knotes, uintptr_t ident)
{
    return file_of(knotes, ident) != NULL;
}

static int attach(struct knotes *knotes, struct knote *knote)
{
    struct sim_file *file = file_of(knotes, knote->event.ident);
    knote->kind = kind_of(file);
    int error = why_not_attach(file, &knote->event, knote->kind);
    if (error != 0)
        return error;
    mine(knote)->file = file;
    mine(knote)->told = edges_of(knote);
    vigil__list_append(&file->watchers, &mine(knote)->watch);
    return 0;
}

static void detach(struct knotes *knotes, struct knote *knote)
{
    (void)knotes;
    vigil__list_remove(&mine(knote)->watch);
}

static bool put_off(void)
{
    return world_late();
}

static bool repeat(void)
{
    return world_fault(VIGIL_SIM_DUPLICATE);
}

static const struct knote_endpoints of_worlds = { .knote_size = sizeof(struct world_knote),
                                                  .is_open = is_open,
                                                  .attach = attach,
                                                  .detach = detach,
                                                  .run = run,
                                                  .listen = listen_to_all,
                                                  .put_off = put_off,
                                                  .repeat = repeat };

/* ---- the queue's descriptor --------------------------------------------------------------- */

/* DESCRIPTION: what is gone when its number is closed counts no more. */
static unsigned queue_ready(const struct sim_file *file)
{
    struct queue *queue = file->special_self;
    return knotes_ready(&queue->knotes) ? VIGIL_IN : 0;
}

static void queue_close(struct sim_file *file)
{
    struct queue *queue = file->special_self;
    knotes_clear(&queue->knotes);
    world_free(queue, sizeof(*queue));
}

static const struct sim_special queues = { .ready = queue_ready, .close = queue_close };

int vigil__call_kqueue(void)
{
    struct queue *queue = world.host != NULL ? world_alloc(sizeof(*queue)) : NULL;
    if (queue == NULL)
        return VIGIL_ENOMEM;
    knotes_init(&queue->knotes, &of_worlds);
    queue->host = world.host;
    int fd = world_open(&queues, queue);
    if (fd < 0)
        world_free(queue, sizeof(*queue));
    return fd;
}

/* ---- kevent ------------------------------------------------------------------------------- */

/* Another thread took what made it true. */
static int add_spurious(const struct knotes *knotes, struct kevent *events, int n, int max)
{
    int which = n < max ? world_spurious(knotes->count) : -1;
    if (which < 0)
        return n;
    const struct vigil__link *at = knotes->all.next;
    for (; which > 0; which--)
        at = at->next;
    const struct knote *knote = VIGIL_OWNER(at, const struct knote, link);
    if (knote->kind == KIND_USER || knote->disabled || (knote->event.flags & EV_ONESHOT) != 0)
        return n;
    events[n] = knote->event;
    events[n].flags &= EV_CLEAR;
    events[n].fflags = 0;
    return n + 1;
}

static void reorder(struct kevent *events, int n)
{
    if (n < 2 || !world_fault(VIGIL_SIM_REORDER))
        return;
    for (int i = 0; i + 1 < n; i++) {
        if (vigil_sim_choose(world.host->sim, "swap", 2) == 0)
            continue;
        struct kevent event = events[i];
        events[i] = events[i + 1];
        events[i + 1] = event;
    }
}

static int wait_and_scan(int kqueue, struct queue *queue, struct kevent *events, int max,
                         vigil_ns timeout_ns)
{
    vigil_ns deadline = world_deadline(timeout_ns);
    int result;
    do {
        bool there = world_special(kqueue, &queues) == queue && knotes_ready(&queue->knotes);
        if (!there)
            continue;
        /* ERRORS: EINTR, before anything was handed out; all changes have been made by then. */
        if (world_interrupted())
            return 0;
        int n = knotes_scan(&queue->knotes, events, max);
        n = add_spurious(&queue->knotes, events, n, max);
        reorder(events, n);
        return n;
    } while (world_waits(deadline, &result));
    return result;
}

int vigil__call_kevent(int kqueue, const struct kevent *changes, int count, struct kevent *events,
                       int max, vigil_ns timeout_ns)
{
    if (world.dead)
        return 0;
    struct queue *queue = world_special(kqueue, &queues);
    if (queue == NULL)
        return VIGIL_EBADF;
    /* DESCRIPTION: all changes come before any event. */
    listen_to_all(&queue->knotes);
    int told = knotes_change(&queue->knotes, changes, count, events, max);
    if (told != 0 || max == 0)
        return told < 0 ? vigil__status_of(errno) : told;
    int err = vigil__sim_call(world.host, VIGIL_SIM_CALL_WAIT);
    return err < 0 ? err : wait_and_scan(kqueue, queue, events, max, timeout_ns);
}

int vigil__call_kevent_trigger(int kqueue, uintptr_t ident)
{
    const struct kevent change = { .ident = ident, .filter = EVFILT_USER, .fflags = NOTE_TRIGGER };
    int err = vigil__call_kevent(kqueue, &change, 1, NULL, 0, VIGIL_NOWAIT);
    struct sim_file *file = world_file(kqueue);
    if (err == 0 && file != NULL) {
        file->activity++;
        vigil__sim_moved(file->sim);
    }
    return err;
}

int vigil__call_kind(int fd)
{
    const struct sim_file *file = world_file(fd);
    if (file == NULL)
        return VIGIL_EBADF;
    switch (file->kind) {
    case SIM_SOCKET:
    case SIM_LISTENER:
        return VIGIL__FD_SOCKET;
    case SIM_PIPE:
        return VIGIL__FD_PIPE;
    case SIM_REGULAR:
        return VIGIL__FD_FILE;
    case SIM_SPECIAL:
        break;
    }
    return VIGIL__FD_OTHER;
}
