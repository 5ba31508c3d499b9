/* SPDX-License-Identifier: MIT
 *
 * fd_table.c -- what is known of each descriptor, found by its number.  Floor: poller.
 */
#include "poller/fd_table.h"

#include <string.h>

#include "sys/wait_calls.h"

enum { TABLE_ROOM_MIN = 64 };

static int table_grow(struct vigil__fd_table *table, vigil_fd fd);

void vigil__fd_table_clear(struct vigil__fd_table *table)
{
    vigil__free(table->allocator, table->entries, table->room * sizeof(*table->entries));
    *table = (struct vigil__fd_table){ .allocator = table->allocator };
}

int vigil__fd_table_reserve(struct vigil__fd_table *table, vigil_fd fd)
{
    if (!vigil__fd_valid(fd))
        return VIGIL_EBADF;
    uint32_t at = vigil__fd_index(fd);
    if (at < table->used)
        return 0;
    int err = at < table->room ? 0 : table_grow(table, fd);
    if (err < 0)
        return err;
    memset(table->entries + table->used, 0, (at + 1 - table->used) * sizeof(*table->entries));
    table->used = at + 1;
    return 0;
}

static int table_grow(struct vigil__fd_table *table, vigil_fd fd)
{
    int err = vigil__call_check_fd(fd);
    if (err < 0)
        return err;
    uint32_t room = table->room == 0 ? TABLE_ROOM_MIN : table->room;
    while (room <= vigil__fd_index(fd))
        room *= 2; /* ends: a descriptor is below 2^31 */
    struct vigil__fd_entry *entries = vigil__resize(
        table->allocator, table->entries, table->room * sizeof(*entries), room * sizeof(*entries));
    if (entries == NULL)
        return VIGIL_ENOMEM;
    table->entries = entries;
    table->room = room;
    return 0;
}
