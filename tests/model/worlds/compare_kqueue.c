/* SPDX-License-Identifier: MIT
 *
 * compare_kqueue.c -- the modelled kevent() in a world and on this machine's descriptors: each
 * script runs on both, and what they show must be the same.
 *
 * No kernel with a kevent() of its own is to be had here: what both are held to is FreeBSD's manual
 * page kqueue(2) of May 1, 2020, which a script cites above it (a section, a flag, a filter), and
 * which ../rows.c goes through sentence by sentence.  What is compared is what stands under the
 * model: that a world's sockets and pipes tell a filter what real ones do.
 */
#include "machine.h"

enum { EVENTS_MAX = 16 };

static const uintptr_t user_ident = 77;

/* ---- changing and looking ---- */

/* `key` is what the events are told by. */
static void change(struct machine *m, int kq, int fd, short filter, unsigned flags, unsigned fflags,
                   uintptr_t key)
{
    struct kevent event;
    EV_SET(&event, fd, filter, flags, fflags, 0, (void *)key);
    tell(m, "kevent: %s", result_text(m->calls->kevent(kq, &event, 1, NULL, 0, VIGIL_NOWAIT)));
}

static void add(struct machine *m, int kq, int fd, short filter, unsigned flags, uintptr_t key)
{
    change(m, kq, fd, filter, EV_ADD | flags, 0, key);
}

static const char *filter_text(short filter)
{
    return filter == EVFILT_READ ? "READ" : filter == EVFILT_WRITE ? "WRITE" : "USER";
}

/* Of what a write filter says only whether there is room: how much is each system's own. */
static void note_event(struct seen *seen, const struct kevent *event)
{
    char *text = seen_at(seen, (uintptr_t)event->udata);
    bool counted = event->filter == EVFILT_READ && (event->flags & EV_ERROR) == 0;
    size_t at = (size_t)snprintf(text, 120, "%s", filter_text(event->filter));
    if ((event->flags & EV_ERROR) != 0)
        at += (size_t)snprintf(text + at, 120 - at, " error %d", (int)event->data);
    if (counted)
        at += (size_t)snprintf(text + at, 120 - at, " %d", (int)event->data);
    if ((event->flags & EV_EOF) != 0)
        at += (size_t)snprintf(text + at, 120 - at, " EOF");
    if (event->fflags != 0)
        snprintf(text + at, 120 - at, " with an error");
}

/* What is handed out now, by its key. */
static void look_max(struct machine *m, int kq, int max)
{
    vigil_ns began = m->calls->now();
    char line[LINE_MAX_LEN];
    struct seen seen = { 0 };
    settle(m);
    do {
        struct kevent events[EVENTS_MAX];
        int n = m->calls->kevent(kq, NULL, 0, events, max, VIGIL_NOWAIT);
        for (int i = 0; i < n; i++)
            note_event(&seen, &events[i]);
        seen_line(&seen, n < 0 ? result_text(n) : "kqueue", line);
    } while (look_again(m, line, began));
    say(m, line);
}

static void look(struct machine *m, int kq)
{
    look_max(m, kq, EVENTS_MAX);
}

static int queue_open(struct machine *m)
{
    int kq = m->calls->kqueue();
    REQUIRE(kq >= 0);
    return kq;
}

