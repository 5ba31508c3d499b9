/* SPDX-License-Identifier: MIT
 *
 * options.c -- fuzz target: options and limits, as given to open, listen, connect, adopt and
 * set_limits, against what the header says of them.
 *
 * Numbers come from tables of those that are near a border.  In some inputs memory fails: then an
 * answer may be VIGIL_ENOMEM too, and nothing may be left behind.
 */
#include "machine.h"

static struct fuzz_in in;

static size_t some_size(void)
{
    static const size_t sizes[] = {
        0,      0,       0,       1,     2,      4095,         4096,         65536,   262143,
        262144, 1048576, 1048577, 65537, 262145, SIZE_MAX / 4, SIZE_MAX - 1, SIZE_MAX
    };
    return FUZZ_OF(&in, sizes);
}

static vigil_ns some_time(void)
{
    static const vigil_ns times[] = {
        0, 0, 0, 1, VIGIL_S(1), VIGIL_FOREVER - 1, VIGIL_FOREVER, 0, -1, INT64_MIN,
    };
    return FUZZ_OF(&in, times);
}

static bool some_flag(void)
{
    return fuzz_below(&in, 2) == 1;
}

static vigil_limits some_limits(void)
{
    return (vigil_limits){ .out_high = some_size(),
                           .out_low = some_size(),
                           .out_hard = some_size(),
                           .in_max = some_size(),
                           .connect_ns = some_time(),
                           .idle_ns = some_time(),
                           .stall_ns = some_time(),
                           .linger_ns = some_time() };
}

/* As the header says: 0 is the default in brackets, and the marks are in order. */
static bool limits_good(const vigil_limits *limits)
{
    size_t high = limits->out_high != 0 ? limits->out_high : 256 * 1024;
    size_t low = limits->out_low != 0 ? limits->out_low : high / 4;
    size_t hard = limits->out_hard != 0 ? limits->out_hard : high > 1048576 ? high : 1048576;
    return low <= high && high <= hard && limits->connect_ns >= 0 && limits->idle_ns >= 0 &&
           limits->stall_ns >= 0 && limits->linger_ns >= 0;
}

/* 0 or VIGIL_EINVAL as it should be; or out of memory, when memory fails. */
static void check(const char *call, int status, bool good)
{
    if (status == VIGIL_ENOMEM && machine.memory_failed)
        return;
    CHECK(status == (good ? 0 : VIGIL_EINVAL), "%s answers %d", call, status);
}

static uint64_t things(const vigil_loop *loop)
{
    vigil_stats stats;
    vigil_stats_get(loop, &stats);
    return stats.conns + stats.listeners;
}

/* As check(), of a call that makes one thing, or nothing. */
static void check_made(const char *call, int status, bool good, const vigil_loop *loop,
                       uint64_t before)
{
    CHECK(things(loop) == before + (status == 0), "%s answers %d and leaves another number", call,
          status);
    check(call, status, good);
}

static vigil_loop *some_loop(void)
{
    static const char *const names[] = { NULL, "ready", "complete", "", "epoll", "Ready" };
    const char *name = FUZZ_OF(&in, names);
    vigil_loop_options options = { .backend = name,
                                   .host = &machine_host,
                                   .memory_limit = some_size(),
                                   .stall_after_ns = some_time(),
                                   .stop_on_signals = some_flag(),
                                   .grace_ns = some_time(),
                                   .keep_running = some_flag() };
    bool memory = options.memory_limit == 0 || options.memory_limit >= 256 * 1024;
    bool known = name == NULL || name[0] == '\0' || strcmp(name, "ready") == 0 ||
                 strcmp(name, "complete") == 0;
    bool good = memory && known && options.stall_after_ns >= 0 && options.grace_ns >= 0;
    vigil_loop *loop = NULL;
    int status = vigil_loop_open(&loop, &options);
    check("vigil_loop_open", status, good);
    CHECK((loop != NULL) == (status == 0));
    return loop;
}

