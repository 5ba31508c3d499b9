/* SPDX-License-Identifier: MIT
 *
 * uring_requests.c -- what is asked of a ring, in the model of io_uring(7): polls, receives, sends,
 * accepts, cancelling and closing, and how they answer.
 *
 * A request is tried at once; one that would block stays, holds its file open, and is tried again
 * when the ring is entered.
 */
#include "uring.h"

#include <stdlib.h>

enum {
    ROUNDS_MAX = 64, /* answers of one request per look */
    IOVS_MAX = 64,   /* buffers of one bundle */
    POLL_ALWAYS = VIGIL_ERR | VIGIL_HUP | VIGIL_RDHUP,
};

static const int32_t still_waits = VIGIL__EAGAIN;

/* ---- answers ---- */

static bool cq_is_full(const struct ring *ring)
{
    const struct shared *shared = ring->shared;
    return shared->cq_tail - shared->cq_head >= shared->cq_entries;
}

static void cq_put(struct ring *ring, const struct vigil__cqe *cqe)
{
    struct shared *shared = ring->shared;
    ring->cqes[shared->cq_tail & shared->cq_mask] = *cqe;
    shared->cq_tail++;
    if (cqe->res >= 0)
        vigil__sim_moved(ring->sim); /* to fail again and again gets nobody on */
    if (ring->eventfd >= 0)
        world_signal(ring->eventfd);
}

bool ring_post(struct ring *ring, uint64_t user_data, int32_t res, uint32_t flags, bool aux)
{
    const struct vigil__cqe cqe = { .user_data = user_data, .res = res, .flags = flags };
    bool fits = vigil__list_empty(&ring->overflow) && !cq_is_full(ring) &&
                (world.host == NULL || world.dead || !world_fault(VIGIL_SIM_OVERFLOW));
    if (fits) {
        cq_put(ring, &cqe);
        return true;
    }
    vigil__sim_oracle_count(ring->sim, REACHED_OVERFLOW);
    if (aux)
        return false;
    struct kept *kept = malloc(sizeof(*kept));
    VIGIL_ASSERT(kept != NULL); /* the kernel would count it as dropped; here nothing may be */
    kept->cqe = cqe;
    vigil__list_append(&ring->overflow, &kept->link);
    ring->shared->sq_flags |= VIGIL__URING_SQ_CQ_OVERFLOW;
    return true;
}

void ring_bring_overflow(struct ring *ring)
{
    while (!vigil__list_empty(&ring->overflow) && !cq_is_full(ring)) {
        struct kept *kept = VIGIL_OWNER(ring->overflow.next, struct kept, link);
        cq_put(ring, &kept->cqe);
        vigil__list_remove(&kept->link);
        free(kept);
    }
    if (vigil__list_empty(&ring->overflow))
        ring->shared->sq_flags &= ~(uint32_t)VIGIL__URING_SQ_CQ_OVERFLOW;
}

static void request_free(struct request *request)
{
    struct sim_file *file = request->file;
    vigil__list_remove(&request->link);
    free(request);
    if (file != NULL)
        vigil__sim_file_release(file); /* which may be what closes it */
}

static void request_end(struct request *request, int32_t res, uint32_t flags)
{
    bool silent = (request->sqe.flags & VIGIL__URING_SKIP_SUCCESS) != 0 && res >= 0;
    if (!silent)
        (void)ring_post(request->ring, request->sqe.user_data, res, flags, false);
    request_free(request);
}

/* One answer of several: whether the request goes on. */
static bool goes_on(struct request *request, int32_t res, uint32_t flags)
{
    bool ends = !world.dead && world_fault(VIGIL_SIM_MULTI_ENDS);
    return !ends && ring_post(request->ring, request->sqe.user_data, res,
                              flags | VIGIL__URING_CQE_MORE, true);
}

/* ---- polls ---- */

static bool is_multi_poll(const struct request *request)
{
    return (request->sqe.len & VIGIL__URING_POLL_MULTI) != 0;
}

static void poll_noted(struct request *request)
{
    request->told = request->file->activity;
    request->told_inputs = request->file->inputs;
    request->told_outputs = request->file->outputs;
}

