/* SPDX-License-Identifier: MIT
 *
 * rows.c -- the model of kevent() against FreeBSD's manual page kqueue(2) of May 1, 2020, sentence
 * by sentence: above each row stands what it shows, and where the page says it (a section, a flag,
 * a filter).  Where the page is silent it names the kernel that does it so.
 */
#include <sys/ioctl.h>

#include "conform/situations.h"
#include "kevent.h"

enum { ROOM = 8 };

static const struct timespec at_once = { 0, 0 };

static int open_queue(void)
{
    int kq = kqueue();
    REQUIRE(kq >= 0, "%s", strerror(errno));
    return kq;
}

/* One change; answers 0 or the errno. */
static int change(int kq, int fd, short filter, unsigned flags, unsigned fflags, int64_t data)
{
    struct kevent event;
    EV_SET(&event, fd, filter, flags, fflags, data, NULL);
    return kevent(kq, &event, 1, NULL, 0, NULL) == 0 ? 0 : errno;
}

static int add(int kq, int fd, short filter, unsigned flags)
{
    return change(kq, fd, filter, EV_ADD | flags, 0, 0);
}

/* What there is now; `out` has ROOM. */
static int look(int kq, struct kevent *out)
{
    memset(out, 0, ROOM * sizeof(*out));
    int n = kevent(kq, NULL, 0, out, ROOM, &at_once);
    REQUIRE(n >= 0, "%s", strerror(errno));
    return n;
}

/* The one event that there is now; none: its filter is 0. */
static struct kevent look_one(int kq)
{
    struct kevent out[ROOM];
    int n = look(kq, out);
    OK(n <= 1, "%d events", n);
    return out[0];
}

static int count_now(int kq)
{
    struct kevent out[ROOM];
    return look(kq, out);
}

static bool is_readable(int fd)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    return poll(&entry, 1, 0) == 1;
}

/* ---- knotes ------------------------------------------------------------------------------- */

/* DESCRIPTION: a kevent is known by ident and filter together, and a queue has one of each. */
TEST(a_pair_of_ident_and_filter_is_there_once)
{
    struct kevent out[ROOM];
    int kq = open_queue(), fds[2];
    unix_data(fds);
    for (int i = 0; i < 3; i++) {
        EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
        EQ_INT(0, add(kq, fds[0], EVFILT_WRITE, 0));
        EQ_INT(0, add(kq, fds[0], EVFILT_USER, 0), "the same number, and another thing");
    }
    EQ_INT(2, look(kq, out));
    EQ_INT(EVFILT_READ, out[0].filter);
    EQ_INT(EVFILT_WRITE, out[1].filter);
    close(kq);
    close_pair(fds);
}

/* DESCRIPTION: a filter is run when it is registered, which finds what is true already, and
 * whenever something happens. */
TEST(what_is_true_already_is_reported_and_what_comes_later)
{
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_CLEAR));
    EQ_INT(4, look_one(kq).data, "it was there before");
    EQ_INT(0, count_now(kq));
    put(fds[1], "more");
    EQ_INT(8, look_one(kq).data, "it came");
    close(kq);
    close_pair(fds);
}

/* DESCRIPTION: a filter is run once more when its event is to be handed out, which does not happen
 * when it is not true any more. */
TEST(what_is_not_true_any_more_is_not_handed_out)
{
    char p[8];
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    EQ_INT(4, read(fds[0], p, sizeof(p)));
    EQ_INT(0, count_now(kq));
    close(kq);
    close_pair(fds);
}

/* DESCRIPTION: what happens several times is one event. */
TEST(many_events_of_one_filter_are_one)
{
    int kq = open_queue(), fds[2];
    unix_pair(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_CLEAR));
    for (int i = 0; i < 5; i++)
        put(fds[1], "x");
    EQ_INT(5, look_one(kq).data);
    EQ_INT(0, count_now(kq));
    close(kq);
    close_pair(fds);
}

/* DESCRIPTION: close() takes away what refers to the descriptor.  It goes by the number: a
 * duplicate keeps nothing in (FreeBSD: knote_fdclose). */
