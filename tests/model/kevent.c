/* SPDX-License-Identifier: MIT
 *
 * kevent.c -- a model of kqueue() and kevent() on Linux, for tests: what FreeBSD's manual page
 * kqueue(2) of May 1, 2020 says, on real descriptors.  knotes.c is what it does with a changelist
 * and a queue, and says how both cite the page; here stand its descriptors, and its calls.
 *
 * What tells of a descriptor is an edge-triggered epoll set, one for reading and one for writing,
 * as a socket has two lists of knotes; what is true then, poll(2) and ioctls say.  The queue's
 * descriptor is an epoll set too, readable while there is something in the queue.
 *
 * Not modelled: other filters (EINVAL), ext[], and which error stands in fflags (it cannot be seen
 * here without taking it away: ECONNRESET stands for all).  One file behind more than 500
 * descriptors is too much for sets within sets: EINVAL, which is Linux's.
 */
#include "kevent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

enum { QUEUES_MAX = 96, NOTICES = 64 };

#define NS_PER_S INT64_C(1000000000)

struct queue {
    struct knotes knotes;
    int fd;      /* the user's, an epoll set with the three below in it; -1: there is none */
    int sets[2]; /* who is told of: input, output */
    int pending; /* eventfd: readable while the queue is not empty */
    bool is_pending;
};

struct kevent_model kevent_model;

static struct queue queues[QUEUES_MAX];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* ---- one at a time, and no signal handler inside ------------------------------------------ */

static void lock(sigset_t *mask)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, mask);
    pthread_mutex_lock(&mutex);
}

