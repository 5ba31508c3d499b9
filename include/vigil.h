/* SPDX-License-Identifier: MIT
 *
 * vigil.h -- wait for I/O efficiently.
 *
 * One C library in four layers; take the lowest that does your work:
 *
 *   layer 0  vigil_select, vigil_poll    one call, nothing is kept
 *   layer 1  vigil_poller                register once, wait many times
 *   layer 2  vigil_loop                  timers, signals, posted calls, watched descriptors
 *   layer 3  vigil_listener, vigil_conn  connections whose output is bounded
 *
 * C11, and usable from C++17.  No hidden threads, no errno, no output, no exit: every int call
 * answers 0 or a count, or a negative vigil_status.  Times are int64_t nanoseconds of the
 * monotonic clock (CLOCK_MONOTONIC on Linux: it stands still while the machine sleeps; on Windows
 * QueryPerformanceCounter, which does not).
 *
 * Threads.  A loop belongs to the thread that is inside vigil_loop_run() or vigil_loop_turn();
 * between turns it may be handed to another.  A call from the wrong thread answers
 * VIGIL_ETHREAD and changes nothing.  Calls that any thread may make say so.
 */
#ifndef VIGIL_H
#define VIGIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(_WIN32)
#define VIGIL_API __attribute__((visibility("default")))
#else
#define VIGIL_API
#endif

#define VIGIL_VERSION_MAJOR 0
#define VIGIL_VERSION_MINOR 1
#define VIGIL_VERSION_PATCH 0

/* ---- status ------------------------------------------------------------------------------ */

/* Every code with its value and text.  The values are ours and the same on every system, so that
 * a log or a recorded trace means the same everywhere. */
#define VIGIL_STATUS_MAP(X)                                          \
    X(OK, 0, "success")                                              \
    X(ESTALE, -1, "the handle names something that is gone")         \
    X(EFULL, -2, "full now, try again later")                        \
    X(ETIMEDOUT, -3, "timed out")                                    \
    X(ENOMEM, -4, "out of memory")                                   \
    X(ECLOSED, -5, "already ended or closed")                        \
    X(ECONNRESET, -6, "connection reset by peer")                    \
    X(ECONNREFUSED, -7, "connection refused")                        \
    X(EUNREACH, -8, "host or network unreachable")                   \
    X(ECANCELED, -9, "canceled")                                     \
    X(ELIMIT, -10, "over a limit that was set")                      \
    X(ETHREAD, -11, "called on a thread that does not own the loop") \
    X(EINVAL, -12, "invalid argument")                               \
    X(ENOTSUP, -13, "not supported here")                            \
    X(EMFILE, -14, "out of file descriptors")                        \
    X(EADDR, -15, "address is malformed or not of this machine")     \
    X(EEXIST, -16, "already registered or existing")                 \
    X(EBADF, -17, "not an open descriptor")                          \
    X(EACCES, -18, "permission denied")                              \
    X(EADDRINUSE, -19, "address already in use")                     \
    X(ENOENT, -20, "no such file, name or address")                  \
    X(ENOTCONN, -21, "not connected")                                \
    X(ENOBUFS, -22, "the system is out of buffers")                  \
    X(EPROTO, -23, "protocol error")                                 \
    X(EFORK, -24, "used in a child after fork")                      \
    X(EBUSY, -25, "busy")                                            \
    X(ESYS, -99, "system error, see vigil_os_error()")

typedef enum vigil_status {
#define VIGIL_STATUS_ENUM(name, value, text) VIGIL_##name = (value),
    VIGIL_STATUS_MAP(VIGIL_STATUS_ENUM)
#undef VIGIL_STATUS_ENUM
} vigil_status;

/* The version of the library that is linked, "0.1.0"; static storage.  Any thread. */
VIGIL_API const char *vigil_version(void);

/* One sentence fragment for a status, never NULL; static storage.  Any thread. */
VIGIL_API const char *vigil_strerror(int status);

/* The name of a status, "VIGIL_EFULL", or "VIGIL_E?" for an unknown one; static.  Any thread. */
VIGIL_API const char *vigil_err_name(int status);

/* The system's own number (errno on POSIX) of the last failure seen by a call of this library on
 * this thread.  Meaningful right after an error; it explains VIGIL_ESYS.  Any thread. */
VIGIL_API int vigil_os_error(void);

/* ---- time -------------------------------------------------------------------------------- */

typedef int64_t vigil_ns; /* nanoseconds */

#define VIGIL_NOWAIT  ((vigil_ns)0)
#define VIGIL_FOREVER INT64_MAX
#define VIGIL_US(n)   ((vigil_ns)(n)*1000)
#define VIGIL_MS(n)   ((vigil_ns)(n)*1000000)
#define VIGIL_S(n)    ((vigil_ns)(n)*1000000000)

/* ---- descriptors and events -------------------------------------------------------------- */

#ifdef _WIN32
typedef uintptr_t vigil_fd;
#define VIGIL_FD_NONE ((vigil_fd)-1)
#else
typedef int vigil_fd;
#define VIGIL_FD_NONE (-1)
#endif

/* One mask with one meaning on every backend, numbered as poll(2) numbers it on Linux.
 *
 *   VIGIL_IN     read, accept or recv would not block (also at end of input)
 *   VIGIL_PRI    urgent data, or another exceptional condition
 *   VIGIL_OUT    write or send would not block, or a connect has ended (well or not)
 *   VIGIL_RDHUP  the peer has shut down its writing; reported when asked for, where the kernel
 *                tells (vigil_poller_caps)
 *   VIGIL_ERR, VIGIL_HUP, VIGIL_NVAL are reported unasked.  HUP means "read until 0 or an
 *                error", never "drop what is there": there can be unread input behind it.
 *   VIGIL_EDGE, VIGIL_ONESHOT say how to report.  They are for vigil_poller only. */
