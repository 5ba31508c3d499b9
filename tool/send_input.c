/* SPDX-License-Identifier: MIT
 *
 * send_input.c -- stdin as the one message of `vigil send`, of any length: it is read only while
 * the window of bytes that are not echoed yet has room.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>
#include <string.h>

#include "args.h"
#include "platform.h"
#include "sender.h"

#define READ_MAX ((size_t)64 << 10) /* at once, so that the connections get their turn */

static void input_ready(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg);
static void input_took(struct sender *sender, size_t n);
static uint64_t echoed_least(const struct sender *sender);

int input_begin(struct sender *sender)
{
    schedule_read_all(sender);
    sender->messages_sent = sender->peer_count;
    return vigil_on_ready(sender->loop, PLATFORM_STDIN, VIGIL_IN, input_ready, sender,
                          &sender->input);
}

void input_make_room(struct sender *sender)
{
    size_t room = 0;
    if (!sender->input_full)
        return;
    stream_release(&sender->stream, echoed_least(sender));
    (void)stream_room(&sender->stream, &room);
    if (room == 0)
        return;
    sender->input_full = false;
    (void)vigil_watch_set(sender->loop, sender->input, VIGIL_IN); /* it is live while full */
}

void input_stop(struct sender *sender)
{
    (void)vigil_watch_cancel(sender->loop, sender->input); /* it may be gone: that is well */
    sender->input_full = false;
}

static void input_ready(vigil_loop *loop, vigil_watch watch, unsigned events, void *arg)
{
    struct sender *sender = arg;
    size_t room = 0;
    unsigned char *into = stream_room(&sender->stream, &room);
    (void)events; /* read() tells better */
    if (room == 0) {
        sender->input_full = vigil_watch_set(loop, watch, 0) == 0;
        input_make_room(sender); /* all of it may be echoed already */
        return;
    }
    long n = platform_read_stdin(into, room < READ_MAX ? room : READ_MAX);
    if (n > 0) {
        input_took(sender, (size_t)n);
    } else if (n == 0) {
        input_stop(sender);
        schedule_end(sender);
    } else if (errno != EINTR && errno != EAGAIN) {
        sender_fail(sender, EXIT_FAILED, "stdin: %s", strerror(errno));
    }
}

static void input_took(struct sender *sender, size_t n)
{
    stream_grew(&sender->stream, n);
    sender->limit = stream_end(&sender->stream);
    schedule_progressed(sender);
    for (size_t i = 0; i < sender->peer_count; i++)
        peer_pump(&sender->peers[i]);
}

/* The offset from which on somebody's echo is missing. */
static uint64_t echoed_least(const struct sender *sender)
{
    uint64_t least = sender->limit;
    for (size_t i = 0; i < sender->peer_count; i++) {
        if (sender->peers[i].echoed < least)
            least = sender->peers[i].echoed;
    }
    return least;
}