static void listen_some(vigil_loop *loop)
{
    static const char *const wheres[] = { "127.0.0.1:0", "[::1]:7", "*:80",    "localhost:0",
                                          "unix:/run/x", "unix:@x", "a.name:1" };
    vigil_listen_options options = { .limits = some_limits(),
                                     .max_conns = fuzz_below(&in, 3),
                                     .backlog = fuzz_below(&in, 2) * UINT32_MAX,
                                     .shed = some_flag(),
                                     .reuse_port = some_flag(),
                                     .v6_only = some_flag(),
                                     .unix_mode = fuzz_below(&in, 2) * 0600u };
    vigil_listener listener;
    const char *where = FUZZ_OF(&in, wheres);
    bool named = machine.name_there;
    uint64_t before = things(loop);
    int status = vigil_listen(loop, where, &options, &listener);
    if (limits_good(&options.limits) &&
        (status == VIGIL_EMFILE || (status == VIGIL_EADDRINUSE && named)))
        return; /* the machine has few descriptors, and one name */
    check_made("vigil_listen", status, limits_good(&options.limits), loop, before);
    if (status == 0 && some_flag())
        CHECK(vigil_listener_close(loop, listener) == 0);
}

static void listen_fd_some(vigil_loop *loop)
{
    vigil_listen_options options = { .limits = some_limits(), .shed = some_flag() };
    bool listens = some_flag();
    vigil_fd fd;
    if (machine_open(listens ? VIGIL__FD_LISTENER : VIGIL__FD_SOCKET, &fd) != 0)
        return;
    uint64_t before = things(loop);
    int status = vigil_listen_fd(loop, fd, &options, NULL);
    check_made("vigil_listen_fd", status, listens && limits_good(&options.limits), loop, before);
    if (status != 0)
        (void)machine_close(NULL, fd); /* it stayed ours */
}

static void conn_used(vigil_loop *loop, vigil_conn conn)
{
    vigil_limits limits = some_limits();
    check("vigil_conn_set_limits", vigil_conn_set_limits(loop, conn, &limits),
          limits_good(&limits));
    vigil_ns delay = some_time();
    check("vigil_conn_deadline", vigil_conn_deadline(loop, conn, delay), delay >= 0);
    if (some_flag())
        CHECK(vigil_abort(loop, conn) == 0);
}

static void connect_some(vigil_loop *loop)
{
    static const char *const wheres[] = { "127.0.0.1:7", "[::1]:7", "unix:/x", "localhost:1" };
    vigil_conn_options options = { .limits = some_limits() };
    vigil_conn conn;
    uint64_t before = things(loop);
    int status = vigil_connect(loop, FUZZ_OF(&in, wheres), &options, &conn);
    if (status == VIGIL_EMFILE)
        return;
    check_made("vigil_connect", status, limits_good(&options.limits), loop, before);
    if (status == 0)
        conn_used(loop, conn);
}

static void adopt_some(vigil_loop *loop)
{
    static const enum vigil__fd_kind kinds[] = { VIGIL__FD_SOCKET, VIGIL__FD_PIPE,
                                                 VIGIL__FD_TERMINAL, VIGIL__FD_OTHER,
                                                 VIGIL__FD_LISTENER };
    vigil_conn_options options = { .limits = some_limits() };
    enum vigil__fd_kind kind = FUZZ_OF(&in, kinds);
    vigil_conn conn;
    vigil_fd fd;
    if (machine_open(kind, &fd) != 0)
        return;
    machine.fds[fd].nonblocking = some_flag();
    uint64_t before = things(loop);
    int status = vigil_adopt(loop, some_flag() ? fd : VIGIL_FD_NONE, fd, &options, &conn);
    bool good = kind != VIGIL__FD_LISTENER && limits_good(&options.limits);
    check_made("vigil_adopt", status, good, loop, before);
    if (status == 0) {
        CHECK(vigil_adopt(loop, fd, fd, NULL, NULL) == VIGIL_EEXIST || machine.memory_failed);
        conn_used(loop, conn);
    } else {
        (void)machine_close(NULL, fd); /* it stayed ours */
    }
}

static void step(vigil_loop *loop)
{
    switch (fuzz_below(&in, 8)) {
    case 0:
    case 1:
        listen_some(loop);
        break;
    case 2:
        listen_fd_some(loop);
        break;
    case 3:
    case 4:
        connect_some(loop);
        break;
    case 5:
    case 6:
        adopt_some(loop);
        break;
    default: {
        vigil_ns timeout = some_time();
        int status = vigil_loop_turn(loop, timeout);
        CHECK(timeout < 0 ? status == VIGIL_EINVAL : status >= 0, "vigil_loop_turn: %d", status);
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    machine_begin();
    in = (struct fuzz_in){ data, size };
    unsigned allocations = fuzz_below(&in, 95);
    if (allocations < 30)
        machine.memory_left = allocations;
    vigil_loop *loop = some_loop();
    for (unsigned i = 0; loop != NULL && i < 60 && in.n > 0; i++)
        step(loop);
    machine_calm();
    vigil_loop_close(loop);
    machine_end(0);
    return 0;
}
