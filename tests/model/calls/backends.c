/* SPDX-License-Identifier: MIT
 *
 * backends.c -- the library's own backends in a simulated world, each on the model of its kernel;
 * linked in place of src/sim/backends.c.
 *
 * Around each call of a backend stands for whom it is.  Before a loop sleeps its backend is asked
 * to wait, with a call that blocks: what it then answers is kept for the turn that follows.  Where
 * it would sleep though something that it was told to wait for is there, the world fails; so it
 * does when an operation ends twice, or never.
 *
 * VIGIL_SIM_BACKEND names the one that every host is to have, else a choice decides
 * ("io_uring_polls" is io_uring for readiness alone); of io_uring VIGIL_SIM_KERNEL names the
 * kernel.  VIGIL_SIM_PLANT names a fault that a backend could have: it is put around each, and must
 * be found (tests/model/run has them all).
 */
#include "uring.h"

#include <stdlib.h>
#include <string.h>

enum { THREAD_CHANCE = 500 };

static const vigil_ns rest_ns = VIGIL_MS(1);

struct watched { /* what the backend was told to wait for, by descriptor */
    uint64_t key;
    uint32_t want;
    bool fired; /* a one-shot */
};

struct modelled {
    struct sim_turner turner;
    struct world_frame frame;
    const vigil_allocator *allocator;
    const struct vigil__backend *inner;
    void *inner_self;
    struct vigil__backend_caps caps;
    struct watched *watched;
    uint32_t watched_room;
    struct vigil__op *ops; /* submitted, their last record not yet seen */
    uint32_t op_count, op_room;
    int kept_status;       /* of the wait before a sleep, if it failed */
    struct sim_event rest; /* behind a wait that failed */
    int kept_count, kept_at;
    struct vigil__record kept[VIGIL__RECORDS_MAX];
};

static struct world_frame enter(struct modelled *m)
{
    struct world_frame outer = world;
    world = m->frame;
    world.dead = vigil__sim_turner_dead(&m->turner);
    world.may_pass = world.told = world.asked = false;
    return outer;
}

static void rest_over(struct sim_event *event)
{
    struct modelled *m = VIGIL_OWNER(event, struct modelled, rest);
    m->turner.rests = false;
}

/* What failed for want of memory would fail again at once, and time would stand still. */
static void rest(struct modelled *m)
{
    vigil_sim *sim = m->turner.host->sim;
    m->rest.fn = rest_over;
    m->turner.rests = vigil__sim_event_at(sim, &m->rest, sim->now + rest_ns);
}

static void leave(struct modelled *m, struct world_frame outer)
{
    if (world.lacked)
        rest(m);
    world.lacked = false;
    m->frame = world;
    world = outer;
}

/* ---- what is planted ---- */

static bool is_planted(const char *name)
{
    const char *planted = getenv("VIGIL_SIM_PLANT");
    return planted != NULL && strcmp(planted, name) == 0;
}

static bool is_last_record(const struct vigil__record *record)
{
    return vigil__key_class(record->key) == VIGIL__KEY_OP &&
           (record->flags & VIGIL__RECORD_MORE) == 0;
}

/* "lose": the last record of an operation is not told.  "twice": it is told once more. */
static int plant_records(struct vigil__record *records, int n, int cap)
{
    if (n < 1 || !is_last_record(&records[n - 1]))
        return n;
    if (is_planted("lose"))
        return n - 1;
    if (n == cap || !is_planted("twice"))
        return n;
    records[n] = records[n - 1];
    records[n].buf = NULL;
    return n + 1;
}

static int (*recv_of_worlds)(void *self, vigil_fd fd, void *p, size_t n);

static int recv_little(void *self, vigil_fd fd, void *p, size_t n)
{
    return recv_of_worlds(self, fd, p, vigil__min(n, 1000));
}

/* "pieces": what is received on kqueue comes in smaller ones than on the others. */
static void plant_pieces(struct modelled *m)
{
    vigil_host *table = &m->turner.host->table;
    if (m->inner != &vigil__backend_kqueue || table->recv == recv_little || !is_planted("pieces"))
        return;
    recv_of_worlds = table->recv;
    table->recv = recv_little;
}

/* "late": kqueue sleeps a while behind each wait. */
static void plant_lateness(struct modelled *m, int n)
{
    if (n > 0 && m->inner == &vigil__backend_kqueue && is_planted("late"))
        rest(m);
}

