/* SPDX-License-Identifier: MIT
 *
 * conn.h -- the inside of listeners and connections.  Floor: conn.
 *
 * Public calls change state and note work to do; they call nobody.  Work is done in the turn:
 * input comes as records, output leaves after each callback, the rest waits in lists.
 */
#ifndef VIGIL_CONN_INSIDE_H
#define VIGIL_CONN_INSIDE_H

#include "base/heap.h"
#include "loop/loop.h"

enum {
    VIGIL__ADDRESSES_MAX = 8, /* what one WHERE may stand for */
    VIGIL__IOV_MAX = 60,      /* pieces given to the system at once: with OP_ROOM, 1 KiB */
};

/* What connections have in common, mostly all of one listener. */
struct vigil__shared {
    struct vigil__slot slot;
    uint32_t refs;
    vigil_listener listener; /* that accepted them, or none */
    const vigil_conn_ops *ops;
    vigil_limits limits;
};

/* A piece of output. */
struct vigil__piece {
    struct vigil__piece *next;
    struct vigil__buf *buf; /* holds p: copied, or kept by reference; or NULL: the caller's own */
    const uint8_t *p;
    size_t n;
    vigil_done_fn *done;
    void *arg;
    bool shared;  /* buf came by reference: nothing may be appended to it */
    bool passing; /* by reference until the system was asked: what it leaves is copied */
    bool file;    /* p is a window of a file, of which file_left bytes are not loaded yet */
    vigil_fd file_fd;
    int64_t file_at, file_left;
};

/* What is to be done for a connection, in this order. */
enum vigil__todo {
    VIGIL__TODO_CONNECT = 1,
    VIGIL__TODO_OPEN = 2,
    VIGIL__TODO_OFFER = 4, /* held input, once more */
    VIGIL__TODO_READ = 8,  /* look whether to read, and start or stop */
    VIGIL__TODO_EOF = 16,
    VIGIL__TODO_WRITABLE = 32,
    VIGIL__TODO_ALL = 63,
};

struct vigil__connecting {
    vigil_addr addresses[VIGIL__ADDRESSES_MAX];
    int count, at;
    vigil_ns retry_due; /* a Unix backlog was full */
    int last_error;
};

/* What a connection has only while something of it is under way, waits, or was asked for.  All that
 * have nothing of the kind share one that is empty, and constant: it may be read like any other,
 * and whoever writes asks vigil__conn_busy() for one of its own before. */
struct vigil__busy {
    struct vigil__conn *conn; /* whose it is; NULL: it is the one that is shared */
    struct vigil__busy *next_free;
    struct vigil__connecting *connecting; /* NULL: connected */

    /* Of what goes two_ways. */
    struct vigil__port *port_in, *port_out; /* NULL: there is none */
    vigil_fd fd_out;
    bool socket_in, socket_out;
    bool blocking_in, blocking_out;

    struct vigil__link blocked; /* waits in `waiters` of another, while blocked_on */
    struct vigil__link waiters; /* those whose input is blocked on our output */
    vigil_conn blocked_on;
    vigil_conn couple_to, couple_from;

    struct vigil__op op_out;
    vigil_iov iov_one;
    struct vigil__buf *iov_buf; /* room for more than one while a send is under way */

    struct vigil__buf *held;
    size_t held_at, held_len;

    struct vigil__piece *head, *tail;
    size_t queued;
    size_t asked; /* of the system, by the send under way */

    vigil_ns sent_at;             /* the look at the clock before output progressed */
    vigil_ns linger_due, own_due; /* VIGIL_FOREVER: none */
};

extern const struct vigil__busy vigil__not_busy;

/* Nobody writes to it: whoever tried would be stopped by the system. */
static inline struct vigil__busy *vigil__conn_not_busy(void)
{
    return (struct vigil__busy *)(uintptr_t)&vigil__not_busy;
}

/* How a connection's input is asked for: as in vigil__op. */
union vigil__in_way {
    uint8_t all;
    struct {
        bool active : 1, native : 1, multi : 1, nowait : 1;
    };
};

/* There may be very many, most of them idle: each byte in here counts. */
struct vigil__conn {
    struct vigil__port
        port; /* of its socket; of one that goes two_ways only slot and fd are used */
    void *ctx;
    struct vigil__busy *busy;
    uint64_t bytes_in, bytes_out;
    vigil_ns opened_at;
    vigil_ns moved_at; /* the look at the clock before a byte moved */
    uint32_t shared;   /* slot: see vigil__conn_shared() */

