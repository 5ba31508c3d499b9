/* SPDX-License-Identifier: MIT
 *
 * backend.h -- the seam between the loop and the kernel's ways of waiting.  Floor: poller.
 *
 * A backend returns records shaped like an io_uring completion and calls nobody.  One const table
 * describes it; a capability it lacks is a NULL member.  Everything that is the same for all
 * (retries, deadlines, budgets, callbacks, performing operations when a descriptor is ready) stands
 * once, above.
 */
#ifndef VIGIL_BACKEND_H
#define VIGIL_BACKEND_H

#include "base/buf.h"
#include "sys/host.h"

/* A key comes back in records: class (2 bits), kind (6), generation (24), slot (32).  The class and
 * the slot's generation tell a record of today from one that comes too late. */
enum vigil__key_class { VIGIL__KEY_WATCH = 1, VIGIL__KEY_OP = 2, VIGIL__KEY_WAKE = 3 };

static inline uint64_t vigil__key(enum vigil__key_class key_class, unsigned kind,
                                  const uint32_t generation, const uint32_t slot)
{
    return (uint64_t)key_class << 62 | (uint64_t)(kind & 0x3f) << 56 |
           (uint64_t)(generation & 0xffffff) << 32 | slot;
}

static inline enum vigil__key_class vigil__key_class(uint64_t key)
{
    return (enum vigil__key_class)(key >> 62);
}

static inline unsigned vigil__key_kind(uint64_t key)
{
    return (unsigned)(key >> 56) & 0x3f;
}

static inline uint32_t vigil__key_generation(uint64_t key)
{
    return (uint32_t)(key >> 32) & 0xffffff;
}

static inline uint32_t vigil__key_slot(uint64_t key)
{
    return (uint32_t)key;
}

enum {
    VIGIL__RECORD_MORE = 1,    /* the operation goes on: this is not its last record */
    VIGIL__RECORD_DRAINED = 2, /* the system has nothing behind this: op_ready's own */
};

struct vigil__record {
    uint64_t key;
    int32_t res; /* readiness: the event mask; an operation: a count or a status */

    /* Of operations only: */
    uint32_t flags;
    struct vigil__buf *buf; /* RECV and READ with res > 0: one reference, the receiver's */
    uint32_t offset;        /* where in buf the bytes begin */
};

/* There is no SHUTDOWN: the host table does it at once, for shutdown(2) of a socket does not block.
 * Nor is there a CLOSE, with a record: close(2) does not fail in a way that matters, and the last
 * record of every operation comes before it.  See close_fd below. */
enum vigil__op_kind {
    VIGIL__OP_ACCEPT = 1, /* res: the new descriptor */
    VIGIL__OP_CONNECT,
    VIGIL__OP_RECV,
    VIGIL__OP_READ,
    VIGIL__OP_SEND,
    VIGIL__OP_WRITE,
};

enum { VIGIL__OP_ROOM = 64 };

enum {
    VIGIL__OP_MULTI = 1,    /* may go on until cancelled, or end with any record: ACCEPT, RECV */
    VIGIL__OP_NOWAIT = 2,   /* answers VIGIL__EAGAIN instead of waiting */
    VIGIL__OP_WAIT = 4,     /* would block for sure (the last one was cut short): wait first */
    VIGIL__OP_BLOCKING = 8, /* the descriptor may block: once, and only when it is ready; with
                             * NOWAIT it is asked first whether it is */
};

struct vigil__port;

/* What an operation is, as told to the one who performs it.  That one has taken from it what it
 * needs when the call returns; but iov, room and addr must stay where they are until the last
 * record, the one without MORE, and the key is the operation's alone until then. */
struct vigil__op {
    uint64_t key;
    vigil_fd fd;
    uint32_t ticket; /* the backend's own, from submit to the last record: cancel wants it back */
    struct vigil__port *port; /* the loop's for fd: where op_ready parks it */
    uint8_t kind, flags;
    bool active; /* started, and its last record not yet seen */
    bool native; /* submitted to the backend */
    union {
        struct {
            const vigil_iov *iov;
            uint32_t count;
            void *room;         /* VIGIL__OP_ROOM bytes for the backend's own use, if count > 1 */
        } io;                   /* SEND, WRITE */
        const vigil_addr *addr; /* CONNECT */
        size_t len;             /* RECV, READ: no more than this per record */
    } u;
};

