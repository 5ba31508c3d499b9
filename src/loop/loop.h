/* SPDX-License-Identifier: MIT
 *
 * loop.h -- the inside of a loop.  Floor: loop.
 *
 * A turn, in this order: wait; read the clock; timers due by that reading; signals; I/O within
 * budgets; the connections' own deadlines, after the I/O so that a process that was stopped sheds
 * no client whose bytes wait; posted calls, a snapshot; closes.  Callbacks run nowhere else.
 */
#ifndef VIGIL_LOOP_H
#define VIGIL_LOOP_H

#include <stdatomic.h>

#include "base/gaps.h"
#include "base/list.h"
#include "base/queue.h"
#include "base/slab.h"
#include "base/tournament.h"
#include "poller/backend.h"

enum {
    VIGIL__RECORDS_MAX = 256, /* records taken per wait: a turn's worth, then timers run again */
    VIGIL__READS_MAX = 4,     /* full buffers from one connection before others have their turn */
    VIGIL__CALLBACKS_CLOCK = 32, /* callbacks between two looks at the clock */
    VIGIL__STALL_TURNS = 1000,   /* turns timed callback by callback after a stall */
};

/* The kind in the key of an operation: whose it is. */
enum vigil__owner {
    VIGIL__OWNER_CONN_IN = 1,
    VIGIL__OWNER_CONN_OUT = 2,
    VIGIL__OWNER_LISTENER = 8, /* and the index of the socket, up to VIGIL__ADDRESSES_MAX */
};

/* One descriptor that the backend watches for this loop: for a watch of the user's, or to perform
 * operations when it is ready.  That of a connection's socket is the beginning of the connection;
 * its slot is a slot of those.  The others are vigil__own_port. */
struct vigil__port {
    struct vigil__slot slot;
    vigil_fd fd;
    uint8_t want;  /* what is to be reported, in short, and */
    uint8_t known; /* what the backend has been told; see ports.c */
    bool of_conn : 1, watch : 1;
    bool rearm : 1;   /* tell the backend even when want == known: a one-shot */
    bool refused : 1; /* the backend would not take it, which is to be told */
    bool resting : 1; /* a watch that it does not know: it wants nothing */
    uint8_t listed;   /* bit per vigil__list in whose queue its slot stands */
};

/* Where its slot may stand.  It keeps that place for the next one that has the slot, and is passed
 * over if that has nothing to wait for. */
enum vigil__list {
    VIGIL__LIST_DIRTY,   /* the backend is to be told of it */
    VIGIL__LIST_REFUSED, /* the backend would not take it */

    /* A connection's: */
    VIGIL__LIST_WORK,   /* it waits for its todo */
    VIGIL__LIST_FLUSH,  /* has output to bring away */
    VIGIL__LIST_CLOSES, /* waits for its close */
    VIGIL__LIST_MEMORY, /* for memory */
    VIGIL__LIST_DRY,    /* for one of the kernel's buffers */
    VIGIL__LISTS,
};

struct vigil__own_port {
    struct vigil__port port;
    union {
        struct {
            uint64_t in, out; /* keys of what is parked until the descriptor is ready */
        } ops;
        struct {
            vigil_watch_fn *fn;
            void *arg;
        } watch;
    } u;
};

/* Ports of one slab: the loop's own, and those of the connections. */
struct vigil__ports {
    struct vigil__slab *slab;
    struct vigil__queues lists; /* by vigil__list */
};

struct vigil__signal {
    struct vigil__slot slot;
    int signo;
    uint64_t sequence; /* loop->signal_sequence when it came: tells new ones from old */
    vigil_signal_fn *fn;
    void *arg;
};

/* What the floor of connections does for the loop.  It plugs itself in with the first listener or
 * connection, so a program without any does not carry it. */
