/* SPDX-License-Identifier: MIT
 *
 * cases.c -- what is counted by instructions: loops driven in-process, one operation after another.
 *
 * `run` has callgrind collect inside the functions called measured_*, and write what it has
 * collected whenever case_ends() is entered, which prints the case, how many operations that were,
 * and how often the clock was read.  The clock is this program's own: it moves as told, so
 * everything happens again exactly, and what a read costs is not counted but how many there are.
 * Public header only. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include <vigil.h>

enum {
    MESSAGE = 64,
    TURNS = 100,
    WARM_TURNS = 4, /* until buffers are pooled, and the dynamic linker has looked everything up */
    CONNECTIONS = 50,
    IDLE = 10000, /* connections; each is the peer of another */
    TIMERS = 1000000,
    WAITING = 10000, /* timers */
    REGISTERED = 1000,
    POSTS = 1000,
};

#define MEASURED __attribute__((noinline)) static

static int64_t clock_ns = VIGIL_S(1000);
static uint64_t clock_reads;

/* Stands in place of the C library's, for the library is linked statically. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    clock_reads++;
    clock_ns += 1000;
    now->tv_sec = (time_t)(clock_ns / VIGIL_S(1));
    now->tv_nsec = (long)(clock_ns % VIGIL_S(1));
    return 0;
}

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "cases: %s\n", what);
    exit(1);
}

__attribute__((noinline)) static void case_ends(const char *name, const char *detail,
                                                uint64_t operations, uint64_t reads)
{
    printf("%s%s %" PRIu64 " %" PRIu64 "\n", name, detail, operations, reads);
}

/* ---- echo ---- */

static const char text[MESSAGE] = "sixty-four bytes, which come back as they went";

struct pairs {
    int ours[CONNECTIONS], theirs[CONNECTIONS];
};

static size_t echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

/* A message in two pieces: the second finds the first. */
static size_t echo_twice(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    size_t sent = vigil_send(loop, conn, p, n / 2);
    return sent + vigil_send(loop, conn, (const char *)p + n / 2, n - n / 2);
}

/* Bytes of the program's own, as most servers send: here they are the same. */
static size_t answer(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx, (void)p;
    return vigil_send(loop, conn, text, n);
}

/* Whole messages alone: what is behind them is left, and offered again with the next. */
static size_t echo_whole(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n - n % MESSAGE);
}

struct way {
    vigil_conn_ops ops;
    size_t left; /* of a message, between two turns */
};

static const struct way straight = { .ops.data = echo };
static const struct way answered = { .ops.data = answer };
static const struct way in_two_sends = { .ops.data = echo_twice };
static const struct way half_left = { .ops.data = echo_whole, .left = MESSAGE / 2 };

MEASURED int measured_turn(vigil_loop *loop)
{
    return vigil_loop_turn(loop, VIGIL_NOWAIT);
}

static vigil_loop *open_loop(const char *backend)
{
    vigil_loop *loop;
    int err = vigil_loop_open(&loop, &(vigil_loop_options){ .backend = backend });
    must(err == 0, vigil_strerror(err));
    return loop;
}

static void adopt(vigil_loop *loop, int fd, const vigil_conn_ops *ops, vigil_ns idle)
{
    const vigil_conn_options options = { .ops = ops, .limits.idle_ns = idle };
    vigil_conn conn;
    int err = vigil_adopt(loop, fd, fd, &options, &conn);
    must(err == 0, vigil_strerror(err));
}

/* All of the message, or its end, in which case the messages that follow come back from there. */
static void fill(const struct pairs *pairs, int count, size_t size)
{
    for (int i = 0; i < count; i++)
        must(write(pairs->theirs[i], text + MESSAGE - size, size) == (ssize_t)size,
             "a pair takes no message");
}

static void drain(const struct pairs *pairs, int count, size_t left)
{
    char message[MESSAGE + 1];
    for (int i = 0; i < count; i++)
        must(read(pairs->theirs[i], message, sizeof message) == MESSAGE &&
                 memcmp(message, text + MESSAGE - left, left) == 0 &&
                 memcmp(message + left, text, MESSAGE - left) == 0,
             "a message did not come back in its turn");
}

