/* SPDX-License-Identifier: MIT
 *
 * one_call.c -- layer 0: vigil_select and vigil_poll, which keep nothing.  Floor: poller.
 */
#include "sys/host.h"
#include "sys/wait_calls.h"

#include <limits.h>
#include <string.h>

#ifdef __linux__
#define POLL_ASKED (VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_RDHUP)
#else
#define POLL_ASKED (VIGIL_IN | VIGIL_PRI | VIGIL_OUT)
#endif

/* The kernel's select(2) takes sets of any size on Linux; elsewhere poll(2) answers for it. */
#if defined(__linux__) && !defined(VIGIL_SELECT_BY_POLL)
#define SELECT_BY_SELECT 1
#else
#define SELECT_BY_SELECT 0
#endif

enum { LISTS = 3 }; /* readable, writable, exceptional */

static int select_check(vigil_set *const lists[LISTS], vigil_fd *highest);
static int select_lists(vigil_set *const lists[LISTS], vigil_fd highest, vigil_ns timeout_ns);

/* When a wait of `timeout_ns` that begins now has to end. */
static vigil_ns deadline_of(vigil_ns timeout_ns)
{
    if (timeout_ns == VIGIL_NOWAIT || timeout_ns == VIGIL_FOREVER)
        return timeout_ns;
    return vigil__time_add(vigil__call_now(), timeout_ns);
}

/* Whether a wait that found nothing goes on; `*left_ns` becomes what is left for it. */
static bool time_left(vigil_ns deadline, vigil_ns *left_ns)
{
    if (deadline == VIGIL_NOWAIT || deadline == VIGIL_FOREVER)
        return deadline == VIGIL_FOREVER;
    *left_ns = deadline - vigil__call_now();
    return *left_ns > 0;
}

int vigil_select(vigil_set *readable, vigil_set *writable, vigil_set *exceptional,
                 vigil_ns timeout_ns)
{
    vigil_set none[LISTS] = { 0 };
    vigil_set *lists[LISTS] = {
        readable != NULL ? readable : &none[0],
        writable != NULL ? writable : &none[1],
        exceptional != NULL ? exceptional : &none[2],
    };
    for (int i = 0; i < LISTS; i++)
        lists[i]->ready_count = 0;
    if (timeout_ns < 0)
        return VIGIL_EINVAL;
    vigil_fd highest;
    int err = select_check(lists, &highest);
    return err < 0 ? err : select_lists(lists, highest, timeout_ns);
}

int vigil_poll(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns)
{
    if (timeout_ns < 0 || (fds == NULL && count > 0))
        return VIGIL_EINVAL;
    for (size_t i = 0; i < count; i++)
        if (fds[i].events & ~POLL_ASKED)
            return VIGIL_EINVAL;
    vigil_ns deadline = deadline_of(timeout_ns);
    int n;
    do
        n = vigil__call_poll(fds, count, timeout_ns);
    while (n == 0 && time_left(deadline, &timeout_ns));
    return n;
}

/* The kernel finds closed descriptors itself, but only as far as the process's table reaches, and
 * ignores the others.  The table reaches beyond the highest if that one is open. */
static int select_check(vigil_set *const lists[LISTS], vigil_fd *highest)
{
    *highest = VIGIL_FD_NONE;
    for (int i = 0; i < LISTS; i++) {
        const vigil_set *list = lists[i];
        if (list->count > 0 && (list->fds == NULL || list->ready == NULL))
            return VIGIL_EINVAL;
        for (size_t j = 0; j < list->count; j++) {
            if (!vigil__fd_valid(list->fds[j]))
                return VIGIL_EBADF;
            if (*highest == VIGIL_FD_NONE || list->fds[j] > *highest)
                *highest = list->fds[j];
        }
    }
    return *highest == VIGIL_FD_NONE ? 0 : vigil__call_check_fd(*highest);
}

#if SELECT_BY_SELECT

enum {
    WORD_BITS = sizeof(unsigned long) * CHAR_BIT,
    WORDS_ON_STACK = 4096 / WORD_BITS, /* descriptors below 4096 need no memory: 1.5 KiB of stack */
};

/* Sets the bit of each descriptor of `list` in the bitmap. */
static void bits_put(unsigned long *bits, const vigil_set *list)
{
    for (size_t i = 0; i < list->count; i++) {
        unsigned fd = (unsigned)list->fds[i];
        bits[fd / WORD_BITS] |= 1UL << (fd % WORD_BITS);
    }
}

/* Lists the descriptors of `list` whose bit is set. */
static void bits_take(const unsigned long *bits, vigil_set *list)
{
    for (size_t i = 0; i < list->count; i++) {
        unsigned fd = (unsigned)list->fds[i];
        if (bits[fd / WORD_BITS] & 1UL << (fd % WORD_BITS))
            list->ready[list->ready_count++] = list->fds[i];
    }
}