struct vigil__above {
    /* Of an operation.  While the loop closes: what it brings is only taken back. */
    void (*record)(vigil_loop *loop, struct vigil__record *record);
    /* Deals with the first of these records at once, as far as that can be; how many? */
    int (*straight)(vigil_loop *loop, const struct vigil__record *records, int count);
    /* Tells again how the operation of that key was started. */
    void (*op)(const vigil_loop *loop, uint64_t key, struct vigil__op *op);
    /* The same, of a connection's port. */
    void (*port_op)(const vigil_loop *loop, const struct vigil__port *port, bool input,
                    struct vigil__op *op);
    /* Whether there is memory to hold what a receive of that key brings. */
    bool (*may_hold)(vigil_loop *loop, uint64_t key);
    void (*after_callback)(vigil_loop *loop); /* output leaves */
    void (*tally)(vigil_loop *loop);          /* what was counted and not yet added is added */
    void (*work)(vigil_loop *loop);           /* what I/O left to do */
    void (*deadlines)(vigil_loop *loop);
    void (*closes)(vigil_loop *loop);
    vigil_ns (*due)(const vigil_loop *loop); /* VIGIL_NOWAIT: there is work */
    bool (*alive)(const vigil_loop *loop);
    void (*drain)(vigil_loop *loop);
    void (*abort_all)(vigil_loop *loop, int why);
    void (*dump)(vigil_loop *loop, vigil_text_fn *write, void *arg);
    void (*destroy)(vigil_loop *loop);
};

/* What a `data` is offered while all of it may be passed straight on: see conn/straight.c. */
struct vigil__offer {
    uint64_t conn; /* to whom, or one of these, which no connection has */
    const void *p;
    size_t n;
};

#define VIGIL__OFFER_NONE     UINT64_MAX       /* there is none, or more is done than this: */
#define VIGIL__OFFER_PASSED   (UINT64_MAX - 1) /* it was passed on, */
#define VIGIL__OFFER_ANSWERED (UINT64_MAX - 2) /* it was answered with other bytes */

/* What every turn and every message touch comes first, together: see VIGIL_HOT. */
struct vigil_loop {
    const vigil_host *host;
    const struct vigil__backend *backend;
    void *backend_self;
    const struct vigil__above *above;
    void *above_state;
    uint64_t process;            /* which one opened it: vigil__process_is */
    _Atomic(const void *) owner; /* the thread inside a turn, or NULL */
    struct vigil_remote *remote;

    vigil_ns now;
    vigil_ns clock_read;     /* the last look at the clock, */
    unsigned callbacks_look; /* behind how many callbacks it is looked at again, and */
    unsigned callbacks_left; /* how many of them are still to come */
    struct vigil__offer offer;
    unsigned turn_callbacks; /* until the last look */
    unsigned stall_turns;    /* turns still to be timed callback by callback */
    vigil_ns stall_after_ns;

    _Atomic bool stop;
    bool keep_running;
    bool plain;     /* vigil__host_is_plain() */
    bool closing;   /* vigil_loop_close() inside a callback */
    bool draining;  /* and until when: drain_due */
    uint32_t heard; /* records that the last wait brought */
    uint32_t watches;
    uint32_t ports_refused, ports_resting; /* how many are */
    struct vigil__ports ports[2];          /* the loop's own, and [true] the connections' */
    struct vigil__pool pool;
    struct vigil__loop_stats {
#define STATS_MEMBER(name, text) _Atomic uint64_t name;
        VIGIL_STATS_MAP(STATS_MEMBER)
#undef STATS_MEMBER
    } stats;
    struct vigil__tournament timers;
    struct vigil__signal_sink sink;
    struct vigil__backend_caps caps;

    vigil_allocator allocator;
    vigil_ns grace_ns;
    vigil_stall_fn *on_stall;
    void *user;
    struct vigil__slab own_ports, signal_slab;
    uint64_t signal_sequence;
    vigil_signal stop_signals[2];
    vigil_ns drain_due;
    int drain_result;
    struct vigil__gaps gaps; /* between looks at the clock with callbacks in between */
    struct vigil__record records[VIGIL__RECORDS_MAX];
};

/* Counters have one writer, the loop's thread; others read them whole. */
static inline void vigil__count(_Atomic uint64_t *counter, uint64_t by)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + by, memory_order_relaxed);
}