/* One turn brings one message of each connection back.  Bounded queue and counters, as always. */
static void case_echo(const char *name, const char *backend, int count, vigil_ns idle,
                      const struct way *way)
{
    struct pairs pairs;
    vigil_loop *loop = open_loop(backend);
    for (int i = 0; i < count; i++) {
        int ends[2];
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0, "no more pairs");
        pairs.ours[i] = ends[0];
        pairs.theirs[i] = ends[1];
        adopt(loop, ends[0], &way->ops, idle);
    }
    if (way->left > 0)
        fill(&pairs, count, way->left);
    must(vigil_loop_turn(loop, VIGIL_NOWAIT) >= 0, "the turn in which they open");
    uint64_t before = 0;
    for (int i = -WARM_TURNS; i < TURNS; i++) {
        if (i == 0)
            before = clock_reads;
        fill(&pairs, count, MESSAGE);
        clock_ns += VIGIL_MS(1);
        must((i < 0 ? vigil_loop_turn(loop, VIGIL_NOWAIT) : measured_turn(loop)) >= 0, "a turn");
        drain(&pairs, count, way->left);
    }
    case_ends(name, backend, (uint64_t)TURNS * (uint64_t)count, clock_reads - before);
    vigil_loop_close(loop);
    for (int i = 0; i < count; i++)
        (void)close(pairs.theirs[i]);
}

/* ---- connections that come and go ---- */

/* A client that says one message, and its end.  (TCP would bring some when the kernel has time.) */
static int visit(const char *name)
{
    struct sockaddr_un where = { .sun_family = AF_UNIX };
    size_t length = strlen(name);
    memcpy(where.sun_path + 1, name, length); /* behind the 0 of an abstract one, unix(7) */
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    must(fd >= 0 && connect(fd, (const struct sockaddr *)&where, size) == 0,
         "it is not listened to");
    must(write(fd, text, MESSAGE) == MESSAGE && shutdown(fd, SHUT_WR) == 0, "a client's words");
    return fd;
}

static void visit_ends(int fd)
{
    char message[MESSAGE + 1];
    must(recv(fd, message, sizeof message, MSG_WAITALL) == MESSAGE, "an answer, and the end");
    (void)close(fd);
}

static void case_visits(const char *backend)
{
    vigil_listen_options options = { .ops = &straight.ops, .limits.idle_ns = VIGIL_S(30) };
    vigil_loop *loop = open_loop(backend);
    vigil_stats stats;
    char address[64];
    (void)snprintf(address, sizeof address, "unix:@vigil-cases-%d", (int)getpid());
    must(vigil_listen(loop, address, &options, NULL) == 0, "nowhere to listen");
    uint64_t before = 0;
    for (int i = -WARM_TURNS; i < TURNS; i++) {
        int clients[CONNECTIONS];
        if (i == 0)
            before = clock_reads;
        for (int n = 0; n < CONNECTIONS; n++)
            clients[n] = visit(strchr(address, '@') + 1);
        do
            must((i < 0 ? vigil_loop_turn(loop, VIGIL_NOWAIT) : measured_turn(loop)) >= 0, "turn");
        while (vigil_stats_get(loop, &stats), stats.conns > 0);
        for (int n = 0; n < CONNECTIONS; n++)
            visit_ends(clients[n]);
    }
    case_ends("connection, one message, ", backend, (uint64_t)TURNS * CONNECTIONS,
              clock_reads - before);
    vigil_loop_close(loop);
}

/* ---- a turn with nothing to do ---- */

static void case_idle(const char *name, int count)
{
    vigil_loop *loop = open_loop("epoll");
    for (int i = 0; i < count; i += 2) {
        int ends[2];
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0,
             "10,000 descriptors are not to be had: ulimit -Hn");
        adopt(loop, ends[0], &straight.ops, VIGIL_S(30));
        adopt(loop, ends[1], &straight.ops, VIGIL_S(30));
    }
    for (int i = 0; i < WARM_TURNS; i++)
        must(vigil_loop_turn(loop, VIGIL_NOWAIT) >= 0, "a turn");
    uint64_t before = clock_reads;
    for (int i = 0; i < TURNS; i++)
        must(measured_turn(loop) == 0, "a turn had something to do");
    case_ends(name, "epoll", TURNS, clock_reads - before);
    vigil_loop_close(loop);
}

/* ---- timers ---- */

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

static uint64_t fired;

static void on_timer(vigil_loop *loop, void *arg)
{
    (void)loop, (void)arg;
    fired++;
}

MEASURED int measured_after(vigil_loop *loop, vigil_ns delay, vigil_timer *out)
{
    return vigil_after(loop, delay, on_timer, NULL, out);
}

MEASURED int measured_timer_set(vigil_loop *loop, vigil_timer timer, vigil_ns delay)
{
    return vigil_timer_set(loop, timer, delay);
}

