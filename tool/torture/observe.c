/* SPDX-License-Identifier: MIT
 *
 * observe.c -- waits for the server's process to do what it should, by looking at it in proc(5)
 * again and again.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "observe.h"

#include <inttypes.h>

#define REST_NS     VIGIL_MS(30)
#define REST_CPU_NS VIGIL_US(600) /* used in that time is no work */
#define REST_MAX_NS VIGIL_S(3)
#define LOOK_NS     VIGIL_MS(5)

static struct observed look(const struct torture *t);

void observe_rest(const struct torture *t)
{
    const vigil_ns until = torture_now() + REST_MAX_NS;
    vigil_ns before = -VIGIL_S(1);
    vigil_ns used = 0;
    vigil_ns waited = 0;
    while (t->process.pid && process_cpu(&t->process, &used, &waited) &&
           used + waited - before > REST_CPU_NS && torture_now() < until && !*t->interrupted) {
        before = used + waited;
        torture_sleep(t, REST_NS);
    }
}

int64_t observe_cpu_percent(const struct torture *t, vigil_ns window)
{
    const vigil_ns began = torture_now();
    vigil_ns used_before = 0;
    vigil_ns waited_before = 0;
    vigil_ns used = 0;
    vigil_ns waited = 0;
    vigil_ns elapsed = 0;
    vigil_ns had = 0; /* of that, it had a CPU or wanted none */
    bool over = false;
    if (!t->process.pid || !process_cpu(&t->process, &used_before, &waited_before))
        return -1;
    while (!over && elapsed < window + t->limits.patience_ns && !*t->interrupted) {
        const vigil_ns counted = used + waited;
        const bool late = had >= window; /* this look is a short one */
        torture_sleep(t, window - had > LOOK_NS ? window - had : LOOK_NS);
        const bool runs = process_runs(&t->process);
        if (!process_cpu(&t->process, &used, &waited))
            return -1;
        elapsed = torture_now() - began;
        had = elapsed - (waited - waited_before);
        /* A wait is counted when it ends: one that goes on is waited for. */
        over = had >= window && (!runs || (late && used + waited > counted));
    }
    used -= used_before;
    had = had > window ? had : window; /* several threads may have waited for longer than it took */
    had = had > used ? had : used;     /* they may use more than one CPU, which is no less wrong */
    return used > 0 ? used * 100 / had : 0;
}

struct observed observe_closed(const struct torture *t, struct observed most)
{
    struct observed now = look(t);
    struct observed least = now;
    vigil_ns moved = torture_now();
    while ((now.descriptors > most.descriptors || now.children > most.children) &&
           torture_now() - moved < t->limits.patience_ns && !*t->interrupted) {
        torture_sleep(t, LOOK_NS);
        now = look(t);
        if (now.descriptors < least.descriptors || now.children < least.children) {
            least = now;
            moved = torture_now();
        }
    }
    return now;
}

void observe_left(struct torture *t, struct observed before, uint64_t connections)
{
    if (!t->process.pid)
        return;
    const struct observed now = observe_closed(t, before);
    found_value(t, "descriptors_before", before.descriptors);
    found_value(t, "descriptors_after", now.descriptors);
    const int64_t children = now.children - before.children;
    const int64_t descriptors = children > 0 ? 0 : now.descriptors - before.descriptors;
    if (children > (int64_t)connections / 10)
        found_fail(t, "keeps %" PRId64 " processes after %" PRIu64 " clients have left", children,
                   connections);
    else if (descriptors > (int64_t)connections / 10)
        found_fail(t, "keeps %" PRId64 " descriptors after %" PRIu64 " clients have left",
                   descriptors, connections);
}

struct observed observe_now(const struct torture *t)
{
    observe_rest(t);
    return look(t);
}

bool observe_end(const struct torture *t)
{
    const vigil_ns until = torture_now() + t->limits.patience_ns;
    while (process_lives(&t->process) && torture_now() < until && !*t->interrupted)
        torture_sleep(t, LOOK_NS);
    return !process_lives(&t->process);
}

static struct observed look(const struct torture *t)
{
    if (!t->process.pid)
        return (struct observed){ -1, -1 };
    return (struct observed){ .descriptors = process_descriptors(&t->process),
                              .children = process_children(&t->process) };
}
