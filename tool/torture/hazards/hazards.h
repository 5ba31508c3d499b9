/* SPDX-License-Identifier: MIT
 *
 * hazards.h -- the probes, one per file: half_close.c has probe_half_close, and so on.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef HAZARDS_H
#define HAZARDS_H

#include "../torture.h"

extern const struct probe probe_half_close;
extern const struct probe probe_never_reader;
extern const struct probe probe_neighbour;
extern const struct probe probe_order;
extern const struct probe probe_reset_while_busy;
extern const struct probe probe_connect_and_vanish;
extern const struct probe probe_fd_exhaustion;
extern const struct probe probe_one_byte_segments;
extern const struct probe probe_slow_loris;
extern const struct probe probe_urgent_data;
extern const struct probe probe_zero_window;
extern const struct probe probe_half_open_peers;
extern const struct probe probe_accept_burst;
extern const struct probe probe_long_idle;
extern const struct probe probe_big_write;
extern const struct probe probe_many_small_writes;
extern const struct probe probe_simultaneous_close;
extern const struct probe probe_shutdown_then_reset;
extern const struct probe probe_leak;
extern const struct probe probe_graceful_stop;

#endif /* HAZARDS_H */
