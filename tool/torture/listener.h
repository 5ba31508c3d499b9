/* SPDX-License-Identifier: MIT
 *
 * listener.h -- whether a process is the server under torture.  A pid with a wrong digit is another
 * process: its limit must not be lowered, it must not be sent a signal, and its memory says
 * nothing.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "process.h"
#include "target.h"

/* Connects once, and looks for the socket that accepted among the descriptors of the process and
 * its children.  NULL when it is there, with process->accepts, else what is wrong. */
const char *listener_look(struct process *process, const struct target *target);

#endif /* LISTENER_H */
