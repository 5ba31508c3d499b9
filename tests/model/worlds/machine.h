/* SPDX-License-Identifier: MIT
 *
 * machine.h -- two machines for one script: a host of a simulated world with its model of a kernel,
 * and this one with its own.  What each look at them shows is a line; the lines must be the same.
 *
 * The model is asked first, so that it is known what to wait for on this machine, where bytes take
 * their time: a look that shows less is repeated, and one that shows more differs.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "model/calls/kernels.h"
#include "test.h"

enum { LINES_MAX = 64, LINE_MAX_LEN = 200, SEEN_MAX = 32, NAMES_MAX = 16 };

static const vigil_ns machine_patience = VIGIL_S(5);

struct machine {
    const char *name;
    const struct kernel_calls *calls;
    const vigil_host *host;
    vigil_sim *sim;              /* NULL: this machine */
    const struct machine *model; /* whose lines this one's must be; NULL: it is the model */
    int lines;
    char line[LINES_MAX][LINE_MAX_LEN];
};

/* ---- lines ---- */

static void say(struct machine *m, const char *line)
{
    REQUIRE(m->lines < LINES_MAX);
    snprintf(m->line[m->lines++], LINE_MAX_LEN, "%s", line);
}

__attribute__((format(printf, 2, 3))) TEST_MAYBE_UNUSED static void tell(struct machine *m,
                                                                         const char *format, ...)
{
    char line[LINE_MAX_LEN];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    say(m, line);
}

/* What an answer says: a status, or a number. */
TEST_MAYBE_UNUSED static const char *result_text(int result)
{
    static char text[32];
    if (result == VIGIL__EAGAIN)
        return "would block";
    if (result < 0)
        return vigil_err_name(result);
    snprintf(text, sizeof(text), "%d", result);
    return text;
}

static const char *events_text(char *text, size_t size, unsigned events)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        { VIGIL_IN, "IN" },       { VIGIL_PRI, "PRI" }, { VIGIL_OUT, "OUT" },
        { VIGIL_ERR, "ERR" },     { VIGIL_HUP, "HUP" }, { VIGIL_NVAL, "NVAL" },
        { VIGIL_RDHUP, "RDHUP" },
    };
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < TEST_COUNT(names); i++)
        if ((events & names[i].bit) != 0)
            at += (size_t)snprintf(text + at, size - at, "%s%s", at > 0 ? "|" : "", names[i].name);
    return at > 0 ? text : "nothing";
}

/* What is on its way arrives. */
static void settle(const struct machine *m)
{
    if (m->sim != NULL)
        (void)vigil_sim_run_for(m->sim, VIGIL_MS(10)); /* nobody turns */
}

/* Whether a look at this machine is to be repeated: it does not show what the model's did yet. */
static bool look_again(const struct machine *m, const char *line, vigil_ns began)
{
    if (m->model == NULL || m->lines >= m->model->lines)
        return false;
    bool same = strcmp(line, m->model->line[m->lines]) == 0;
    bool late = m->calls->now() - began > machine_patience * test_time_scale();
    if (!same && !late)
        usleep(500);
    return !same && !late;
}

/* ---- looking ---- */

/* poll(2): what is true of each. */
TEST_MAYBE_UNUSED static void look_poll(struct machine *m, const int *fds, int count,
                                        unsigned events)
{
    vigil_ns began = m->calls->now();
    char line[LINE_MAX_LEN], text[64];
    settle(m);
    do {
        vigil_pollfd asked[NAMES_MAX];
        for (int i = 0; i < count; i++)
            asked[i] = (vigil_pollfd){ .fd = fds[i], .events = (uint16_t)events };
        int n = m->calls->poll(asked, (size_t)count, VIGIL_NOWAIT);
        size_t at = (size_t)snprintf(line, sizeof(line), "poll %s:", result_text(n));
        for (int i = 0; i < count; i++)
            at += (size_t)snprintf(line + at, sizeof(line) - at, " %s",
                                   events_text(text, sizeof(text), asked[i].revents));
    } while (look_again(m, line, began));
    say(m, line);
}