enum {
    VIGIL_IN = 0x0001,
    VIGIL_PRI = 0x0002,
    VIGIL_OUT = 0x0004,
    VIGIL_ERR = 0x0008,
    VIGIL_HUP = 0x0010,
    VIGIL_NVAL = 0x0020,
    VIGIL_RDHUP = 0x2000,
    VIGIL_EDGE = 0x4000,
    VIGIL_ONESHOT = 0x8000
};

/* ---- layer 0: one call ------------------------------------------------------------------- */

/* One of select()'s three lists.  `fds` is yours and is only read; the same array may stand in
 * several sets.  `ready` is yours and has room for `count`. */
typedef struct vigil_set {
    const vigil_fd *fds;
    size_t count;
    vigil_fd *ready;    /* out: the ready ones, in the order of fds */
    size_t ready_count; /* out: how many */
} vigil_set;

/* select(): waits until a descriptor of one of the lists is ready, or `timeout_ns` has passed,
 * never less.  Descriptors of any value and number: there is no FD_SETSIZE here.  A list may be
 * NULL, which is empty.  VIGIL_FOREVER waits without limit.  Interruption by a signal is handled
 * against the deadline.
 * Answers how many entries are ready in all three lists; 0 when the time passed, all lists empty;
 * VIGIL_EBADF when a descriptor is closed or negative; VIGIL_EINVAL for a negative timeout;
 * VIGIL_ENOTSUP on Windows for what is no socket; VIGIL_ENOMEM.  On an error the `ready` lists are
 * empty.  Any thread. */
VIGIL_API int vigil_select(vigil_set *readable, vigil_set *writable, vigil_set *exceptional,
                           vigil_ns timeout_ns);

typedef struct vigil_pollfd {
    vigil_fd fd;
    uint16_t events;  /* in: VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP */
    uint16_t revents; /* out: what is true, and VIGIL_ERR, VIGIL_HUP, VIGIL_NVAL */
} vigil_pollfd;

/* poll(2) with nanoseconds.  A closed descriptor, and on Windows what is no socket, is reported as
 * VIGIL_NVAL, a negative one is skipped with revents 0, as POSIX says.  Never returns early; EINTR
 * is handled.
 * Answers how many entries have revents; 0 when the time passed; VIGIL_EINVAL for a negative
 * timeout or an event that cannot be asked for; VIGIL_ENOMEM.  Any thread. */
VIGIL_API int vigil_poll(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns);

/* ---- layer 1: the poller ----------------------------------------------------------------- */

typedef struct vigil_poller vigil_poller;

/* Names one registration: slot and generation, never the descriptor's number.  Use after
 * vigil_poller_unregister() is VIGIL_ESTALE, never another's registration. */
typedef struct vigil_reg {
    uint64_t v;
} vigil_reg;

typedef struct vigil_event {
    vigil_reg reg;
    uintptr_t tag; /* as registered */
    vigil_fd fd;
    uint16_t events;
} vigil_event;

/* Opens a poller.  `backend` is "select", "poll", "epoll" or "io_uring", on Windows "afd" or
 * "select"; NULL takes VIGIL_BACKEND from the environment, else the best one for readiness that
 * works here, found by trying.  The caller closes it.
 * A poller is used by one thread at a time; only vigil_poller_wake() is for others.
 * 0, VIGIL_EINVAL (no such backend), VIGIL_ENOTSUP (not to be had here), VIGIL_ENOMEM,
 * VIGIL_EMFILE.  Where the system has kqueue(2), "kqueue" is a backend, too. */
VIGIL_API int vigil_poller_open(vigil_poller **out, const char *backend);

/* Registers `fd` for `events` (what to report and how).  Errors are reported at once.  A
 * descriptor can be registered once: VIGIL_EEXIST.  `tag` comes back in every event.  The
 * descriptor stays yours; unregister it before you close it.
 * 0, VIGIL_EBADF, VIGIL_EEXIST, VIGIL_EINVAL (no events, or unknown ones), VIGIL_ENOTSUP
 * (VIGIL_EDGE where the kernel has none; on kqueue a terminal that it refuses; on Windows what is
 * no socket), VIGIL_EMFILE (on epoll the first regular file needs a descriptor of ours),
 * VIGIL_ENOMEM, VIGIL_EFORK. */
VIGIL_API int vigil_poller_register(vigil_poller *poller, vigil_fd fd, unsigned events,
                                    uintptr_t tag, vigil_reg *out);

/* Changes what a registration waits for; merged with other changes until the wait.  It re-arms a
 * one-shot that has fired, and reports what is already true.  Events 0 keep the registration
 * and report nothing, not even an error.  0, VIGIL_ESTALE, VIGIL_EINVAL, VIGIL_ENOTSUP. */
VIGIL_API int vigil_poller_modify(vigil_poller *poller, vigil_reg reg, unsigned events);

/* Ends a registration; the descriptor has left the kernel's set when this returns.  Events of it
 * that a wait already handed out are the caller's: vigil_poller_live() tells them apart.
 * 0, VIGIL_ESTALE, VIGIL_EFORK. */
VIGIL_API int vigil_poller_unregister(vigil_poller *poller, vigil_reg reg);

/* Whether `reg` is still registered: ask before acting on the rest of a batch after an
 * unregister.  Costs one comparison. */