TEST(a_closed_descriptor_leaves_by_itself)
{
    int kq = open_queue(), fds[2], other[2];
    for (int i = 0; i < 3; i++) {
        unix_data(fds);
        unix_pair(other);
        int copy = dup(fds[0]), number = fds[0];
        EQ_INT(0, add(kq, number, EVFILT_READ, 0));
        EQ_INT(0, add(kq, copy, EVFILT_READ, 0));
        if (i == 0)
            close(number);
        else
            EQ_INT(number, i == 1 ? dup2(other[0], number) : dup3(other[0], number, O_CLOEXEC));
        EQ_INT(copy, look_one(kq).ident);
        EQ_INT(i == 0 ? EBADF : ENOENT, change(kq, number, EVFILT_READ, EV_DELETE, 0, 0));
        close(copy);
        EQ_INT(0, count_now(kq));
        if (i > 0)
            close(number);
        close(fds[1]);
        close_pair(other);
    }
    close(kq);
}

/* ---- the queue's descriptor --------------------------------------------------------------- */

static int child_without_queue(int kq, int number)
{
    struct kevent event;
    if (fcntl(kq, F_GETFD) >= 0 || kevent(kq, NULL, 0, &event, 1, &at_once) >= 0 || errno != EBADF)
        return 1;
    int own = kqueue();
    if (own != kq) /* the lowest free number: it was closed */
        return 2;
    EV_SET(&event, number, EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 0, NULL);
    if (kevent(own, &event, 1, NULL, 0, NULL) != 0 || kevent(own, NULL, 0, &event, 1, NULL) != 1)
        return 3;
    close(number);
    return 0;
}

/* DESCRIPTION: a child made by fork(2) does not inherit the queue. */
TEST(a_child_has_no_queue_and_leaves_the_parent_s_alone)
{
    int kq = open_queue(), fds[2], status = -1;
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(child_without_queue(kq, fds[0]));
    REQUIRE(waitpid(child, &status, 0) == child);
    EQ_INT(0, status, "256 times the step that went wrong");
    EQ_INT(fds[0], look_one(kq).ident);
    close(kq);
    close_pair(fds);
}

/* It can be waited for like another descriptor: readable while something is in the queue (FreeBSD:
 * kqueue_poll), also by EVFILT_READ of another queue; never writable. */
TEST(the_queue_is_a_descriptor_that_can_be_waited_for)
{
    char p[8];
    int kq = open_queue(), above = open_queue(), fds[2];
    unix_pair(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    EQ_INT(0, add(above, kq, EVFILT_READ, 0));
    EQ_INT(EINVAL, add(above, kq, EVFILT_WRITE, 0));
    EQ_INT(EINVAL, add(kq, kq, EVFILT_READ, 0), "not in itself");
    OK(!is_readable(kq));
    EQ_INT(0, count_now(above));
    put(fds[1], "x");
    OK(is_readable(kq), "without a call of ours");
    EQ_INT(kq, look_one(above).ident);
    EQ_INT(1, count_now(kq));
    EQ_INT(1, read(fds[0], p, sizeof(p)));
    OK(is_readable(kq), "a level stays in the queue until somebody looks");
    EQ_INT(0, count_now(kq));
    OK(!is_readable(kq));
    EQ_INT(0, add(kq, 1, EVFILT_USER, EV_CLEAR));
    EQ_INT(0, change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0));
    OK(is_readable(kq), "a user event");
    EQ_INT(1, count_now(kq));
    OK(!is_readable(kq));
    close(kq);
    EQ_INT(0, count_now(above), "closed, it has left the other");
    close(above);
    close_pair(fds);
}

/* ERRORS of kevent(), EBADF. */
TEST(what_is_no_queue_is_refused)
{
    int fds[2], kq = open_queue();
    unix_pair(fds);
    EQ_INT(EBADF, add(fds[0], fds[1], EVFILT_READ, 0));
    EQ_INT(EBADF, add(-1, fds[1], EVFILT_READ, 0));
    close(kq);
    EQ_INT(EBADF, add(kq, fds[1], EVFILT_READ, 0));
    close_pair(fds);
}

/* ---- the lists and the time --------------------------------------------------------------- */

/* DESCRIPTION: the whole changelist is applied before events are read; one array may serve as both
 * lists; udata comes back as it was given. */