/* select(2): in which of its sets a descriptor is. */
TEST_MAYBE_UNUSED static void look_select(struct machine *m, int fd)
{
    vigil_ns began = m->calls->now();
    char line[LINE_MAX_LEN];
    settle(m);
    do {
        unsigned long sets[3][16] = { { 0 } };
        unsigned at = (unsigned)fd / (8 * sizeof(long));
        unsigned long bit = 1UL << ((unsigned)fd % (8 * sizeof(long)));
        for (int i = 0; i < 3; i++)
            sets[i][at] = bit;
        int n = m->calls->select(fd + 1, sets[0], sets[1], sets[2], VIGIL_NOWAIT);
        bool any = n > 0;
        snprintf(line, sizeof(line), "select %s:%s%s%s", result_text(n),
                 any && (sets[0][at] & bit) != 0 ? " in" : "",
                 any && (sets[1][at] & bit) != 0 ? " out" : "",
                 any && (sets[2][at] & bit) != 0 ? " except" : "");
    } while (look_again(m, line, began));
    say(m, line);
}

/* What was seen so far, each under its key, in the order of keys. */
struct seen {
    int count;
    struct {
        uint64_t key;
        char text[120];
    } of[SEEN_MAX];
};

static char *seen_at(struct seen *seen, uint64_t key)
{
    int i = 0;
    while (i < seen->count && seen->of[i].key < key)
        i++;
    if (i < seen->count && seen->of[i].key == key)
        return seen->of[i].text;
    REQUIRE(seen->count < SEEN_MAX);
    memmove(&seen->of[i + 1], &seen->of[i], (size_t)(seen->count - i) * sizeof(seen->of[0]));
    seen->count++;
    seen->of[i].key = key;
    seen->of[i].text[0] = '\0';
    return seen->of[i].text;
}

static void seen_line(const struct seen *seen, const char *what, char *line)
{
    size_t at = (size_t)snprintf(line, LINE_MAX_LEN, "%s:", what);
    for (int i = 0; i < seen->count && at < LINE_MAX_LEN; i++)
        at += (size_t)snprintf(line + at, LINE_MAX_LEN - at, " [%d %s]", (int)seen->of[i].key,
                               seen->of[i].text);
}

/* epoll_wait(2): the events by their keys. */
TEST_MAYBE_UNUSED static void look_epoll(struct machine *m, int epoll, int max)
{
    vigil_ns began = m->calls->now();
    char line[LINE_MAX_LEN];
    struct seen seen = { 0 };
    unsigned events[SEEN_MAX] = { 0 };
    settle(m);
    do {
        struct vigil__epoll_event got[SEEN_MAX];
        int n = m->calls->epoll_wait(epoll, got, max, VIGIL_NOWAIT);
        for (int i = 0; i < n; i++) {
            REQUIRE(got[i].key < SEEN_MAX);
            events[got[i].key] |= got[i].events;
            events_text(seen_at(&seen, got[i].key), 120, events[got[i].key]);
        }
        seen_line(&seen, n < 0 ? result_text(n) : "epoll", line);
    } while (look_again(m, line, began));
    say(m, line);
}

/* A completion, without what differs from one kernel to the next. */
static void append_completion(struct machine *m, struct seen *seen, const struct vigil__cqe *cqe,
                              bool polls)
{
    char *text = seen_at(seen, cqe->user_data);
    size_t at = strlen(text);
    char events[64];
    int32_t res = m->calls->uring_result(cqe->res);
    const char *said = polls && res > 0 ? events_text(events, sizeof(events), (unsigned)res)
                                        : result_text(res);
    at += (size_t)snprintf(text + at, 120 - at, "%s%s", at > 0 ? ", " : "", said);
    if ((cqe->flags & VIGIL__URING_CQE_BUFFER) != 0)
        at += (size_t)snprintf(text + at, 120 - at, " in %u%s",
                               cqe->flags >> VIGIL__URING_CQE_BUFFER_SHIFT,
                               (cqe->flags & VIGIL__URING_CQE_BUF_MORE) != 0 ? "+" : "");
    if ((cqe->flags & VIGIL__URING_CQE_MORE) != 0)
        snprintf(text + at, 120 - at, " more");
}

