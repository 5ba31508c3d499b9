/* SPDX-License-Identifier: MIT
 *
 * mark.h -- tells a checker of memory what it cannot see: that the kernel wrote.  Floor: sys.
 *
 * MemorySanitizer and valgrind know which bytes a read(2) fills in.  What comes through a ring of
 * io_uring(7) they take for never written, until they are told.  Elsewhere this is nothing.
 */
#ifndef VIGIL_MARK_H
#define VIGIL_MARK_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define VIGIL_MARK_MSAN 1
#endif
#endif
#ifdef VIGIL_VALGRIND /* valgrind's header comes with it, so only who builds for it needs it */
#include <valgrind/memcheck.h>
#endif

static inline void vigil__mark_written(const void *p, size_t n)
{
#if defined(VIGIL_MARK_MSAN)
    __msan_unpoison(p, n);
#elif defined(VIGIL_VALGRIND)
    (void)VALGRIND_MAKE_MEM_DEFINED(p, n); /* its answer: whether it runs under valgrind */
#else
    (void)p, (void)n;
#endif
}

#endif
