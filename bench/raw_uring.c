/* SPDX-License-Identifier: MIT
 *
 * raw_uring.c -- the limit of completions: an echo server written by hand on io_uring(7).
 *
 * Raw system calls and mappings of its own.  Multishot accept, multishot receive into a ring of
 * provided buffers, each sent back from where it was received, one send under way per connection,
 * one system call per turn.  No byte is lost: who does not read has some PIECES_MAX buffers, then
 * nothing more is received from him; who finds no buffer asks again when one comes back.
 * Idle limits are as in raw_epoll.c: a message stores the turn's time, all are looked at once in a
 * second, and a silent one is shut down.  SIGTERM ends it at once.  System headers only. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "server.h"

enum {
    SQ_ENTRIES = 1024,
    CQ_ENTRIES = 8192,
    BUFS = 256,                  /* a power of two */
    BUF_STRIDE = READ_SIZE + 64, /* their first lines share no set of a cache */
    PIECES_MAX = 4, /* buffers that one connection may hold, and what is on its way meanwhile */
    SWEEP_MS = 1000
};

enum kind { ACCEPT, RECEIVE, SEND, CANCEL }; /* the low bits of user_data */

struct connection {
    int fd;
    bool receiving, cancelling, sending, starved;
    bool ended;           /* nothing more comes in */
    uint16_t first, last; /* buffers to be sent, `count` of them */
    uint32_t count, sent; /* sent: of the first */
    int64_t active_ms;
    struct connection *next_starved;
    struct connection *next, *previous;
};

static struct {
    uint32_t length;
    uint16_t next;
} pieces[BUFS]; /* what a received buffer holds, and which is to be sent behind it */

static struct {
    int fd, listener;
    uint32_t sq_mask, cq_mask, sq_tail, submitted;
    _Atomic uint32_t *sq_head, *sq_tail_shared, *cq_head, *cq_tail;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    struct io_uring_buf_ring *bufs;
    uint16_t bufs_tail;
    unsigned char *memory;
    bool resting; /* the listener, without descriptors */
    bool idle;
    int64_t now_ms, sweep_ms;
    struct connection *starved, *connections;
} ring;

static void skip(const char *what)
{
    printf("skip %s: %s\n", what, strerror(errno));
    exit(0);
}

/* ---- the ring ---- */

static void enter(unsigned wait_for)
{
    int limit_ms = ring.resting ? REST_MS : SWEEP_MS;
    struct __kernel_timespec wait = { .tv_sec = limit_ms / 1000,
                                      .tv_nsec = limit_ms % 1000 * 1000000L };
    struct io_uring_getevents_arg limit = { .ts = (uint64_t)(uintptr_t)&wait };
    bool timed = wait_for > 0 && (ring.resting || ring.idle);
    atomic_store_explicit(ring.sq_tail_shared, ring.sq_tail, memory_order_release);
    long n = syscall(SYS_io_uring_enter, ring.fd, ring.sq_tail - ring.submitted, wait_for,
                     IORING_ENTER_GETEVENTS | (timed ? IORING_ENTER_EXT_ARG : 0),
                     timed ? &limit : NULL, timed ? sizeof limit : 0);
    if (n < 0 && errno != EINTR && errno != ETIME && errno != EBUSY && errno != EAGAIN)
        server_die("io_uring_enter");
    ring.submitted = atomic_load_explicit(ring.sq_head, memory_order_acquire);
}

static struct io_uring_sqe *submission(unsigned char opcode, int fd, const void *of, enum kind kind)
{
    while (ring.sq_tail - atomic_load_explicit(ring.sq_head, memory_order_acquire) == SQ_ENTRIES)
        enter(0);
    struct io_uring_sqe *sqe = &ring.sqes[ring.sq_tail++ & ring.sq_mask];
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->user_data = (uint64_t)(uintptr_t)of | kind;
    return sqe;
}

static void buf_offer(uint16_t buf)
{
    struct io_uring_buf *entry = &ring.bufs->bufs[ring.bufs_tail++ & (BUFS - 1)];
    entry->addr = (uint64_t)(uintptr_t)(ring.memory + (size_t)buf * BUF_STRIDE);
    entry->len = READ_SIZE;
    entry->bid = buf;
    atomic_store_explicit((_Atomic uint16_t *)&ring.bufs->tail, ring.bufs_tail,
                          memory_order_release);
}

