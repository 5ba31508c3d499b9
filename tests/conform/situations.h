/* SPDX-License-Identifier: MIT
 *
 * situations.h -- what can be true of a descriptor: for each kind of file and each state of it, how
 * to get there and what poll(2) says of it.  The tests of layers 0 and 1 go through all of them.
 */
#ifndef SITUATIONS_H
#define SITUATIONS_H

#include "test.h"

/* ---- small tools ------------------------------------------------------------------------- */

TEST_MAYBE_UNUSED static vigil_ns now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return VIGIL_S(now.tv_sec) + now.tv_nsec;
}

static void put(int fd, const char *text)
{
    REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", strerror(errno));
}

static void set_nonblocking(int fd)
{
    REQUIRE(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

/* Writes until the system takes no more. */
static void fill(int fd)
{
    static const char zeros[65536];
    set_nonblocking(fd);
    size_t n = sizeof(zeros);
    while (n > 0) {
        if (write(fd, zeros, n) < 0) {
            REQUIRE(errno == EAGAIN || errno == EWOULDBLOCK, "%s", strerror(errno));
            n /= 2; /* to the last byte */
        }
    }
}

/* Waits, with bounds, until poll(2) says all of `events` of `fd`: what a peer did has arrived. */
static void until(int fd, short events)
{
    vigil_ns deadline = now_ns() + VIGIL_S(20) * test_time_scale();
    struct pollfd entry = { .fd = fd, .events = events };
    while ((entry.revents & events) != events) {
        REQUIRE(now_ns() < deadline, "0x%x did not come, there is 0x%x", (unsigned)events,
                (unsigned)entry.revents);
        REQUIRE(poll(&entry, 1, 100) >= 0);
        usleep(100); /* some of the bits may be there, and poll does not wait for the others */
    }
}

static int tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0, "%s", strerror(errno));
    return fd;
}

/* A listener on a free loopback port; `address` becomes that. */
static int tcp_listener(struct sockaddr_in *address)
{
    int fd = tcp_socket();
    *address = (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(*address);
    REQUIRE(bind(fd, (struct sockaddr *)address, size) == 0, "%s", strerror(errno));
    REQUIRE(listen(fd, 16) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)address, &size) == 0);
    return fd;
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address;
    int listener = tcp_listener(&address);
    fds[0] = tcp_socket();
    REQUIRE(connect(fds[0], (struct sockaddr *)&address, sizeof(address)) == 0);
    fds[1] = accept(listener, NULL, NULL);
    REQUIRE(fds[1] >= 0);
    close(listener);
}

static void unix_pair(int fds[2])
{
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
}

/* On Windows two sockets stand for it, to wait for and to write to. */
static void pipe_pair(int fds[2])
{
#ifdef _WIN32
    tcp_pair(fds);
#else
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
#endif
}

