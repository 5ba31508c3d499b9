/* SPDX-License-Identifier: MIT
 *
 * drive.c -- moves wires along until they have come to their goals, or time has passed without
 * anything moving.  Waits by vigil_poll(): one call, whatever the number of connections.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "payload.h"
#include "wire.h"

#define RELUCTANT_NS VIGIL_MS(100) /* without room to send, before a reluctant wire reads */
#define TRANSIT_NS   VIGIL_MS(2)   /* between two looks at what is on its way */

static bool turn(struct torture *t, struct wire *wires, vigil_pollfd *fds, size_t count,
                 vigil_ns until);
static vigil_ns wait_until(struct wire *wire, vigil_ns now, unsigned *events);
static bool arriving(struct wire *wire);
static void wire_move(struct wire *wire, unsigned events);
static void connected(struct wire *wire);
static void move_out(struct wire *wire);
static void fin_send(struct wire *wire);
static void move_in(struct wire *wire);
static void compare(struct wire *wire, const unsigned char *got, size_t n);
static void broke(struct wire *wire, int error);
static void patience_ended(struct wire *wire);
static bool all_done(const struct wire *wires, size_t count);

bool drive(struct torture *t, struct wire *wires, size_t count)
{
    vigil_pollfd *fds = calloc(count, sizeof *fds);
    if (!fds)
        found_skip(t, "no memory to wait for %zu connections", count);
    while (!found(t) && !*t->interrupted && !all_done(wires, count))
        (void)turn(t, wires, fds, count, VIGIL_FOREVER);
    free(fds);
    return !found(t) && !*t->interrupted;
}

bool drive_for(struct torture *t, struct wire *wires, size_t count, vigil_ns time)
{
    const vigil_ns until = torture_now() + time;
    vigil_pollfd *fds = calloc(count, sizeof *fds);
    if (!fds)
        found_skip(t, "no memory to wait for %zu connections", count);
    while (!found(t) && !*t->interrupted && turn(t, wires, fds, count, until)) {
    }
    free(fds);
    return !found(t) && !*t->interrupted;
}

bool wire_done(const struct wire *wire)
{
    if (!wire->open || wire->sent < wire->send_goal || (wire->finish && !wire->fin_sent))
        return false;
    if (wire->holding)
        return wire_transit(wire) == 0;
    return wire->received >= wire->read_goal && (!wire->until_end || wire->ended);
}

void wire_flush(struct wire *wire)
{
    if (wire->open && wire->error == 0 && wire->sent < wire->send_goal)
        move_out(wire);
    if (wire->open && wire->error == 0)
        fin_send(wire);
}

static bool all_done(const struct wire *wires, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!wires[i].bystander && !wire_done(&wires[i]))
            return false;
    }
    return true;
}

/* One wait, and what is ready after it.  False: `until` has come.  Without an `until`, a wire that
 * is waited for and has not moved within the patience is a finding; it was looked at after that
 * time, so a busy machine is no reason for one. */
static bool turn(struct torture *t, struct wire *wires, vigil_pollfd *fds, size_t count,
                 vigil_ns until)
{
    const vigil_ns now = torture_now();
    vigil_ns wake = until < now + VIGIL_MS(100) ? until : now + VIGIL_MS(100); /* for a signal */
    if (now >= until)
        return false;
    for (size_t i = 0; i < count; i++) {
        unsigned events = 0;
        const vigil_ns next = wait_until(&wires[i], now, &events);
        wake = next < wake ? next : wake;
        fds[i] = (vigil_pollfd){ .fd = events ? wires[i].fd : -1, .events = (uint16_t)events };
    }
    if (vigil_poll(fds, count, wake > now ? wake - now : 0) < 0)
        found_skip(t, "no memory to wait for %zu connections", count);
    for (size_t i = 0; i < count && !found(t); i++) {
        wire_move(&wires[i], fds[i].revents);
        if (!wires[i].bystander && wires[i].error)
            broke(&wires[i], wires[i].error);
        else if (!wires[i].bystander && until == VIGIL_FOREVER && !wire_done(&wires[i]) &&
                 now - wires[i].moved >= t->limits.patience_ns)
            patience_ended(&wires[i]);
    }
    return true;
}

/* What the wire waits for, and when it must be looked at again though nothing came. */
static vigil_ns wait_until(struct wire *wire, vigil_ns now, unsigned *events)
{
    vigil_ns next = VIGIL_FOREVER;
    if (wire->fd < 0 || wire->error)
        return next;
    const bool sending = !wire->open || wire->sent < wire->send_goal ||
                         (wire->finish && !wire->fin_sent);
    const bool under_way = wire->holding && arriving(wire);
    bool reading = wire->open && !wire->ended && (!wire->holding || sending || under_way) &&
                   (wire->received < wire->read_goal || wire->until_end);
    if (reading && wire->reluctant && (sending || under_way)) {
        next = wire->moved + RELUCTANT_NS;
        reading = now >= next;
        wire->reluctant = !reading;
    }
    if (reading && now < wire->read_next) {
        next = wire->read_next;
        reading = false;
    }
    if (under_way && now + TRANSIT_NS < next)
        next = now + TRANSIT_NS;
    *events = (sending ? VIGIL_OUT : 0U) | (reading ? VIGIL_IN : 0U);
    return next;
}

/* Whether something that was sent has not arrived yet; that it becomes less is a movement. */
static bool arriving(struct wire *wire)
{
    const uint64_t transit = wire->open ? wire_transit(wire) : 0;
    if (transit < wire->transit)
        wire->moved = torture_now();
    wire->transit = transit;
    return transit > 0;
}

