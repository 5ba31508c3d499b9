/* SPDX-License-Identifier: MIT
 *
 * clean_end_of_a_part.c -- a connection that the system failed, with output left, was closed as if
 * that were all: the peer saw a clean end behind a part of what was sent, and could not know.
 */
#include "conform/conn_rig.h"
#include "sys/host.h"

static char block[100000];
static bool failing;

static int no_buffers_out(void *self, vigil_fd fd, const void *p, size_t n)
{
    return failing ? VIGIL_ENOBUFS : vigil__host_system()->send(self, fd, p, n);
}

/* Nothing is left unread, or the system would answer the close with a reset by itself. */
static int reset_in(void *self, vigil_fd fd, void *p, size_t n)
{
    int got = vigil__host_system()->recv(self, fd, p, n);
    return failing ? VIGIL_ECONNRESET : got;
}

/* A loop that listens, on this machine but for one call. */
static void open_on(struct rig *rig, const char *backend, vigil_host *host)
{
    if (test_kernel_performs(backend))
        SKIP("the kernel sends and receives");
    needs_resets();
    failing = false;
    rig_open_loop(rig, backend, &(vigil_loop_options){ .host = host });
    rig_listen(rig, "tcp://127.0.0.1:0", NULL);
}

static size_t answer_twice(struct rig *rig, vigil_conn conn, const void *p, size_t n)
{
    (void)p;
    EQ_INT(0, vigil_send_all(rig->loop, conn, block, 1000));
    if (rig->number++ > 0)
        failing = true;
    return n;
}

/* The client has the first answer whole, and then sees `end`: a reset. */
static void second_answer_fails(struct rig *rig, ssize_t end)
{
    static char got[sizeof(block)];
    rig->on_data = answer_twice;
    int fd = rig_client(rig);
    client_send(fd, "1");
    rig_client_gets(rig, fd, got, 1000);
    client_send(fd, "2");
    RIG_UNTIL(rig, rig->closed == 1);
    EQ_INT(end, rig_client_end(rig, fd));
    close(fd);
    rig_close(rig);
}

CONFORM(a_send_that_failed_ended_cleanly)
{
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.send = no_buffers_out;
    open_on(&rig, backend, &host);
    second_answer_fails(&rig, -2);
}

static void fill(struct rig *rig, vigil_conn conn)
{
    while (vigil_send_all(rig->loop, conn, block, sizeof(block)) == 0)
        continue;
}

/* Its output is stuck when input fails. */
CONFORM(a_receive_that_failed_ended_cleanly)
{
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.recv = reset_in;
    open_on(&rig, backend, &host);
    rig.on_open = fill;
    rig.on_writable = fill;
    int fd = rig_client_opened(&rig);
    rig_settle(&rig); /* the system takes no more */
    OK(rig_info(&rig, rig.conn).queued > 0);
    failing = true;
    client_send(fd, "1");
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(-2, rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}

static void send_some(struct rig *rig, vigil_conn conn)
{
    EQ_INT(0, vigil_send_all(rig->loop, conn, block, 1000));
}

/* Nothing waits here, but there was more to come: it has not been ended. */
CONFORM(a_receive_that_failed_ended_what_had_not_ended)
{
    static char got[1000];
    struct rig rig;
    vigil_host host = *vigil__host_system();
    host.recv = reset_in;
    open_on(&rig, backend, &host);
    rig.on_open = send_some;
    int fd = rig_client_opened(&rig);
    rig_client_gets(&rig, fd, got, 1000);
    failing = true;
    client_send(fd, "1");
    RIG_UNTIL(&rig, rig.closed == 1);
    EQ_INT(-2, rig_client_end(&rig, fd));
    close(fd);
    rig_close(&rig);
}
