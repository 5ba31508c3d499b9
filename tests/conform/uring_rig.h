/* SPDX-License-Identifier: MIT
 *
 * uring_rig.h -- what goes between the backend on io_uring(7) and the kernel, seen and changed.
 *
 * A program that includes this, before all else, has its own copy of uring_calls.c.  Through it
 * every submission and completion is counted; set-up can be refused as by an older kernel, features
 * hidden, what an accept brings replaced by an error, and nothing taken.
 */
#ifndef URING_RIG_H
#define URING_RIG_H

#include <unistd.h> /* before its syscall() becomes ours */

static long seen_syscall(long number, ...);

#define vigil__call_uring_setup    real_uring_setup
#define vigil__call_uring_enter    real_uring_enter
#define vigil__call_uring_register real_uring_register
#define vigil__call_uring_map      real_uring_map
#define vigil__call_uring_unmap    real_uring_unmap
#define vigil__uring_result        real_uring_result
#define syscall                    seen_syscall
#include "sys/uring_calls.c"
#undef vigil__call_uring_setup
#undef vigil__call_uring_enter
#undef vigil__call_uring_register
#undef vigil__call_uring_map
#undef vigil__call_uring_unmap
#undef vigil__uring_result
#undef syscall

#include <fcntl.h>
#include <poll.h>

#include "conn_rig.h"
#include "poller/backend.h"

enum { URING_USER_DATA_MAX = 1 << 17, URING_FDS_MAX = 20000, URING_SETUP_SQPOLL = 1 << 1 };

/* An older kernel: what it answers VIGIL_EINVAL to, and does not tell of. */
struct uring_older {
    uint32_t setup_flags; /* refused */
    uint32_t features;    /* not there */
    bool no_incremental, no_buf_ring;
};
static struct uring_older older;

/* The ring that was made last. */
static struct {
    struct vigil__uring_params params;
    char *rings;
    const struct vigil__sqe *sqes;
    uint32_t submitted, completed; /* so many were counted */
    const struct vigil__uring_buf *places;
    uint32_t places_count, buf_size;
    uint16_t consumed; /* buffers that the kernel has taken out of their ring for good */
} view;

/* Since seen_reset(). */
static struct {
    unsigned setups, enters, sqpoll, min_waits, nobufs, overflows, bundles_long, sends_short;
    unsigned sends_overlapping; /* a send of a descriptor while another was under way */
    unsigned twice;             /* ended twice, or begun before it had ended */
    unsigned under_way;         /* begun, not ended */
    int accept_error;           /* what the next accept's answer is replaced by */
    bool refuse;                /* entering fails, as where the kernel has no memory */
    unsigned submitted[256];    /* by opcode */
    unsigned closed_before;     /* closings of what was not open any more */
    unsigned long ended;
} seen;

static struct {
    uint64_t user_data;
    uint32_t sent; /* asked for; a send's alone */
    int fd;
    bool on, send;
} seen_requests[URING_USER_DATA_MAX];
static uint8_t seen_sends[URING_FDS_MAX];

TEST_MAYBE_UNUSED static void seen_reset(void)
{
    memset(&seen, 0, sizeof(seen));
    memset(seen_requests, 0, sizeof(seen_requests));
    memset(seen_sends, 0, sizeof(seen_sends));
}

static size_t seen_place(uint64_t user_data)
{
    size_t at = (size_t)(user_data * UINT64_C(0x9e3779b97f4a7c15) >> 40) % URING_USER_DATA_MAX;
    for (size_t tries = 0; tries < URING_USER_DATA_MAX; tries++) {
        if (seen_requests[at].user_data == user_data || seen_requests[at].user_data == 0)
            return at;
        at = (at + 1) % URING_USER_DATA_MAX;
    }
    return at; /* full: the counts will not be right, and the row fails */
}

static bool seen_counts(uint64_t user_data)
{
    return vigil__key_class(user_data) != 0; /* neither a cancelling nor a trial */
}

static void seen_begins(const struct vigil__sqe *sqe)
{
    if (!seen_counts(sqe->user_data))
        return;
    size_t at = seen_place(sqe->user_data);
    seen.twice += seen_requests[at].on;
    seen.under_way += !seen_requests[at].on;
    bool send = sqe->opcode == VIGIL__URING_SEND || sqe->opcode == VIGIL__URING_SENDMSG;
    seen_requests[at].user_data = sqe->user_data;
    seen_requests[at].on = true;
    seen_requests[at].send = send;
    seen_requests[at].fd = sqe->fd;
    seen_requests[at].sent = sqe->opcode == VIGIL__URING_SEND ? sqe->len : 0;
    if (send && sqe->fd >= 0 && sqe->fd < URING_FDS_MAX)
        seen.sends_overlapping += seen_sends[sqe->fd]++ != 0;
}