TEST(changes_come_before_events)
{
    struct kevent list[ROOM];
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    EV_SET(&list[0], fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL);
    EV_SET(&list[1], fds[0], EVFILT_WRITE, EV_ADD, 0, 0, list);
    EQ_INT(1, kevent(kq, list, 2, list, ROOM, NULL));
    EQ_INT(EVFILT_WRITE, list[0].filter);
    EQ_PTR(list, list[0].udata, "as it was given");
    close(kq);
    close_pair(fds);
}

/* DESCRIPTION: without room for events it returns at once, whatever the timeout says. */
TEST(without_room_for_events_it_does_not_wait)
{
    static const struct timespec long_time = { .tv_sec = 1000 };
    int kq = open_queue();
    EQ_INT(0, kevent(kq, NULL, 0, NULL, 0, &long_time));
    EQ_INT(0, kevent(kq, NULL, 0, NULL, 0, NULL));
    close(kq);
}

/* DESCRIPTION and RETURN VALUES: a timeout limits the wait, which then answers 0; one of zero makes
 * it a poll.  ERRORS: an impossible one is EINVAL. */
TEST(it_waits_no_less_than_the_time_asked_for)
{
    static const vigil_ns rows[] = { 0, 1, VIGIL_US(700), VIGIL_MS(2), VIGIL_MS(30) };
    static const struct timespec wrong[] = { { -1, 0 }, { 0, -1 }, { 0, 1000000000 } };
    struct kevent out[ROOM];
    int kq = open_queue();
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        struct timespec timeout = { .tv_nsec = (long)rows[i] };
        vigil_ns start = now_ns();
        EQ_INT(0, kevent(kq, NULL, 0, out, ROOM, &timeout));
        OK(now_ns() - start >= rows[i], "%lld ns", (long long)rows[i]);
    }
    for (size_t i = 0; i < TEST_COUNT(wrong); i++) {
        EQ_INT(-1, kevent(kq, NULL, 0, out, ROOM, &wrong[i]), "row %zu", i);
        EQ_INT(EINVAL, errno, "row %zu", i);
    }
    close(kq);
}