TEST_MAYBE_UNUSED static void close_pair(const int fds[2])
{
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* A terminal in raw mode: fds[0] is the master, fds[1] what a program would have as stdin. */
static void terminal_pair(int fds[2])
{
    fds[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fds[0] < 0)
        SKIP("no terminals to be had here");
    REQUIRE(grantpt(fds[0]) == 0 && unlockpt(fds[0]) == 0);
    fds[1] = open(ptsname(fds[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(fds[1] >= 0, "%s", strerror(errno));
    struct termios mode;
    REQUIRE(tcgetattr(fds[1], &mode) == 0);
    cfmakeraw(&mode);
    REQUIRE(tcsetattr(fds[1], TCSANOW, &mode) == 0);
}

/* An empty file without a name. */
static int empty_file(void)
{
    char path[] = "/tmp/vigil-test-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    REQUIRE(fd >= 0, "%s", strerror(errno));
    unlink(path);
    return fd;
}

/* A number that is not open now: `number` itself, or a low one for -1. */
TEST_MAYBE_UNUSED static int closed_fd(int number)
{
    if (number < 0) {
        number = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 40);
        REQUIRE(number >= 0);
        close(number);
    }
    REQUIRE(fcntl(number, F_GETFD) < 0, "%d is open", number);
    return number;
}

/* Moves `fd` to a high number; the test is skipped where the system does not allow that. */
TEST_MAYBE_UNUSED static int move_high(int fd, int number)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur <= (rlim_t)number) {
        limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
        if (limit.rlim_cur <= (rlim_t)number || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            close(fd);
            SKIP("the hard limit of descriptors is too low");
        }
    }
    REQUIRE(dup3(fd, number, O_CLOEXEC) == number, "%s", strerror(errno));
    close(fd);
    return number;
}

static volatile sig_atomic_t ticks;

static void on_tick(int signo)
{
    (void)signo;
    ticks++;
}

/* From now on SIGUSR2 comes every `interval`, and is handled (SIGALRM is the harness's). */
TEST_MAYBE_UNUSED static timer_t start_ticks(vigil_ns interval)
{
    struct sigaction action = { .sa_handler = on_tick }; /* no SA_RESTART: calls end with EINTR */
    REQUIRE(sigaction(SIGUSR2, &action, NULL) == 0);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
    timer_t timer;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec spec = { .it_interval.tv_nsec = (long)interval,
                               .it_value.tv_nsec = (long)interval };
    ticks = 0;
    REQUIRE(timer_settime(timer, 0, &spec, NULL) == 0);
    return timer;
}

TEST_MAYBE_UNUSED static void stop_ticks(timer_t timer)
{
    timer_delete(timer);
    signal(SIGUSR2, SIG_IGN);
}

/* Writes one byte to `fd` after `delay`, from a thread of its own. */
struct later {
    int fd;
    vigil_ns delay;
    pthread_t thread;
};

static void *write_later(void *arg)
{
    const struct later *later = arg;
    struct timespec delay = { .tv_sec = (time_t)(later->delay / VIGIL_S(1)),
                              .tv_nsec = (long)(later->delay % VIGIL_S(1)) };
    nanosleep(&delay, NULL);
    return write(later->fd, "x", 1) == 1 ? NULL : arg;
}

/* The thread takes no signals: they are for the call under test, and ticks has one writer. */
TEST_MAYBE_UNUSED static void start_later(struct later *later, int fd, vigil_ns delay)
{
    *later = (struct later){ .fd = fd, .delay = delay };
    sigset_t all, before;
    sigfillset(&all);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &all, &before) == 0);
    int failed = pthread_create(&later->thread, NULL, write_later, later);
    REQUIRE(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    REQUIRE(failed == 0);
}

TEST_MAYBE_UNUSED static void join_later(struct later *later)
{
    void *failed;
    REQUIRE(pthread_join(later->thread, &failed) == 0);
    EQ_PTR(NULL, failed);
}

/* ---- the situations ---------------------------------------------------------------------- */

/* Each puts the descriptor to look at into fds[0], and into fds[1] what must stay open, or -1. */

static void tcp_idle(int fds[2])
{
    tcp_pair(fds);
}

static void tcp_data(int fds[2])
{
    tcp_pair(fds);
    put(fds[1], "data");
    until(fds[0], POLLIN);
}

static void tcp_full(int fds[2])
{
    tcp_pair(fds);
    int small = 4096;
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    struct pollfd entry = { .fd = fds[0], .events = POLLOUT };
    do /* the last of it may be on its way to the peer, which makes room once more */
        fill(fds[0]);
    while (poll(&entry, 1, 200) != 0);
}

static void tcp_peer_done(int fds[2])
{
    tcp_pair(fds);
    shutdown(fds[1], SHUT_WR);
    until(fds[0], POLLRDHUP);
}

static void tcp_peer_done_unread(int fds[2])
{
    tcp_pair(fds);
    put(fds[1], "tail");
    shutdown(fds[1], SHUT_WR);
    until(fds[0], POLLRDHUP);
}

static void tcp_both_done_unread(int fds[2])
{
    tcp_peer_done_unread(fds);
    shutdown(fds[0], SHUT_WR);
    until(fds[0], POLLHUP);
}

static void tcp_reset(int fds[2])
{
    tcp_pair(fds);
    struct linger hard = { .l_onoff = 1 };
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fds[1]);
    fds[1] = -1;
    until(fds[0], POLLERR);
}

/* An ordinary byte and an urgent one.  With the urgent one alone the kernel says IN or not,
 * depending on how much memory all of TCP uses. */
