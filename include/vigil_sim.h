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
 *   vigil_sim_run_for(sim, VIGIL_S(60));
 *   vigil_loop_close(loop);
 *   if (!vigil_sim_check_balance(sim)) puts(vigil_sim_failure(sim));
 *   vigil_sim_close(sim);
 *
 * Link with libvigil_sim.a and behind it the static libvigil.a (`pkg-config --libs vigil_sim`, or
 * vigil::sim of CMake): the shared library keeps to itself what a world needs of it.  Everything
 * here is for the one thread that uses the world; nothing is a system call.  Pointers and statuses
 * are as in vigil.h.  vigil_sim(3) walks through finding a bug.
 */
#ifndef VIGIL_SIM_H
#define VIGIL_SIM_H

#include "vigil.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vigil_sim vigil_sim; /* a world */

/* ---- faults ------------------------------------------------------------------------------ */

/* Every kind of fault: X(name, how it goes on, what goes wrong).  One that has come up may be
 * sticky, by choice:
 *   MS     it happens at every occasion for up to 200 ms
 *   TIMES  up to 8 times in a row: while it lasts nothing moves, so no time would ever pass
 *   ONCE   never: each of these lasts up to 3 s by itself
 * Sticky faults are a host's, or the whole network's.  See vigil_sim_inject() for faults by
 * number. */
#define VIGIL_SIM_FAULT_MAP(X)                                                       \
    X(SHORT_READ, MS, "a receive brings less than there is, down to one byte")       \
    X(SHORT_WRITE, MS, "a send takes less than there is room for, down to one byte") \
    X(EAGAIN, TIMES, "a call would block though it was ready")                       \
    X(EINTR, TIMES, "a wait ends early without a reason")                            \
    X(SPURIOUS, TIMES, "a descriptor is told to be ready that is not")               \
    X(LATE, TIMES, "a ready descriptor is told only later")                          \
    X(DUPLICATE, MS, "a readiness is told twice")                                    \
    X(REORDER, MS, "the records of one wait come in another order")                  \
    X(RESET, MS, "a connection is reset in the network")                             \
    X(ABORTED, MS, "a connection has gone before it is accepted")                    \
    X(EMFILE, MS, "the process is out of descriptors")                               \
    X(ENFILE, MS, "the system is out of descriptors")                                \
    X(ENOBUFS, MS, "the system is out of buffers")                                   \
    X(ENOMEM, MS, "the system is out of memory")                                     \
    X(ALLOC, MS, "an allocation fails")                                              \
    X(REFUSED, MS, "a connect is refused though somebody listens")                   \
    X(DELAYED, MS, "a connect takes up to 3 s longer")                               \
    X(BLACK_HOLE, MS, "nobody answers a connect")                                    \
    X(VANISH, MS, "a connection goes dead both ways, without an end")                \
    X(CANCEL_LOST, MS, "an operation that was cancelled is performed all the same")  \
    X(MULTI_ENDS, TIMES, "a multishot operation ends though it could go on")         \
    X(OVERFLOW, TIMES, "completions do not fit and come with later waits")           \
    X(NO_BUFFERS, TIMES, "the buffers that the system fills are all in use")         \
    X(LATE_TIMER, MS, "a wait ends up to 20 ms later than it was asked to")          \
    X(PARTITION, ONCE, "two hosts cannot reach each other, and then they can again") \
    X(KILL, ONCE, "a host loses power and starts again; see vigil_sim_may_kill()")

typedef enum vigil_sim_fault {
#define VIGIL_SIM_FAULT_ENUM(name, goes_on, text) VIGIL_SIM_##name,
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
    const uint8_t *bytes;    /* these instead, as a fuzzer makes them: a choice each */
    size_t byte_count;       /* with `bytes` */
    uint32_t faults_off;     /* bit 1 << VIGIL_SIM_RESET and so on: never in this world */
    bool calm;               /* no faults at all, whatever the choices; jitter and order stay */
    vigil_text_fn *story;    /* gets a line, its newline included, for everything that happens */
    void *story_arg;         /* story gets it */
} vigil_sim_options;

/* Makes a world, which the caller closes; `options` may be NULL and is copied, with `bytes`, but
 * without `choices`, which must live as long as the world does.  Of `bytes` a blank is the choice
 * 0; all others are spread over the numbers that are asked for, so that a fuzzer reaches each of
 * them by changing one byte, and what it prints can be read.  Any bytes will do, and 0 follows the
 * last.
 * 0, VIGIL_EINVAL (both `choices` and `bytes`), VIGIL_ENOMEM; then `*out` is NULL. */