VIGIL_API bool vigil_poller_live(const vigil_poller *poller, vigil_reg reg);

/* Waits for events and writes at most `max` of them.  When more are ready, the next wait goes on
 * behind the last one reported, so none starves.  Answers how many; 0 when the time passed, a
 * signal came, or vigil_poller_wake() was called; VIGIL_EINVAL, VIGIL_ENOMEM, VIGIL_EFORK. */
VIGIL_API int vigil_poller_wait(vigil_poller *poller, vigil_event *events, int max,
                                vigil_ns timeout_ns);

/* Makes the wait under way, or else the next one, return.  0 or VIGIL_EFORK.
 * Any thread, and async-signal-safe. */
VIGIL_API int vigil_poller_wake(vigil_poller *poller);

/* The events and modes that this poller's backend can report (VIGIL_EDGE among them or not). */
VIGIL_API unsigned vigil_poller_caps(const vigil_poller *poller);

/* The backend's name; static storage. */
VIGIL_API const char *vigil_poller_backend(const vigil_poller *poller);

/* Frees the poller; registered descriptors stay open.  NULL is allowed. */
VIGIL_API void vigil_poller_close(vigil_poller *poller);

/* The name of the i-th backend built into this library, best first, or NULL behind the last; and
 * whether it works here: 0, or why not (found by opening it).  Any thread. */
VIGIL_API const char *vigil_backend_name(size_t i);
VIGIL_API int vigil_backend_try(const char *name);

/* One thing that some kernels can do for a backend and others cannot.  Static storage. */
typedef struct vigil_feature {
    const char *name; /* "multishot receive" */
    const char *what; /* what it is good for, and the Linux version that brought it */
    bool found;       /* in the kernel that runs, by trying */
} vigil_feature;

/* What the backend of that name found here; the first says whether the kernel performs operations
 * for loops: if not, a loop takes the backend only by name.  Answers how many features there are,
 * of which the first `max` are written to `out`; 0 for a backend that needs nothing but its call;
 * VIGIL_EINVAL (no such backend), or why it does not work here, as vigil_backend_try().  Any
 * thread. */
VIGIL_API int vigil_backend_features(const char *name, vigil_feature *out, int max);

/* ---- layer 2: the loop ------------------------------------------------------------------- */

typedef struct vigil_loop vigil_loop;
typedef struct vigil_host vigil_host; /* what lies below a loop: this machine, or a simulated one */

/* Memory for one loop.  One function does it all: old NULL allocates, new_size 0 frees (and
 * answers NULL), else it resizes and keeps the content.  NULL for new_size > 0 is "out of memory".
 * Called on the loop's thread, and by vigil_loop_open() and vigil_loop_close(). */
typedef struct vigil_allocator {
    void *(*resize)(void *ctx, void *old, size_t old_size, size_t new_size);
    void *ctx;
} vigil_allocator;

/* Handles are numbers (slot and generation): copy, keep and compare them freely.  Used after the
 * thing is gone they answer VIGIL_ESTALE, never another's.  {0} names nothing.  They die with
 * their loop. */
typedef struct vigil_timer {
    uint64_t v;
} vigil_timer;
typedef struct vigil_signal {
    uint64_t v;
} vigil_signal;
typedef struct vigil_watch {
    uint64_t v;
} vigil_watch;
typedef struct vigil_listener {
    uint64_t v;
} vigil_listener;
typedef struct vigil_conn {
    uint64_t v;
} vigil_conn;

typedef void vigil_stall_fn(vigil_loop *loop, const char *callback, vigil_ns took_ns, void *user);

/* All zero is a good start. */
typedef struct vigil_loop_options {
    const char *backend;              /* NULL: VIGIL_BACKEND (on this machine), else the best */
    const vigil_allocator *allocator; /* NULL: the host's; must outlive the loop */
    const vigil_host *host;           /* NULL: this machine; must outlive the loop */
    size_t memory_limit;              /* bytes of all buffers; at least 256 KiB; 0: 256 MiB */
    vigil_ns stall_after_ns;          /* callbacks that took longer are reported; 0: 50 ms */
    vigil_stall_fn *on_stall;         /* where to; NULL: only counted */
    void *user;                       /* on_stall gets it */
    bool stop_on_signals;             /* SIGINT and SIGTERM drain; a second one aborts */
    vigil_ns grace_ns;                /* how long that drain may take; 0: 10 s */
    bool keep_running;                /* vigil_loop_run() stays when nothing is left to do */
} vigil_loop_options;

/* Opens a loop; `options` may be NULL and is copied.  Signal dispositions are left alone unless
 * stop_on_signals asks.  0, VIGIL_EINVAL (no such backend), VIGIL_ENOTSUP (backend not to be had
 * here), VIGIL_ENOMEM, VIGIL_EMFILE. */
VIGIL_API int vigil_loop_open(vigil_loop **out, const vigil_loop_options *options);

/* Turns until nothing is left (no listener, connection, timer, watch or post; signal handlers and
 * remotes do not count), until vigil_loop_stop(), or until a drain has ended.
 * 0; VIGIL_ETIMEDOUT: a drain's grace ran out and connections were aborted; VIGIL_ECANCELED: the
 * loop was closed inside a callback and is dead; VIGIL_EINVAL: called inside a callback;
 * VIGIL_EFORK; VIGIL_ENOMEM. */
VIGIL_API int vigil_loop_run(vigil_loop *loop);

/* One turn: waits at most `timeout_ns` for something to do, and does it.  Answers how many
 * callbacks ran, or an error as vigil_loop_run() does. */
VIGIL_API int vigil_loop_turn(vigil_loop *loop, vigil_ns timeout_ns);

