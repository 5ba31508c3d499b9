/* SPDX-License-Identifier: MIT
 *
 * vigil_sim.h -- a simulated machine room for code that runs on vigil: virtual time, hosts, a
 * network, and faults that come from a seed.
 *
 * A loop that is opened with `options.host` set to a host of a world runs on simulated descriptors
 * and a simulated clock; the code above it is the same.  Any number of loops share a world, all on
 * one thread: hours pass in seconds, and the same choices give the same run, to the byte.
 *
 *   vigil_sim *sim;
 *   vigil_sim_open(&sim, &(vigil_sim_options){ .seed = 42 });
 *   const vigil_host *server = vigil_sim_host(sim, "10.0.0.1", NULL);
 *   vigil_loop_open(&loop, &(vigil_loop_options){ .host = server });
 *   ... vigil_listen(loop, "10.0.0.1:7", ...); another host connects to it ...
 *   vigil_sim_run(sim, VIGIL_S(60));
 *   if (vigil_sim_failure(sim) != NULL) ...
 *
 * Link with libvigil_sim.a before libvigil.a.  Everything here is for the one thread that uses the
 * world; nothing is a system call.  vigil_sim(3) walks through finding a bug.
 */
#ifndef VIGIL_SIM_H
#define VIGIL_SIM_H

#include "vigil.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vigil_sim vigil_sim; /* a world */

/* ---- faults ------------------------------------------------------------------------------ */

/* Every kind of fault: X(name, what goes wrong).  Those that say "sticky" may also go on for a
 * while: up to 200 ms. */
#define VIGIL_SIM_FAULT_MAP(X)                                                   \
    X(SHORT_READ, "a receive brings less than there is, down to one byte")       \
    X(SHORT_WRITE, "a send takes less than there is room for, down to one byte") \
    X(EAGAIN, "a call would block though it was ready")                          \
    X(EINTR, "a wait ends early without a reason")                               \
    X(SPURIOUS, "a descriptor is told to be ready that is not")                  \
    X(LATE, "a ready descriptor is told only later")                             \
    X(DUPLICATE, "a readiness is told twice")                                    \
    X(REORDER, "the records of one wait come in another order")                  \
    X(RESET, "a connection is reset in the network")                             \
    X(ABORTED, "a connection has gone before it is accepted")                    \
    X(EMFILE, "the process is out of descriptors; sticky")                       \
    X(ENFILE, "the system is out of descriptors; sticky")                        \
    X(ENOBUFS, "the system is out of buffers; sticky")                           \
    X(ENOMEM, "the system is out of memory; sticky")                             \
    X(ALLOC, "an allocation fails; sticky")                                      \
    X(REFUSED, "a connect is refused though somebody listens")                   \
    X(DELAYED, "a connect takes up to 3 s longer")                               \
    X(BLACK_HOLE, "nobody answers a connect")                                    \
    X(VANISH, "a connection goes dead both ways, without an end")                \
    X(CANCEL_LOST, "an operation that was cancelled is performed all the same")  \
    X(MULTI_ENDS, "a multishot operation ends though it could go on")            \
    X(OVERFLOW, "completions do not fit and come with later waits")              \
    X(NO_BUFFERS, "the buffers that the system fills are all in use")            \
    X(LATE_TIMER, "a wait ends up to 20 ms later than it was asked to")

typedef enum vigil_sim_fault {
#define VIGIL_SIM_FAULT_ENUM(name, text) VIGIL_SIM_##name,
    VIGIL_SIM_FAULT_MAP(VIGIL_SIM_FAULT_ENUM)
#undef VIGIL_SIM_FAULT_ENUM
        VIGIL_SIM_FAULT_COUNT
} vigil_sim_fault;

/* The name of a kind, "SHORT_READ", and what goes wrong; static storage.  NULL: no such kind. */
VIGIL_API const char *vigil_sim_fault_name(unsigned fault);
VIGIL_API const char *vigil_sim_fault_text(unsigned fault);

/* What a host is asked for: X(name).  For faults by number, see vigil_sim_fail_call(). */
#define VIGIL_SIM_CALL_MAP(X) \
    X(SOCKET)                 \
    X(BIND)                   \
    X(LISTEN)                 \
    X(ACCEPT)                 \
    X(CONNECT)                \
    X(SOCKET_ERROR)           \
    X(RECV)                   \
    X(SEND)                   \
    X(SHUTDOWN)               \
    X(OPTION)                 \
    X(ADDRESS)                \
    X(READ)                   \
    X(WRITE)                  \
    X(DESCRIBE)               \
    X(UNLINK)                 \
    X(ALLOCATE)               \
    X(OPEN)                   \
    X(SET)                    \
    X(WAIT)                   \
    X(SUBMIT)

typedef enum vigil_sim_call {
#define VIGIL_SIM_CALL_ENUM(name) VIGIL_SIM_CALL_##name,
    VIGIL_SIM_CALL_MAP(VIGIL_SIM_CALL_ENUM)
#undef VIGIL_SIM_CALL_ENUM
        VIGIL_SIM_CALL_COUNT
} vigil_sim_call;

