/* SPDX-License-Identifier: MIT
 *
 * fork_in_a_callback.c -- a child that returns from a callback ends the turn.  What it sent there
 * was written into the ring that it shares with its parent, over what the parent had to send; and
 * it died of giving back a buffer, for the ring of those is not its own.
 */
#include <sys/wait.h>

#include "conform/conn_rig.h"

enum { CONNS = 3 };

static pid_t child;
static int gate[2];

static size_t one_after_the_other(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    char go;
    int status = -1;
    switch (child != 0 ? *(const char *)p : '-') {
    case 'f':
        child = child < 0 ? fork() : child;
        if (child == 0) {
            (void)!read(gate[0], &go, 1);
            (void)!vigil_send(rig->loop, conn, "child", 5);
        }
        break;
    case 's':
        EQ_INT(6, vigil_send(rig->loop, conn, "parent", 6));
        break;
    case 'w': /* what it sent is on its way */
        REQUIRE(write(gate[1], "", 1) == 1);
        REQUIRE(waitpid(child, &status, 0) == child);
        OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it ended with 0x%x", status);
        break;
    default:
        break;
    }
    return n;
}

CONFORM(a_child_wrote_over_what_its_parent_sent)
{
    struct rig rig;
    int fds[CONNS];
    char got[8] = "";
    test_needs_incremental(backend);
    rig_open(&rig, backend, NULL);
    rig.on_data = one_after_the_other;
    REQUIRE(pipe2(gate, O_CLOEXEC) == 0);
    for (int i = 0; i < CONNS; i++) {
        fds[i] = rig_client_opened(&rig);
    }
    rig_settle(&rig);
    static char whole[16384 + 1]; /* a buffer of the kernel's, full */
    memset(whole, 'f', sizeof(whole) - 1);
    client_send(fds[0], whole);
    client_send(fds[1], "s");
    client_send(fds[2], "w");
    child = -1;
    for (int turns = 0; turns < 100 && rig.used_total < sizeof(whole) + 1 && child != 0; turns++)
        (void)vigil_loop_turn(rig.loop, VIGIL_MS(100));
    if (child == 0)
        raise(SIGKILL); /* valgrind would take the copy of its parent's memory for a leak */
    rig_settle(&rig);
    EQ_INT(6, client_peek(fds[1], got, sizeof(got)));
    EQ_STR("parent", got);
    EQ_INT(-1, client_peek(fds[2], got, sizeof(got)));
    for (int i = 0; i < CONNS; i++)
        close(fds[i]);
    close(gate[0]);
    close(gate[1]);
    rig_close(&rig);
}
