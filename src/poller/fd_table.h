/* SPDX-License-Identifier: MIT
 *
 * fd_table.h -- what is known of each descriptor, found by its number.  Floor: poller.
 *
 * The system hands out the lowest free number, so an array indexed by it stays dense.  Each user of
 * the table says what `marks` and `at` mean there.
 */
#ifndef VIGIL_FD_TABLE_H
#define VIGIL_FD_TABLE_H

#include "base/base.h"

struct vigil__fd_entry {
    uint64_t key;
    uint16_t want;  /* event bits with EDGE and ONESHOT; 0: not in the table */
    uint16_t marks; /* the user's, like one of these: */
    union {
        uint32_t at;
        uint32_t generation; /* outlives removal */
    };
};

struct vigil__fd_table {
    const vigil_allocator *allocator;
    struct vigil__fd_entry *entries;
    uint32_t room;
    uint32_t used; /* how many were needed so far; memory behind them is not touched */
};

void vigil__fd_table_clear(struct vigil__fd_table *table);

/* Makes room for the entry of `fd`.  Grows only for one that is open, so that a wild number asks
 * for no memory.  0, VIGIL_EBADF, VIGIL_ENOMEM. */
int vigil__fd_table_reserve(struct vigil__fd_table *table, vigil_fd fd);

/* The entry of `fd`, for which there is room. */
static inline struct vigil__fd_entry *vigil__fd_table_at(const struct vigil__fd_table *table,
                                                         vigil_fd fd)
{
    return &table->entries[vigil__fd_index(fd)];
}

/* The entry of `fd`, or NULL when it is not in the table. */
static inline struct vigil__fd_entry *vigil__fd_table_find(const struct vigil__fd_table *table,
                                                           vigil_fd fd)
{
    if (!vigil__fd_valid(fd) || vigil__fd_index(fd) >= table->used)
        return NULL;
    struct vigil__fd_entry *entry = vigil__fd_table_at(table, fd);
    return entry->want != 0 ? entry : NULL;
}

#endif
