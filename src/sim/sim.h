/* SPDX-License-Identifier: MIT
 *
 * sim.h -- the inside of a simulated world.  Floor: sim, which stands beside the others: it plugs
 * in at the two seams, the host table and the backend table, and turns the loops opened on it.
 *
 * A file is an open description: a socket, a pipe's end, a listener, a regular file.  Two streams
 * of bytes connect two files; what is written travels as segments, which arrive at a time.
 * Whatever happens at a time is an event of the world's one heap.
 */
#ifndef VIGIL_SIM_INSIDE_H
#define VIGIL_SIM_INSIDE_H

#include "base/heap.h"
#include "base/list.h"
#include "loop/loop.h"
#include "vigil_sim.h"

enum {
    SIM_FD_LIMIT = 1024,
    SIM_BUFFER = 64 * 1024,
    SIM_FIRST_PORT = 40000, /* of those that the system gives */
    SIM_FAILURE_MAX = 512,
    SIM_SPIN_MAX = 200,         /* turns without a callback, and */
    SIM_SPIN_CALLS_MAX = 64000, /* with one, while nothing moves and no time passes */
};

/* ---- events ---- */

struct sim_event {
    void (*fn)(struct sim_event *event);
    uint32_t id; /* in the heap; 0: has none yet */
};

/* ---- files ---- */

struct sim_segment {
    vigil_ns at;
    uint64_t upto; /* bytes of the stream that have arrived with it */
    bool fin, reset;
};

/* One direction, kept by the file that reads it. */
struct sim_stream {
    uint8_t *bytes; /* a ring of `room` bytes, a power of 2 */
    size_t room, cap;
    uint64_t written, arrived, read; /* since the start */
    struct sim_segment *segments;    /* under way, oldest first: a ring as well */
    uint32_t first, count, segment_room;
    vigil_ns link_free, last_at;
    bool fin_sent, fin_arrived;
    struct sim_event event; /* the oldest segment arrives */
};

enum sim_kind { SIM_SOCKET, SIM_LISTENER, SIM_PIPE, SIM_REGULAR, SIM_SPECIAL };

struct sim_file;

/* A file that somebody else makes, as the model of a kernel does: what is true of it, and its
 * end. */
struct sim_special {
    unsigned (*ready)(const struct sim_file *file);
    void (*close)(struct sim_file *file);
};

enum sim_state {
    SIM_NEW,
    SIM_CONNECTING,
    SIM_CONNECTED,
    SIM_BROKEN, /* refused, timed out or reset: `error` says it once */
};

/* What befell a file: whoever judges the end of a connection asks for the reason here. */
struct sim_fate {
    uint32_t faults;      /* 1 << fault: those that were injected into it */
    int shortage;         /* what the machine was last short of, in a call on it: a status */
    int broken_by;        /* why it is broken */
    bool told_end;        /* its reader has been told of the peer's end */
    bool lost_syn;        /* a connect was not answered, and tried again */
    bool short_reset;     /* it was reset by a host that was short of something just then */
    bool peer_excused;    /* the other end may end badly, says who judges that */
    vigil_ns accepted_at; /* when the other end was, by its host; 0: never, as the others here */
    vigil_ns read_at, wrote_at, shut_at;
    uint64_t receives;
};

struct sim_file {
    struct vigil__link link; /* in the world's list of all */
    vigil_sim *sim;
    struct sim_host *host;
    enum sim_kind kind;
    enum sim_state state;
    bool open;               /* some descriptor stands for it, or it waits to be accepted */
    uint32_t refs;           /* descriptors, and who else holds it: the last one closes it */
    bool readable, writable; /* which ends a pipe is */
    bool blocking;           /* as its user made it; who does not ask must not wait */
    bool vanished;           /* nothing passes any more */
    bool hurt;               /* a fault was injected into it */
    bool shut;               /* no more writing */
    bool reset_on_close, reuse_port, v6_only;
    int error;                   /* pending, as SO_ERROR */
    uint64_t activity;           /* counts what may have made it ready: for edges */
    uint64_t inputs, outputs;    /* how much of that concerned input alone, or output alone */
    struct vigil__link watchers; /* links of those who wait for it: taken out when it closes */
    const struct sim_special *special;
    void *special_self;
    uint64_t seen_served; /* how much was read or accepted when it was last looked at, and */
    uint32_t passed_over; /* turns since in which it was ready and nobody read */
    struct sim_file *peer;
    struct sim_stream in;
    vigil_addr local, remote;
    uint64_t name;                            /* the identity of that of a Unix socket */
    struct sim_event event;                   /* of connecting */
    struct vigil__link waiting, waiting_link; /* a listener's newcomers; and a place among them */
    uint32_t backlog, waiting_count;
    uint64_t accepted; /* and how many it has let in */
    uint32_t syn_tries;
    int64_t at;    /* of a regular file */
    void *watched; /* the tap's */
    struct sim_fate fate;
    struct sim_fate *fate_out; /* gets a copy when it closes; NULL: nobody asks */
};

