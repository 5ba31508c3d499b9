/* SPDX-License-Identifier: MIT
 *
 * uring.c -- a model of io_uring(7), in place of src/sys/uring_calls.c: rings in plain memory, what
 * their set-up takes on which kernel, and entering.
 *
 * A completion's result is one of our statuses already; there is no errno in a world.
 */
#include "uring.h"

#include <stdlib.h>
#include <string.h>

enum { SQ_MAX = 32768, PAGE = 4096 };

/* Flags of set-up and features that came together. */
#define FLAGS_5_17  (VIGIL__URING_SETUP_CQSIZE | VIGIL__URING_SETUP_CLAMP)
#define FLAGS_5_18  (FLAGS_5_17 | VIGIL__URING_SETUP_SUBMIT_ALL)
#define COOPERATIVE (VIGIL__URING_SETUP_COOP_TASKRUN | VIGIL__URING_SETUP_TASKRUN_FLAG)
#define FLAGS_5_19  (FLAGS_5_18 | COOPERATIVE)
#define FLAGS_6_0   (FLAGS_5_19 | VIGIL__URING_SETUP_SINGLE_ISSUER)
#define FLAGS_6_1   (FLAGS_6_0 | VIGIL__URING_SETUP_DEFER_TASKRUN)
#define FLAGS_6_6   (FLAGS_6_1 | VIGIL__URING_SETUP_NO_SQARRAY)
#define FEATURES_5_15 \
    (VIGIL__URING_FEAT_SINGLE_MMAP | VIGIL__URING_FEAT_NODROP | VIGIL__URING_FEAT_EXT_ARG)
#define FEATURES_5_17 (FEATURES_5_15 | VIGIL__URING_FEAT_CQE_SKIP)
#define FEATURES_6_10 (FEATURES_5_17 | VIGIL__URING_FEAT_RECVSEND_BUNDLE)
#define FEATURES_6_12 (FEATURES_6_10 | VIGIL__URING_FEAT_MIN_TIMEOUT)

/* 6.18, 6.12, 6.1 and 5.10 were compared with these kernels: worlds/compare_uring.c.  5.10 as its
 * later releases have it: with the io_uring of 5.15. */
const struct world_kernel world_kernels[WORLD_KERNELS] = {
    { "6.18", FLAGS_6_6, FEATURES_6_12, true, true, true, true, true, true, true },
    { "6.12", FLAGS_6_6, FEATURES_6_12, true, true, true, true, true, true, false },
    { "6.10", FLAGS_6_6, FEATURES_6_10, true, true, true, true, false, true, false },
    { "6.6", FLAGS_6_6, FEATURES_5_17, true, true, true, false, false, true, false },
    { "6.1", FLAGS_6_1, FEATURES_5_17, true, true, true, false, false, false, false },
    { "5.19", FLAGS_5_19, FEATURES_5_17, true, true, false, false, false, false, false },
    { "5.17", FLAGS_5_17, FEATURES_5_17, false, false, false, false, false, false, false },
    { "5.10", FLAGS_5_17, FEATURES_5_15, false, false, false, false, false, false, false },
    { "none", 0, 0, false, false, false, false, false, false, false },
};

static struct vigil__link rings = { &rings, &rings };

/* One that was closed, as by the end of its process, is still there for who has its memory. */
static struct ring *ring_find(int fd)
{
    for (struct vigil__link *at = rings.prev; at != &rings; at = at->prev) {
        struct ring *ring = VIGIL_OWNER(at, struct ring, link);
        if (ring->fd == fd && ring->turner == world.turner && (!ring->closed || world.dead))
            return ring;
    }
    return NULL;
}

/* ---- from set-up to close ---- */

static void ring_free(struct ring *ring)
{
    if (!ring->closed || ring->maps > 0)
        return;
    vigil__list_remove(&ring->link);
    free(ring->shared);
    free(ring->sqes);
    free(ring);
}

