/* SPDX-License-Identifier: MIT
 *
 * machine.h -- a machine for fuzz targets: a clock that moves when told, a few descriptors that
 * take and bring as much as a target says, and memory that is counted and can fail.
 *
 * It is a host table with two backends of its own, which any number of loops can run on: "ready"
 * tells readiness, "complete" also takes sends and writes to sockets and brings their results with
 * the next wait.  It is deliberately simple: what it checks is that the library calls it rightly.
 */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include "fuzz.h"
#include "poller/backend.h"

enum { MACHINE_FDS = 24, MACHINE_OPS = 16, MACHINE_PATTERN = 1 << 20 };

struct machine_fd {
    bool open, nonblocking, shut;
    enum vigil__fd_kind kind;
    /* Output: what the other side takes, in all and in one call, or the error it answers once. */
    size_t room, take_max;
    int send_error;
    /* Input: waiting bytes, where they begin in the pattern, and what comes behind them. */
    size_t waiting, in_at, bring_max;
    bool in_eof;
    int recv_error;
    size_t file_size;
    /* In the backend: */
    uint32_t want;
    uint64_t key;
};

static struct machine {
    vigil_ns now;
    struct machine_fd fds[MACHINE_FDS];
    size_t blocks, bytes; /* of memory, now */
    unsigned memory_left; /* allocations that succeed before others fail; UINT_MAX: none fails */
    bool memory_failed;   /* one did */
    bool spurious;        /* descriptors are told ready that are not */
    bool full;            /* the backend takes no operation */
    unsigned late;        /* how much later than asked a wait returns */
    bool idle;            /* the last wait brought nothing */
    bool woken;
    bool name_there;                   /* the one file that a Unix socket may have */
    unsigned opened;                   /* backends now */
    unsigned sinks;                    /* of signals, now */
    struct vigil__op ops[MACHINE_OPS]; /* kind 0: none */
    bool cancelled[MACHINE_OPS];
    /* Tell the target what went out, that it failed instead, and that nothing more will come. */
    void (*sent)(vigil_fd fd, const vigil_iov *iov, size_t n);
    void (*failed)(vigil_fd fd, int error);
    void (*ended)(vigil_fd fd);
} machine;

/* What all bytes are taken from: 1 MiB without a short period, twice, so that as much can be taken
 * from anywhere in the first. */
static uint8_t machine_pattern[2 * MACHINE_PATTERN];

static struct machine_fd *machine_fd(vigil_fd fd)
{
    CHECK(fd >= 0 && fd < MACHINE_FDS, "descriptor %d", fd);
    CHECK(machine.fds[fd].open, "descriptor %d is closed", fd);
    return &machine.fds[fd];
}

/* ---- memory and the clock ---- */

union machine_block { /* stands before each block */
    size_t size;
    max_align_t align;
};

static void *machine_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    union machine_block *block = old != NULL ? (union machine_block *)old - 1 : NULL;
    CHECK(block == NULL || block->size == old_size, "%zu bytes are given back as %zu", block->size,
          old_size);
    if (new_size == 0) {
        machine.blocks -= block != NULL;
        machine.bytes -= block != NULL ? old_size : 0;
        free(block);
        return NULL;
    }
    if (machine.memory_left == 0) {
        machine.memory_failed = true;
        return NULL;
    }
    machine.memory_left -= machine.memory_left != UINT32_MAX;
    machine.blocks += block == NULL;
    machine.bytes += new_size - (block != NULL ? old_size : 0);
    block = realloc(block, sizeof(*block) + new_size);
    CHECK(block != NULL, "out of memory indeed");
    block->size = new_size;
    return block + 1;
}

static vigil_ns machine_now(void *self)
{
    (void)self;
    return machine.now;
}

/* ---- descriptors ---- */

/* A new descriptor, or VIGIL_EMFILE. */
static int machine_open(enum vigil__fd_kind kind, vigil_fd *out)
{
    for (int fd = 0; fd < MACHINE_FDS; fd++) {
        if (machine.fds[fd].open)
            continue;
        machine.fds[fd] = (struct machine_fd){
            .open = true, .kind = kind, .take_max = SIZE_MAX, .bring_max = SIZE_MAX
        };
        *out = fd;
        return 0;
    }
    return VIGIL_EMFILE;
}

