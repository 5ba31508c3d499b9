/* SPDX-License-Identifier: MIT
 *
 * liburing.c -- an echo server on liburing as its tutorials build one: multishot accept, multishot
 * receive into a ring of buffers, and a send of each buffer, which goes back to the ring when the
 * send is done.
 */
#include <arpa/inet.h>
#include <liburing.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "peer.h"

#define BUFFERS     256
#define BUFFER_SIZE 4096
#define GROUP       0

enum { ACCEPT, RECEIVE, SEND, CLOSE };

static void buffer_give(unsigned id);
static struct io_uring_sqe *request(void);
static void tag(struct io_uring_sqe *sqe, int what, int fd, unsigned buffer);
static void accept_all(int listener);
static void receive(int fd);
static void close_later(int fd);
static void completed(const struct io_uring_cqe *cqe, int listener);

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static unsigned char memory[BUFFERS][BUFFER_SIZE];

int main(int argc, char **argv)
{
    const int on = 1;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name;
    struct io_uring_buf_reg group = { .ring_entries = BUFFERS, .bgid = GROUP };
    struct io_uring_cqe *cqe = NULL;
    memset(&name, 0, sizeof name);
    name.sin_family = AF_INET;
    name.sin_port = htons((unsigned short)peer_port(argc, argv));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&name, sizeof name) < 0 || listen(listener, 128) < 0 ||
        io_uring_queue_init(1024, &ring, 0) < 0 ||
        posix_memalign((void **)&buffers, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0)
        return 1;
    group.ring_addr = (uint64_t)(uintptr_t)buffers;
    if (io_uring_register_buf_ring(&ring, &group, 0) < 0)
        return 1;
    io_uring_buf_ring_init(buffers);
    for (unsigned id = 0; id < BUFFERS; id++)
        buffer_give(id);
    accept_all(listener);
    while (io_uring_submit_and_wait(&ring, 1) >= 0) {
        while (io_uring_peek_cqe(&ring, &cqe) == 0) {
            completed(cqe, listener);
            io_uring_cqe_seen(&ring, cqe);
        }
    }
    return 1;
}

static void buffer_give(unsigned id)
{
    io_uring_buf_ring_add(buffers, memory[id], BUFFER_SIZE, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

/* Room for one request; the queue is handed over when it is full. */
static struct io_uring_sqe *request(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

/* What the request is, of whom, and with which buffer. */
static void tag(struct io_uring_sqe *sqe, int what, int fd, unsigned buffer)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)what << 60 | (uint64_t)buffer << 32 | (unsigned)fd);
}

static void accept_all(int listener)
{
    struct io_uring_sqe *sqe = request();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    tag(sqe, ACCEPT, listener, 0);
}

static void receive(int fd)
{
    struct io_uring_sqe *sqe = request();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    tag(sqe, RECEIVE, fd, 0);
}

/* Behind the sends that are in the queue already. */
static void close_later(int fd)
{
    struct io_uring_sqe *sqe = request();
    io_uring_prep_close(sqe, fd);
    tag(sqe, CLOSE, fd, 0);
}

static void completed(const struct io_uring_cqe *cqe, int listener)
{
    const int what = (int)(cqe->user_data >> 60);
    const int fd = (int)(cqe->user_data & 0xffffffff);
    if (what == ACCEPT) {
        if (cqe->res >= 0)
            receive(cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE))
            accept_all(listener);
    } else if (what == RECEIVE) {
        if (cqe->res > 0) {
            const unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
            struct io_uring_sqe *sqe = request();
            io_uring_prep_send(sqe, fd, memory[id], (size_t)cqe->res, MSG_NOSIGNAL);
            tag(sqe, SEND, fd, id);
        }
        if (cqe->res == -ENOBUFS)
            receive(fd);
        else if (cqe->res <= 0)
            close_later(fd);
        else if (!(cqe->flags & IORING_CQE_F_MORE))
            receive(fd);
    } else if (what == SEND) {
        buffer_give((unsigned)(cqe->user_data >> 32) & 0xffff);
    }
}