static void *map(size_t size, off_t offset)
{
    int flags = MAP_POPULATE | (offset < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, offset < 0 ? -1 : ring.fd,
                   offset < 0 ? 0 : offset);
    if (p == MAP_FAILED)
        server_die("mmap");
    return p;
}

static void bufs_open(void)
{
    ring.memory = map((size_t)BUFS * BUF_STRIDE, -1);
    ring.bufs = map(BUFS * sizeof(struct io_uring_buf), -1);
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)ring.bufs,
                                    .ring_entries = BUFS };
    if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
        skip("a ring of provided buffers");
    for (uint16_t buf = 0; buf < BUFS; buf++)
        buf_offer(buf);
}

static void ring_open(void)
{
    struct io_uring_params params = { .cq_entries = CQ_ENTRIES };
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
                   IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    ring.fd = (int)syscall(SYS_io_uring_setup, SQ_ENTRIES, &params);
    if (ring.fd < 0 && errno == EINVAL) { /* 6.0 and older have not all of these */
        params = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = CQ_ENTRIES };
        ring.fd = (int)syscall(SYS_io_uring_setup, SQ_ENTRIES, &params);
    }
    if (ring.fd < 0)
        skip("io_uring_setup");
    size_t cqes_end = params.cq_off.cqes + params.cq_entries * sizeof *ring.cqes;
    size_t array_end = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    unsigned char *rings = map(cqes_end > array_end ? cqes_end : array_end, IORING_OFF_SQ_RING);
    ring.sqes = map(params.sq_entries * sizeof *ring.sqes, IORING_OFF_SQES);
    ring.cqes = (struct io_uring_cqe *)(void *)(rings + params.cq_off.cqes);
    ring.sq_head = (_Atomic uint32_t *)(void *)(rings + params.sq_off.head);
    ring.sq_tail_shared = (_Atomic uint32_t *)(void *)(rings + params.sq_off.tail);
    ring.cq_head = (_Atomic uint32_t *)(void *)(rings + params.cq_off.head);
    ring.cq_tail = (_Atomic uint32_t *)(void *)(rings + params.cq_off.tail);
    ring.sq_mask = params.sq_entries - 1;
    ring.cq_mask = params.cq_entries - 1;
    uint32_t *array = (uint32_t *)(void *)(rings + params.sq_off.array);
    for (uint32_t i = 0; i < params.sq_entries; i++)
        array[i] = i;
    bufs_open();
}

/* ---- connections ---- */

static void receive(struct connection *connection)
{
    if (connection->receiving || connection->ended || connection->count >= PIECES_MAX)
        return;
    struct io_uring_sqe *sqe = submission(IORING_OP_RECV, connection->fd, connection, RECEIVE);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    connection->receiving = true;
}

static void send_first(struct connection *connection)
{
    struct io_uring_sqe *sqe = submission(IORING_OP_SEND, connection->fd, connection, SEND);
    sqe->addr = (uint64_t)(uintptr_t)(ring.memory + (size_t)connection->first * BUF_STRIDE +
                                      connection->sent);
    sqe->len = pieces[connection->first].length - connection->sent;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    connection->sending = true;
}

static void accept_more(void)
{
    struct io_uring_sqe *sqe = submission(IORING_OP_ACCEPT, ring.listener, NULL, ACCEPT);
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->accept_flags = SOCK_CLOEXEC;
    ring.resting = false;
}

/* Gives the first buffer back, and lets those ask again who found none. */
static void piece_drop(struct connection *connection)
{
    uint16_t buf = connection->first;
    connection->first = pieces[buf].next;
    connection->count--;
    connection->sent = 0;
    buf_offer(buf);
    while (ring.starved) {
        struct connection *starved = ring.starved;
        ring.starved = starved->next_starved;
        starved->starved = false;
        receive(starved);
    }
}

static void connection_add(int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return;
    }
    connection->fd = fd;
    connection->active_ms = ring.now_ms;
    connection->next = ring.connections;
    if (connection->next)
        connection->next->previous = connection;
    ring.connections = connection;
    receive(connection);
}

static void connection_free(struct connection *connection)
{
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        ring.connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    close(connection->fd);
    free(connection);
}

