/* SPDX-License-Identifier: MIT
 *
 * knotes.h -- the inside of the modelled kevent(), which kevent.c and calls/kqueue.c share: what a
 * changelist makes of a queue, and what is handed out of it.  Of descriptors it knows what it is
 * told through one table: kevent.c has this machine's, calls/kqueue.c those of a simulated world.
 */
#ifndef MODEL_KNOTES_H
#define MODEL_KNOTES_H

#include "base/list.h"

#include <sys/event.h>

/* macOS's own filter, whether or not <sys/event.h> names it in this program. */
#define MODEL_EVFILT_EXCEPT (-15)
#define MODEL_NOTE_OOB      0x00000002

enum knote_kind {
    KIND_STREAM,
    KIND_LISTENER,
    KIND_DATAGRAM,
    KIND_PIPE,
    KIND_TERMINAL,
    KIND_VNODE,
    KIND_DEVICE,
    KIND_OTHER,
    KIND_USER
};

struct knote {
    struct knote *next;            /* in its bucket */
    struct vigil__link link;       /* among all of its queue */
    struct knote *before, *behind; /* in the queue */
    struct kevent event;           /* as it was added; fflags and data: what the user asked */
    enum knote_kind kind;
    bool disabled, queued;
    bool active;    /* its filter said so when it was run last, and it was not reset since */
    bool triggered; /* user events */
};

struct knotes;

/* What is asked of descriptors.  Errors are errnos, as kevent(2) has them in data. */
struct knote_endpoints {
    size_t knote_size; /* of a struct knote with what its descriptor needs behind it */
    bool (*is_open)(const struct knotes *knotes, uintptr_t ident);
    /* Says what it is, in `kind`, and has it tell of itself from now on.  0, or why there is no
     * such filter for it. */
    int (*attach)(struct knotes *knotes, struct knote *knote);
    void (*detach)(struct knotes *knotes, struct knote *knote);
    /* Runs the filter: whether it is to be reported, and as what. */
    bool (*run)(const struct knote *knote, struct kevent *out);
    /* Runs, by knote_look(), the filters of those that have something new to tell. */
    void (*listen)(struct knotes *knotes);
    bool (*put_off)(void); /* whether what is true is handed out only later; NULL: never */
    bool (*repeat)(void);  /* whether an edge is told twice; NULL: never */
};

enum { KNOTE_BUCKETS = 512 };

struct knotes {
    const struct knote_endpoints *endpoints;
    struct knote *buckets[KNOTE_BUCKETS];
    struct vigil__link all;
    uint32_t count, files; /* of all, and of those of vnodes */
    struct knote head;     /* of the queue */
};

void knotes_init(struct knotes *knotes, const struct knote_endpoints *endpoints);
void knotes_clear(struct knotes *knotes);

/* All of a changelist.  Answers how many elements of `out` tell of it, or -1 and errno. */
int knotes_change(struct knotes *knotes, const struct kevent *changes, int count,
                  struct kevent *out, int room);

/* Hands out what there is now. */
int knotes_scan(struct knotes *knotes, struct kevent *out, int room);
/* Whether there would be something. */
bool knotes_ready(struct knotes *knotes);
/* Whether there may be: something is in the queue. */
bool knotes_pending(const struct knotes *knotes);

struct knote *knote_find(struct knotes *knotes, uintptr_t ident, short filter);
/* Runs its filter, and puts it into the queue if it is to be reported. */
void knote_look(struct knotes *knotes, struct knote *knote);
void knote_drop(struct knotes *knotes, struct knote *knote);
/* The descriptor was closed: what refers to that number leaves. */
void knotes_forget(struct knotes *knotes, uintptr_t ident);

#endif
