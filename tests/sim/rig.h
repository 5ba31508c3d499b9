/* SPDX-License-Identifier: MIT
 *
 * rig.h -- what the simulated tests share: a server on one host, clients on another, and what must
 * hold of them whatever happens.
 *
 * A client sends a stream in pieces, ends, and counts what comes back.  Its end must be explained:
 * a clean one by all bytes, any other by a fault that was injected, or by what the scenario
 * declared.  Zero choices give the plain run: one piece after the other, no pauses.
 */
#ifndef SIM_RIG_H
#define SIM_RIG_H

#include "sim/side.h"

enum { CLIENTS_MAX = 24, SERVED_MAX = 160, CLIENT_BYTES_MAX = 24000, HEAVY_BYTES_MAX = 64000 };

struct rig;

struct client {
    struct end end;
    struct rig *rig;
    uint32_t number;
    vigil_timer timer;
    vigil_ns timer_due;
    uint32_t total, sent, got;
    bool slow;  /* pauses now and then */
    bool never; /* does not read, and gives up at last */
    bool rude;  /* aborts when half has come */
    bool started, ended, eof, closed, paused;
    bool crowded; /* others may keep it from being served, says the scenario, or */
    bool drained; /* that the server may end first, behind so many bytes: */
    uint32_t owed;
    vigil_ns began, paused_ns; /* and how long it paused in all */
    int why;
};

/* A connection of the server's. */
struct served {
    struct end end, other; /* other: of a proxy */
    struct rig *rig;
    bool used;
};

struct rig {
    vigil_sim *sim;
    const vigil_host *server_host, *client_host;
    struct side server, clients_side;
    vigil_listener listener;
    vigil_limits limits;
    vigil_sim_link link;
    struct client clients[CLIENTS_MAX];
    uint32_t client_count;
    uint32_t served_count; /* places that were ever used */
    vigil_conn stale;      /* one that has closed */
    vigil_ns calm_at;      /* when the faults stopped; 0: not yet */
    size_t out_bound;      /* bytes that may be queued: out_high, if all goes by vigil_send() */
    bool starves;          /* the server's connections may wait for memory in vain */
    uint32_t refuses;      /* one in so many newcomers is refused; 0: none */
    struct served served[SERVED_MAX];
};

/* Hosts, the link between them and both loops, by choice.  False: a fault was in the way. */
bool rig_open(struct rig *rig, vigil_sim *sim);
/* The server listens at 10.0.0.1:7 with these.  False: a fault was in the way. */
bool rig_listen(struct rig *rig, const vigil_conn_ops *ops, const vigil_listen_options *options);
/* A client that begins in up to `within_ns`. */
struct client *rig_client(struct rig *rig, uint32_t bytes_max, vigil_ns within_ns);
/* Runs for a while, then without faults until all clients have ended, and one more is served. */
void rig_run(struct rig *rig, vigil_ns for_ns);
/* Without faults from now on: waits until all clients have ended, each in its own time. */
bool rig_await(struct rig *rig, const char *oracle);
/* Closes both loops, and looks whether everything was given back. */
void rig_close(struct rig *rig);

/* From there on in the stream that everybody says pieces of; no two pieces of it look alike. */
const uint8_t *rig_stream(size_t at);

/* The server's connections: ctx is a struct served.  NULL: there is no place. */
struct served *rig_serve(struct rig *rig, struct side *side, vigil_conn conn);
void served_open(vigil_loop *loop, vigil_conn conn, void *ctx);
size_t served_echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n);
void served_eof(vigil_loop *loop, vigil_conn conn, void *ctx);
void served_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why);
extern const vigil_conn_ops echo_ops;

/* ---- the scenarios, one per file ---- */

/* Plays the one that the world chooses, or that of the number `*only`. */
void scenario_play(vigil_sim *sim, const uint32_t *only);
/* False: there is none of that name. */
bool scenario_find(const char *name, uint32_t *out);

void scenario_echo(vigil_sim *sim);
void scenario_proxy(vigil_sim *sim);
void scenario_crowd(vigil_sim *sim);
void scenario_slow(vigil_sim *sim);
void scenario_half_close(vigil_sim *sim);
void scenario_drain(vigil_sim *sim);
void scenario_storm(vigil_sim *sim);
void scenario_burst(vigil_sim *sim);
void scenario_timers(vigil_sim *sim);
void scenario_outage(vigil_sim *sim);
void scenario_posts(vigil_sim *sim);
void scenario_twins(vigil_sim *sim);

#endif