/* What woke it says what it answers; what woke it several times is looked at. */
static uint32_t poll_woken(const struct request *request)
{
    const struct sim_file *file = request->file;
    uint32_t events = request->sqe.what | POLL_ALWAYS;
    uint64_t inputs = file->inputs - request->told_inputs;
    uint64_t outputs = file->outputs - request->told_outputs;
    uint64_t others = file->activity - request->told - inputs - outputs;
    inputs = (events & VIGIL_IN) != 0 ? inputs : 0;
    outputs = (events & VIGIL_OUT) != 0 ? outputs : 0;
    if (inputs + outputs + others == 0)
        return 0;
    if (inputs + outputs + others > 1 || others > 0)
        return vigil__sim_ready(file) & events;
    return outputs > 0 ? VIGIL_OUT : VIGIL_IN;
}

/* True: it has ended. */
static bool poll_run(struct request *request, bool first)
{
    uint32_t events = first ? vigil__sim_ready(request->file) & (request->sqe.what | POLL_ALWAYS)
                            : poll_woken(request);
    poll_noted(request);
    if (events == 0)
        return false;
    if (is_multi_poll(request) && request->file->kind != SIM_REGULAR &&
        goes_on(request, (int32_t)events, 0))
        return false;
    request_end(request, (int32_t)events, 0);
    return true;
}

static bool poll_start(struct request *request)
{
    if (poll_run(request, true))
        return true;
    if (request->file->kind != SIM_REGULAR)
        return false;
    request_end(request, VIGIL_EINVAL, 0); /* nothing ever happens to it */
    return true;
}

/* ---- receiving ---- */

static size_t bytes_there(const struct sim_file *file)
{
    return (size_t)(file->in.arrived - file->in.read);
}

/* Receives into the buffers there are, as many as it takes; where buffers can be filled bit by bit
 * what would not fill the last one comes by itself (seen on 6.18).  *flags: the first one's. */
static int32_t receive_bundle(struct request *request, uint32_t *flags)
{
    struct ring *ring = request->ring;
    uint16_t group = request->sqe.buf_group;
    vigil_iov space;
    int32_t sum = 0;
    for (uint32_t i = 0; i < IOVS_MAX && group_peek(ring, group, &space); i++) {
        size_t there = bytes_there(request->file);
        if (i > 0 && (there == 0 || (ring->kernel->incremental && there < space.len)))
            break; /* an error behind the bytes is for the next receive, too */
        int n = vigil__sim_read(request->file, (void *)(uintptr_t)space.base, space.len);
        if (n <= 0)
            return i > 0 ? sum : n;
        uint32_t filled = group_filled(ring, group, (uint32_t)n);
        *flags = i == 0 ? filled : *flags;
        sum += n;
        if ((size_t)n < space.len) {
            if (i > 0)
                vigil__sim_oracle_count(ring->sim, REACHED_SHORT);
            break; /* all but the last are full */
        }
    }
    return sum;
}

static int32_t receive_one(struct request *request, uint32_t *flags)
{
    const struct vigil__sqe *sqe = &request->sqe;
    vigil_iov space;
    *flags = 0;
    if ((sqe->flags & VIGIL__URING_BUFFER_SELECT) == 0)
        return vigil__sim_read(request->file, (void *)(uintptr_t)sqe->addr, sqe->len);
    bool ready = (vigil__sim_ready(request->file) & VIGIL_IN) != 0;
    bool starved = ready && !world.dead && world_fault(VIGIL_SIM_NO_BUFFERS);
    bool empty = !group_peek(request->ring, sqe->buf_group, &space);
    if (empty)
        vigil__sim_oracle_count(request->ring->sim, REACHED_EMPTY);
    if (starved || empty)
        return VIGIL_ENOBUFS; /* also where nothing has come yet */
    if ((sqe->how & VIGIL__URING_BUNDLE) != 0)
        return receive_bundle(request, flags);
    size_t len = sqe->len != 0 ? vigil__min(sqe->len, space.len) : space.len;
    int n = vigil__sim_read(request->file, (void *)(uintptr_t)space.base, len);
    if (n > 0) /* else it stays in the ring */
        *flags = group_filled(request->ring, sqe->buf_group, (uint32_t)n);
    return n;
}

