/* SPDX-License-Identifier: MIT
 *
 * wakes_eventfd.c -- the yardstick for wake-ups: an eventfd in an epoll set, edge-triggered, so
 * that nobody has to read it; and for posts a list that is pushed by compare-and-swap and taken
 * as a whole.
 *
 * As many calls may wait as in the library, and their places are used again in turn: with one for
 * each most of the time would go to memory that is touched for the first time.  Who posts looks
 * how many were made only when the places it knows of are used up.  System headers only. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/epoll.h>

#include "posts.h"

struct call {
    struct call *next;
    void (*fn)(void *arg);
    void *arg;
};

enum { PLACES = 65536 };

static int epoll, wakes;
static struct {
    _Alignas(LINE) _Atomic(struct call *) newest;
} posted;
static struct {
    _Alignas(LINE) unsigned made; /* calls, when it looked */
} poster;
static _Alignas(LINE) struct call calls[PLACES];

static void loop_open(void)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    epoll = epoll_create1(EPOLL_CLOEXEC);
    wakes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epoll < 0 || wakes < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, wakes, &event) < 0)
        exit(1);
}

static void loop_wake(void)
{
    const uint64_t one = 1;
    if (write(wakes, &one, sizeof one) != sizeof one)
        exit(1);
}

static void loop_serve(void)
{
    struct epoll_event event;
    while (wakes_served < ROUND_TRIPS)
        if (epoll_wait(epoll, &event, 1, -1) == 1)
            wake_served();
}

static void on_call(void *arg)
{
    (void)arg;
    call_made();
}

/* Until the place of the i-th is free again. */
static void place_wait(unsigned i)
{
    while (i - (poster.made = calls_made()) >= PLACES)
        (void)sched_yield(); /* it always succeeds */
}

/* Wakes only when nothing was there: then the loop has not been told yet. */
static void post(unsigned i)
{
    if (i - poster.made >= PLACES)
        place_wait(i);
    struct call *call = &calls[i % PLACES];
    struct call *head = atomic_load_explicit(&posted.newest, memory_order_relaxed);
    call->fn = on_call;
    do
        call->next = head;
    while (!atomic_compare_exchange_weak_explicit(&posted.newest, &head, call, memory_order_release,
                                                  memory_order_relaxed));
    if (!head)
        loop_wake();
}

/* Makes the calls in the order in which they were posted. */
static void take(void)
{
    struct call *taken = atomic_exchange_explicit(&posted.newest, NULL, memory_order_acquire),
                *first = NULL;
    while (taken) {
        struct call *next = taken->next;
        taken->next = first;
        first = taken;
        taken = next;
    }
    while (first) {
        struct call *next = first->next; /* its place may be used again once it was called */
        first->fn(first->arg);
        first = next;
    }
}

static void turn(void)
{
    struct epoll_event event;
    (void)epoll_wait(epoll, &event, 1, -1); /* it was woken */
    take();
}

int main(void)
{
    measure_round_trips();
    measure_posts();
    return 0;
}