static int machine_socket(void *self, vigil_family family, vigil_fd *out)
{
    (void)self;
    CHECK(family >= VIGIL_FAMILY_INET && family <= VIGIL_FAMILY_UNIX);
    int err = machine_open(VIGIL__FD_SOCKET, out);
    if (err == 0)
        machine.fds[*out].nonblocking = true;
    return err;
}

static int machine_bind(void *self, vigil_fd fd, const vigil_addr *addr)
{
    (void)self;
    (void)machine_fd(fd);
    CHECK(addr->family >= VIGIL_FAMILY_INET && addr->family <= VIGIL_FAMILY_UNIX);
    machine.name_there |= addr->family == VIGIL_FAMILY_UNIX && addr->path[0] != '\0';
    return 0;
}

static int machine_listen(void *self, vigil_fd fd, int backlog)
{
    (void)self;
    CHECK(backlog > 0);
    machine_fd(fd)->kind = VIGIL__FD_LISTENER;
    return 0;
}

static int machine_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    (void)self;
    (void)out;
    CHECK(machine_fd(listener)->kind == VIGIL__FD_LISTENER);
    return VIGIL__EAGAIN;
}

static int machine_connect(void *self, vigil_fd fd, const vigil_addr *addr)
{
    (void)addr;
    (void)self;
    (void)machine_fd(fd);
    return VIGIL__EAGAIN;
}

static int machine_socket_error(void *self, vigil_fd fd)
{
    (void)self;
    return machine_fd(fd)->send_error;
}

/* One call of output: the first bytes of the list, as many as there is room for. */
static int machine_take(vigil_fd fd, const vigil_iov *iov, size_t count)
{
    struct machine_fd *f = machine_fd(fd);
    size_t offered = 0;
    CHECK(!f->shut, "output behind the end of output");
    for (size_t i = 0; i < count; i++) {
        CHECK(iov[i].len > 0, "an empty piece");
        offered += iov[i].len;
    }
    CHECK(offered > 0, "nothing is sent");
    if (f->send_error != 0) {
        int error = f->send_error;
        f->send_error = 0;
        if (machine.failed != NULL)
            machine.failed(fd, error);
        return error;
    }
    size_t n = vigil__min(offered, vigil__min(f->room, f->take_max));
    if (n == 0)
        return VIGIL__EAGAIN;
    f->room -= f->room != SIZE_MAX ? n : 0;
    if (machine.sent != NULL)
        machine.sent(fd, iov, n);
    return (int)n;
}

static int machine_sendv(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    (void)self;
    CHECK(machine_fd(fd)->kind == VIGIL__FD_SOCKET, "a send to what is no socket");
    return machine_take(fd, iov, count);
}

static int machine_send(void *self, vigil_fd fd, const void *p, size_t n)
{
    return machine_sendv(self, fd, &(vigil_iov){ p, n }, 1);
}

static int machine_writev(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    (void)self;
    const struct machine_fd *f = machine_fd(fd);
    CHECK(f->kind != VIGIL__FD_SOCKET, "a write to a socket");
    if (!f->nonblocking) {
        CHECK(f->room > 0 || f->send_error != 0 || machine.spurious, "this would block for ever");
        CHECK(count == 1 && iov->len <= 4096, "more than PIPE_BUF may block");
    }
    return machine_take(fd, iov, count);
}

static int machine_bring(vigil_fd fd, void *p, size_t n)
{
    struct machine_fd *f = machine_fd(fd);
    CHECK(n > 0, "nothing is asked for");
    if (f->waiting == 0) {
        if (f->recv_error != 0)
            return f->recv_error;
        return f->in_eof ? 0 : VIGIL__EAGAIN;
    }
    size_t got = vigil__min(n, vigil__min(f->waiting, f->bring_max));
    got = vigil__min(got, MACHINE_PATTERN);
    memcpy(p, machine_pattern + f->in_at, got);
    f->in_at = (f->in_at + got) % MACHINE_PATTERN;
    f->waiting -= got;
    return (int)got;
}

static int machine_recv(void *self, vigil_fd fd, void *p, size_t n)
{
    (void)self;
    CHECK(machine_fd(fd)->kind == VIGIL__FD_SOCKET, "a receive from what is no socket");
    return machine_bring(fd, p, n);
}