static void unlock(const sigset_t *mask)
{
    pthread_mutex_unlock(&mutex);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

static int raw_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

/* ---- filters ------------------------------------------------------------------------------ */

static unsigned poll_now(uintptr_t fd, short events)
{
    struct pollfd entry = { .fd = (int)fd, .events = events };
    return poll(&entry, 1, 0) > 0 ? (unsigned)entry.revents : 0;
}

static int64_t count_now(uintptr_t fd, unsigned long request)
{
    int count = 0;
    return ioctl((int)fd, request, &count) == 0 ? count : 0;
}

static bool is_tcp(uintptr_t fd)
{
    int protocol = 0;
    socklen_t size = sizeof(protocol);
    return getsockopt((int)fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
           protocol == IPPROTO_TCP;
}

/* Whether a stream socket's sending side was shut down: TCP says so in its state; on others a send
 * of nothing is refused then, and does nothing otherwise. */
static bool cannot_send(uintptr_t fd, unsigned found)
{
    if ((found & POLLHUP) != 0 && (found & POLLRDHUP) != 0)
        return true;
    if (is_tcp(fd)) {
        struct tcp_info info = { 0 };
        socklen_t size = sizeof(info);
        if (getsockopt((int)fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
            return false;
        int state = info.tcpi_state;
        return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
               state == TCP_LAST_ACK || state == TCP_TIME_WAIT;
    }
    return send((int)fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE;
}

/* What was never connected has neither side (FreeBSD: sowriteable). */
static bool is_connected(uintptr_t fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    return getpeername((int)fd, (struct sockaddr *)&peer, &size) == 0;
}

static bool reads(uintptr_t fd)
{
    return (fcntl((int)fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
}

static bool writes(uintptr_t fd)
{
    return (fcntl((int)fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

static bool is_above_low_water(const struct knote *knote, const struct kevent *out)
{
    return (knote->event.fflags & NOTE_LOWAT) == 0 || out->data >= knote->event.data;
}

/* EVFILT_READ, Sockets: shut down reading is EV_EOF, with the socket's error in fflags; data may
 * stand in front of it. */
static bool run_socket_read(const struct knote *knote, struct kevent *out)
{
    unsigned found = poll_now(out->ident, POLLIN | POLLRDHUP);
    if (knote->kind == KIND_LISTENER) {
        out->data = 1; /* the backlog's size cannot be seen here */
        return (found & POLLIN) != 0;
    }
    out->data = count_now(out->ident, FIONREAD);
    if ((found & POLLRDHUP) != 0) {
        out->flags |= EV_EOF;
        out->fflags = (found & POLLERR) != 0 ? ECONNRESET : 0;
        return true;
    }
    return (found & POLLERR) != 0 || ((found & POLLIN) != 0 && is_above_low_water(knote, out));
}

static bool run_socket_write(const struct knote *knote, struct kevent *out)
{
    if (knote->kind == KIND_LISTENER)
        return false;
    unsigned found = poll_now(out->ident, POLLOUT | POLLRDHUP);
    int size = 0;
    socklen_t length = sizeof(size);
    (void)getsockopt((int)out->ident, SOL_SOCKET, SO_SNDBUF, &size, &length);
    int64_t queued = count_now(out->ident, SIOCOUTQ);
    out->data = size > queued ? size - queued : 1;
    bool stream = knote->kind == KIND_STREAM;
    if (stream && cannot_send(out->ident, found)) {
        out->flags |= EV_EOF;
        out->fflags = (found & POLLERR) != 0 ? ECONNRESET : 0;
        return true;
    }
    if (stream && (found & POLLERR) == 0 && !is_connected(out->ident))
        return false;
    return (found & POLLERR) != 0 || ((found & POLLOUT) != 0 && is_above_low_water(knote, out));
}

/* EVFILT_READ, Pipes: the last writer's end is EV_EOF; EVFILT_WRITE: the reader's.  The other
 * direction of an end that has one only never fires (FreeBSD). */
static bool run_pipe(struct kevent *out, bool reading)
{
    if (reading) {
        unsigned found = poll_now(out->ident, POLLIN);
        out->data = count_now(out->ident, FIONREAD);
        if (!reads(out->ident))
            return false;
        if ((found & POLLHUP) != 0)
            out->flags |= EV_EOF;
        return out->data > 0 || (found & POLLHUP) != 0;
    }
    unsigned found = poll_now(out->ident, POLLOUT);
    if (!writes(out->ident))
        return false;
    bool broken = (found & POLLERR) != 0;
    if (broken)
        out->flags |= EV_EOF;
    out->data = broken || (found & POLLOUT) == 0 ? 0 : PIPE_BUF;
    return out->data > 0 || broken;
}

/* EVFILT_READ, Vnodes: ready unless the position is at the end, data is the way to there;
 * NOTE_FILE_POLL: ready always. */
static bool run_vnode(const struct knote *knote, struct kevent *out)
{
    struct stat found;
    off_t at = lseek((int)out->ident, 0, SEEK_CUR);
    out->data = fstat((int)out->ident, &found) == 0 ? found.st_size - at : 0;
    return out->data != 0 || (knote->event.fflags & NOTE_FILE_POLL) != 0;
}

/* Terminals, and whatever else poll(2) can tell of. */
static bool run_other(struct kevent *out, bool reading)
{
    unsigned found = poll_now(out->ident, reading ? POLLIN : POLLOUT);
    if ((found & POLLHUP) != 0)
        out->flags |= EV_EOF;
    out->data = reading ? count_now(out->ident, FIONREAD) : 1;
    return (found & (POLLIN | POLLOUT | POLLHUP)) != 0;
}

static bool run(const struct knote *knote, struct kevent *out)
{
    bool reading = out->filter == EVFILT_READ;
    if (out->filter == MODEL_EVFILT_EXCEPT) {
        out->fflags = MODEL_NOTE_OOB;
        return (poll_now(out->ident, POLLPRI) & POLLPRI) != 0;
    }
    switch (knote->kind) {
    case KIND_STREAM:
    case KIND_LISTENER:
    case KIND_DATAGRAM:
        return reading ? run_socket_read(knote, out) : run_socket_write(knote, out);
    case KIND_PIPE:
        return run_pipe(out, reading);
    case KIND_VNODE:
        return run_vnode(knote, out);
    default:
        return run_other(out, reading);
    }
}

/* ---- who tells ---------------------------------------------------------------------------- */

/* Told of the descriptor's input: the filters that look at it. */
static const short told_of_input[] = { EVFILT_READ, MODEL_EVFILT_EXCEPT, 0 };
static const short told_of_output[] = { EVFILT_WRITE, 0 };
static const short *const told_of[2] = { told_of_input, told_of_output };

/* Takes what descriptors tell, and runs their filters; `ignored` tells nothing. */
static void listen_to(struct queue *queue, int ignored)
{
    for (int set = 0; set < 2; set++) {
        struct epoll_event notices[NOTICES];
        int n;
        do {
            n = epoll_wait(queue->sets[set], notices, NOTICES, 0);
            for (int i = 0; i < n; i++) {
                for (const short *filter = told_of[set]; *filter != 0; filter++) {
                    struct knote *knote = knote_find(&queue->knotes, (uintptr_t)notices[i].data.fd,
                                                     *filter);
                    if (knote != NULL && notices[i].data.fd != ignored)
                        knote_look(&queue->knotes, knote);
                }
            }
        } while (n == NOTICES);
    }
}

static struct queue *queue_of(struct knotes *knotes)
{
    return VIGIL_OWNER(knotes, struct queue, knotes);
}

static void listen_to_all(struct knotes *knotes)
{
    listen_to(queue_of(knotes), -1);
}

/* The queue's descriptor is readable while there is something in the queue. */
static void show_pending(struct queue *queue)
{
    bool pending = knotes_pending(&queue->knotes);
    uint64_t one = 1;
    if (pending && !queue->is_pending)
        (void)!write(queue->pending, &one, sizeof(one));
    else if (!pending && queue->is_pending)
        (void)!read(queue->pending, &one, sizeof(one));
    queue->is_pending = pending;
}

/* ---- attaching ---------------------------------------------------------------------------- */

static enum knote_kind socket_kind(int fd)
{
    int type = 0, listening = 0;
    socklen_t size = sizeof(type);
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    size = sizeof(listening);
    (void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
        return KIND_DATAGRAM;
    return listening ? KIND_LISTENER : KIND_STREAM;
}

static enum knote_kind kind_of(int fd)
{
    struct stat found;
    if (fstat(fd, &found) != 0)
        return KIND_OTHER;
    if (S_ISSOCK(found.st_mode))
        return socket_kind(fd);
    if (S_ISFIFO(found.st_mode))
        return KIND_PIPE;
    if (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode) || S_ISBLK(found.st_mode))
        return KIND_VNODE;
    if (S_ISCHR(found.st_mode))
        return isatty(fd) ? KIND_TERMINAL : KIND_DEVICE;
    return KIND_OTHER;
}

static bool is_queue(int fd)
{
    for (int i = 0; i < QUEUES_MAX; i++)
        if (queues[i].fd == fd)
            return true;
    return false;
}

/* Whether a filter can be had for that: 0 or an errno. */
static int attach_check(const struct queue *queue, const struct kevent *change,
                        enum knote_kind kind)
{
    int fd = (int)change->ident;
    if (fd == queue->fd)
        return EINVAL; /* FreeBSD: a queue in itself */
    if (change->filter == MODEL_EVFILT_EXCEPT)
        return kind <= KIND_DATAGRAM && change->fflags == MODEL_NOTE_OOB ? 0 : EINVAL;
    if (change->filter != EVFILT_WRITE)
        return kind == KIND_TERMINAL && kevent_model.refuse_terminals ? EINVAL : 0;
    if (is_queue(fd) || kind == KIND_VNODE)
        return EINVAL; /* EVFILT_WRITE: not for vnodes */
    if (kind == KIND_PIPE && writes(change->ident) &&
        (poll_now(change->ident, POLLOUT) & POLLERR) != 0)
        return EPIPE; /* FreeBSD: a pipe whose reader has gone (mio#584) */
    return kind == KIND_TERMINAL && kevent_model.refuse_terminals ? EINVAL : 0;
}

/* Has the descriptor tell of itself.  Files have nothing to tell.  A device that poll(2) has no
 * answer for has no filter either: EINVAL (macOS: /dev/null). */
static int set_add(struct queue *queue, int fd, int set, enum knote_kind kind)
{
    static const uint32_t events[2] = { EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                                        EPOLLOUT | EPOLLET };
    struct epoll_event event = { .events = events[set], .data.fd = fd };
    if (epoll_ctl(queue->sets[set], EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST)
        return 0;
    if (errno == EPERM)
        return kind == KIND_DEVICE ? EINVAL : 0;
    return errno;
}

static int set_of(short filter)
{
    return filter == EVFILT_WRITE;
}

static bool is_open(const struct knotes *knotes, uintptr_t ident)
{
    (void)knotes;
    return fcntl((int)ident, F_GETFD) >= 0;
}

static int attach(struct knotes *knotes, struct knote *knote)
{
    struct queue *queue = queue_of(knotes);
    int fd = (int)knote->event.ident;
    knote->kind = kind_of(fd);
    int error = attach_check(queue, &knote->event, knote->kind);
    if (error == 0 && kevent_model.no_memory)
        error = ENOMEM; /* ERRORS */
    if (error != 0)
        return error;
    listen_to(queue, -1);
    error = set_add(queue, fd, set_of(knote->event.filter), knote->kind);
    if (error == 0)
        listen_to(queue, fd); /* the set's first word: its filter is run next, and hears it */
    return error;
}

static void detach(struct knotes *knotes, struct knote *knote)
{
    int set = set_of(knote->event.filter);
    bool others = false;
    for (const short *filter = told_of[set]; *filter != 0; filter++)
        others |= knote_find(knotes, knote->event.ident, *filter) != NULL;
    if (!others) /* fails for files, which are not in there */
        (void)epoll_ctl(queue_of(knotes)->sets[set], EPOLL_CTL_DEL, (int)knote->event.ident, NULL);
}

static const struct knote_endpoints real_endpoints = { .knote_size = sizeof(struct knote),
                                                       .is_open = is_open,
                                                       .attach = attach,
                                                       .detach = detach,
                                                       .run = run,
                                                       .listen = listen_to_all };

/* ---- waiting ------------------------------------------------------------------------------ */

static int scan(struct queue *queue, struct kevent *out, int room)
{
    int count = knotes_scan(&queue->knotes, out, room);
    show_pending(queue);
    return count;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static struct queue *find_queue(int fd)
{
    for (int i = 0; i < QUEUES_MAX; i++)
        if (fd >= 0 && queues[i].fd == fd)
            return &queues[i];
    return NULL;
}

/* Until there is something: the events, 0 when the time is over, or -1 and EINTR, whatever
 * SA_RESTART says (FreeBSD: kqueue_scan).  The lock is held before and after. */
static int wait_and_scan(int fd, struct kevent *out, int room, const struct timespec *timeout,
                         const sigset_t *mask)
{
    int64_t deadline = INT64_MAX;
    if (timeout != NULL && timeout->tv_sec < INT32_MAX)
        deadline = now_ns() + timeout->tv_sec * NS_PER_S + timeout->tv_nsec;
    bool poll_only = timeout != NULL && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
    for (;;) {
        struct queue *queue = find_queue(fd);
        if (queue == NULL) {
            errno = EBADF; /* closed meanwhile */
            return -1;
        }
        int count = scan(queue, out, room);
        int64_t left = poll_only ? 0 : deadline - now_ns();
        if (count > 0 || left <= 0)
            return count;
        struct pollfd entry = { .fd = fd, .events = POLLIN };
        struct timespec wait = { .tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S };
        pthread_mutex_unlock(&mutex);
        int result = ppoll(&entry, 1, deadline == INT64_MAX ? NULL : &wait, mask);
        int error = errno;
        pthread_mutex_lock(&mutex);
        if (result < 0) {
            errno = error;
            return -1;
        }
    }
}

/* ---- the calls ---------------------------------------------------------------------------- */

static int kevent_locked(int kq, const struct kevent *changelist, int nchanges,
                         struct kevent *eventlist, int nevents, const struct timespec *timeout,
                         const sigset_t *mask)
{
    struct queue *queue = find_queue(kq);
    if (queue == NULL) {
        errno = EBADF; /* ERRORS */
        return -1;
    }
    /* DESCRIPTION: all changes come before any event. */
    int told = knotes_change(&queue->knotes, changelist, nchanges, eventlist, nevents);
    show_pending(queue);
    if (told != 0)
        return told;
    if (nevents == 0)
        return 0; /* DESCRIPTION: whatever the timeout */
    if (timeout != NULL &&
        (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= NS_PER_S)) {
        errno = EINVAL;
        return -1;
    }
    return wait_and_scan(kq, eventlist, nevents, timeout, mask);
}

int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist,
           int nevents, const struct timespec *timeout)
{
    sigset_t mask;
    lock(&mask);
    kevent_model.calls++;
    int result = kevent_locked(kq, changelist, nchanges, eventlist, nevents, timeout, &mask);
    int error = errno;
    unlock(&mask);
    errno = error;
    return result;
}

static bool queue_open(struct queue *queue)
{
    int members[] = { queue->sets[0], queue->sets[1], queue->pending };
    queue->fd = epoll_create1(0);
    if (queue->fd < 0)
        return false;
    for (int i = 0; i < 3; i++) {
        struct epoll_event event = { .events = EPOLLIN };
        if (epoll_ctl(queue->fd, EPOLL_CTL_ADD, members[i], &event) != 0)
            abort(); /* the model's own descriptors: it is broken */
    }
    knotes_init(&queue->knotes, &real_endpoints);
    return true;
}

int kqueue(void)
{
    sigset_t mask;
    int fd = -1, error = ENOMEM;
    lock(&mask);
    for (int i = 0; i < QUEUES_MAX && fd < 0 && error == ENOMEM; i++) {
        if (queues[i].fd >= 0)
            continue;
        error = queue_open(&queues[i]) ? 0 : errno;
        fd = queues[i].fd;
    }
    unlock(&mask);
    errno = error;
    return fd;
}

/* ---- closing ------------------------------------------------------------------------------ */

static void queue_empty(struct queue *queue)
{
    knotes_clear(&queue->knotes);
    show_pending(queue);
}

static void forget_fd(int fd)
{
    if (fd < 0)
        return;
    for (int i = 0; i < QUEUES_MAX; i++) {
        struct queue *queue = &queues[i];
        if (queue->fd < 0)
            continue;
        knotes_forget(&queue->knotes, (uintptr_t)fd);
        if (queue->fd == fd) {
            queue_empty(queue);
            queue->fd = -1;
        } else {
            show_pending(queue);
        }
    }
}

/* These stand before the C library's, in every program that this file is linked into. */
int close(int fd)
{
    sigset_t mask;
    lock(&mask);
    forget_fd(fd);
    int result = raw_close(fd), error = errno;
    unlock(&mask);
    errno = error;
    return result;
}

int dup3(int from, int to, int flags)
{
    sigset_t mask;
    lock(&mask);
    if (from != to && fcntl(from, F_GETFD) >= 0)
        forget_fd(to);
    int result = (int)syscall(SYS_dup3, from, to, flags), error = errno;
    unlock(&mask);
    errno = error;
    return result;
}

int dup2(int from, int to)
{
    if (from == to)
        return fcntl(from, F_GETFD) < 0 ? -1 : to;
    return dup3(from, to, 0);
}

/* ---- the beginning, and fork -------------------------------------------------------------- */

/* The model's own descriptors stand at the top, where no test looks. */
static int hidden(int fd, int number)
{
    if (fd < 0 || syscall(SYS_dup3, fd, number, O_CLOEXEC) != number)
        abort(); /* too few descriptors to run the model */
    raw_close(fd);
    return number;
}

static void hide_sets(int top)
{
    for (int i = 0; i < QUEUES_MAX; i++) {
        queues[i].fd = -1;
        queues[i].sets[0] = hidden(epoll_create1(0), top - 3 * i - 1);
        queues[i].sets[1] = hidden(epoll_create1(0), top - 3 * i - 2);
        queues[i].pending = hidden(eventfd(0, EFD_NONBLOCK), top - 3 * i - 3);
        queues[i].is_pending = false;
    }
}

static int top_of_descriptors;
static sigset_t mask_before_fork;

static void before_fork(void)
{
    sigset_t mask;
    lock(&mask);
    mask_before_fork = mask;
}

static void after_fork(void)
{
    sigset_t mask = mask_before_fork;
    unlock(&mask);
}

/* DESCRIPTION: a child does not inherit the queue; its number is free there. */
static void after_fork_in_child(void)
{
    for (int i = 0; i < QUEUES_MAX; i++) {
        if (queues[i].fd >= 0)
            raw_close(queues[i].fd);
        knotes_init(&queues[i].knotes, NULL); /* the sets are the parent's, too: not touched */
    }
    hide_sets(top_of_descriptors);
    after_fork();
}

__attribute__((constructor)) static void begin(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0)
        abort();
    top_of_descriptors = limit.rlim_cur < 30000 ? (int)limit.rlim_cur : 30000;
    hide_sets(top_of_descriptors);
}
