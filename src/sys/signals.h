/* SPDX-License-Identifier: MIT
 *
 * signals.h -- the host table's two calls for signals.  Floor: sys.
 */
#ifndef VIGIL_SIGNALS_H
#define VIGIL_SIGNALS_H

#include "sys/host.h"

/* 0, VIGIL_EINVAL (no signal that can be caught), VIGIL_EFULL (too many subscriptions of this
 * process). */
int vigil__signal_add(void *self, int signo, struct vigil__signal_sink *sink);
void vigil__signal_remove(void *self, int signo, struct vigil__signal_sink *sink);

#endif
