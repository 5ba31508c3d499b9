/* SPDX-License-Identifier: MIT
 *
 * memory.c -- the memory limit: input gives way to output, marks sink, the most stuck are shed.
 */
#include <time.h>

#include "conn_rig.h"

static size_t echo(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    return vigil_send(rig->loop, conn, p, n);
}

static vigil_ns now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return VIGIL_S(t.tv_sec) + t.tv_nsec;
}

/* Sends until nothing more goes, or `max`; without blocking. */
static size_t push(int fd, size_t max)
{
    static const char block[65536] = "never read";
    size_t sent = 0;
    while (sent < max) {
        ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    return sent;
}

static void rig_limited(struct rig *rig, const char *backend, size_t limit)
{
    rig_open_loop(rig, backend, &(vigil_loop_options){ .memory_limit = limit });
    char where[64];
    snprintf(where, sizeof(where), "unix:@vigil-memory-%d", (int)getpid());
    rig_listen(rig, where, NULL);
    rig->on_data = echo;
}

/* Unix sockets with small buffers: two thousand connections full of bytes would take all of the
 * kernel's memory for TCP. */
static void shrink(int fd)
{
    int small = 8192;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
}

static int unix_client(const struct rig *rig)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    memcpy(to.sun_path, rig->addr.path, rig->addr.path_len);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + rig->addr.path_len);
    int fd = client_socket(AF_UNIX);
    REQUIRE(client_connect(fd, &to, len) == 0, "connect: %s", strerror(errno));
    shrink(fd);
    return fd;
}

static void shrink_ours(struct rig *rig, vigil_conn conn)
{
    shrink(vigil_conn_fd(rig->loop, conn));
}

/* A crowd of `count` that sends and never reads, and one that is served within `bound`; the limit
 * holds throughout. */
static void crowd(const char *backend, int count, size_t limit, size_t each, vigil_ns bound)
{
    struct rig rig;
    rig_limited(&rig, backend, limit);
    int *fds = malloc((size_t)count * sizeof(*fds));
    rig.on_open = shrink_ours;
    for (int i = 0; i < count; i++) {
        fds[i] = unix_client(&rig);
        if (i % 64 == 63)
            RIG_UNTIL(&rig, rig.opened > i - 32);
    }
    RIG_UNTIL(&rig, rig.opened == count);
    size_t sent = 1;
    for (int round = 0; round < 200 && sent > 0; round++) { /* until nobody can send any more */
        sent = 0;
        for (int i = 0; i < count; i++)
            sent += push(fds[i], each);
        for (int i = 0; i < 20; i++)
            REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
    }
    int good = unix_client(&rig);
    vigil_ns began = now();
    client_send(good, "served");
    char text[7] = "";
    rig_client_gets(&rig, good, text, 6);
    vigil_ns took = now() - began;
    EQ_STR("served", text);
    OK(took < bound * test_time_scale(), "served after %lld ms", (long long)took / 1000000);
    vigil_stats stats;
    vigil_stats_get(rig.loop, &stats);
    OK(stats.memory_max <= limit, "%llu of %zu bytes", (unsigned long long)stats.memory_max, limit);
    fprintf(stderr, "# %s: good client after %lld ms, %llu shed, buffers at most %llu KiB\n",
            backend, (long long)took / 1000000, (unsigned long long)stats.closed_memory,
            (unsigned long long)stats.memory_max >> 10);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    close(good);
    free(fds);
    rig_close(&rig);
}

CONFORM(two_thousand_never_readers_and_one_good_client)
{
    test_needs_large_sets(backend);
    int count = test_many(2000, 12);
    crowd(backend, count, (size_t)count << 15, 256 << 10, VIGIL_S(1));
}

CONFORM(a_crowd_at_the_smallest_limit)
{
    int count = test_many(100, 40);
    crowd(backend, count, (size_t)256 << 10, 1 << 20,
          VIGIL_S(30)); /* one by one, as they are shed */
}