/* Whether the kernel knows that it is, without trying. */
static bool is_known_empty(const struct request *request)
{
    const struct world_kernel *kernel = request->ring->kernel;
    bool is_unix = request->file->local.family == VIGIL_FAMILY_UNIX;
    bool knows = is_unix ? kernel->knows_unix_empty : kernel->knows_tcp_empty;
    return knows && (vigil__sim_ready(request->file) & VIGIL_IN) == 0;
}

static bool receive_run(struct request *request)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        uint32_t flags;
        int32_t res = receive_one(request, &flags);
        if (res == still_waits && request->sqe.what == 0)
            return false;
        bool multi = (request->sqe.how & VIGIL__URING_RECV_MULTISHOT) != 0;
        if (!multi || res <= 0 || !goes_on(request, res, flags)) {
            request_end(request, res, flags);
            return true;
        }
        if (is_known_empty(request))
            return false;
    }
    return false;
}

/* ---- accepting and sending ---- */

/* A descriptor is taken before anybody is looked for. */
static int32_t accept_one(struct request *request)
{
    struct sim_host *host = request->file->host;
    int err = vigil__sim_call(host, VIGIL_SIM_CALL_ACCEPT);
    if (err == 0 && host->fd_count >= host->fd_limit) {
        host->accept_shortages++;
        err = VIGIL_EMFILE;
    }
    vigil_fd fd;
    if (err == 0)
        err = vigil__sim_accept(request->file, &fd);
    return err < 0 ? err : fd;
}

static bool accept_run(struct request *request)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        int32_t res = accept_one(request);
        if (res == still_waits)
            return false;
        bool multi = (request->sqe.how & VIGIL__URING_ACCEPT_MULTISHOT) != 0;
        if (multi && res >= 0 && goes_on(request, res, 0))
            continue;
        request_end(request, res, 0);
        return true;
    }
    return false;
}

static bool send_run(struct request *request)
{
    const struct vigil__sqe *sqe = &request->sqe;
    vigil_iov one = { (const void *)(uintptr_t)sqe->addr, sqe->len };
    struct message message = { &one, 1 };
    if (sqe->opcode == VIGIL__URING_SENDMSG)
        message = *(const struct message *)(uintptr_t)sqe->addr;
    int32_t res = vigil__sim_writev(request->file, message.iov, message.count);
    if (res == still_waits && sqe->what == 0)
        return false;
    request_end(request, res, 0);
    return true;
}

/* ---- running ---- */

/* Tries it.  True: it has ended. */
static bool request_try(struct request *request)
{
    switch (request->sqe.opcode) {
    case VIGIL__URING_POLL_ADD:
        return poll_run(request, false);
    case VIGIL__URING_RECV:
        return receive_run(request);
    case VIGIL__URING_ACCEPT:
        return accept_run(request);
    default:
        return send_run(request);
    }
}

static bool has_work(const struct request *request)
{
    unsigned ready = vigil__sim_ready(request->file);
    switch (request->sqe.opcode) {
    case VIGIL__URING_POLL_ADD:
        return poll_woken(request) != 0;
    case VIGIL__URING_RECV:
    case VIGIL__URING_ACCEPT:
        return (ready & ~(unsigned)VIGIL_OUT) != 0;
    default:
        return (ready & ~(unsigned)VIGIL_IN) != 0;
    }
}

bool requests_have_work(const struct ring *ring)
{
    for (struct vigil__link *at = ring->requests.next; at != &ring->requests; at = at->next)
        if (has_work(VIGIL_OWNER(at, struct request, link)))
            return true;
    return false;
}

