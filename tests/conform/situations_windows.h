/* SPDX-License-Identifier: MIT
 *
 * situations_windows.h -- the situations on Windows, of which it tells less than Linux: HUP of
 * resets alone, nothing of a socket that was never connected, and, under Wine, no end of input
 * while data stands before it.
 */
static const struct situation {
    const char *name;
    void (*make)(int fds[2]);
    unsigned events;
} situations[] = {
    { "tcp idle", tcp_idle, VIGIL_OUT },
    { "tcp with data", tcp_data, ALL_IN_OUT },
    { "tcp without room", tcp_full, 0 },
    { "tcp, the peer is done", tcp_peer_done, ALL_IN_OUT | VIGIL_RDHUP },
    { "tcp, the peer is done, unread data", tcp_peer_done_unread, ALL_IN_OUT },
    { "tcp, both are done, unread data", tcp_both_done_unread, ALL_IN_OUT | VIGIL_RDHUP },
    { "tcp reset", tcp_reset, ALL_IN_OUT | VIGIL_RDHUP | VIGIL_HUP | VIGIL_ERR },
    { "tcp with urgent data", tcp_urgent, VIGIL_PRI | ALL_IN_OUT },
    { "tcp never connected", tcp_unconnected, 0 },
    { "tcp refused", tcp_refused, ALL_IN_OUT | VIGIL_RDHUP | VIGIL_HUP | VIGIL_ERR },
    { "listener idle", listener_idle, 0 },
    { "listener with a connection", listener_called, VIGIL_IN },
};

enum { PEER_CLOSED = 0 }; /* a pair of TCP sockets stands for one of Unix */
