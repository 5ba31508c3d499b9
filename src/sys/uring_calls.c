/* SPDX-License-Identifier: MIT
 *
 * uring_calls.c -- the three calls of io_uring(7), and the memory that it shares.  Floor: sys.
 *
 * Raw system calls: errno ends here.  Where the system's header has what uring_abi.h says, the two
 * are compared.
 */
#include "sys/uring_calls.h"

#ifdef __linux__

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/host.h"

#define NS_PER_S 1000000000

/* The same numbers on every machine that counts like this one. */
#ifdef SYS_io_uring_setup
enum { CALL_SETUP = SYS_io_uring_setup, CALL_ENTER = SYS_io_uring_enter };
enum { CALL_REGISTER = SYS_io_uring_register };
#else
enum { CALL_SETUP = 425, CALL_ENTER = 426, CALL_REGISTER = 427 };
#endif

_Static_assert(sizeof(struct vigil__sqe) == 64, "a submission");
_Static_assert(sizeof(struct vigil__cqe) == 16, "a completion");
_Static_assert(sizeof(struct vigil__uring_params) == 120, "what set-up fills in");
_Static_assert(sizeof(struct vigil__uring_buf) == 16, "a provided buffer");
_Static_assert(sizeof(struct vigil__uring_buf_ring) == 40, "a ring of them");
_Static_assert(sizeof(struct vigil__uring_message) >= sizeof(struct msghdr), "a message");
_Static_assert(sizeof(vigil_iov) == sizeof(struct iovec), "sendmsg(2) takes our array as it is");
_Static_assert(offsetof(vigil_iov, base) == offsetof(struct iovec, iov_base), "base");
_Static_assert(offsetof(vigil_iov, len) == offsetof(struct iovec, iov_len), "len");