/* DESCRIPTION: no timeout is no limit. */
TEST(without_a_time_it_waits_until_something_comes)
{
    struct kevent out[ROOM];
    struct later later;
    int kq = open_queue(), fds[2];
    unix_pair(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    start_later(&later, fds[1], VIGIL_MS(30));
    EQ_INT(1, kevent(kq, NULL, 0, out, ROOM, NULL));
    join_later(&later);
    close(kq);
    close_pair(fds);
}

/* ERRORS: a signal ends the wait with EINTR, and all changes have been made then.  SA_RESTART does
 * not restart it (FreeBSD: kqueue_scan). */
TEST(a_signal_ends_the_wait_and_the_changes_are_made)
{
    struct kevent list[ROOM];
    int kq = open_queue(), fds[2];
    unix_pair(fds);
    timer_t timer = start_ticks(VIGIL_MS(20));
    struct sigaction restart = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
    REQUIRE(sigaction(SIGUSR2, &restart, NULL) == 0);
    EV_SET(&list[0], fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
    EQ_INT(-1, kevent(kq, list, 1, list, ROOM, NULL));
    EQ_INT(EINTR, errno);
    OK(ticks > 0);
    stop_ticks(timer);
    put(fds[1], "x");
    EQ_INT(1, count_now(kq), "it was added");
    close(kq);
    close_pair(fds);
}

/* RETURN VALUES: as many events as nevents allows.  A level goes to the end of the queue, so all
 * take turns (FreeBSD: kqueue_scan). */
TEST(no_more_than_there_is_room_and_then_the_others)
{
    struct kevent out[ROOM];
    int kq = open_queue(), fds[5][2], seen[5] = { 0 };
    for (int i = 0; i < 5; i++) {
        unix_data(fds[i]);
        EQ_INT(0, add(kq, fds[i][0], EVFILT_READ, 0));
    }
    for (int turn = 0; turn < 5; turn++) {
        EQ_INT(2, kevent(kq, NULL, 0, out, 2, NULL));
        for (int i = 0; i < 5; i++)
            seen[i] += out[0].ident == (uintptr_t)fds[i][0] || out[1].ident == (uintptr_t)fds[i][0];
    }
    for (int i = 0; i < 5; i++) {
        EQ_INT(2, seen[i], "%d", i);
        close_pair(fds[i]);
    }
    close(kq);
}

/* ---- errors of changes -------------------------------------------------------------------- */

/* RETURN VALUES: a change that fails takes a place in the eventlist, with EV_ERROR, and its errno
 * in data.  Then nothing else is there: events come with the next call (FreeBSD: kern_kevent). */
TEST(an_error_of_a_change_stands_in_the_eventlist_alone)
{
    struct kevent changes[3], out[ROOM];
    int kq = open_queue(), fds[2], gone = closed_fd(-1);
    unix_data(fds);
    EV_SET(&changes[0], gone, EVFILT_READ, EV_ADD, 0, 0, NULL);
    EV_SET(&changes[1], fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
    EV_SET(&changes[2], fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
    EQ_INT(2, kevent(kq, changes, 3, out, ROOM, NULL));
    EQ_INT(gone, out[0].ident);
    EQ_INT(EV_ERROR, out[0].flags);
    EQ_INT(EBADF, out[0].data);
    EQ_INT(EVFILT_WRITE, out[1].filter);
    EQ_INT(EV_ERROR, out[1].flags);
    EQ_INT(ENOENT, out[1].data);
    EQ_INT(EVFILT_READ, look_one(kq).filter, "the change between them was made");
    close(kq);
    close_pair(fds);
}

/* RETURN VALUES: where there is no place for it, kevent() itself fails.  What stands behind it was
 * not looked at, what stood before was made. */
TEST(without_room_the_first_error_is_errno_and_ends_it)
{
    struct kevent changes[3], out[ROOM];
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EV_SET(&changes[0], fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
    EV_SET(&changes[1], closed_fd(-1), EVFILT_READ, EV_ADD, 0, 0, NULL);
    EV_SET(&changes[2], fds[0], EVFILT_WRITE, EV_ADD, 0, 0, NULL);
    EQ_INT(-1, kevent(kq, changes, 3, NULL, 0, NULL));
    EQ_INT(EBADF, errno);
    EQ_INT(1, look(kq, out));
    EQ_INT(EVFILT_READ, out[0].filter);
    close(kq);
    close_pair(fds);
}

/* EV_RECEIPT: every change has its place in the eventlist, with 0 for success, and no event is
 * taken; where there is no place left, the changes behind it are not made. */
TEST(a_receipt_is_an_error_of_0)
{
    struct kevent changes[2], out[ROOM];
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EV_SET(&changes[0], fds[0], EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, NULL);
    EV_SET(&changes[1], fds[1], EVFILT_WRITE, EV_ADD | EV_RECEIPT, 0, 0, NULL);
    EQ_INT(2, kevent(kq, changes, 2, out, ROOM, NULL));
    for (int i = 0; i < 2; i++) {
        EQ_INT(EV_ERROR, out[i].flags);
        EQ_INT(0, out[i].data);
    }
    EQ_INT(2, look(kq, out));
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_DELETE, 0, 0));
    EQ_INT(0, change(kq, fds[1], EVFILT_WRITE, EV_DELETE, 0, 0));
    EQ_INT(0, kevent(kq, changes, 2, NULL, 0, NULL), "no room");
    EQ_INT(EVFILT_READ, look_one(kq).filter, "the second was not processed");
    close(kq);
    close_pair(fds);
}

/* ERRORS: EINVAL for a filter that there is not, ENOENT for what is not there to be changed. */
TEST(changes_that_cannot_be_made)
{
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(EINVAL, add(kq, fds[0], -99, 0));
    static const unsigned flags[] = { 0, EV_ENABLE, EV_DISABLE, EV_DELETE };
    for (size_t i = 0; i < TEST_COUNT(flags); i++) {
        EQ_INT(ENOENT, change(kq, fds[0], EVFILT_READ, flags[i], 0, 0), "0x%x", flags[i]);
        EQ_INT(ENOENT, change(kq, 7, EVFILT_USER, flags[i], 0, 0), "0x%x", flags[i]);
        EQ_INT(EBADF, change(kq, -1, EVFILT_READ, flags[i] | EV_ADD, 0, 0), "0x%x", flags[i]);
    }
    EQ_INT(EBADF, change(kq, closed_fd(-1), EVFILT_READ, EV_DELETE, 0, 0), "and not ENOENT");
    EQ_INT(0, count_now(kq));
    close(kq);
    close_pair(fds);
}

/* ---- flags -------------------------------------------------------------------------------- */

/* EV_DELETE. */
TEST(deleted_it_is_gone)
{
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_DELETE, 0, 0));
    OK(!is_readable(kq));
    EQ_INT(0, count_now(kq));
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0), "it can come back");
    EQ_INT(1, count_now(kq));
    close(kq);
    close_pair(fds);
}

