/* SPDX-License-Identifier: MIT
 *
 * knotes.c -- a model of what kevent() does with a changelist and with its queue: what FreeBSD's
 * manual page kqueue(2) of May 1, 2020 says.
 *
 * A comment that begins with a section of that page, or with the name of a flag or filter, cites
 * what stands there; "FreeBSD" and "macOS" cite what these kernels do where the page is silent.
 * rows.c has a row for each.  The model knows nothing of our backend.
 *
 * A knote is what a changelist adds: (ident, filter).  Its filter is run when it is added, when its
 * descriptor tells of something, and when it is about to be handed out.
 */
#include "model/knotes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

void knotes_init(struct knotes *knotes, const struct knote_endpoints *endpoints)
{
    *knotes = (struct knotes){ .endpoints = endpoints };
    vigil__list_init(&knotes->all);
    knotes->head.before = knotes->head.behind = &knotes->head;
}

void knotes_clear(struct knotes *knotes)
{
    while (!vigil__list_empty(&knotes->all))
        knote_drop(knotes, VIGIL_OWNER(knotes->all.next, struct knote, link));
}

/* ---- the queue ---------------------------------------------------------------------------- */

static void enqueue(struct knotes *knotes, struct knote *knote)
{
    struct knote *head = &knotes->head;
    knote->before = head->before;
    knote->behind = head;
    head->before->behind = knote;
    head->before = knote;
    knote->queued = true;
}

static void dequeue(struct knote *knote)
{
    knote->before->behind = knote->behind;
    knote->behind->before = knote->before;
    knote->queued = false;
}

/* DESCRIPTION: what happens several times is one event. */
static void activate(struct knotes *knotes, struct knote *knote)
{
    knote->active = true;
    if (!knote->queued && !knote->disabled)
        enqueue(knotes, knote);
}

static bool run(const struct knotes *knotes, const struct knote *knote, struct kevent *out)
{
    *out = knote->event;
    out->flags &= (unsigned short)~(EV_ADD | EV_DELETE | EV_ENABLE | EV_DISABLE | EV_RECEIPT);
    if (knote->kind == KIND_USER)
        return knote->triggered;
    out->fflags = 0;
    return knotes->endpoints->run(knote, out);
}

void knote_look(struct knotes *knotes, struct knote *knote)
{
    struct kevent ignored;
    if (run(knotes, knote, &ignored))
        activate(knotes, knote);
}

static struct knote **place_of(struct knotes *knotes, uintptr_t ident, short filter)
{
    struct knote **place = &knotes->buckets[ident % KNOTE_BUCKETS];
    while (*place != NULL && ((*place)->event.ident != ident || (*place)->event.filter != filter))
        place = &(*place)->next;
    return place;
}

struct knote *knote_find(struct knotes *knotes, uintptr_t ident, short filter)
{
    return *place_of(knotes, ident, filter);
}

void knote_drop(struct knotes *knotes, struct knote *knote)
{
    *place_of(knotes, knote->event.ident, knote->event.filter) = knote->next;
    vigil__list_remove(&knote->link);
    if (knote->queued)
        dequeue(knote);
    knotes->count--;
    knotes->files -= knote->kind == KIND_VNODE;
    if (knote->kind != KIND_USER)
        knotes->endpoints->detach(knotes, knote);
    free(knote);
}

/* DESCRIPTION: close() takes away what refers to the descriptor: that number, whatever else has the
 * same file. */
void knotes_forget(struct knotes *knotes, uintptr_t ident)
{
    static const short of_descriptors[] = { EVFILT_READ, EVFILT_WRITE, MODEL_EVFILT_EXCEPT };
    for (int i = 0; i < 3; i++) {
        struct knote *knote = knote_find(knotes, ident, of_descriptors[i]);
        if (knote != NULL)
            knote_drop(knotes, knote);
    }
}

/* ---- changes ------------------------------------------------------------------------------ */

static int attach(struct knotes *knotes, const struct kevent *change, struct knote **out)
{
    struct knote *knote = calloc(1, knotes->endpoints->knote_size);
    if (knote == NULL)
        return ENOMEM;
    knote->event = *change;
    knote->kind = KIND_USER;
    int error = change->filter != EVFILT_USER ? knotes->endpoints->attach(knotes, knote) : 0;
    if (error != 0) {
        free(knote);
        return error;
    }
    struct knote **bucket = &knotes->buckets[change->ident % KNOTE_BUCKETS];
    knote->next = *bucket;
    *bucket = knote;
    vigil__list_append(&knotes->all, &knote->link);
    knotes->count++;
    knotes->files += knote->kind == KIND_VNODE;
    if (knote->kind == KIND_USER)
        knote->event.fflags = 0; /* FreeBSD: neither they nor NOTE_TRIGGER count when it is added */
    *out = knote;
    return 0;
}

static void change_user(struct knote *knote, const struct kevent *change)
{
    unsigned flags = change->fflags & NOTE_FFLAGSMASK, *kept = &knote->event.fflags;
    if ((change->fflags & NOTE_TRIGGER) != 0)
        knote->triggered = true;
    switch (change->fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND:
        *kept &= flags;
        break;
    case NOTE_FFOR:
        *kept |= flags;
        break;
    case NOTE_FFCOPY:
        *kept = flags;
        break;
    default:
        break;
    }
    if ((change->flags & EV_CLEAR) != 0)
        knote->triggered = false; /* FreeBSD */
}

/* EV_ADD: of one that is there it changes data, fflags and udata.  How it reports stays as it was
 * (FreeBSD). */
static void modify(struct knote *knote, const struct kevent *change)
{
    knote->event.udata = change->udata;
    if (knote->kind == KIND_USER) {
        change_user(knote, change);
        return;
    }
    knote->event.fflags = change->fflags;
    knote->event.data = change->data;
}

