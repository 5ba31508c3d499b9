/* SPDX-License-Identifier: MIT
 *
 * base.h -- the few words every file uses.  Floor: base.
 */
#ifndef VIGIL_BASE_H
#define VIGIL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vigil.h"

#define VIGIL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The structure that holds `member` at `pointer`. */
#define VIGIL_OWNER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* A fact of our own code, in release builds too.  Never guards an argument of a public call, what a
 * peer sends, or what the system answers.  It stops without printing: a library does not print. */
#define VIGIL_ASSERT(fact) ((fact) ? (void)0 : __builtin_trap())

#define VIGIL_LIKELY(x)   __builtin_expect(!!(x), 1)
#define VIGIL_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* A function that every turn or message runs through.  These are laid together: a server that
 * sleeps between two messages finds its caches cold, and each page and line has its price. */
#define VIGIL_HOT __attribute__((hot))
/* A function that is kept out of its caller, which then saves no registers for it. */
#define VIGIL_APART __attribute__((noinline))
/* The same, of rare work, which may be small rather than fast. */
#define VIGIL_COLD __attribute__((cold, noinline))
/* A function that is part of each caller, which tells it what it then need not ask. */
#define VIGIL_INSIDE __attribute__((always_inline)) inline

/* Answers that only the floors below a connection give each other; never seen by a caller. */
enum {
    VIGIL__EAGAIN = -200, /* would block */
};

static inline size_t vigil__min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t vigil__max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Whether `fd` can be an open descriptor.  On Windows it is a handle: a multiple of 4, of which 32
 * bits count (the system's promise), so that its number fits where that of POSIX does. */
static inline bool vigil__fd_valid(vigil_fd fd)
{
#ifdef _WIN32
    return fd != 0 && fd <= INT32_MAX && fd % 4 == 0;
#else
    return fd >= 0;
#endif
}

/* Its place in an array of all descriptors, which the system numbers densely. */
static inline uint32_t vigil__fd_index(vigil_fd fd)
{
#ifdef _WIN32
    return (uint32_t)fd / 4;
#else
    return (uint32_t)fd;
#endif
}

/* a + b where "for ever" and overflow stay "for ever". */
static inline vigil_ns vigil__time_add(vigil_ns a, vigil_ns b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

/* Memory of one loop.  All of the library's memory comes from here, but posts and remotes. */
static inline void *vigil__alloc(const vigil_allocator *a, size_t size)
{
    return a->resize(a->ctx, NULL, 0, size);
}

static inline void *vigil__resize(const vigil_allocator *a, void *old, size_t old_size, size_t size)
{
    return a->resize(a->ctx, old, old_size, size);
}

static inline void vigil__free(const vigil_allocator *a, void *old, size_t size)
{
    if (old != NULL)
        (void)a->resize(a->ctx, old, size, 0); /* freeing answers nothing */
}

#endif