#if defined(__has_include)
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#define SAME(ours, theirs) _Static_assert((uint64_t)(ours) == (uint64_t)(theirs), #theirs)
#define SAME_PLACE(type, ours, theirs, member) \
    SAME(offsetof(struct vigil__##type, ours), offsetof(struct theirs, member))
SAME_PLACE(sqe, opcode, io_uring_sqe, opcode);
SAME_PLACE(sqe, flags, io_uring_sqe, flags);
SAME_PLACE(sqe, how, io_uring_sqe, ioprio);
SAME_PLACE(sqe, fd, io_uring_sqe, fd);
SAME_PLACE(sqe, offset, io_uring_sqe, off);
SAME_PLACE(sqe, addr, io_uring_sqe, addr);
SAME_PLACE(sqe, len, io_uring_sqe, len);
SAME_PLACE(sqe, what, io_uring_sqe, msg_flags);
SAME_PLACE(sqe, user_data, io_uring_sqe, user_data);
SAME_PLACE(sqe, buf_group, io_uring_sqe, buf_group);
SAME_PLACE(sqe, personality, io_uring_sqe, personality);
SAME_PLACE(sqe, file_index, io_uring_sqe, splice_fd_in); /* one place; file_index is of 5.15 */
SAME_PLACE(cqe, user_data, io_uring_cqe, user_data);
SAME_PLACE(cqe, res, io_uring_cqe, res);
SAME_PLACE(cqe, flags, io_uring_cqe, flags);
SAME_PLACE(uring_params, features, io_uring_params, features);
SAME_PLACE(uring_params, sq, io_uring_params, sq_off);
SAME_PLACE(uring_params, cq, io_uring_params, cq_off);
SAME_PLACE(sq_offsets, head, io_sqring_offsets, head);
SAME_PLACE(sq_offsets, tail, io_sqring_offsets, tail);
SAME_PLACE(sq_offsets, ring_mask, io_sqring_offsets, ring_mask);
SAME_PLACE(sq_offsets, ring_entries, io_sqring_offsets, ring_entries);
SAME_PLACE(sq_offsets, flags, io_sqring_offsets, flags);
SAME_PLACE(sq_offsets, array, io_sqring_offsets, array);
SAME_PLACE(cq_offsets, head, io_cqring_offsets, head);
SAME_PLACE(cq_offsets, tail, io_cqring_offsets, tail);
SAME_PLACE(cq_offsets, ring_mask, io_cqring_offsets, ring_mask);
SAME_PLACE(cq_offsets, ring_entries, io_cqring_offsets, ring_entries);
SAME_PLACE(cq_offsets, cqes, io_cqring_offsets, cqes);
SAME(VIGIL__URING_NOP, IORING_OP_NOP);
SAME(VIGIL__URING_POLL_ADD, IORING_OP_POLL_ADD);
SAME(VIGIL__URING_POLL_REMOVE, IORING_OP_POLL_REMOVE);
SAME(VIGIL__URING_SENDMSG, IORING_OP_SENDMSG);
SAME(VIGIL__URING_ACCEPT, IORING_OP_ACCEPT);
SAME(VIGIL__URING_CANCEL, IORING_OP_ASYNC_CANCEL);
SAME(VIGIL__URING_CLOSE, IORING_OP_CLOSE);
SAME(VIGIL__URING_SEND, IORING_OP_SEND);
SAME(VIGIL__URING_RECV, IORING_OP_RECV);
SAME(VIGIL__URING_BUFFER_SELECT, IOSQE_BUFFER_SELECT);
SAME(VIGIL__URING_SETUP_CQSIZE, IORING_SETUP_CQSIZE);
SAME(VIGIL__URING_SETUP_CLAMP, IORING_SETUP_CLAMP);
SAME(VIGIL__URING_FEAT_SINGLE_MMAP, IORING_FEAT_SINGLE_MMAP);
SAME(VIGIL__URING_FEAT_NODROP, IORING_FEAT_NODROP);
SAME(VIGIL__URING_SQ_CQ_OVERFLOW, IORING_SQ_CQ_OVERFLOW);
SAME(VIGIL__URING_REGISTER_EVENTFD, IORING_REGISTER_EVENTFD);
SAME(VIGIL__URING_ENTER_GETEVENTS, IORING_ENTER_GETEVENTS);
SAME(VIGIL__URING_CQE_BUFFER, IORING_CQE_F_BUFFER);
SAME(VIGIL__URING_CQE_BUFFER_SHIFT, IORING_CQE_BUFFER_SHIFT);
SAME(VIGIL__URING_MAP_RINGS, IORING_OFF_SQ_RING);
SAME(VIGIL__URING_MAP_SQES, IORING_OFF_SQES);
#ifdef IORING_FEAT_EXT_ARG /* 5.11 */
SAME(VIGIL__URING_FEAT_EXT_ARG, IORING_FEAT_EXT_ARG);
SAME(VIGIL__URING_ENTER_EXT_ARG, IORING_ENTER_EXT_ARG);
SAME_PLACE(uring_wait, sigmask, io_uring_getevents_arg, sigmask);
SAME_PLACE(uring_wait, sigmask_size, io_uring_getevents_arg, sigmask_sz);
SAME_PLACE(uring_wait, timeout, io_uring_getevents_arg, ts);
#endif
#ifdef IORING_FEAT_CQE_SKIP /* 5.17 */
SAME(VIGIL__URING_FEAT_CQE_SKIP, IORING_FEAT_CQE_SKIP);
SAME(VIGIL__URING_SKIP_SUCCESS, IOSQE_CQE_SKIP_SUCCESS);
#endif
#ifdef IORING_RECV_MULTISHOT /* 6.0 */
SAME(VIGIL__URING_RECV_MULTISHOT, IORING_RECV_MULTISHOT);
SAME(VIGIL__URING_ACCEPT_MULTISHOT, IORING_ACCEPT_MULTISHOT);
SAME(VIGIL__URING_POLL_MULTI, IORING_POLL_ADD_MULTI);
SAME(VIGIL__URING_CQE_MORE, IORING_CQE_F_MORE);
SAME(VIGIL__URING_SETUP_SUBMIT_ALL, IORING_SETUP_SUBMIT_ALL);
SAME(VIGIL__URING_SETUP_COOP_TASKRUN, IORING_SETUP_COOP_TASKRUN);
SAME(VIGIL__URING_SETUP_TASKRUN_FLAG, IORING_SETUP_TASKRUN_FLAG);
SAME(VIGIL__URING_SQ_TASKRUN, IORING_SQ_TASKRUN);
SAME(VIGIL__URING_SETUP_SINGLE_ISSUER, IORING_SETUP_SINGLE_ISSUER);
SAME(VIGIL__URING_REGISTER_BUF_RING, IORING_REGISTER_PBUF_RING);
SAME(VIGIL__URING_UNREGISTER_BUF_RING, IORING_UNREGISTER_PBUF_RING);
SAME_PLACE(uring_buf_ring, addr, io_uring_buf_reg, ring_addr);
SAME_PLACE(uring_buf_ring, entries, io_uring_buf_reg, ring_entries);
SAME_PLACE(uring_buf_ring, group, io_uring_buf_reg, bgid);
SAME_PLACE(uring_buf, addr, io_uring_buf, addr);
SAME_PLACE(uring_buf, len, io_uring_buf, len);
SAME_PLACE(uring_buf, id, io_uring_buf, bid);
#endif
#ifdef IORING_SETUP_DEFER_TASKRUN /* 6.1 */
SAME(VIGIL__URING_SETUP_DEFER_TASKRUN, IORING_SETUP_DEFER_TASKRUN);
#endif
#ifdef IORING_SETUP_NO_SQARRAY /* 6.6 */
SAME(VIGIL__URING_SETUP_NO_SQARRAY, IORING_SETUP_NO_SQARRAY);
#endif
#ifdef IORING_RECVSEND_BUNDLE /* 6.10 */
SAME(VIGIL__URING_BUNDLE, IORING_RECVSEND_BUNDLE);
SAME(VIGIL__URING_FEAT_RECVSEND_BUNDLE, IORING_FEAT_RECVSEND_BUNDLE);
#endif
#ifdef IORING_FEAT_MIN_TIMEOUT /* 6.12 */
SAME(VIGIL__URING_FEAT_MIN_TIMEOUT, IORING_FEAT_MIN_TIMEOUT);
SAME(VIGIL__URING_CQE_BUF_MORE, IORING_CQE_F_BUF_MORE);
SAME(VIGIL__URING_BUF_RING_INCREMENTAL, IOU_PBUF_RING_INC);
SAME_PLACE(uring_buf_ring, flags, io_uring_buf_reg, flags);
SAME_PLACE(uring_wait, min_wait_us, io_uring_getevents_arg, min_wait_usec);
#endif
#undef SAME_PLACE
#undef SAME
#endif
#endif

int vigil__call_uring_setup(uint32_t entries, struct vigil__uring_params *params)
{
    long ring = syscall(CALL_SETUP, entries, params);
    if (ring >= 0)
        return (int)ring;
    int err = vigil__status_of(errno);
    return err == VIGIL_EACCES ? VIGIL_ENOTSUP : err;
}

int vigil__call_uring_enter(int ring, uint32_t to_submit, uint32_t min_complete,
                            vigil_ns timeout_ns)
{
    struct vigil__uring_timeout timeout = { timeout_ns / NS_PER_S, timeout_ns % NS_PER_S };
    struct vigil__uring_wait wait = { .timeout = (uint64_t)(uintptr_t)&timeout };
    bool timed = min_complete > 0 && timeout_ns != VIGIL_FOREVER;
    unsigned flags = VIGIL__URING_ENTER_GETEVENTS | (timed ? VIGIL__URING_ENTER_EXT_ARG : 0);
    long n = syscall(CALL_ENTER, ring, to_submit, min_complete, flags, timed ? &wait : NULL,
                     timed ? sizeof(wait) : 0);
    if (n >= 0)
        return (int)n;
    switch (errno) {
    case ETIME:
    case EINTR:
        return 0;
    case EEXIST:
        return VIGIL_ETHREAD;
    case EAGAIN:
        return VIGIL_ENOMEM;
    case EPERM:
    case EACCES:
        (void)vigil__status_of(errno); /* kept for vigil_os_error() */
        return VIGIL_ENOTSUP;
    default:
        return vigil__status_of(errno);
    }
}

int vigil__call_uring_register(int ring, unsigned opcode, void *arg, unsigned count)
{
    if (syscall(CALL_REGISTER, ring, opcode, arg, count) >= 0)
        return 0;
    int err = vigil__status_of(errno);
    return err == VIGIL_EEXIST ? VIGIL_ETHREAD : err;
}

void *vigil__call_uring_map(int ring, size_t size, uint64_t offset)
{
    int flags = ring >= 0 ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, ring, (off_t)offset);
    if (p == MAP_FAILED) {
        (void)vigil__status_of(errno); /* kept for vigil_os_error() */
        return NULL;
    }
    if (ring < 0) /* where it fails the child has a copy that nobody uses */
        (void)madvise(p, size, MADV_DONTFORK);
    return p;
}

void vigil__call_uring_unmap(void *p, size_t size)
{
    (void)munmap(p, size); /* it is ours and whole: cannot fail */
}

int32_t vigil__uring_result(int32_t res)
{
    if (res >= 0)
        return res;
    return res == -EINTR ? VIGIL_ECANCELED : vigil__status_of(-res);
}

uint32_t vigil__uring_send_flags(void)
{
    return MSG_NOSIGNAL | MSG_DONTWAIT;
}

uint32_t vigil__uring_accept_flags(void)
{
    return SOCK_NONBLOCK | SOCK_CLOEXEC;
}

uint32_t vigil__uring_poll_events(uint32_t events)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return events << 16 | events >> 16; /* two half-words for the 16-bit form of old */
#else
    return events;
#endif
}

void vigil__uring_message_fill(struct vigil__uring_message *message, const vigil_iov *iov,
                               uint32_t count)
{
    struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov };
    msg.msg_iovlen = (__typeof__(msg.msg_iovlen))count; /* an int in some C libraries */
    memcpy(message->msghdr, &msg, sizeof(msg));
}

bool vigil__call_never_waits(int fd)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC); /* which refuses those, and no others, with EPERM */
    if (epoll < 0)
        return false;
    struct epoll_event event = { .events = EPOLLIN };
    bool refused = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 && errno == EPERM;
    (void)close(epoll); /* the number is free whatever it answers */
    return refused;
}

int vigil__call_socket_pair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0)
        return 0;
    return vigil__status_of(errno);
}

int vigil__call_put_byte(int fd)
{
    return send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : vigil__status_of(errno);
}

int vigil__call_trial_listener(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return vigil__status_of(errno);
    struct sockaddr_un addr = { .sun_family = AF_UNIX }; /* the system finds a name: unix(7) */
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr.sun_family)) == 0 && listen(fd, 1) == 0)
        return fd;
    int err = vigil__status_of(errno);
    (void)close(fd); /* the number is free whatever it answers */
    return err;
}

#endif