static void close_all(struct machine *m, int kq, const int fds[2])
{
    m->calls->close(kq);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

/* ---- filters ---- */

typedef void pair_fn(struct machine *m, int fds[2]);

/* EVFILT_READ, Sockets: when there is data, how much in `data`; shut down reading is EV_EOF, also
 * in front of data that is still there.  EVFILT_WRITE: when there is room, and EV_EOF when the
 * writing side is shut down. */
static void life_of(struct machine *m, pair_fn *pair)
{
    int fds[2];
    int kq = queue_open(m);
    pair(m, fds);
    add(m, kq, fds[0], EVFILT_READ, 0, 1);
    add(m, kq, fds[0], EVFILT_WRITE, 0, 2);
    look(m, kq);
    put(m, fds[1], 5);
    look(m, kq);
    put(m, fds[1], 3);
    look(m, kq);
    end(m, fds[1]);
    look(m, kq);
    take_all(m, fds[0]);
    look(m, kq);
    end(m, fds[0]);
    look(m, kq);
    close_all(m, kq, fds);
}

SCRIPT(sockets_of_tcp)
{
    life_of(m, tcp_pair);
}

SCRIPT(sockets_of_unix)
{
    life_of(m, unix_pair);
}

/* EVFILT_READ and EVFILT_WRITE, Sockets: the socket's error stands in fflags. */
SCRIPT(a_reset_is_an_end_with_an_error)
{
    int fds[2];
    int kq = queue_open(m);
    tcp_pair(m, fds);
    add(m, kq, fds[0], EVFILT_READ, 0, 1);
    add(m, kq, fds[0], EVFILT_WRITE, 0, 2);
    look(m, kq);
    reset(m, fds[1]);
    look_max(m, kq, 2);
    m->calls->close(kq);
    shut(m, fds[0]);
}

/* EVFILT_READ, Sockets: a listener, when somebody waits to be accepted. */
SCRIPT(listeners)
{
    vigil_addr addr;
    int kq = queue_open(m);
    int listener = listener_open(m, &addr);
    add(m, kq, listener, EVFILT_READ, 0, 1);
    add(m, kq, listener, EVFILT_WRITE, 0, 2);
    look(m, kq);
    int fd = connect_to(m, &addr);
    look(m, kq);
    int accepted = accept_one(m, listener);
    look(m, kq);
    m->calls->close(kq);
    shut(m, listener);
    shut(m, fd);
    shut(m, accepted);
}

/* EVFILT_WRITE: not without room, and again when there is some. */
SCRIPT(full_and_drained)
{
    int fds[2];
    int kq = queue_open(m);
    unix_pair(m, fds);
    fill(m, fds[0]);
    add(m, kq, fds[0], EVFILT_WRITE, 0, 2);
    look(m, kq);
    take_all(m, fds[1]);
    look(m, kq);
    close_all(m, kq, fds);
}

/* EVFILT_READ, Pipes: EV_EOF when the last writer has gone; EVFILT_WRITE: when the reader has. */
SCRIPT(pipes)
{
    int fds[2];
    int kq = queue_open(m);
    pipe_pair(m, fds);
    add(m, kq, fds[0], EVFILT_READ, 0, 1);
    add(m, kq, fds[1], EVFILT_WRITE, 0, 2);
    look(m, kq);
    fill(m, fds[1]);
    change(m, kq, fds[0], EVFILT_READ, EV_DELETE, 0, 1);
    look(m, kq);
    take_all(m, fds[0]);
    look(m, kq);
    add(m, kq, fds[0], EVFILT_READ, 0, 1);
    shut(m, fds[1]);
    look(m, kq);
    shut(m, fds[0]);
    look(m, kq);
    m->calls->close(kq);
}

/* FreeBSD: a pipe whose reader has gone is told so while it is in the queue, and has no filter for
 * writing when it is to be added (EPIPE, which a status calls a reset). */
SCRIPT(a_pipe_without_a_reader)
{
    int fds[2];
    int kq = queue_open(m);
    pipe_pair(m, fds);
    add(m, kq, fds[1], EVFILT_WRITE, 0, 2);
    shut(m, fds[0]);
    look(m, kq);
    change(m, kq, fds[1], EVFILT_WRITE, EV_DELETE, 0, 2);
    add(m, kq, fds[1], EVFILT_WRITE, 0, 2);
    look(m, kq);
    m->calls->close(kq);
    shut(m, fds[1]);
}

/* FreeBSD: what was never connected has neither side. */
SCRIPT(sockets_before_they_are_connected)
{
    vigil_addr addr;
    vigil_fd fd;
    int kq = queue_open(m);
    REQUIRE(m->host->socket(m->host->self, VIGIL_FAMILY_INET, &fd) == 0);
    add(m, kq, fd, EVFILT_READ, 0, 1);
    add(m, kq, fd, EVFILT_WRITE, 0, 2);
    look(m, kq);
    shut(m, fd);
    int listener = listener_open(m, &addr);
    shut(m, listener);
    int refused = connect_to(m, &addr);
    add(m, kq, refused, EVFILT_READ, 0, 3);
    add(m, kq, refused, EVFILT_WRITE, 0, 4);
    look(m, kq);
    m->calls->close(kq);
    shut(m, refused);
}

/* ---- flags ---- */

/* EV_CLEAR: handing it out resets its state.  DESCRIPTION: what happens several times is one event;
 * EV_ADD of what is there makes no second one, and runs the filter again. */
static void edges_of(struct machine *m, pair_fn *pair)
{
    int fds[2];
    int kq = queue_open(m);
    pair(m, fds);
    add(m, kq, fds[0], EVFILT_READ, EV_CLEAR, 1);
    add(m, kq, fds[0], EVFILT_WRITE, EV_CLEAR, 2);
    look(m, kq);
    look(m, kq);
    put(m, fds[1], 10);
    look(m, kq);
    look(m, kq);
    put(m, fds[1], 10);
    look(m, kq);
    add(m, kq, fds[0], EVFILT_READ, EV_CLEAR, 3);
    look(m, kq);
    look(m, kq);
    take_all(m, fds[0]);
    look(m, kq);
    end(m, fds[1]);
    look(m, kq);
    look(m, kq);
    close_all(m, kq, fds);
}

SCRIPT(edges_of_tcp)
{
    edges_of(m, tcp_pair);
}

SCRIPT(edges_of_unix)
{
    edges_of(m, unix_pair);
}

/* EV_ONESHOT: handing it out deletes it.  EV_DISPATCH: handing it out disables it.  EV_DISABLE: it
 * is not handed out; EV_ENABLE: it is again.  ERRORS: ENOENT for what is not there. */
SCRIPT(shots_and_what_is_disabled)
{
    int fds[2];
    int kq = queue_open(m);
    unix_pair(m, fds);
    put(m, fds[1], 4);
    settle(m);
    add(m, kq, fds[0], EVFILT_READ, EV_ONESHOT, 1);
    look(m, kq);
    look(m, kq);
    change(m, kq, fds[0], EVFILT_READ, EV_DELETE, 0, 1);
    add(m, kq, fds[0], EVFILT_READ, EV_DISPATCH, 2);
    look(m, kq);
    look(m, kq);
    change(m, kq, fds[0], EVFILT_READ, EV_ENABLE | EV_DISPATCH, 0, 2);
    look(m, kq);
    change(m, kq, fds[0], EVFILT_READ, EV_DELETE, 0, 2);
    add(m, kq, fds[0], EVFILT_READ, EV_DISABLE, 3);
    look(m, kq);
    change(m, kq, fds[0], EVFILT_READ, EV_ENABLE, 0, 3);
    look(m, kq);
    close_all(m, kq, fds);
}

/* DESCRIPTION: the filter is run once more when its event is to be handed out. */
SCRIPT(what_is_not_true_any_more_is_not_handed_out)
{
    int fds[2];
    int kq = queue_open(m);
    unix_pair(m, fds);
    put(m, fds[1], 4);
    settle(m);
    add(m, kq, fds[0], EVFILT_READ, 0, 1);
    take_all(m, fds[0]);
    look(m, kq);
    close_all(m, kq, fds);
}

/* RETURN VALUES: with room in the eventlist a change that fails stands there with EV_ERROR and its
 * errno; without, the call fails.  ERRORS: EBADF, ENOENT, EINVAL. */
SCRIPT(changes_that_fail)
{
    int fds[2];
    int kq = queue_open(m);
    struct kevent changes[4], events[4];
    unix_pair(m, fds);
    EV_SET(&changes[0], fds[0], EVFILT_READ, EV_DELETE, 0, 0, (void *)1);
    EV_SET(&changes[1], 900, EVFILT_READ, EV_ADD, 0, 0, (void *)2);
    EV_SET(&changes[2], fds[0], -99, EV_ADD, 0, 0, (void *)3);
    EV_SET(&changes[3], fds[0], EVFILT_WRITE, EV_ADD, 0, 0, (void *)4);
    for (int room = 0; room <= 4; room += 4) {
        int n = m->calls->kevent(kq, changes, 4, events, room, VIGIL_NOWAIT);
        tell(m, "kevent: %s", result_text(n));
        for (int i = 0; i < n; i++)
            tell(m, "%d: error %d, %d", (int)(uintptr_t)events[i].udata,
                 (events[i].flags & EV_ERROR) != 0, (int)events[i].data);
    }
    look(m, kq);
    close_all(m, kq, fds);
}

/* ---- the queue ---- */

/* DESCRIPTION: close() takes away what refers to the descriptor: the number, whatever else has the
 * file. */
SCRIPT(a_closed_number_leaves)
{
    int fds[2];
    int kq = queue_open(m);
    unix_pair(m, fds);
    put(m, fds[1], 4);
    settle(m);
    int other = duplicate(m, fds[0]);
    add(m, kq, fds[0], EVFILT_READ, 0, 1);
    add(m, kq, other, EVFILT_READ, 0, 2);
    look(m, kq);
    m->calls->close(fds[0]);
    look(m, kq);
    change(m, kq, fds[0], EVFILT_READ, EV_DELETE, 0, 1);
    m->calls->close(other);
    look(m, kq);
    m->calls->close(kq);
    shut(m, fds[1]);
}

/* EVFILT_USER: NOTE_TRIGGER triggers it, and EV_CLEAR resets it.  The queue's own descriptor is
 * readable while there is something in it. */
SCRIPT(user_events)
{
    int kq = queue_open(m);
    add(m, kq, (int)user_ident, EVFILT_USER, EV_CLEAR, 1);
    look(m, kq);
    look_poll(m, &kq, 1, VIGIL_IN);
    for (int i = 0; i < 3; i++)
        tell(m, "%s", result_text(m->calls->kevent_trigger(kq, user_ident)));
    look_poll(m, &kq, 1, VIGIL_IN);
    look(m, kq);
    look(m, kq);
    look_poll(m, &kq, 1, VIGIL_IN);
    m->calls->close(kq);
}

/* DESCRIPTION: a level that stays true is handed out every time, and each has its turn. */
SCRIPT(each_has_its_turn)
{
    enum { COUNT = 5 };
    int fds[COUNT][2];
    int kq = queue_open(m);
    for (uintptr_t i = 0; i < COUNT; i++) {
        unix_pair(m, fds[i]);
        add(m, kq, fds[i][0], EVFILT_WRITE, 0, i);
    }
    for (int i = 0; i < COUNT; i++)
        look_max(m, kq, 2);
    m->calls->close(kq);
    for (int i = 0; i < COUNT; i++) {
        shut(m, fds[i][0]);
        shut(m, fds[i][1]);
    }
}

/* DESCRIPTION: a timeout ends a wait, never early; ours of 0 does not wait. */
SCRIPT(timeouts)
{
    struct kevent event;
    int kq = queue_open(m);
    world.may_pass = true;
    vigil_ns began = m->calls->now();
    int n = m->calls->kevent(kq, NULL, 0, &event, 1, VIGIL_MS(3));
    tell(m, "%d, early: %d", n, m->calls->now() - began < VIGIL_MS(3));
    world.may_pass = false;
    m->calls->close(kq);
}

/* What a descriptor is: which filters it will have. */
SCRIPT(kinds_of_descriptors)
{
    vigil_addr addr;
    int fds[2];
    int kq = queue_open(m);
    int listener = listener_open(m, &addr);
    tell(m, "listener: %d", m->calls->kind(listener));
    shut(m, listener);
    pipe_pair(m, fds);
    tell(m, "pipe: %d, %d", m->calls->kind(fds[0]), m->calls->kind(fds[1]));
    close_all(m, kq, fds);
    tell(m, "closed: %s", result_text(m->calls->kind(fds[0])));
}