/* Makes vigil_loop_run() return 0 after the turn under way, or the next vigil_loop_run() at once.
 * Any thread, and async-signal-safe. */
VIGIL_API void vigil_loop_stop(vigil_loop *loop);

/* Begins a graceful end and answers at once: listeners accept what is waiting and close; each
 * connection is read until the system says nothing is there, `data` gets it all, then
 * vigil_finish(); what is left after `grace_ns` is aborted.  Then vigil_loop_run() returns 0, or
 * VIGIL_ETIMEDOUT.  0, VIGIL_EINVAL (negative grace), VIGIL_ETHREAD. */
VIGIL_API int vigil_loop_drain(vigil_loop *loop, vigil_ns grace_ns);

/* Ends the loop: connections are aborted (their `close` runs, with VIGIL_ECANCELED), posts run
 * with VIGIL_ECANCELED, everything is freed.  Legal at any time; inside a callback it is
 * remembered until that returns.  In a child after fork it frees memory and touches no kernel
 * object that the parent shares.  NULL is allowed. */
VIGIL_API void vigil_loop_close(vigil_loop *loop);

/* For embedding in a foreign loop: a descriptor that is readable when a turn has something to do
 * (VIGIL_ENOTSUP on select and poll), and how long until the next turn is due by itself, timers
 * included (VIGIL_FOREVER: only when the descriptor is readable).  Ask for the due time before
 * every foreign wait: it hands pending changes to the kernel.  Now and then the descriptor is
 * readable for nothing: that turn answers 0. */
VIGIL_API int vigil_loop_fd(const vigil_loop *loop);
VIGIL_API vigil_ns vigil_loop_due(vigil_loop *loop);

/* The backend's name; static storage. */
VIGIL_API const char *vigil_loop_backend(const vigil_loop *loop);

/* The loop's clock as read at the start of this turn, or a little later. */
VIGIL_API vigil_ns vigil_now(const vigil_loop *loop);

/* Timers. */
typedef void vigil_timer_fn(vigil_loop *loop, void *arg);

/* Calls `fn` once, on the loop's thread, `delay_ns` from this call or later, never earlier and
 * never in the same turn.  `*out`, if given, names the timer; it is stale once fired.  Timers of
 * equal time fire in the order in which they were set.
 * 0, VIGIL_ENOMEM, VIGIL_EINVAL (negative delay or no fn), VIGIL_ETHREAD. */
VIGIL_API int vigil_after(vigil_loop *loop, vigil_ns delay_ns, vigil_timer_fn *fn, void *arg,
                          vigil_timer *out);

/* Moves a timer to `delay_ns` from this call.  0, VIGIL_ESTALE, VIGIL_EINVAL, VIGIL_ETHREAD. */
VIGIL_API int vigil_timer_set(vigil_loop *loop, vigil_timer timer, vigil_ns delay_ns);

/* Ends a timer; its callback never runs after this.  0, VIGIL_ESTALE, VIGIL_ETHREAD. */
VIGIL_API int vigil_cancel(vigil_loop *loop, vigil_timer timer);

/* Calls `fn` once in the next turn, before it waits for long.  As vigil_after() with delay 0. */
VIGIL_API int vigil_turn_soon(vigil_loop *loop, vigil_timer_fn *fn, void *arg);

/* Signals. */
typedef void vigil_signal_fn(vigil_loop *loop, int signo, void *arg);

/* Calls `fn` in a turn after `signo` arrived at the process, once however many times it came.
 * Several loops and callers may share a signal; the disposition found first is restored when the
 * last has gone.  Does not keep vigil_loop_run() running.
 * On Windows SIGINT (Ctrl-C), SIGBREAK, and SIGTERM (the console closes, the session ends).
 * 0, VIGIL_EINVAL (no such signal, or SIGKILL or SIGSTOP), VIGIL_EFULL, VIGIL_ENOMEM,
 * VIGIL_ETHREAD. */
VIGIL_API int vigil_on_signal(vigil_loop *loop, int signo, vigil_signal_fn *fn, void *arg,
                              vigil_signal *out);
VIGIL_API int vigil_signal_cancel(vigil_loop *loop, vigil_signal signal);

/* Descriptors of your own. */
typedef void vigil_watch_fn(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg);

/* Calls `fn` in every turn in which `fd` is ready for one of `events` (level-triggered, or
 * VIGIL_ONESHOT), with what is true.  The descriptor stays yours and keeps its flags; cancel the
 * watch before you close it.  A descriptor can be watched once per loop.
 * 0, VIGIL_EBADF, VIGIL_EEXIST, VIGIL_EINVAL, VIGIL_ENOTSUP (VIGIL_EDGE where the kernel has
 * none; on kqueue a terminal that the kernel refuses; on Windows what is no socket), VIGIL_EMFILE
 * (on epoll the first regular file needs a descriptor of ours), VIGIL_ENOMEM, VIGIL_ETHREAD. */
VIGIL_API int vigil_on_ready(vigil_loop *loop, vigil_fd fd, unsigned events, vigil_watch_fn *fn,
                             void *arg, vigil_watch *out);

/* Changes the events; re-arms a one-shot; 0 reports nothing until set again. */
VIGIL_API int vigil_watch_set(vigil_loop *loop, vigil_watch watch, unsigned events);

/* Ends the watch: the descriptor has left the kernel's set, and the callback never runs again. */
VIGIL_API int vigil_watch_cancel(vigil_loop *loop, vigil_watch watch);

