/* SPDX-License-Identifier: MIT
 *
 * epoll.c -- a model of epoll(7), in place of its part of src/sys/wait_calls.c.
 *
 * As in the kernel an entry belongs to an open file and the number it was added by, and leaves with
 * the file, not with the number.  Those that were told go to the end, so that each has its turn.
 */
#include "world.h"

enum { ALWAYS = VIGIL_ERR | VIGIL_HUP };

struct item {
    struct vigil__link link;  /* in the set's list */
    struct vigil__link watch; /* in the file's, as long as that is open */
    struct sim_file *file;
    int fd;
    uint32_t events;
    uint64_t key, told; /* the edges that have been told */
    bool spent;         /* a one-shot */
    bool again;         /* an edge that is told once more */
};

struct set {
    struct vigil__link items;
    uint32_t count;
};

static bool is_gone(const struct item *item)
{
    return vigil__list_empty(&item->watch);
}

static void item_free(struct set *set, struct item *item)
{
    vigil__list_remove(&item->link);
    vigil__list_remove(&item->watch);
    set->count--;
    world_free(item, sizeof(*item));
}

/* What is to be told of it now. */
static uint32_t item_events(const struct item *item)
{
    if (item->spent || is_gone(item))
        return 0;
    bool edge = (item->events & VIGIL_EDGE) != 0;
    if (edge && !item->again && item->told == world_edges(item->file, item->events))
        return 0;
    return vigil__sim_ready(item->file) & (item->events | ALWAYS);
}

static unsigned set_ready(const struct sim_file *file)
{
    const struct set *set = file->special_self;
    for (struct vigil__link *at = set->items.next; at != &set->items; at = at->next)
        if (item_events(VIGIL_OWNER(at, struct item, link)) != 0)
            return VIGIL_IN;
    return 0;
}

static void set_close(struct sim_file *file)
{
    struct set *set = file->special_self;
    while (!vigil__list_empty(&set->items))
        item_free(set, VIGIL_OWNER(set->items.next, struct item, link));
    world_free(set, sizeof(*set));
}

static const struct sim_special sets = { .ready = set_ready, .close = set_close };

int vigil__call_epoll_create(void)
{
    struct set *set = world.host != NULL ? world_alloc(sizeof(*set)) : NULL;
    if (set == NULL)
        return VIGIL_ENOMEM;
    vigil__list_init(&set->items);
    int fd = world_open(&sets, set);
    if (fd < 0)
        world_free(set, sizeof(*set));
    return fd;
}

/* ---- changes ---- */

static struct item *item_find(struct set *set, const struct sim_file *file, int fd)
{
    for (struct vigil__link *at = set->items.next; at != &set->items; at = at->next) {
        struct item *item = VIGIL_OWNER(at, struct item, link);
        if (!is_gone(item) && item->file == file && item->fd == fd)
            return item;
    }
    return NULL;
}

static void item_arm(struct item *item, uint32_t events, uint64_t key)
{
    item->events = events;
    item->key = key;
    item->told = UINT64_MAX; /* what is true already is an edge */
    item->spent = item->again = false;
}

static int item_add(struct set *set, struct sim_file *file, int fd, uint32_t events, uint64_t key)
{
    if (vigil__sim_short_of_buffers(world.host) != 0)
        return VIGIL_ENOMEM;
    struct item *item = world_alloc(sizeof(*item));
    if (item == NULL)
        return VIGIL_ENOMEM;
    item->file = file;
    item->fd = fd;
    item_arm(item, events, key);
    vigil__list_append(&set->items, &item->link);
    vigil__list_append(&file->watchers, &item->watch);
    set->count++;
    return 0;
}