static void tcp_urgent(int fds[2])
{
    tcp_pair(fds);
    REQUIRE(send(fds[1], "x!", 2, MSG_OOB) == 2);
    until(fds[0], POLLPRI | POLLIN);
}

static void tcp_unconnected(int fds[2])
{
    fds[0] = tcp_socket();
    fds[1] = -1;
}

static void tcp_refused(int fds[2])
{
    struct sockaddr_in address;
    close(tcp_listener(&address)); /* a port where nobody listens */
    tcp_unconnected(fds);
    set_nonblocking(fds[0]);
    int result = connect(fds[0], (struct sockaddr *)&address, sizeof(address));
    REQUIRE(result < 0 && errno == EINPROGRESS, "%s", strerror(errno));
    until(fds[0], POLLERR);
}

static void listener_idle(int fds[2])
{
    struct sockaddr_in address;
    fds[0] = tcp_listener(&address);
    fds[1] = -1;
}

static void listener_called(int fds[2])
{
    struct sockaddr_in address;
    fds[0] = tcp_listener(&address);
    fds[1] = tcp_socket();
    REQUIRE(connect(fds[1], (struct sockaddr *)&address, sizeof(address)) == 0);
    until(fds[0], POLLIN);
}

static void unix_data(int fds[2])
{
    unix_pair(fds);
    put(fds[1], "data");
}

static void unix_full(int fds[2])
{
    unix_pair(fds);
    fill(fds[0]);
}

static void unix_peer_done(int fds[2])
{
    unix_pair(fds);
    shutdown(fds[1], SHUT_WR);
}

static void unix_peer_closed(int fds[2])
{
    unix_pair(fds);
    close(fds[1]);
    fds[1] = -1;
}

static void unix_peer_closed_unread(int fds[2])
{
    unix_pair(fds);
    put(fds[1], "tail");
    close(fds[1]);
    fds[1] = -1;
}

static void datagram_waiting(int fds[2])
{
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) == 0);
    put(fds[1], "data");
}

static void pipe_empty(int fds[2])
{
    pipe_pair(fds);
}

static void pipe_data(int fds[2])
{
    pipe_pair(fds);
    put(fds[1], "data");
}

static void pipe_ended(int fds[2])
{
    pipe_pair(fds);
    close(fds[1]);
    fds[1] = -1;
}

static void pipe_ended_unread(int fds[2])
{
    pipe_data(fds);
    close(fds[1]);
    fds[1] = -1;
}

static void swap_ends(int fds[2])
{
    int first = fds[0];
    fds[0] = fds[1];
    fds[1] = first;
}

static void pipe_room(int fds[2])
{
    pipe_pair(fds);
    swap_ends(fds);
}

static void pipe_full(int fds[2])
{
    pipe_room(fds);
    fill(fds[0]);
}

static void pipe_reader_gone(int fds[2])
{
    pipe_room(fds);
    close(fds[1]);
    fds[1] = -1;
}

static void pipe_reader_gone_full(int fds[2])
{
    pipe_full(fds);
    close(fds[1]);
    fds[1] = -1;
}

static void eventfd_with(int fds[2], uint64_t count)
{
    fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[1] = -1;
    REQUIRE(fds[0] >= 0);
    if (count > 0)
        REQUIRE(write(fds[0], &count, sizeof(count)) == sizeof(count));
}

static void eventfd_zero(int fds[2])
{
    eventfd_with(fds, 0);
}

static void eventfd_counted(int fds[2])
{
    eventfd_with(fds, 5);
}

static void eventfd_full(int fds[2])
{
    eventfd_with(fds, UINT64_MAX - 1);
}

static void terminal_idle(int fds[2])
{
    terminal_pair(fds);
    swap_ends(fds);
}

static void terminal_data(int fds[2])
{
    terminal_idle(fds);
    put(fds[1], "typed");
    until(fds[0], POLLIN);
}

static void terminal_hung_up(int fds[2])
{
    terminal_idle(fds);
    close(fds[1]);
    fds[1] = -1;
    until(fds[0], POLLHUP);
}

static void master_data(int fds[2])
{
    terminal_pair(fds);
    put(fds[1], "shown");
    until(fds[0], POLLIN);
}