MEASURED int measured_cancel(vigil_loop *loop, vigil_timer timer)
{
    return vigil_cancel(loop, timer);
}

/* All are set anew, in the order in which they were made, to `from` or later within a minute. */
static void case_timers_set(const char *name, vigil_loop *loop, const vigil_timer *timers,
                            vigil_ns from)
{
    uint64_t before = clock_reads;
    for (size_t i = 0; i < TIMERS; i++) {
        vigil_ns delay = from + (vigil_ns)random_below(VIGIL_S(60));
        must(measured_timer_set(loop, timers[i], delay) == 0, name);
    }
    case_ends(name, "", TIMERS, clock_reads - before);
}

/* Half of them are cancelled, the others fire in one turn. */
static void cases_timers(void)
{
    vigil_timer *timers = calloc(TIMERS, sizeof *timers);
    must(timers != NULL, "no memory for the handles");
    vigil_loop *loop = open_loop("epoll");
    uint64_t before = clock_reads;
    for (size_t i = 0; i < TIMERS; i++) {
        vigil_ns delay = VIGIL_S(3600) + (vigil_ns)random_below(VIGIL_S(60));
        must(measured_after(loop, delay, &timers[i]) == 0, "a timer");
    }
    case_ends("timer insert", "", TIMERS, clock_reads - before);
    case_timers_set("timer re-arm", loop, timers, VIGIL_S(7200));
    case_timers_set("timer re-arm shorter", loop, timers, VIGIL_S(1800));
    before = clock_reads;
    for (size_t i = 0; i < TIMERS; i += 2)
        must(measured_cancel(loop, timers[i]) == 0, "a cancel");
    case_ends("timer cancel", "", TIMERS / 2, clock_reads - before);
    clock_ns += VIGIL_S(1860);
    before = clock_reads;
    must(measured_turn(loop) == TIMERS / 2 && fired == TIMERS / 2, "not all timers fired");
    case_ends("timer fire", "", TIMERS / 2, clock_reads - before);
    vigil_loop_close(loop);
    free(timers);
}

/* Set anew when it fires, a mean of WAITING steps ahead. */
static void on_timer_again(vigil_loop *loop, void *arg)
{
    vigil_ns delay = VIGIL_US(20) * (WAITING / 2 + (vigil_ns)random_below(WAITING));
    must(vigil_after(loop, delay, on_timer_again, arg, NULL) == 0, "a timer");
    fired++;
}

/* A server in its stride: about one of many fires in a turn, and is set anew. */
static void case_timers_steady(void)
{
    vigil_loop *loop = open_loop("epoll");
    for (int i = 0; i < WAITING; i++)
        on_timer_again(loop, NULL);
    uint64_t before = clock_reads;
    for (int i = -2 * WAITING; i < WAITING; i++) {
        if (i == 0) {
            before = clock_reads;
            fired = 0;
        }
        clock_ns += VIGIL_US(20);
        must((i < 0 ? vigil_loop_turn(loop, VIGIL_NOWAIT) : measured_turn(loop)) >= 0, "a turn");
    }
    case_ends("timer fire and set, 10,000 wait", "", fired, clock_reads - before);
    vigil_loop_close(loop);
}

/* ---- registrations ---- */

MEASURED void measured_register(vigil_poller *poller, const int *fds, vigil_reg *regs)
{
    for (int i = 0; i < REGISTERED; i++)
        must(vigil_poller_register(poller, fds[i], VIGIL_IN, 0, &regs[i]) == 0, "register");
}

/* Changes are merged until the wait, so one belongs to it. */
MEASURED void measured_modify(vigil_poller *poller, const vigil_reg *regs)
{
    vigil_event event;
    for (int i = 0; i < REGISTERED; i++)
        must(vigil_poller_modify(poller, regs[i], VIGIL_IN | VIGIL_PRI) == 0, "modify");
    must(vigil_poller_wait(poller, &event, 1, VIGIL_NOWAIT) == 0, "an event of nobody");
}

MEASURED void measured_unregister(vigil_poller *poller, const vigil_reg *regs)
{
    for (int i = 0; i < REGISTERED; i++)
        must(vigil_poller_unregister(poller, regs[i]) == 0, "unregister");
}