    /* All that it is not while messages come and go, looked at as one number. */
    union {
        uint32_t unsteady;
        struct {
            uint8_t todo : 6;  /* of vigil__todo */
            bool two_ways : 1; /* not one socket for input and output */
            bool unopened : 1; /* `open` has not run yet */

            uint8_t waits : 5; /* bit per vigil__list from WORK on */
            bool closing : 1, reset : 1;
            bool lingers : 1; /* there was no memory to note how long: see vigil__conn_linger() */

            /* Input. */
            bool paused : 1;
            bool memory_wait : 1; /* in loop's memory list */
            bool modest : 1;      /* the kernel's buffers ran out: it asks for one at a time */
            bool offer_due : 1;   /* it waited when what is held was to be offered */
            bool starved : 1;     /* memory is short: its own output goes first */
            bool eof_seen : 1;    /* the system said so */
            bool eof_told : 1;    /* `eof` was called, or nobody is to be told */
            bool drain : 1;       /* read what is there, then finish */

            /* Output. */
            bool end_asked : 1;
            bool finishing : 1;     /* input is thrown away */
            bool out_done : 1;      /* FIN is out */
            bool cut : 1;           /* a send was cut short: who waits is told at out_low */
            bool wake_at_empty : 1; /* then only when the queue is empty */
            bool writable_due : 1;  /* `writable` among them */

            bool deaf : 1;   /* there is no `data` */
            bool narrow : 1; /* its mark may be below what one receive brings */
        };
    };

    /* Its input's operation, see vigil__input_op(). */
    uint32_t in_ticket;
    uint16_t in_len; /* and one: no more than VIGIL__BUF_READ */
    union vigil__in_way in;

    int8_t why; /* before it closes: why output failed */
};

_Static_assert(offsetof(struct vigil__conn, in_ticket) ==
                   offsetof(struct vigil__conn, unsteady) + sizeof(uint32_t),
               "what is not told by `unsteady` is not looked at on the straight way");
_Static_assert(
    sizeof(void *) != 8 || sizeof(vigil_fd) != 4 || sizeof(struct vigil__conn) == 80,
    "an idle connection, with its deadline and descriptor, is to have 128 bytes at most");

struct vigil__listening {
    vigil_fd fd;
    struct vigil__port *port;
    struct vigil__op op;
    bool drained; /* nobody waits here any more */
};

struct vigil__listener {
    struct vigil__slot slot;
    vigil_listen_options options;
    struct vigil__shared *shared; /* of its connections */
    vigil_ns rest_due;            /* when it has rested, at the latest; or VIGIL_FOREVER */
    struct vigil__listening sockets[VIGIL__ADDRESSES_MAX];
    int count;
    uint32_t conns;
    bool paused, resting, drain, closing;
    bool given;     /* the socket came from the caller: options cannot be set on it */
    vigil_fd spare; /* for shedding */
    struct vigil__link all;
    uint64_t identity[2]; /* of a Unix socket's file; path says where */
    char path[sizeof(((vigil_addr *)0)->path)];
};

/* What this floor keeps per loop; first what messages and turns touch. */
struct vigil__conns {
    struct vigil__slab conns;
    struct vigil__shared **shared_at; /* by slot: several are looked up for each message */
    struct vigil__buf *reading;       /* what messages are received into that go the straight way */
    struct vigil__buf *offered;       /* what holds the message that is offered, while it is */
    struct vigil__busy *part;         /* what its connection gets if it needs any */
    struct vigil__piece *spare;       /* for what goes back, where it must be queued */
    struct vigil__conn *reader;       /* whose `data` runs */
    const vigil_conn_ops *reader_ops; /* what it had when it was lent: see vigil__straight_lend() */
    struct vigil__buf *answer;        /* what it answers, */
    size_t answered;                  /* so many bytes */

    /* Of this turn, to be added to the loop's. */
    struct vigil__tally {
        uint64_t bytes_in, bytes_out, receives, sends;
    } tally;

    uint64_t reading_since;       /* how many receives there were when `reading` was taken */
    struct vigil__heap deadlines; /* owner: the slot of a connection */
    vigil_ns rest_due;            /* the first of its listeners' */
    vigil_ns heard, hearing; /* who spoke before `heard` was listened to; before `hearing` soon */
    uint32_t waits;          /* since `hearing` */
    uint32_t waiting[VIGIL__LISTS]; /* how many wait in each, those aside that do no more */
    bool some_starved; /* since memory was last enough, some put their own output first */
    bool flushing;
    bool fd_closed;      /* since listeners that rest were last told */
    bool listeners_work; /* some listener has to take the last who wait, or to ask again */