/* ---- worlds ------------------------------------------------------------------------------ */

/* All zero: no seed, so every choice is 0: no faults, the shortest latency, nothing surprising. */
typedef struct vigil_sim_options {
    uint64_t seed;           /* choices come from it; 0: they are all 0 */
    const uint32_t *choices; /* these instead, each taken modulo what is asked; 0 behind the last */
    size_t choice_count;     /* with `choices` */
    uint32_t faults_off;     /* bit per vigil_sim_fault: never in this world */
    bool calm;               /* no faults at all, whatever the choices; jitter and order stay */
    vigil_text_fn *story;    /* gets a line for everything that happens; NULL: nobody */
    void *story_arg;
} vigil_sim_options;

/* Makes a world; `options` may be NULL and is copied, but for `choices`, which must live as long as
 * the world does.  0, VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_open(vigil_sim **out, const vigil_sim_options *options);

/* Ends the world.  Close its loops before: their memory and descriptors are checked against zero by
 * vigil_sim_check_balance(), not here.  NULL is allowed. */
VIGIL_API void vigil_sim_close(vigil_sim *sim);

/* Every decision of a world goes through this: a number below `n` (0 for n < 2), recorded.  0 must
 * be the boring, fast outcome: shrinking makes choices 0.  `label` is static storage and says what
 * is decided; choices of one label are shrunk together.  Yours to use, too. */
VIGIL_API uint32_t vigil_sim_choose(vigil_sim *sim, const char *label, uint32_t n);

/* The choices made so far; owned by the world, valid until the next one. */
VIGIL_API size_t vigil_sim_choices(const vigil_sim *sim, const uint32_t **out);
/* The label of the i-th, or NULL. */
VIGIL_API const char *vigil_sim_choice_label(const vigil_sim *sim, size_t i);

/* A number for all that happened: the same choices and the same program give the same. */
VIGIL_API uint64_t vigil_sim_hash(const vigil_sim *sim);

/* Virtual time.  It begins at 1 s. */
VIGIL_API vigil_ns vigil_sim_now(const vigil_sim *sim);

/* ---- hosts and links --------------------------------------------------------------------- */

/* 0 takes the default in brackets. */
typedef struct vigil_sim_host_options {
    uint32_t fd_limit;   /* descriptors [1,024] */
    size_t memory_limit; /* bytes of all allocations of its loops [1 GiB] */
    bool calm;           /* faults of the machine (not of the network) spare it */
} vigil_sim_host_options;

/* A host at a numeric address, "10.0.0.1" or "fd00::1"; its own 127.0.0.1 and ::1 lead to itself.
 * `options` may be NULL.  The answer is what vigil_loop_options.host takes, and belongs to the
 * world.  Backends are "sim-ready" (descriptors are told to be ready) and "sim-complete"
 * (operations are performed); unasked, a choice decides.  NULL: the address is malformed or taken,
 * or no memory. */
VIGIL_API const vigil_host *vigil_sim_host(vigil_sim *sim, const char *address,
                                           const vigil_sim_host_options *options);

/* What lies between two hosts, both ways.  0 takes the default in brackets. */
typedef struct vigil_sim_link {
    vigil_ns latency_ns;       /* one way [100 us; within a host 10 us] */
    vigil_ns jitter_ns;        /* at most so much more, chosen per segment [none] */
    uint64_t bytes_per_second; /* [no bound] */
    size_t buffer;             /* bytes that one direction of a connection holds [64 KiB] */
} vigil_sim_link;

/* Sets the link of two hosts, for connections that are made from now on.  `a` may be `b`.
 * 0, VIGIL_EINVAL (a negative time, or not hosts of this world), VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_connect_hosts(vigil_sim *sim, const vigil_host *a, const vigil_host *b,
                                      const vigil_sim_link *link);

/* Nothing passes between two hosts until healed; what was under way waits.  0, VIGIL_EINVAL,
 * VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_partition(vigil_sim *sim, const vigil_host *a, const vigil_host *b);
VIGIL_API int vigil_sim_heal(vigil_sim *sim, const vigil_host *a, const vigil_host *b);

/* Power off: the host says nothing more, its loops turn no more (close them; no callback of theirs
 * may count on the network), and its descriptors are gone.  Peers notice after the restart, when
 * their next segment is answered by a reset. */
VIGIL_API void vigil_sim_kill(vigil_sim *sim, const vigil_host *host);
/* Power on: loops may be opened on it anew. */
VIGIL_API void vigil_sim_restart(vigil_sim *sim, const vigil_host *host);

/* Two connected stream sockets of a host, for vigil_adopt(); or a pipe, read end first.  They are
 * yours until adopted.  0, VIGIL_EMFILE, VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_pair(vigil_sim *sim, const vigil_host *host, vigil_fd out[2]);
VIGIL_API int vigil_sim_pipe(vigil_sim *sim, const vigil_host *host, vigil_fd out[2]);
/* A regular file with this content, copied, for vigil_send_file().  0, VIGIL_EMFILE,
 * VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_file(vigil_sim *sim, const vigil_host *host, const void *p, size_t n,
                             vigil_fd *out);
/* Closes a descriptor that is yours. */
VIGIL_API void vigil_sim_close_fd(vigil_sim *sim, const vigil_host *host, vigil_fd fd);

