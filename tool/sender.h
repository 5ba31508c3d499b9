/* SPDX-License-Identifier: MIT
 *
 * sender.h -- what the files of `vigil send` share: cmd_send.c sets a sender up and reports,
 * send_schedule.c decides who sends and reads when, send_input.c brings stdin, send_peer.c has the
 * connections and compares their echo.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_SENDER_H
#define TOOL_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"
#include "transcript.h"
#include "vigil.h"
#include "where.h"

#define SENDER_TARGETS_MAX 8 /* addresses of one name that are tried */

struct send_settings {
    uint64_t connections;
    vigil_ns delay_ns;
    vigil_ns start_delay_ns;
    uint64_t read_size;
    const char *backend;
    vigil_ns timeout_ns;
};

struct sender;

/* One connection. */
struct peer {
    struct sender *sender;
    vigil_conn conn;
    size_t index;
    int target;                     /* which address it tries, or has */
    bool open;                      /* it was connected once */
    bool paused;                    /* not reading, it is not its turn */
    bool ended;                     /* our side */
    bool closed;                    /* for good */
    uint64_t sent;                  /* bytes, and */
    uint64_t echoed;                /* of these came back */
    char name[TRANSCRIPT_NAME_MAX]; /* of our side, for the transcript */
};

/* One run.  The same stream goes out on every connection. */
struct sender {
    const struct send_settings *settings;
    vigil_loop *loop;
    char targets[SENDER_TARGETS_MAX][WHERE_TEXT_MAX];
    int target_count;
    struct peer *peers;
    size_t peer_count;
    size_t open_count;
    size_t closed_count;

    const char *const *messages; /* none: the one message is stdin */
    size_t message_count;
    size_t step;          /* messages begun */
    struct stream stream; /* the messages, one behind the other; or a window of stdin */
    uint64_t limit;       /* connections may send up to this offset */
    bool ended;           /* nothing follows `limit` */
    vigil_timer step_timer;

    bool read_all;     /* every connection reads; else only the one whose turn it is: */
    size_t turn;       /* its index; SIZE_MAX: nobody */
    vigil_watch input; /* stdin */
    bool input_full;   /* the stream has no room for more of it */
    vigil_ns progress; /* when something last happened, or will */
    bool interrupted;  /* by a first signal */

    uint64_t messages_sent;
    uint64_t bytes_sent;
    uint64_t bytes_echoed;
    uint64_t wrong;
    int status; /* the exit status, so far */
};

/* cmd_send.c: the first failure is told in one line, and ends the run. */
void sender_fail(struct sender *sender, int status, const char *format, ...)
    __attribute__((format(__printf__, 3, 4)));

/* send_schedule.c */
void schedule_connected(struct sender *sender);     /* all are: the first message is due */
void schedule_end(struct sender *sender);           /* no more is sent; all may read */
void schedule_read_all(struct sender *sender);      /* nobody waits for a turn any more */
void schedule_echoed(struct sender *sender);        /* a connection read something */
void schedule_interrupt(struct sender *sender);     /* stops sending, reads what is due */
void schedule_progressed(struct sender *sender);    /* something moved just now */
int schedule_watch_progress(struct sender *sender); /* starts to look at --timeout */

/* send_input.c */
int input_begin(struct sender *sender);      /* 0 or a negative vigil_status */
void input_make_room(struct sender *sender); /* something was echoed */
void input_stop(struct sender *sender);

/* send_peer.c */
int peer_connect(struct peer *peer); /* 0 or a negative vigil_status */
void peer_pump(struct peer *peer);   /* sends what it may */
void peer_read(struct peer *peer, bool on);
void peer_fail(struct peer *peer, int status, const char *what);

#endif /* TOOL_SENDER_H */
