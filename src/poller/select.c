/* SPDX-License-Identifier: MIT
 *
 * select.c -- the backend on select(2).  Floor: poller.
 *
 * Bitmaps as long as the highest descriptor asks for, with bits set by our own code: there is no
 * FD_SETSIZE here.  select tells neither hang-up nor error nor the peer's end; they show as IN and
 * OUT.  It fails as a whole when somebody closed a descriptor behind our back: that one is then
 * searched, taken out of what is asked, and reported at every wait until it is removed.
 */
#ifndef _WIN32

#include "poller/backend.h"
#include "poller/fd_table.h"
#include "sys/wait_calls.h"

#include <limits.h>
#include <string.h>

enum { WORD_BITS = sizeof(unsigned long) * CHAR_BIT, WORDS_MIN = 16 };

/* One block holds these bitmaps, one behind the other. */
enum { ASK_IN, ASK_OUT, ASK_EXCEPT, BROKEN, READY_IN, READY_OUT, READY_EXCEPT, SETS };

struct select_backend {
    const vigil_allocator *allocator;
    struct vigil__fd_table table;
    struct vigil__waker waker; /* asked for like any other, key class WAKE */
    unsigned long *bits;
    size_t words;     /* of each bitmap */
    int fd_count;     /* the highest descriptor and one */
    int broken_count; /* bits in BROKEN */
    int next;         /* where the search for ready ones begins, behind the last one reported */
};

static int select_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key);
static void select_close(void *self);
static int select_add(struct select_backend *select, vigil_fd fd);
static void select_arm(struct select_backend *select, vigil_fd fd, uint32_t want);
static void select_find_broken(struct select_backend *select);
static int select_collect(struct select_backend *select, int from, int to,
                          struct vigil__record *records, int cap);

static unsigned long *select_bits(const struct select_backend *select, int set)
{
    return select->bits + (size_t)set * select->words;
}

static unsigned long mask_of(int fd)
{
    return 1UL << ((unsigned)fd % WORD_BITS);
}

static bool has_bit(const struct select_backend *select, int set, int fd)
{
    return (select_bits(select, set)[fd / WORD_BITS] & mask_of(fd)) != 0;
}

static void put_bit(const struct select_backend *select, int set, int fd, bool on)
{
    unsigned long *word = &select_bits(select, set)[fd / WORD_BITS];
    *word = on ? *word | mask_of(fd) : *word & ~mask_of(fd);
}

static int select_open(void **self, const struct vigil__backend_config *config,
                       struct vigil__backend_caps *found)
{
    struct select_backend *select = vigil__alloc(config->allocator, sizeof(*select));
    if (select == NULL)
        return VIGIL_ENOMEM;
    *select = (struct select_backend){ .allocator = config->allocator,
                                       .table.allocator = config->allocator };
    int err = vigil__call_waker_open(&select->waker);
    if (err < 0) {
        vigil__free(config->allocator, select, sizeof(*select));
        return err;
    }
    err = select_set(select, select->waker.read_fd, 0, VIGIL_IN,
                     vigil__key(VIGIL__KEY_WAKE, 0, 0, 0));
    if (err < 0) {
        select_close(select);
        return err;
    }
    /* ERR comes with NVAL alone, so it does not count as something that select can tell. */
    *found = (struct vigil__backend_caps){
        .events = VIGIL_IN | VIGIL_PRI | VIGIL_OUT | VIGIL_NVAL,
    };
    *self = select;
    return 0;
}

/* In a forked child too: nothing here is shared with the parent but the waker, and closing it here
 * leaves the parent's open. */
static void select_close(void *self)
{
    struct select_backend *select = self;
    vigil__call_waker_close(&select->waker);
    vigil__fd_table_clear(&select->table);
    vigil__free(select->allocator, select->bits, SETS * select->words * sizeof(*select->bits));
    vigil__free(select->allocator, select, sizeof(*select));
}

static int select_set(void *self, vigil_fd fd, uint32_t was, uint32_t want, uint64_t key)
{
    struct select_backend *select = self;
    struct vigil__fd_entry *entry = vigil__fd_table_find(&select->table, fd);
    if (entry == NULL) {
        if (want == 0)
            return 0;
        int err = select_add(select, fd);
        if (err < 0)
            return err;
        entry = &select->table.entries[fd];
    } else if (was == 0 && want != 0) {
        return VIGIL_EEXIST;
    }
    entry->want = (uint16_t)want;
    entry->key = key;
    select_arm(select, fd, want);
    while (select->fd_count > 0 &&
           vigil__fd_table_find(&select->table, select->fd_count - 1) == NULL)
        select->fd_count--;
    return 0;
}