static void wire_move(struct wire *wire, unsigned events)
{
    if (events == 0)
        return;
    if (!wire->open)
        connected(wire);
    else if (events & (VIGIL_IN | VIGIL_ERR | VIGIL_HUP))
        move_in(wire);
    if (wire->open && wire->error == 0 && events & (VIGIL_OUT | VIGIL_ERR))
        move_out(wire);
}

static void connected(struct wire *wire)
{
    struct sockaddr_storage here = { 0 };
    struct sockaddr_storage there = { 0 };
    socklen_t size = sizeof wire->error;
    socklen_t here_len = sizeof here;
    socklen_t there_len = sizeof there;
    (void)getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &wire->error, &size); /* cannot fail */
    if (wire->error == 0 && (getsockname(wire->fd, (struct sockaddr *)&here, &here_len) < 0 ||
                             getpeername(wire->fd, (struct sockaddr *)&there, &there_len) < 0))
        wire->error = errno;
    /* TCP connects a socket to itself where its own port is the one it asks for: no server. */
    if (wire->error == 0 && here.ss_family != AF_UNIX && here_len == there_len &&
        memcmp(&here, &there, here_len) == 0)
        wire->error = ECONNREFUSED;
    wire->open = wire->error == 0;
    wire->moved = torture_now();
}

static void move_out(struct wire *wire)
{
    const uint64_t left = wire->send_goal - wire->sent;
    if (left == 0) {
        fin_send(wire);
        return;
    }
    size_t n = left < PAYLOAD_PIECE ? (size_t)left : PAYLOAD_PIECE;
    size_t chunk = wire->chunk_max > 0 ? wire->chunk_max : n;
    if (wire->chunk_random)
        chunk = 1 + (size_t)torture_random(wire->torture, chunk);
    ssize_t sent = send(wire->fd, payload_at(wire->base + wire->sent), n < chunk ? n : chunk,
                        MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            wire->error = errno;
        return;
    }
    wire->sent += (uint64_t)sent;
    wire->moved = torture_now();
    fin_send(wire);
}

/* The FIN goes out once everything before it has. */
static void fin_send(struct wire *wire)
{
    if (!wire->finish || wire->fin_sent || wire->sent < wire->send_goal)
        return;
    if (shutdown(wire->fd, SHUT_WR) < 0)
        wire->error = errno;
    wire->fin_sent = true;
    wire->moved = torture_now();
}

static void move_in(struct wire *wire)
{
    static unsigned char buf[PAYLOAD_PIECE];
    const size_t max = wire->read_max > 0 && wire->read_max < sizeof buf ? wire->read_max
                                                                         : sizeof buf;
    ssize_t n = recv(wire->fd, buf, max, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            wire->error = errno;
        return;
    }
    wire->moved = torture_now();
    wire->read_next = wire->moved + wire->read_pause_ns;
    if (n > 0) {
        compare(wire, buf, (size_t)n);
        return;
    }
    wire->ended = true;
    if (wire->received < wire->read_goal && !wire->bystander) {
        char of[SHOWN_MAX];
        char got[SHOWN_MAX];
        found_fail(wire->torture, "a clean end after %s of %s that had to come back",
                   show_bytes(got, wire->received), show_bytes(of, wire->read_goal));
    }
}

static void compare(struct wire *wire, const unsigned char *got, size_t n)
{
    const unsigned char *want = payload_at(wire->base + wire->received);
    const uint64_t left = wire->sent - wire->received;
    size_t equal = 0;
    if (n <= left && memcmp(got, want, n) == 0) {
        wire->received += n;
        return;
    }
    while (equal < n && equal < left && got[equal] == want[equal])
        equal++;
    wire->received += equal;
    if (wire->bystander)
        wire->error = EPROTO;
    else if (equal < left)
        found_fail(wire->torture, "a wrong byte came back at offset %" PRIu64, wire->received);
    else
        found_fail(wire->torture, "more came back than the %" PRIu64 " bytes that were sent",
                   wire->sent);
}

static void broke(struct wire *wire, int error)
{
    char sent[SHOWN_MAX];
    char got[SHOWN_MAX];
    if (!wire->open)
        found_fail(wire->torture, "cannot connect: %s", strerror(error));
    else
        found_fail(wire->torture, "%s, with %s sent and %s back", strerror(error),
                   show_bytes(sent, wire->sent), show_bytes(got, wire->received));
}

/* Nothing moved for so long: tells what was waited for. */
static void patience_ended(struct wire *wire)
{
    struct torture *t = wire->torture;
    char time[SHOWN_MAX];
    char done[SHOWN_MAX];
    char goal[SHOWN_MAX];
    (void)show_time(time, t->limits.patience_ns);
    if (!wire->open)
        found_fail(t, "a connect is not answered within %s", time);
    else if (wire->sent < wire->send_goal)
        found_fail(t, "takes nothing for %s, with %s of %s sent", time,
                   show_bytes(done, wire->sent), show_bytes(goal, wire->send_goal));
    else if (wire->received < wire->read_goal)
        found_fail(t, "nothing comes back for %s, after %s of %s", time,
                   show_bytes(done, wire->received), show_bytes(goal, wire->read_goal));
    else
        found_fail(t, "no end for %s, after all of %s and a FIN", time,
                   show_bytes(done, wire->sent));
}
