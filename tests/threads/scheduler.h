/* SPDX-License-Identifier: MIT
 *
 * scheduler.h -- threads of which one runs at a time, and that switch where a seeded scheduler
 * wants: the same seed is the same run.
 *
 * They are coroutines (ucontext), so there are no races but those of the order in which things
 * happen; memory orders weaker than that of the switches are ThreadSanitizer's business.
 */
#ifndef THREADS_SCHEDULER_H
#define THREADS_SCHEDULER_H

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "conform/seeds.h"
#include "yield.h"

enum { THREADS_MAX = 8, STACK_SIZE = 128 << 10, STEPS_MAX = 200000 };

struct thread {
    ucontext_t context;
    void (*run)(void *arg);
    void *arg;
    bool (*blocked)(void *arg); /* NULL: it can go on */
    void *blocked_arg;
    bool over;
    unsigned rank; /* in runs by rank, the highest that can runs */
    char stack[STACK_SIZE];
};

static struct {
    struct thread threads[THREADS_MAX];
    int count, current; /* current: -1 outside of all */
    ucontext_t outside;
    uint64_t state; /* of the random numbers */
    unsigned stay;  /* of 16 switch points so many do nothing; 16: by rank */
    long steps, change_at;
    bool deadlock;
} scheduler;

/* A number below n. */
static unsigned choose(unsigned n)
{
    scheduler.state ^= scheduler.state << 13; /* xorshift64, Marsaglia 2003 */
    scheduler.state ^= scheduler.state >> 7;
    scheduler.state ^= scheduler.state << 17;
    return (unsigned)(scheduler.state >> 33) % n;
}

static bool can_run(const struct thread *t)
{
    return !t->over && (t->blocked == NULL || !t->blocked(t->blocked_arg));
}

/* Who is next; -1: nobody can. */
static int next_thread(void)
{
    int able[THREADS_MAX], count = 0;
    for (int i = 0; i < scheduler.count; i++)
        if (can_run(&scheduler.threads[i]))
            able[count++] = i;
    if (count == 0)
        return -1;
    if (scheduler.stay < 16)
        return able[choose((unsigned)count)];
    int best = able[0];
    for (int i = 1; i < count; i++)
        if (scheduler.threads[able[i]].rank > scheduler.threads[best].rank)
            best = able[i];
    return best;
}

static void switch_to(int next)
{
    int before = scheduler.current;
    if (next == before)
        return;
    scheduler.current = next;
    swapcontext(before >= 0 ? &scheduler.threads[before].context : &scheduler.outside,
                next >= 0 ? &scheduler.threads[next].context : &scheduler.outside);
}

void switch_point(void)
{
    if (scheduler.current < 0)
        return;
    scheduler.steps++;
    if (scheduler.stay == 16 && scheduler.steps == scheduler.change_at) {
        scheduler.threads[scheduler.current].rank = choose(100); /* most likely others go first */
        scheduler.change_at += 1 + (long)choose(60);
    }
    if (scheduler.stay < 16 && choose(16) < scheduler.stay)
        return;
    int next = next_thread();
    if (next >= 0)
        switch_to(next);
}

bool weak_fails(void)
{
    return scheduler.current >= 0 && choose(16) == 0;
}

/* Lets others run for as long as `blocked` holds.  False: nobody else can, for ever. */
TEST_MAYBE_UNUSED static bool block_while(bool (*blocked)(void *arg), void *arg)
{
    struct thread *self = &scheduler.threads[scheduler.current];
    while (blocked(arg)) {
        self->blocked = blocked;
        self->blocked_arg = arg;
        int next = next_thread();
        if (next < 0 || scheduler.steps++ > STEPS_MAX) {
            scheduler.deadlock = true;
            self->blocked = NULL;
            return false;
        }
        switch_to(next);
        self->blocked = NULL;
    }
    return !scheduler.deadlock;
}

static void thread_begins(void)
{
    struct thread *self = &scheduler.threads[scheduler.current];
    self->run(self->arg);
    self->over = true;
    switch_to(next_thread()); /* the last one leaves to the outside */
}

static void thread_add(void (*run)(void *arg), void *arg)
{
    struct thread *t = &scheduler.threads[scheduler.count++];
    t->run = run;
    t->arg = arg;
    t->over = false;
    t->blocked = NULL;
    t->rank = choose(100);
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = sizeof(t->stack);
    t->context.uc_link = NULL;
    makecontext(&t->context, thread_begins, 0);
}

static void scheduler_seed(uint64_t seed)
{
    scheduler.count = 0;
    scheduler.current = -1;
    scheduler.steps = 0;
    scheduler.deadlock = false;
    scheduler.state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < 4; i++)
        (void)choose(2);
    static const unsigned stays[] = { 0, 8, 13, 16 };
    scheduler.stay = stays[choose(4)];
    scheduler.change_at = 1 + (long)choose(60);
}

/* Runs all threads to their ends.  False: some stand still. */
static bool scheduler_run(void)
{
    int next = next_thread();
    while (next >= 0) {
        switch_to(next);
        next = next_thread();
    }
    for (int i = 0; i < scheduler.count; i++)
        if (!scheduler.threads[i].over)
            return false;
    return !scheduler.deadlock;
}

/* Each seed's order; what runs one answers NULL, or what is wrong. */
static void orders_run(const char *(*run_order)(uint64_t seed), uint32_t count)
{
    struct seeds seeds = seeds_asked(count);
    uint32_t seed, orders = 0;
    long steps = 0;
    for (; seeds_next(&seeds, &seed); orders++) {
        const char *wrong = run_order(seed);
        steps += scheduler.steps;
        OK(wrong == NULL, "%s: VIGIL_SEED=%u %s", wrong, seed, TEST_PROGRAM);
    }
    printf("# %u orders, %ld places to switch\n", orders, steps);
}

#endif
