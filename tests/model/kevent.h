/* SPDX-License-Identifier: MIT
 *
 * kevent.h -- what a test can change of the modelled kevent(), and see of it.
 */
#ifndef MODEL_KEVENT_H
#define MODEL_KEVENT_H

#include <stdbool.h>

#include <sys/event.h>

/* macOS's own filter, whether or not <sys/event.h> names it in this program. */
#define MODEL_EVFILT_EXCEPT (-15)
#define MODEL_NOTE_OOB      0x00000002

extern struct kevent_model {
    bool refuse_terminals; /* macOS: /dev/tty has no filter */
    int calls;             /* of kevent(), by any thread of this process */
} kevent_model;

#endif