static int select_wait(void *self, struct vigil__record *records, int cap, vigil_ns timeout_ns)
{
    struct select_backend *select = self;
    unsigned long *ready = select_bits(select, READY_IN);
    size_t block = 3 * select->words; /* the three bitmaps asked, and the three answered */
    memcpy(ready, select_bits(select, ASK_IN), block * sizeof(*ready));
    int n = vigil__call_select(select->fd_count, ready, select_bits(select, READY_OUT),
                               select_bits(select, READY_EXCEPT),
                               select->broken_count > 0 ? VIGIL_NOWAIT : timeout_ns);
    if ((n < 0 && n != VIGIL_EBADF) || (n == 0 && select->broken_count == 0))
        return n;
    if (n <= 0)
        memset(ready, 0, block * sizeof(*ready));
    if (n == VIGIL_EBADF)
        select_find_broken(select);
    int from = select->next < select->fd_count ? select->next : 0;
    n = select_collect(select, from, select->fd_count, records, cap);
    if (n < cap)
        n += select_collect(select, 0, from, records + n, cap - n);
    return n;
}

static int select_wake(void *self)
{
    struct select_backend *select = self;
    return vigil__call_waker_signal(&select->waker);
}

const struct vigil__backend vigil__backend_select = {
    .name = "select",
    .open = select_open,
    .close = select_close,
    .forget = select_close,
    .set = select_set,
    .wait = select_wait,
    .wake = select_wake,
};

/* Makes room for `fd` in the table and in the bitmaps. */
static int select_add(struct select_backend *select, vigil_fd fd)
{
    int err = vigil__call_check_fd(fd);
    if (err == 0)
        err = vigil__fd_table_reserve(&select->table, fd);
    if (err < 0)
        return err;
    size_t words = vigil__max(select->words, WORDS_MIN);
    while (words <= (size_t)fd / WORD_BITS)
        words *= 2;
    if (words > select->words) {
        unsigned long *bits = vigil__alloc(select->allocator, SETS * words * sizeof(*bits));
        if (bits == NULL)
            return VIGIL_ENOMEM;
        memset(bits, 0, SETS * words * sizeof(*bits));
        for (int set = 0; set < SETS && select->words > 0; set++)
            memcpy(bits + (size_t)set * words, select_bits(select, set),
                   select->words * sizeof(*bits));
        vigil__free(select->allocator, select->bits, SETS * select->words * sizeof(*bits));
        select->bits = bits;
        select->words = words;
    }
    if (fd >= select->fd_count)
        select->fd_count = fd + 1;
    return 0;
}

/* Asks for `want` of `fd` from the next wait on; whether it is broken will show again. */
static void select_arm(struct select_backend *select, vigil_fd fd, uint32_t want)
{
    put_bit(select, ASK_IN, fd, (want & VIGIL_IN) != 0);
    put_bit(select, ASK_OUT, fd, (want & VIGIL_OUT) != 0);
    put_bit(select, ASK_EXCEPT, fd, (want & VIGIL_PRI) != 0);
    if (has_bit(select, BROKEN, fd)) {
        put_bit(select, BROKEN, fd, false);
        select->broken_count--;
    }
}

static void select_find_broken(struct select_backend *select)
{
    for (int fd = 0; fd < select->fd_count; fd++) {
        bool asked = has_bit(select, ASK_IN, fd) || has_bit(select, ASK_OUT, fd) ||
                     has_bit(select, ASK_EXCEPT, fd);
        if (!asked || vigil__call_check_fd(fd) == 0)
            continue;
        select_arm(select, fd, 0);
        put_bit(select, BROKEN, fd, true);
        select->broken_count++;
    }
}

static void select_report(struct select_backend *select, int fd, struct vigil__record *record)
{
    struct vigil__fd_entry *entry = &select->table.entries[fd];
    unsigned events = (has_bit(select, READY_IN, fd) ? VIGIL_IN : 0u) |
                      (has_bit(select, READY_OUT, fd) ? VIGIL_OUT : 0u) |
                      (has_bit(select, READY_EXCEPT, fd) ? VIGIL_PRI : 0u) |
                      (has_bit(select, BROKEN, fd) ? VIGIL_NVAL | VIGIL_ERR : 0u);
    *record = (struct vigil__record){ .key = entry->key, .res = (int32_t)events };
    if (entry->want & VIGIL_ONESHOT)
        select_arm(select, fd, 0);
    if (vigil__key_class(entry->key) == VIGIL__KEY_WAKE)
        vigil__call_waker_drain(&select->waker);
}

/* Reports what is ready in [from, to), a word of descriptors at a time. */
static int select_collect(struct select_backend *select, int from, int to,
                          struct vigil__record *records, int cap)
{
    int n = 0;
    for (int fd = from; fd < to && n < cap; fd++) {
        int word = fd / WORD_BITS;
        unsigned long any = select_bits(select, READY_IN)[word] |
                            select_bits(select, READY_OUT)[word] |
                            select_bits(select, READY_EXCEPT)[word] |
                            select_bits(select, BROKEN)[word];
        any &= ~0UL << ((unsigned)fd % WORD_BITS);
        if (any == 0) {
            fd = (word + 1) * WORD_BITS - 1;
            continue;
        }
        fd = word * WORD_BITS + __builtin_ctzl(any);
        if (fd >= to)
            break;
        select_report(select, fd, &records[n++]);
        select->next = fd + 1;
    }
    return n;
}

#endif