static int select_bits(vigil_set *const lists[LISTS], vigil_fd highest, unsigned long *bits,
                       size_t words, vigil_ns timeout_ns)
{
    vigil_ns deadline = deadline_of(timeout_ns);
    int n;
    do {
        memset(bits, 0, LISTS * words * sizeof(*bits));
        for (int i = 0; i < LISTS; i++)
            bits_put(bits + (size_t)i * words, lists[i]);
        n = vigil__call_select(highest + 1, bits, bits + words, bits + 2 * words, timeout_ns);
    } while (n == 0 && time_left(deadline, &timeout_ns));
    if (n <= 0)
        return n;
    size_t ready = 0;
    for (int i = 0; i < LISTS; i++) {
        bits_take(bits + (size_t)i * words, lists[i]);
        ready += lists[i]->ready_count;
    }
    return (int)ready;
}

static int select_lists(vigil_set *const lists[LISTS], vigil_fd highest, vigil_ns timeout_ns)
{
    unsigned long on_stack[LISTS * WORDS_ON_STACK];
    size_t words = (size_t)highest / WORD_BITS + 1;
    if (highest == VIGIL_FD_NONE)
        words = 0;
    if (words <= WORDS_ON_STACK)
        return select_bits(lists, highest, on_stack, words, timeout_ns);
    const vigil_allocator *allocator = &vigil__host_system()->allocator;
    unsigned long *bits = vigil__alloc(allocator, LISTS * words * sizeof(*bits));
    if (bits == NULL)
        return VIGIL_ENOMEM;
    int n = select_bits(lists, highest, bits, words, timeout_ns);
    vigil__free(allocator, bits, LISTS * words * sizeof(*bits));
    return n;
}

#else

static const uint16_t list_asks[LISTS] = { VIGIL_IN, VIGIL_OUT, VIGIL_PRI };
/* What makes an entry ready: select(2) tells of ends and errors in these two sets. */
static const uint16_t list_takes[LISTS] = { VIGIL_IN | VIGIL_HUP | VIGIL_ERR, VIGIL_OUT | VIGIL_ERR,
                                            VIGIL_PRI };

/* poll says of both that they cannot be asked: a closed one, and on Windows what is no socket. */
static int status_of_invalid(vigil_fd fd)
{
    int err = vigil__call_check_fd(fd);
    return err < 0 ? err : VIGIL_EBADF;
}

/* Whether any entry is ready in its own set (poll reports hang-ups unasked), or VIGIL_E*. */
static int poll_answers(vigil_set *const lists[LISTS], const vigil_pollfd *fds)
{
    bool ready = false;
    for (int i = 0; i < LISTS; i++) {
        for (size_t j = 0; j < lists[i]->count; j++, fds++) {
            if (fds->revents & VIGIL_NVAL)
                return status_of_invalid(fds->fd);
            ready |= (fds->revents & list_takes[i]) != 0;
        }
    }
    return ready;
}

static int poll_take(vigil_set *const lists[LISTS], const vigil_pollfd *fds)
{
    size_t ready = 0;
    for (int i = 0; i < LISTS; i++) {
        vigil_set *list = lists[i];
        for (size_t j = 0; j < list->count; j++, fds++)
            if (fds->revents & list_takes[i])
                list->ready[list->ready_count++] = list->fds[j];
        ready += list->ready_count;
    }
    return (int)ready;
}

/* An entry that has only hung up is not exceptional, but poll would report it at once for ever. */
static void poll_silence(vigil_pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i].revents != 0)
            fds[i].fd = VIGIL_FD_NONE;
}

static int select_polled(vigil_set *const lists[LISTS], vigil_pollfd *fds, size_t count,
                         vigil_ns timeout_ns)
{
    vigil_ns deadline = deadline_of(timeout_ns);
    size_t at = 0;
    for (int i = 0; i < LISTS; i++)
        for (size_t j = 0; j < lists[i]->count; j++)
            fds[at++] = (vigil_pollfd){ .fd = lists[i]->fds[j], .events = list_asks[i] };
    int n;
    do {
        n = vigil__call_poll(fds, count, timeout_ns);
        if (n > 0)
            n = poll_answers(lists, fds);
        if (n == 0)
            poll_silence(fds, count);
    } while (n == 0 && time_left(deadline, &timeout_ns));
    return n > 0 ? poll_take(lists, fds) : n;
}

static int select_lists(vigil_set *const lists[LISTS], vigil_fd highest, vigil_ns timeout_ns)
{
    (void)highest; /* only bitmaps have a size that depends on it */
    size_t count = lists[0]->count + lists[1]->count + lists[2]->count;
    const vigil_allocator *allocator = &vigil__host_system()->allocator;
    vigil_pollfd *fds = vigil__alloc(allocator, (count + 1) * sizeof(*fds));
    if (fds == NULL)
        return VIGIL_ENOMEM;
    int n = select_polled(lists, fds, count, timeout_ns);
    vigil__free(allocator, fds, (count + 1) * sizeof(*fds));
    return n;
}

#endif
