/* SPDX-License-Identifier: MIT
 *
 * send_schedule.c -- who sends and who reads when.
 *
 * In rounds, as the tutorial's multi client: a message goes out on each connection in turn, then
 * the connections are read in the same order until each has it back.  With --delay, as the slow
 * client: the messages go out at their times, and reading begins behind the last of them, or when
 * a connection takes no more.  From stdin: everything flows at once.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "sender.h"

static void step_due(vigil_loop *loop, void *arg);
static void step_after(struct sender *sender, vigil_ns delay_ns);
static void message_begin(struct sender *sender, const char *message);
static void turn_next(struct sender *sender);
static void pump_all(struct sender *sender);
static void progress_look(vigil_loop *loop, void *arg);
static struct peer *peer_owing(const struct sender *sender);
static void stuck(const struct sender *sender, struct peer *peer);

void schedule_connected(struct sender *sender)
{
    step_after(sender, sender->settings->start_delay_ns);
}

void schedule_end(struct sender *sender)
{
    sender->ended = true;
    schedule_progressed(sender);
    schedule_read_all(sender);
    pump_all(sender);
}

void schedule_read_all(struct sender *sender)
{
    if (sender->read_all)
        return;
    sender->read_all = true;
    for (size_t i = 0; i < sender->peer_count; i++)
        peer_read(&sender->peers[i], true);
}

void schedule_echoed(struct sender *sender)
{
    if (sender->message_count == 0)
        input_make_room(sender);
    else if (sender->settings->delay_ns == 0 && !sender->ended)
        turn_next(sender);
}

void schedule_interrupt(struct sender *sender)
{
    sender->interrupted = true;
    (void)vigil_cancel(sender->loop, sender->step_timer); /* it may have fired: that is well */
    input_stop(sender);
    if (sender->open_count < sender->peer_count)
        sender_fail(sender, EXIT_FAILED, "interrupted before every connection was made");
    else
        schedule_end(sender);
}

void schedule_progressed(struct sender *sender)
{
    vigil_ns now = vigil_now(sender->loop);
    if (sender->progress < now) /* it may stand in the future, at the end of a --delay */
        sender->progress = now;
}

int schedule_watch_progress(struct sender *sender)
{
    const vigil_ns timeout = sender->settings->timeout_ns;
    return timeout > 0 ? vigil_after(sender->loop, timeout, progress_look, sender, NULL) : 0;
}

/* The next message, or the end behind the last. */
static void step_due(vigil_loop *loop, void *arg)
{
    struct sender *sender = arg;
    const vigil_ns delay = sender->settings->delay_ns;
    (void)loop; /* the sender's */
    if (sender->message_count == 0) {
        int err = input_begin(sender);
        if (err < 0)
            sender_fail(sender, EXIT_FAILED, "stdin: %s", vigil_strerror(err));
        return;
    }
    if (sender->step == sender->message_count) {
        schedule_end(sender);
        return;
    }
    message_begin(sender, sender->messages[sender->step++]);
    if (delay > 0) {
        step_after(sender, delay);
    } else {
        sender->turn = 0;
        turn_next(sender);
    }
}

static void step_after(struct sender *sender, vigil_ns delay_ns)
{
    int err = vigil_after(sender->loop, delay_ns, step_due, sender, &sender->step_timer);
    if (err < 0)
        sender_fail(sender, EXIT_FAILED, "%s", vigil_strerror(err));
    sender->progress = vigil_now(sender->loop) + delay_ns; /* waiting for this is no stall */
}

static void message_begin(struct sender *sender, const char *message)
{
    char before[TRANSCRIPT_NAME_MAX + 16] = "sending ";
    sender->limit += strlen(message);
    for (size_t i = 0; i < sender->peer_count; i++) {
        if (sender->peer_count > 1)
            (void)snprintf(before, sizeof before, "%s: sending ", sender->peers[i].name);
        transcript_payload(before, message, strlen(message), "");
        peer_pump(&sender->peers[i]);
    }
    sender->messages_sent += sender->peer_count;
}

/* Lets the first connection read that has not everything back; when all have, the next step. */
static void turn_next(struct sender *sender)
{
    size_t turn = sender->turn;
    while (turn < sender->peer_count && sender->peers[turn].echoed == sender->limit) {
        if (!sender->read_all)
            peer_read(&sender->peers[turn], false);
        turn++;
    }
    if (turn < sender->peer_count)
        peer_read(&sender->peers[turn], true);
    else if (sender->turn < sender->peer_count)
        step_after(sender, 0);
    sender->turn = turn;
}

static void pump_all(struct sender *sender)
{
    for (size_t i = 0; i < sender->peer_count; i++)
        peer_pump(&sender->peers[i]);
}

static void progress_look(vigil_loop *loop, void *arg)
{
    struct sender *sender = arg;
    const vigil_ns timeout = sender->settings->timeout_ns;
    struct peer *peer = peer_owing(sender);
    if (!peer)
        sender->progress = vigil_now(loop); /* stdin may take its time */
    vigil_ns due = sender->progress + timeout - vigil_now(loop);
    if (due <= 0)
        stuck(sender, peer);
    else if (vigil_after(loop, due, progress_look, sender, NULL) < 0)
        sender_fail(sender, EXIT_FAILED, "%s", vigil_strerror(VIGIL_ENOMEM));
}

/* A connection whose peer is expected to do something, or NULL. */
static struct peer *peer_owing(const struct sender *sender)
{
    for (size_t i = 0; i < sender->peer_count; i++) {
        struct peer *peer = &sender->peers[i];
        bool quiet = peer->open && !sender->ended && peer->echoed == sender->limit;
        if (!peer->closed && !quiet)
            return peer;
    }
    return NULL;
}

static void stuck(const struct sender *sender, struct peer *peer)
{
    char what[128];
    const double seconds = (double)sender->settings->timeout_ns / 1e9;
    if (!peer->open)
        (void)snprintf(what, sizeof what, "not connected within %gs", seconds);
    else if (peer->ended && peer->echoed == peer->sent)
        (void)snprintf(what, sizeof what, "everything is back, but the peer did not close in %gs",
                       seconds);
    else
        (void)snprintf(what, sizeof what,
                       "nothing moved for %gs: %" PRIu64 " of %" PRIu64 " bytes are back", seconds,
                       peer->echoed, peer->sent);
    peer_fail(peer, EXIT_FAILED, what);
}
