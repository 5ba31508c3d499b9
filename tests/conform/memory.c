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