/* io_uring_enter(2): the completions by their user_data; those of accepts hold descriptors, which
 * are closed and told as "fd".  Keys from 100 on are those of polls. */
TEST_MAYBE_UNUSED static void look_ring(struct machine *m, struct vigil__ring *ring)
{
    vigil_ns began = m->calls->now();
    char line[LINE_MAX_LEN];
    struct seen seen = { 0 };
    settle(m);
    do {
        int err = m->calls->ring_enter(ring, 0, VIGIL_NOWAIT);
        for (; vigil__ring_ready(ring) > 0; vigil__ring_taken(ring, 1)) {
            const struct vigil__cqe *cqe = vigil__ring_cqe(ring, 0);
            append_completion(m, &seen, cqe, cqe->user_data >= 100);
        }
        seen_line(&seen, err < 0 ? result_text(err) : "ring", line);
    } while (look_again(m, line, began));
    say(m, line);
}

/* ---- doing ---- */

TEST_MAYBE_UNUSED static void unix_pair(struct machine *m, int fds[2])
{
    REQUIRE(m->calls->socket_pair(fds) == 0);
}

TEST_MAYBE_UNUSED static int listener_open(struct machine *m, vigil_addr *addr)
{
    vigil_fd fd;
    REQUIRE(vigil_addr_parse(addr, "127.0.0.1:0") == 0);
    REQUIRE(m->host->socket(m->host->self, VIGIL_FAMILY_INET, &fd) == 0);
    REQUIRE(m->host->bind(m->host->self, fd, addr) == 0);
    REQUIRE(m->host->listen(m->host->self, fd, 16) == 0);
    REQUIRE(m->host->local(m->host->self, fd, addr) == 0);
    return fd;
}

TEST_MAYBE_UNUSED static int connect_to(struct machine *m, const vigil_addr *addr)
{
    vigil_fd fd;
    REQUIRE(m->host->socket(m->host->self, VIGIL_FAMILY_INET, &fd) == 0);
    int err = m->host->connect(m->host->self, fd, addr);
    REQUIRE(err == 0 || err == VIGIL__EAGAIN, "%d", err);
    settle(m);
    return fd;
}

TEST_MAYBE_UNUSED static int accept_one(struct machine *m, int listener)
{
    vigil_fd fd;
    int err;
    vigil_ns began = m->calls->now();
    do
        err = m->host->accept(m->host->self, listener, &fd);
    while (err == VIGIL__EAGAIN && m->sim == NULL && m->calls->now() - began < machine_patience);
    REQUIRE(err == 0, "%d", err);
    return fd;
}

TEST_MAYBE_UNUSED static void tcp_pair(struct machine *m, int fds[2])
{
    vigil_addr addr;
    int listener = listener_open(m, &addr);
    fds[0] = connect_to(m, &addr);
    fds[1] = accept_one(m, listener);
    REQUIRE(m->host->close(m->host->self, listener) == 0);
}

