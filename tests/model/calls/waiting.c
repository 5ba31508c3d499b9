/* SPDX-License-Identifier: MIT
 *
 * waiting.c -- models of poll(2), select(2) and eventfd(2), and of the small calls beside them, in
 * place of src/sys/wait_calls.c.
 */
#include "world.h"

#include <limits.h>

enum {
    WORD_BITS = sizeof(unsigned long) * CHAR_BIT,
    TABLE_MIN = 64, /* descriptors that the table of a new process has room for */
};

/* ---- poll ---- */

static uint16_t poll_events(const vigil_pollfd *entry)
{
    if (entry->fd < 0)
        return 0;
    const struct sim_file *file = world_file(entry->fd);
    if (file == NULL)
        return VIGIL_NVAL;
    return (uint16_t)(vigil__sim_ready(file) & (entry->events | (unsigned)(VIGIL_ERR | VIGIL_HUP)));
}

static int poll_look(vigil_pollfd *fds, size_t count)
{
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        fds[i].revents = poll_events(&fds[i]);
        n += fds[i].revents != 0;
    }
    return n;
}

/* What the faults leave of an answer, and add to it. */
static int poll_disturbed(vigil_pollfd *fds, size_t count)
{
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        if (fds[i].revents != 0 && world_late())
            fds[i].revents = 0;
        n += fds[i].revents != 0;
    }
    int spurious = world_spurious((uint32_t)count);
    if (spurious >= 0 && fds[spurious].fd >= 0 && fds[spurious].revents == 0) {
        fds[spurious].revents = fds[spurious].events & (VIGIL_IN | VIGIL_OUT);
        n += fds[spurious].revents != 0;
    }
    return n;
}

int vigil__call_poll(vigil_pollfd *fds, size_t count, vigil_ns timeout_ns)
{
    if (world.host == NULL || world.dead)
        return world.host != NULL ? 0 : VIGIL_ENOTSUP;
    int err = vigil__sim_call(world.host, VIGIL_SIM_CALL_WAIT);
    if (err < 0)
        return err;
    vigil_ns deadline = world_deadline(timeout_ns);
    do {
        if (poll_look(fds, count) > 0)
            return world_interrupted() ? 0 : poll_disturbed(fds, count);
    } while (world_waits(deadline, &err));
    return err;
}

/* ---- select ---- */

static const uint32_t select_takes[3] = {
    VIGIL_IN | VIGIL_HUP | VIGIL_ERR,
    VIGIL_OUT | VIGIL_ERR,
    VIGIL_PRI,
};

static bool has_bit(const unsigned long *set, int fd)
{
    return (set[fd / WORD_BITS] >> (unsigned)(fd % WORD_BITS) & 1) != 0;
}

/* How far the process's table reaches: descriptors beyond it are not even looked at. */
static int table_reaches(void)
{
    return (int)vigil__max(world.host->fd_room, TABLE_MIN);
}

/* VIGIL_EBADF, or how many bits would be set. */
static int select_count(int fd_count, unsigned long *const asked[3])
{
    int n = 0;
    for (int fd = 0; fd < fd_count && fd < table_reaches(); fd++) {
        for (int set = 0; set < 3; set++) {
            if (!has_bit(asked[set], fd))
                continue;
            const struct sim_file *file = world_file(fd);
            if (file == NULL)
                return VIGIL_EBADF;
            n += (vigil__sim_ready(file) & select_takes[set]) != 0;
        }
    }
    return n;
}

/* The sets become what is ready of them.  (BUGS of select(2): what it tells may block.) */
static int select_answer(int fd_count, unsigned long *const asked[3])
{
    int n = 0, spurious = world_spurious((uint32_t)fd_count);
    for (int fd = 0; fd < fd_count; fd++) {
        const struct sim_file *file = world_file(fd);
        unsigned ready = file != NULL ? vigil__sim_ready(file) : 0;
        for (int set = 0; set < 3; set++) {
            if (!has_bit(asked[set], fd))
                continue;
            bool told = (ready & select_takes[set]) != 0 ? !world_late()
                                                         : fd == spurious && set < 2;
            if (told)
                n++;
            else
                asked[set][fd / WORD_BITS] &= ~(1UL << (unsigned)(fd % WORD_BITS));
        }
    }
    return n;
}