VIGIL_API int vigil_sim_open(vigil_sim **out, const vigil_sim_options *options);

/* Ends the world.  Close its loops before: their memory and descriptors are checked against zero by
 * vigil_sim_check_balance(), not here.  Its hosts go with it.  NULL is allowed. */
VIGIL_API void vigil_sim_close(vigil_sim *sim);

/* Every decision of a world goes through this: a number below `n` (0 for n < 2), recorded.  0 must
 * be the boring, fast outcome: shrinking makes choices 0.  `label` is static storage and says what
 * is decided; choices of one label are shrunk together.  Yours to use, too. */
VIGIL_API uint32_t vigil_sim_choose(vigil_sim *sim, const char *label, uint32_t n);

/* The choices made so far, and how many; owned by the world, valid until the next one. */
VIGIL_API size_t vigil_sim_choices(const vigil_sim *sim, const uint32_t **out);
/* The label of the i-th, as it was given, or NULL: there are not so many. */
VIGIL_API const char *vigil_sim_choice_label(const vigil_sim *sim, size_t i);

/* A number for all that happened: the same choices and the same program give the same. */
VIGIL_API uint64_t vigil_sim_hash(const vigil_sim *sim);

/* Virtual time.  It begins at 1 s, and is what vigil_now() of every loop tells.  A story counts
 * from 0. */
VIGIL_API vigil_ns vigil_sim_now(const vigil_sim *sim);

/* A line of your own in the story, as by printf, with the time before it and a newline behind it.
 * Nothing where there is no story; choices and hash know nothing of it. */
#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
VIGIL_API void
vigil_sim_tell(vigil_sim *sim, const char *format, ...);

/* ---- hosts and links --------------------------------------------------------------------- */

/* 0 takes the default in brackets. */
typedef struct vigil_sim_host_options {
    uint32_t fd_limit;   /* descriptors [1,024] */
    size_t memory_limit; /* bytes of all allocations of its loops [1 GiB] */
    bool calm;           /* faults of the machine (not of the network) spare it */
} vigil_sim_host_options;

/* A host at a numeric address, "10.0.0.1" or "fd00::1"; its own 127.0.0.1 and ::1 lead to itself.
 * `options` may be NULL and is copied.  The answer is what vigil_loop_options.host takes, and
 * belongs to the world.  Backends are "sim-ready" (descriptors are told to be ready) and
 * "sim-complete" (operations are performed); unasked, a choice decides.  There is no name service,
 * and Unix sockets are each host's own.
 * Never NULL, which would be this machine: where the address is malformed or taken, or there is no
 * memory, the world has failed, and the answer is a host on which no loop opens: vigil_loop_open()
 * says VIGIL_EINVAL or VIGIL_ENOMEM. */
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
 * 0, VIGIL_EINVAL (no link, a negative time, or not hosts of this world), VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_connect_hosts(vigil_sim *sim, const vigil_host *a, const vigil_host *b,
                                      const vigil_sim_link *link);

/* Nothing passes between two hosts until healed; what was under way waits, and who connects tries
 * again for 127 s.  0, VIGIL_EINVAL (not hosts of this world), VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_partition(vigil_sim *sim, const vigil_host *a, const vigil_host *b);
VIGIL_API int vigil_sim_heal(vigil_sim *sim, const vigil_host *a, const vigil_host *b);

/* The calls below do nothing, or answer VIGIL_EINVAL, for what is no host of this world. */

/* Power off: the host says nothing more, its loops turn no more (close them; no callback of theirs
 * may count on the network), and its descriptors are gone.  Peers notice after the restart, when
 * their next segment is answered by a reset.  Call it outside of the host's own callbacks. */
VIGIL_API void vigil_sim_kill(vigil_sim *sim, const vigil_host *host);
/* Power on: loops may be opened on it anew.  Those from before stay dead. */
VIGIL_API void vigil_sim_restart(vigil_sim *sim, const vigil_host *host);

/* From now on the choices may kill the host, too, and start it again up to 3 s later: the fault
 * KILL, of which somebody's connecting to the host is the occasion.  Behind the start `started` is
 * called, outside of any loop: it closes the loops that died and opens new ones, as the host's
 * init would.  Faults may be off by then.  The host's loops must be turned by vigil_sim_run(), none
 * by vigil_loop_run().  NULL takes it back. */
VIGIL_API void vigil_sim_may_kill(vigil_sim *sim, const vigil_host *host,
                                  void (*started)(void *arg), void *arg);

