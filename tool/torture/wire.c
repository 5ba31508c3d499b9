/* SPDX-License-Identifier: MIT
 *
 * wire.c -- one connection to the server: opened, given its goals, and closed in the ways that a
 * client can leave.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "payload.h"

/* The receive buffer, and the largest segment: large ones make loopback's buffers large, and must
 * fit several times into the window, or the sender waits for its timer (RFC 9293, 3.8.6.2.1). */
struct room {
    int buffer;
    int segment;
};
static const struct room room_narrow = { .buffer = 16 * 1024, .segment = 1460 };
static const struct room room_tiny = { .buffer = 2 * 1024, .segment = 256 };
static const int roomy = 16 << 20; /* of the send buffer; the system gives what it gives */

static void wire_new(struct wire *wire, struct torture *t, unsigned flags);
static void connect_begin(struct wire *wire, unsigned flags);
static void bound_socket(struct wire *wire, const struct sockaddr_storage *here, socklen_t len);
static void room_set(const struct wire *wire, const struct room *room);
static int connect_now(const struct wire *wire);
static void rate_wait(struct torture *t);

void wire_open(struct wire *wire, struct torture *t, unsigned flags)
{
    wire_new(wire, t, flags);
    if (found(t) || *t->interrupted)
        return;
    rate_wait(t);
    connect_begin(wire, flags);
    wire->moved = torture_now();
}

static void wire_new(struct wire *wire, struct torture *t, unsigned flags)
{
    *wire = (struct wire){ .torture = t,
                           .fd = -1,
                           .bystander = flags & WIRE_BYSTANDER,
                           .base = t->wires_opened++ * PAYLOAD_LINE * 4099 };
}

static void connect_begin(struct wire *wire, unsigned flags)
{
    struct torture *t = wire->torture;
    const int on = 1;
    const struct sockaddr_storage any = { .ss_family = t->target.name.ss_family };
    if (flags & WIRE_OWN_PORT)
        bound_socket(wire, &any, t->target.name_len);
    else
        wire->fd = target_socket(&t->target, wire->base / PAYLOAD_LINE / 4099);
    if (wire->fd < 0) {
        found_skip(t, "this machine gives no socket: %s", strerror(errno));
        return;
    }
    /* Options that are not there for Unix sockets do no harm. */
    (void)setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (flags & (WIRE_NARROW | WIRE_TINY))
        room_set(wire, flags & WIRE_TINY ? &room_tiny : &room_narrow);
    if (flags & WIRE_ROOMY)
        (void)setsockopt(wire->fd, SOL_SOCKET, SO_SNDBUF, &roomy, sizeof roomy);
    if (connect_now(wire) == 0)
        wire->open = true;
    else if (errno == EADDRNOTAVAIL)
        found_skip(t, "this machine has no port left (tcp(7), TIME-WAIT)");
    else if (errno != EINPROGRESS)
        wire->error = errno;
}

/* A socket that has this address for itself; -1 with errno when there is none. */
static void bound_socket(struct wire *wire, const struct sockaddr_storage *here, socklen_t len)
{
    wire->fd = socket(here->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->fd >= 0 && bind(wire->fd, (const struct sockaddr *)here, len) < 0)
        wire_close(wire);
}

static void room_set(const struct wire *wire, const struct room *room)
{
    (void)setsockopt(wire->fd, SOL_SOCKET, SO_RCVBUF, &room->buffer, sizeof room->buffer);
    (void)setsockopt(wire->fd, IPPROTO_TCP, TCP_MAXSEG, &room->segment, sizeof room->segment);
}

/* As connect(2).  On a Unix socket a full backlog is EAGAIN at once (unix(7)): it is tried again,
 * as TCP does by itself. */
static int connect_now(const struct wire *wire)
{
    const struct torture *t = wire->torture;
    const struct sockaddr *name = (const struct sockaddr *)&t->target.name;
    const vigil_ns until = torture_now() + t->limits.patience_ns;
    int err = connect(wire->fd, name, t->target.name_len);
    while (err < 0 && errno == EAGAIN && torture_now() < until && !*t->interrupted) {
        torture_sleep(t, VIGIL_MS(1));
        err = connect(wire->fd, name, t->target.name_len);
    }
    return err;
}

/* Not more than limits.rate of them in any second: half of that in one burst, which a second
 * without any pays for, and half as the time passes. */
static void rate_wait(struct torture *t)
{
    const vigil_ns now = torture_now();
    if (t->connect_next > now)
        torture_sleep(t, t->connect_next - now);
    else if (t->connect_next < now - VIGIL_S(1))
        t->connect_next = now - VIGIL_S(1);
    t->connect_next += VIGIL_S(2) / (vigil_ns)t->limits.rate;
}

void wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        (void)close(wire->fd);
    wire->fd = -1;
}

void wire_reset(struct wire *wire)
{
    const struct linger now = { .l_onoff = 1 };
    if (wire->fd >= 0)
        (void)setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    wire_close(wire);
}

bool wire_vanish(struct wire *wire)
{
#ifdef TCP_REPAIR
    const int on = 1;
    wire->here_len = sizeof wire->here;
    if (wire->fd >= 0 &&
        getsockname(wire->fd, (struct sockaddr *)&wire->here, &wire->here_len) == 0 &&
        setsockopt(wire->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) == 0) {
        wire_close(wire);
        return true;
    }
#endif
    wire_reset(wire);
    return false;
}

void wire_return(struct wire *wire)
{
    struct torture *t = wire->torture;
    const struct sockaddr_storage here = wire->here;
    const socklen_t here_len = wire->here_len;
    wire_new(wire, t, WIRE_BYSTANDER);
    bound_socket(wire, &here, here_len); /* another may have the port by now */
    if (wire->fd >= 0 && connect_now(wire) < 0 && errno != EINPROGRESS)
        wire->error = errno;
    wire->moved = torture_now();
}

uint64_t wire_transit(const struct wire *wire)
{
    int n = 0;
    return wire->fd >= 0 && ioctl(wire->fd, TIOCOUTQ, &n) == 0 ? (uint64_t)n : 0;
}

void wire_send(struct wire *wire, uint64_t n)
{
    wire->send_goal += n;
    wire->moved = torture_now();
}

void wire_echo(struct wire *wire, uint64_t n)
{
    wire_send(wire, n);
    if (wire->torture->mode != MODE_DISCARD)
        wire->read_goal += n;
}

void wire_finish(struct wire *wire)
{
    wire->finish = true;
    wire->until_end = true;
    wire->moved = torture_now();
}

void wire_urgent(struct wire *wire)
{
    const unsigned char byte = WIRE_URGENT;
    if (wire->fd >= 0 && send(wire->fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL) == 1)
        wire->urgent_sent++; /* else there was no room: nothing is lost by that */
}

void wires_open(struct wire *wires, size_t count, struct torture *t, unsigned flags, uint64_t n)
{
    for (size_t i = 0; i < count; i++) {
        wire_open(&wires[i], t, flags);
        wire_echo(&wires[i], n);
    }
}

void wires_close(struct wire *wires, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wire_close(&wires[i]);
}

struct wire *wires_new(struct torture *t, size_t count)
{
    struct wire *wires = calloc(count, sizeof *wires);
    if (!wires)
        found_skip(t, "no memory for %zu connections", count);
    for (size_t i = 0; wires && i < count; i++)
        wires[i] = (struct wire){ .torture = t, .fd = -1 };
    return wires;
}

void wires_free(struct wire *wires, size_t count)
{
    wires_close(wires, wires ? count : 0);
    free(wires);
}