    vigil_loop *loop;
    struct vigil__slab listeners, shared;
    uint32_t shared_room;
    uint32_t free_count;
    struct vigil__piece *free_pieces; /* kept for reuse */
    struct vigil__busy *free_busy;    /* kept for reuse */
    uint32_t busy_count;              /* of them, those in use among them */
    uint32_t holders;                 /* connections with output */
    struct vigil__link all_listeners;
    vigil_ns memory_due; /* when to look again */
    vigil_ns dry_due;    /* when the kernel's buffers that are held are asked for again */
    uint64_t cut_on;     /* in `data`: the connection that took less, or VIGIL__CUT_MEMORY */
};

#define VIGIL__CUT_MEMORY ((uint64_t)1) /* no handle: no generation is 0 */

static inline struct vigil__conns *vigil__conns(const vigil_loop *loop)
{
    return loop->above_state;
}

/* Whether `data` of the connection is running. */
static inline bool vigil__conn_in_data(const vigil_loop *loop, const struct vigil__conn *c)
{
    return vigil__conns(loop)->reader == c;
}

/* ---- who waits for what ---- */

static inline unsigned vigil__wait_bit(enum vigil__list list)
{
    return 1u << (list - VIGIL__LIST_WORK);
}

static inline bool vigil__waits(const struct vigil__conn *c, enum vigil__list list)
{
    return (c->waits & vigil__wait_bit(list)) != 0;
}

static inline bool vigil__somebody_waits(const vigil_loop *loop, enum vigil__list list)
{
    return vigil__conns(loop)->waiting[list] > 0;
}

/* It waits in the list, or goes on to: it keeps its place. */
void vigil__wait(vigil_loop *loop, struct vigil__conn *c, enum vigil__list list);

/* It waits there no more; its slot is passed over when its turn comes. */
static inline void vigil__wait_not(vigil_loop *loop, struct vigil__conn *c, enum vigil__list list)
{
    vigil__conns(loop)->waiting[list] -= vigil__waits(c, list);
    c->waits = c->waits & ~vigil__wait_bit(list) & 31;
}

/* It waits for nothing. */
void vigil__wait_nowhere(vigil_loop *loop, struct vigil__conn *c);

/* Up to where a list goes now, for vigil__wait_next(). */
static inline uint32_t vigil__wait_end(vigil_loop *loop, enum vigil__list list)
{
    return vigil__queue_end(&loop->ports[true].lists, list);
}

/* Takes the next one out of the list; NULL: nobody waits before `end`. */
struct vigil__conn *vigil__wait_next(vigil_loop *loop, enum vigil__list list, uint32_t end);

/* ---- conn.c ---- */

/* Plugs this floor into the loop, once. */
int vigil__conns_need(vigil_loop *loop);

/* The connection, or NULL when it is gone or closing, or this is not its thread. */
struct vigil__conn *vigil__conn_find(vigil_loop *loop, vigil_conn conn);
/* The same, with the reason: 0, VIGIL_ETHREAD, VIGIL_ESTALE. */
int vigil__conn_get(vigil_loop *loop, vigil_conn conn, struct vigil__conn **out);

/* The same, but also one whose `close` runs now may be looked at. */
int vigil__conn_seen(vigil_loop *loop, vigil_conn conn, struct vigil__conn **out);

static inline vigil_conn vigil__conn_handle(const struct vigil__conn *c)
{
    return (vigil_conn){ vigil__slot_handle(&c->port.slot) };
}

/* The part of it that may be written to.  NULL: out of memory. */
struct vigil__busy *vigil__busy_take(vigil_loop *loop, struct vigil__conn *c);
static inline struct vigil__busy *vigil__conn_busy(vigil_loop *loop, struct vigil__conn *c)
{
    return c->busy->conn != NULL ? c->busy : vigil__busy_take(loop, c);
}

