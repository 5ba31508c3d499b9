/* SPDX-License-Identifier: MIT
 *
 * cmd_serve.c -- `vigil serve`: the echo server for production.  Each connection is coupled to
 * itself; what it may queue is bounded, and a client that does not read is not read from.
 * Under --transcript serve_transcript.c takes the connections instead.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "platform.h"
#include "serve_transcript.h"
#include "transcript.h"
#include "vigil.h"
#include "where.h"

#define OUT_HARD_MIN ((size_t)1 << 20) /* as much as the library's own default */

struct settings {
    const char *backend;
    vigil_ns tick_ns;
    vigil_ns idle_ns;
    uint64_t max_connections;
    uint64_t queue_limit;
    bool transcript;
    vigil_ns drain_ns;
};

/* What happened to the server from outside. */
struct ending {
    int signals; /* SIGINT and SIGTERM so far */
    int second;  /* the one that came while draining, or 0 */
};

static int serve_run(const struct args *args);
static int serve_open(const struct settings *settings, vigil_loop **loop);
static int serve_on_loop(vigil_loop *loop, const struct args *args);
static int listen_on(vigil_loop *loop, const struct args *args, size_t i,
                     const vigil_listen_options *options, vigil_addr *bound);
static int announce(const struct settings *settings, const char *where, const vigil_addr *bound);
static int serve_until_signal(vigil_loop *loop, const struct settings *settings,
                              struct serve_transcript *transcript);
static void signal_came(vigil_loop *loop, int signo, void *arg);
static vigil_limits limits_of(const struct settings *settings);
static const char *const *wheres(const struct args *args, size_t *count);
static void echo_open(vigil_loop *loop, vigil_conn conn, void *ctx);

#define MEMBER(member) offsetof(struct settings, member)
static const struct args_option options[] = {
    { .name = "backend",
      .metavar = "NAME",
      .kind = ARGS_CHOICE,
      .offset = MEMBER(backend),
      .choice = vigil_backend_name,
      .help = "else the best here" },
    { .name = "tick",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(tick_ns),
      .help = "under --transcript, tells when nothing happened for so long" },
    { .name = "idle-timeout",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(idle_ns),
      .help = "closes a connection without a byte for so long" },
    { .name = "max-connections",
      .metavar = "N",
      .kind = ARGS_NUMBER,
      .min = 1,
      .max = UINT32_MAX,
      .offset = MEMBER(max_connections),
      .help = "at once on each WHERE; the others wait" },
    { .name = "queue-limit",
      .metavar = "SIZE",
      .kind = ARGS_SIZE,
      .min = 1,
      .max = 1ULL << 30,
      .offset = MEMBER(queue_limit),
      .fallback = "256Ki",
      .help = "a client that lets more wait unread is not read from" },
    { .name = "transcript",
      .kind = ARGS_FLAG,
      .offset = MEMBER(transcript),
      .help = "prints every event to stderr, as the tutorial does" },
    { .name = "drain-timeout",
      .metavar = "DURATION",
      .kind = ARGS_DURATION,
      .offset = MEMBER(drain_ns),
      .fallback = "10s",
      .help = "after a signal, aborts what is not finished by then" },
    { .name = NULL },
};
#undef MEMBER

const struct args_command command_serve = {
    .name = "serve",
    .summary = "echoes what its clients send",
    .operands = "[WHERE...]",
    .examples = "  vigil serve\n"
                "  vigil serve --transcript --tick 1s tcp://localhost:10000\n"
                "  vigil serve --max-connections 10k --idle-timeout 5m '*:7' unix:/run/echo\n",
    .notes = "Sends every byte back to the client that sent it.  WHERE is tcp://host:port,\n"
             "tcp://[::1]:port, unix:/path, unix:@abstract, or a bare host:port; the default is\n"
             "" WHERE_DEFAULT ".  Port 0 takes a free one.  The addresses bound are printed to\n"
             "stdout, one line for each WHERE.  SIGTERM or SIGINT finishes what is under way and\n"
             "ends with 0; a second one ends at once.",
    .options = options,
    .settings_size = sizeof(struct settings),
    .operands_max = SIZE_MAX,
    .run = serve_run,
};

static const vigil_conn_ops echo_ops = { .open = echo_open };

static int serve_run(const struct args *args)
{
    size_t count = 0;
    const char *const *where = wheres(args, &count);
    for (size_t i = 0; i < count; i++) {
        if (!where_check(command_serve.name, where[i]))
            return EXIT_USAGE;
    }
    vigil_loop *loop = NULL;
    if (serve_open(args->settings, &loop) < 0)
        return EXIT_FAILED;
    int status = serve_on_loop(loop, args);
    vigil_loop_close(loop);
    return status;
}

static int serve_open(const struct settings *settings, vigil_loop **loop)
{
    const vigil_loop_options options_of_loop = {
        .backend = settings->backend,
        .stop_on_signals = true,
        .grace_ns = settings->drain_ns > 0 ? settings->drain_ns : 1, /* 0 would be the default */
    };
    int err = vigil_loop_open(loop, &options_of_loop);
    if (err < 0)
        args_complain(command_serve.name, "%s: %s",
                      settings->backend ? settings->backend : "the loop", platform_reason(err));
    return err;
}

