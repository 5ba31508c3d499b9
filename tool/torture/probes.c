/* SPDX-License-Identifier: MIT
 *
 * probes.c -- the probes, in the order in which they run.  First the leak: memory that a server has
 * once had and does not need any more would hide it.  Then what every client may do, what a hostile
 * one does, and what the machine does to the server; last of all it is stopped.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <string.h>

#include "hazards/hazards.h"
#include "torture.h"

const struct probe *const probes[] = {
    &probe_leak,
    &probe_half_close,
    &probe_never_reader,
    &probe_neighbour,
    &probe_order,
    &probe_reset_while_busy,
    &probe_connect_and_vanish,
    &probe_fd_exhaustion,
    &probe_one_byte_segments,
    &probe_slow_loris,
    &probe_urgent_data,
    &probe_zero_window,
    &probe_half_open_peers,
    &probe_accept_burst,
    &probe_long_idle,
    &probe_big_write,
    &probe_many_small_writes,
    &probe_simultaneous_close,
    &probe_shutdown_then_reset,
    &probe_graceful_stop,
    NULL,
};

const char *probe_name_next(const char **list, size_t *len)
{
    const char *name = *list;
    if (!name || !*name)
        return NULL;
    *len = strcspn(name, ",");
    *list += *len + (name[*len] == ',');
    return name;
}

bool probe_has_name(const struct probe *probe, const char *name, size_t len)
{
    return strlen(probe->name) == len && strncmp(probe->name, name, len) == 0;
}