/* One that nobody has, and back; NULL: out of memory. */
struct vigil__busy *vigil__busy_get(vigil_loop *loop);
void vigil__busy_put(vigil_loop *loop, struct vigil__busy *busy);
/* It is the connection's now. */
void vigil__busy_own(struct vigil__conn *c, struct vigil__busy *busy);
/* Gives that back when there is nothing in it.  Only for who is done with the connection. */
void vigil__busy_rest(vigil_loop *loop, struct vigil__conn *c);
static inline void vigil__conn_rest(vigil_loop *loop, struct vigil__conn *c)
{
    if (VIGIL_UNLIKELY(c->busy->conn != NULL))
        vigil__busy_rest(loop, c);
}
/* The connections there are, to walk them all: the first from slot `*at` on; NULL: no more. */
struct vigil__conn *vigil__conn_from(const vigil_loop *loop, uint32_t *at);

static inline vigil_fd vigil__conn_fd_out(const struct vigil__conn *c)
{
    return VIGIL_UNLIKELY(c->two_ways) ? c->busy->fd_out : c->port.fd;
}

static inline bool vigil__conn_socket_in(const struct vigil__conn *c)
{
    return !c->two_ways || c->busy->socket_in;
}

static inline bool vigil__conn_socket_out(const struct vigil__conn *c)
{
    return !c->two_ways || c->busy->socket_out;
}

/* Where its operations wait for readiness; NULL: there is no such side. */
static inline struct vigil__port *vigil__conn_port(const struct vigil__conn *c, bool input)
{
    if (VIGIL_UNLIKELY(c->two_ways))
        return input ? c->busy->port_in : c->busy->port_out;
    struct vigil__conn *own = (struct vigil__conn *)(uintptr_t)c;
    return c->port.fd != VIGIL_FD_NONE ? &own->port : NULL;
}

static inline struct vigil__shared *vigil__conn_shared(const vigil_loop *loop,
                                                       const struct vigil__conn *c)
{
    return vigil__conns(loop)->shared_at[c->shared];
}

static inline const vigil_conn_ops *vigil__conn_ops(const vigil_loop *loop,
                                                    const struct vigil__conn *c)
{
    return vigil__conn_shared(loop, c)->ops;
}

static inline const vigil_limits *vigil__conn_limits(const vigil_loop *loop,
                                                     const struct vigil__conn *c)
{
    return &vigil__conn_shared(loop, c)->limits;
}

/* Sees to it that the next connection can be made.  False: out of memory. */
bool vigil__conn_reserve(vigil_loop *loop);
/* A connection without descriptors.  Takes a reference of `shared`. */
int vigil__conn_new(vigil_loop *loop, void *ctx, struct vigil__shared *shared,
                    struct vigil__conn **out);
/* Takes it back, before anybody was told of it. */
void vigil__conn_undo(vigil_loop *loop, struct vigil__conn *c);
/* Gives it its socket. */
void vigil__conn_socket(struct vigil__conn *c, vigil_fd fd);
/* There is this to do for it, in the turn: bits of vigil__todo. */
void vigil__conn_todo(vigil_loop *loop, struct vigil__conn *c, unsigned todo);
/* Begins its end; `close` follows in this turn.  Twice is once. */
void vigil__conn_close(vigil_loop *loop, struct vigil__conn *c, int why);
/* The same, with a reset to the peer. */
void vigil__conn_reset(vigil_loop *loop, struct vigil__conn *c, int why);
/* For its peer's end it waits only so long from now, once both our side and our interest ended. */
void vigil__conn_linger(vigil_loop *loop, struct vigil__conn *c);
/* Closes it when both sides have ended. */
void vigil__conn_settle(vigil_loop *loop, struct vigil__conn *c);
/* Brings away what callbacks queued. */
void vigil__conns_flush(vigil_loop *loop);
/* Closes a descriptor, and tells listeners that rest. */
void vigil__fd_close(vigil_loop *loop, vigil_fd fd);

/* ---- input.c ---- */

/* What its input's operation is, from what the connection keeps of it; and to keep that. */
void vigil__input_op(const vigil_loop *loop, const struct vigil__conn *c, struct vigil__op *op);
/* True: it is over, no record follows. */
bool vigil__input_cancel(vigil_loop *loop, struct vigil__conn *c);

void vigil__input_record(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record);
/* Output has failed; what is there is still read, if anybody wants it. */
static inline bool vigil__conn_failed(const struct vigil__conn *c)
{
    return VIGIL_UNLIKELY(c->why != VIGIL_OK);
}
/* Starts or stops reading, as the state says. */
void vigil__input_update(vigil_loop *loop, struct vigil__conn *c);
void vigil__input_offer(vigil_loop *loop, struct vigil__conn *c);
/* Goes on where `data` of `ops` was offered all that is held, and answered `used`. */
void vigil__input_offered(vigil_loop *loop, struct vigil__conn *c, const vigil_conn_ops *ops,
                          size_t used);
