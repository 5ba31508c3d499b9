/* SPDX-License-Identifier: MIT
 *
 * afd_backend.c -- the library's own backend on Windows' driver of sockets, which it is built
 * without on this machine: here it runs on the model, in worlds.
 */
#define VIGIL_AFD_MODEL
#include "poller/afd.c"