CONFORM(a_limit_too_small_to_work_with_is_refused)
{
    vigil_loop *loop;
    vigil_loop_options options = { .backend = backend, .memory_limit = 4096 };
    EQ_INT(VIGIL_EINVAL, vigil_loop_open(&loop, &options));
    EQ_PTR(NULL, loop);
}

/* Every allocation fails once, then from then on: no crash, no leak, close exactly once. */
static void with_failing(const char *backend, size_t n, bool sticky)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    rig.on_data = echo;
    rig.ops.eof = NULL;
    size_t begin = rig.memory.calls;
    int fd = rig_client(&rig);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    client_send(fd, "hello");
    rig.memory.fail_after = begin + n;
    for (int i = 0; i < 8; i++) {
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(2)) >= 0);
        if (!sticky && rig.memory.calls > begin + n)
            rig.memory.fail_after = SIZE_MAX;
    }
    rig.memory.fail_after = SIZE_MAX;
    char text[6] = "";
    rig_client_gets(&rig, fd, text, 5); /* memory is back: nothing was lost */
    EQ_STR("hello", text, "allocation %zu, %s", n, sticky ? "sticky" : "once");
    close(fd);
    RIG_UNTIL(&rig, rig.closed == rig.opened);
    rig_close(&rig);
}

CONFORM(an_echo_survives_each_allocation_that_fails)
{
    for (size_t n = 0; n < 12; n++) {
        with_failing(backend, n, false);
        with_failing(backend, n, true);
    }
}

/* ---- what a connection has when nothing of it is under way ---- */

enum { CROWD = 400, FEW = 80, AT_FIRST = 64 /* connections whose parts are made with them */ };

static void crowd_opened(struct rig *rig, int *clients, int count)
{
    for (int i = 0; i < count; i++)
        clients[i] = rig_client_opened(rig);
}

static void crowd_ends(struct rig *rig, const int *clients, int count)
{
    for (int i = 0; i < count; i++)
        close(clients[i]);
    RIG_UNTIL(rig, rig->closed == rig->opened);
}

/* Tables are counted at their full size, and they double: of so many, up to a half is room. */
static size_t each_max(const char *backend)
{
    static const char *const tight[] = { "epoll", "poll", "select", "io_uring" };
    for (size_t i = 0; i < TEST_COUNT(tight) && sizeof(vigil_fd) == sizeof(int); i++)
        if (strcmp(backend, tight[i]) == 0)
            return 180;
    if (strcmp(backend, "afd") == 0)
        return 320; /* the request of each */
    return 256;     /* two filters for each on kqueue; models keep books of their own */
}

CONFORM(an_idle_connection_has_little_memory_and_after_use_no_more)
{
    test_needs_large_sets(backend);
    struct rig rig;
    int clients[CROWD];
    int count = test_many(CROWD, FEW);
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .idle_ns = VIGIL_S(600) } });
    rig.on_data = echo;
    rig.ops.eof = NULL;
    crowd_opened(&rig, clients, AT_FIRST);
    char text[2] = "";
    client_send(clients[0], "x");
    rig_client_gets(&rig, clients[0], text, 1);
    size_t first = rig.memory.bytes;
    crowd_opened(&rig, clients + AT_FIRST, count - AT_FIRST);
    size_t idle = rig.memory.bytes;
    if (count == CROWD)
        OK(idle - first <= (size_t)(CROWD - AT_FIRST) * each_max(backend), "%zu bytes for %d",
           idle - first, CROWD - AT_FIRST);
    for (int i = 0; i < count; i++)
        client_send(clients[i], "x");
    for (int i = 0; i < count; i++)
        rig_client_gets(&rig, clients[i], text, 1);
    rig_settle(&rig);
    /* Buffers and pieces are kept for reuse by all: not one for each. */
    OK(rig.memory.bytes < idle + ((size_t)160 << 10), "%zu bytes, and %zu when all had echoed",
       idle, rig.memory.bytes);
    crowd_ends(&rig, clients, count);
    rig_close(&rig);
}

static int without_deadline;

static void sets_deadline(struct rig *rig, vigil_conn conn)
{
    int status = vigil_conn_deadline(rig->loop, conn, VIGIL_S(600));
    OK(status == 0 || status == VIGIL_ENOMEM, "%s", vigil_strerror(status));
    without_deadline += status != 0;
}