/* ---- what must hold ---- */

static void note_set(struct modelled *m, vigil_fd fd, uint32_t want, uint64_t key)
{
    if (fd >= 0 && (uint32_t)fd >= m->watched_room && want != 0) {
        uint32_t room = (uint32_t)fd + 64;
        struct watched *grown = realloc(m->watched, room * sizeof(*grown));
        if (grown == NULL)
            return; /* that one is not looked after */
        memset(grown + m->watched_room, 0, (room - m->watched_room) * sizeof(*grown));
        m->watched = grown;
        m->watched_room = room;
    }
    if (fd >= 0 && (uint32_t)fd < m->watched_room)
        m->watched[fd] = (struct watched){ .key = key, .want = want };
}

static void note_op(struct modelled *m, const struct vigil__op *op)
{
    if (m->op_count == m->op_room) {
        uint32_t room = m->op_room + 64;
        struct vigil__op *grown = realloc(m->ops, room * sizeof(*grown));
        VIGIL_ASSERT(grown != NULL);
        m->ops = grown;
        m->op_room = room;
    }
    m->ops[m->op_count++] = *op;
}

static void note_op_record(struct modelled *m, const struct vigil__record *record)
{
    vigil_sim *sim = m->turner.host->sim;
    uint32_t i = 0;
    while (i < m->op_count && m->ops[i].key != record->key)
        i++;
    vigil__sim_oracle_count(sim, "operations end once");
    if (i == m->op_count)
        vigil__sim_fail(sim, "operations end once", "a record is of one that is not under way");
    else if ((record->flags & VIGIL__RECORD_MORE) == 0)
        m->ops[i] = m->ops[--m->op_count];
}

static void note_records(struct modelled *m, const struct vigil__record *records, int n)
{
    for (int i = 0; i < n; i++) {
        if (vigil__key_class(records[i].key) == VIGIL__KEY_OP)
            note_op_record(m, &records[i]);
        for (uint32_t fd = 0; fd < m->watched_room; fd++)
            if (m->watched[fd].key == records[i].key)
                m->watched[fd].fired = (m->watched[fd].want & VIGIL_ONESHOT) != 0;
    }
}

static bool is_ready(const struct modelled *m, vigil_fd fd, uint32_t want)
{
    const struct sim_file *file = vigil__sim_fd_file(m->turner.host, fd);
    const uint32_t asked = VIGIL_IN | VIGIL_OUT | VIGIL_PRI | VIGIL_RDHUP;
    return file != NULL && (vigil__sim_ready(file) & want & m->caps.events & asked) != 0;
}

/* It would sleep now: nothing of what it was told to wait for may be there. */
static void check_sleep(struct modelled *m)
{
    static const char name[] = "nobody sleeps beside what is ready";
    vigil_sim *sim = m->turner.host->sim;
    vigil__sim_oracle_count(sim, name);
    for (uint32_t fd = 0; fd < m->watched_room; fd++) {
        const struct watched *watched = &m->watched[fd];
        bool told_once = watched->fired || (watched->want & VIGIL_EDGE) != 0;
        if (!told_once && is_ready(m, (vigil_fd)fd, watched->want))
            vigil__sim_fail(sim, name, "%s: descriptor %u", m->inner->name, fd);
    }
    for (uint32_t i = 0; i < m->op_count; i++) {
        const struct vigil__op *op = &m->ops[i];
        if (op->kind == VIGIL__OP_SEND || is_ready(m, op->fd, VIGIL_IN))
            vigil__sim_fail(sim, name, "%s: an operation of descriptor %d", m->inner->name, op->fd);
    }
}

/* ---- the backend table ---- */

static bool answers(const struct sim_turner *turner)
{
    struct modelled *m = VIGIL_OWNER((struct sim_turner *)(uintptr_t)turner, struct modelled,
                                     turner);
    if (m->kept_at < m->kept_count || m->kept_status < 0)
        return true;
    if (m->turner.rests)
        return false;
    struct world_frame outer = enter(m);
    world_rings_settle();
    int n = m->inner->wait(m->inner_self, m->kept, VIGIL__RECORDS_MAX, VIGIL_FOREVER);
    n = plant_records(m->kept, n, VIGIL__RECORDS_MAX);
    bool told = world.told;
    leave(m, outer);
    if (n == 0 && !told)
        check_sleep(m);
    note_records(m, m->kept, n);
    if (n < 0)
        rest(m);
    m->kept_status = n < 0 ? n : 0;
    m->kept_count = n > 0 ? n : 0;
    m->kept_at = 0;
    return n != 0 || told;
}

