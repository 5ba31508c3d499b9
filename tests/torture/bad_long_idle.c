/* SPDX-License-Identifier: MIT
 *
 * bad_long_idle.c -- goes to sleep when nobody has said anything for a second, and does not wake up
 * well: what then comes from a client that it has served before is read, and nothing else.
 */
#include "server.h"

#define SLEEP_MS 1000

static int64_t active_ms;
static bool busy; /* somebody had something to wait for */

static bool begin(struct conn *conn)
{
    (void)conn;
    active_ms = server_now();
    return true;
}

static int note_busy(void)
{
    const bool was_busy = busy;
    busy = false;
    for (size_t i = 0; i < server_conn_count; i++)
        busy = busy || server_conns[i]->out_len > 0;
    if (was_busy || busy)
        active_ms = server_now();
    return -1;
}

static size_t forget(struct conn *conn, unsigned char *bytes, size_t n)
{
    const bool slept = server_now() - active_ms >= SLEEP_MS;
    (void)bytes;
    if (slept && conn->received > 0)
        return 0;
    active_ms = server_now();
    return n;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = begin, .turn = note_busy, .received = forget };
    return server_run(argc, argv, &wrong);
}
