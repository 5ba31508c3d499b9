/* SPDX-License-Identifier: MIT
 *
 * observe.h -- what a rig's callbacks tell of its connections, so that what holds of every
 * connection is looked at in virtual time, whatever the row is about and whatever fails.  Elsewhere
 * nobody listens.
 */
#ifndef TEST_OBSERVE_H
#define TEST_OBSERVE_H

#include "vigil.h"

#ifdef TEST_VIRTUAL

/* A call that makes a connection has answered 0: `close` must come. */
void observe_made(vigil_loop *loop, vigil_conn conn, vigil_fd out);
void observe_open(vigil_loop *loop, vigil_conn conn);
/* Before `data` looks at it; and when it has used some. */
void observe_data(vigil_loop *loop, vigil_conn conn, const void *p, size_t n);
void observe_used(vigil_loop *loop, vigil_conn conn, size_t used);
void observe_eof(vigil_loop *loop, vigil_conn conn);
void observe_writable(vigil_loop *loop, vigil_conn conn);
void observe_close(vigil_loop *loop, vigil_conn conn, int why);

#else

static inline void observe_made(vigil_loop *loop, vigil_conn conn, vigil_fd out)
{
    (void)loop, (void)conn, (void)out;
}

static inline void observe_open(vigil_loop *loop, vigil_conn conn)
{
    (void)loop, (void)conn;
}

static inline void observe_data(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    (void)loop, (void)conn, (void)p, (void)n;
}

static inline void observe_used(vigil_loop *loop, vigil_conn conn, size_t used)
{
    (void)loop, (void)conn, (void)used;
}

static inline void observe_eof(vigil_loop *loop, vigil_conn conn)
{
    (void)loop, (void)conn;
}

static inline void observe_writable(vigil_loop *loop, vigil_conn conn)
{
    (void)loop, (void)conn;
}

static inline void observe_close(vigil_loop *loop, vigil_conn conn, int why)
{
    (void)loop, (void)conn, (void)why;
}

#endif
#endif