/* Two connected stream sockets of a host, for vigil_adopt(); or a pipe, read end first.  They are
 * yours until adopted.  0, VIGIL_EINVAL, VIGIL_EMFILE, VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_pair(vigil_sim *sim, const vigil_host *host, vigil_fd out[2]);
VIGIL_API int vigil_sim_pipe(vigil_sim *sim, const vigil_host *host, vigil_fd out[2]);
/* A regular file with this content, copied, for vigil_send_file().  0, VIGIL_EINVAL, VIGIL_EMFILE,
 * VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_file(vigil_sim *sim, const vigil_host *host, const void *p, size_t n,
                             vigil_fd *out);
/* Closes a descriptor that is yours; nothing if it is not open. */
VIGIL_API void vigil_sim_close_fd(vigil_sim *sim, const vigil_host *host, vigil_fd fd);

/* The signal (SIGTERM and so on) arrives at the process on that host, for vigil_on_signal() and
 * stop_on_signals.  Where nobody asked for it nothing happens. */
VIGIL_API void vigil_sim_signal(vigil_sim *sim, const vigil_host *host, int signo);

/* ---- faults at will ---------------------------------------------------------------------- */

/* Injects no faults from now on (or again does), as before checking what must come right in the
 * end.  Connections that were hurt stay so; sticky faults end.  What was cut off or killed comes
 * back when its time is over, within 3 s. */
VIGIL_API void vigil_sim_faults(vigil_sim *sim, bool on);

/* The n-th call of that kind from now on, 1 the next, fails with `status`, one of VIGIL_E*; with
 * `sticky` all from then on.  An ALLOCATE answers NULL, whatever `status` is.  `host` NULL: of each
 * host that there is, counted by itself.  n 0 takes it back.  This is no choice: it happens in calm
 * worlds and while the faults are off, too.  A loop whose every WAIT fails can do nothing but try
 * again: then "no spinning" fails. */
VIGIL_API void vigil_sim_fail_call(vigil_sim *sim, const vigil_host *host, vigil_sim_call call,
                                   uint64_t n, int status, bool sticky);

/* The same of a kind of fault: it comes up at the n-th occasion from now on, with `sticky` at all
 * from then on.  `host` NULL: of each host that there is, counted by itself; those of the network
 * (RESET, ABORTED, REFUSED, DELAYED, BLACK_HOLE, VANISH, PARTITION) are counted together, whatever
 * it is.  An occasion is a call, wait or connection to which the fault could happen.
 * 0, VIGIL_EINVAL: no such kind, or `sticky` of one that goes on TIMES, which would never end. */
VIGIL_API int vigil_sim_inject(vigil_sim *sim, const vigil_host *host, vigil_sim_fault fault,
                               uint64_t n, bool sticky);

/* How many calls of that kind `host` (NULL: any) has been asked for; how many occasions there were
 * for a kind of fault, of that host or of all, or of the network; and how many faults of it came
 * up. */
VIGIL_API uint64_t vigil_sim_calls(const vigil_sim *sim, const vigil_host *host,
                                   vigil_sim_call call);
VIGIL_API uint64_t vigil_sim_occasions(const vigil_sim *sim, const vigil_host *host,
                                       vigil_sim_fault fault);
VIGIL_API uint64_t vigil_sim_hits(const vigil_sim *sim, vigil_sim_fault fault);

/* Whether a fault has been injected that explains why a connection of `host` ended badly: into that
 * very connection (its descriptor from vigil_conn_fd(), asked for while it was open), into the
 * host's memory or descriptors, or by a kill or partition.  VIGIL_FD_NONE asks about the host. */
VIGIL_API bool vigil_sim_excused(const vigil_sim *sim, const vigil_host *host, vigil_fd fd);

/* ---- running ----------------------------------------------------------------------------- */

/* Turns the loops of all hosts and lets `duration_ns` of virtual time pass, or less where nothing
 * is left that could happen (a listener alone is nothing).  Also vigil_loop_run() of one loop does
 * that, as long as it waits.  Call it outside of callbacks.  A negative duration is none.
 * 0: the time has passed; 1: nothing is left; VIGIL_ECANCELED: something failed, now or before. */
VIGIL_API int vigil_sim_run_for(vigil_sim *sim, vigil_ns duration_ns);

/* As vigil_sim_run_for(), but until the clock says `until_ns`; it began at 1 s. */
VIGIL_API int vigil_sim_run(vigil_sim *sim, vigil_ns until_ns);