static bool machine_has_input(const struct machine_fd *f)
{
    return f->waiting > 0 || f->in_eof || f->recv_error != 0;
}

static int machine_read(void *self, vigil_fd fd, void *p, size_t n)
{
    (void)self;
    const struct machine_fd *f = machine_fd(fd);
    CHECK(f->kind != VIGIL__FD_SOCKET, "a read of a socket");
    CHECK(f->nonblocking || machine_has_input(f) || machine.spurious, "this would block for ever");
    return machine_bring(fd, p, n);
}

static int machine_shutdown(void *self, vigil_fd fd)
{
    (void)self;
    struct machine_fd *f = machine_fd(fd);
    CHECK(!f->shut, "shut down twice");
    f->shut = true;
    if (machine.ended != NULL)
        machine.ended(fd);
    return 0;
}

static int machine_option(void *self, vigil_fd fd, enum vigil__sockopt option, int value)
{
    (void)self;
    (void)option;
    (void)value;
    (void)machine_fd(fd);
    return 0;
}

static int machine_address(void *self, vigil_fd fd, vigil_addr *out)
{
    (void)self;
    (void)machine_fd(fd);
    *out = (vigil_addr){ .family = VIGIL_FAMILY_INET, .port = (uint16_t)(1000 + fd) };
    return 0;
}

/* A file's bytes are the pattern's. */
static int machine_pread(void *self, vigil_fd fd, void *p, size_t n, int64_t offset)
{
    (void)self;
    const struct machine_fd *f = machine_fd(fd);
    CHECK(offset >= 0 && n > 0);
    if ((size_t)offset >= f->file_size)
        return 0;
    size_t got = vigil__min(vigil__min(n, f->bring_max), f->file_size - (size_t)offset);
    memcpy(p, machine_pattern + offset, got);
    return (int)got;
}

static int machine_close(void *self, vigil_fd fd)
{
    (void)self;
    struct machine_fd *f = machine_fd(fd);
    CHECK(f->want == 0, "descriptor %d is closed while it is watched", fd);
    for (size_t i = 0; i < MACHINE_OPS; i++)
        CHECK(machine.ops[i].kind == 0 || machine.ops[i].fd != fd, "closed under an operation");
    bool ends = !f->shut && machine.ended != NULL;
    *f = (struct machine_fd){ 0 };
    if (ends)
        machine.ended(fd);
    return 0;
}

static int machine_describe(void *self, vigil_fd fd, struct vigil__fd_info *out)
{
    (void)self;
    if (fd < 0 || fd >= MACHINE_FDS || !machine.fds[fd].open)
        return VIGIL_EBADF;
    *out = (struct vigil__fd_info){ machine.fds[fd].kind, machine.fds[fd].nonblocking };
    return 0;
}

static bool machine_readable(void *self, vigil_fd fd)
{
    (void)self;
    return machine_has_input(machine_fd(fd));
}

static int machine_reopen(void *self, vigil_fd fd)
{
    (void)self;
    CHECK(machine_fd(fd)->kind != VIGIL__FD_SOCKET);
    return VIGIL_ENOTSUP;
}

static int machine_file_size(void *self, vigil_fd fd, int64_t *out)
{
    (void)self;
    if (fd < 0 || fd >= MACHINE_FDS || !machine.fds[fd].open ||
        machine.fds[fd].kind != VIGIL__FD_FILE)
        return VIGIL_EBADF;
    *out = (int64_t)machine.fds[fd].file_size;
    return 0;
}

/* ---- names and signals ---- */

static int machine_path_identity(void *self, const char *path, uint64_t identity[2])
{
    (void)self;
    (void)path;
    identity[0] = identity[1] = 7;
    return machine.name_there ? 0 : VIGIL_ENOENT;
}

static int machine_path_mode(void *self, const char *path, unsigned mode)
{
    (void)self;
    (void)path;
    (void)mode;
    return 0;
}

static int machine_unlink(void *self, const char *path)
{
    (void)self;
    (void)path;
    machine.name_there = false;
    return 0;
}

