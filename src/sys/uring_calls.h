/* SPDX-License-Identifier: MIT
 *
 * uring_calls.h -- the three calls of io_uring(7), and the memory that it shares.  Floor: sys.
 *
 * As in wait_calls.h: each is one system call and a translation of its arguments, and a test
 * program can link a model of a kernel in the place of uring_calls.c.
 */
#ifndef VIGIL_URING_CALLS_H
#define VIGIL_URING_CALLS_H

#include <stdatomic.h>

#include "base/base.h"
#include "sys/uring_abi.h"

/* The ring's descriptor.  VIGIL_EINVAL: a flag that this kernel does not have; VIGIL_ENOTSUP: not
 * to be had here (ENOSYS; EPERM from a sandbox or kernel.io_uring_disabled); VIGIL_ENOMEM,
 * VIGIL_EMFILE. */
int vigil__call_uring_setup(uint32_t entries, struct vigil__uring_params *params);

/* Submits, and waits for `min_complete` completions, none: only looks; work that the kernel put off
 * is done in any case.  Answers how many submissions were taken; 0 also for a timeout or a signal.
 * VIGIL_ETHREAD: the ring is another thread's; VIGIL_EBUSY: completions must be taken first;
 * VIGIL_ENOMEM; VIGIL_ENOTSUP: a sandbox denies it. */
int vigil__call_uring_enter(int ring, uint32_t to_submit, uint32_t min_complete,
                            vigil_ns timeout_ns);

/* VIGIL_EINVAL: this kernel does not have it; VIGIL_ETHREAD; VIGIL_ENOMEM. */
int vigil__call_uring_register(int ring, unsigned opcode, void *arg, unsigned count);

/* Memory shared with the ring, or, with VIGIL_FD_NONE, whole pages of our own that a forked child
 * does not get.  NULL: out of memory. */
void *vigil__call_uring_map(int ring, size_t size, uint64_t offset);
void vigil__call_uring_unmap(void *p, size_t size);

/* What a completion says: a count, or our status.  VIGIL_ECANCELED also for what was interrupted
 * before it did anything: it can be asked for again. */
int32_t vigil__uring_result(int32_t res);

/* What a send or an accept in the ring carries: the numbers of this system. */
uint32_t vigil__uring_send_flags(void);   /* no SIGPIPE, no waiting */
uint32_t vigil__uring_accept_flags(void); /* non-blocking, close-on-exec */
/* Events as vigil.h numbers them, as a POLL_ADD carries them. */
uint32_t vigil__uring_poll_events(uint32_t events);

/* A message for SENDMSG: its memory must stay until the submission was taken. */
struct vigil__uring_message {
    _Alignas(8) unsigned char msghdr[56];
};
void vigil__uring_message_fill(struct vigil__uring_message *message, const vigil_iov *iov,
                               uint32_t count);

/* Whether nothing ever happens to a descriptor, as to a regular file: poll(2) says that it is
 * ready, and nobody can wait for it. */
bool vigil__call_never_waits(int fd);

/* For the trial of a ring: two connected sockets that do not block, a byte from one to the other;
 * and a listener of the family Unix without a name that anybody could find. */
int vigil__call_socket_pair(int fds[2]);
int vigil__call_put_byte(int fd);
int vigil__call_trial_listener(void);

#endif
