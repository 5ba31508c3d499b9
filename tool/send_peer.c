/* SPDX-License-Identifier: MIT
 *
 * send_peer.c -- the connections of `vigil send`: each sends the stream up to the limit of the
 * moment, and compares every byte that comes back with the one that was sent.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>
#include <stdio.h>

#include "args.h"
#include "sender.h"

static void peer_open(vigil_loop *loop, vigil_conn conn, void *ctx);
static size_t peer_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n);
static void peer_eof(vigil_loop *loop, vigil_conn conn, void *ctx);
static void peer_writable(vigil_loop *loop, vigil_conn conn, void *ctx);
static void peer_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why);
static bool may_read(const struct peer *peer);
static void tell_received(const struct peer *peer, const unsigned char *bytes, size_t n);
static size_t equal_bytes(const unsigned char *a, const unsigned char *b, size_t n);
static void compare(struct peer *peer, const unsigned char *bytes, size_t n);
static void wrong_byte(struct peer *peer, unsigned char got);
static void connect_failed(struct peer *peer, int why);

static const vigil_conn_ops peer_ops = {
    .open = peer_open,
    .data = peer_data,
    .eof = peer_eof,
    .writable = peer_writable,
    .close = peer_close,
};

int peer_connect(struct peer *peer)
{
    struct sender *sender = peer->sender;
    const vigil_ns timeout = sender->settings->timeout_ns;
    const vigil_conn_options options = {
        .ops = &peer_ops,
        .ctx = peer,
        .limits = { .connect_ns = timeout > 0 ? timeout : VIGIL_FOREVER,
                    .stall_ns = VIGIL_FOREVER }, /* --timeout looks after that */
    };
    return vigil_connect(sender->loop, sender->targets[peer->target], &options, &peer->conn);
}

void peer_pump(struct peer *peer)
{
    struct sender *sender = peer->sender;
    if (peer->ended || peer->closed)
        return;
    if (!sender->interrupted && peer->sent < sender->limit) {
        size_t want = (size_t)(sender->limit - peer->sent);
        size_t taken = vigil_send(sender->loop, peer->conn, stream_at(&sender->stream, peer->sent),
                                  want);
        peer->sent += taken;
        sender->bytes_sent += taken;
        if (taken < want) {
            schedule_read_all(sender); /* who does not read now may never be able to send more */
            return;
        }
    }
    if (sender->ended)
        peer->ended = vigil_end(sender->loop, peer->conn) == 0;
}

void peer_read(struct peer *peer, bool on)
{
    if (peer->paused == !on || peer->closed)
        return;
    peer->paused = !on;
    if (on)
        (void)vigil_resume(peer->sender->loop, peer->conn); /* one that is gone tells by `close` */
    else
        (void)vigil_pause(peer->sender->loop, peer->conn);
}

void peer_fail(struct peer *peer, int status, const char *what)
{
    sender_fail(peer->sender, status, "connection %zu %s: %s", peer->index + 1, peer->name, what);
}

static void peer_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct peer *peer = ctx;
    struct sender *sender = peer->sender;
    vigil_addr local = { 0 };
    (void)vigil_conn_local(loop, conn, &local); /* else it is "unknown" */
    transcript_name(peer->name, &local, (unsigned long)peer->index + 1);
    peer->open = true;
    peer_read(peer, may_read(peer));
    schedule_progressed(sender);
    if (++sender->open_count == sender->peer_count)
        schedule_connected(sender);
}

static size_t peer_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct peer *peer = ctx;
    (void)loop;
    (void)conn; /* both are known */
    if (peer->sender->status != EXIT_HELD)
        return n; /* the run is over */
    if (peer->paused)
        return 0; /* comes again with its turn */
    if (peer->sender->message_count > 0)
        tell_received(peer, p, n);
    compare(peer, p, n);
    schedule_progressed(peer->sender);
    if (peer->sender->status == EXIT_HELD)
        schedule_echoed(peer->sender);
    return n;
}