static void ring_close(struct sim_file *file)
{
    struct ring *ring = file->special_self;
    requests_cancel_all(ring);
    ring_bring_overflow(ring);
    while (!vigil__list_empty(&ring->overflow)) {
        struct kept *kept = VIGIL_OWNER(ring->overflow.next, struct kept, link);
        vigil__list_remove(&kept->link);
        free(kept);
    }
    groups_clear(ring);
    ring->closed = true;
    ring_free(ring);
}

static unsigned ring_ready(const struct sim_file *file)
{
    const struct ring *ring = file->special_self;
    bool any = ring->shared->cq_tail != ring->shared->cq_head || requests_have_work(ring);
    return VIGIL_OUT | (any ? (unsigned)VIGIL_IN : 0);
}

static const struct sim_special ring_files = { .ready = ring_ready, .close = ring_close };

static uint32_t power_of_two(uint32_t n)
{
    uint32_t up = 1;
    while (up < n)
        up *= 2;
    return up;
}

/* 0, or what the kernel says of such parameters. */
static int params_check(uint32_t entries, struct vigil__uring_params *params)
{
    const struct world_kernel *kernel = world.kernel;
    uint32_t flags = params->flags;
    bool clamp = (flags & VIGIL__URING_SETUP_CLAMP) != 0;
    uint32_t by_entry = VIGIL__URING_SETUP_COOP_TASKRUN | VIGIL__URING_SETUP_DEFER_TASKRUN;
    if (kernel->features == 0)
        return VIGIL_ENOTSUP;
    if ((flags & ~kernel->setup_flags) != 0 || entries == 0 || (entries > SQ_MAX && !clamp))
        return VIGIL_EINVAL;
    if ((flags & VIGIL__URING_SETUP_DEFER_TASKRUN) != 0 &&
        (flags & VIGIL__URING_SETUP_SINGLE_ISSUER) == 0)
        return VIGIL_EINVAL;
    if ((flags & VIGIL__URING_SETUP_TASKRUN_FLAG) != 0 && (flags & by_entry) == 0)
        return VIGIL_EINVAL;
    params->sq_entries = power_of_two((uint32_t)vigil__min(entries, SQ_MAX));
    if ((flags & VIGIL__URING_SETUP_CQSIZE) == 0) {
        params->cq_entries = 2 * params->sq_entries;
        return 0;
    }
    if (params->cq_entries == 0 || (params->cq_entries > 2 * SQ_MAX && !clamp))
        return VIGIL_EINVAL;
    params->cq_entries = power_of_two((uint32_t)vigil__min(params->cq_entries, 2 * SQ_MAX));
    return params->cq_entries < params->sq_entries ? VIGIL_EINVAL : 0;
}

static void params_fill(const struct ring *ring, struct vigil__uring_params *params)
{
    const size_t cqes = sizeof(struct shared);
    params->features = ring->kernel->features;
    params->sq = (struct vigil__sq_offsets){
        .head = offsetof(struct shared, sq_head),
        .tail = offsetof(struct shared, sq_tail),
        .ring_mask = offsetof(struct shared, sq_mask),
        .ring_entries = offsetof(struct shared, sq_entries),
        .flags = offsetof(struct shared, sq_flags),
        .dropped = offsetof(struct shared, dropped),
        .array = (uint32_t)(cqes + params->cq_entries * sizeof(struct vigil__cqe)),
    };
    params->cq = (struct vigil__cq_offsets){
        .head = offsetof(struct shared, cq_head),
        .tail = offsetof(struct shared, cq_tail),
        .ring_mask = offsetof(struct shared, cq_mask),
        .ring_entries = offsetof(struct shared, cq_entries),
        .overflow = offsetof(struct shared, overflow),
        .cqes = (uint32_t)cqes,
        .flags = offsetof(struct shared, cq_flags),
    };
}