static int machine_resolve(void *self, const char *name, uint16_t port, vigil_addr *out, int max)
{
    (void)self;
    CHECK(name[0] != '\0' && max > 0);
    *out = (vigil_addr){ .family = VIGIL_FAMILY_INET, .port = port, .ip = { 192, 0, 2, 1 } };
    return 1;
}

static int machine_signal_add(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self;
    (void)sink;
    CHECK(signo > 0 && signo <= VIGIL__SIGNAL_MAX);
    machine.sinks++;
    return 0;
}

static void machine_signal_remove(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self;
    (void)signo;
    (void)sink;
    CHECK(machine.sinks > 0);
    machine.sinks--;
}

/* ---- the backends ---- */

static int ready_open(void **self, const struct vigil__backend_config *config,
                      struct vigil__backend_caps *found)
{
    (void)config;
    *found = (struct vigil__backend_caps){ .events = VIGIL_IN | VIGIL_OUT | VIGIL_PRI };
    *self = &machine;
    machine.opened++;
    return 0;
}

static int complete_open(void **self, const struct vigil__backend_config *config,
                         struct vigil__backend_caps *found)
{
    int err = ready_open(self, config, found);
    found->op_kinds = 1u << VIGIL__OP_SEND;
    return err;
}

static void machine_backend_close(void *self)
{
    (void)self;
    CHECK(machine.opened > 0);
    machine.opened--;
    for (size_t i = 0; i < MACHINE_OPS; i++)
        CHECK(machine.ops[i].kind == 0, "an operation is under way");
}

static int machine_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    (void)self;
    struct machine_fd *f = machine_fd(fd);
    CHECK(f->want == was, "descriptor %d: it was %x, not %x", fd, f->want, was);
    f->want = want;
    f->key = key;
    return 0;
}

static uint32_t machine_events(const struct machine_fd *f)
{
    bool in = machine_has_input(f) || machine.spurious;
    bool out = f->room > 0 || f->send_error != 0 || machine.spurious;
    return f->want & ((in ? VIGIL_IN : 0u) | (out ? VIGIL_OUT : 0u));
}

static int machine_ready(struct vigil__record *records, int cap)
{
    int count = 0;
    for (int fd = 0; fd < MACHINE_FDS && count < cap; fd++) {
        uint32_t events = machine.fds[fd].open ? machine_events(&machine.fds[fd]) : 0;
        if (events != 0)
            records[count++] = (struct vigil__record){ .key = machine.fds[fd].key,
                                                       .res = (int32_t)events };
    }
    return count;
}

/* What it was given has a result each: a send never waits for room. */
static int machine_complete(struct vigil__record *records, int cap)
{
    int count = 0;
    for (size_t i = 0; i < MACHINE_OPS && count < cap; i++) {
        struct vigil__op *op = &machine.ops[i];
        if (op->kind == 0)
            continue;
        int res = machine.cancelled[i] && machine.late % 2 == 0
                      ? VIGIL_ECANCELED /* else it was too late for that */
                      : machine_sendv(NULL, op->fd, op->u.io.iov, op->u.io.count);
        records[count++] = (struct vigil__record){ .key = op->key, .res = res };
        op->kind = 0;
        machine.cancelled[i] = false;
    }
    return count;
}

static int machine_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout)
{
    (void)self;
    CHECK(timeout >= 0 && cap > 0);
    int count = machine_complete(records, cap);
    count += machine_ready(records + count, cap - count);
    if (machine.woken && count < cap) {
        machine.woken = false;
        records[count++] = (struct vigil__record){ .key = vigil__key(VIGIL__KEY_WAKE, 0, 0, 0) };
    }
    machine.idle = count == 0;
    /* Nobody waits for long: it returns early, as for a signal. */
    machine.now += count == 0 && timeout < VIGIL_S(3600) ? timeout : 0;
    machine.now += machine.late;
    return count;
}

static int machine_wake(void *self)
{
    (void)self;
    machine.woken = true;
    return 0;
}