/* Each must have been looked at in the end. */
static void declare(struct modelled *m)
{
    vigil_sim *sim = m->turner.host->sim;
    vigil__sim_oracle_declare(sim, "operations end once");
    vigil__sim_oracle_declare(sim, "each buffer is offered once");
    vigil__sim_oracle_declare(sim, REACHED_LATE);
    vigil__sim_oracle_declare(sim, REACHED_OVERFLOW);
    vigil__sim_oracle_declare(sim, REACHED_EMPTY);
    if (m->frame.kernel->bundles && !m->frame.kernel->incremental)
        vigil__sim_oracle_declare(sim, REACHED_SHORT);
}

static const struct world_kernel *kernel_of(vigil_sim *sim)
{
    const char *name = getenv("VIGIL_SIM_KERNEL");
    for (int i = 0; name != NULL && i < WORLD_KERNELS; i++)
        if (strcmp(world_kernels[i].name, name) == 0)
            return &world_kernels[i];
    return &world_kernels[vigil_sim_choose(sim, "kernel", WORLD_KERNELS)];
}

static int modelled_open(const struct vigil__backend *inner, void **self,
                         const struct vigil__backend_config *config,
                         struct vigil__backend_caps *found, bool operations)
{
    struct sim_host *host = vigil__sim_host_of(config->host);
    struct vigil__backend_config inner_config = *config;
    struct modelled *m = vigil__alloc(config->allocator, sizeof(*m));
    if (m == NULL || host->dead) {
        vigil__free(config->allocator, m, sizeof(*m));
        return m == NULL ? VIGIL_ENOMEM : VIGIL_ENOTSUP;
    }
    memset(m, 0, sizeof(*m));
    m->allocator = config->allocator;
    m->inner = inner;
    m->turner.host = host;
    m->turner.answers = answers;
    if (config->pool != NULL)
        m->turner.loop = VIGIL_OWNER(config->pool, struct vigil_loop, pool);
    m->frame = (struct world_frame){ .host = host, .turner = &m->turner, .task = 1 };
    m->frame.kernel = inner == &vigil__backend_io_uring ? kernel_of(host->sim) : NULL;
    vigil__sim_turner_add(&m->turner);
    uint64_t bytes[] = { host->bytes_in, host->bytes_out };
    struct world_frame outer = enter(m);
    if (!operations)
        inner_config.pool = NULL;
    int err = inner->open(&m->inner_self, &inner_config, found);
    leave(m, outer);
    host->bytes_in = bytes[0]; /* a trial's are nobody's */
    host->bytes_out = bytes[1];
    m->caps = *found;
    plant_pieces(m);
    if (found->op_kinds != 0)
        declare(m);
    if (err < 0) {
        vigil__sim_turner_remove(&m->turner);
        vigil__free(config->allocator, m, sizeof(*m));
        return err;
    }
    *self = m;
    return 0;
}

/* Nothing is under way any more, and nobody holds a buffer. */
static void check_balance(struct modelled *m)
{
    vigil_sim *sim = m->turner.host->sim;
    vigil__sim_oracle_count(sim, "operations end");
    if (m->op_count != 0)
        vigil__sim_fail(sim, "operations end", "%u are under way at the end", m->op_count);
    if (world.dead)
        return; /* its rings have gone, and took their buffers along */
    vigil__sim_oracle_count(sim, "buffers come back");
    uint32_t missing = world_rings_miss();
    if (missing > 0)
        vigil__sim_fail(sim, "buffers come back", "%u were filled and not given back", missing);
}

static void modelled_close(void *self)
{
    struct modelled *m = self;
    vigil_sim *sim = m->turner.host->sim;
    struct world_frame outer = enter(m);
    if (m->inner->submit != NULL && m->caps.op_kinds != 0)
        check_balance(m);
    m->inner->close(m->inner_self);
    leave(m, outer);
    vigil__sim_oracle_count(sim, "what is shared is given back");
    if (m->frame.maps != 0)
        vigil__sim_fail(sim, "what is shared is given back", "%u maps are left", m->frame.maps);
    vigil__sim_turner_remove(&m->turner);
    vigil__sim_event_cancel(sim, &m->rest);
    free(m->watched);
    free(m->ops);
    vigil__free(m->allocator, m, sizeof(*m));
}