static void cases_poller(const char *backend)
{
    static int fds[REGISTERED];
    static vigil_reg regs[REGISTERED];
    vigil_poller *poller;
    must(vigil_poller_open(&poller, backend) == 0, backend);
    for (int i = 0; i < REGISTERED; i += 2)
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, &fds[i]) == 0, "no more pairs");
    measured_register(poller, fds, regs);
    case_ends("register ", backend, REGISTERED, 0);
    measured_modify(poller, regs);
    case_ends("modify ", backend, REGISTERED, 0);
    measured_unregister(poller, regs);
    case_ends("unregister ", backend, REGISTERED, 0);
    vigil_poller_close(poller);
    for (int i = 0; i < REGISTERED; i++)
        (void)close(fds[i]);
}

/* ---- posts ---- */

static int posts_run;

static void on_post(vigil_loop *loop, void *arg, int status)
{
    (void)loop, (void)arg;
    posts_run += status == 0;
}

static void post_all(vigil_loop *loop, void *arg)
{
    (void)loop;
    for (int i = 0; i < POSTS; i++)
        must(vigil_post(arg, on_post, NULL) == 0, "a post");
}

/* Of the loop's own thread: a callback posts, and all of it runs in the same turn. */
static void case_posts(void)
{
    vigil_remote *remote;
    vigil_loop *loop = open_loop("epoll");
    must(vigil_remote_open(loop, &remote) == 0, "a remote");
    uint64_t before = clock_reads;
    for (int i = 0; i < WARM_TURNS; i++) {
        must(vigil_turn_soon(loop, post_all, remote) == 0, "a timer");
        posts_run = 0;
        before = clock_reads;
        must((i + 1 < WARM_TURNS ? vigil_loop_turn(loop, 0) : measured_turn(loop)) >= 0, "a turn");
        must(posts_run == POSTS, "not all posts ran");
    }
    case_ends("post, own thread", "", POSTS, clock_reads - before);
    vigil_remote_drop(remote);
    vigil_loop_close(loop);
}

static void *post_from(void *remote)
{
    post_all(NULL, remote);
    return NULL;
}

MEASURED void *measured_posts(void *remote)
{
    return post_from(remote);
}

/* Of another thread, while the loop does not turn; then all of it runs in one. */
static void case_posts_of_another(void)
{
    pthread_t thread;
    vigil_remote *remote;
    vigil_loop *loop = open_loop("epoll");
    must(vigil_remote_open(loop, &remote) == 0, "a remote");
    uint64_t before = 0;
    for (int i = 0; i < WARM_TURNS; i++) {
        bool last = i + 1 == WARM_TURNS;
        before = clock_reads;
        posts_run = 0;
        must(pthread_create(&thread, NULL, last ? measured_posts : post_from, remote) == 0 &&
                 pthread_join(thread, NULL) == 0,
             "another thread");
        must((last ? measured_turn(loop) : vigil_loop_turn(loop, 0)) >= 0, "a turn");
        must(posts_run == POSTS, "not all posts ran");
    }
    case_ends("post, another thread", "", POSTS, clock_reads - before);
    vigil_remote_drop(remote);
    vigil_loop_close(loop);
}

/* What a count depends on besides the source. */
#ifdef __clang__
static const char compiler[] = __VERSION__;
#else
static const char compiler[] = "gcc " __VERSION__;
#endif

static const char *libc(void)
{
#ifdef __GLIBC__
    static char name[32];
    (void)snprintf(name, sizeof name, "glibc %s", gnu_get_libc_version());
    return name;
#else
    return "another libc";
#endif
}

int main(void)
{
    static const char *const backends[] = { "epoll", "poll", "select" };
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "no limits");
    limit.rlim_cur = limit.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "descriptors");
    printf("%s, %s\n", compiler, libc());
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        case_echo("echo, idle timeout, ", backends[i], CONNECTIONS, VIGIL_S(30), &straight);
        case_echo("echo, no timeouts, ", backends[i], CONNECTIONS, 0, &straight);
    }
    case_echo("echo, 1 connection, ", "epoll", 1, VIGIL_S(30), &straight);
    case_visits("epoll");
    case_idle("turn, 10,000 idle, ", IDLE);
    case_idle("turn, nobody, ", 0);
    cases_timers();
    case_timers_steady();
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        cases_poller(backends[i]);
    case_posts();
    case_echo("answer, idle timeout, ", "epoll", CONNECTIONS, VIGIL_S(30), &answered);
    case_echo("echo in two sends, ", "epoll", CONNECTIONS, VIGIL_S(30), &in_two_sends);
    case_echo("echo, half a message left, ", "epoll", CONNECTIONS, VIGIL_S(30), &half_left);
    case_posts_of_another(); /* last: with another thread the C library's memory costs more */
    return 0;
}