static void open_only(int fds[2], const char *path, int flags)
{
    fds[0] = open(path, flags | O_CLOEXEC);
    fds[1] = -1;
    REQUIRE(fds[0] >= 0, "%s: %s", path, strerror(errno));
}

static void file_empty(int fds[2])
{
    fds[0] = empty_file();
    fds[1] = -1;
}

static void file_data(int fds[2])
{
    file_empty(fds);
    put(fds[0], "content");
    lseek(fds[0], 0, SEEK_SET);
}

static void dev_null(int fds[2])
{
    open_only(fds, "/dev/null", O_RDWR);
}

static void directory(int fds[2])
{
    open_only(fds, "/", O_RDONLY | O_DIRECTORY);
}

#define ALL_IN_OUT (VIGIL_IN | VIGIL_OUT)

/* What is true when IN, PRI, OUT and RDHUP are asked for, as poll(2) on Linux says it. */
#ifdef _WIN32
#include "situations_windows.h"
#else
static const struct situation {
    const char *name;
    void (*make)(int fds[2]);
    unsigned events;
} situations[] = {
    { "tcp idle", tcp_idle, VIGIL_OUT },
    { "tcp with data", tcp_data, ALL_IN_OUT },
    { "tcp without room", tcp_full, 0 },
    { "tcp, the peer is done", tcp_peer_done, ALL_IN_OUT | VIGIL_RDHUP },
    { "tcp, the peer is done, unread data", tcp_peer_done_unread, ALL_IN_OUT | VIGIL_RDHUP },
    { "tcp, both are done, unread data", tcp_both_done_unread,
      ALL_IN_OUT | VIGIL_RDHUP | VIGIL_HUP },
    { "tcp reset", tcp_reset, ALL_IN_OUT | VIGIL_RDHUP | VIGIL_HUP | VIGIL_ERR },
    { "tcp never connected", tcp_unconnected, VIGIL_OUT | VIGIL_HUP },
    { "tcp refused", tcp_refused, ALL_IN_OUT | VIGIL_RDHUP | VIGIL_HUP | VIGIL_ERR },
    { "listener idle", listener_idle, 0 },
    { "listener with a connection", listener_called, VIGIL_IN },
    { "unix idle", unix_pair, VIGIL_OUT },
    { "unix with data", unix_data, ALL_IN_OUT },
    { "unix without room", unix_full, 0 },
    { "unix, the peer is done", unix_peer_done, ALL_IN_OUT | VIGIL_RDHUP },
    { "unix, the peer is closed", unix_peer_closed, ALL_IN_OUT | VIGIL_RDHUP | VIGIL_HUP },
    { "unix, the peer is closed, unread data", unix_peer_closed_unread,
      ALL_IN_OUT | VIGIL_RDHUP | VIGIL_HUP },
    { "pipe empty", pipe_empty, 0 },
    { "pipe with data", pipe_data, VIGIL_IN },
    { "pipe ended", pipe_ended, VIGIL_HUP },
    { "pipe ended, unread data", pipe_ended_unread, VIGIL_IN | VIGIL_HUP },
    { "pipe with room", pipe_room, VIGIL_OUT },
    { "pipe without room", pipe_full, 0 },
    { "pipe, the reader is gone", pipe_reader_gone, VIGIL_OUT | VIGIL_ERR },
    { "pipe, the reader is gone, no room", pipe_reader_gone_full, VIGIL_ERR },
    { "file empty", file_empty, ALL_IN_OUT },
    { "file with data", file_data, ALL_IN_OUT },
#ifndef TEST_VIRTUAL /* a world has none of these */
    { "tcp with urgent data", tcp_urgent, VIGIL_PRI | ALL_IN_OUT },
    { "datagram waiting", datagram_waiting, ALL_IN_OUT },
    { "eventfd zero", eventfd_zero, VIGIL_OUT },
    { "eventfd counted", eventfd_counted, ALL_IN_OUT },
    { "eventfd full", eventfd_full, VIGIL_IN },
    { "terminal idle", terminal_idle, VIGIL_OUT },
    { "terminal with input", terminal_data, ALL_IN_OUT },
    { "terminal hung up", terminal_hung_up, ALL_IN_OUT | VIGIL_HUP | VIGIL_ERR },
    { "terminal's master", terminal_pair, VIGIL_OUT },
    { "terminal's master with output", master_data, ALL_IN_OUT },
    { "/dev/null", dev_null, ALL_IN_OUT },
    { "directory", directory, ALL_IN_OUT },
#endif
};

