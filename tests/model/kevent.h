/* SPDX-License-Identifier: MIT
 *
 * kevent.h -- what a test can change of the modelled kevent(), and see of it.
 */
#ifndef MODEL_KEVENT_H
#define MODEL_KEVENT_H

#include "model/knotes.h"

extern struct kevent_model {
    bool refuse_terminals; /* macOS: /dev/tty has no filter */
    bool no_memory;        /* for one more filter: ENOMEM */
    int calls;             /* of kevent(), by any thread of this process */
} kevent_model;

#endif
