/* SPDX-License-Identifier: MIT
 *
 * held_beside_others.c -- a buffer that the kernel fills bit by bit belongs to several connections.
 * Input that was read by a call of ours joined what was held in such a one, behind it: there the
 * kernel puts the bytes of the next, so that each got the other's.
 */
#include "conform/conn_rig.h"

enum { FIRST = 5000, MORE = 60, TAKEN = 10, IN_MAX = FIRST + MORE - TAKEN };

static vigil_conn victim;
static int neighbour; /* the peer of the other connection */
static bool mixed;

static size_t hold(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    static const char block[100000];
    static char theirs[8000];
    if (conn.v != victim.v) {
        mixed = mixed || memchr(p, 'A', n) != NULL;
        return n;
    }
    mixed = mixed || memchr(p, 'b', n) != NULL;
    switch (++rig->number) {
    case 1: /* its own output holds it up, and will fail */
        OK(n == FIRST && vigil_send(rig->loop, conn, block, sizeof(block)) < sizeof(block));
        return 0;
    case 2: /* the same once more */
        return 0;
    case 3: /* and what was sent before the end: room for the rest */
        EQ_INT(IN_MAX, n);
        memset(theirs, 'b', sizeof(theirs));
        EQ_INT(sizeof(theirs), send(neighbour, theirs, sizeof(theirs), MSG_DONTWAIT));
        return TAKEN;
    default:
        return 0;
    }
}

static int adopt_one(struct rig *rig, const vigil_limits *limits, vigil_conn *conn)
{
    int fds[2];
    int size = 4096;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
    vigil_conn_options o = { .ops = &rig->ops, .ctx = rig, .limits = *limits };
    EQ_INT(0, vigil_adopt(rig->loop, fds[0], fds[0], &o, conn));
    return fds[1];
}

CONFORM(what_is_held_beside_others_was_mixed_with_theirs)
{
    test_needs_incremental(backend);
    struct rig rig;
    static char text[FIRST];
    vigil_conn other;
    rig_open_loop(&rig, backend, NULL);
    rig.on_data = hold;
    mixed = false;
    int fd = adopt_one(&rig, &(vigil_limits){ .in_max = IN_MAX, .out_high = 65536 }, &victim);
    neighbour = adopt_one(&rig, &(vigil_limits){ 0 }, &other);
    memset(text, 'a', sizeof(text));
    EQ_INT(FIRST, send(fd, text, FIRST, 0));
    RIG_UNTIL(&rig, rig.number == 1);
    rig_settle(&rig);
    memset(text, 'A', MORE);
    EQ_INT(MORE, send(fd, text, MORE, 0));
    close(fd);
    RIG_UNTIL(&rig, rig.closed == 1);
    rig_settle(&rig);
    OK(rig.number > 3, "%s", rig.log);
    OK(!mixed, "one had bytes of the other's: %s", rig.log);
    close(neighbour);
    rig_close(&rig);
}
