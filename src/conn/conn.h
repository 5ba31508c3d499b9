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
    VIGIL__IOV_MAX = 64,      /* pieces given to the system at once */
};

/* The kind in the key of an operation: whose it is. */
enum vigil__owner {
    VIGIL__OWNER_CONN_IN = 1,
    VIGIL__OWNER_CONN_OUT = 2,
    VIGIL__OWNER_LISTENER = 8, /* and the index of the socket, up to VIGIL__ADDRESSES_MAX */
};

/* Limits, shared by the connections of one listener. */
struct vigil__limits {
    uint32_t refs;
    vigil_limits value;
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
};

struct vigil__connecting {
    vigil_addr addresses[VIGIL__ADDRESSES_MAX];
    int count, at;
    vigil_ns retry_due; /* a Unix backlog was full */
    int last_error;
};

struct vigil__conn {
    struct vigil__slot slot;
    const vigil_conn_ops *ops;
    void *ctx;
    struct vigil__limits *limits;
    struct vigil__connecting *connecting; /* NULL: connected */
    vigil_listener listener;
    struct vigil__port *port_in, *port_out; /* the same for a socket */
    vigil_fd fd_in, fd_out;

    /* What it is. */
    bool socket_in, socket_out;
    bool blocking_in, blocking_out;
    bool opened;        /* `open` has run, or there is none */
    bool wake_at_empty; /* who waits after a cut is told when the queue is empty, not at out_low */

    /* All that it is not while messages come and go, looked at as one number: see conn_steady() */
    union {
        uint32_t unsteady;
        struct {
            uint8_t todo;
            bool two_ways : 1; /* not one socket for input and output */
            bool deaf : 1;     /* there is no `data` */
            bool narrow : 1;   /* its mark may be below what one receive brings */

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
            bool finishing : 1;    /* input is thrown away */
            bool out_done : 1;     /* FIN is out */
            bool cut : 1;          /* a send was cut short: who waits is told at out_low */
            bool writable_due : 1; /* `writable` among them */

            /* The end. */
            bool closing : 1, reset : 1;
        };
    };
    int why; /* before it closes: why output failed */

    struct vigil__link all;     /* of the loop's connections */
    struct vigil__link work;    /* waits for its todo; when closing: for its close */
    struct vigil__link flush;   /* has output to bring away */
    struct vigil__link memory;  /* waits for memory, or for one of the kernel's buffers */
    struct vigil__link blocked; /* waits in `waiters` of another */
    struct vigil__link waiters; /* those whose input is blocked on our output */
    vigil_conn blocked_on;
    vigil_conn couple_to, couple_from;

    struct vigil__op op_in, op_out;
    vigil_iov iov_one;
    struct vigil__buf *iov_buf; /* room for more than one while a send is under way */

    struct vigil__buf *held;
    size_t held_at, held_len;

    struct vigil__piece *head, *tail;
    size_t queued;
    size_t asked; /* of the system, by the send under way */

    uint64_t bytes_in, bytes_out;
    vigil_ns opened_at;
    vigil_ns moved_at, sent_at;   /* the look at the clock before a byte moved; before output did */
    vigil_ns linger_due, own_due; /* VIGIL_FOREVER: none */
};

struct vigil__listening {
    vigil_fd fd;
    struct vigil__port *port;
    struct vigil__op op;
    bool drained; /* nobody waits here any more */
};