/* What has left the set is closed next, and its peer must hear of that. */
static void check_removed(struct modelled *m, vigil_fd fd)
{
    static const char name[] = "what leaves the set is let go";
    const struct sim_file *file = world_file(fd);
    vigil__sim_oracle_count(m->turner.host->sim, name);
    if (file != NULL && world_rings_poll(file))
        vigil__sim_fail(m->turner.host->sim, name, "descriptor %d is still polled", fd);
}

static int modelled_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    int err = m->inner->set(m->inner_self, fd, was, want, key);
    if (want == 0)
        check_removed(m, fd);
    leave(m, outer);
    if (err == 0)
        note_set(m, fd, want, key);
    return err;
}

static int take_kept(struct modelled *m, struct vigil__record *records, int cap)
{
    int n = 0;
    while (n < cap && m->kept_at < m->kept_count)
        records[n++] = m->kept[m->kept_at++];
    return n;
}

/* A loop may be another thread's the next time.  Its ring cannot move where no descriptor is left
 * for a new one, and that would last. */
static void change_thread(struct modelled *m)
{
    const struct sim_host *host = m->turner.host;
    vigil_sim *sim = host->sim;
    if (m->frame.kernel == NULL || !sim->faults || host->calm || host->fd_count >= host->fd_limit)
        return;
    if (vigil_sim_choose(sim, "another thread", THREAD_CHANCE) == THREAD_CHANCE - 1)
        m->frame.task++;
}

static int modelled_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct modelled *m = self;
    int status = m->kept_status;
    m->kept_status = 0;
    plant_lateness(m, m->kept_count - m->kept_at);
    if (status < 0 || m->kept_at < m->kept_count)
        return status < 0 ? status : take_kept(m, records, cap);
    if (m->turner.rests && timeout_ns == VIGIL_NOWAIT)
        return 0;
    change_thread(m);
    struct world_frame outer = enter(m);
    world.may_pass = timeout_ns != VIGIL_NOWAIT;
    world_rings_settle();
    int n = m->inner->wait(m->inner_self, records, cap, timeout_ns);
    n = plant_records(records, n, cap);
    leave(m, outer);
    if (n < 0)
        rest(m);
    note_records(m, records, n);
    vigil__sim_note(m->turner.host->sim, (uint64_t)n);
    return n;
}

static int modelled_wake(void *self)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    int err = m->inner->wake(m->inner_self);
    leave(m, outer);
    return err;
}

static int modelled_fd(void *self)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    int fd = m->inner->fd(m->inner_self);
    leave(m, outer);
    return fd;
}

static void modelled_flush(void *self)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    m->inner->flush(m->inner_self);
    leave(m, outer);
}

static int modelled_submit(void *self, struct vigil__op *op)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    int err = m->inner->submit(m->inner_self, op);
    leave(m, outer);
    if (err == 0)
        note_op(m, op);
    return err;
}

static void modelled_cancel(void *self, struct vigil__op *op)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    m->inner->cancel(m->inner_self, op);
    leave(m, outer);
}

static int modelled_close_fd(void *self, vigil_fd fd)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    int err = m->inner->close_fd(m->inner_self, fd);
    leave(m, outer);
    return err;
}

static void modelled_give(void *self, struct vigil__buf *buf)
{
    struct modelled *m = self;
    struct world_frame outer = enter(m);
    if (!is_planted("keep"))
        m->inner->give(m->inner_self, buf);
    leave(m, outer);
}

/* ---- one of each ---- */

static int epoll_open(void **self, const struct vigil__backend_config *config,
                      struct vigil__backend_caps *found)
{
    return modelled_open(&vigil__backend_epoll, self, config, found, true);
}

static int poll_open(void **self, const struct vigil__backend_config *config,
                     struct vigil__backend_caps *found)
{
    return modelled_open(&vigil__backend_poll, self, config, found, true);
}

static int select_open(void **self, const struct vigil__backend_config *config,
                       struct vigil__backend_caps *found)
{
    return modelled_open(&vigil__backend_select, self, config, found, true);
}

