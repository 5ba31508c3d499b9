/* SPDX-License-Identifier: MIT
 *
 * world.h -- models of the calls that wait, over the simulated files of a world: what stands in
 * place of src/sys/wait_calls.c and uring_calls.c, so that the library's own backends run in
 * simulated worlds and faults reach below them.
 *
 * A call names no host, so whoever makes one says before for which host it is: backends.c does
 * that around each call of a backend.  The descriptors of a model are the host's, beside its
 * sockets.
 */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include "sim/sim.h"
#include "sys/uring_calls.h"
#include "sys/wait_calls.h"

/* What kernels differ in, as far as io_uring goes. */
struct world_kernel {
    const char *name;
    uint32_t setup_flags, features; /* 0 features: no io_uring at all */
    bool ring_of_bufs, accept_multishot, recv_multishot, bundles, incremental;
    /* Of which sockets it is known that nothing is left, so that no buffer is looked for. */
    bool knows_tcp_empty, knows_unix_empty;
};
extern const struct world_kernel world_kernels[]; /* newest first */
enum { WORLD_KERNELS = 9 };

/* For whom the calls are that are made now. */
struct world_frame {
    struct sim_host *host; /* NULL: for nobody; every call fails */
    const struct sim_turner *turner;
    bool dead;     /* the host lost its power: nothing of it is there any more */
    bool may_pass; /* while a call waits, time passes, and the other loops turn */
    bool told;     /* a wait answered 0 though something is ready: a fault */
    bool lacked;   /* a kernel had no memory for what it was told */
    bool asked;    /* for a new ring, in this call of a backend */
    unsigned task; /* which thread makes them */
    unsigned maps; /* pieces of memory that are shared with a kernel */
    const struct world_kernel *kernel;
};
extern struct world_frame world;

/* The file behind a descriptor of the host; NULL: none. */
struct sim_file *world_file(int fd);

/* A descriptor for a file of a model's own.  Negative statuses as open(2) has them. */
int world_open(const struct sim_special *special, void *self);
/* The model behind a descriptor that is of that kind; NULL: it is not. */
void *world_special(int fd, const struct sim_special *special);

/* Memory of the world itself. */
void *world_alloc(size_t size);
void world_free(void *p, size_t size);

/* When a wait ends: `timeout_ns` from now, or a little later. */
vigil_ns world_deadline(vigil_ns timeout_ns);

/* Nothing is there: true, look again, for the world went on; false, the wait is over with *result.
 */
bool world_waits(vigil_ns deadline, int *result);

/* Whether a wait that has something to tell is interrupted. */
bool world_interrupted(void);
/* Whether one that is ready is told only later. */
bool world_late(void);
bool world_fault(vigil_sim_fault fault);
/* Of `n` that are registered the one that is told without being ready; -1: none. */
int world_spurious(uint32_t n);

/* What a file's edges count for those who want `events`. */
uint64_t world_edges(const struct sim_file *file, uint32_t events);

/* ---- waiting.c ---- */

/* Counts up an eventfd, as the kernel itself does for a ring. */
void world_signal(int fd);

/* ---- uring.c ---- */

/* What rings of this frame do by themselves, without being entered. */
void world_rings_settle(void);
/* Whether one of them polls that file, and so holds it open.  But nothing can be asked of another
 * thread's, and if there was no new one to be had it could not be left, either. */
bool world_rings_poll(const struct sim_file *file);
/* How many buffers they have filled that were not given back. */
uint32_t world_rings_miss(void);

/* ---- backends.c ---- */

/* The library's backends, each on its model. */
extern const struct vigil__backend modelled_epoll, modelled_poll, modelled_select, modelled_kqueue;
extern const struct vigil__backend modelled_afd, modelled_uring;
extern const struct vigil__backend modelled_uring_polls; /* io_uring for readiness alone */

#endif