enum { PEER_CLOSED = VIGIL_HUP }; /* what it tells of a Unix socket */
#endif

/* What to ask for: all of them, and each alone. */
static const unsigned asked_rows[] = {
    VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP, VIGIL_IN, VIGIL_PRI, VIGIL_OUT, VIGIL_RDHUP,
};

/* What poll(2) answers of `events` when `asked` was asked for. */
TEST_MAYBE_UNUSED static unsigned answered(unsigned events, unsigned asked)
{
    return events & (asked | VIGIL_ERR | VIGIL_HUP);
}

/* What select(2) can tell of it. */
TEST_MAYBE_UNUSED static unsigned answered_by_select(unsigned events, unsigned asked)
{
    unsigned in = events & (VIGIL_IN | VIGIL_HUP | VIGIL_ERR) ? VIGIL_IN : 0u;
    unsigned out = events & (VIGIL_OUT | VIGIL_ERR) ? VIGIL_OUT : 0u;
    return (in | out | (events & VIGIL_PRI)) & asked;
}

/* What kqueue(2) can tell of it: a filter tells of its own direction, if that is asked for, and a
 * socket has hung up when both ended.  FreeBSD has no filter for urgent data. */
static const struct {
    const char *name;
    unsigned reads, writes; /* what the two filters tell */
} told_by_filters[] = {
    { "tcp never connected", 0, 0 }, /* neither direction is there */
    { "pipe ended", VIGIL_IN | VIGIL_HUP, 0 },
    { "pipe ended, unread data", VIGIL_IN | VIGIL_HUP, 0 },
    { "pipe, the reader is gone", 0, VIGIL_OUT | VIGIL_ERR },
    { "pipe, the reader is gone, no room", 0, VIGIL_OUT | VIGIL_ERR }, /* a write fails at once */
    { "terminal hung up", VIGIL_IN | VIGIL_HUP, VIGIL_OUT | VIGIL_HUP },
};

TEST_MAYBE_UNUSED static unsigned answered_by_kqueue(const struct situation *situation,
                                                     unsigned asked)
{
    unsigned reads = situation->events & (VIGIL_IN | VIGIL_RDHUP | VIGIL_ERR);
    unsigned writes = situation->events & (VIGIL_OUT | VIGIL_ERR);
    unsigned both = situation->events & VIGIL_HUP;
    for (size_t i = 0; i < TEST_COUNT(told_by_filters); i++) {
        if (strcmp(told_by_filters[i].name, situation->name) == 0) {
            reads = told_by_filters[i].reads;
            writes = told_by_filters[i].writes;
            both = 0;
        }
    }
    bool reading = (asked & (VIGIL_IN | VIGIL_RDHUP)) != 0, writing = (asked & VIGIL_OUT) != 0;
    unsigned events = (reading ? reads : 0) | (writing ? writes : 0) |
                      (reading && writing ? both : 0);
    return events & (asked | VIGIL_ERR | VIGIL_HUP);
}

/* What that backend can tell of it. */
TEST_MAYBE_UNUSED static unsigned told(const char *backend, const struct situation *situation,
                                       unsigned asked)
{
    if (strcmp(backend, "select") == 0)
        return answered_by_select(situation->events, asked);
    if (strcmp(backend, "kqueue") == 0)
        return answered_by_kqueue(situation, asked);
    return answered(situation->events, asked);
}

/* What vigil_poll can be asked for. */
#ifdef __linux__
#define POLL_ASKS (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP)
#else
#define POLL_ASKS (VIGIL_IN | VIGIL_PRI | VIGIL_OUT)
#endif

/* What vigil_poll can tell of it: on Windows it is Winsock's select. */
TEST_MAYBE_UNUSED static unsigned answered_by_poll(unsigned events, unsigned asked)
{
#ifdef _WIN32
    return answered_by_select(events, asked);
#else
    return answered(events, asked);
#endif
}

#endif
