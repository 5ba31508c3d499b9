/* SPDX-License-Identifier: MIT
 *
 * process.c -- which process and which thread this is, each cheap to ask.  Floor: sys.
 *
 * The mark of the process lies in a page that the kernel wipes in a forked child, so that asking
 * "is this still the process that made it?" is a load and a comparison.  Where the kernel cannot
 * do that, the process id answers.
 */
#ifndef _WIN32

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/host.h"

/* Where the mark stands before there is a page; it always reads 0, which is no mark. */
static _Atomic uint64_t no_mark;
static _Atomic uint64_t *_Atomic mark_page = &no_mark;
static _Atomic bool by_process_id; /* the kernel refused the page */

/* Every mark given out so far is at most this.  A child copies the number with its memory, so what
 * it counts on to is above all marks of its ancestors, which are the only ones it can meet. */
static _Atomic uint64_t newest_mark;

_Thread_local char vigil__thread_marked;

enum { PAGE_SIZE_ANY = 4096 }; /* the kernel rounds up to its own */

static _Atomic uint64_t *page_get(void);
static uint64_t mark_of_process_id(void);

uint64_t vigil__process_mark(void)
{
    _Atomic uint64_t *page = page_get();
    if (page == &no_mark)
        return mark_of_process_id();
    uint64_t mark = atomic_load(page);
    if (mark != 0)
        return mark;
    uint64_t fresh = atomic_fetch_add(&newest_mark, 1) + 1;
    /* Another thread may have been faster: then `mark` becomes what it wrote. */
    return atomic_compare_exchange_strong(page, &mark, fresh) ? fresh : mark;
}

VIGIL_HOT bool vigil__process_is(uint64_t mark)
{
    _Atomic uint64_t *page = atomic_load_explicit(&mark_page, memory_order_acquire);
    if (VIGIL_LIKELY(atomic_load_explicit(page, memory_order_relaxed) == mark))
        return mark != 0;
    return atomic_load(&by_process_id) && mark == mark_of_process_id();
}

void vigil__thread_yield(void)
{
    (void)sched_yield(); /* cannot fail */
}

/* Emulators of system calls accept all advice and take none: whoever accepts advice that does not
 * exist is not to be believed. */
static bool wipe_on_fork(void *page)
{
#if defined(MADV_WIPEONFORK)
    const int no_such_advice = -1;
    return madvise(page, PAGE_SIZE_ANY, no_such_advice) < 0 &&
           madvise(page, PAGE_SIZE_ANY, MADV_WIPEONFORK) == 0;
#elif defined(INHERIT_ZERO) /* FreeBSD, OpenBSD */
    return minherit(page, PAGE_SIZE_ANY, INHERIT_ZERO) == 0;
#else
    (void)page;
    return false;
#endif
}

/* A page that is wiped on fork, or NULL. */
static void *page_map(void)
{
    void *page = mmap(NULL, PAGE_SIZE_ANY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
    if (page == MAP_FAILED)
        return NULL;
    if (wipe_on_fork(page))
        return page;
    (void)munmap(page, PAGE_SIZE_ANY); /* our own page: nothing can fail that we could mend */
    return NULL;
}

/* The page, made by the first who asks; &no_mark where there can be none. */
static _Atomic uint64_t *page_get(void)
{
    _Atomic uint64_t *page = atomic_load_explicit(&mark_page, memory_order_acquire);
    if (page != &no_mark || atomic_load(&by_process_id))
        return page;
    _Atomic uint64_t *made = page_map();
    if (made == NULL) {
        atomic_store(&by_process_id, true);
        return &no_mark;
    }
    if (atomic_compare_exchange_strong(&mark_page, &page, made))
        return made;
    (void)munmap((void *)made, PAGE_SIZE_ANY); /* another thread was faster */
    return page;
}

/* The highest bit keeps these apart from counted marks. */
static uint64_t mark_of_process_id(void)
{
    return UINT64_C(1) << 63 | (uint64_t)getpid();
}

#endif
