/* SPDX-License-Identifier: MIT
 *
 * uring_abi.h -- what io_uring(7) lays down between a program and the kernel.  Floor: sys.
 *
 * Our own words for the kernel's numbers and layouts: the header of the system is older than the
 * kernel more often than not.  uring_calls.c compares them where the system's has them.
 */
#ifndef VIGIL_URING_ABI_H
#define VIGIL_URING_ABI_H

#include <stdint.h>

/* A submission, 64 bytes.  Members are named for the one use that we have of them. */
struct vigil__sqe {
    uint8_t opcode;
    uint8_t flags;
    uint16_t how; /* RECV, SEND, ACCEPT: VIGIL__URING_RECV_MULTISHOT and the like ("ioprio") */
    int32_t fd;
    uint64_t offset; /* ACCEPT: where the address's length goes, 0 */
    uint64_t addr;   /* memory; of CANCEL and POLL_REMOVE: the user_data that is meant */
    uint32_t len;    /* POLL_ADD: VIGIL__URING_POLL_MULTI */
    uint32_t what;   /* poll events, message flags, accept flags, cancel flags */
    uint64_t user_data;
    uint16_t buf_group;
    uint16_t personality;
    int32_t file_index;
    uint64_t pad[2];
};

struct vigil__cqe {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

struct vigil__sq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, reserved;
    uint64_t user_addr;
};

struct vigil__cq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved;
    uint64_t user_addr;
};

struct vigil__uring_params {
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd;
    uint32_t reserved[3];
    struct vigil__sq_offsets sq;
    struct vigil__cq_offsets cq;
};

/* Two 64-bit numbers on every machine, whatever its timespec. */
struct vigil__uring_timeout {
    int64_t seconds, nanoseconds;
};

struct vigil__uring_wait {
    uint64_t sigmask;
    uint32_t sigmask_size, min_wait_us;
    uint64_t timeout;
};

/* One place of a ring of provided buffers.  The ring's tail lies in `reserved` of the first. */
struct vigil__uring_buf {
    uint64_t addr;
    uint32_t len;
    uint16_t id, reserved;
};

struct vigil__uring_buf_ring {
    uint64_t addr;
    uint32_t entries;
    uint16_t group, flags;
    uint64_t reserved[3];
};

enum {
    VIGIL__URING_NOP = 0,
    VIGIL__URING_POLL_ADD = 6,
    VIGIL__URING_POLL_REMOVE = 7,
    VIGIL__URING_SENDMSG = 9,
    VIGIL__URING_ACCEPT = 13,
    VIGIL__URING_CANCEL = 14,
    VIGIL__URING_CLOSE = 19,
    VIGIL__URING_SEND = 26,
    VIGIL__URING_RECV = 27,
};

enum { /* sqe.flags */
       VIGIL__URING_BUFFER_SELECT = 1 << 5,
       VIGIL__URING_SKIP_SUCCESS = 1 << 6, /* no completion unless it fails */
};

enum {                                         /* sqe.how */
       VIGIL__URING_ACCEPT_MULTISHOT = 1 << 0, /* ACCEPT */
       VIGIL__URING_RECV_MULTISHOT = 1 << 1,
       VIGIL__URING_BUNDLE = 1 << 4, /* one completion may tell of several buffers */
};

enum { VIGIL__URING_POLL_MULTI = 1 << 0 }; /* sqe.len of POLL_ADD */

enum { /* cqe.flags */
       VIGIL__URING_CQE_BUFFER = 1 << 0,
       VIGIL__URING_CQE_MORE = 1 << 1,
       VIGIL__URING_CQE_BUF_MORE = 1 << 4, /* the buffer goes on being filled */
       VIGIL__URING_CQE_BUFFER_SHIFT = 16,
};

enum { /* params.flags */
       VIGIL__URING_SETUP_CQSIZE = 1 << 3,
       VIGIL__URING_SETUP_CLAMP = 1 << 4,
       VIGIL__URING_SETUP_SUBMIT_ALL = 1 << 7,
       VIGIL__URING_SETUP_COOP_TASKRUN = 1 << 8,
       VIGIL__URING_SETUP_TASKRUN_FLAG = 1 << 9,
       VIGIL__URING_SETUP_SINGLE_ISSUER = 1 << 12,
       VIGIL__URING_SETUP_DEFER_TASKRUN = 1 << 13,
       VIGIL__URING_SETUP_NO_SQARRAY = 1 << 16,
};

enum { /* params.features */
       VIGIL__URING_FEAT_SINGLE_MMAP = 1 << 0,
       VIGIL__URING_FEAT_NODROP = 1 << 1,
       VIGIL__URING_FEAT_EXT_ARG = 1 << 8,
       VIGIL__URING_FEAT_CQE_SKIP = 1 << 11,
       VIGIL__URING_FEAT_RECVSEND_BUNDLE = 1 << 14,
       VIGIL__URING_FEAT_MIN_TIMEOUT = 1 << 15,
};

enum { /* the submission ring's flags */
       VIGIL__URING_SQ_CQ_OVERFLOW = 1 << 1,
       VIGIL__URING_SQ_TASKRUN = 1 << 2, /* the kernel has put off work */
};

enum { /* of the call that enters */
       VIGIL__URING_ENTER_GETEVENTS = 1 << 0,
       VIGIL__URING_ENTER_EXT_ARG = 1 << 3,
};

enum { /* of the call that registers */
       VIGIL__URING_REGISTER_EVENTFD = 4,
       VIGIL__URING_REGISTER_BUF_RING = 22,
       VIGIL__URING_UNREGISTER_BUF_RING = 23,
};

enum { VIGIL__URING_BUF_RING_INCREMENTAL = 1 << 1 }; /* vigil__uring_buf_ring.flags */

#define VIGIL__URING_MAP_RINGS UINT64_C(0)
#define VIGIL__URING_MAP_SQES  UINT64_C(0x10000000)

#endif
