/* SPDX-License-Identifier: MIT
 *
 * kernels.h -- the calls that wait as a table: this machine's kernel, and the models.  A script
 * that is written once runs on both, and what they answer is compared.
 */
#ifndef MODEL_KERNELS_H
#define MODEL_KERNELS_H

#include "poller/uring_ring.h"
#include "world.h"

struct kernel_calls {
    int (*select)(int fd_count, unsigned long *in, unsigned long *out, unsigned long *except,
                  vigil_ns timeout_ns);
    int (*poll)(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns);
    int (*epoll_create)(void);
    int (*epoll_ctl)(int epoll, enum vigil__epoll_op op, int fd, uint32_t events, uint64_t key);
    int (*epoll_wait)(int epoll, struct vigil__epoll_event *events, int max, vigil_ns timeout_ns);
    int (*replace)(int fd, int fresh);
    int (*kqueue)(void);
    int (*kevent)(int kqueue, const struct kevent *changes, int count, struct kevent *events,
                  int max, vigil_ns timeout_ns);
    int (*kevent_trigger)(int kqueue, uintptr_t ident);
    int (*kind)(int fd);
    int (*waker_open)(struct vigil__waker *waker);
    int (*waker_signal)(const struct vigil__waker *waker);
    void (*waker_drain)(const struct vigil__waker *waker);
    void (*waker_close)(struct vigil__waker *waker);
    void (*close)(int fd);
    vigil_ns (*now)(void);
    int (*uring_setup)(uint32_t entries, struct vigil__uring_params *params);
    int (*uring_register)(int ring, unsigned opcode, void *arg, unsigned count);
    void *(*uring_map)(int ring, size_t size, uint64_t offset);
    void (*uring_unmap)(void *p, size_t size);
    int32_t (*uring_result)(int32_t res);
    uint32_t (*send_flags)(void);
    uint32_t (*accept_flags)(void);
    uint32_t (*poll_events)(uint32_t events);
    void (*message_fill)(struct vigil__uring_message *message, const vigil_iov *iov,
                         uint32_t count);
    bool (*never_waits)(int fd);
    int (*socket_pair)(int fds[2]);
    int (*ring_open)(struct vigil__ring *ring, uint32_t sq_entries, uint32_t cq_entries);
    void (*ring_close)(struct vigil__ring *ring);
    struct vigil__sqe *(*ring_sqe)(struct vigil__ring *ring);
    int (*ring_enter)(struct vigil__ring *ring, uint32_t min_complete, vigil_ns timeout_ns);
};

extern const struct kernel_calls kernel_real, kernel_modelled;

/* Fills a table: as vigil__NAME(), and as NAME with another beginning. */
#define KERNEL_CALLS(call, uring, ring)                                                           \
    {                                                                                             \
        .select = call##select, .poll = call##poll, .epoll_create = call##epoll_create,           \
        .epoll_ctl = call##epoll_ctl, .epoll_wait = call##epoll_wait, .replace = call##replace,   \
        .kqueue = call##kqueue, .kevent = call##kevent, .kevent_trigger = call##kevent_trigger,   \
        .kind = call##kind, .waker_open = call##waker_open, .waker_signal = call##waker_signal,   \
        .waker_drain = call##waker_drain, .waker_close = call##waker_close, .close = call##close, \
        .now = call##now, .uring_setup = call##uring_setup,                                       \
        .uring_register = call##uring_register, .uring_map = call##uring_map,                     \
        .uring_unmap = call##uring_unmap, .uring_result = uring##result,                          \
        .send_flags = uring##send_flags, .accept_flags = uring##accept_flags,                     \
        .poll_events = uring##poll_events, .message_fill = uring##message_fill,                   \
        .never_waits = call##never_waits, .socket_pair = call##socket_pair,                       \
        .ring_open = ring##open, .ring_close = ring##close, .ring_sqe = ring##sqe,                \
        .ring_enter = ring##enter                                                                 \
    }

#endif