/* EV_DISABLE: it is not handed out, though its filter works on.  EV_ENABLE: it is again.  EV_ADD
 * enables, too, unless EV_DISABLE comes with it. */
TEST(a_disabled_one_is_kept_back_and_not_forgotten)
{
    int kq = open_queue(), fds[2];
    unix_pair(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_CLEAR | EV_DISABLE));
    put(fds[1], "x");
    EQ_INT(0, count_now(kq));
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_ENABLE, 0, 0));
    EQ_INT(1, look_one(kq).data, "it came meanwhile");
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_DISABLE, 0, 0));
    put(fds[1], "x");
    EQ_INT(0, count_now(kq));
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_CLEAR));
    EQ_INT(2, look_one(kq).data, "adding enables");
    close(kq);
    close_pair(fds);
}

/* EV_DISPATCH: handing it out disables it. */
TEST(dispatched_it_is_disabled)
{
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_DISPATCH));
    for (int i = 0; i < 3; i++) {
        EQ_INT(1, count_now(kq));
        EQ_INT(0, count_now(kq));
        OK(!is_readable(kq));
        EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_ENABLE | EV_DISPATCH, 0, 0));
    }
    close(kq);
    close_pair(fds);
}

/* EV_ONESHOT: handing it out deletes it. */
TEST(a_one_shot_is_deleted_by_handing_it_out)
{
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_ONESHOT));
    EQ_INT(0, add(kq, fds[0], EVFILT_WRITE, 0));
    EQ_INT(2, count_now(kq));
    EQ_INT(EVFILT_WRITE, look_one(kq).filter, "the other filter stays");
    EQ_INT(ENOENT, change(kq, fds[0], EVFILT_READ, EV_DELETE, 0, 0));
    close(kq);
    close_pair(fds);
}

/* EV_CLEAR: handing it out resets its state.  Of a socket's two lists only the one that something
 * happens to is looked at (FreeBSD: sorwakeup, sowwakeup). */
TEST(an_edge_is_one_filter_s_own)
{
    int kq = open_queue(), fds[2];
    struct kevent out[ROOM];
    unix_pair(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_CLEAR));
    EQ_INT(0, add(kq, fds[0], EVFILT_WRITE, EV_CLEAR));
    EQ_INT(EVFILT_WRITE, look_one(kq).filter);
    for (int i = 1; i <= 3; i++) {
        put(fds[1], "x");
        REQUIRE(look(kq, out) == 1);
        EQ_INT(EVFILT_READ, out[0].filter);
        EQ_INT(i, out[0].data, "unread input makes no edge, and hides none");
        EQ_INT(0, count_now(kq));
    }
    close(kq);
    close_pair(fds);
}

/* EV_ADD of what is there changes its parameters and makes no second one.  It runs the filter
 * again; how it reports stays as it was first (FreeBSD: kqueue_register). */
TEST(adding_again_runs_the_filter_and_keeps_the_mode)
{
    int kq = open_queue(), fds[2], x;
    unix_data(fds);
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_CLEAR));
    EQ_INT(1, count_now(kq));
    EQ_INT(0, count_now(kq));
    struct kevent again;
    EV_SET(&again, fds[0], EVFILT_READ, EV_ADD, 0, 0, &x);
    EQ_INT(0, kevent(kq, &again, 1, NULL, 0, NULL));
    EQ_PTR(&x, look_one(kq).udata, "told once more, with what is passed now");
    EQ_INT(0, count_now(kq), "EV_CLEAR is still there");
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_DELETE, 0, 0));
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    EQ_INT(1, count_now(kq));
    EQ_INT(1, count_now(kq), "deleted and added it is a level");
    close(kq);
    close_pair(fds);
}

/* ---- EVFILT_READ and EVFILT_WRITE --------------------------------------------------------- */

enum { NEVER = -1 };

