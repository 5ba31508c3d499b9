/* SPDX-License-Identifier: MIT
 *
 * timers_heap.c -- the yardstick for timers: an array-based heap of four children, by hand.
 *
 * 20 bytes a timer: its time and its number, in 16, and where in the heap they are.  The time of
 * the turn is added to a delay, not a clock read for it; what is due calls one function.  No handle
 * is checked and nothing grows: there is no less that a heap can do. */
#include "timers.h"

enum { CHILDREN = 4 };

struct entry {
    int64_t due_ms;
    uint32_t timer;
};

static struct entry *heap;
static uint32_t *place; /* of each timer in the heap */
static uint32_t count;
static int64_t turn_ms;
static const size_t timer_handle = 0;

static void timers_open(void)
{
    heap = malloc(TIMERS * sizeof *heap);
    place = malloc(TIMERS * sizeof *place);
    if (!heap || !place)
        exit(1);
    turn_ms = read_ns(CLOCK_MONOTONIC) / 1000000;
}

static void put(uint32_t at, struct entry entry)
{
    heap[at] = entry;
    place[entry.timer] = at;
}

static void sift_up(uint32_t at, struct entry entry)
{
    while (at > 0 && entry.due_ms < heap[(at - 1) / CHILDREN].due_ms) {
        put(at, heap[(at - 1) / CHILDREN]);
        at = (at - 1) / CHILDREN;
    }
    put(at, entry);
}

static void sift_down(uint32_t at, struct entry entry)
{
    for (;;) {
        uint32_t first = at * CHILDREN + 1, least = first;
        if (first >= count)
            break;
        uint32_t end = first + CHILDREN < count ? first + CHILDREN : count;
        for (uint32_t child = first + 1; child < end; child++)
            if (heap[child].due_ms < heap[least].due_ms)
                least = child;
        if (heap[least].due_ms >= entry.due_ms)
            break;
        put(at, heap[least]);
        at = least;
    }
    put(at, entry);
}

static void settle(uint32_t at, struct entry entry)
{
    if (at > 0 && entry.due_ms < heap[(at - 1) / CHILDREN].due_ms)
        sift_up(at, entry);
    else
        sift_down(at, entry);
}

static void timer_insert(uint32_t timer, uint32_t delay)
{
    sift_up(count++, (struct entry){ .due_ms = turn_ms + delay, .timer = timer });
}

static void timer_move(uint32_t timer, uint32_t delay)
{
    settle(place[timer], (struct entry){ .due_ms = turn_ms + delay, .timer = timer });
}

static void timer_cancel(uint32_t timer)
{
    uint32_t at = place[timer];
    count--;
    if (at < count)
        settle(at, heap[count]);
}

static void on_due(uint32_t timer)
{
    (void)timer;
    timers_fired++;
}

static void timers_turn(void)
{
    static void (*volatile call)(uint32_t) = on_due; /* as a library calls: not known beforehand */
    turn_ms = read_ns(CLOCK_MONOTONIC) / 1000000;
    while (count > 0 && heap[0].due_ms <= turn_ms) {
        uint32_t timer = heap[0].timer;
        timer_cancel(timer);
        call(timer);
    }
}