static inline void vigil__gauge(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* 0, or VIGIL_ETHREAD when another thread is inside a turn of this loop. */
static inline int vigil__loop_check(const vigil_loop *loop)
{
    const void *owner = atomic_load_explicit(&((vigil_loop *)(uintptr_t)loop)->owner,
                                             memory_order_relaxed);
    return VIGIL_LIKELY(owner == NULL || owner == vigil__thread_mark()) ? 0 : VIGIL_ETHREAD;
}

/* Whether this thread is the one inside a turn of the loop. */
static inline bool vigil__loop_here(const vigil_loop *loop)
{
    return atomic_load_explicit(&((vigil_loop *)(uintptr_t)loop)->owner, memory_order_relaxed) ==
           vigil__thread_mark();
}

/* Reads the clock between callbacks, and reports when they took too long since the last look. */
void vigil__clock_look(vigil_loop *loop, const char *callback);

/* After every callback: counts it, and looks at the clock now and then. */
static inline void vigil__callback_counted(vigil_loop *loop, const char *callback)
{
    if (VIGIL_UNLIKELY(--loop->callbacks_left == 0))
        vigil__clock_look(loop, loop->stall_turns > 0 ? callback : "several");
}

/* The same, and lets output leave. */
static inline void vigil__callback_ran(vigil_loop *loop, const char *callback)
{
    vigil__callback_counted(loop, callback);
    if (loop->above != NULL)
        loop->above->after_callback(loop);
}

/* What was put off until the next wait leaves now. */
void vigil__loop_hand_over(vigil_loop *loop);

/* The clock, read now. */
static inline vigil_ns vigil__loop_clock(const vigil_loop *loop)
{
    return loop->host->now(loop->host->self);
}

/* ---- ports (ports.c) ---- */

/* Room for one more port of either kind, in the slot that is next.  False: out of memory. */
bool vigil__ports_reserve(vigil_loop *loop, bool of_conn);
/* A port for `fd`; the backend hears of it when something is wanted. */
int vigil__port_open(vigil_loop *loop, vigil_fd fd, struct vigil__port **out);
/* It has left the kernel's set when this returns.  Nothing may be parked on it. */
void vigil__port_close(vigil_loop *loop, struct vigil__port *port);
/* Merged until the next wait; but a port is removed from the kernel at once by its close. */
void vigil__port_want(vigil_loop *loop, struct vigil__port *port, unsigned want);
/* Whether the backend tells of it once. */
bool vigil__port_is_once(const struct vigil__port *port);
/* What is parked there for input, or for output.  False: nothing is. */
bool vigil__port_parked(const vigil_loop *loop, const struct vigil__port *port, bool input,
                        struct vigil__op *op);
void vigil__ports_flush_some(vigil_loop *loop);
/* Tells the backend what changed.  Those it refuses are remembered, and told in the next turn. */
static inline void vigil__ports_flush(vigil_loop *loop)
{
    if (vigil__queue_waits(&loop->ports[false].lists, VIGIL__LIST_DIRTY) ||
        vigil__queue_waits(&loop->ports[true].lists, VIGIL__LIST_DIRTY))
        vigil__ports_flush_some(loop);
}
void vigil__ports_refused(vigil_loop *loop);
/* Tells it of this one, and answers what it says. */
int vigil__port_flush(vigil_loop *loop, struct vigil__port *port);

static inline uint64_t vigil__port_key(const struct vigil__port *port)
{
    return vigil__key(VIGIL__KEY_WATCH, port->of_conn, port->slot.generation, port->slot.index);
}

static inline struct vigil__port *vigil__port_at(const vigil_loop *loop, bool of_conn,
                                                 uint32_t slot)
{
    return vigil__slab_at(loop->ports[of_conn].slab, slot);
}

/* Of one that is the loop's own. */
static inline struct vigil__own_port *vigil__port_own(struct vigil__port *port)
{
    return VIGIL_OWNER(port, struct vigil__own_port, port);
}

/* Puts it into a list, unless it stands there already. */
static inline void vigil__port_listed(vigil_loop *loop, struct vigil__port *port,
                                      enum vigil__list list)
{
    if ((port->listed >> list & 1) != 0)
        return;
    port->listed |= (uint8_t)(1 << list);
    vigil__queue_push(&loop->ports[port->of_conn].lists, list, port->slot.index);
}

/* The next one of a list, no more in it; NULL: there is none before `end`, which is over then. */
static inline struct vigil__port *vigil__port_next(vigil_loop *loop, bool of_conn,
                                                   enum vigil__list list, uint32_t end)
{
    struct vigil__ports *ports = &loop->ports[of_conn];
    if (ports->lists.of[list].popped == end) {
        vigil__queue_rewind(&ports->lists, list);
        return NULL;
    }
    struct vigil__port *port = vigil__slab_at(ports->slab, vigil__queue_pop(&ports->lists, list));
    port->listed &= (uint8_t) ~(1 << list);
    return port;
}

/* The lists in which the slot that is next still stands for the one that had it before. */
static inline uint8_t vigil__ports_listed(const struct vigil__slab *slab)
{
    uint32_t slot = vigil__slab_next(slab);
    if (slot >= vigil__slab_slots(slab))
        return 0;
    const struct vigil__port *before = vigil__slab_at(slab, slot);
    return before->listed;
}

/* ---- operations (op_ready.c) ---- */

/* Starts an operation.  1: it has ended already, with *record; 0: its records will come;
 * VIGIL_EFULL, VIGIL_ENOMEM: not taken. */
int vigil__op_start(vigil_loop *loop, struct vigil__op *op, struct vigil__record *record);

/* True: it is over, no record follows.  False: its last record is still to come. */
bool vigil__op_cancel(vigil_loop *loop, struct vigil__op *op);

/* Whether the backend performs operations of that kind. */
static inline bool vigil__op_native(const vigil_loop *loop, enum vigil__op_kind kind)
{
    return (loop->caps.op_kinds >> kind & 1) != 0;
}

/* Whether an accept error is the newcomer's own, so that the next one may be taken (accept(2)). */
bool vigil__accept_goes_on(int status);

/* An operation that is parked has ended, with `res` and no buffer. */
void vigil__op_ended(vigil_loop *loop, struct vigil__op *op, int res);
/* Performs what is parked on a port that is ready, or tells the user's watch. */
void vigil__port_ready(vigil_loop *loop, uint64_t key, uint32_t events);
/* Ends what is parked on a port that cannot be watched, with `status`. */
void vigil__port_fail(vigil_loop *loop, struct vigil__port *port, int status);

/* ---- posts (remote.c) ---- */

/* Says which thread turns the loop; NULL: none. */
void vigil__posts_turner(vigil_loop *loop, const void *mark);
/* Says whether the loop will look at what others post before it sleeps: nobody wakes it then. */
void vigil__posts_seen(struct vigil_remote *remote, bool awake);
static inline void vigil__posts_awake(vigil_loop *loop, bool awake)
{
    if (loop->remote != NULL)
        vigil__posts_seen(loop->remote, awake);
}
/* Whether others have posted something that has not run. */
bool vigil__posts_pushed(const struct vigil_remote *remote);
/* Runs what was posted until now. */
void vigil__posts_run(vigil_loop *loop);
/* Whether some wait to be run. */
bool vigil__posts_wait(const struct vigil_remote *remote);
static inline bool vigil__posts_pending(const vigil_loop *loop)
{
    return loop->remote != NULL && vigil__posts_wait(loop->remote);
}
/* Runs the rest with VIGIL_ECANCELED, without a callback in a forked child; refuses later posts. */
void vigil__posts_close(vigil_loop *loop, bool forked);

/* ---- timers, signals, watches ---- */

void vigil__timers_run(vigil_loop *loop);
void vigil__signals_run(vigil_loop *loop);
void vigil__signals_close(vigil_loop *loop);
/* SIGINT and SIGTERM: the first drains, the second aborts. */
int vigil__stop_signals(vigil_loop *loop);

#endif