int vigil__call_select(int fd_count, unsigned long *in, unsigned long *out, unsigned long *except,
                       vigil_ns timeout_ns)
{
    unsigned long *const asked[3] = { in, out, except };
    if (world.host == NULL || world.dead)
        return world.host != NULL ? 0 : VIGIL_ENOTSUP;
    int err = vigil__sim_call(world.host, VIGIL_SIM_CALL_WAIT);
    if (err < 0)
        return err;
    vigil_ns deadline = world_deadline(timeout_ns);
    do {
        int n = select_count(fd_count, asked);
        if (n < 0)
            return n;
        if (n > 0)
            return world_interrupted() ? 0 : select_answer(fd_count, asked);
    } while (world_waits(deadline, &err));
    return err;
}

/* ---- eventfd ---- */

struct eventfd {
    uint64_t count;
};

static unsigned eventfd_ready(const struct sim_file *file)
{
    const struct eventfd *eventfd = file->special_self;
    return VIGIL_OUT | (eventfd->count > 0 ? (unsigned)VIGIL_IN : 0);
}

static void eventfd_close(struct sim_file *file)
{
    world_free(file->special_self, sizeof(struct eventfd));
}

static const struct sim_special eventfds = { .ready = eventfd_ready, .close = eventfd_close };

int vigil__call_waker_open(struct vigil__waker *waker)
{
    struct eventfd *eventfd = world.host != NULL ? world_alloc(sizeof(*eventfd)) : NULL;
    if (eventfd == NULL)
        return VIGIL_ENOMEM;
    int fd = world_open(&eventfds, eventfd);
    if (fd < 0) {
        world_free(eventfd, sizeof(*eventfd));
        return fd;
    }
    *waker = (struct vigil__waker){ .read_fd = fd, .write_fd = fd };
    return 0;
}

void world_signal(int fd)
{
    struct eventfd *eventfd = world_special(fd, &eventfds);
    if (eventfd == NULL)
        return;
    struct sim_file *file = world_file(fd);
    eventfd->count++;
    file->activity++;
    file->inputs++;
    vigil__sim_moved(file->sim);
}

int vigil__call_waker_signal(const struct vigil__waker *waker)
{
    world_signal(waker->write_fd);
    return 0;
}

void vigil__call_waker_drain(const struct vigil__waker *waker)
{
    struct eventfd *eventfd = world_special(waker->read_fd, &eventfds);
    if (eventfd != NULL)
        eventfd->count = 0;
}

void vigil__call_waker_close(struct vigil__waker *waker)
{
    vigil__call_close(waker->read_fd);
    *waker = (struct vigil__waker){ .read_fd = -1, .write_fd = -1 };
}

/* ---- the rest ---- */

int vigil__call_check_fd(vigil_fd fd)
{
    return world_file(fd) != NULL ? 0 : VIGIL_EBADF;
}

void vigil__call_close(int fd)
{
    if (world_file(fd) != NULL)
        (void)vigil__sim_fd_close(world.host, fd); /* it is open */
}

int vigil__call_replace(int fd, int fresh)
{
    struct sim_host *host = world.host;
    if (world_file(fd) == NULL || world_file(fresh) == NULL)
        return VIGIL_EBADF;
    struct sim_file *file = host->fds[fd].file;
    host->fds[fd] = host->fds[fresh];
    host->fds[fresh] = (struct sim_fd){ 0 };
    host->fd_count--;
    vigil__sim_file_release(file);
    return 0;
}

vigil_ns vigil__call_now(void)
{
    return world.host != NULL ? world.host->sim->now : 0;
}