/* Calls from other threads.  A remote is a counted reference that outlives its loop. */
typedef struct vigil_remote vigil_remote;
typedef void vigil_post_fn(vigil_loop *loop, void *arg, int status);

/* A remote of `loop` with one reference, yours.  0, VIGIL_ENOMEM, VIGIL_ETHREAD. */
VIGIL_API int vigil_remote_open(vigil_loop *loop, vigil_remote **out);
/* One more reference; answers `remote`.  Any thread. */
VIGIL_API vigil_remote *vigil_remote_keep(vigil_remote *remote);
/* Drops one reference.  Any thread.  NULL is allowed. */
VIGIL_API void vigil_remote_drop(vigil_remote *remote);

/* Any thread.  0: `fn` runs exactly once on the loop's thread, with status 0, or VIGIL_ECANCELED
 * inside vigil_loop_close() (where `loop` may only be compared); posts of one thread run in
 * order.  VIGIL_ECANCELED (the loop is closed), VIGIL_EFULL (65,536 wait already), VIGIL_ENOMEM:
 * `fn` never runs.  Posts use the process's allocator: 6 KB for all remotes of a loop, and 25 bytes
 * for each post of the most that ever waited at once (1.6 MB for 65,536), in blocks that are used
 * again and freed when the loop is closed and the last remote dropped. */
VIGIL_API int vigil_post(vigil_remote *remote, vigil_post_fn *fn, void *arg);

/* ---- layer 3: addresses ------------------------------------------------------------------ */

typedef enum vigil_family {
    VIGIL_FAMILY_NONE = 0,
    VIGIL_FAMILY_INET = 1,
    VIGIL_FAMILY_INET6 = 2,
    VIGIL_FAMILY_UNIX = 3
} vigil_family;

/* An address of any family, in our own form. */
typedef struct vigil_addr {
    uint8_t family;   /* vigil_family */
    uint8_t path_len; /* UNIX: bytes of path, without the final 0; 0: unnamed */
    uint16_t port;    /* INET, INET6: host byte order */
    uint32_t scope;   /* INET6: scope id (RFC 4007), or 0 */
    uint8_t ip[16];   /* INET: the first 4; INET6: all; network byte order */
    char path[108];   /* UNIX: the path; path[0] == 0 && path_len > 0: abstract (unix(7)) */
} vigil_addr;

#define VIGIL_ADDR_TEXT_MAX 440 /* room that vigil_addr_format() always finds enough */

/* Reads one address: "tcp://127.0.0.1:80", "tcp://[::1]:80", "unix:/path", "unix:@abstract"; a bare
 * "host:port" is tcp, "*" as host is every address of both families.  Numeric only; names are
 * VIGIL_ENOENT (see vigil_resolve).  0, VIGIL_EADDR (malformed).  Any thread. */
VIGIL_API int vigil_addr_parse(vigil_addr *out, const char *where);

/* Writes an address as vigil_addr_parse() reads it ("127.0.0.1:80", "[::1]:80", "unix:/path"),
 * cut to `size` with its final 0.  Answers the full length.  Any thread. */
VIGIL_API size_t vigil_addr_format(const vigil_addr *addr, char *text, size_t size);

/* The port, or 0 for a family without ports.  Any thread. */
VIGIL_API uint16_t vigil_addr_port(const vigil_addr *addr);

/* Resolves a WHERE with a name into at most `max` addresses, in the order to try them.  Blocks.
 * Answers how many, or VIGIL_ENOENT, VIGIL_EADDR, VIGIL_ENOMEM, VIGIL_ESYS.  Any thread. */
VIGIL_API int vigil_resolve(const char *where, vigil_addr *out, int max);

/* ---- layer 3: connections ---------------------------------------------------------------- */

/* What a connection does; static const, every member optional.  All run on the loop's thread,
 * from a turn, never inside another call of yours.
 *
 * `data` is the law.  It gets every byte not yet consumed, contiguous, oldest first, never none;
 * `p` is lent until it returns.  It answers how many it used; the rest is held, and why it is
 * held decides what comes next:
 *   blocked  a send to some connection T was cut short or refused during the call: nothing more
 *            is read; `data` is called again with the rest when T's output has sunk to out_low
 *            (or is empty, if it was that low already), when memory returns, or when T is gone.
 *   paused   vigil_pause() was called: nothing until vigil_resume(), which brings one call with
 *            what is held even if nothing new came.
 *   wanting  neither: `data` is called again with the rest as long as it uses some of it.  Then
 *            reading goes on, and the next call comes when there is more than before.  in_max
 *            bytes held and still wanting closes the connection with VIGIL_ELIMIT.
 * `eof` comes once, after every earlier byte was offered: never while blocked or paused; when
 * wanting, at once, the rest readable by vigil_conn_held() and then dropped and counted.
 * An answer above n counts as n.  After vigil_finish() or vigil_abort() it is ignored. */
typedef struct vigil_conn_ops {
    /* It is connected (accepted, or vigil_connect() succeeded, or adopted). */
    void (*open)(vigil_loop *loop, vigil_conn conn, void *ctx);
    /* Input.  NULL: input is discarded and counted. */
    size_t (*data)(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n);
    /* The peer is done sending.  NULL: vigil_finish().  An eof that calls nothing leaves the
     * connection half open: sending goes on, and the idle limit applies. */
    void (*eof)(vigil_loop *loop, vigil_conn conn, void *ctx);
    /* Once per send that was cut short or refused, when there is room again. */
    void (*writable)(vigil_loop *loop, vigil_conn conn, void *ctx);
    /* Exactly once and always last, whoever closed it; free ctx here.  `why` is VIGIL_OK when both
     * sides ended. */
    void (*close)(vigil_loop *loop, vigil_conn conn, void *ctx, int why);
} vigil_conn_ops;