static int kqueue_open(void **self, const struct vigil__backend_config *config,
                       struct vigil__backend_caps *found)
{
    return modelled_open(&vigil__backend_kqueue, self, config, found, true);
}

static int afd_open(void **self, const struct vigil__backend_config *config,
                    struct vigil__backend_caps *found)
{
    return modelled_open(&vigil__backend_afd, self, config, found, true);
}

static int uring_open(void **self, const struct vigil__backend_config *config,
                      struct vigil__backend_caps *found)
{
    return modelled_open(&vigil__backend_io_uring, self, config, found, true);
}

/* As a kernel has it that performs nothing. */
static int uring_polls_open(void **self, const struct vigil__backend_config *config,
                            struct vigil__backend_caps *found)
{
    return modelled_open(&vigil__backend_io_uring, self, config, found, false);
}

#define EVERY_BACKEND                                                                              \
    .close = modelled_close, .forget = modelled_close, .set = modelled_set, .wait = modelled_wait, \
    .wake = modelled_wake

const struct vigil__backend modelled_epoll = {
    .name = "epoll", .open = epoll_open, EVERY_BACKEND, .fd = modelled_fd
};
const struct vigil__backend modelled_poll = { .name = "poll", .open = poll_open, EVERY_BACKEND };
const struct vigil__backend modelled_select = { .name = "select",
                                                .open = select_open,
                                                EVERY_BACKEND };
const struct vigil__backend modelled_kqueue = {
    .name = "kqueue",
    .open = kqueue_open,
    EVERY_BACKEND,
    .fd = modelled_fd,
    .flush = modelled_flush,
};
const struct vigil__backend modelled_afd = { .name = "afd", .open = afd_open, EVERY_BACKEND };
const struct vigil__backend modelled_uring = {
    .name = "io_uring",
    .open = uring_open,
    EVERY_BACKEND,
    .fd = modelled_fd,
    .flush = modelled_flush,
    .submit = modelled_submit,
    .cancel = modelled_cancel,
    .close_fd = modelled_close_fd,
    .give = modelled_give,
};

const struct vigil__backend modelled_uring_polls = {
    .name = "io_uring",
    .open = uring_polls_open,
    EVERY_BACKEND,
    .fd = modelled_fd,
    .flush = modelled_flush,
};

/* ---- which one ---- */

/* The others, and the world's own, can be asked for by name. */
#define THE_WORLDS_OWN &vigil__sim_backend_ready, &vigil__sim_backend_complete, NULL
#define EPOLL          &modelled_epoll
#define POLL           &modelled_poll
#define SELECT         &modelled_select
#define KQUEUE         &modelled_kqueue
#define AFD            &modelled_afd
#define URING          &modelled_uring
static const struct {
    const char *name;
    const struct vigil__backend *const list[9];
} lists[] = {
    { "epoll", { EPOLL, POLL, SELECT, KQUEUE, AFD, URING, THE_WORLDS_OWN } },
    { "poll", { POLL, SELECT, EPOLL, KQUEUE, AFD, URING, THE_WORLDS_OWN } },
    { "select", { SELECT, EPOLL, POLL, KQUEUE, AFD, URING, THE_WORLDS_OWN } },
    { "kqueue", { KQUEUE, EPOLL, POLL, SELECT, AFD, URING, THE_WORLDS_OWN } },
    { "afd", { AFD, EPOLL, POLL, SELECT, KQUEUE, URING, THE_WORLDS_OWN } },
    /* a kernel may have none: then it is the next one */
    { "io_uring", { URING, EPOLL, POLL, SELECT, KQUEUE, AFD, THE_WORLDS_OWN } },
    { "io_uring_polls",
      { &modelled_uring_polls, EPOLL, POLL, SELECT, KQUEUE, AFD, THE_WORLDS_OWN } },
};

const struct vigil__backend *const *vigil__sim_backends(struct sim_host *host)
{
    const char *name = getenv("VIGIL_SIM_BACKEND");
    for (size_t i = 0; name != NULL && i < VIGIL_COUNT(lists); i++)
        if (strcmp(lists[i].name, name) == 0)
            return lists[i].list;
    return lists[vigil_sim_choose(host->sim, "backend", VIGIL_COUNT(lists))].list;
}
