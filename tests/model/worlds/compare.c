/* SPDX-License-Identifier: MIT
 *
 * compare.c -- holds the models of poll, select, epoll and eventfd to this machine's kernel: each
 * script runs on both, and what they show must be the same.
 */
#include "machine.h"

enum { ALL = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP };

static void look_all(struct machine *m, int fd)
{
    look_poll(m, &fd, 1, ALL);
    look_poll(m, &fd, 1, VIGIL_IN);
    look_poll(m, &fd, 1, 0);
    look_select(m, fd);
}

/* ---- what is true ---- */

typedef void pair_fn(struct machine *m, int fds[2]);

static void life_of(struct machine *m, pair_fn *pair)
{
    int fds[2];
    pair(m, fds);
    look_all(m, fds[0]);
    put(m, fds[1], 5);
    look_all(m, fds[0]);
    end(m, fds[1]);
    look_all(m, fds[0]);
    look_all(m, fds[1]);
    take_all(m, fds[0]);
    look_all(m, fds[0]);
    end(m, fds[0]);
    look_all(m, fds[0]);
    look_all(m, fds[1]);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

SCRIPT(sockets_of_tcp)
{
    life_of(m, tcp_pair);
}

SCRIPT(sockets_of_unix)
{
    life_of(m, unix_pair);
}

static void peer_closes(struct machine *m, pair_fn *pair, bool unread)
{
    int fds[2];
    pair(m, fds);
    put(m, fds[1], 5);
    if (unread)
        put(m, fds[0], 5);
    settle(m);
    shut(m, fds[1]);
    look_all(m, fds[0]);
    take_all(m, fds[0]);
    look_all(m, fds[0]);
    shut(m, fds[0]);
}

SCRIPT(the_peer_closes_tcp)
{
    peer_closes(m, tcp_pair, false);
}

SCRIPT(the_peer_closes_unix)
{
    peer_closes(m, unix_pair, false);
}

SCRIPT(the_peer_resets)
{
    int fds[2];
    tcp_pair(m, fds);
    reset(m, fds[1]);
    look_all(m, fds[0]);
    tell(m, "%s", result_text(m->host->socket_error(m->host->self, fds[0])));
    look_all(m, fds[0]);
    char byte;
    tell(m, "%s", result_text(m->host->recv(m->host->self, fds[0], &byte, 1)));
    put(m, fds[0], 1);
    shut(m, fds[0]);
}

SCRIPT(sockets_before_they_are_connected)
{
    vigil_addr addr;
    vigil_fd fd;
    REQUIRE(m->host->socket(m->host->self, VIGIL_FAMILY_INET, &fd) == 0);
    look_all(m, fd);
    shut(m, fd);
    int listener = listener_open(m, &addr);
    look_all(m, listener);
    fd = connect_to(m, &addr);
    look_all(m, listener);
    look_all(m, fd);
    int accepted = accept_one(m, listener);
    look_all(m, listener);
    shut(m, listener);
    int refused = connect_to(m, &addr);
    look_all(m, refused);
    tell(m, "%s", result_text(m->host->socket_error(m->host->self, refused)));
    look_all(m, refused);
    shut(m, refused);
    shut(m, fd);
    shut(m, accepted);
}

SCRIPT(pipes)
{
    int fds[2];
    pipe_pair(m, fds);
    look_all(m, fds[0]);
    look_all(m, fds[1]);
    fill(m, fds[1]);
    look_all(m, fds[0]);
    look_all(m, fds[1]);
    take_all(m, fds[0]);
    look_all(m, fds[0]);
    look_all(m, fds[1]);
    shut(m, fds[1]);
    look_all(m, fds[0]);
    shut(m, fds[0]);
    pipe_pair(m, fds);
    shut(m, fds[0]);
    look_all(m, fds[1]);
    shut(m, fds[1]);
}

SCRIPT(full_and_drained)
{
    int fds[2];
    unix_pair(m, fds);
    fill(m, fds[0]);
    look_all(m, fds[0]);
    put(m, fds[0], 1);
    take_all(m, fds[1]);
    look_all(m, fds[0]);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

SCRIPT(closed_descriptors)
{
    int fds[2];
    unix_pair(m, fds);
    shut(m, fds[0]);
    look_all(m, fds[0]);
    int both[3] = { fds[0], fds[1], -1 };
    look_poll(m, both, 3, VIGIL_OUT);
    int epoll = m->calls->epoll_create();
    tell(m, "%s", result_text(m->calls->epoll_ctl(epoll, VIGIL__EPOLL_ADD, fds[0], VIGIL_IN, 0)));
    tell(m, "%s", result_text(m->calls->epoll_ctl(fds[0], VIGIL__EPOLL_ADD, fds[1], VIGIL_IN, 0)));
    m->calls->close(epoll);
    shut(m, fds[1]);
}

SCRIPT(eventfds)
{
    struct vigil__waker waker;
    REQUIRE(m->calls->waker_open(&waker) == 0);
    look_all(m, waker.read_fd);
    for (int i = 0; i < 3; i++)
        tell(m, "%s", result_text(m->calls->waker_signal(&waker)));
    look_all(m, waker.read_fd);
    m->calls->waker_drain(&waker);
    look_all(m, waker.read_fd);
    m->calls->waker_close(&waker);
}

/* A wait ends by its time, never early. */
SCRIPT(timeouts)
{
    int fds[2];
    unix_pair(m, fds);
    int epoll = m->calls->epoll_create();
    struct vigil__epoll_event event;
    vigil_pollfd asked = { .fd = fds[0], .events = VIGIL_IN };
    world.may_pass = true;
    vigil_ns began = m->calls->now();
    int n = m->calls->epoll_wait(epoll, &event, 1, VIGIL_MS(3));
    tell(m, "%d, early: %d", n, m->calls->now() - began < VIGIL_MS(3));
    began = m->calls->now();
    n = m->calls->poll(&asked, 1, VIGIL_US(700));
    tell(m, "%d, early: %d", n, m->calls->now() - began < VIGIL_US(700));
    began = m->calls->now();
    n = m->calls->select(0, NULL, NULL, NULL, VIGIL_US(1300));
    tell(m, "%d, early: %d", n, m->calls->now() - began < VIGIL_US(1300));
    world.may_pass = false;
    m->calls->close(epoll);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

/* ---- epoll ---- */

static void control(struct machine *m, int epoll, enum vigil__epoll_op op, int fd, uint32_t events,
                    uint64_t key)
{
    int err = m->calls->epoll_ctl(epoll, op, fd, events, key);
    tell(m, "epoll_ctl: %s", result_text(err));
}

SCRIPT(epoll_levels)
{
    int fds[2], more[2];
    int epoll = m->calls->epoll_create();
    tcp_pair(m, fds);
    unix_pair(m, more);
    control(m, epoll, VIGIL__EPOLL_ADD, fds[0], VIGIL_IN | VIGIL_RDHUP, 1);
    control(m, epoll, VIGIL__EPOLL_ADD, more[0], VIGIL_OUT, 2);
    control(m, epoll, VIGIL__EPOLL_ADD, more[0], VIGIL_IN, 3);
    control(m, epoll, VIGIL__EPOLL_REMOVE, more[1], VIGIL_IN, 3);
    control(m, epoll, VIGIL__EPOLL_MODIFY, more[1], VIGIL_IN, 3);
    look_epoll(m, epoll, 8);
    put(m, fds[1], 3);
    look_epoll(m, epoll, 8);
    look_epoll(m, epoll, 8);
    control(m, epoll, VIGIL__EPOLL_MODIFY, more[0], VIGIL_IN, 4);
    end(m, fds[1]);
    look_epoll(m, epoll, 8);
    take_all(m, fds[0]);
    look_epoll(m, epoll, 8);
    control(m, epoll, VIGIL__EPOLL_REMOVE, fds[0], 0, 0);
    put(m, more[1], 1);
    look_epoll(m, epoll, 8);
    shut(m, more[0]); /* leaves the set */
    look_epoll(m, epoll, 8);
    m->calls->close(epoll);
    shut(m, more[1]);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

static void edges_of(struct machine *m, pair_fn *pair)
{
    int fds[2];
    int epoll = m->calls->epoll_create();
    pair(m, fds);
    control(m, epoll, VIGIL__EPOLL_ADD, fds[0], VIGIL_IN | VIGIL_OUT | VIGIL_EDGE, 1);
    look_epoll(m, epoll, 8);
    look_epoll(m, epoll, 8);
    put(m, fds[1], 10);
    look_epoll(m, epoll, 8);
    look_epoll(m, epoll, 8);
    put(m, fds[1], 10);
    look_epoll(m, epoll, 8);
    take_all(m, fds[0]);
    look_epoll(m, epoll, 8);
    control(m, epoll, VIGIL__EPOLL_MODIFY, fds[0], VIGIL_IN | VIGIL_OUT | VIGIL_EDGE, 2);
    look_epoll(m, epoll, 8);
    control(m, epoll, VIGIL__EPOLL_MODIFY, fds[0], VIGIL_OUT | VIGIL_EDGE, 3);
    look_epoll(m, epoll, 8);
    put(m, fds[1], 10); /* nothing that it waits for */
    look_epoll(m, epoll, 8);
    control(m, epoll, VIGIL__EPOLL_MODIFY, fds[0], VIGIL_IN | VIGIL_RDHUP | VIGIL_EDGE, 4);
    look_epoll(m, epoll, 8);
    end(m, fds[1]);
    look_epoll(m, epoll, 8);
    look_epoll(m, epoll, 8);
    m->calls->close(epoll);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

SCRIPT(epoll_edges_of_tcp)
{
    edges_of(m, tcp_pair);
}

SCRIPT(epoll_edges_of_unix)
{
    edges_of(m, unix_pair);
}

SCRIPT(epoll_edge_of_room)
{
    int fds[2];
    int epoll = m->calls->epoll_create();
    pipe_pair(m, fds);
    fill(m, fds[1]);
    control(m, epoll, VIGIL__EPOLL_ADD, fds[1], VIGIL_OUT | VIGIL_EDGE, 1);
    look_epoll(m, epoll, 8);
    take_all(m, fds[0]);
    look_epoll(m, epoll, 8);
    look_epoll(m, epoll, 8);
    shut(m, fds[0]);
    look_epoll(m, epoll, 8);
    m->calls->close(epoll);
    shut(m, fds[1]);
}

SCRIPT(epoll_one_shots)
{
    int fds[2];
    int epoll = m->calls->epoll_create();
    tcp_pair(m, fds);
    control(m, epoll, VIGIL__EPOLL_ADD, fds[0], VIGIL_IN | VIGIL_ONESHOT, 1);
    look_epoll(m, epoll, 8);
    put(m, fds[1], 10);
    look_epoll(m, epoll, 8);
    put(m, fds[1], 10);
    reset(m, fds[1]); /* not even that is told */
    look_epoll(m, epoll, 8);
    control(m, epoll, VIGIL__EPOLL_MODIFY, fds[0], VIGIL_IN | VIGIL_ONESHOT, 2);
    look_epoll(m, epoll, 8);
    look_epoll(m, epoll, 8);
    m->calls->close(epoll);
    shut(m, fds[0]);
}

SCRIPT(epoll_of_nothing_tells_hang_ups)
{
    int fds[2];
    int epoll = m->calls->epoll_create();
    tcp_pair(m, fds);
    control(m, epoll, VIGIL__EPOLL_ADD, fds[0], 0, 1);
    put(m, fds[1], 10);
    look_epoll(m, epoll, 8);
    reset(m, fds[1]);
    look_epoll(m, epoll, 8);
    m->calls->close(epoll);
    shut(m, fds[0]);
}

SCRIPT(epoll_watches_files_not_numbers)
{
    int fds[2];
    int epoll = m->calls->epoll_create();
    unix_pair(m, fds);
    control(m, epoll, VIGIL__EPOLL_ADD, fds[0], VIGIL_IN, 1);
    int other = duplicate(m, fds[0]);
    control(m, epoll, VIGIL__EPOLL_ADD, other, VIGIL_IN, 2);
    put(m, fds[1], 1);
    look_epoll(m, epoll, 8);
    m->calls->close(fds[0]);
    look_epoll(m, epoll, 8); /* told for ever, for the file is open */
    control(m, epoll, VIGIL__EPOLL_REMOVE, fds[0], 0, 0);
    int fresh = m->calls->epoll_create();
    control(m, fresh, VIGIL__EPOLL_ADD, other, VIGIL_IN, 3);
    tell(m, "replace: %s", result_text(m->calls->replace(epoll, fresh)));
    look_epoll(m, epoll, 8);
    m->calls->close(other);
    look_epoll(m, epoll, 8);
    m->calls->close(epoll);
    shut(m, fds[1]);
}

SCRIPT(epoll_gives_each_its_turn)
{
    enum { COUNT = 5 };
    int fds[COUNT][2];
    int epoll = m->calls->epoll_create();
    for (uint64_t i = 0; i < COUNT; i++) {
        unix_pair(m, fds[i]);
        control(m, epoll, VIGIL__EPOLL_ADD, fds[i][0], VIGIL_OUT, i);
    }
    for (int i = 0; i < COUNT; i++)
        look_epoll(m, epoll, 2);
    m->calls->close(epoll);
    for (int i = 0; i < COUNT; i++) {
        shut(m, fds[i][0]);
        shut(m, fds[i][1]);
    }
}

SCRIPT(epoll_inside_poll)
{
    int fds[2];
    int epoll = m->calls->epoll_create();
    unix_pair(m, fds);
    control(m, epoll, VIGIL__EPOLL_ADD, fds[0], VIGIL_IN, 1);
    look_poll(m, &epoll, 1, VIGIL_IN);
    put(m, fds[1], 1);
    look_poll(m, &epoll, 1, VIGIL_IN);
    m->calls->close(epoll);
    shut(m, fds[0]);
    shut(m, fds[1]);
}

SCRIPT(epoll_refuses_regular_files)
{
    vigil_fd fd = VIGIL_FD_NONE;
    if (m->sim != NULL)
        REQUIRE(vigil_sim_file(m->sim, m->host, "x", 1, &fd) == 0);
    else
        fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int epoll = m->calls->epoll_create();
    control(m, epoll, VIGIL__EPOLL_ADD, fd, VIGIL_IN, 1);
    tell(m, "never waits: %d", m->calls->never_waits(fd));
    look_all(m, fd);
    m->calls->close(epoll);
    m->calls->close(fd);
}