/* ---- hosts ---- */

struct sim_planned {
    uint64_t n; /* 0: none */
    int status;
    bool sticky;
};

/* Of one kind of fault, on a host or in the network. */
struct sim_occasions {
    uint64_t count;        /* when it could have come up */
    vigil_ns sticky_until; /* it goes on till then, or */
    uint32_t sticky_times; /* so often */
    struct sim_planned planned;
};

/* What is taken away for a while by choice: a link, or a host's power. */
struct sim_outage {
    struct sim_event event; /* it begins, or ends */
    bool to_come, on;
    vigil_ns lasts;
};

struct sim_name { /* of a Unix socket */
    struct vigil__link link;
    uint64_t identity;
    unsigned mode; /* permissions */
    uint8_t len;
    char path[108];
};

struct sim_fd {
    struct sim_file *file;
    bool reopened; /* it does not block, whatever the others of the file do */
};

struct sim_host {
    vigil_host table;
    struct vigil__link link;
    vigil_sim *sim;
    vigil_addr address;
    bool dead, calm;
    int why_dead;   /* not 0: it is none at all, vigil_sim_host() could not make it */
    uint32_t epoch; /* counts its deaths: loops of an earlier one are dead */
    uint32_t fd_limit, fd_room, fd_count;
    struct sim_fd *fds;
    struct vigil__link names;
    uint16_t next_port;
    size_t memory, memory_limit;
    struct vigil__link blocks; /* in use */
    struct sim_occasions faults[VIGIL_SIM_FAULT_COUNT];
    uint64_t kept_at; /* the last turn in which a fault kept something from its loops */
    struct sim_outage outage;
    void (*started)(void *arg); /* behind an outage; NULL: there is none to be */
    void *started_arg;
    uint64_t bytes_in, bytes_out; /* of all its sockets, */
    uint64_t receives, sends;     /* and the calls that moved them */
    uint64_t accepts, accept_errors, accept_shortages;
    uint64_t shortages; /* of descriptors, buffers or memory: how often, and */
    vigil_ns short_at;  /* when last */
    uint64_t calls[VIGIL_SIM_CALL_COUNT];
    struct sim_planned planned[VIGIL_SIM_CALL_COUNT];
    bool hurt; /* out of memory or descriptors once */
    struct {
        struct vigil__signal_sink *sink;
        int signo;
    } sinks[16];
};

/* ---- loops ---- */

/* A loop that the world turns. */
struct sim_turner {
    struct vigil__link link; /* in the world's list, the one that waited longest first */
    struct sim_host *host;
    uint32_t epoch;
    vigil_loop *loop;                                 /* NULL: a poller's, which nobody turns */
    bool (*answers)(const struct sim_turner *turner); /* whether its wait would answer now */
    bool late_asked;           /* whether its timer is late has been decided, */
    vigil_ns late_until;       /* and how late it is */
    bool rests;                /* its wait failed, and it tries again a little later */
    uint64_t turns, callbacks; /* that it was given, and that it says it ran */
};

/* ---- the world ---- */

struct sim_link {
    struct vigil__link link;
    struct sim_host *a, *b;
    vigil_sim_link is;
    bool cut; /* by its user */
    struct sim_outage outage;
};

struct sim_choice {
    uint32_t value;
    const char *label;
};

struct sim_later {
    struct sim_event event;
    struct vigil__link link;
    vigil_sim *sim;
    void (*fn)(void *arg);
    void *arg;
};

struct sim_invariant {
    struct vigil__link link;
    const char *name;
    bool (*holds)(void *arg);
    void *arg;
};

struct sim_oracle { /* how often each was looked at */
    struct vigil__link link;
    const char *name;
    uint64_t count;
    bool declared; /* by vigil__sim_oracle_declare() */
};

enum { SIM_NAMES = 256, SIM_NAMES_MAX = SIM_NAMES / 2 }; /* of oracles, found by their address */

struct sim_oracle_name {
    const char *name; /* NULL: none */
    struct sim_oracle *oracle;
};

/* Who watches what passes between files; NULL members: nobody. */
struct sim_tap {
    void (*wrote)(const struct sim_file *file, const vigil_iov *iov, size_t count, size_t n);
    void (*read)(const struct sim_file *file, const void *p, size_t n);
    void (*ended)(const struct sim_file *file, bool reset); /* its output */
};