static struct ring *ring_new(const struct vigil__uring_params *params)
{
    struct ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return NULL;
    size_t cqes = params->cq_entries * sizeof(struct vigil__cqe);
    *ring = (struct ring){ .turner = world.turner,
                           .sim = world.host->sim,
                           .kernel = world.kernel,
                           .task = world.task,
                           .flags = params->flags,
                           .eventfd = -1 };
    ring->shared_size = sizeof(*ring->shared) + cqes + params->sq_entries * sizeof(uint32_t);
    ring->shared = calloc(1, ring->shared_size);
    ring->sqes = calloc(params->sq_entries, sizeof(*ring->sqes));
    vigil__list_init(&ring->link);
    vigil__list_init(&ring->requests);
    vigil__list_init(&ring->overflow);
    if (ring->shared == NULL || ring->sqes == NULL) {
        ring->closed = true;
        ring_free(ring);
        return NULL;
    }
    ring->cqes = (struct vigil__cqe *)(void *)(ring->shared + 1);
    ring->array = (uint32_t *)(void *)((char *)ring->cqes + cqes);
    ring->shared->sq_entries = params->sq_entries;
    ring->shared->sq_mask = params->sq_entries - 1;
    ring->shared->cq_entries = params->cq_entries;
    ring->shared->cq_mask = params->cq_entries - 1;
    return ring;
}

int vigil__call_uring_setup(uint32_t entries, struct vigil__uring_params *params)
{
    if (world.host == NULL || world.dead)
        return VIGIL_ENOTSUP;
    world.asked = true;
    int err = params_check(entries, params);
    if (err < 0)
        return err;
    struct ring *ring = ring_new(params);
    if (ring == NULL)
        return VIGIL_ENOMEM;
    int fd = world_open(&ring_files, ring);
    if (fd < 0) {
        ring->closed = true;
        ring_free(ring);
        return fd;
    }
    ring->fd = fd;
    vigil__list_append(&rings, &ring->link);
    params_fill(ring, params);
    return fd;
}

/* ---- memory ---- */

void *vigil__call_uring_map(int fd, size_t size, uint64_t offset)
{
    if (fd < 0) {
        void *p = aligned_alloc(PAGE, (size + PAGE - 1) / PAGE * PAGE);
        if (p == NULL)
            return NULL;
        memset(p, 0, size);
        world.maps++;
        return p;
    }
    struct ring *ring = ring_find(fd);
    if (ring == NULL)
        return NULL;
    void *p = offset == VIGIL__URING_MAP_SQES ? (void *)ring->sqes : (void *)ring->shared;
    ring->maps++;
    world.maps++;
    return p;
}

void vigil__call_uring_unmap(void *p, size_t size)
{
    (void)size;
    world.maps--;
    for (struct vigil__link *at = rings.next; at != &rings; at = at->next) {
        struct ring *ring = VIGIL_OWNER(at, struct ring, link);
        if (p != (void *)ring->sqes && p != (void *)ring->shared)
            continue;
        ring->maps--;
        ring_free(ring);
        return;
    }
    free(p);
}

/* ---- entering ---- */

static bool is_bound(const struct ring *ring)
{
    return (ring->flags & VIGIL__URING_SETUP_SINGLE_ISSUER) != 0 && ring->task != world.task;
}

static bool prepares(const struct ring *ring, const struct vigil__sqe *sqe)
{
    const struct world_kernel *kernel = ring->kernel;
    uint32_t known;
    switch (sqe->opcode) {
    case VIGIL__URING_ACCEPT:
        known = kernel->accept_multishot ? VIGIL__URING_ACCEPT_MULTISHOT : 0;
        break;
    case VIGIL__URING_RECV:
        known = kernel->recv_multishot ? VIGIL__URING_RECV_MULTISHOT : 0;
        known |= kernel->bundles ? VIGIL__URING_BUNDLE : 0;
        break;
    case VIGIL__URING_NOP:
    case VIGIL__URING_POLL_ADD:
    case VIGIL__URING_POLL_REMOVE:
    case VIGIL__URING_SENDMSG:
    case VIGIL__URING_CANCEL:
    case VIGIL__URING_CLOSE:
    case VIGIL__URING_SEND:
        known = 0;
        break;
    default:
        return false;
    }
    return (sqe->how & ~known) == 0;
}