static int machine_submit(void *self, struct vigil__op *op)
{
    (void)self;
    CHECK(op->kind == VIGIL__OP_SEND, "kind %d is none of ours", op->kind);
    CHECK((op->flags & VIGIL__OP_WAIT) == 0, "a send that would wait for sure");
    for (size_t i = 0; i < MACHINE_OPS && !machine.full; i++) {
        bool used = machine.ops[i].kind != 0;
        CHECK(!used || machine.ops[i].key != op->key, "an operation is started twice");
        if (used)
            continue;
        machine.ops[i] = *op;
        return 0;
    }
    return VIGIL_EFULL;
}

static void machine_cancel(void *self, struct vigil__op *op)
{
    (void)self;
    for (size_t i = 0; i < MACHINE_OPS; i++)
        machine.cancelled[i] = machine.cancelled[i] ||
                               (machine.ops[i].kind != 0 && machine.ops[i].key == op->key);
}

static const struct vigil__backend machine_backend_ready = {
    .name = "ready",
    .open = ready_open,
    .close = machine_backend_close,
    .forget = machine_backend_close,
    .set = machine_set,
    .wait = machine_wait,
    .wake = machine_wake,
};

static const struct vigil__backend machine_backend_complete = {
    .name = "complete",
    .open = complete_open,
    .close = machine_backend_close,
    .forget = machine_backend_close,
    .set = machine_set,
    .wait = machine_wait,
    .wake = machine_wake,
    .submit = machine_submit,
    .cancel = machine_cancel,
};

static const struct vigil__backend *const machine_backends[] = { &machine_backend_ready,
                                                                 &machine_backend_complete, NULL };

static const vigil_host machine_host = {
    .backends = machine_backends,
    .allocator = { .resize = machine_resize },
    .now = machine_now,
    .socket = machine_socket,
    .bind = machine_bind,
    .listen = machine_listen,
    .accept = machine_accept,
    .connect = machine_connect,
    .socket_error = machine_socket_error,
    .recv = machine_recv,
    .send = machine_send,
    .sendv = machine_sendv,
    .shutdown = machine_shutdown,
    .option = machine_option,
    .local = machine_address,
    .peer = machine_address,
    .read = machine_read,
    .writev = machine_writev,
    .pread = machine_pread,
    .close = machine_close,
    .describe = machine_describe,
    .readable = machine_readable,
    .reopen = machine_reopen,
    .file_size = machine_file_size,
    .path_identity = machine_path_identity,
    .path_mode = machine_path_mode,
    .unlink = machine_unlink,
    .resolve = machine_resolve,
    .signal_add = machine_signal_add,
    .signal_remove = machine_signal_remove,
};

/* ---- beginning and ending ---- */

/* A machine as new.  The clock does not begin at 0, and no backend is chosen from outside. */
FUZZ_MAYBE_UNUSED static void machine_begin(void)
{
    static bool once;
    machine = (struct machine){ .now = VIGIL_S(1000), .memory_left = UINT32_MAX };
    if (once)
        return;
    once = true;
    (void)unsetenv("VIGIL_BACKEND"); /* fails for a bad name only */
    uint32_t state = 1;
    for (size_t i = 0; i < MACHINE_PATTERN; i++) {
        state = state * 1664525u + 1013904223u;
        machine_pattern[i] = (uint8_t)(state >> 24);
    }
    memcpy(machine_pattern + MACHINE_PATTERN, machine_pattern, MACHINE_PATTERN);
}

/* Nothing goes wrong any more, and the other sides take all there is. */
FUZZ_MAYBE_UNUSED static void machine_calm(void)
{
    machine.memory_left = UINT32_MAX;
    machine.spurious = machine.full = false;
    machine.late = 0;
    for (int fd = 0; fd < MACHINE_FDS; fd++) {
        machine.fds[fd].room = SIZE_MAX;
        machine.fds[fd].take_max = machine.fds[fd].bring_max = SIZE_MAX;
    }
}

/* All that was taken has been given back; `fds` descriptors are still open. */
FUZZ_MAYBE_UNUSED static void machine_end(int fds)
{
    CHECK(machine.blocks == 0 && machine.bytes == 0, "%zu blocks of %zu bytes are left",
          machine.blocks, machine.bytes);
    CHECK(machine.opened == 0 && machine.sinks == 0);
    for (int fd = 0; fd < MACHINE_FDS; fd++)
        fds -= machine.fds[fd].open;
    CHECK(fds == 0, "%d more descriptors were closed than should be", fds);
}

#endif