/* 0 takes the default in brackets; SIZE_MAX and VIGIL_FOREVER are "none". */
typedef struct vigil_limits {
    size_t out_high;     /* a send fits below it [256 KiB] */
    size_t out_low;      /* `writable`, and blocked input goes on, at or below it [out_high / 4] */
    size_t out_hard;     /* no message may pass it; out_low <= out_high <= out_hard [1 MiB] */
    size_t in_max;       /* input held for a `data` that wants more [64 KiB] */
    vigil_ns connect_ns; /* until connected [10 s] */
    vigil_ns idle_ns;    /* without a byte in or out [none] */
    vigil_ns stall_ns;   /* output waiting without progress [60 s; none for pipes, terminals] */
    vigil_ns linger_ns;  /* for the peer's end, after ours, once finished [5 s] */
} vigil_limits;

typedef struct vigil_conn_options {
    const vigil_conn_ops *ops; /* must live on; NULL: everything is discarded */
    void *ctx;
    vigil_limits limits;
} vigil_conn_options;

typedef struct vigil_listen_options {
    const vigil_conn_ops *ops; /* must live on */
    /* Answers the ctx of a new connection; NULL from it refuses: reset, counted, no open and no
     * close.  Without this function every connection's ctx is `user`. */
    void *(*ctx)(vigil_loop *loop, vigil_conn conn, void *user);
    void *user;
    vigil_limits limits;
    uint32_t max_conns; /* at most so many at once, the rest wait in the backlog; 0: no limit */
    uint32_t backlog;   /* listen(2); 0: 4096, which the system cuts to its own limit */
    bool shed;          /* out of descriptors: close newcomers instead of letting them wait */
    bool reuse_port;    /* SO_REUSEPORT */
    bool v6_only;       /* IPV6_V6ONLY; else [::] takes IPv4 too */
    unsigned unix_mode; /* permissions of a Unix socket's file; 0: what umask leaves */
} vigil_listen_options;

/* Listens on `where` (see vigil_addr_parse(); names are resolved, which may block).  "localhost"
 * listens on ::1 and 127.0.0.1; port 0 takes a free port, the same for both.  A stale Unix socket
 * file is replaced, a live one is VIGIL_EADDRINUSE.
 * The listener survives every accept error.  Out of descriptors or memory it rests until a
 * descriptor of this loop closes or 100 ms passed.
 * 0, VIGIL_EADDR, VIGIL_ENOENT, VIGIL_EADDRINUSE, VIGIL_EACCES, VIGIL_EINVAL (limits, options),
 * VIGIL_EMFILE, VIGIL_ENOMEM, VIGIL_ECANCELED (draining), VIGIL_ETHREAD, VIGIL_ESYS. */
VIGIL_API int vigil_listen(vigil_loop *loop, const char *where, const vigil_listen_options *options,
                           vigil_listener *out);

/* The same on a socket that already listens (handed over by a supervisor).  On 0 the loop owns and
 * later closes it; on an error it stays yours.  Its flags are not changed; but on Windows it
 * becomes non-blocking. */
VIGIL_API int vigil_listen_fd(vigil_loop *loop, vigil_fd fd, const vigil_listen_options *options,
                              vigil_listener *out);

/* Stops and starts accepting; clients wait in the backlog meanwhile. */
VIGIL_API int vigil_listener_pause(vigil_loop *loop, vigil_listener listener);
VIGIL_API int vigil_listener_resume(vigil_loop *loop, vigil_listener listener);
/* Closes the listener; its connections live on.  A Unix socket file is removed if it is ours. */
VIGIL_API int vigil_listener_close(vigil_loop *loop, vigil_listener listener);
/* The address bound: the first, when it listens on several. */
VIGIL_API int vigil_listener_address(vigil_loop *loop, vigil_listener listener, vigil_addr *out);

/* Connects to a numeric address, a Unix path, or localhost (::1, then 127.0.0.1, one deadline).
 * `close` runs for every call that answered 0, even when `open` never did; if the call fails, ctx
 * stays yours.  Sends before `open` are queued.
 * 0, VIGIL_EADDR, VIGIL_ENOENT (a name: vigil_resolve() first), VIGIL_EINVAL, VIGIL_EMFILE,
 * VIGIL_ENOMEM, VIGIL_ECANCELED (draining), VIGIL_ETHREAD. */
VIGIL_API int vigil_connect(vigil_loop *loop, const char *where, const vigil_conn_options *options,
                            vigil_conn *out);

/* Makes a connection of descriptors you have: a connected socket (in == out), a pair of pipes, a
 * terminal.  Either may be VIGIL_FD_NONE: that side has ended.  On 0 the loop owns and later
 * closes them; on an error they stay yours.  They are never switched to O_NONBLOCK; but on Windows
 * sockets are, which are all it has here: VIGIL_ENOTSUP for others.
 * 0, VIGIL_EBADF, VIGIL_EINVAL, VIGIL_EEXIST, VIGIL_ENOMEM, VIGIL_ECANCELED, VIGIL_ETHREAD. */
VIGIL_API int vigil_adopt(vigil_loop *loop, vigil_fd in, vigil_fd out,
                          const vigil_conn_options *options, vigil_conn *conn);

