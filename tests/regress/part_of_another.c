/* SPDX-License-Identifier: MIT
 *
 * part_of_another.c -- the first 64 connections find memory for what only some have, a deadline of
 * their own, bytes that wait; but one of theirs was the loop's while a message went straight, so
 * that without memory the last one had none.  And when that was given back while who heard of a
 * stall coupled its connection, without memory, it was given back twice.
 */
#include "conform/conn_rig.h"

enum { MANY = 64, MORE = 68 };

static vigil_conn conns[MORE];
static int fds[MORE];

static void open_many(struct rig *rig, int count)
{
    if (test_many(count, 1) < count) {
        rig_close(rig);
        SKIP("so many connections are needed, and each call fails in turn");
    }
    for (int i = 0; i < count; i++) {
        fds[i] = rig_client_opened(rig);
        conns[i] = rig->conn;
    }
}

static void close_many(struct rig *rig, int count)
{
    for (int i = 0; i < count; i++)
        close(fds[i]);
    rig_close(rig);
}

static size_t give_the_last_a_deadline(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn, (void)p;
    rig->memory.fail_after = 0;
    EQ_INT(0, vigil_conn_deadline(rig->loop, conns[MANY - 1], VIGIL_S(100)));
    rig->memory.fail_after = SIZE_MAX;
    return n;
}

CONFORM(the_last_of_64_had_no_memory_for_a_deadline)
{
    struct rig rig;
    rig_open(&rig, backend, NULL);
    open_many(&rig, MANY);
    for (int i = 1; i < MANY - 1; i++)
        EQ_INT(0, vigil_conn_deadline(rig.loop, conns[i], VIGIL_S(100)));
    client_send(fds[0], "warm");
    RIG_UNTIL(&rig, rig.used_total == 4);
    EQ_INT(0, vigil_conn_deadline(rig.loop, conns[0], VIGIL_S(100)));
    rig_settle(&rig);
    rig.on_data = give_the_last_a_deadline;
    client_send(fds[0], "message");
    RIG_UNTIL(&rig, rig.used_total == 11);
    close_many(&rig, MANY);
}

static size_t send_to_another(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)conn;
    EQ_INT(n, vigil_send(rig->loop, conns[1], p, n));
    rig_sleep(VIGIL_MS(5));
    return n;
}

static int reports;

static void couple_without_memory(vigil_loop *loop, const char *callback, vigil_ns took, void *user)
{
    (void)took;
    struct rig *rig = user;
    if (strcmp(callback, "data") != 0)
        return;
    reports++;
    rig->memory.fail_after = 0;
    EQ_INT(VIGIL_ENOMEM, vigil_couple(loop, conns[0], conns[2]));
    rig->memory.fail_after = SIZE_MAX;
}

CONFORM(what_it_had_was_given_back_twice)
{
    struct rig rig;
    reports = 0;
    rig_open_loop(&rig, backend,
                  &(vigil_loop_options){ .stall_after_ns = VIGIL_MS(1),
                                         .on_stall = couple_without_memory,
                                         .user = &rig });
    rig_listen(&rig, "tcp://127.0.0.1:0", NULL);
    open_many(&rig, MORE);
    for (int i = 1; i < MORE; i++) /* none is left over */
        if (i != 2)
            EQ_INT(0, vigil_conn_deadline(rig.loop, conns[i], VIGIL_S(100)));
    rig.on_data = send_to_another;
    for (size_t i = 1; reports < 3 && i < 10; i++) { /* they are timed one by one from the first */
        client_send(fds[0], "message");
        RIG_UNTIL(&rig, rig.used_total == i * 7);
    }
    EQ_INT(3, reports);
    close_many(&rig, MORE);
}