/* Each of these has something of its own that waits, so all parts that were made are in use. */
CONFORM(who_gets_no_memory_for_what_is_to_wait_is_told_or_shed_and_counted)
{
    if (strcmp(backend, "sim-complete") == 0)
        SKIP("its system takes memory of the loop's for every operation");
    struct rig rig;
    int clients[FEW];
    rig_open(&rig, backend, NULL);
    rig.on_data = echo;
    rig.ops.eof = NULL;
    crowd_opened(&rig, clients, AT_FIRST);
    rig.on_open = sets_deadline;
    without_deadline = 0;
    for (vigil_conn c = vigil_conn_next(rig.loop, (vigil_conn){ 0 }); c.v != 0;
         c = vigil_conn_next(rig.loop, c))
        sets_deadline(&rig, c);
    crowd_opened(&rig, clients + AT_FIRST, 1); /* it has what is made for the straight way */
    EQ_INT(0, without_deadline);
    rig.on_open = NULL;
    crowd_opened(&rig, clients + AT_FIRST + 1, FEW - AT_FIRST - 1);
    vigil_conn last = rig.conn;
    char text[6] = "";
    client_send(clients[0], "hello"); /* so that there is a buffer to receive into */
    rig_client_gets(&rig, clients[0], text, 5);
    rig.memory.fail_after = 0;
    EQ_INT(VIGIL_ENOMEM, vigil_conn_deadline(rig.loop, last, VIGIL_S(600)));
    EQ_INT(VIGIL_ENOMEM, vigil_couple(rig.loop, last, last));
    EQ_INT(0, vigil_conn_deadline(rig.loop, last, VIGIL_FOREVER)); /* there is none */
    client_send(clients[FEW - 2], "hello");
    int shed = test_kernel_performs(backend); /* that has received it already */
    RIG_UNTIL(&rig, rig.closed == shed);
    for (int i = 0; i < 3; i++)
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(20)) >= 0);
    EQ_INT(shed, rig.closed);
    EQ_INT(shed ? VIGIL_ENOMEM : 0, rig.why);
    EQ_INT(shed, rig_stats(&rig).closed_memory);
    rig.memory.fail_after = SIZE_MAX;
    memset(text, 0, sizeof(text));
    if (!shed) {
        rig_client_gets(&rig, clients[FEW - 2], text, 5);
        EQ_STR("hello", text);
        memset(text, 0, sizeof(text));
    }
    client_send(clients[0], "hello");
    rig_client_gets(&rig, clients[0], text, 5);
    EQ_STR("hello", text);
    crowd_ends(&rig, clients, FEW);
    rig_close(&rig);
}

/* An end needs no memory, nor does the time that it waits for the peer's. */
CONFORM(to_finish_needs_no_memory_and_lingers_as_long)
{
    struct rig rig;
    int clients[FEW];
    rig_open(&rig, backend, &(vigil_listen_options){ .limits = { .linger_ns = VIGIL_MS(60) } });
    rig.ops.eof = NULL;
    crowd_opened(&rig, clients, AT_FIRST);
    for (vigil_conn c = vigil_conn_next(rig.loop, (vigil_conn){ 0 }); c.v != 0;
         c = vigil_conn_next(rig.loop, c))
        EQ_INT(0, vigil_conn_deadline(rig.loop, c, VIGIL_S(600)));
    crowd_opened(&rig, clients + AT_FIRST, 1);
    rig.memory.fail_after = 0;
    vigil_ns begin = rig_clock();
    EQ_INT(0, vigil_finish(rig.loop, rig.conn));
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(VIGIL_ETIMEDOUT, rig.why);
    OK(rig_clock() - begin >= VIGIL_MS(60), "it waited %lld ms",
       (long long)((rig_clock() - begin) / 1000000));
    rig.memory.fail_after = SIZE_MAX;
    EQ_INT(0, rig_client_end(&rig, clients[AT_FIRST]));
    crowd_ends(&rig, clients, AT_FIRST + 1);
    rig_close(&rig);
}
