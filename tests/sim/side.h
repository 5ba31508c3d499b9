/* SPDX-License-Identifier: MIT
 *
 * side.h -- one loop of a simulated test, and the ends of connections that live on it: what their
 * callbacks saw, which the loop's counters, its reasons and its limits of time are held to.
 *
 * The loop is asked for nothing that it could get wrong alone: bytes, times and reasons are the
 * world's, callbacks are those that came.
 */
#ifndef SIM_SIDE_H
#define SIM_SIDE_H

#include "sim/sim.h"

/* What of a host's counts a loop was not there for. */
struct world_counts {
    uint64_t bytes_in, bytes_out, receives, sends;
    uint64_t accepts, accept_errors, accept_shortages, shortages;
};

struct side {
    vigil_sim *sim;
    vigil_loop *loop;
    struct sim_host *host;
    const struct sim_turner *turner;
    vigil_limits limits;           /* of its connections */
    struct vigil__link ends;       /* those that are open */
    vigil_allocator memory;        /* counts the loop's buffers: */
    size_t buffers, limit;         /* bytes now, and at most, */
    size_t lent;                   /* beside those that its backend has made for it to fill */
    vigil_ns pressed_at;           /* when so much was in use that the loop may shed; 0: never */
    struct world_counts base;      /* before it was there */
    uint64_t looked_at;            /* its turns when the counters were last compared, and */
    uint64_t moved;                /* the sum of what moves */
    uint32_t idle_turns;           /* since when it has been turned in vain */
    uint32_t max_conns;            /* 0: none */
    bool native;                   /* its kernel performs operations, and */
    bool told_later;               /* has done what the loop hears of later */
    uint64_t wakes_min, wakes_max; /* how often others have woken it */
    bool runs_itself;              /* nobody outside counts its turns */
    bool sheds, drains, dead, closing;
    bool coupled; /* bytes pass through it that no callback sees */

    /* What came: */
    uint64_t callbacks, accepted, refused, connected, connect_failed;
    uint64_t ended_ok, ended_badly, timed_out, out_of_memory;
    uint64_t shed;       /* of these, while the machine had memory */
    uint64_t used, took; /* bytes of input, and of output */
    uint64_t timers_fired, posts_run;
    uint32_t conns, timers, listeners;
    size_t queued_most; /* of one connection, when the counters were last compared */
    uint64_t turn;      /* the turn under way, and newcomers in it */
    uint32_t turn_accepts;
};

/* One end of a connection. */
struct end {
    struct side *side;
    struct vigil__link link;
    vigil_conn conn;
    struct sim_fate fate;                     /* once its descriptor has closed */
    struct end *coupled;                      /* whose end may end it */
    vigil_ns made_at, opened_at, finished_at; /* 0: not yet */
    bool connects, opened, closed;
    bool aborted;  /* by its user */
    bool excused;  /* it may end badly, says the scenario, or */
    bool may_wait; /* others may take all the places that there are */
    bool told;     /* it ended badly, for a reason */
    uint64_t turn; /* the turn under way, and the receives before it */
    uint64_t turn_from;
    int why;
};

/* Opens a loop on the host; `options` may be NULL, and names no host and no allocator.  Answers as
 * vigil_loop_open(). */
int side_open(struct side *side, vigil_sim *sim, const vigil_host *host,
              const vigil_loop_options *options);
void side_close(struct side *side);
/* A callback ran. */
void side_called(struct side *side);
/* A timer of the loop's fires, which was due then. */
void side_timer(struct side *side, vigil_ns due);
/* Looks whether all that the loop counts is what came, and what the world saw; else the world
 * fails. False: it has not turned since. */
bool side_compare(struct side *side);
/* How much too late a sleep of the loop's may end. */
vigil_ns side_slack(const struct side *side);

/* A connection begins: `end` is zero but for what its owner has set. */
void end_begin(struct end *end, struct side *side, vigil_conn conn, bool connects);
/* Its ctx function answers NULL: nothing more comes of it. */
void end_refused(struct end *end);
void end_opened(struct end *end);
/* `data` runs for it. */
void end_reads(struct end *end);
void end_finishes(struct end *end);
/* Its `close` runs: looks whether it is time, whether the reason is right, and explained. */
void end_closes(struct end *end, int why);
/* A connection that never began: why its call failed. */
void end_never_began(struct side *side, int err);
/* The world's file of an open end; NULL: it has none. */
struct sim_file *end_file(const struct end *end);
/* What befell it. */
const struct sim_fate *end_fate(const struct end *end);
/* The end at the other side; NULL: it is gone, or nobody's. */
struct end *end_peer(const struct end *end);
/* Whether a fault, or the end of another, may have ended it or kept it waiting. */
bool end_hurt(const struct end *end);

#endif
