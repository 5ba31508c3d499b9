/* SPDX-License-Identifier: MIT
 *
 * bad_zero_window.c -- takes a client that has not read for a second for dead, and forgets what it
 * had for it.  It looks for such clients when it has no other to serve.
 */
#include "server.h"

#define FDS_MAX 20000
#define DEAD_MS 1000

/* By descriptor. */
static struct {
    uint64_t sent;
    int64_t since_ms;
    bool forgotten; /* once is enough: what it forgets it has room for again */
} stalls[FDS_MAX];

static bool begin(struct conn *conn)
{
    stalls[conn->fd].forgotten = false;
    return true;
}

static int forget_stalled(void)
{
    int wait_ms = -1;
    const int64_t now = server_now();
    for (size_t i = 0; i < server_conn_count; i++) {
        struct conn *conn = server_conns[i];
        const uint64_t sent = conn->received - conn->out_len;
        if (sent != stalls[conn->fd].sent || conn->out_len == 0 || server_conn_count > 1) {
            stalls[conn->fd].sent = sent;
            stalls[conn->fd].since_ms = now;
        }
        if (stalls[conn->fd].forgotten || conn->out_len == 0)
            continue;
        wait_ms = DEAD_MS / 8;
        if (now - stalls[conn->fd].since_ms >= DEAD_MS) {
            stalls[conn->fd].forgotten = true;
            conn->out_len = 0;
        }
    }
    return wait_ms;
}

int main(int argc, char **argv)
{
    const struct behaviour wrong = { .accepted = begin, .turn = forget_stalled };
    return server_run(argc, argv, &wrong);
}
