/* SPDX-License-Identifier: MIT
 *
 * serve_transcript.h -- the echo of `vigil serve --transcript`, which tells every event.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_SERVE_TRANSCRIPT_H
#define TOOL_SERVE_TRANSCRIPT_H

#include <stdbool.h>

#include "vigil.h"

/* One server's transcript.  Set tick_ns, the rest begins with zero; it must outlive the loop's
 * run. */
struct serve_transcript {
    vigil_ns tick_ns;      /* tell when nothing happened for so long; 0: never */
    vigil_ns last_event;   /* vigil_now() then */
    unsigned long clients; /* so far */
    bool pause_due;        /* the end of this turn is to be told */
    bool told;             /* something, since it last waited */
};

/* Makes a listener's connections tell what happens to them. */
void serve_transcript_listen(struct serve_transcript *transcript, vigil_listen_options *options);

/* Tells that it waits, and starts the tick.  0 or a negative vigil_status. */
int serve_transcript_begin(struct serve_transcript *transcript, vigil_loop *loop);

#endif /* TOOL_SERVE_TRANSCRIPT_H */
