/* SPDX-License-Identifier: MIT
 *
 * epoll_files.c -- the files that epoll(7) refuses: regular files, /dev/null.  Floor: poller.
 *
 * Those that are armed stand in a list without holes, and the table tells each one's place.  The
 * beacon is readable as long as the list is not empty.
 */
#include "poller/epoll_files.h"

enum { FILES_ROOM_MIN = 4 };

static const uint32_t file_resting = UINT32_MAX; /* nothing is waited for, or it was told */

static int files_reserve(struct vigil__epoll_files *files);
static void file_arm(struct vigil__epoll_files *files, vigil_fd fd);
static void file_rest(struct vigil__epoll_files *files, vigil_fd fd);

void vigil__epoll_files_init(struct vigil__epoll_files *files, const vigil_allocator *allocator)
{
    *files = (struct vigil__epoll_files){ .table.allocator = allocator };
}

int vigil__epoll_files_open(struct vigil__epoll_files *files)
{
    int err = files->open ? 0 : vigil__call_waker_open(&files->beacon);
    files->open = err == 0;
    return err;
}

void vigil__epoll_files_close(struct vigil__epoll_files *files)
{
    if (files->open)
        vigil__call_waker_close(&files->beacon);
    vigil__free(files->table.allocator, files->ready, files->room * sizeof(*files->ready));
    vigil__fd_table_clear(&files->table);
}

int vigil__epoll_files_add(struct vigil__epoll_files *files, vigil_fd fd, uint32_t want,
                           uint64_t key)
{
    int err = vigil__fd_table_reserve(&files->table, fd);
    if (err == 0)
        err = files_reserve(files);
    if (err < 0)
        return err;
    files->count++;
    files->table.entries[fd] = (struct vigil__fd_entry){ .want = (uint16_t)want,
                                                         .at = file_resting };
    return vigil__epoll_files_set(files, fd, want, want, key);
}

int vigil__epoll_files_set(struct vigil__epoll_files *files, vigil_fd fd, uint32_t was,
                           uint32_t want, uint64_t key)
{
    if (was == 0 && want != 0)
        return VIGIL_EEXIST;
    struct vigil__fd_entry *entry = &files->table.entries[fd];
    file_rest(files, fd);
    entry->want = (uint16_t)want;
    entry->key = key;
    if (want == 0)
        files->count--;
    else if ((want & (VIGIL_IN | VIGIL_OUT)) != 0) /* the others a file does not have */
        file_arm(files, fd);
    return 0;
}

/* Its edge, like its one shot, is spent by the first report: nothing ever happens to a file. */
int vigil__epoll_files_report(struct vigil__epoll_files *files, struct vigil__record *records,
                              int cap)
{
    uint32_t count = files->ready_count;
    int n = 0;
    for (; n < cap && (uint32_t)n < count; n++) {
        uint32_t at = files->next < files->ready_count ? files->next : 0;
        vigil_fd fd = files->ready[at];
        const struct vigil__fd_entry *entry = &files->table.entries[fd];
        records[n] = (struct vigil__record){
            .key = entry->key,
            .res = (int32_t)(entry->want & (VIGIL_IN | VIGIL_OUT)),
        };
        files->next = at + 1;
        if (entry->want & (VIGIL_EDGE | VIGIL_ONESHOT)) {
            file_rest(files, fd);
            files->next = at; /* the last one stands here now */
        }
    }
    return n;
}

/* Makes room for one more. */
static int files_reserve(struct vigil__epoll_files *files)
{
    if (files->count < files->room)
        return 0;
    uint32_t room = files->room == 0 ? FILES_ROOM_MIN : files->room * 2;
    vigil_fd *ready = vigil__resize(files->table.allocator, files->ready,
                                    files->room * sizeof(*ready), room * sizeof(*ready));
    if (ready == NULL)
        return VIGIL_ENOMEM;
    files->ready = ready;
    files->room = room;
    return 0;
}

static void file_arm(struct vigil__epoll_files *files, vigil_fd fd)
{
    files->table.entries[fd].at = files->ready_count;
    files->ready[files->ready_count++] = fd;
    if (files->ready_count == 1)
        (void)vigil__call_waker_signal(&files->beacon); /* it is open, so this does not fail */
}

/* Takes a file off the list, if it stands there; the last one moves into the hole. */
static void file_rest(struct vigil__epoll_files *files, vigil_fd fd)
{
    struct vigil__fd_entry *entry = &files->table.entries[fd];
    if (entry->at == file_resting)
        return;
    vigil_fd last = files->ready[--files->ready_count];
    files->ready[entry->at] = last;
    files->table.entries[last].at = entry->at;
    entry->at = file_resting;
    if (files->ready_count == 0)
        vigil__call_waker_drain(&files->beacon);
}
