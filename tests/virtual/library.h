/* SPDX-License-Identifier: MIT
 *
 * library.h -- calls of the library that a row in virtual time makes through its world: so it knows
 * which loops there are, and time passes.
 */
#ifndef TEST_VIRTUAL_LIBRARY_H
#define TEST_VIRTUAL_LIBRARY_H

#include "vigil.h"

int virtual_loop_open(vigil_loop **out, const vigil_loop_options *options);
void virtual_loop_close(vigil_loop *loop);
int virtual_loop_turn(vigil_loop *loop, vigil_ns timeout_ns);
int virtual_loop_run(vigil_loop *loop);

int virtual_poller_open(vigil_poller **out, const char *backend);
void virtual_poller_close(vigil_poller *poller);
int virtual_poller_wait(vigil_poller *poller, vigil_event *events, int max, vigil_ns timeout_ns);

/* A descriptor that is given away is the row's no more. */
int virtual_adopt(vigil_loop *loop, vigil_fd in, vigil_fd out, const vigil_conn_options *options,
                  vigil_conn *conn);
int virtual_listen_fd(vigil_loop *loop, vigil_fd fd, const vigil_listen_options *options,
                      vigil_listener *out);

int virtual_remote_open(vigil_loop *loop, vigil_remote **out);
vigil_remote *virtual_remote_keep(vigil_remote *remote);
void virtual_remote_drop(vigil_remote *remote);

size_t virtual_conn_send(vigil_loop *loop, vigil_conn conn, const void *p, size_t n);
int virtual_conn_send_all(vigil_loop *loop, vigil_conn conn, const void *p, size_t n);
int virtual_conn_sendv(vigil_loop *loop, vigil_conn conn, const vigil_iov *iov, size_t count);
int virtual_conn_send_owned(vigil_loop *loop, vigil_conn conn, const void *p, size_t n,
                            vigil_done_fn *done, void *arg);
int virtual_conn_send_file(vigil_loop *loop, vigil_conn conn, vigil_fd file, int64_t offset,
                           int64_t n, vigil_done_fn *done, void *arg);
int virtual_couple(vigil_loop *loop, vigil_conn from, vigil_conn to);
int virtual_conn_set_ops(vigil_loop *loop, vigil_conn conn, const vigil_conn_ops *ops);

const char *virtual_backend_name(size_t i);
int virtual_backend_features(const char *name, vigil_feature *out, int max);

#endif