/* Sending.  No send enters the kernel or reports the peer's error: output leaves when the callback
 * that runs returns (outside callbacks: in the next turn).  TCP_NODELAY is on.  After vigil_end()
 * or vigil_finish() sends answer VIGIL_ECLOSED (vigil_send: 0).
 *
 * When the system says that the peer takes no more, output is over: what is queued is dropped and
 * counted, and sends answer as after vigil_end().  What the peer had sent before is still offered
 * to `data`, unless the connection is paused, finished or coupled; then `close` tells why, and no
 * `eof` comes before it: nobody knows whether that was all.
 *
 * A connection that closes with a reason while output is left, or while another that is coupled to
 * it has not ended, or because the system failed it before its end was sent, is reset: its peer
 * shall not take what it got for all there was. */

/* Queues the prefix of `p` that fits below out_high, copied; answers its length, 0 also when the
 * connection is ended or stale.  `while`-free by design: what was not taken, `data` answers less
 * by, and `writable` tells when there is room. */
VIGIL_API size_t vigil_send(vigil_loop *loop, vigil_conn conn, const void *p, size_t n);

/* Queues all, copied, or nothing.  0; VIGIL_EFULL (not now); VIGIL_ELIMIT (n > out_hard: never);
 * VIGIL_ECLOSED, VIGIL_ESTALE, VIGIL_ENOMEM, VIGIL_ETHREAD. */
VIGIL_API int vigil_send_all(vigil_loop *loop, vigil_conn conn, const void *p, size_t n);

typedef struct vigil_iov {
    const void *base;
    size_t len;
} vigil_iov;

/* As vigil_send_all(), for pieces gathered in order; VIGIL_EINVAL when they add up to more than a
 * size_t holds. */
VIGIL_API int vigil_sendv(vigil_loop *loop, vigil_conn conn, const vigil_iov *iov, size_t count);

typedef void vigil_done_fn(void *arg);

/* Queues without a copy: on 0 `p` is lent until `done` runs, exactly once, from the loop, before
 * `close`; on an error it stays yours and `done` never runs.  Errors as vigil_send_all(). */
VIGIL_API int vigil_send_owned(vigil_loop *loop, vigil_conn conn, const void *p, size_t n,
                               vigil_done_fn *done, void *arg);

/* Queues `n` bytes of a regular file from `offset` (n < 0: to its end as it is now).  The file is
 * read as the peer takes it and must stay open until `done`; a file that turned out shorter
 * aborts the connection with VIGIL_EPROTO.  Errors as vigil_send_all(), and VIGIL_EBADF. */
VIGIL_API int vigil_send_file(vigil_loop *loop, vigil_conn conn, vigil_fd file, int64_t offset,
                              int64_t n, vigil_done_fn *done, void *arg);

/* All input of `from`, held first, goes to `to` by reference; `to`'s pressure pauses `from`;
 * `from`'s end of input ends `to`; `from`'s error aborts `to`; `to` gone aborts `from`.
 * from == to is an echo; two calls, crosswise, are a proxy with half-close.  `data` and `eof` of
 * `from` are not called.  0, VIGIL_ESTALE, VIGIL_EBUSY (already coupled), VIGIL_ECLOSED (`to` has
 * ended), VIGIL_ENOMEM, VIGIL_ETHREAD. */
VIGIL_API int vigil_couple(vigil_loop *loop, vigil_conn from, vigil_conn to);

/* Stops reading, and starts again (with one `data` call if anything is held). */
VIGIL_API int vigil_pause(vigil_loop *loop, vigil_conn conn);
VIGIL_API int vigil_resume(vigil_loop *loop, vigil_conn conn);

/* No more output: FIN behind the queue.  Input goes on as before, without limit; the connection
 * closes when both sides have ended.  Twice is once. */
VIGIL_API int vigil_end(vigil_loop *loop, vigil_conn conn);

/* Done with this peer: as vigil_end(), and input is read and thrown away from now on, held input
 * and a pause included, so that the system does not answer it with a reset that destroys the
 * reply in flight.  `linger` starts when the queue is empty.  Twice is once. */
VIGIL_API int vigil_finish(vigil_loop *loop, vigil_conn conn);

/* Ends it now: queue and input are dropped, the peer sees a reset (RST on TCP).  `close` follows
 * with VIGIL_ECANCELED. */
VIGIL_API int vigil_abort(vigil_loop *loop, vigil_conn conn);

/* Seeing and steering one connection.  All answer VIGIL_ESTALE for one that is gone; those that set
 * ops and limits VIGIL_ENOMEM, too. */
VIGIL_API int vigil_conn_peer(vigil_loop *loop, vigil_conn conn, vigil_addr *out);
VIGIL_API int vigil_conn_local(vigil_loop *loop, vigil_conn conn, vigil_addr *out);
VIGIL_API void *vigil_conn_ctx(vigil_loop *loop, vigil_conn conn); /* NULL when gone */
VIGIL_API int vigil_conn_set_ctx(vigil_loop *loop, vigil_conn conn, void *ctx);
VIGIL_API int vigil_conn_set_ops(vigil_loop *loop, vigil_conn conn, const vigil_conn_ops *ops);
VIGIL_API int vigil_conn_set_limits(vigil_loop *loop, vigil_conn conn, const vigil_limits *limits);
/* The descriptor that is read, to look at; or VIGIL_FD_NONE. */
VIGIL_API vigil_fd vigil_conn_fd(vigil_loop *loop, vigil_conn conn);
/* Input held (consumed by nobody yet), contiguous; valid until the next callback of `conn`. */
VIGIL_API int vigil_conn_held(vigil_loop *loop, vigil_conn conn, const void **p, size_t *n);
/* One deadline for whatever you like (a whole request): closes with VIGIL_ETIMEDOUT `delay_ns` from
 * now; VIGIL_FOREVER takes it back.  Also VIGIL_EINVAL, VIGIL_ENOMEM. */