struct vigil__listener {
    struct vigil__slot slot;
    vigil_listen_options options;
    struct vigil__limits *limits;
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

/* What this floor keeps per loop. */
struct vigil__conns {
    vigil_loop *loop;
    struct vigil__slab conns, listeners;
    struct vigil__piece *free_pieces; /* kept for reuse */
    uint32_t free_count;
    struct vigil__piece *spare;   /* for what was passed on and did not go */
    struct vigil__buf *reading;   /* what messages are received into that go the straight way */
    struct vigil__heap deadlines; /* owner: connection slot * 2, or listener slot * 2 + 1 */
    struct vigil__link all, all_listeners;
    struct vigil__link work, flush, closes;
    struct vigil__link memory; /* who waits for memory, first come first served; likewise */
    vigil_ns memory_due;       /* when to look again */
    struct vigil__link dry;    /* who waits for one of the kernel's buffers, and */
    vigil_ns dry_due;          /* when those that are held are asked for again */
    bool some_starved;         /* since memory was last enough, some put their own output first */
    uint32_t holders;          /* connections with output */
    vigil_ns heard, hearing;   /* who spoke before `heard` was listened to; before `hearing` soon */
    uint32_t waits;            /* since `hearing` */
    bool flushing;
    bool fd_closed;      /* since listeners that rest were last told */
    bool listeners_work; /* some listener has to take the last who wait, or to ask again */

    struct vigil__conn *reader; /* whose `data` runs */
    vigil_conn straight;        /* the same, while what it is offered may be passed straight on */
    uint64_t cut_on;            /* in there: the connection that took less, or VIGIL__CUT_MEMORY */

    /* Of this turn, to be added to the loop's. */
    struct vigil__tally {
        uint64_t bytes_in, bytes_out, receives, sends;
    } tally;
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
    return (vigil_conn){ vigil__slot_handle(&c->slot) };
}

/* Sees to it that the next connection can be made.  False: out of memory. */
bool vigil__conn_reserve(vigil_loop *loop);
/* A connection without descriptors.  Takes a reference of `limits`. */
int vigil__conn_new(vigil_loop *loop, const vigil_conn_ops *ops, void *ctx,
                    struct vigil__limits *limits, struct vigil__conn **out);
/* Takes it back, before anybody was told of it. */
void vigil__conn_undo(vigil_loop *loop, struct vigil__conn *c);
void vigil__conn_set_ops(struct vigil__conn *c, const vigil_conn_ops *ops);
/* Gives it its socket. */
int vigil__conn_socket(vigil_loop *loop, struct vigil__conn *c, vigil_fd fd);
/* It is connected: `open` is called from the turn. */
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
/* Its input waits no more for another's output. */
void vigil__input_unblock(vigil_loop *loop, struct vigil__conn *c);

/* ---- output.c ---- */

void vigil__output_record(vigil_loop *loop, struct vigil__conn *c, struct vigil__record *record);
/* Sends what is queued, and FIN behind it. */
void vigil__output_flush(vigil_loop *loop, struct vigil__conn *c);
/* It has something to bring away when the callback that runs returns. */
void vigil__output_later(vigil_loop *loop, struct vigil__conn *c);
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
/* What was passed straight on, all that it holds, becomes the head of the queue. */
void vigil__output_passed(vigil_loop *loop, struct vigil__conn *c);
/* The system was asked to send the head of the queue, and answered `res`. */
void vigil__output_cut_short(vigil_loop *loop, struct vigil__conn *c, int res);

/* ---- straight.c ---- */

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
                          !vigil__list_empty(&vigil__conns(loop)->memory));
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

/* Checks them and fills in the defaults.  One reference, the caller's. */
int vigil__limits_new(vigil_loop *loop, const vigil_limits *limits, bool stream,
                      struct vigil__limits **out);
void vigil__limits_drop(vigil_loop *loop, struct vigil__limits *limits);
/* Sees to it that the connection's next deadline is looked at in time: a comparison, mostly. */
void vigil__deadline_arm(vigil_loop *loop, struct vigil__conn *c);
void vigil__deadlines_run(vigil_loop *loop);

/* ---- listener.c ---- */

struct vigil__listener *vigil__listener_find(vigil_loop *loop, vigil_listener listener);
void vigil__listener_record(vigil_loop *loop, struct vigil__record *record);
void vigil__listener_rested(vigil_loop *loop, struct vigil__listener *listener);
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