void vigil__input_eof(vigil_loop *loop, struct vigil__conn *c);
/* Throws input away from now on: that is the end of it for who is coupled. */
void vigil__input_finish(vigil_loop *loop, struct vigil__conn *c);
/* Drops what is held, and counts it. */
void vigil__input_drop(vigil_loop *loop, struct vigil__conn *c);
/* Uses up the first `n` bytes of what is held. */
void vigil__input_consume(vigil_loop *loop, struct vigil__conn *c, size_t n);
/* Whether its input is to wait: for a resume, for memory, or for another's output. */
static inline bool vigil__input_waits(const struct vigil__conn *c)
{
    return c->paused || c->memory_wait || c->busy->blocked_on.v != 0;
}
/* Its input waits for the output of `target`; or no more. */
void vigil__input_block_on(struct vigil__conn *c, struct vigil__conn *target);
void vigil__input_unblock(struct vigil__conn *c);

/* ---- output.c ---- */

void vigil__output_record(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record);
/* Sends what is queued, and FIN behind it. */
void vigil__output_flush(vigil_loop *loop, struct vigil__conn *c);
/* It has something to bring away when the callback that runs returns. */
void vigil__output_later(vigil_loop *loop, struct vigil__conn *c);
/* Wakes those whose input waits for room in its output. */
void vigil__waiters_wake(vigil_loop *loop, struct vigil__conn *c);
/* Tells those who wait for room, if there is. */
void vigil__output_lowered(vigil_loop *loop, struct vigil__conn *c);
void vigil__output_drop(vigil_loop *loop, struct vigil__conn *c);
/* Frees what is kept for reuse. */
void vigil__pieces_clear(vigil_loop *loop);
/* Queues `n` bytes: by reference when they are most of the buffer `lent`, else copied.  Answers how
 * many, less when memory is short. */
size_t vigil__output_take(vigil_loop *loop, struct vigil__conn *c, struct vigil__buf *lent,
                          const void *p, size_t n);

/* Sees to it that there is a piece for what is passed.  False: no memory. */
bool vigil__piece_spare(vigil_loop *loop);
/* Sends back what was offered from where it lies: nothing else is queued.  Takes over the reference
 * of the buffer. */
void vigil__output_straight(vigil_loop *loop, struct vigil__conn *c);
/* Its send has brought `res`.  True: that was all that is queued, in one piece by reference, which
 * is done with.  Else nothing is changed. */
bool vigil__output_was_straight(vigil_loop *loop, struct vigil__conn *c, int res);
/* What was passed straight on, all that it holds, becomes the head of the queue. */
void vigil__output_passed(vigil_loop *loop, struct vigil__conn *c);
/* What was answered becomes the head of the queue. */
void vigil__output_answered(vigil_loop *loop, struct vigil__conn *c);
/* The system was asked to send the head of the queue, and answered `res`. */
void vigil__output_cut_short(vigil_loop *loop, struct vigil__conn *c, int res);

/* ---- straight.c ---- */

/* A callback has looked at some connection, or a send was cut: what is offered is held by its
 * connection from now on, and queued if it was passed on, as all others know it. */
void vigil__straight_lend(vigil_loop *loop);
static inline void vigil__straight_look(vigil_loop *loop)
{
    if (VIGIL_UNLIKELY(loop->offer.conn != VIGIL__OFFER_NONE))
        vigil__straight_lend(loop);
}
/* Whether `data`, to which its input came straight, has passed that on: it counts as queued, and is
 * no piece. */
static inline bool vigil__straight_passed(const struct vigil__conn *c)
{
    return c->busy->queued > 0 && c->busy->head == NULL;
}

/* Whether a message came straight, and was not passed on: then what is sent may be the answer. */
static inline bool vigil__straight_asked(const vigil_loop *loop)
{
    return vigil__loop_here(loop) && loop->offer.conn < VIGIL__OFFER_PASSED;
}
/* Then: where `n` bytes are to be copied that a `data` answers to who brought the message, all of
 * them behind what it answered before, while it does nothing else; or NULL. */
void *vigil__straight_answer(vigil_loop *loop, vigil_conn conn, size_t n);

/* Serves connections that can go the straight way, up to the first record of something else.
 * Answers how many records that were. */