VIGIL_API int vigil_conn_deadline(vigil_loop *loop, vigil_conn conn, vigil_ns delay_ns);

typedef enum vigil_option {
    VIGIL_NODELAY = 1, /* TCP_NODELAY, tcp(7) */
    VIGIL_KEEPALIVE,   /* SO_KEEPALIVE, socket(7); a value above 1 is the idle time in seconds */
    VIGIL_SNDBUF,      /* SO_SNDBUF, bytes */
    VIGIL_RCVBUF       /* SO_RCVBUF, bytes */
} vigil_option;
VIGIL_API int vigil_conn_option(vigil_loop *loop, vigil_conn conn, vigil_option option, int value);

typedef enum vigil_conn_state {
    VIGIL_CONNECTING = 1, /* vigil_connect() under way */
    VIGIL_OPEN,           /* both directions */
    VIGIL_HALF_IN,        /* our side has ended, the peer's goes on */
    VIGIL_HALF_OUT,       /* the peer's side has ended, ours goes on */
    VIGIL_FINISHING,      /* vigil_finish(): flushing, discarding, lingering */
    VIGIL_CLOSING         /* `close` is due */
} vigil_conn_state;

typedef struct vigil_conn_info {
    vigil_conn_state state;
    size_t queued;           /* bytes of output waiting */
    size_t held;             /* bytes of input held */
    uint64_t bytes_in;       /* received, and */
    uint64_t bytes_out;      /* accepted by the system, since the start */
    vigil_ns opened;         /* vigil_now() then */
    vigil_ns progress;       /* vigil_now() when a byte last moved, at the latest */
    const char *waiting_for; /* "input", "room in the output of another", ...; static storage */
    vigil_conn blocked_on;   /* whose output, when that is what it waits for; else {0} */
    vigil_listener listener; /* where it came from, or {0} */
} vigil_conn_info;
VIGIL_API int vigil_conn_info_get(vigil_loop *loop, vigil_conn conn, vigil_conn_info *out);

/* The connection after `conn` in an order of the loop's own, {0} gives the first; answers {0}
 * behind the last.  Safe when the current one closes meanwhile. */
VIGIL_API vigil_conn vigil_conn_next(vigil_loop *loop, vigil_conn conn);

/* Framing: pure functions for use in `data`.  They answer how many bytes the first message takes,
 * with its body, or 0 when it is not whole yet, which is what `data` then answers. */
/* A line ended by \n; the body has neither \n nor a \r before it. */
VIGIL_API size_t vigil_take_line(const void *p, size_t n, const char **line, size_t *len);
/* A body behind its length, 2 or 4 bytes, big endian. */
VIGIL_API size_t vigil_take_u16be(const void *p, size_t n, const void **body, size_t *len);
VIGIL_API size_t vigil_take_u32be(const void *p, size_t n, const void **body, size_t *len);

/* ---- seeing ------------------------------------------------------------------------------ */

/* Every counter of a loop: X(name, what it counts). */
#define VIGIL_STATS_MAP(X)                                                            \
    X(turns, "turns of the loop")                                                     \
    X(callbacks, "callbacks run")                                                     \
    X(wakes, "wake-ups by other threads and signals")                                 \
    X(posts, "posted calls run")                                                      \
    X(timers_fired, "timers fired")                                                   \
    X(stalls, "stretches of callbacks longer than stall_after_ns")                    \
    X(stall_max_ns, "the longest of them")                                            \
    X(accepted, "connections accepted")                                               \
    X(refused, "connections refused by the ctx function")                             \
    X(accept_errors, "accept errors of single connections, skipped")                  \
    X(accept_rests, "times a listener rested: out of descriptors or memory")          \
    X(accept_shed, "connections closed unserved: out of descriptors, shed asked for") \
    X(connected, "connections made by vigil_connect")                                 \
    X(connect_failed, "connections that could not be made")                           \
    X(closed_ok, "connections closed with both sides ended")                          \
    X(closed_error, "connections closed for any other reason")                        \
    X(closed_timeout, "of these: by a limit of time")                                 \
    X(closed_memory, "of these: shed because the memory limit was reached")           \
    X(bytes_in, "bytes received")                                                     \
    X(bytes_out, "bytes sent")                                                        \
    X(dropped_in, "bytes received and given to nobody")                               \
    X(dropped_out, "bytes queued and never sent")                                     \
    X(receives, "calls or completions that brought input")                            \
    X(sends, "calls or completions that took output")                                 \
    X(conns, "connections now")                                                       \
    X(listeners, "listeners now")                                                     \
    X(timers, "timers now")                                                           \
    X(memory, "bytes of buffers in use now")                                          \
    X(memory_max, "the most that ever was")

typedef struct vigil_stats {
#define VIGIL_STATS_MEMBER(name, text) uint64_t name;
    VIGIL_STATS_MAP(VIGIL_STATS_MEMBER)
#undef VIGIL_STATS_MEMBER
} vigil_stats;

/* Copies the counters; each is whole, together they are not a snapshot, and on any thread but the
 * loop's what is counted in the turn under way may come with its end.  Any thread. */
VIGIL_API void vigil_stats_get(const vigil_loop *loop, vigil_stats *out);

typedef void vigil_text_fn(void *arg, const char *text, size_t len);

/* Tells in plain lines who is there, who is stuck and on what; `write` gets each line with its
 * newline.  0 or VIGIL_ETHREAD. */
VIGIL_API int vigil_dump(vigil_loop *loop, vigil_text_fn *write, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VIGIL_H */
