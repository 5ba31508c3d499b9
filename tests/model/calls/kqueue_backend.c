/* SPDX-License-Identifier: MIT
 *
 * kqueue_backend.c -- the library's own backend on kqueue(2), which it is built without on this
 * machine: here it runs on the model, in worlds.
 */
#include "poller/kqueue.c"