int vigil__straight(vigil_loop *loop, const struct vigil__record *records, int count);
/* Gives back what was kept for the messages of a turn. */
void vigil__straight_rest(vigil_loop *loop);

/* ---- memory.c ---- */

/* More than half is in use, or somebody waits: what comes back is for many, not for the first. */
static inline bool vigil__memory_short(const vigil_loop *loop)
{
    return VIGIL_UNLIKELY(loop->pool.used > loop->pool.limit / 2 ||
                          vigil__somebody_waits(loop, VIGIL__LIST_MEMORY));
}

/* Waits for memory: for its input to go on, or to tell who wants to write. */
void vigil__memory_wait(vigil_loop *loop, struct vigil__conn *c);
/* Resets one for want of memory, and counts it. */
void vigil__memory_shed(vigil_loop *loop, struct vigil__conn *c);
/* Waits for a buffer of the kernel's, which others have just now. */
void vigil__memory_dry(vigil_loop *loop, struct vigil__conn *c);
/* Gives a buffer of the kernel's back, in which input is held, by copying that (input.c). */
void vigil__input_unpin(vigil_loop *loop, struct vigil__conn *c);
/* Wakes those for whom there is memory again; sheds when nothing comes back. */
void vigil__memory_work(vigil_loop *loop);
/* How much to read at once: less while memory is short; 0 for one whose own output waits then. */
size_t vigil__memory_read(const vigil_loop *loop, const struct vigil__conn *c);
/* The output mark that holds now: lower while memory is short. */
size_t vigil__memory_high(const vigil_loop *loop, const struct vigil__conn *c);

/* ---- limits.c ---- */

/* Checks the limits, fills in their defaults, and answers what has all that in common, with one
 * reference, the caller's.  `listener` or none: whose connections they are. */
int vigil__shared_new(vigil_loop *loop, const vigil_conn_ops *ops, const vigil_limits *limits,
                      bool stream, vigil_listener listener, struct vigil__shared **out);
/* The same as `like` but for the callbacks; NULL: out of memory. */
struct vigil__shared *vigil__shared_with(vigil_loop *loop, const struct vigil__shared *like,
                                         const vigil_conn_ops *ops);
void vigil__shared_drop(vigil_loop *loop, struct vigil__shared *shared);
static inline void vigil__conn_shared_changed(struct vigil__conn *c,
                                              const struct vigil__shared *shared)
{
    c->deaf = shared->ops->data == NULL;
    c->narrow = shared->limits.out_high < VIGIL__BUF_READ;
}
/* It has that from now on; takes the caller's reference. */
void vigil__conn_share(vigil_loop *loop, struct vigil__conn *c, struct vigil__shared *shared);
/* Sees to it that the connection's next deadline is looked at in time: a comparison, mostly. */
void vigil__deadline_arm(vigil_loop *loop, struct vigil__conn *c);
void vigil__deadlines_run(vigil_loop *loop);

/* ---- listener.c ---- */

struct vigil__listener *vigil__listener_find(vigil_loop *loop, vigil_listener listener);
/* How the operation of that key was started. */
void vigil__listener_op(const vigil_loop *loop, uint64_t key, struct vigil__op *op);
void vigil__listener_record(vigil_loop *loop, struct vigil__record *record);
/* Those who have rested until now accept again; conns->rest_due says when some have. */
void vigil__listeners_rested(vigil_loop *loop, vigil_ns now);
void vigil__listeners_fd_closed(vigil_loop *loop);
/* A connection of it has gone. */
void vigil__listener_left(vigil_loop *loop, vigil_listener listener);
void vigil__listener_drain(vigil_loop *loop, struct vigil__listener *listener);
/* The work that this brings, in the turn. */
void vigil__listeners_work(vigil_loop *loop);
/* Ends it; it is freed when the kernel has given back its operations. */
void vigil__listener_end(vigil_loop *loop, struct vigil__listener *listener);
void vigil__listener_free(vigil_loop *loop, struct vigil__listener *listener);

/* ---- connect.c, couple.c, info.c ---- */

void vigil__connect_work(vigil_loop *loop, struct vigil__conn *c);
void vigil__connect_record(vigil_loop *loop, struct vigil__conn *c, int res);
void vigil__couple_offer(vigil_loop *loop, struct vigil__conn *from);
void vigil__couple_closed(vigil_loop *loop, struct vigil__conn *c);
void vigil__conns_dump(vigil_loop *loop, vigil_text_fn *write, void *arg);

#endif
