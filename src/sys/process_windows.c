/* SPDX-License-Identifier: MIT
 *
 * process_windows.c -- process.c's counterpart on Windows.  Floor: sys.
 *
 * Windows has no fork: whoever can ask is the process that made the mark.
 */
#ifdef _WIN32

#include <windows.h>

#include "sys/host.h"

enum { THE_MARK = 1 };

uint64_t vigil__process_mark(void)
{
    return THE_MARK;
}

bool vigil__process_is(uint64_t mark)
{
    return mark == THE_MARK;
}

/* The thread's number, which is never 0, in a pointer's clothes: a _Thread_local variable costs a
 * function call and a lock with this compiler. */
const void *vigil__thread_mark(void)
{
    return (const void *)(uintptr_t)GetCurrentThreadId();
}

void vigil__thread_yield(void)
{
    (void)SwitchToThread(); /* whether there was another to run does not matter */
}

#endif