TEST_MAYBE_UNUSED static void pipe_pair(struct machine *m, int fds[2])
{
    if (m->sim != NULL)
        REQUIRE(vigil_sim_pipe(m->sim, m->host, fds) == 0);
    else
        REQUIRE(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
}

/* Another number for the same open file. */
TEST_MAYBE_UNUSED static int duplicate(struct machine *m, int fd)
{
    vigil_fd other = VIGIL_FD_NONE;
    if (m->sim != NULL)
        REQUIRE(vigil__sim_fd_new(vigil__sim_host_of(m->host), world_file(fd), &other) == 0);
    else
        other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return other;
}

TEST_MAYBE_UNUSED static void put(struct machine *m, int fd, size_t n)
{
    static const char zeros[4096];
    const vigil_iov iov = { zeros, n };
    REQUIRE(n <= sizeof(zeros));
    tell(m, "send: %s", result_text(m->host->sendv(m->host->self, fd, &iov, 1)));
}

TEST_MAYBE_UNUSED static void fill(struct machine *m, int fd)
{
    static const char zeros[4096];
    const vigil_iov iov = { zeros, sizeof(zeros) };
    while (m->host->writev(m->host->self, fd, &iov, 1) > 0)
        continue;
}

TEST_MAYBE_UNUSED static void take_all(struct machine *m, int fd)
{
    char bytes[4096];
    settle(m);
    while (m->host->read(m->host->self, fd, bytes, sizeof(bytes)) > 0)
        continue;
}

TEST_MAYBE_UNUSED static void end(struct machine *m, int fd)
{
    REQUIRE(m->host->shutdown(m->host->self, fd) == 0);
}

TEST_MAYBE_UNUSED static void shut(struct machine *m, int fd)
{
    REQUIRE(m->host->close(m->host->self, fd) == 0);
}

TEST_MAYBE_UNUSED static void reset(struct machine *m, int fd)
{
    REQUIRE(m->host->option(m->host->self, fd, VIGIL__SO_RESET, 1) == 0);
    shut(m, fd);
}

/* ---- both ---- */

typedef void script_fn(struct machine *m);

static unsigned long version_of(const char *text)
{
    char *rest;
    unsigned long major = strtoul(text, &rest, 10);
    return major * 1000 + (*rest == '.' ? strtoul(rest + 1, NULL, 10) : 0);
}

/* The modelled kernel that is to do as this machine's does: the newest that is not newer. */
TEST_MAYBE_UNUSED static const struct world_kernel *kernel_here(void)
{
    struct utsname here;
    REQUIRE(uname(&here) == 0);
    int i = 0;
    while (i + 1 < WORLD_KERNELS && version_of(world_kernels[i].name) > version_of(here.release))
        i++;
    return &world_kernels[i];
}

/* Runs the script on the model of this machine's kernel, and then here, and compares. */
TEST_MAYBE_UNUSED static void compare(script_fn *script)
{
    static struct machine modelled, real;
    static struct sim_turner nobody; /* without a loop */
    vigil_sim *sim;
    REQUIRE(vigil_sim_open(&sim, NULL) == 0);
    const vigil_host *host = vigil_sim_host(sim, "10.0.0.1", NULL);
    modelled = (struct machine){ "model", &kernel_modelled, host, sim, NULL, 0, { "" } };
    real = (struct machine){ "kernel", &kernel_real, vigil__host_system(), NULL, &modelled,
                             0,        { "" } };
    nobody.host = vigil__sim_host_of(host);
    world = (struct world_frame){
        .host = vigil__sim_host_of(host), .turner = &nobody, .task = 1, .kernel = kernel_here()
    };
    script(&modelled);
    EQ_INT(0, vigil__sim_host_of(host)->fd_count, "descriptors are left open in the model");
    EQ_STR(NULL, vigil_sim_failure(sim));
    script(&real);
    world = (struct world_frame){ 0 };
    vigil_sim_close(sim);
    for (int i = 0; i < real.lines || i < modelled.lines; i++)
        EQ_STR(real.line[i], modelled.line[i], "line %d; the kernel first, then the model", i);
}

/* A test that runs the script below it on both. */
#define SCRIPT(name)                              \
    static void script_##name(struct machine *m); \
    TEST(name)                                    \
    {                                             \
        compare(script_##name);                   \
    }                                             \
    static void script_##name(struct machine *m)

#endif