/* The end and the error of each filter in each situation; NEVER: it does not fire. */
static const struct {
    const char *name;
    int read, write; /* EV_EOF, with 1 for an error in fflags */
    bool has_count;  /* data of the read filter is the bytes that are there */
} filter_rows[] = {
    { "tcp idle", NEVER, 0, false },
    { "tcp with data", 0, 0, true },
    { "tcp without room", NEVER, NEVER, false },
    /* EVFILT_READ, Sockets: EV_EOF when reading is shut down */
    { "tcp, the peer is done", EV_EOF, 0, true },
    /* ... also in front of data that is still there */
    { "tcp, the peer is done, unread data", EV_EOF, 0, true },
    { "tcp, both are done, unread data", EV_EOF, EV_EOF, true },
    /* ... with the socket's error in fflags; EVFILT_WRITE: likewise */
    { "tcp reset", EV_EOF | 1, EV_EOF | 1, false },
    { "tcp refused", EV_EOF | 1, EV_EOF | 1, false },
    { "tcp never connected", NEVER, NEVER, false }, /* FreeBSD: sowriteable */
    { "listener idle", NEVER, NEVER, false },
    /* EVFILT_READ, Sockets: a listener with a connection */
    { "listener with a connection", 0, NEVER, false },
    { "unix idle", NEVER, 0, false },
    { "unix with data", 0, 0, true },
    { "unix without room", NEVER, NEVER, false },
    { "unix, the peer is done", EV_EOF, 0, true },
    { "unix, the peer is closed", EV_EOF, EV_EOF, true },
    { "unix, the peer is closed, unread data", EV_EOF, EV_EOF, true },
    { "datagram waiting", 0, 0, true },
    { "pipe empty", NEVER, NEVER, false },
    { "pipe with data", 0, NEVER, true },
    /* EVFILT_READ, Pipes: EV_EOF when the last writer has gone */
    { "pipe ended", EV_EOF, NEVER, true },
    { "pipe ended, unread data", EV_EOF, NEVER, true },
    { "pipe with room", NEVER, 0, false },
    { "pipe without room", NEVER, NEVER, false },
    { "terminal idle", NEVER, 0, false },
    { "terminal with input", 0, 0, true },
    { "terminal hung up", EV_EOF, EV_EOF, false },
};

static void make_situation(const char *name, int fds[2])
{
    for (size_t i = 0; i < TEST_COUNT(situations); i++) {
        if (strcmp(situations[i].name, name) == 0) {
            situations[i].make(fds);
            return;
        }
    }
    REQUIRE(false, "%s: no such situation", name);
}

static void expect_filter(int kq, int fd, short filter, int want, const char *name)
{
    EQ_INT(0, add(kq, fd, filter, 0), "%s", name);
    struct kevent event = look_one(kq);
    EQ_INT(want == NEVER ? 0 : filter, event.filter, "%s", name);
    if (want != NEVER) {
        EQ_INT(want & EV_EOF, event.flags & EV_EOF, "%s, filter %d", name, filter);
        EQ_INT(want & 1, event.fflags != 0, "%s, filter %d: the error", name, filter);
    }
    EQ_INT(0, change(kq, fd, filter, EV_DELETE, 0, 0), "%s", name);
}

TEST(each_filter_s_end_is_its_own)
{
    int kq = open_queue();
    for (size_t i = 0; i < TEST_COUNT(filter_rows); i++) {
        int fds[2], count = 0;
        make_situation(filter_rows[i].name, fds);
        expect_filter(kq, fds[0], EVFILT_READ, filter_rows[i].read, filter_rows[i].name);
        expect_filter(kq, fds[0], EVFILT_WRITE, filter_rows[i].write, filter_rows[i].name);
        if (filter_rows[i].has_count) {
            EQ_INT(0, add(kq, fds[0], EVFILT_READ, EV_ONESHOT));
            REQUIRE(ioctl(fds[0], FIONREAD, &count) == 0);
            EQ_INT(count, look_one(kq).data, "%s", filter_rows[i].name);
        }
        close_pair(fds);
    }
    close(kq);
}

/* EVFILT_WRITE: EV_EOF when the reader goes.  When it has gone already there is nothing to attach
 * to: EPIPE (FreeBSD: pipe_kqfilter; mio#584). */