static void seen_ends(const struct vigil__cqe *cqe)
{
    if ((cqe->flags & VIGIL__URING_CQE_BUFFER) != 0 && view.buf_size > 0 &&
        seen_counts(cqe->user_data)) {
        unsigned buffers = cqe->res > 0 ? ((unsigned)cqe->res - 1) / view.buf_size + 1 : 1;
        seen.bundles_long += buffers > 1;
        if ((cqe->flags & VIGIL__URING_CQE_BUF_MORE) == 0)
            view.consumed = (uint16_t)(view.consumed + buffers);
    }
    seen.nobufs += cqe->res == -ENOBUFS;
    if (!seen_counts(cqe->user_data) || (cqe->flags & VIGIL__URING_CQE_MORE) != 0)
        return;
    size_t at = seen_place(cqe->user_data);
    seen.twice += !seen_requests[at].on;
    seen.under_way -= seen_requests[at].on;
    seen.ended += seen_requests[at].on;
    seen_requests[at].on = false;
    if (!seen_requests[at].send)
        return;
    seen.sends_short += cqe->res > 0 && (uint32_t)cqe->res < seen_requests[at].sent;
    if (seen_requests[at].fd >= 0 && seen_requests[at].fd < URING_FDS_MAX)
        seen_sends[seen_requests[at].fd] = 0;
}

static uint32_t view_word(uint32_t offset)
{
    return atomic_load((_Atomic uint32_t *)(void *)(view.rings + offset));
}

static void seen_submissions(void)
{
    uint32_t tail = view_word(view.params.sq.tail);
    for (; view.submitted != tail; view.submitted++) {
        const struct vigil__sqe *sqe = &view.sqes[view.submitted & (view.params.sq_entries - 1)];
        seen.submitted[sqe->opcode]++;
        seen.closed_before += sqe->opcode == VIGIL__URING_CLOSE && fcntl(sqe->fd, F_GETFD) < 0;
        seen_begins(sqe);
    }
}

static void seen_completions(void)
{
    const struct vigil__cqe *cqes = (const struct vigil__cqe *)(void *)(view.rings +
                                                                        view.params.cq.cqes);
    uint32_t tail = view_word(view.params.cq.tail);
    for (; view.completed != tail; view.completed++)
        seen_ends(&cqes[view.completed & (view.params.cq_entries - 1)]);
    seen.overflows += (view_word(view.params.sq.flags) & VIGIL__URING_SQ_CQ_OVERFLOW) != 0;
}

/* How many buffers the kernel has to fill. */
TEST_MAYBE_UNUSED static unsigned buffers_in_kernel(void)
{
    const _Atomic uint16_t *tail = (const _Atomic uint16_t *)(const void *)&view.places->reserved;
    return (uint16_t)(atomic_load(tail) - view.consumed);
}

/* ---- in the place of uring_calls.c's ---- */