/* Goes on with a connection after something of it completed. */
static void proceed(struct connection *connection)
{
    if (connection->count > 0 && !connection->sending)
        send_first(connection);
    if (connection->count >= PIECES_MAX && connection->receiving && !connection->cancelling) {
        struct io_uring_sqe *sqe = submission(IORING_OP_ASYNC_CANCEL, -1, NULL, CANCEL);
        sqe->addr = (uint64_t)(uintptr_t)connection | RECEIVE;
        connection->cancelling = true;
    }
    if (!connection->starved)
        receive(connection);
    if (connection->ended && !connection->receiving && !connection->sending &&
        !connection->starved && connection->count == 0) {
        connection_free(connection);
        if (ring.resting)
            accept_more();
    }
}

static void on_accept(int res, bool more)
{
    if (res >= 0)
        connection_add(res);
    if (more)
        return;
    if (res == -EINVAL)
        server_die("multishot accept");
    if (server_starved(-res))
        ring.resting = true;
    else
        accept_more();
}

static void on_receive(struct connection *connection, int res, unsigned flags)
{
    connection->active_ms = ring.now_ms;
    if (res > 0) {
        uint16_t buf = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
        pieces[buf].length = (uint32_t)res;
        *(connection->count++ > 0 ? &pieces[connection->last].next : &connection->first) = buf;
        connection->last = buf;
    }
    if ((flags & IORING_CQE_F_MORE) == 0)
        connection->receiving = connection->cancelling = false;
    if (res == -ENOBUFS && !connection->starved) {
        connection->starved = true;
        connection->next_starved = ring.starved;
        ring.starved = connection;
    } else if (res <= 0 && res != -ECANCELED && res != -ENOBUFS) {
        connection->ended = true;
    }
    proceed(connection);
}

static void starved_remove(struct connection *connection)
{
    struct connection **at = &ring.starved;
    while (*at && *at != connection)
        at = &(*at)->next_starved;
    if (*at)
        *at = connection->next_starved;
    connection->starved = false;
}

static void on_send(struct connection *connection, int res)
{
    connection->sending = false;
    connection->active_ms = ring.now_ms;
    if (res >= 0) {
        connection->sent += (uint32_t)res;
        if (connection->sent == pieces[connection->first].length)
            piece_drop(connection);
    } else if (res != -EAGAIN && res != -EINTR) { /* the peer is gone, and what is for it with it */
        connection->ended = true;
        starved_remove(connection);
        while (connection->count > 0)
            piece_drop(connection);
        (void)shutdown(connection->fd, SHUT_RDWR); /* ends the receive, if one is under way */
    }
    proceed(connection);
}

/* A silent connection is shut down, which ends what is under way on it, and so itself. */
static void sweep(void)
{
    for (struct connection *connection = ring.connections; connection;
         connection = connection->next)
        if (ring.now_ms - connection->active_ms >= IDLE_MS)
            (void)shutdown(connection->fd, SHUT_RDWR); /* it may be down already */
    ring.sweep_ms = ring.now_ms + SWEEP_MS;
}

static void dispatch(const struct io_uring_cqe *cqe)
{
    void *of = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)3);
    enum kind kind = cqe->user_data & 3;
    if (kind == ACCEPT)
        on_accept(cqe->res, (cqe->flags & IORING_CQE_F_MORE) != 0);
    else if (kind == RECEIVE)
        on_receive(of, cqe->res, cqe->flags);
    else if (kind == SEND)
        on_send(of, cqe->res);
}

static void run(void)
{
    for (;;) {
        enter(1);
        uint32_t head = atomic_load_explicit(ring.cq_head, memory_order_relaxed);
        if (ring.resting && head == atomic_load_explicit(ring.cq_tail, memory_order_acquire))
            accept_more();
        if (ring.idle)
            ring.now_ms = server_now_ms();
        while (head != atomic_load_explicit(ring.cq_tail, memory_order_acquire)) {
            struct io_uring_cqe cqe = ring.cqes[head & ring.cq_mask];
            atomic_store_explicit(ring.cq_head, ++head, memory_order_release);
            dispatch(&cqe);
        }
        if (ring.idle && ring.now_ms >= ring.sweep_ms)
            sweep();
    }
}

int main(int argc, char **argv)
{
    struct server_arguments arguments = server_arguments(argc, argv, "by hand");
    ring.idle = arguments.idle;
    ring_open();
    ring.listener = server_listen(&arguments);
    if (fcntl(ring.listener, F_SETFL, 0) < 0) /* else accept answers EAGAIN instead of waiting */
        server_die("fcntl");
    accept_more();
    run();
}