TEST(a_pipe_without_a_reader)
{
    int kq = open_queue(), fds[2];
    pipe_pair(fds);
    EQ_INT(0, add(kq, fds[1], EVFILT_WRITE, 0));
    EQ_INT(0, look_one(kq).flags & EV_EOF);
    close(fds[0]);
    EQ_INT(EV_EOF, look_one(kq).flags & EV_EOF);
    EQ_INT(0, change(kq, fds[1], EVFILT_WRITE, EV_DELETE, 0, 0));
    EQ_INT(EPIPE, add(kq, fds[1], EVFILT_WRITE, 0));
    EQ_INT(ENOENT, change(kq, fds[1], EVFILT_WRITE, EV_DELETE, 0, 0), "it was not added");
    close(fds[1]);
    close(kq);
}

/* Our own shutdown ends the write filter, and says nothing of reading (bun#37076, libuv#3250). */
TEST(our_own_end_is_the_write_filter_s)
{
    void (*const pairs[])(int[2]) = { tcp_pair, unix_pair };
    int kq = open_queue();
    for (size_t i = 0; i < TEST_COUNT(pairs); i++) {
        int fds[2];
        pairs[i](fds);
        EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
        EQ_INT(0, add(kq, fds[0], EVFILT_WRITE, 0));
        shutdown(fds[0], SHUT_WR);
        struct kevent event = look_one(kq);
        EQ_INT(EVFILT_WRITE, event.filter);
        EQ_INT(EV_EOF, event.flags & EV_EOF);
        EQ_INT(0, event.fflags, "no error");
        close_pair(fds);
    }
    close(kq);
}

/* EVFILT_READ, Sockets: NOTE_LOWAT gives the filter a low water mark of its own, in data. */
TEST(a_low_water_mark_is_waited_for_or_the_end)
{
    int kq = open_queue(), fds[2];
    unix_data(fds);
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 6));
    EQ_INT(0, count_now(kq));
    put(fds[1], "xy");
    EQ_INT(6, look_one(kq).data);
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 1000));
    EQ_INT(0, count_now(kq));
    shutdown(fds[1], SHUT_WR);
    EQ_INT(6, look_one(kq).data, "the end comes whatever the mark");
    close(kq);
    close_pair(fds);
}

/* EVFILT_READ, Vnodes: ready unless the position is at the end; data is how far that is, and can be
 * negative.  NOTE_FILE_POLL: ready always.  EVFILT_WRITE: not for vnodes. */
TEST(files_are_ready_until_their_end_and_cannot_be_written_to)
{
    int kq = open_queue(), fds[2];
    file_data(fds);
    EQ_INT(EINVAL, add(kq, fds[0], EVFILT_WRITE, 0));
    EQ_INT(0, add(kq, fds[0], EVFILT_READ, 0));
    EQ_INT(7, look_one(kq).data);
    lseek(fds[0], 9, SEEK_SET);
    EQ_INT(-2, look_one(kq).data);
    lseek(fds[0], 0, SEEK_END);
    EQ_INT(0, count_now(kq));
    EQ_INT(0, change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_FILE_POLL, 0));
    EQ_INT(1, count_now(kq), "always");
    close(fds[0]);
    close(kq);
}

/* Devices that have no filter (macOS: libuv#979, mio#1377); /dev/tty when the model is asked to. */
TEST(devices_that_refuse)
{
    int kq = open_queue(), fds[2];
    dev_null(fds);
    EQ_INT(EINVAL, add(kq, fds[0], EVFILT_READ, 0));
    EQ_INT(EINVAL, add(kq, fds[0], EVFILT_WRITE, 0));
    close(fds[0]);
    terminal_pair(fds);
    kevent_model.refuse_terminals = true;
    EQ_INT(EINVAL, add(kq, fds[1], EVFILT_READ, 0));
    EQ_INT(EINVAL, add(kq, fds[1], EVFILT_WRITE, 0));
    kevent_model.refuse_terminals = false;
    EQ_INT(0, add(kq, fds[1], EVFILT_READ, 0));
    close_pair(fds);
    close(kq);
}