static long seen_syscall(long number, ...)
{
    va_list args;
    long a[6];
    va_start(args, number);
    int count = number == CALL_SETUP ? 2 : number == CALL_ENTER ? 6 : 4;
    for (int i = 0; i < count; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    for (int i = count; i < 6; i++)
        a[i] = 0;
    if (number == CALL_ENTER && (a[3] & VIGIL__URING_ENTER_EXT_ARG) != 0)
        seen.min_waits += ((const struct vigil__uring_wait *)a[4])->min_wait_us != 0;
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int vigil__call_uring_setup(uint32_t entries, struct vigil__uring_params *params)
{
    seen.setups++;
    seen.sqpoll += (params->flags & URING_SETUP_SQPOLL) != 0;
    if ((params->flags & older.setup_flags) != 0)
        return VIGIL_EINVAL;
    int ring = real_uring_setup(entries, params);
    params->features &= ~older.features;
    if (ring < 0)
        return ring; /* the one before may be used on */
    memset(&view, 0, sizeof(view));
    view.params = *params;
    return ring;
}

int vigil__call_uring_enter(int ring, uint32_t to_submit, uint32_t min_complete,
                            vigil_ns timeout_ns)
{
    seen.enters++;
    if (seen.refuse)
        return VIGIL_ENOMEM;
    seen_submissions();
    int n = real_uring_enter(ring, to_submit, min_complete, timeout_ns);
    seen_completions();
    return n;
}

/* What a buffer has that is filled bit by bit: of a loop with much memory, as most rows have. */
static uint32_t incremental_size = 65536;

int vigil__call_uring_register(int ring, unsigned opcode, void *arg, unsigned count)
{
    const struct vigil__uring_buf_ring *bufs = arg;
    if (opcode == VIGIL__URING_REGISTER_BUF_RING &&
        (older.no_buf_ring ||
         (older.no_incremental && (bufs->flags & VIGIL__URING_BUF_RING_INCREMENTAL) != 0)))
        return VIGIL_EINVAL;
    int status = real_uring_register(ring, opcode, arg, count);
    if (status == 0 && opcode == VIGIL__URING_REGISTER_BUF_RING && bufs->group == 0) {
        view.places = (const struct vigil__uring_buf *)(uintptr_t)bufs->addr;
        view.places_count = bufs->entries;
        bool incremental = (bufs->flags & VIGIL__URING_BUF_RING_INCREMENTAL) != 0;
        view.buf_size = incremental ? incremental_size : 4096; /* measures[] of uring_bufs.c */
        view.consumed = 0;
    }
    return status;
}

void *vigil__call_uring_map(int ring, size_t size, uint64_t offset)
{
    void *p = real_uring_map(ring, size, offset);
    if (ring >= 0 && offset == VIGIL__URING_MAP_RINGS)
        view.rings = p;
    else if (ring >= 0)
        view.sqes = p;
    return p;
}

static void (*before_unmap)(void); /* as when a ring is about to be left */

void vigil__call_uring_unmap(void *p, size_t size)
{
    if (before_unmap != NULL)
        before_unmap();
    real_uring_unmap(p, size);
}

int32_t vigil__uring_result(int32_t res)
{
    if (res <= STDERR_FILENO || seen.accept_error == 0)
        return real_uring_result(res);
    int32_t error = seen.accept_error;
    seen.accept_error = 0;
    (void)close(res); /* the newcomer, whom nobody gets to know */
    return error;
}

/* ---- rows ---- */

TEST_MAYBE_UNUSED static void uring_needed(void)
{
    if (vigil_backend_try("io_uring") != 0)
        SKIP("io_uring is not to be had here");
    if (!test_kernel_performs("io_uring"))
        SKIP("this kernel's io_uring performs no operations");
    seen_reset();
}

/* As the rig's own, but that the end of input finishes. */
TEST_MAYBE_UNUSED static void uring_open_loop(struct rig *rig)
{
    rig_open_loop(rig, "io_uring", NULL);
    rig->ops.eof = NULL;
}

TEST_MAYBE_UNUSED static void uring_open(struct rig *rig, const vigil_listen_options *options)
{
    rig_open(rig, "io_uring", options);
    rig->ops.eof = NULL;
}

/* One end of a socket pair as a connection of the rig; answers the other, which does not block. */
TEST_MAYBE_UNUSED static int uring_pair(struct rig *rig, const vigil_limits *limits,
                                        vigil_conn *conn)
{
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "%s",
            strerror(errno));
    vigil_conn_options o = { .ops = &rig->ops, .ctx = rig };
    if (limits != NULL)
        o.limits = *limits;
    REQUIRE(vigil_adopt(rig->loop, ends[0], ends[0], &o, conn) == 0);
    return ends[1];
}

TEST_MAYBE_UNUSED static uint8_t pattern(size_t at, unsigned seed)
{
    return (uint8_t)((at + seed * 7919u) * UINT64_C(2654435761) >> 13);
}

TEST_MAYBE_UNUSED static void pattern_fill(uint8_t *p, size_t n, size_t at, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = pattern(at + i, seed);
}

TEST_MAYBE_UNUSED static bool pattern_is(const uint8_t *p, size_t n, size_t at, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern(at + i, seed))
            return false;
    return true;
}

/* A client that writes a pattern and checks what comes back, none of it blocking. */
struct talk {
    int fd;
    unsigned seed;
    size_t put, got, total, chunk; /* chunk: at once, either way */
    bool wrong, ended;
};

/* Writes what fits. */
TEST_MAYBE_UNUSED static void talk_put(struct talk *talk)
{
    static uint8_t p[1 << 16];
    while (talk->put < talk->total) {
        size_t n = talk->chunk < sizeof(p) ? talk->chunk : sizeof(p);
        n = n < talk->total - talk->put ? n : talk->total - talk->put;
        pattern_fill(p, n, talk->put, talk->seed);
        ssize_t put = send(talk->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0)
            return;
        talk->put += (size_t)put;
    }
}

/* Reads at most one chunk. */
TEST_MAYBE_UNUSED static void talk_get(struct talk *talk)
{
    static uint8_t p[1 << 16];
    ssize_t n = recv(talk->fd, p, talk->chunk < sizeof(p) ? talk->chunk : sizeof(p), MSG_DONTWAIT);
    if (n > 0) {
        talk->wrong = talk->wrong || !pattern_is(p, (size_t)n, talk->got, talk->seed);
        talk->got += (size_t)n;
    } else if (n == 0 || errno != EAGAIN) {
        talk->ended = true;
    }
}

/* Turns until every one has got back all it said; `rounds` is a bound far above what it takes. */
TEST_MAYBE_UNUSED static void talks_echo(struct rig *rig, struct talk *talks, size_t count)
{
    size_t left = count;
    for (long rounds = 0; left > 0 && rounds < 200000; rounds++) {
        left = 0;
        for (size_t i = 0; i < count; i++) {
            struct talk *talk = &talks[i];
            talk_put(talk);
            talk_get(talk);
            REQUIRE(!talk->ended || talk->got == talk->total, "talk %zu ended after %zu of %zu", i,
                    talk->got, talk->total);
            REQUIRE(!talk->wrong, "talk %zu: other bytes before %zu", i, talk->got);
            left += talk->got < talk->total;
        }
        rig->log[0] = '\0';
        if (left > 0)
            REQUIRE(vigil_loop_turn(rig->loop, VIGIL_NOWAIT) >= 0);
    }
    EQ_INT(0, left, "so many did not get all");
}

#endif
