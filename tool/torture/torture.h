/* SPDX-License-Identifier: MIT
 *
 * torture.h -- what the files of `vigil torture` share: a probe is a short script that puts a
 * server through one hazard; what it found is a verdict, what was seen, and figures.  The scripts
 * stand in hazards/, one a file; probes.c lists them, run.c runs them, report_*.c tell.
 *
 * A script is written straight through: once something was found, whatever it does next does
 * nothing, and the first finding stays.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process.h"
#include "target.h"
#include "vigil.h"

/* What the server does with what it is sent. */
enum torture_mode {
    MODE_ECHO,   /* sends every byte back */
    MODE_LINES,  /* sends every line back, once it is whole */
    MODE_DISCARD /* answers nothing, and ends a connection whose client ended it */
};

/* How much a probe asks of the server.  Each is an option, see cmd_torture.c. */
struct torture_limits {
    vigil_ns patience_ns;      /* for anything that must happen: so long without any progress */
    vigil_ns quiet_ns;         /* a server that took nothing for so long takes no more */
    vigil_ns idle_ns;          /* how long a connection is left alone, or is fed by the byte */
    uint64_t appetite_bytes;   /* what a server may take from a client that does not read */
    uint64_t stream_bytes;     /* of one long echo */
    uint64_t connections;      /* of a crowd, one after the other or at once */
    uint64_t leak_connections; /* over which a leak must show */
    uint64_t leak_bytes;       /* of memory that may be kept for each of them */
    uint64_t cpu_percent;      /* of one CPU that a server with nothing to do may use */
    uint64_t rate;             /* connections begun in a second, at most */
    uint64_t seed;             /* of what is random: sizes of chunks */
};

enum verdict {
    VERDICT_NONE, /* nothing was found so far */
    VERDICT_PASS,
    VERDICT_FAIL,
    VERDICT_SKIP
};

/* One figure: the name ends in its unit, as "returned_bytes". */
struct measure {
    const char *name;
    int64_t value;
};

#define SEEN_MAX     200
#define MEASURES_MAX 12

struct finding {
    enum verdict verdict;
    char seen[SEEN_MAX]; /* one line */
    bool placed;         /* it says at which part of a script that was */
    struct measure measures[MEASURES_MAX];
    size_t measure_count;
    vigil_ns took_ns;
};

/* What a probe cannot do without; where it is not there, the verdict is SKIP. */
enum {
    NEEDS_ANSWER = 1 << 0, /* a server that sends back what it gets */
    NEEDS_TCP = 1 << 1,
    NEEDS_PID = 1 << 2,    /* --pid, of a process on this machine */
    NEEDS_SIGNAL = 1 << 3, /* --signal */
    ENDS_SERVER = 1 << 4   /* the server is gone afterwards, and should be */
};

struct torture {
    struct target target;
    enum torture_mode mode;
    struct torture_limits limits;
    struct process process;  /* of the server; pid 0: unknown */
    int signal;              /* that ends the server, or 0 */
    struct finding *finding; /* of the probe that runs */
    uint64_t random;         /* state of torture_random() */
    vigil_ns connect_next;   /* no connection begins before, for the sake of limits.rate */
    uint64_t wires_opened;
    const volatile int *interrupted; /* the signal that ends the run, or 0 */
};

struct probe {
    const char *name;
    const char *hazard; /* one line: what is done to the server */
    const char *passes; /* one line: what a server that is right does */
    unsigned needs;
    void (*run)(struct torture *t);
};

/* The probes in the order in which they run, NULL behind the last. */
extern const struct probe *const probes[];

/* The next name in a list with commas, of `*len` bytes, and `*list` goes behind it; NULL at the
 * end, also where the list is NULL.  A comma may end it. */
const char *probe_name_next(const char **list, size_t *len);
bool probe_has_name(const struct probe *probe, const char *name, size_t len);

/* Runs one probe, and sees whether the server is well afterwards.  False: it is not, and nothing
 * more can be found out. */
bool torture_probe(struct torture *t, const struct probe *probe, struct finding *finding);

/* Whether one client is served now, or several at once: each sends a line and gets the answer, or
 * else the end.  Tells what went wrong in the finding. */
bool torture_pulse(struct torture *t);
bool torture_pulses(struct torture *t, size_t count);

/* A finding; the first one stays.  found() is false while there is none. */
bool found(const struct torture *t);
void found_pass(struct torture *t, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));
void found_fail(struct torture *t, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));
void found_skip(struct torture *t, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));

/* A failure that was found just now was so while something was done: says it in front. */
void found_while(struct torture *t, const char *what);

/* A figure beside the finding; the name ends in its unit and is static storage. */
void found_value(struct torture *t, const char *name, int64_t value);

/* Writes bytes or a time as a person reads them ("4.2 MiB", "310 ms"); answers `out`. */
#define SHOWN_MAX 32
const char *show_bytes(char out[SHOWN_MAX], uint64_t bytes);
const char *show_time(char out[SHOWN_MAX], vigil_ns time);

/* The monotonic clock; and waits, unless a signal ends the run. */
vigil_ns torture_now(void);
void torture_sleep(const struct torture *t, vigil_ns time);

/* Whether a probe that began then goes on with more of the same: a server that is slow gets less
 * of it, for about four times limits.idle_ns. */
bool torture_goes_on(const struct torture *t, vigil_ns began);

/* The same for messages of which each waits for the answer to the last one, for about
 * limits.patience_ns: a server that takes seconds for each would take minutes for all. */
bool torture_asks_on(const struct torture *t, vigil_ns began);

/* A number below `limit`, which is not 0; the same ones for the same seed. */
uint64_t torture_random(struct torture *t, uint64_t limit);

#endif /* TORTURE_H */
