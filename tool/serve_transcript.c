/* SPDX-License-Identifier: MIT
 *
 * serve_transcript.c -- the echo of `vigil serve --transcript`: copies each client's bytes back
 * itself instead of coupling, so that it can tell every event in the tutorial's words.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "serve_transcript.h"

#include <stdio.h>
#include <stdlib.h>

#include "transcript.h"

#define QUEUE_LOOK_NS VIGIL_MS(10) /* how soon to look again at a queue that was not empty */

struct client {
    struct serve_transcript *transcript;
    char name[TRANSCRIPT_NAME_MAX];
    size_t shown;    /* bytes at the start of the next `data` that were told as received */
    bool has_output; /* sent something, and its queue was not seen empty since */
};

static void *client_new(vigil_loop *loop, vigil_conn conn, void *user);
static void client_open(vigil_loop *loop, vigil_conn conn, void *ctx);
static size_t client_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n);
static void client_eof(vigil_loop *loop, vigil_conn conn, void *ctx);
static void client_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why);
static void happened(struct serve_transcript *transcript, vigil_loop *loop);
static void turn_ended(vigil_loop *loop, void *arg);
static bool queue_look(vigil_loop *loop, vigil_conn conn, struct client *client);
static bool queues_look(vigil_loop *loop);
static void tick(vigil_loop *loop, void *arg);
static void waiting(void);

static const vigil_conn_ops transcript_ops = {
    .open = client_open,
    .data = client_data,
    .eof = client_eof,
    .close = client_close,
};

void serve_transcript_listen(struct serve_transcript *transcript, vigil_listen_options *options)
{
    options->ops = &transcript_ops;
    options->ctx = client_new;
    options->user = transcript;
}

int serve_transcript_begin(struct serve_transcript *transcript, vigil_loop *loop)
{
    transcript->last_event = vigil_now(loop);
    waiting();
    if (transcript->tick_ns == 0)
        return 0;
    return vigil_after(loop, transcript->tick_ns, tick, transcript, NULL);
}

static void *client_new(vigil_loop *loop, vigil_conn conn, void *user)
{
    struct client *client = calloc(1, sizeof *client);
    vigil_addr peer = { 0 };
    if (!client)
        return NULL; /* refused, and counted by the loop */
    client->transcript = user;
    (void)vigil_conn_peer(loop, conn, &peer); /* one that is gone already stays "unknown" */
    transcript_name(client->name, &peer, ++client->transcript->clients);
    return client;
}

static void client_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *client = ctx;
    (void)conn; /* nothing to send yet */
    transcript_line("new connection from %s", client->name);
    happened(client->transcript, loop);
}

static size_t client_data(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct client *client = ctx;
    char after[TRANSCRIPT_NAME_MAX + 8];
    (void)queue_look(loop, conn, client); /* before the next is told: it left in this turn */
    if (n > client->shown) {
        (void)snprintf(after, sizeof after, " from %s", client->name);
        transcript_payload("received ", (const char *)p + client->shown, n - client->shown, after);
    }
    size_t sent = vigil_send(loop, conn, p, n);
    if (sent > 0) {
        (void)snprintf(after, sizeof after, " to %s", client->name);
        transcript_payload("sending ", p, sent, after);
        client->has_output = true;
    }
    client->shown = n - sent;
    happened(client->transcript, loop);
    return sent;
}

static void client_eof(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct client *client = ctx;
    (void)queue_look(loop, conn, client); /* as above */
    transcript_line("closing %s after reading no data", client->name);
    happened(client->transcript, loop);
    (void)vigil_end(loop, conn); /* what is queued still goes out */
}

static void client_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct client *client = ctx;
    (void)conn; /* gone after this */
    if (why != VIGIL_OK) {
        transcript_line("closed %s: %s", client->name, vigil_strerror(why));
        happened(client->transcript, loop);
    }
    free(client);
}

/* Something was told: the end of this turn is to be told too. */
static void happened(struct serve_transcript *transcript, vigil_loop *loop)
{
    transcript->last_event = vigil_now(loop);
    transcript->told = true;
    if (!transcript->pause_due)
        transcript->pause_due = vigil_turn_soon(loop, turn_ended, transcript) == 0;
}

static void turn_ended(vigil_loop *loop, void *arg)
{
    struct serve_transcript *transcript = arg;
    bool look_again = queues_look(loop);
    transcript->pause_due = look_again &&
                            vigil_after(loop, QUEUE_LOOK_NS, turn_ended, transcript, NULL) == 0;
    if (transcript->told)
        waiting();
    transcript->told = false;
}

/* Tells when a client's output has left; answers whether it has not. */
static bool queue_look(vigil_loop *loop, vigil_conn conn, struct client *client)
{
    vigil_conn_info info;
    if (!client->has_output || vigil_conn_info_get(loop, conn, &info) < 0)
        return false;
    client->has_output = info.queued > 0;
    if (client->has_output)
        return true;
    transcript_line("output queue for %s is empty", client->name);
    client->transcript->told = true;
    return false;
}

/* The same of all; answers whether somebody's has not. */
static bool queues_look(vigil_loop *loop)
{
    bool left = false;
    vigil_conn conn = vigil_conn_next(loop, (vigil_conn){ 0 });
    for (; conn.v != 0; conn = vigil_conn_next(loop, conn)) {
        struct client *client = vigil_conn_ctx(loop, conn);
        left = (client && queue_look(loop, conn, client)) || left;
    }
    return left;
}

/* The tutorial's select() timeout: only when nothing happened for the whole of it. */
static void tick(vigil_loop *loop, void *arg)
{
    struct serve_transcript *transcript = arg;
    vigil_ns quiet = vigil_now(loop) - transcript->last_event;
    if (quiet >= transcript->tick_ns) {
        transcript_line("  timed out, do some other work here");
        waiting();
        transcript->last_event = vigil_now(loop);
        quiet = 0;
    }
    (void)vigil_after(loop, transcript->tick_ns - quiet, tick, transcript, NULL); /* or no more */
}

static void waiting(void)
{
    transcript_line("\nwaiting for the next event");
}