/* Takes up to `count` submissions; one that is malformed stops those behind it, unless asked not
 * to. */
static int submit(struct ring *ring, uint32_t count)
{
    struct shared *shared = ring->shared;
    int taken = 0;
    bool all = (ring->flags & VIGIL__URING_SETUP_SUBMIT_ALL) != 0;
    bool array = (ring->flags & VIGIL__URING_SETUP_NO_SQARRAY) == 0;
    for (bool goes_on = true; goes_on && count > 0 && shared->sq_head != shared->sq_tail; count--) {
        uint32_t at = shared->sq_head & shared->sq_mask;
        struct vigil__sqe sqe = ring->sqes[array ? ring->array[at] : at];
        shared->sq_head++;
        taken++;
        int err = world.dead ? VIGIL_ECANCELED : vigil__sim_call(world.host, VIGIL_SIM_CALL_SUBMIT);
        if (err == 0 && !prepares(ring, &sqe))
            err = VIGIL_EINVAL;
        if (err == 0) {
            request_submit(ring, &sqe);
            continue;
        }
        (void)ring_post(ring, sqe.user_data, err, 0, false);
        goes_on = all;
    }
    return taken;
}

static void show_work(struct ring *ring)
{
    if ((ring->flags & VIGIL__URING_SETUP_TASKRUN_FLAG) == 0)
        return;
    if (requests_have_work(ring))
        ring->shared->sq_flags |= VIGIL__URING_SQ_TASKRUN;
    else
        ring->shared->sq_flags &= ~(uint32_t)VIGIL__URING_SQ_TASKRUN;
}

void world_rings_settle(void)
{
    for (struct vigil__link *at = rings.next; at != &rings; at = at->next) {
        struct ring *ring = VIGIL_OWNER(at, struct ring, link);
        uint32_t when_entered = VIGIL__URING_SETUP_COOP_TASKRUN | VIGIL__URING_SETUP_DEFER_TASKRUN;
        if (ring->turner != world.turner || ring->closed)
            continue;
        if ((ring->flags & when_entered) == 0)
            requests_run(ring); /* the kernel interrupts the program for that */
        show_work(ring);
    }
}

bool world_rings_poll(const struct sim_file *file)
{
    for (struct vigil__link *at = rings.next; at != &rings; at = at->next) {
        const struct ring *ring = VIGIL_OWNER(at, struct ring, link);
        bool out_of_reach = is_bound(ring) && world.asked;
        if (ring->turner == world.turner && !out_of_reach && requests_poll(ring, file))
            return true;
    }
    return false;
}

uint32_t world_rings_miss(void)
{
    uint32_t missing = 0;
    for (struct vigil__link *at = rings.next; at != &rings; at = at->next) {
        struct ring *ring = VIGIL_OWNER(at, struct ring, link);
        if (ring->turner == world.turner && !ring->closed)
            missing += groups_missing(ring);
    }
    return missing;
}

static uint32_t cq_ready(const struct ring *ring)
{
    return ring->shared->cq_tail - ring->shared->cq_head;
}

static void work(struct ring *ring)
{
    requests_run(ring);
    ring_bring_overflow(ring);
    show_work(ring);
}

/* The kernel has no memory for a request: once, for who asks again at once would ask for ever. */
static bool short_of_requests(void)
{
    bool is = vigil__sim_fault_once(world.host->sim, world.host, VIGIL_SIM_ENOMEM);
    if (is)
        vigil__sim_hurt(world.host);
    return is;
}

/* As world_waits(), but what a fault put off is tried again at once. */
static bool waits(struct ring *ring, vigil_ns deadline, int *result)
{
    if (!requests_have_work(ring))
        return world_waits(deadline, result) && !world.dead;
    world.told = true;
    return world.may_pass;
}