struct vigil_sim {
    vigil_sim_options options;
    struct sim_tap tap;
    vigil_allocator memory; /* of the world itself */
    uint64_t random;
    uint64_t hash;
    uint32_t *given; /* of the options' bytes */
    struct sim_choice *choices;
    uint32_t *values; /* as vigil_sim_choices() gives them out */
    size_t choice_count, choice_room;

    vigil_ns now;
    bool by_hand; /* loops turn only when their users say so, not while the world goes on */
    struct vigil__heap heap;
    struct sim_event **events; /* by id */
    uint32_t event_room;
    uint32_t event_free; /* no number below it is free */
    struct vigil__link laters;

    struct vigil__link hosts, links, turners;
    struct sim_host nowhere[2]; /* what stands for a host that cannot be made; with no memory */
    struct vigil__link files, listeners; /* all of them are in one of the two */
    uint64_t next_identity;

    bool faults;
    uint16_t rate[VIGIL_SIM_FAULT_COUNT]; /* in a thousand; 0: off */
    uint64_t hits[VIGIL_SIM_FAULT_COUNT];
    struct sim_occasions network[VIGIL_SIM_FAULT_COUNT];
    uint64_t planned_hits;
    uint32_t credits; /* injected failures that may have cost a connection, not yet claimed */

    uint64_t progress; /* counts what moved: bytes, connections, time */
    uint64_t connections, turns;
    uint64_t spun_at;    /* progress when turns began to be counted: */
    uint32_t idle_turns; /* since then */
    uint32_t idle_calls; /* and of these, with callbacks */

    struct vigil__link invariants, oracles;
    struct sim_oracle_name names[SIM_NAMES];
    uint32_t name_count;
    bool oracles_lost;        /* there was no memory to count one */
    struct vigil__link freed; /* poisoned blocks, oldest first */
    size_t freed_bytes;
    char failure[SIM_FAILURE_MAX];
    const char *failed_oracle;
};

/* The file behind a descriptor of the host; NULL: there is none. */
static inline struct sim_file *vigil__sim_fd_file(const struct sim_host *host, vigil_fd fd)
{
    return vigil__fd_valid(fd) && (uint32_t)fd < host->fd_room ? host->fds[fd].file : NULL;
}

/* How much may be written to it now. */
static inline size_t vigil__sim_stream_room(const struct sim_stream *in)
{
    uint64_t held = in->written - in->read;
    return held < in->cap ? in->cap - (size_t)held : 0;
}

/* A copy of the table, with calls of its user's own in it, is that host, too. */
static inline struct sim_host *vigil__sim_host_of(const vigil_host *table)
{
    return table->self;
}

/* ---- choice.c ---- */

int vigil__sim_choices_init(vigil_sim *sim);
void vigil__sim_choices_clear(vigil_sim *sim);
void vigil__sim_note(vigil_sim *sim, uint64_t what); /* into the hash */

/* ---- fault.c ---- */

void vigil__sim_faults_init(vigil_sim *sim);
/* Whether that fault is to happen here and now.  `host` NULL: in the network. */
bool vigil__sim_fault(vigil_sim *sim, struct sim_host *host, vigil_sim_fault fault);
/* The same, but never sticky: for who would ask for ever. */
bool vigil__sim_fault_once(vigil_sim *sim, struct sim_host *host, vigil_sim_fault fault);
/* Whether what was planned comes now. */
bool vigil__sim_planned_now(struct sim_planned *planned);
/* How much too late a sleep on that host ends: mostly not at all. */
vigil_ns vigil__sim_oversleep(struct sim_host *host);
/* When a wait with that timeout ends there, if nothing comes. */
vigil_ns vigil__sim_deadline(struct sim_host *host, vigil_ns timeout_ns);
/* Counts a call.  0, or the status with which it was planned to fail. */
int vigil__sim_call(struct sim_host *host, vigil_sim_call call);
/* 0, or a status of the machine's shortage: of descriptors, buffers, memory. */
int vigil__sim_short_of_fds(struct sim_host *host);
int vigil__sim_short_of_buffers(struct sim_host *host);
bool vigil__sim_short_of_memory(struct sim_host *host);
/* A failure was injected: some connection of the host may suffer from it. */
void vigil__sim_hurt(struct sim_host *host);
/* The same of a connection that is being made. */
void vigil__sim_hurt_file(struct sim_file *file, vigil_sim_fault fault);

/* ---- world.c ---- */

