/* SPDX-License-Identifier: MIT
 *
 * epoll_files.h -- the files that epoll(7) refuses: regular files, /dev/null.  Floor: poller.
 *
 * They are always ready, as poll(2) says.  While there is something to report, an eventfd, the
 * beacon, is readable: waited for like any other, it stands for all of them.
 */
#ifndef VIGIL_EPOLL_FILES_H
#define VIGIL_EPOLL_FILES_H

#include "poller/backend.h"
#include "poller/fd_table.h"
#include "sys/wait_calls.h"

struct vigil__epoll_files {
    struct vigil__fd_table table; /* at: place in `ready`, or file_resting */
    struct vigil__waker beacon;
    bool open;
    vigil_fd *ready; /* those that have something to report */
    uint32_t ready_count;
    uint32_t count, room; /* of all; `ready` has room for them, so arming again cannot fail */
    uint32_t next;        /* in `ready`, behind the last one reported */
};

void vigil__epoll_files_init(struct vigil__epoll_files *files, const vigil_allocator *allocator);

/* Opens the beacon, files->beacon.read_fd, if it is not open yet.  0, VIGIL_EMFILE. */
int vigil__epoll_files_open(struct vigil__epoll_files *files);
void vigil__epoll_files_close(struct vigil__epoll_files *files);

static inline bool vigil__epoll_files_has(const struct vigil__epoll_files *files, vigil_fd fd)
{
    return vigil__fd_table_find(&files->table, fd) != NULL;
}

/* Adds one that is not there; the beacon is open.  0, VIGIL_ENOMEM. */
int vigil__epoll_files_add(struct vigil__epoll_files *files, vigil_fd fd, uint32_t want,
                           uint64_t key);

/* Changes, and arms again, one that is there, as `set` of backend.h does.  0, VIGIL_EEXIST. */
int vigil__epoll_files_set(struct vigil__epoll_files *files, vigil_fd fd, uint32_t was,
                           uint32_t want, uint64_t key);

/* What the beacon stands for; answers how many.  The next call goes on behind the last one. */
int vigil__epoll_files_report(struct vigil__epoll_files *files, struct vigil__record *records,
                              int cap);

#endif