/* macOS's kqueue(2), EVFILT_EXCEPT: NOTE_OOB asks for urgent data of a socket. */
TEST(urgent_data_on_macos)
{
    int kq = open_queue(), fds[2];
    tcp_pair(fds);
    EQ_INT(0, change(kq, fds[0], MODEL_EVFILT_EXCEPT, EV_ADD, MODEL_NOTE_OOB, 0));
    EQ_INT(EINVAL, change(kq, fds[1], MODEL_EVFILT_EXCEPT, EV_ADD, 0, 0), "of no condition");
    EQ_INT(0, count_now(kq));
    close_pair(fds);
    tcp_urgent(fds);
    EQ_INT(0, change(kq, fds[0], MODEL_EVFILT_EXCEPT, EV_ADD, MODEL_NOTE_OOB, 0));
    EQ_INT(MODEL_EVFILT_EXCEPT, look_one(kq).filter);
    close_pair(fds);
    close(kq);
}

/* ---- EVFILT_USER -------------------------------------------------------------------------- */

/* EVFILT_USER: NOTE_TRIGGER triggers it.  Without EV_CLEAR it stays so (nng#575: that spins). */
TEST(a_user_event_is_triggered_until_it_is_cleared)
{
    int kq = open_queue();
    EQ_INT(0, add(kq, 5, EVFILT_USER, 0));
    EQ_INT(0, count_now(kq));
    EQ_INT(0, change(kq, 5, EVFILT_USER, 0, NOTE_TRIGGER, 0));
    EQ_INT(1, count_now(kq));
    EQ_INT(1, count_now(kq), "again and again");
    EQ_INT(0, change(kq, 5, EVFILT_USER, EV_DELETE, 0, 0));
    EQ_INT(0, add(kq, 5, EVFILT_USER, EV_CLEAR));
    for (int i = 0; i < 100; i++)
        EQ_INT(0, change(kq, 5, EVFILT_USER, 0, NOTE_TRIGGER, 0));
    EQ_INT(1, count_now(kq), "a hundred are one");
    EQ_INT(0, count_now(kq));
    EQ_INT(0, change(kq, 6, EVFILT_USER, EV_ADD, NOTE_TRIGGER, 0));
    EQ_INT(0, count_now(kq), "adding triggers nothing (FreeBSD: filt_userattach)");
    close(kq);
}

/* EVFILT_USER: 24 bits of fflags are the user's, and NOTE_FFNOP, NOTE_FFAND, NOTE_FFOR, NOTE_FFCOPY
 * say what becomes of them. */
TEST(a_user_event_carries_flags)
{
    int kq = open_queue();
    EQ_INT(0, add(kq, 5, EVFILT_USER, 0));
    static const struct {
        unsigned control, flags, want;
    } rows[] = { { NOTE_FFCOPY, 0xf0, 0xf0 },
                 { NOTE_FFOR, 0x0f, 0xff },
                 { NOTE_FFAND, 0x3c, 0x3c },
                 { NOTE_FFNOP, 0x55, 0x3c } };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        EQ_INT(0, change(kq, 5, EVFILT_USER, 0, NOTE_TRIGGER | rows[i].control | rows[i].flags, 0));
        EQ_INT(rows[i].want, look_one(kq).fflags, "row %zu", i);
    }
    close(kq);
}

static void *trigger_later(void *arg)
{
    usleep(30000);
    return change(*(int *)arg, 5, EVFILT_USER, 0, NOTE_TRIGGER, 0) == 0 ? NULL : arg;
}

static int queue_of_handler;

static void trigger_in_handler(int signo)
{
    (void)signo;
    change(queue_of_handler, 5, EVFILT_USER, 0, NOTE_TRIGGER, 0);
}

TEST(a_user_event_is_triggered_by_threads_and_handlers)
{
    struct kevent out[ROOM];
    pthread_t thread;
    void *failed;
    int kq = queue_of_handler = open_queue();
    EQ_INT(0, add(kq, 5, EVFILT_USER, EV_CLEAR));
    REQUIRE(pthread_create(&thread, NULL, trigger_later, &kq) == 0);
    EQ_INT(1, kevent(kq, NULL, 0, out, ROOM, NULL));
    REQUIRE(pthread_join(thread, &failed) == 0);
    EQ_PTR(NULL, failed);
    signal(SIGUSR1, trigger_in_handler);
    raise(SIGUSR1);
    EQ_INT(1, kevent(kq, NULL, 0, out, ROOM, NULL));
    signal(SIGUSR1, SIG_DFL);
    EQ_INT(0, count_now(kq));
    close(kq);
}