int vigil__call_epoll_ctl(int epoll, enum vigil__epoll_op op, int fd, uint32_t events, uint64_t key)
{
    struct set *set = world_special(epoll, &sets);
    struct sim_file *file = world_file(fd);
    if (set == NULL || file == NULL)
        return VIGIL_EBADF;
    if (fd == epoll)
        return VIGIL_EINVAL;
    int err = op == VIGIL__EPOLL_REMOVE ? 0 : vigil__sim_call(world.host, VIGIL_SIM_CALL_SET);
    if (err < 0)
        return err;
    if (file->kind == SIM_REGULAR)
        return VIGIL_ENOTSUP;
    struct item *item = item_find(set, file, fd);
    if (op == VIGIL__EPOLL_ADD)
        return item != NULL ? VIGIL_EEXIST : item_add(set, file, fd, events, key);
    if (item == NULL)
        return VIGIL_ENOENT;
    if (op == VIGIL__EPOLL_REMOVE)
        item_free(set, item);
    else
        item_arm(item, events, key);
    return 0;
}

/* ---- waiting ---- */

static bool item_tell(struct item *item, struct vigil__epoll_event *event)
{
    uint32_t events = item_events(item);
    if (events == 0 || world_late())
        return false;
    bool edge = (item->events & VIGIL_EDGE) != 0;
    *event = (struct vigil__epoll_event){ .events = events, .key = item->key };
    item->told = world_edges(item->file, item->events);
    item->spent = (item->events & VIGIL_ONESHOT) != 0;
    item->again = edge && !item->spent && !item->again && world_fault(VIGIL_SIM_DUPLICATE);
    return true;
}

static int set_collect(struct set *set, struct vigil__epoll_event *events, int max)
{
    int n = 0;
    struct vigil__link *at = set->items.next;
    for (uint32_t left = set->count; left > 0 && n < max; left--) {
        struct item *item = VIGIL_OWNER(at, struct item, link);
        at = at->next;
        if (is_gone(item)) {
            item_free(set, item);
        } else if (item_tell(item, &events[n])) {
            n++;
            vigil__list_remove(&item->link); /* the others first, the next time */
            vigil__list_append(&set->items, &item->link);
        }
    }
    return n;
}

static int add_spurious(struct set *set, struct vigil__epoll_event *events, int n, int max)
{
    int which = n < max ? world_spurious(set->count) : -1;
    if (which < 0)
        return n;
    struct vigil__link *at = set->items.next;
    for (; which > 0; which--)
        at = at->next;
    const struct item *item = VIGIL_OWNER(at, struct item, link);
    uint32_t said = item->events & (VIGIL_IN | VIGIL_OUT);
    if (is_gone(item) || item->spent || (item->events & VIGIL_ONESHOT) != 0 || said == 0)
        return n;
    events[n] = (struct vigil__epoll_event){ .events = said, .key = item->key };
    return n + 1;
}

static void reorder(struct vigil__epoll_event *events, int n)
{
    if (n < 2 || !world_fault(VIGIL_SIM_REORDER))
        return;
    for (int i = 0; i + 1 < n; i++) {
        if (vigil_sim_choose(world.host->sim, "swap", 2) == 0)
            continue;
        struct vigil__epoll_event event = events[i];
        events[i] = events[i + 1];
        events[i + 1] = event;
    }
}

int vigil__call_epoll_wait(int epoll, struct vigil__epoll_event *events, int max,
                           vigil_ns timeout_ns)
{
    if (world.dead)
        return 0;
    struct set *set = world_special(epoll, &sets);
    if (set == NULL)
        return VIGIL_EBADF;
    int err = vigil__sim_call(world.host, VIGIL_SIM_CALL_WAIT);
    if (err < 0)
        return err;
    vigil_ns deadline = world_deadline(timeout_ns);
    do {
        if (!world.dead && set_ready(world_file(epoll)) != 0) {
            if (world_interrupted())
                return 0;
            int n = set_collect(set, events, max);
            n = add_spurious(set, events, n, max);
            reorder(events, n);
            return n;
        }
    } while (world_waits(deadline, &err));
    return err;
}
