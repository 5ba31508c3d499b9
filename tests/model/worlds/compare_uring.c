/* SPDX-License-Identifier: MIT
 *
 * compare_uring.c -- holds the model of io_uring to this machine's kernel: each script runs on
 * both, the model being that of the kernel that runs here, and what they show must be the same.  On
 * older kernels `make test-kernels` runs it.  The user_data of polls is 100 and more.
 */
#include <sys/mman.h>

#include "machine.h"

enum { GROUP = 1, BUFS = 4, BUF_SIZE = 64, PAGE = 4096 };

/* What is compared came with 6.1, or later where a feature is named.  (The library's own trial asks
 * the model here.) */
static void needs(uint32_t features)
{
    struct vigil__uring_params params = { .flags = VIGIL__URING_SETUP_SINGLE_ISSUER |
                                                   VIGIL__URING_SETUP_DEFER_TASKRUN };
    int fd = kernel_real.uring_setup(4, &params);
    if (fd < 0)
        SKIP("no io_uring of 6.1 or later here");
    kernel_real.close(fd);
    if ((params.features & features) != features)
        SKIP("this kernel does not have what is compared");
}

/* A script that a kernel may be too old for; the others are for every kernel. */
#define SCRIPT_WITH(name, features)               \
    static void script_##name(struct machine *m); \
    TEST(name)                                    \
    {                                             \
        needs(features);                          \
        compare(script_##name);                   \
    }                                             \
    static void script_##name(struct machine *m)

/* ---- asking ---- */

static struct vigil__sqe *ask(struct machine *m, struct vigil__ring *ring, uint8_t opcode, int fd,
                              uint64_t user_data)
{
    struct vigil__sqe *sqe = m->calls->ring_sqe(ring);
    REQUIRE(sqe != NULL);
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->user_data = user_data;
    return sqe;
}

static void ask_poll(struct machine *m, struct vigil__ring *ring, int fd, unsigned events,
                     bool multi, uint64_t user_data)
{
    struct vigil__sqe *sqe = ask(m, ring, VIGIL__URING_POLL_ADD, fd, user_data);
    sqe->len = multi ? VIGIL__URING_POLL_MULTI : 0;
    sqe->what = m->calls->poll_events(events);
}

static struct vigil__sqe *ask_recv(struct machine *m, struct vigil__ring *ring, int fd,
                                   uint16_t how, uint64_t user_data)
{
    struct vigil__sqe *sqe = ask(m, ring, VIGIL__URING_RECV, fd, user_data);
    sqe->flags = VIGIL__URING_BUFFER_SELECT;
    sqe->how = how;
    sqe->buf_group = GROUP;
    return sqe;
}

static void ask_cancel(struct machine *m, struct vigil__ring *ring, uint8_t opcode, uint64_t which,
                       uint64_t user_data)
{
    ask(m, ring, opcode, VIGIL_FD_NONE, user_data)->addr = which;
}

/* ---- buffers ---- */

struct bufs {
    struct vigil__uring_buf *places;
    uint16_t tail;
};

static int bufs_register(struct machine *m, struct vigil__ring *ring, struct bufs *bufs,
                         uint16_t flags)
{
    bufs->places = m->calls->uring_map(VIGIL_FD_NONE, 2 * PAGE, 0);
    bufs->tail = 0;
    REQUIRE(bufs->places != NULL);
    struct vigil__uring_buf_ring asked = {
        .addr = (uint64_t)(uintptr_t)bufs->places, .entries = BUFS, .group = GROUP, .flags = flags
    };
    return m->calls->uring_register(ring->fd, VIGIL__URING_REGISTER_BUF_RING, &asked, 1);
}

static void bufs_offer(struct bufs *bufs, uint16_t id)
{
    struct vigil__uring_buf *place = &bufs->places[bufs->tail % BUFS];
    char *memory = (char *)bufs->places + PAGE;
    place->addr = (uint64_t)(uintptr_t)(memory + id * BUF_SIZE);
    place->len = BUF_SIZE;
    place->id = id;
    bufs->tail++;
    _Atomic uint16_t *tail = (_Atomic uint16_t *)(void *)&bufs->places[0].reserved;
    atomic_store_explicit(tail, bufs->tail, memory_order_release);
}

static void bufs_open(struct machine *m, struct vigil__ring *ring, struct bufs *bufs,
                      uint16_t flags)
{
    REQUIRE(bufs_register(m, ring, bufs, flags) == 0);
    for (uint16_t i = 0; i < BUFS; i++)
        bufs_offer(bufs, i);
}

static void bufs_close(struct machine *m, struct bufs *bufs)
{
    m->calls->uring_unmap(bufs->places, 2 * PAGE);
}

static void ring_open(struct machine *m, struct vigil__ring *ring, uint32_t sq, uint32_t cq)
{
    REQUIRE(m->calls->ring_open(ring, sq, cq) == 0);
}

/* The ring first: it may hold the files.  `bufs` may be NULL. */
static void close_all(struct machine *m, struct vigil__ring *ring, struct bufs *bufs,
                      const int fds[2])
{
    m->calls->ring_close(ring);
    if (bufs != NULL)
        bufs_close(m, bufs);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

/* ---- polls ---- */

SCRIPT_WITH(polls_that_answer_once, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    tcp_pair(m, fds);
    ask_poll(m, &ring, fds[0], VIGIL_OUT, false, 101);
    ask_poll(m, &ring, fds[0], VIGIL_IN, false, 102);
    ask_poll(m, &ring, fds[0], VIGIL_IN | VIGIL_OUT, false, 103);
    ask_poll(m, &ring, fds[0], VIGIL_PRI, false, 104);
    look_ring(m, &ring);
    put(m, fds[1], 3);
    look_ring(m, &ring);
    ask_poll(m, &ring, fds[0], VIGIL_IN | VIGIL_OUT, false, 105);
    look_ring(m, &ring);
    ask_poll(m, &ring, fds[0], VIGIL_PRI, false, 106);
    end(m, fds[1]); /* cannot be masked */
    look_ring(m, &ring);
    ask_poll(m, &ring, 900, VIGIL_IN, false, 107);
    look_ring(m, &ring);
    close_all(m, &ring, NULL, fds);
}

SCRIPT_WITH(polls_that_go_on, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    tcp_pair(m, fds);
    ask_poll(m, &ring, fds[0], VIGIL_IN | VIGIL_OUT, true, 101);
    ask_poll(m, &ring, fds[0], VIGIL_OUT, true, 102);
    look_ring(m, &ring);
    put(m, fds[1], 3);
    look_ring(m, &ring);
    look_ring(m, &ring);
    put(m, fds[1], 3);
    settle(m);
    put(m, fds[1], 3);
    look_ring(m, &ring);
    take_all(m, fds[0]);
    look_ring(m, &ring);
    end(m, fds[1]);
    look_ring(m, &ring);
    ask_cancel(m, &ring, VIGIL__URING_POLL_REMOVE, 101, 1);
    ask_cancel(m, &ring, VIGIL__URING_POLL_REMOVE, 101, 2);
    look_ring(m, &ring);
    close_all(m, &ring, NULL, fds);
}

SCRIPT_WITH(a_poll_of_urgent_data_hears_no_plain_data, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    tcp_pair(m, fds);
    ask_poll(m, &ring, fds[0], VIGIL_PRI, false, 101);
    ask_poll(m, &ring, fds[0], VIGIL_PRI, true, 102);
    look_ring(m, &ring);
    put(m, fds[1], 3);
    look_ring(m, &ring);
    close_all(m, &ring, NULL, fds);
}

SCRIPT_WITH(a_poll_hears_resets, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    tcp_pair(m, fds);
    ask_poll(m, &ring, fds[0], VIGIL_IN, false, 101);
    ask_poll(m, &ring, fds[0], VIGIL_IN, true, 102);
    look_ring(m, &ring);
    reset(m, fds[1]);
    look_ring(m, &ring);
    m->calls->ring_close(&ring);
    shut(m, fds[0]);
}

SCRIPT_WITH(an_armed_poll_holds_the_file, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    unix_pair(m, fds);
    ask_poll(m, &ring, fds[0], VIGIL_IN, false, 101);
    look_ring(m, &ring);
    shut(m, fds[0]);
    look_poll(m, &fds[1], 1, VIGIL_IN);
    ask_cancel(m, &ring, VIGIL__URING_POLL_REMOVE, 101, 1);
    look_ring(m, &ring);
    look_poll(m, &fds[1], 1, VIGIL_IN);
    m->calls->ring_close(&ring);
    shut(m, fds[1]);
}

/* With an event in hand it is not taken back, and goes on if it goes on; cancelling can. */
SCRIPT_WITH(taking_back_what_has_an_event, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    unix_pair(m, fds);
    ask_poll(m, &ring, fds[0], VIGIL_IN, true, 101);
    ask_poll(m, &ring, fds[0], VIGIL_IN, false, 102);
    ask_poll(m, &ring, fds[0], VIGIL_IN, true, 103);
    ask_poll(m, &ring, fds[0], VIGIL_IN, false, 104);
    look_ring(m, &ring);
    put(m, fds[1], 1);
    ask_cancel(m, &ring, VIGIL__URING_POLL_REMOVE, 101, 1);
    ask_cancel(m, &ring, VIGIL__URING_POLL_REMOVE, 102, 2);
    ask_cancel(m, &ring, VIGIL__URING_CANCEL, 103, 3);
    ask_cancel(m, &ring, VIGIL__URING_CANCEL, 104, 4);
    look_ring(m, &ring);
    ask_cancel(m, &ring, VIGIL__URING_POLL_REMOVE, 101, 5);
    look_ring(m, &ring);
    close_all(m, &ring, NULL, fds);
}

SCRIPT_WITH(polls_of_regular_files, 0)
{
    struct vigil__ring ring;
    vigil_fd fd = VIGIL_FD_NONE;
    ring_open(m, &ring, 16, 64);
    if (m->sim != NULL)
        REQUIRE(vigil_sim_file(m->sim, m->host, "x", 1, &fd) == 0);
    else
        fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ask_poll(m, &ring, fd, VIGIL_IN | VIGIL_OUT, false, 101);
    ask_poll(m, &ring, fd, VIGIL_IN | VIGIL_OUT, true, 102);
    ask_poll(m, &ring, fd, VIGIL_PRI, false, 103);
    ask_poll(m, &ring, fd, VIGIL_PRI, true, 104);
    look_ring(m, &ring);
    m->calls->ring_close(&ring);
    m->calls->close(fd);
}

SCRIPT_WITH(polls_of_eventfds, 0)
{
    struct vigil__ring ring;
    struct vigil__waker waker;
    ring_open(m, &ring, 16, 64);
    REQUIRE(m->calls->waker_open(&waker) == 0);
    ask_poll(m, &ring, waker.read_fd, VIGIL_IN, true, 101);
    look_ring(m, &ring);
    (void)m->calls->waker_signal(&waker);
    look_ring(m, &ring);
    (void)m->calls->waker_signal(&waker);
    (void)m->calls->waker_signal(&waker);
    look_ring(m, &ring);
    m->calls->ring_close(&ring);
    m->calls->waker_close(&waker);
}

/* ---- receiving ---- */

SCRIPT_WITH(receives_that_go_on, 0)
{
    struct vigil__ring ring;
    struct bufs bufs;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    bufs_open(m, &ring, &bufs, 0);
    tcp_pair(m, fds);
    ask_recv(m, &ring, fds[0], VIGIL__URING_RECV_MULTISHOT, 1);
    look_ring(m, &ring);
    put(m, fds[1], 10);
    look_ring(m, &ring);
    put(m, fds[1], 100); /* two buffers */
    look_ring(m, &ring);
    bufs_offer(&bufs, 0);
    bufs_offer(&bufs, 1);
    end(m, fds[1]);
    look_ring(m, &ring);
    close_all(m, &ring, &bufs, fds);
}

static void run_out_of_buffers(struct machine *m, void (*pair)(struct machine *m, int fds[2]))
{
    struct vigil__ring ring;
    struct bufs bufs;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    bufs_open(m, &ring, &bufs, 0);
    pair(m, fds);
    ask_recv(m, &ring, fds[0], VIGIL__URING_RECV_MULTISHOT, 1);
    put(m, fds[1], BUFS * BUF_SIZE + 20);
    look_ring(m, &ring);
    ask_recv(m, &ring, fds[0], VIGIL__URING_RECV_MULTISHOT, 2);
    look_ring(m, &ring);
    bufs_offer(&bufs, 3);
    ask_recv(m, &ring, fds[0], VIGIL__URING_RECV_MULTISHOT, 3);
    look_ring(m, &ring);
    ask_recv(m, &ring, fds[0], 0, 4); /* an empty group fails at once, without data */
    look_ring(m, &ring);
    close_all(m, &ring, &bufs, fds);
}

SCRIPT_WITH(receives_of_unix_run_out_of_buffers, 0)
{
    run_out_of_buffers(m, unix_pair);
}

SCRIPT_WITH(receives_of_tcp_run_out_of_buffers, 0)
{
    run_out_of_buffers(m, tcp_pair);
}

SCRIPT_WITH(single_receives, 0)
{
    struct vigil__ring ring;
    struct bufs bufs;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    bufs_open(m, &ring, &bufs, 0);
    tcp_pair(m, fds);
    ask_recv(m, &ring, fds[0], 0, 1)->len = 7;
    look_ring(m, &ring);
    put(m, fds[1], 10);
    look_ring(m, &ring);
    ask_recv(m, &ring, fds[0], 0, 2)->len = 1000;
    look_ring(m, &ring);
    ask_recv(m, &ring, fds[0], 0, 3)->len = 7;
    look_ring(m, &ring);
    ask_cancel(m, &ring, VIGIL__URING_CANCEL, 3, 4);
    look_ring(m, &ring);
    ask_cancel(m, &ring, VIGIL__URING_CANCEL, 3, 5);
    look_ring(m, &ring);
    reset(m, fds[1]);
    settle(m);
    look_poll(m, fds, 1, VIGIL_IN);
    ask_recv(m, &ring, fds[0], 0, 6);
    look_ring(m, &ring);
    ask_recv(m, &ring, fds[0], 0, 7);
    look_ring(m, &ring);
    m->calls->ring_close(&ring);
    bufs_close(m, &bufs);
    shut(m, fds[0]);
}

SCRIPT_WITH(buffers_filled_bit_by_bit, VIGIL__URING_FEAT_MIN_TIMEOUT)
{
    struct vigil__ring ring;
    struct bufs bufs;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    bufs_open(m, &ring, &bufs, VIGIL__URING_BUF_RING_INCREMENTAL);
    unix_pair(m, fds);
    ask_recv(m, &ring, fds[0], VIGIL__URING_RECV_MULTISHOT, 1);
    put(m, fds[1], 10);
    look_ring(m, &ring);
    put(m, fds[1], 60);
    look_ring(m, &ring);
    put(m, fds[1], 58); /* to its very end */
    look_ring(m, &ring);
    ask_cancel(m, &ring, VIGIL__URING_CANCEL, 1, 2);
    look_ring(m, &ring);
    ask_recv(m, &ring, fds[0], 0, 3)->len = 5;
    put(m, fds[1], 8);
    look_ring(m, &ring);
    ask_recv(m, &ring, fds[0], VIGIL__URING_RECV_MULTISHOT, 4);
    look_ring(m, &ring);
    end(m, fds[1]);
    look_ring(m, &ring);
    close_all(m, &ring, &bufs, fds);
}

SCRIPT_WITH(bundles, VIGIL__URING_FEAT_RECVSEND_BUNDLE)
{
    struct vigil__ring ring;
    struct bufs bufs;
    int fds[2];
    const uint16_t how = VIGIL__URING_RECV_MULTISHOT | VIGIL__URING_BUNDLE;
    ring_open(m, &ring, 16, 64);
    bufs_open(m, &ring, &bufs, 0);
    tcp_pair(m, fds);
    ask_recv(m, &ring, fds[0], how, 1);
    look_ring(m, &ring);
    put(m, fds[1], 150);
    look_ring(m, &ring);
    for (uint16_t i = 0; i < 3; i++)
        bufs_offer(&bufs, i);
    put(m, fds[1], 250);
    look_ring(m, &ring);
    for (uint16_t i = 0; i < 4; i++)
        bufs_offer(&bufs, i);
    put(m, fds[1], BUF_SIZE);
    look_ring(m, &ring);
    end(m, fds[1]);
    look_ring(m, &ring);
    close_all(m, &ring, &bufs, fds);
}

/* ---- the others ---- */

SCRIPT_WITH(sends, 0)
{
    static const char bytes[300000];
    struct vigil__ring ring;
    struct vigil__uring_message message;
    const vigil_iov two[2] = { { bytes, 5 }, { bytes, 7 } };
    int fds[2];
    ring_open(m, &ring, 16, 64);
    unix_pair(m, fds);
    for (uint64_t i = 1; i <= 2; i++) {
        struct vigil__sqe *sqe = ask(m, &ring, VIGIL__URING_SEND, fds[0], i);
        sqe->addr = (uint64_t)(uintptr_t)bytes;
        sqe->len = (uint32_t)(10 * i);
        sqe->what = m->calls->send_flags();
    }
    m->calls->message_fill(&message, two, 2);
    struct vigil__sqe *sqe = ask(m, &ring, VIGIL__URING_SENDMSG, fds[0], 3);
    sqe->addr = (uint64_t)(uintptr_t)&message;
    sqe->len = 1;
    sqe->what = m->calls->send_flags();
    look_ring(m, &ring);
    fill(m, fds[0]);
    for (int i = 0; i < 2; i++) { /* without room, and without a peer */
        sqe = ask(m, &ring, VIGIL__URING_SEND, fds[0], 4);
        sqe->addr = (uint64_t)(uintptr_t)bytes;
        sqe->len = 1;
        sqe->what = m->calls->send_flags();
        look_ring(m, &ring);
        if (i == 0)
            shut(m, fds[1]);
    }
    m->calls->ring_close(&ring);
    shut(m, fds[0]);
}

/* The descriptors that an accept brought, which are the lowest there were. */
static void close_from(struct machine *m, int lowest, int count)
{
    for (int i = 0; i < count; i++)
        m->calls->close(lowest + i);
}

SCRIPT_WITH(accepts, 0)
{
    struct vigil__ring ring;
    vigil_addr addr;
    int fds[3];
    int listener = listener_open(m, &addr);
    ring_open(m, &ring, 16, 64);
    struct vigil__sqe *sqe = ask(m, &ring, VIGIL__URING_ACCEPT, listener, 1);
    sqe->how = VIGIL__URING_ACCEPT_MULTISHOT;
    sqe->what = m->calls->accept_flags();
    look_ring(m, &ring);
    for (int i = 0; i < 3; i++)
        fds[i] = connect_to(m, &addr);
    int bottom = fds[0]; /* told as numbers above this one would be the machine's own */
    int count = 0;
    vigil_ns began = m->calls->now();
    while (count < 3 && m->calls->now() - began < machine_patience) {
        settle(m);
        (void)m->calls->ring_enter(&ring, 0, VIGIL_NOWAIT);
        for (; vigil__ring_ready(&ring) > 0; vigil__ring_taken(&ring, 1)) {
            const struct vigil__cqe *cqe = vigil__ring_cqe(&ring, 0);
            tell(m, "accepted: %d, %u", cqe->res > bottom, cqe->flags & VIGIL__URING_CQE_MORE);
            close_from(m, cqe->res, 1);
            count++;
        }
        if (m->sim != NULL && count < 3)
            break;
    }
    ask_cancel(m, &ring, VIGIL__URING_CANCEL, 1, 2);
    look_ring(m, &ring);
    m->calls->ring_close(&ring);
    for (int i = 0; i < 3; i++)
        shut(m, fds[i]);
    shut(m, listener);
}

SCRIPT_WITH(what_is_not_there, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    unix_pair(m, fds);
    ask(m, &ring, VIGIL__URING_NOP, VIGIL_FD_NONE, 1);
    ask(m, &ring, 250, VIGIL_FD_NONE, 2); /* no such opcode */
    ask(m, &ring, VIGIL__URING_CLOSE, 900, 3);
    ask(m, &ring, VIGIL__URING_CLOSE, fds[0], 4);
    ask_cancel(m, &ring, VIGIL__URING_CANCEL, 77, 5);
    ask_cancel(m, &ring, VIGIL__URING_POLL_REMOVE, 77, 6);
    ask_recv(m, &ring, 900, 0, 7);
    ask_recv(m, &ring, fds[1], 0, 8); /* no such group */
    ask(m, &ring, VIGIL__URING_CLOSE, 901, 9)->flags = VIGIL__URING_SKIP_SUCCESS;
    ask(m, &ring, VIGIL__URING_NOP, VIGIL_FD_NONE, 10)->flags = VIGIL__URING_SKIP_SUCCESS;
    look_ring(m, &ring);
    look_poll(m, &fds[1], 1, VIGIL_IN);
    m->calls->ring_close(&ring);
    shut(m, fds[1]);
}

SCRIPT_WITH(more_completions_than_places, 0)
{
    struct vigil__ring ring;
    ring_open(m, &ring, 4, 4);
    for (uint64_t i = 1; i <= 7; i++)
        ask(m, &ring, VIGIL__URING_NOP, VIGIL_FD_NONE, i);
    tell(m, "enter: %s", result_text(m->calls->ring_enter(&ring, 0, VIGIL_NOWAIT)));
    tell(m, "%u are there, overflown: %d", vigil__ring_ready(&ring), vigil__ring_overflown(&ring));
    look_ring(m, &ring);
    tell(m, "overflown: %d", vigil__ring_overflown(&ring));
    m->calls->ring_close(&ring);
}

/* One that goes on ends when its answers find no place. */
SCRIPT_WITH(receives_end_when_places_are_out, 0)
{
    struct vigil__ring ring;
    struct bufs bufs;
    int fds[2];
    ring_open(m, &ring, 2, 2);
    bufs_open(m, &ring, &bufs, 0);
    unix_pair(m, fds);
    ask_recv(m, &ring, fds[0], VIGIL__URING_RECV_MULTISHOT, 1);
    put(m, fds[1], 4 * BUF_SIZE);
    tell(m, "enter: %s", result_text(m->calls->ring_enter(&ring, 0, VIGIL_NOWAIT)));
    tell(m, "%u are there, overflown: %d", vigil__ring_ready(&ring), vigil__ring_overflown(&ring));
    look_ring(m, &ring);
    close_all(m, &ring, &bufs, fds);
}

SCRIPT_WITH(waits_for_completions, 0)
{
    struct vigil__ring ring;
    int fds[2];
    ring_open(m, &ring, 4, 8);
    unix_pair(m, fds);
    ask_poll(m, &ring, fds[0], VIGIL_IN, false, 101);
    world.may_pass = true;
    vigil_ns began = m->calls->now();
    tell(m, "enter: %s", result_text(m->calls->ring_enter(&ring, 1, VIGIL_MS(3))));
    tell(m, "early: %d", m->calls->now() - began < VIGIL_MS(3));
    put(m, fds[1], 1);
    tell(m, "enter: %s", result_text(m->calls->ring_enter(&ring, 1, VIGIL_S(9))));
    world.may_pass = false;
    look_ring(m, &ring);
    close_all(m, &ring, NULL, fds);
}

SCRIPT_WITH(an_eventfd_of_the_ring, 0)
{
    struct vigil__ring ring;
    struct vigil__waker waker;
    ring_open(m, &ring, 4, 8);
    REQUIRE(m->calls->waker_open(&waker) == 0);
    int err = m->calls->uring_register(ring.fd, VIGIL__URING_REGISTER_EVENTFD, &waker.read_fd, 1);
    tell(m, "%s", result_text(err));
    look_poll(m, &waker.read_fd, 1, VIGIL_IN);
    ask(m, &ring, VIGIL__URING_NOP, VIGIL_FD_NONE, 1);
    look_ring(m, &ring);
    look_poll(m, &waker.read_fd, 1, VIGIL_IN);
    m->calls->ring_close(&ring);
    m->calls->waker_close(&waker);
}

/* ---- set-up ---- */

static const struct {
    uint32_t sq, cq, flags;
} setups[] = {
    { 8, 0, 0 },
    { 0, 0, 0 },
    { 7, 0, 0 },
    { 8, 0, VIGIL__URING_SETUP_CQSIZE },
    { 8, 5, VIGIL__URING_SETUP_CQSIZE },
    { 8, 20, VIGIL__URING_SETUP_CQSIZE },
    { 40000, 0, 0 },
    { 8, 0, VIGIL__URING_SETUP_TASKRUN_FLAG },
    { 8, 0, VIGIL__URING_SETUP_TASKRUN_FLAG | VIGIL__URING_SETUP_COOP_TASKRUN },
    { 8, 0, VIGIL__URING_SETUP_DEFER_TASKRUN },
    { 8, 0, VIGIL__URING_SETUP_DEFER_TASKRUN | VIGIL__URING_SETUP_SINGLE_ISSUER },
    { 8, 0, VIGIL__URING_SETUP_NO_SQARRAY },
    { 8, 0, VIGIL__URING_SETUP_CLAMP },
    { 40000, 0, VIGIL__URING_SETUP_CLAMP },
    { 8, 0, VIGIL__URING_SETUP_SUBMIT_ALL },
    { 8, 0, VIGIL__URING_SETUP_COOP_TASKRUN },
    { 8, 0, VIGIL__URING_SETUP_SINGLE_ISSUER },
    { 8, 0, 1u << 30 },
};

/* The features that somebody here asks for. */
static const uint32_t features_asked = VIGIL__URING_FEAT_SINGLE_MMAP | VIGIL__URING_FEAT_NODROP |
                                       VIGIL__URING_FEAT_EXT_ARG | VIGIL__URING_FEAT_CQE_SKIP |
                                       VIGIL__URING_FEAT_RECVSEND_BUNDLE |
                                       VIGIL__URING_FEAT_MIN_TIMEOUT;

SCRIPT(set_up)
{
    for (size_t i = 0; i < VIGIL_COUNT(setups); i++) {
        struct vigil__uring_params params = { .cq_entries = setups[i].cq,
                                              .flags = setups[i].flags };
        int fd = m->calls->uring_setup(setups[i].sq, &params);
        tell(m, "row %zu: %s, %u, %u, features 0x%x", i, fd >= 0 ? "0" : result_text(fd),
             fd >= 0 ? params.sq_entries : 0, fd >= 0 ? params.cq_entries : 0,
             fd >= 0 ? params.features & features_asked : 0);
        if (fd >= 0)
            m->calls->close(fd);
    }
}

/* The library's own ring: with which flags it opens, or that it does not. */
SCRIPT(the_ring_of_the_library)
{
    struct vigil__ring ring;
    int err = m->calls->ring_open(&ring, 8, 16);
    tell(m, "%s, flags 0x%x", result_text(err), err == 0 ? ring.setup_flags : 0);
    if (err == 0)
        m->calls->ring_close(&ring);
}

/* Bundles, buffers filled bit by bit and flags of each request, where they are not there yet. */
SCRIPT_WITH(what_is_asked_of_a_request, 0)
{
    static const uint16_t how[] = { VIGIL__URING_BUNDLE, VIGIL__URING_RECV_MULTISHOT, 1u << 14 };
    struct vigil__ring ring;
    struct bufs bufs;
    int fds[2];
    ring_open(m, &ring, 16, 64);
    unix_pair(m, fds);
    int err = bufs_register(m, &ring, &bufs, VIGIL__URING_BUF_RING_INCREMENTAL);
    tell(m, "bit by bit: %s", result_text(err));
    bufs_close(m, &bufs);
    if (err == 0) {
        struct vigil__uring_buf_ring asked = { .group = GROUP };
        (void)m->calls->uring_register(ring.fd, VIGIL__URING_UNREGISTER_BUF_RING, &asked, 1);
    }
    bufs_open(m, &ring, &bufs, 0);
    for (uint64_t i = 0; i < VIGIL_COUNT(how); i++) {
        ask_recv(m, &ring, fds[0], how[i], i);
        look_ring(m, &ring);
        put(m, fds[1], 3);
        look_ring(m, &ring);
        ask_cancel(m, &ring, VIGIL__URING_CANCEL, i, 50 + i);
        look_ring(m, &ring);
        take_all(m, fds[0]);
    }
    close_all(m, &ring, &bufs, fds);
}

SCRIPT_WITH(rings_of_buffers, VIGIL__URING_FEAT_MIN_TIMEOUT)
{
    struct vigil__ring ring;
    struct bufs bufs, again;
    ring_open(m, &ring, 4, 8);
    tell(m, "%s", result_text(bufs_register(m, &ring, &bufs, 0)));
    tell(m, "%s", result_text(bufs_register(m, &ring, &again, 0)));
    struct vigil__uring_buf_ring asked = { .addr = (uint64_t)(uintptr_t)bufs.places,
                                           .entries = 3, /* no power of two */
                                           .group = 2 };
    int err = m->calls->uring_register(ring.fd, VIGIL__URING_REGISTER_BUF_RING, &asked, 1);
    tell(m, "%s", result_text(err));
    asked.entries = 4;
    asked.flags = 1u << 14;
    err = m->calls->uring_register(ring.fd, VIGIL__URING_REGISTER_BUF_RING, &asked, 1);
    tell(m, "%s", result_text(err));
    asked = (struct vigil__uring_buf_ring){ .group = GROUP };
    for (int i = 0; i < 2; i++) {
        err = m->calls->uring_register(ring.fd, VIGIL__URING_UNREGISTER_BUF_RING, &asked, 1);
        tell(m, "%s", result_text(err));
    }
    m->calls->ring_close(&ring);
    bufs_close(m, &bufs);
    bufs_close(m, &again);
}