static void peer_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct peer *peer = ctx;
    char what[96];
    (void)loop;
    (void)conn; /* nothing is left to do with it: it closes when our side has ended too */
    if (peer->sender->status != EXIT_HELD)
        return; /* the run is over */
    if (peer->echoed < peer->sent) {
        peer->sender->wrong++;
        (void)snprintf(what, sizeof what, "%" PRIu64 " bytes are missing from offset %" PRIu64,
                       peer->sent - peer->echoed, peer->echoed);
        peer_fail(peer, EXIT_WRONG, what);
    } else if (!peer->ended) {
        peer_fail(peer, EXIT_FAILED, "the peer closed before everything was sent");
    }
}

static void peer_writable(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct peer *peer = ctx;
    (void)loop;
    (void)conn; /* both are known */
    schedule_progressed(peer->sender);
    peer_pump(peer);
}

static void peer_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct peer *peer = ctx;
    struct sender *sender = peer->sender;
    char what[96];
    (void)conn; /* gone after this */
    if (sender->status != EXIT_HELD)
        return; /* the run is over, this is its end */
    if (!peer->open) {
        connect_failed(peer, why);
        return;
    }
    peer->closed = true;
    if (why != VIGIL_OK) {
        (void)snprintf(what, sizeof what, "%s at offset %" PRIu64, vigil_strerror(why),
                       peer->echoed);
        peer_fail(peer, EXIT_FAILED, what);
        return;
    }
    if (sender->peer_count > 1)
        transcript_line("closing socket %s", peer->name);
    else
        transcript_line("closing socket");
    schedule_progressed(sender);
    if (++sender->closed_count == sender->peer_count)
        vigil_loop_stop(loop);
}

static bool may_read(const struct peer *peer)
{
    return peer->sender->read_all || peer->index == peer->sender->turn;
}

/* As a client tells it that reads --read-size bytes at a time. */
static void tell_received(const struct peer *peer, const unsigned char *bytes, size_t n)
{
    const struct sender *sender = peer->sender;
    char before[TRANSCRIPT_NAME_MAX + 16] = "received ";
    if (sender->peer_count > 1)
        (void)snprintf(before, sizeof before, "%s: received ", peer->name);
    while (n > 0) {
        size_t len = n < sender->settings->read_size ? n : (size_t)sender->settings->read_size;
        transcript_payload(before, bytes, len, "");
        bytes += len;
        n -= len;
    }
}

static void compare(struct peer *peer, const unsigned char *bytes, size_t n)
{
    struct sender *sender = peer->sender;
    uint64_t due = peer->sent - peer->echoed;
    size_t len = n < due ? n : (size_t)due;
    size_t equal = equal_bytes(stream_at(&sender->stream, peer->echoed), bytes, len);
    peer->echoed += equal;
    sender->bytes_echoed += equal;
    if (equal < n)
        wrong_byte(peer, bytes[equal]);
}

static size_t equal_bytes(const unsigned char *a, const unsigned char *b, size_t n)
{
    size_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static void wrong_byte(struct peer *peer, unsigned char got)
{
    char what[96];
    const struct sender *sender = peer->sender;
    if (peer->echoed < peer->sent)
        (void)snprintf(what, sizeof what, "wrong byte at offset %" PRIu64 ": \\x%02x, not \\x%02x",
                       peer->echoed, (unsigned)got,
                       (unsigned)*stream_at(&sender->stream, peer->echoed));
    else
        (void)snprintf(what, sizeof what, "extra byte at offset %" PRIu64 ": \\x%02x", peer->echoed,
                       (unsigned)got);
    peer->sender->wrong++;
    peer_fail(peer, EXIT_WRONG, what);
}

/* A name may have several addresses: the next one is tried. */
static void connect_failed(struct peer *peer, int why)
{
    struct sender *sender = peer->sender;
    while (peer->target + 1 < sender->target_count) {
        peer->target++;
        why = peer_connect(peer);
        if (why == 0)
            return;
    }
    sender_fail(sender, EXIT_FAILED, "%s: %s", sender->targets[peer->target], vigil_strerror(why));
}