/* Sets (or moves) when the event happens.  False: no memory. */
bool vigil__sim_event_at(vigil_sim *sim, struct sim_event *event, vigil_ns at);
void vigil__sim_event_cancel(vigil_sim *sim, struct sim_event *event);
void vigil__sim_story(vigil_sim *sim, const struct sim_host *host, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void vigil__sim_story_file(const struct sim_file *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A time as stories tell it. */
double vigil__sim_story_ms(vigil_ns at);
/* Something moved: whoever waits looks again. */
static inline void vigil__sim_moved(vigil_sim *sim)
{
    sim->progress++;
}
/* One step of the world: some loop but `self` turns, or time passes to what comes next, at most to
 * `deadline`.  False: nothing is left that could happen. */
bool vigil__sim_step(vigil_sim *sim, const struct sim_turner *self, vigil_ns deadline);
/* Takes a loop in: `turner` is filled but for its link. */
void vigil__sim_turner_add(struct sim_turner *turner);
void vigil__sim_turner_remove(struct sim_turner *turner);
bool vigil__sim_turner_dead(const struct sim_turner *turner);

/* ---- outage.c ---- */

/* Somebody connects from one host to another: it may be the occasion to cut or kill. */
void vigil__sim_outage_occasion(struct sim_host *from, struct sim_host *to);
/* The user takes the matter in hand. */
void vigil__sim_outage_end(vigil_sim *sim, struct sim_outage *outage);

/* ---- hosts.c ---- */

/* The host behind a table; NULL: it is none of this world. */
struct sim_host *vigil__sim_host_in(const vigil_sim *sim, const vigil_host *table);
struct sim_host *vigil__sim_host_find(vigil_sim *sim, const vigil_addr *addr);
void vigil__sim_hosts_clear(vigil_sim *sim);
/* What lies between two; never NULL. */
const struct sim_link *vigil__sim_link_find(vigil_sim *sim, const struct sim_host *a,
                                            const struct sim_host *b);
/* The link of two, to be changed; NULL: no memory. */
struct sim_link *vigil__sim_link_made(vigil_sim *sim, struct sim_host *a, struct sim_host *b);
static inline bool vigil__sim_link_is_cut(const struct sim_link *between)
{
    return between->cut || between->outage.on;
}
/* All connections of the two suffer; `b` NULL: all of `a`. */
void vigil__sim_hosts_hurt(struct sim_host *a, struct sim_host *b);
/* One more descriptor of the file: the lowest that is free, as POSIX says, or of those that are not
 * below `lowest`. */
int vigil__sim_fd_new(struct sim_host *host, struct sim_file *file, vigil_fd *out);
int vigil__sim_fd_new_from(struct sim_host *host, struct sim_file *file, uint32_t lowest,
                           vigil_fd *out);
/* A new file with a descriptor, unless the machine is short of something just now. */
int vigil__sim_fd_open(struct sim_host *host, enum sim_kind kind, struct sim_file **file,
                       vigil_fd *out);
bool vigil__sim_fd_blocks(const struct sim_host *host, vigil_fd fd);
int vigil__sim_fd_close(struct sim_host *host, vigil_fd fd);
/* Drops one of the file's refs. */
void vigil__sim_file_release(struct sim_file *file);

/* ---- file.c ---- */

struct sim_file *vigil__sim_file_new(struct sim_host *host, enum sim_kind kind);
void vigil__sim_file_close(struct sim_file *file);
void vigil__sim_files_clear(vigil_sim *sim);
/* The peer is connected at once, as by socketpair(2). */
void vigil__sim_join(struct sim_file *a, struct sim_file *b);
int vigil__sim_read(struct sim_file *file, void *p, size_t n);
int vigil__sim_writev(struct sim_file *file, const vigil_iov *iov, size_t count);
int vigil__sim_shutdown(struct sim_file *file);
void vigil__sim_option(struct sim_file *file, enum vigil__sockopt option, int value);
/* What is true of it, as poll(2) would say. */
unsigned vigil__sim_ready(const struct sim_file *file);
/* It is over, for the reason `error` if that is not 0. */
void vigil__sim_break(struct sim_file *file, int error);

/* ---- stream.c ---- */

void vigil__sim_stream_init(struct sim_stream *in);
/* Puts bytes on their way to `to`; there is room for them.  False: no memory. */
bool vigil__sim_stream_send(struct sim_file *to, const void *p, size_t n);
size_t vigil__sim_stream_take(struct sim_stream *in, void *p, size_t n);
/* Behind what is under way to `to`: the end, or a reset.  Without memory it is there at once. */
void vigil__sim_stream_end(struct sim_file *to, bool reset);
void vigil__sim_stream_clear(vigil_sim *sim, struct sim_stream *in);
/* What may pass between the hosts again goes on. */
void vigil__sim_healed(vigil_sim *sim);
/* Both ends are cut off from each other, and hear nothing of it. */
void vigil__sim_vanish(struct sim_file *file);

/* ---- connect.c ---- */

/* As the host table's connect. */
int vigil__sim_connect(struct sim_file *file, const vigil_addr *to);
int vigil__sim_bind(struct sim_file *file, const vigil_addr *addr);
int vigil__sim_listen(struct sim_file *file, int backlog);
/* As the host table's accept. */
int vigil__sim_accept(struct sim_file *listener, vigil_fd *out);
/* Those who wait at a listener that closes are reset. */
void vigil__sim_listener_close(struct sim_file *listener);
struct sim_name *vigil__sim_name_find(struct sim_host *host, const char *path, size_t len);

/* ---- host_table.c ---- */

void vigil__sim_host_table_fill(struct sim_host *host);

/* ---- backends.c ---- */

/* Those that a new host offers, best first, NULL behind the last: never freed. */
const struct vigil__backend *const *vigil__sim_backends(struct sim_host *host);

/* ---- memory.c ---- */

void *vigil__sim_resize(void *ctx, void *old, size_t old_size, size_t new_size);
/* Looks at what was freed, and forgets it.  False: something was written to. */
bool vigil__sim_memory_check(vigil_sim *sim);
void vigil__sim_memory_clear(vigil_sim *sim);

/* ---- backend.c, complete.c ---- */

extern const struct vigil__backend vigil__sim_backend_ready;
extern const struct vigil__backend vigil__sim_backend_complete;

struct sim_entry { /* what is registered, by descriptor */
    uint64_t key;
    uint64_t told; /* the activity that an edge has told */
    uint32_t want; /* 0: nothing */
    bool fired;    /* a one-shot that has */
};

/* An operation that the system performs. */
struct sim_op {
    struct vigil__link link;
    struct vigil__op op;
    bool cancelled;
    bool done; /* what came of it waits to be told */
    struct vigil__record record;
};

enum { SIM_BUFS_MAX = 8 };

struct sim_backend {
    struct sim_turner turner;
    struct sim_host *host;
    const vigil_allocator *allocator;
    struct vigil__pool *pool;
    bool woken; /* to be told, */
    bool woke;  /* and told first by the last wait */
    struct sim_entry *entries;
    uint32_t room, registered; /* of them all, and of those that want something */
    uint32_t from;             /* where the search for ready ones begins */
    struct vigil__link ops;
    uint32_t buf_count, buf_size;
    struct vigil__buf *bufs[SIM_BUFS_MAX];
};

/* Performs operations; answers how many records that gives. */
int vigil__sim_ops_records(struct sim_backend *backend, struct vigil__record *records, int cap);
/* Whether one of them would end or go on now. */
bool vigil__sim_ops_ready(const struct sim_backend *backend);
int vigil__sim_ops_open(struct sim_backend *backend);
void vigil__sim_ops_close(struct sim_backend *backend);
int vigil__sim_ops_submit(void *self, struct vigil__op *op);
void vigil__sim_ops_flush(void *self);
void vigil__sim_ops_cancel(void *self, struct vigil__op *op);
int vigil__sim_ops_close_fd(void *self, vigil_fd fd);
void vigil__sim_ops_give(void *self, struct vigil__buf *buf);

/* ---- library.c ---- */

/* Time is about to pass: no loop waits for what is there already. */
void vigil__sim_check_blocked(vigil_sim *sim);
/* Behind a turn: whoever is ready has been served, or soon is. */
void vigil__sim_check_fair(struct sim_turner *turner);

/* ---- main_guard.c ---- */

/* Runs once, watched if there is who watches, and leaves the world for looking at it.  NULL: no
 * memory. */
vigil_sim *vigil__sim_play(vigil_sim_test_fn *test, void *arg, const vigil_sim_options *options);

/* ---- oracle.c ---- */

void vigil__sim_fail(vigil_sim *sim, const char *oracle, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void vigil__sim_oracles_clear(vigil_sim *sim);
void vigil__sim_oracle_count(vigil_sim *sim, const char *name);
/* It is to be looked at in some world: --strict fails when it never is, and when one that was not
 * declared is looked at beside it, for nobody would miss that. */
void vigil__sim_oracle_declare(vigil_sim *sim, const char *name);
void vigil__sim_invariants_check(vigil_sim *sim);

#endif
