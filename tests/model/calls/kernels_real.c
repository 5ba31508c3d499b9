/* SPDX-License-Identifier: MIT
 *
 * kernels_real.c -- the calls of this machine's kernel as a table: the library's own files, under
 * other names, beside the models that stand in their place.  kevent() is not this machine's: it is
 * the model on this machine's descriptors (../kevent.c).
 */
#define vigil__call_select         real_call_select
#define vigil__call_poll           real_call_poll
#define vigil__call_check_fd       real_call_check_fd
#define vigil__call_close          real_call_close
#define vigil__call_now            real_call_now
#define vigil__call_waker_open     real_call_waker_open
#define vigil__call_waker_signal   real_call_waker_signal
#define vigil__call_waker_drain    real_call_waker_drain
#define vigil__call_waker_close    real_call_waker_close
#define vigil__call_epoll_create   real_call_epoll_create
#define vigil__call_epoll_ctl      real_call_epoll_ctl
#define vigil__call_epoll_wait     real_call_epoll_wait
#define vigil__call_replace        real_call_replace
#define vigil__call_kqueue         real_call_kqueue
#define vigil__call_kevent         real_call_kevent
#define vigil__call_kevent_trigger real_call_kevent_trigger
#define vigil__call_kind           real_call_kind
#define vigil__call_uring_setup    real_call_uring_setup
#define vigil__call_uring_enter    real_call_uring_enter
#define vigil__call_uring_register real_call_uring_register
#define vigil__call_uring_map      real_call_uring_map
#define vigil__call_uring_unmap    real_call_uring_unmap
#define vigil__call_never_waits    real_call_never_waits
#define vigil__call_socket_pair    real_call_socket_pair
#define vigil__call_put_byte       real_call_put_byte
#define vigil__call_trial_listener real_call_trial_listener
#define vigil__uring_result        real_uring_result
#define vigil__uring_send_flags    real_uring_send_flags
#define vigil__uring_accept_flags  real_uring_accept_flags
#define vigil__uring_poll_events   real_uring_poll_events
#define vigil__uring_message_fill  real_uring_message_fill
#define vigil__ring_open           real_ring_open
#define vigil__ring_close          real_ring_close
#define vigil__ring_sqe            real_ring_sqe
#define vigil__ring_enter          real_ring_enter

#include "poller/uring_ring.c"
#include "sys/uring_calls.c"
#include "sys/wait_calls.c"

#include "kernels.h"

const struct kernel_calls kernel_real = KERNEL_CALLS(real_call_, real_uring_, real_ring_);