/* One element of a changelist: 0 or an errno. */
static int apply(struct knotes *knotes, const struct kevent *change)
{
    bool known_filter = change->filter == EVFILT_READ || change->filter == EVFILT_WRITE ||
                        change->filter == EVFILT_USER || change->filter == MODEL_EVFILT_EXCEPT;
    if (!known_filter)
        return EINVAL; /* ERRORS */
    if (change->filter != EVFILT_USER &&
        (change->ident > INT_MAX || !knotes->endpoints->is_open(knotes, change->ident)))
        return EBADF; /* FreeBSD: looked at before anything else, also by EV_DELETE */
    struct knote *knote = knote_find(knotes, change->ident, change->filter);
    if (knote == NULL && (change->flags & EV_ADD) == 0)
        return ENOENT; /* ERRORS */
    if ((change->flags & EV_DELETE) != 0 && knote != NULL) {
        knote_drop(knotes, knote);
        return 0;
    }
    if (knote != NULL) {
        modify(knote, change);
    } else {
        int error = attach(knotes, change, &knote);
        if (error != 0)
            return error;
    }
    /* DESCRIPTION: registering runs the filter, to find what is true already.  Adding it again runs
     * it, too (all the BSDs). */
    knote_look(knotes, knote);
    if ((change->flags & EV_DISABLE) != 0)
        knote->disabled = true;
    bool enabled = (change->flags & EV_ENABLE) != 0 ||
                   (change->flags & (EV_ADD | EV_DISABLE)) == EV_ADD; /* EV_ADD: it enables */
    if (enabled && knote->disabled) {
        knote->disabled = false;
        if (knote->active)
            activate(knotes, knote);
    }
    return 0;
}

/* RETURN VALUES: a change that fails is told there, with EV_ERROR and its errno in data; where
 * there is no room for that the call fails, and what comes behind is not done. */
int knotes_change(struct knotes *knotes, const struct kevent *changes, int count,
                  struct kevent *out, int room)
{
    int told = 0;
    for (int i = 0; i < count; i++) {
        struct kevent change = changes[i]; /* DESCRIPTION: it may be the eventlist, too */
        if (change.filter == 0)
            continue; /* FreeBSD */
        change.flags &= (unsigned short)~(EV_ERROR | EV_EOF);
        int error = apply(knotes, &change);
        if (error == 0 && (change.flags & EV_RECEIPT) == 0)
            continue;
        if (told == room) {
            errno = error;
            return error != 0 ? -1 : told;
        }
        change.flags = EV_ERROR;
        change.data = error; /* EV_RECEIPT: 0 for success */
        out[told++] = change;
    }
    return told;
}

/* ---- events ------------------------------------------------------------------------------- */

/* EV_CLEAR: handed out its state is reset.  EV_DISPATCH: it is disabled. */
static void reset(struct knotes *knotes, struct knote *knote)
{
    bool (*repeat)(void) = knotes->endpoints->repeat;
    knote->active = false;
    if ((knote->event.flags & EV_CLEAR) != 0 && knote->kind == KIND_USER) {
        knote->triggered = false;
        knote->event.fflags = 0;
    }
    if ((knote->event.flags & EV_DISPATCH) != 0)
        knote->disabled = true;
    else if (knote->kind != KIND_USER && repeat != NULL && repeat())
        activate(knotes, knote);
}

/* Hands one knote out, or finds that there is nothing to it any more. */
static bool hand_out(struct knotes *knotes, struct knote *knote, struct kevent *out)
{
    bool (*put_off)(void) = knotes->endpoints->put_off;
    dequeue(knote);
    if (knote->disabled)
        return false;
    /* DESCRIPTION: the filter is run when its event is to be handed out; what is not true any more
     * leaves the queue. */
    if (!run(knotes, knote, out)) {
        knote->active = false;
        return false;
    }
    if (put_off != NULL && put_off()) {
        enqueue(knotes, knote);
        return false;
    }
    if ((knote->event.flags & EV_ONESHOT) != 0)
        knote_drop(knotes, knote); /* EV_ONESHOT: handed out it is deleted */
    else if ((knote->event.flags & (EV_CLEAR | EV_DISPATCH)) != 0)
        reset(knotes, knote);
    else
        enqueue(knotes, knote); /* it stays true: to the end of the queue */
    return true;
}

/* Files grow, and nobody tells. */
static void look_at_files(struct knotes *knotes)
{
    if (knotes->files == 0)
        return;
    for (struct vigil__link *at = knotes->all.next; at != &knotes->all; at = at->next) {
        struct knote *knote = VIGIL_OWNER(at, struct knote, link);
        if (knote->kind == KIND_VNODE && !knote->queued)
            knote_look(knotes, knote);
    }
}

static void listen_to_all(struct knotes *knotes)
{
    knotes->endpoints->listen(knotes);
    look_at_files(knotes);
}

int knotes_scan(struct knotes *knotes, struct kevent *out, int room)
{
    listen_to_all(knotes);
    struct knote *last = knotes->head.before;
    int count = 0;
    for (bool more = last != &knotes->head; more && count < room;) {
        struct knote *first = knotes->head.behind;
        more = first != last;
        count += hand_out(knotes, first, &out[count]);
    }
    return count;
}

bool knotes_ready(struct knotes *knotes)
{
    struct kevent ignored;
    listen_to_all(knotes);
    struct knote *knote = knotes->head.behind;
    while (knote != &knotes->head && !run(knotes, knote, &ignored))
        knote = knote->behind;
    return knote != &knotes->head;
}

bool knotes_pending(const struct knotes *knotes)
{
    return knotes->head.behind != &knotes->head;
}
