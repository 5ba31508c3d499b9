/* SPDX-License-Identifier: MIT
 *
 * backend_left_behind.c -- where io_uring can only tell readiness a loop takes the next backend; if
 * that could not be opened either (no descriptor was left), what the first one had left behind was
 * closed once more, by the second.
 */
#include "test.h" /* first: on Windows it gives names of POSIX to members, too */

#include "poller/backend.h"

static unsigned opened, closed, others_closed;

static int opens(void **self, const struct vigil__backend_config *config,
                 struct vigil__backend_caps *found)
{
    (void)config;
    *found = (struct vigil__backend_caps){ .events = VIGIL_IN };
    *self = &opened;
    opened++;
    return 0;
}

static int opens_not(void **self, const struct vigil__backend_config *config,
                     struct vigil__backend_caps *found)
{
    (void)self, (void)config, (void)found;
    return VIGIL_EMFILE;
}

static void close_it(void *self)
{
    closed += self == &opened;
}

static void close_other(void *self)
{
    (void)self;
    others_closed++;
}

static int submit(void *self, struct vigil__op *op)
{
    (void)self, (void)op;
    return VIGIL_EFULL;
}

static const struct vigil__backend performs_nothing = {
    .name = "performs nothing", .open = opens, .close = close_it, .submit = submit
};
static const struct vigil__backend has_no_descriptor = { .name = "has no descriptor",
                                                         .open = opens_not,
                                                         .close = close_other };

TEST(a_backend_that_was_not_taken_is_closed_once)
{
    static const struct vigil__backend *const backends[] = { &performs_nothing, &has_no_descriptor,
                                                             NULL };
    vigil_host host = *vigil__host_system();
    host.backends = backends;
    vigil_loop *loop;
    EQ_INT(VIGIL_EMFILE, vigil_loop_open(&loop, &(vigil_loop_options){ .host = &host }));
    EQ_INT(1, opened);
    EQ_INT(1, closed);
    EQ_INT(0, others_closed, "by a backend that was never opened");
}
