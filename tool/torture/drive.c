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
#include <sys/uio.h>

#include "payload.h"
#include "wire.h"

#define STUCK_NS   VIGIL_MS(100) /* a server that took nothing for so long is stuck */
#define LOOK_NS    VIGIL_MS(2)   /* between two looks at what it has taken */
#define PIECES_MAX 32            /* of PAYLOAD_PIECE bytes in one call */

static bool turn(struct torture *t, struct wire *wires, vigil_pollfd *fds, size_t count,
                 vigil_ns until);
static void patience_check(struct torture *t, const struct wire *wires, size_t count, vigil_ns now);
static vigil_ns wait_until(struct wire *wire, vigil_ns now, unsigned *events);
static bool reads_now(struct wire *wire, vigil_ns now, vigil_ns *next);
static bool sends_yet(const struct wire *wire);
static bool arriving(struct wire *wire);
static void wire_move(struct wire *wire, unsigned events);
static void connected(struct wire *wire);
static void move_out(struct wire *wire);
static void fin_send(struct wire *wire);
static void move_in(struct wire *wire);
static void compare(struct wire *wire, const unsigned char *got, size_t n);
static void differs(struct wire *wire);
static void broke(struct wire *wire, int error);
static void patience_ended(const struct wire *wire);
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

bool drive_newcomer(struct torture *t, struct wire *wires, size_t count, uint64_t bytes,
                    vigil_ns *worst)
{
    const vigil_ns began = torture_now();
    wire_open(&wires[0], t, 0);
    wire_echo(&wires[0], bytes);
    (void)drive(t, wires, count);
    wire_finish(&wires[0]); /* not before: many a server loses what an end overtakes */
    const bool served = drive(t, wires, count);
    const vigil_ns took = torture_now() - began;
    *worst = took > *worst ? took : *worst;
    wire_close(&wires[0]);
    return served;
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

bool wires_stuck(struct wire *wires, size_t count)
{
    const vigil_ns now = torture_now();
    bool stuck = true;
    for (size_t i = 0; i < count; i++) {
        (void)arriving(&wires[i]);
        stuck = stuck && now - wires[i].moved >= STUCK_NS;
    }
    return stuck;
}

static bool all_done(const struct wire *wires, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!wires[i].bystander && !wire_done(&wires[i]))
            return false;
    }
    return true;
}

/* One wait, and what is ready after it.  False: `until` has come. */
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
    }
    if (until == VIGIL_FOREVER && !found(t))
        patience_check(t, wires, count, now);
    return true;
}

/* `now` is before the last look at them, so a busy machine is no reason for a finding. */
static void patience_check(struct torture *t, const struct wire *wires, size_t count, vigil_ns now)
{
    const struct wire *late = NULL;
    for (size_t i = 0; i < count; i++) {
        if (wires[i].bystander)
            continue;
        if (now - wires[i].moved < t->limits.patience_ns)
            return;
        if (!late && !wire_done(&wires[i]))
            late = &wires[i];
    }
    if (late)
        patience_ended(late);
}

/* What the wire waits for, and when it must be looked at again though nothing came. */
static vigil_ns wait_until(struct wire *wire, vigil_ns now, unsigned *events)
{
    vigil_ns next = VIGIL_FOREVER;
    if (wire->fd < 0 || wire->error)
        return next;
    bool sending = sends_yet(wire);
    if (sending && now < wire->send_next) {
        next = wire->send_next;
        sending = false;
    }
    const bool reading = reads_now(wire, now, &next);
    *events = (sending ? VIGIL_OUT : 0U) | (reading ? VIGIL_IN : 0U);
    return next;
}