/* As vigil_sim_run(), as long as `goes_on` answers true, which is asked before every step; 0 also
 * when it does not. */
VIGIL_API int vigil_sim_run_while(vigil_sim *sim, bool (*goes_on)(void *arg), void *arg,
                                  vigil_ns until_ns);

/* Calls `fn` once, in `delay_ns` of virtual time, while the world runs, outside of any loop; it may
 * partition, kill, signal, or call into any loop.  To one that waits in vigil_loop_run() it is
 * another thread, which may post to it and stop it.  If the world is closed before, never.
 * 0, VIGIL_EINVAL (negative delay, no fn), VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_after(vigil_sim *sim, vigil_ns delay_ns, void (*fn)(void *arg), void *arg);

/* ---- what must hold ---------------------------------------------------------------------- */

/* Oracles: what a world is judged by, each under a name in static storage.  A run counts how often
 * each was looked at, since one that never was proves nothing.  What fails first is the world's
 * failure, and vigil_sim_run() then ends; shrinking keeps a failure of the same name. */

/* Notes that `name` was looked at, and fails the world if it does not hold; `format`, as by printf,
 * tells the case.  Answers `holds`.  Also from callbacks. */
#ifdef __GNUC__
__attribute__((format(printf, 4, 5)))
#endif
VIGIL_API bool
vigil_sim_always(vigil_sim *sim, const char *name, bool holds, const char *format, ...);

/* Calls `holds` after every step of the world from now on: it must be true each time.  `arg` must
 * live until the world is closed or runs no more.  0, VIGIL_EINVAL (no holds), VIGIL_ENOMEM. */
VIGIL_API int vigil_sim_invariant(vigil_sim *sim, const char *name, bool (*holds)(void *arg),
                                  void *arg);

/* Turns the faults off, where they stay, and runs until `holds` answers true; fails the world when
 * that has not come within `within_ns` of virtual time from now.  Connections that were hurt before
 * need not recover: time limits must end them.
 * 0; VIGIL_ETIMEDOUT; VIGIL_ECANCELED: something else failed, now or before. */
VIGIL_API int vigil_sim_eventually(vigil_sim *sim, const char *name, bool (*holds)(void *arg),
                                   void *arg, vigil_ns within_ns);

/* After all loops are closed: no descriptor is open and no memory in use on any host, and nothing
 * that was freed has been written to; else the world fails.  True: so it is, and nothing failed
 * before. */
VIGIL_API bool vigil_sim_check_balance(vigil_sim *sim);

/* What failed first, "name: case", or NULL; owned by the world. */
VIGIL_API const char *vigil_sim_failure(const vigil_sim *sim);

/* ---- many seeds -------------------------------------------------------------------------- */

/* One run in a fresh world: makes hosts and loops, runs, says what must hold, and closes the loops,
 * also after a failure.  The world is closed for it.  It is called many times with the same `arg`:
 * what a run changes it must set anew, and all that differs must come from the world, no clock and
 * no random number of elsewhere, or a failure cannot be replayed. */
typedef void vigil_sim_test_fn(vigil_sim *sim, void *arg);

/* Makes a failing trace smaller: cuts the end off, sets choices to 0 one label at a time and in
 * ever smaller pieces, and deletes some, while the same oracle still fails.  `choices` is yours and
 * changed in place; answers how many are left: `count`, and nothing changed, if the test passes or
 * memory is short.  At most `runs_max` runs of `test`. */
VIGIL_API size_t vigil_sim_shrink(vigil_sim_test_fn *test, void *arg, uint32_t *choices,
                                  size_t count, unsigned runs_max);

/* The main function of a test program: runs `test` in one world per seed until one fails; some
 * seeds run twice, and must come out the same.  A failure is printed with the command that replays
 * it, and run once more to see whether it does.  A second process watches this one: where a world
 * ends the program, by a crash, a sanitizer or exit(), or does not end within 60 s, which then ends
 * the program, its command is printed as well.  `--help` tells the options, vigil_sim(3) explains
 * them.  Results go to stdout, bad options to stderr.
 * Answers an exit code: 0 all passed, 1 one failed, 2 usage. */
VIGIL_API int vigil_sim_main(int argc, char **argv, vigil_sim_test_fn *test, void *arg);

/* As vigil_sim_main(), for a test that looks at the environment: `names` of variables, NULL behind
 * the last.  Those that are set stand before the commands that are printed. */
VIGIL_API int vigil_sim_main_env(int argc, char **argv, const char *const *names,
                                 vigil_sim_test_fn *test, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VIGIL_SIM_H */