struct vigil__backend_config {
    const vigil_host *host;
    const vigil_allocator *allocator;
    struct vigil__pool *pool; /* NULL in a poller: no operations will come */
};

struct vigil__backend_caps {
    unsigned events;   /* event bits it can report */
    bool edge;         /* VIGIL_EDGE works */
    uint32_t op_kinds; /* bit per vigil__op_kind that submit takes */
    uint32_t batch; /* a wait with as many records may have left others behind; 0: no such bound */
};

struct vigil__backend {
    const char *name;
    /* 0, or why not: VIGIL_ENOTSUP (not to be had here), VIGIL_ENOMEM, VIGIL_EMFILE. */
    int (*open)(void **self, const struct vigil__backend_config *config,
                struct vigil__backend_caps *found);
    void (*close)(void *self); /* after the last record of every operation */
    /* After fork, in the child: frees memory and its own descriptors, but touches no kernel set
     * that the parent shares. */
    void (*forget)(void *self);
    /* `was` and `want` are event bits with ONESHOT, and EDGE where that was found; want 0 removes,
     * synchronously, and never fails; was 0 adds.  was == want re-arms a one-shot.
     * VIGIL_EBADF, VIGIL_EEXIST, VIGIL_ENOMEM, VIGIL_EMFILE (it needed a descriptor for that). */
    int (*set)(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key);
    /* One blocking system call.  Answers how many records, a wake's among them; 0 for a timeout or
     * a signal. */
    int (*wait)(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns);
    /* Any thread, async-signal-safe; drained inside wait, which reports it as a KEY_WAKE record. */
    int (*wake)(void *self);
    /* A descriptor that is readable when wait would answer at once, the same one until close;
     * NULL: there is none.  What was put off until the wait counts once it is flushed. */
    int (*fd)(void *self);
    /* Hands to the kernel what was put off until the next wait.  NULL: nothing is. */
    void (*flush)(void *self);
    /* Operations taken to the kernel.  NULL: readiness only.  A SEND never waits for room: it may
     * end with VIGIL__EAGAIN.
     * 0; VIGIL_EFULL, VIGIL_ENOMEM: not taken. */
    int (*submit)(void *self, struct vigil__op *op);
    /* Hurries the last record, which a later wait brings soon: VIGIL_ECANCELED, or what the
     * operation did before.  Twice is once. */
    void (*cancel)(void *self, struct vigil__op *op);
    /* Closes a socket of which nothing is under way, with what the next wait or flush hands over.
     * 0, or VIGIL_EFULL: not taken.  NULL with submit. */
    int (*close_fd)(void *self, vigil_fd fd);
    /* The last reference of a buffer that came by vigil__buf_lend() was dropped.  NULL: none do. */
    void (*give)(void *self, struct vigil__buf *buf);
    /* What it found in this kernel, by trying: as vigil_backend_features().  NULL: there is nothing
     * to tell. */
    int (*features)(vigil_feature *out, int max);
};

extern const struct vigil__backend vigil__backend_select;
extern const struct vigil__backend vigil__backend_poll;
extern const struct vigil__backend vigil__backend_epoll;
extern const struct vigil__backend vigil__backend_io_uring;
extern const struct vigil__backend vigil__backend_kqueue;
extern const struct vigil__backend vigil__backend_afd;

/* Those built in, best first, NULL behind the last. */
extern const struct vigil__backend *const vigil__backends[];

/* Opens the backend of that name among the host's; NULL: VIGIL_BACKEND of the environment, else the
 * first that opens.  VIGIL_EINVAL: no such name. */
int vigil__backend_open(const char *name, const struct vigil__backend_config *config,
                        const struct vigil__backend **backend, void **self,
                        struct vigil__backend_caps *found);

#endif