/* Whether it reads; if it will later, `*next` is no later than when to ask again. */
static bool reads_now(struct wire *wire, vigil_ns now, vigil_ns *next)
{
    vigil_ns at = wire->read_next;
    if (!wire->open || wire->ended)
        return false;
    if (wire->holding || wire->reluctant) {
        const bool under_way = arriving(wire) || sends_yet(wire);
        if (wire->holding && !under_way)
            return false;
        *next = now + LOOK_NS < *next ? now + LOOK_NS : *next;
    }
    if (wire->received >= wire->read_goal && !wire->until_end)
        return false;
    if (wire->reluctant) {
        wire->reluctant = now < wire->moved + STUCK_NS;
        at = wire->reluctant ? now + LOOK_NS : at;
    }
    *next = now < at && at < *next ? at : *next;
    return now >= at;
}

static bool sends_yet(const struct wire *wire)
{
    return !wire->open || wire->sent < wire->send_goal || (wire->finish && !wire->fin_sent);
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
    struct iovec pieces[PIECES_MAX];
    struct msghdr message = { .msg_iov = pieces };
    uint64_t chunk = wire->chunk_max > 0 ? wire->chunk_max : left;
    if (wire->chunk_random)
        chunk = 1 + torture_random(wire->torture, chunk);
    chunk = chunk < left ? chunk : left;
    for (uint64_t at = 0; at < chunk && message.msg_iovlen < PIECES_MAX; at += PAYLOAD_PIECE) {
        const size_t n = chunk - at < PAYLOAD_PIECE ? (size_t)(chunk - at) : PAYLOAD_PIECE;
        const unsigned char *bytes = payload_at(wire->base + wire->sent + at);
        pieces[message.msg_iovlen++] = (struct iovec){ (void *)(uintptr_t)bytes, n };
    }
    const ssize_t sent = sendmsg(wire->fd, &message, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            wire->error = errno;
        return;
    }
    wire->sent += (uint64_t)sent;
    wire->largest = (uint64_t)sent > wire->largest ? (uint64_t)sent : wire->largest;
    wire->moved = torture_now();
    wire->send_next = wire->moved + wire->send_pause_ns;
    fin_send(wire);
}

/* The FIN goes out once everything before it has. */
static void fin_send(struct wire *wire)
{
    if (!wire->finish || wire->fin_sent || wire->sent < wire->send_goal)
        return;
    if (shutdown(wire->fd, SHUT_WR) < 0)
        wire->error = errno == ENOTCONN ? ECONNRESET : errno; /* not any more */
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
    if (n > 0 && wire->torture->mode == MODE_DISCARD)
        found_fail(wire->torture,
                   "sends %zd byte%s back, and --mode discard is for servers that "
                   "answer nothing",
                   n, n == 1 ? "" : "s");
    else if (n > 0)
        compare(wire, buf, (size_t)n);
    if (n > 0)
        return;
    wire->ended = true;
    if (wire->received < wire->read_goal && !wire->bystander) {
        char of[SHOWN_MAX];
        char got[SHOWN_MAX];
        found_fail(wire->torture, "a clean end after %s of %s that had to come back",
                   show_bytes(got, wire->received), show_bytes(of, wire->read_goal));
    }
}

/* An urgent byte that comes back stands somewhere between the others. */
static void compare(struct wire *wire, const unsigned char *got, size_t n)
{
    while (n > 0) {
        const unsigned char *want = payload_at(wire->base + wire->received);
        const uint64_t left = wire->sent - wire->received;
        size_t equal = n <= left && memcmp(got, want, n) == 0 ? n : 0;
        while (equal < n && equal < left && got[equal] == want[equal])
            equal++;
        wire->received += equal;
        got += equal;
        n -= equal;
        if (n == 0)
            return;
        if (*got != WIRE_URGENT || wire->urgent_back == wire->urgent_sent) {
            differs(wire);
            return;
        }
        wire->urgent_back++;
        got++;
        n--;
    }
}

static void differs(struct wire *wire)
{
    if (wire->bystander)
        wire->error = EPROTO;
    else if (wire->received < wire->sent)
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
static void patience_ended(const struct wire *wire)
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
