/* SPDX-License-Identifier: MIT
 *
 * cmd_send.c -- `vigil send`: the tutorial's clients.  Sets up the connections and the stream that
 * goes out on each, runs the loop until everything came back or something went wrong, and reports.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "platform.h"
#include "sender.h"

#define STDIN_WINDOW ((size_t)1 << 20) /* bytes of stdin that may be on their way */

static int send_run(const struct args *args);
static int send_prepare(struct sender *sender, const struct args *args);
static int stream_fill(struct sender *sender);
static int send_on_loop(struct sender *sender);
static void peers_connect(struct sender *sender);
static void peer_begin(struct sender *sender, size_t index);
static int signals_catch(struct sender *sender);
static void signal_came(vigil_loop *loop, int signo, void *arg);
static void report(const struct sender *sender);
static void report_count(uint64_t n, const char *noun, const char *after);

#define MEMBER(member) offsetof(struct send_settings, member)
static const struct args_option options[] = {
    { .name = "connections",
      .metavar = "N",
      .kind = ARGS_NUMBER,
      .min = 1,
      .max = 1000000,
      .offset = MEMBER(connections),
      .fallback = "1",
      .help = "each message goes out on each of them in turn" },
    { .name = "delay",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(delay_ns),
      .help = "between messages, unread; else each is awaited" },
    { .name = "start-delay",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(start_delay_ns),
      .help = "before the first message" },
    { .name = "read-size",
      .metavar = "BYTES",
      .kind = ARGS_SIZE,
      .min = 1,
      .max = 1ULL << 30,
      .offset = MEMBER(read_size),
      .fallback = "1024",
      .help = "reads at most so many at a time" },
    { .name = "backend",
      .metavar = "NAME",
      .kind = ARGS_CHOICE,
      .offset = MEMBER(backend),
      .choice = vigil_backend_name,
      .help = "else the best here" },
    { .name = "timeout",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(timeout_ns),
      .fallback = "30s",
      .help = "gives up when nothing moved for so long; 0s never does" },
    { .name = NULL },
};
#undef MEMBER

const struct args_command command_send = {
    .name = "send",
    .summary = "sends messages to an echo server and compares what comes back",
    .operands = "WHERE [MESSAGE...]",
    .examples = "  vigil send --connections 2 localhost:10000 'This is the message. ' \\\n"
                "      'It will be sent ' 'in parts.'\n"
                "  vigil send --delay 1.5s --start-delay 1s --read-size 16 localhost:10000 \\\n"
                "      'Part one of the message.' 'Part two of the message.'\n"
                "  vigil send unix:/run/echo < /etc/services\n",
    .notes = "Sends each MESSAGE on every connection to WHERE (tcp://host:port, tcp://[::1]:port,\n"
             "unix:/path, unix:@abstract, or a bare host:port), half-closes behind the last, and\n"
             "compares every byte that comes back.  Without a MESSAGE it sends stdin, which is\n"
             "not told in the transcript.  The sums are printed to stdout.  Exits with 3 when a\n"
             "byte is wrong, missing or extra.  A first SIGINT or SIGTERM stops sending and waits\n"
             "for what is on its way; a second one ends at once.",
    .options = options,
    .settings_size = sizeof(struct send_settings),
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = send_run,
};

void sender_fail(struct sender *sender, int status, const char *format, ...)
{
    char text[512];
    if (sender->status != EXIT_HELD)
        return; /* the first failure is the cause, the others follow from it */
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    args_complain(command_send.name, "%s", text);
    sender->status = status;
    vigil_loop_stop(sender->loop);
}

static int send_run(const struct args *args)
{
    struct sender sender = { .settings = args->settings, .turn = SIZE_MAX };
    const vigil_loop_options loop_options = { .backend = sender.settings->backend };
    int status = send_prepare(&sender, args);
    int err = status == EXIT_HELD ? vigil_loop_open(&sender.loop, &loop_options) : 0;
    if (err < 0) {
        args_complain(command_send.name, "%s: %s",
                      loop_options.backend ? loop_options.backend : "the loop",
                      platform_reason(err));
        status = EXIT_FAILED;
    }
    if (status == EXIT_HELD)
        status = send_on_loop(&sender);
    free(sender.peers);
    stream_close(&sender.stream);
    return status;
}