int vigil__call_uring_enter(int fd, uint32_t to_submit, uint32_t min_complete, vigil_ns timeout_ns)
{
    struct ring *ring = world.host != NULL ? ring_find(fd) : NULL;
    if (ring == NULL)
        return VIGIL_EBADF;
    if (is_bound(ring) && !world.dead)
        return VIGIL_ETHREAD;
    int err = world.dead ? 0 : vigil__sim_call(world.host, VIGIL_SIM_CALL_WAIT);
    if (err == 0 && to_submit > 0 && !world.dead && short_of_requests())
        err = VIGIL_ENOMEM;
    if (err < 0)
        return err;
    int taken = submit(ring, to_submit);
    if (world.dead)
        return taken;
    work(ring);
    vigil_ns deadline = min_complete > 0 ? world_deadline(timeout_ns) : 0;
    while (cq_ready(ring) < min_complete && waits(ring, deadline, &err))
        work(ring);
    return taken > 0 || err == 0 ? taken : err;
}

int vigil__call_uring_register(int fd, unsigned opcode, void *arg, unsigned count)
{
    struct ring *ring = ring_find(fd);
    if (ring == NULL)
        return VIGIL_EBADF;
    if (world.dead)
        return VIGIL_ENOTSUP;
    if (is_bound(ring))
        return VIGIL_ETHREAD;
    (void)count;
    switch (opcode) {
    case VIGIL__URING_REGISTER_EVENTFD:
        ring->eventfd = *(const int *)arg;
        return 0;
    case VIGIL__URING_REGISTER_BUF_RING:
        return group_register(ring, arg);
    case VIGIL__URING_UNREGISTER_BUF_RING:
        return group_unregister(ring, ((const struct vigil__uring_buf_ring *)arg)->group);
    default:
        return VIGIL_EINVAL;
    }
}

/* ---- what stands beside them ---- */

int32_t vigil__uring_result(int32_t res)
{
    return res;
}

uint32_t vigil__uring_send_flags(void)
{
    return 1; /* no waiting */
}

uint32_t vigil__uring_accept_flags(void)
{
    return 0;
}

uint32_t vigil__uring_poll_events(uint32_t events)
{
    return events;
}

void vigil__uring_message_fill(struct vigil__uring_message *message, const vigil_iov *iov,
                               uint32_t count)
{
    struct message filled = { iov, count };
    _Static_assert(sizeof(filled) <= sizeof(message->msghdr), "it has room");
    memcpy(message->msghdr, &filled, sizeof(filled));
}

bool vigil__call_never_waits(int fd)
{
    const struct sim_file *file = world_file(fd);
    return file != NULL && file->kind == SIM_REGULAR;
}

int vigil__call_socket_pair(int fds[2])
{
    int err = vigil__sim_call(world.host, VIGIL_SIM_CALL_SOCKET);
    if (err == 0)
        err = vigil__sim_short_of_fds(world.host);
    return err != 0 ? err : vigil_sim_pair(world.host->sim, &world.host->table, fds);
}

int vigil__call_put_byte(int fd)
{
    struct sim_file *file = world_file(fd);
    const vigil_iov byte = { "", 1 };
    int n = file != NULL ? vigil__sim_writev(file, &byte, 1) : VIGIL_EBADF;
    return n == 1 ? 0 : n;
}

int vigil__call_trial_listener(void)
{
    static unsigned names;
    struct sim_file *file = vigil__sim_file_new(world.host, SIM_SOCKET);
    if (file == NULL)
        return VIGIL_ENOMEM;
    vigil_fd fd;
    int err = vigil__sim_fd_new(world.host, file, &fd);
    if (err != 0) {
        vigil__sim_file_close(file);
        return err;
    }
    vigil_addr addr = { .family = VIGIL_FAMILY_UNIX, .path_len = 1 + sizeof(names) };
    memcpy(addr.path + 1, &names, sizeof(names)); /* behind a zero: it is nobody's name */
    names++;
    err = vigil__sim_bind(file, &addr);
    if (err == 0)
        err = vigil__sim_listen(file, 1);
    if (err == 0)
        return fd;
    (void)vigil__sim_fd_close(world.host, fd); /* it is open */
    return err;
}
