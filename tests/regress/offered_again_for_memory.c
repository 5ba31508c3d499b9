/* SPDX-License-Identifier: MIT
 *
 * offered_again_for_memory.c -- a `data` that wants more had to wait for memory to read into, and
 * when there was some, was first offered once more what it had left.
 */
#include "conform/conn_rig.h"

static size_t wants_ten(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)rig;
    (void)conn;
    (void)p;
    return n >= 10 ? n : 0;
}

CONFORM(who_wants_more_was_offered_the_same_when_memory_came)
{
    static char block[200 << 10]; /* more than input may use */
    struct rig rig;
    int fds[2];
    int size = 4096;
    rig_open_loop(&rig, backend, &(vigil_loop_options){ .memory_limit = 256 << 10 });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    rig.on_data = wants_ten;
    rig.ops.writable = NULL;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
    vigil_conn to;
    EQ_INT(0, rig_adopt(&rig, fds[0], fds[0], &to));
    int fd = rig_client_opened(&rig);
    client_send(fd, "12345");
    RIG_UNTIL(&rig, strcmp(rig.log, "data(5)") == 0);
    EQ_INT(0, vigil_send_all(rig.loop, to, block, sizeof(block)));
    client_send(fd, "67890");
    rig_settle(&rig);
    while (rig_info(&rig, to).queued > 0) {
        (void)client_peek(fds[1], block, sizeof(block));
        REQUIRE(vigil_loop_turn(rig.loop, VIGIL_MS(1)) >= 0);
    }
    RIG_UNTIL(&rig, rig.used_total == 10);
    EQ_STR("data(5) data(10)", rig_take_log(&rig));
    close(fd);
    close(fds[1]);
    rig_close(&rig);
}
