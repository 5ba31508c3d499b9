/* SPDX-License-Identifier: MIT
 *
 * world.h -- what the files of tests/virtual/ share of the world that a row has.
 */
#ifndef TEST_VIRTUAL_WORLD_H
#define TEST_VIRTUAL_WORLD_H

#include "sim/sim.h"
#include "virtual/library.h"
#include "virtual/virtual.h"

enum {
    WORLD_FDS_MAX = 20000, /* as of this machine, by its own limit */
    WORLD_LOOPS_MAX = 64,
    WORLD_IDLE_MAX = 1000,     /* turns for nothing in a row */
    WORLD_BUFFER = 256 * 1024, /* of one direction of a connection */
};

/* A call takes so long: what was sent before has arrived, as on a machine of its own. */
#define WORLD_CALL_NS VIGIL_US(25)

/* What a row made of a descriptor. */
struct world_fd {
    bool own; /* the row's: closed for it when it leaves in its midst */
    vigil_ns recv_ns, send_ns;
};

struct world {
    vigil_sim *sim;
    const vigil_host *table;
    struct sim_host *host;
    virtual_leave_fn *leave;
    int failures;
    vigil_loop *loops[WORLD_LOOPS_MAX];
    const vigil_allocator *allocators[WORLD_LOOPS_MAX]; /* of these, in the rigs */
    vigil_poller *pollers[WORLD_LOOPS_MAX];
    vigil_remote *remotes[WORLD_LOOPS_MAX]; /* a place for each of the row's references */
    bool fired;                             /* what was to fail did */
    bool left;                              /* in its midst */
    bool leaving;                           /* the row is being left: what it has open is closed */
    bool lost;                              /* nothing can be said of what it left open */
    vigil_loop *closing[WORLD_LOOPS_MAX];   /* closed while they turn */
    int closing_count;
    int idle_turns;
    bool by_row;      /* a call of the row's own reads or writes */
    bool other_input; /* the row's own calls bring some, which the world does not see */
    bool resets_fail; /* they were made to */
    int turning;      /* calls of vigil_loop_turn() and _run() under way */
    struct {
        FILE *file;
        vigil_fd fd;
    } files[8];
    struct world_fd fds[WORLD_FDS_MAX]; /* last: most of it is never touched */
};

extern struct world world;

/* observe.c */
void observe_world(void);
void observe_nothing(void);
void observe_loop_closed(vigil_loop *loop);

/* fail.c: what is to fail in the world that begins; and what the world that ends was asked for. */
void fail_prepare(void);
void fail_note(void);
bool fail_now(void);     /* something is made to fail */
extern int world_stderr; /* where failures are told, when a row's own are not; -1: stderr */

/* Notes that something is wrong with the row's world. */
void world_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Time passes, and what happens in it. */
void world_pass(vigil_ns duration);
/* Time passes until one of `events` is true of the file.  False: it is `deadline`. */
bool world_wait(const struct sim_file *file, unsigned events, vigil_ns deadline);

#endif