/* Everything that can be wrong with the input, before anything is begun. */
static int send_prepare(struct sender *sender, const struct args *args)
{
    const char *where = args->operands[0];
    char endpoint[TRANSCRIPT_NAME_MAX];
    sender->messages = args->operands + 1;
    sender->message_count = args->operand_count - 1;
    sender->peer_count = (size_t)sender->settings->connections;
    if (!where_check_peer(command_send.name, where))
        return EXIT_USAGE;
    const char *fault = sender->message_count == 0 ? platform_stdin_fault() : NULL;
    if (fault) {
        args_complain(command_send.name, "no MESSAGE, and %s (give a MESSAGE)", fault);
        return EXIT_USAGE;
    }
    transcript_endpoint(endpoint, where, 0);
    transcript_line("connecting to %s", endpoint);
    sender->target_count = where_resolve(where, sender->targets, SENDER_TARGETS_MAX);
    if (sender->target_count < 0) {
        args_complain(command_send.name, "%s: %s", where, vigil_strerror(sender->target_count));
        return EXIT_FAILED;
    }
    return stream_fill(sender);
}

/* The messages one behind the other, or room for a part of stdin. */
static int stream_fill(struct sender *sender)
{
    size_t total = 0;
    for (size_t i = 0; i < sender->message_count; i++)
        total += strlen(sender->messages[i]);
    sender->peers = calloc(sender->peer_count, sizeof *sender->peers);
    if (!sender->peers ||
        !stream_open(&sender->stream, sender->message_count > 0 ? total : STDIN_WINDOW)) {
        args_complain(command_send.name, "out of memory");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < sender->message_count; i++) {
        size_t room = 0;
        unsigned char *into = stream_room(&sender->stream, &room);
        size_t len = strlen(sender->messages[i]);
        memcpy(into, sender->messages[i], len);
        stream_grew(&sender->stream, len);
    }
    return EXIT_HELD;
}

static int send_on_loop(struct sender *sender)
{
    int err = signals_catch(sender);
    sender->progress = vigil_now(sender->loop);
    if (err == 0)
        err = schedule_watch_progress(sender);
    if (err == 0) {
        peers_connect(sender);
        err = vigil_loop_run(sender->loop);
    }
    if (err < 0)
        sender_fail(sender, EXIT_FAILED, "%s", vigil_strerror(err));
    if (sender->status == EXIT_HELD && sender->closed_count < sender->peer_count)
        sender_fail(sender, EXIT_FAILED, "the loop ended before the connections did");
    int status = sender->status;
    if (sender->open_count == sender->peer_count)
        report(sender);
    sender->status = EXIT_FAILED; /* whatever it was: what closes now is told to nobody */
    vigil_loop_close(sender->loop);
    return status;
}

/* One that cannot even be begun is told here, any other by its `close`. */
static void peers_connect(struct sender *sender)
{
    for (size_t i = 0; i < sender->peer_count && sender->status == EXIT_HELD; i++)
        peer_begin(sender, i);
}

static void peer_begin(struct sender *sender, size_t index)
{
    struct peer *peer = &sender->peers[index];
    *peer = (struct peer){ .sender = sender, .index = index };
    int err = peer_connect(peer);
    if (err < 0)
        sender_fail(sender, EXIT_FAILED, "%s: connection %zu: %s", sender->targets[0], index + 1,
                    vigil_strerror(err));
}

static int signals_catch(struct sender *sender)
{
    vigil_signal ignored;
    int err = vigil_on_signal(sender->loop, SIGINT, signal_came, sender, &ignored);
    if (err < 0)
        return err;
    return vigil_on_signal(sender->loop, SIGTERM, signal_came, sender, &ignored);
}

static void signal_came(vigil_loop *loop, int signo, void *arg)
{
    struct sender *sender = arg;
    if (!sender->interrupted) {
        schedule_interrupt(sender);
        return;
    }
    sender->status = EXIT_SIGNAL + signo;
    vigil_loop_stop(loop);
}

static void report(const struct sender *sender)
{
    report_count(sender->peer_count, "connection", ", ");
    report_count(sender->messages_sent, "message", ", ");
    report_count(sender->bytes_sent, "byte", " sent, ");
    report_count(sender->bytes_echoed, "byte", " echoed, ");
    (void)printf("%" PRIu64 " wrong%s\n", sender->wrong,
                 sender->interrupted ? " (interrupted)" : "");
}

static void report_count(uint64_t n, const char *noun, const char *after)
{
    (void)printf("%" PRIu64 " %s%s%s", n, noun, n == 1 ? "" : "s", after);
}