/* The signal arrives at the process on that host, for vigil_on_signal() and stop_on_signals. */
VIGIL_API void vigil_sim_signal(vigil_sim *sim, const vigil_host *host, int signo);

/* ---- faults at will ---------------------------------------------------------------------- */

/* Injects no faults from now on (or again does), as before checking what must come right in the
 * end.  Connections that were hurt stay so; sticky faults end. */
VIGIL_API void vigil_sim_faults(vigil_sim *sim, bool on);

/* The n-th call of that kind from now on, 1 the next, fails with `status`; with `sticky` all from
 * then on.  `host` NULL: of any host.  n 0 takes it back. */
VIGIL_API void vigil_sim_fail_call(vigil_sim *sim, const vigil_host *host, vigil_sim_call call,
                                   uint64_t n, int status, bool sticky);

/* How many calls of that kind `host` (NULL: any) has been asked for, and how many faults of a kind
 * there were. */
VIGIL_API uint64_t vigil_sim_calls(const vigil_sim *sim, const vigil_host *host,
                                   vigil_sim_call call);
VIGIL_API uint64_t vigil_sim_hits(const vigil_sim *sim, vigil_sim_fault fault);

/* Whether a fault has been injected that explains why a connection of `host` ended badly: into that
 * very connection (its descriptor from vigil_conn_fd(), asked for while it was open), into the
 * host's memory or descriptors, or by a kill or partition.  VIGIL_FD_NONE asks about the host. */
VIGIL_API bool vigil_sim_excused(const vigil_sim *sim, const vigil_host *host, vigil_fd fd);

/* ---- running ----------------------------------------------------------------------------- */

/* Turns the loops of all hosts and lets time pass until `until_ns` of virtual time, or until
 * nothing is left that could happen.  Also vigil_loop_run() of one loop does that, as long as it
 * waits.  0: the time has come; 1: nothing is left; VIGIL_ECANCELED: something has failed. */
VIGIL_API int vigil_sim_run(vigil_sim *sim, vigil_ns until_ns);

/* As long as `goes_on` answers true, which is asked after every step. */
VIGIL_API int vigil_sim_run_while(vigil_sim *sim, bool (*goes_on)(void *arg), void *arg,
                                  vigil_ns until_ns);

/* Calls `fn` in `delay_ns` of virtual time, from vigil_sim_run(), outside of any loop.
 * 0, VIGIL_EINVAL (negative delay), VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_after(vigil_sim *sim, vigil_ns delay_ns, void (*fn)(void *arg), void *arg);

/* ---- what must hold ---------------------------------------------------------------------- */

/* Notes that `name` (static storage) was looked at, and fails the world if it does not hold.
 * `format` as printf tells the case.  Answers `holds`. */
#ifdef __GNUC__
__attribute__((format(printf, 4, 5)))
#endif
VIGIL_API bool
vigil_sim_always(vigil_sim *sim, const char *name, bool holds, const char *format, ...);

/* Calls `holds` after every step of vigil_sim_run(): it must hold each time. */
VIGIL_API int vigil_sim_invariant(vigil_sim *sim, const char *name, bool (*holds)(void *arg),
                                  void *arg);

/* Turns the faults off and runs until `holds` answers true; fails the world when that has not come
 * within `within_ns`.  0; VIGIL_ETIMEDOUT; VIGIL_ECANCELED: something failed before. */
VIGIL_API int vigil_sim_eventually(vigil_sim *sim, const char *name, bool (*holds)(void *arg),
                                   void *arg, vigil_ns within_ns);

/* After all loops are closed: no descriptor is open and no memory in use on any host, and nothing
 * that was freed has been written to. */
VIGIL_API bool vigil_sim_check_balance(vigil_sim *sim);

/* What failed first, or NULL; owned by the world. */
VIGIL_API const char *vigil_sim_failure(const vigil_sim *sim);

/* ---- many seeds -------------------------------------------------------------------------- */

/* One run in a fresh world: makes hosts and loops, runs, and says what must hold. */
typedef void vigil_sim_test_fn(vigil_sim *sim, void *arg);

/* Finds a failing trace smaller: cuts the end off, sets choices to 0 one label at a time and in
 * ever smaller pieces, while the same oracle still fails.  `choices` is changed in place; answers
 * how many are left.  At most `runs_max` runs of `test`. */
VIGIL_API size_t vigil_sim_shrink(vigil_sim_test_fn *test, void *arg, uint32_t *choices,
                                  size_t count, unsigned runs_max);

/* The main function of a test program: runs `test` in one world per seed; `--help` tells the
 * options.  A failure is printed with the one command that replays it.  Answers an exit code:
 * 0 all passed, 1 some failed, 2 usage. */
VIGIL_API int vigil_sim_main(int argc, char **argv, vigil_sim_test_fn *test, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VIGIL_SIM_H */