/* Binds everything before it announces anything: a server that is half there is not there. */
static int serve_on_loop(vigil_loop *loop, const struct args *args)
{
    const struct settings *settings = args->settings;
    struct serve_transcript transcript = { .tick_ns = settings->tick_ns };
    vigil_listen_options listen_options = { .ops = &echo_ops };
    size_t count = 0;
    const char *const *where = wheres(args, &count);
    vigil_addr *bound = calloc(count, sizeof *bound);
    int status = bound ? EXIT_HELD : EXIT_FAILED;
    if (settings->transcript)
        serve_transcript_listen(&transcript, &listen_options);
    listen_options.limits = limits_of(settings);
    listen_options.max_conns = (uint32_t)settings->max_connections;
    for (size_t i = 0; i < count && status == EXIT_HELD; i++)
        status = listen_on(loop, args, i, &listen_options, &bound[i]);
    for (size_t i = 0; i < count && status == EXIT_HELD; i++)
        status = announce(settings, where[i], &bound[i]);
    free(bound);
    if (status == EXIT_HELD)
        status = serve_until_signal(loop, settings, settings->transcript ? &transcript : NULL);
    return status;
}

static int listen_on(vigil_loop *loop, const struct args *args, size_t i,
                     const vigil_listen_options *listen_options, vigil_addr *bound)
{
    size_t count = 0;
    const char *const *where = wheres(args, &count);
    vigil_listener listener;
    int err = vigil_listen(loop, where[i], listen_options, &listener);
    if (err == 0)
        err = vigil_listener_address(loop, listener, bound);
    if (err == 0)
        return EXIT_HELD;
    args_complain(command_serve.name, "%s: %s", where[i], vigil_strerror(err));
    return EXIT_FAILED;
}

/* stdout gets the address, for programs; stderr a sentence, for people. */
static int announce(const struct settings *settings, const char *where, const vigil_addr *bound)
{
    char text[VIGIL_ADDR_TEXT_MAX];
    char endpoint[TRANSCRIPT_NAME_MAX];
    const char *scheme = bound->family == VIGIL_FAMILY_UNIX ? "" : "tcp://";
    (void)vigil_addr_format(bound, text, sizeof text); /* always fits */
    if (printf("%s%s\n", scheme, text) < 0 || fflush(stdout) != 0) {
        args_complain(command_serve.name, "the address bound cannot be written to stdout: %s",
                      strerror(errno));
        return EXIT_FAILED;
    }
    transcript_endpoint(endpoint, where, vigil_addr_port(bound));
    if (settings->transcript)
        transcript_line("starting up on %s", endpoint);
    else
        transcript_line("listening on %s%s", scheme, text);
    return EXIT_HELD;
}

static int serve_until_signal(vigil_loop *loop, const struct settings *settings,
                              struct serve_transcript *transcript)
{
    struct ending ending = { 0 };
    vigil_signal ignored;
    int err = vigil_on_signal(loop, SIGINT, signal_came, &ending, &ignored);
    if (err == 0)
        err = vigil_on_signal(loop, SIGTERM, signal_came, &ending, &ignored);
    if (err == 0 && transcript)
        err = serve_transcript_begin(transcript, loop);
    if (err == 0)
        err = vigil_loop_run(loop);
    if (ending.second)
        return EXIT_SIGNAL + ending.second;
    if (err == 0)
        return EXIT_HELD;
    if (err == VIGIL_ETIMEDOUT)
        args_complain(command_serve.name, "aborted what was not finished in %gs (--drain-timeout)",
                      (double)settings->drain_ns / 1e9);
    else
        args_complain(command_serve.name, "%s", vigil_strerror(err));
    return EXIT_FAILED;
}

/* The loop drains by itself (stop_on_signals) at the first one; this counts. */
static void signal_came(vigil_loop *loop, int signo, void *arg)
{
    struct ending *ending = arg;
    if (++ending->signals < 2)
        return;
    ending->second = signo;
    vigil_loop_stop(loop);
}

static vigil_limits limits_of(const struct settings *settings)
{
    const size_t high = (size_t)settings->queue_limit;
    return (vigil_limits){
        .out_high = high,
        .out_low = high / 4,
        .out_hard = high > OUT_HARD_MIN / 4 ? high * 4 : OUT_HARD_MIN,
        .idle_ns = settings->idle_ns,
    };
}

static const char *const *wheres(const struct args *args, size_t *count)
{
    static const char *const fallback[] = { WHERE_DEFAULT };
    *count = args->operand_count > 0 ? args->operand_count : 1;
    return args->operand_count > 0 ? args->operands : fallback;
}

static void echo_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    (void)ctx; /* an echo remembers nothing */
    if (vigil_couple(loop, conn, conn) < 0)
        (void)vigil_abort(loop, conn); /* a connection without its echo is worse than none */
}