/* What is put off comes with the next look, and then in the order it was asked for. */
void requests_run(struct ring *ring)
{
    struct vigil__link todo;
    vigil__list_move(&todo, &ring->requests);
    bool turned = !vigil__list_empty(&todo) && world_fault(VIGIL_SIM_REORDER);
    while (!vigil__list_empty(&todo)) {
        struct vigil__link *at = turned ? todo.prev : todo.next;
        struct request *request = VIGIL_OWNER(at, struct request, link);
        vigil__list_remove(at);
        vigil__list_append(&ring->requests, at);
        if (has_work(request) && !world_late())
            (void)request_try(request);
    }
}

bool requests_poll(const struct ring *ring, const struct sim_file *file)
{
    for (struct vigil__link *at = ring->requests.next; at != &ring->requests; at = at->next) {
        const struct request *request = VIGIL_OWNER(at, struct request, link);
        if (request->file == file && request->sqe.opcode == VIGIL__URING_POLL_ADD)
            return true;
    }
    return false;
}

void requests_cancel_all(struct ring *ring)
{
    while (!vigil__list_empty(&ring->requests))
        request_end(VIGIL_OWNER(ring->requests.next, struct request, link), VIGIL_ECANCELED, 0);
}

/* ---- taking back ---- */

static struct request *request_find(struct ring *ring, uint64_t user_data, bool polls)
{
    for (struct vigil__link *at = ring->requests.next; at != &ring->requests; at = at->next) {
        struct request *request = VIGIL_OWNER(at, struct request, link);
        bool poll = request->sqe.opcode == VIGIL__URING_POLL_ADD;
        if (request->sqe.user_data == user_data && (poll || !polls))
            return request;
    }
    return NULL;
}

/* A poll that has an event in hand is not removed (EALREADY), but it can be cancelled.  An
 * operation that is cancelled may do what it was asked for first. */
static int32_t take_back(struct ring *ring, uint64_t user_data, bool polls)
{
    struct request *request = request_find(ring, user_data, polls);
    if (request == NULL && !polls)
        vigil__sim_oracle_count(ring->sim, REACHED_LATE);
    if (request == NULL)
        return VIGIL_ENOENT;
    if (polls && has_work(request))
        return VIGIL_ESYS;
    bool poll = request->sqe.opcode == VIGIL__URING_POLL_ADD;
    if (!poll && has_work(request) && world_fault(VIGIL_SIM_CANCEL_LOST) && request_try(request))
        return VIGIL_ENOENT;
    request_end(request, VIGIL_ECANCELED, 0);
    return 0;
}

static int32_t perform_at_once(struct ring *ring, const struct vigil__sqe *sqe)
{
    switch (sqe->opcode) {
    case VIGIL__URING_NOP:
        return 0;
    case VIGIL__URING_CLOSE:
        return vigil__sim_fd_close(world.host, sqe->fd);
    case VIGIL__URING_POLL_REMOVE:
        return take_back(ring, sqe->addr, true);
    default:
        VIGIL_ASSERT(sqe->opcode == VIGIL__URING_CANCEL);
        return take_back(ring, sqe->addr, false);
    }
}

static bool needs_file(const struct vigil__sqe *sqe)
{
    return sqe->opcode == VIGIL__URING_POLL_ADD || sqe->opcode == VIGIL__URING_RECV ||
           sqe->opcode == VIGIL__URING_ACCEPT || sqe->opcode == VIGIL__URING_SEND ||
           sqe->opcode == VIGIL__URING_SENDMSG;
}

void request_submit(struct ring *ring, const struct vigil__sqe *sqe)
{
    struct request *request = calloc(1, sizeof(*request));
    VIGIL_ASSERT(request != NULL);
    request->ring = ring;
    request->sqe = *sqe;
    vigil__list_init(&request->link);
    if (!needs_file(sqe)) {
        request_end(request, perform_at_once(ring, sqe), 0);
        return;
    }
    request->file = world_file(sqe->fd);
    if (request->file == NULL) {
        request_end(request, VIGIL_EBADF, 0);
        return;
    }
    request->file->refs++;
    bool ended = sqe->opcode == VIGIL__URING_POLL_ADD ? poll_start(request) : request_try(request);
    if (!ended)
        vigil__list_append(&ring->requests, &request->link);
}
