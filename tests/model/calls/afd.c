/* SPDX-License-Identifier: MIT
 *
 * afd.c -- a model of Windows' completion ports and of polling at its driver of sockets, in place
 * of a part of src/sys/wait_calls_windows.c, over the sockets of a world.
 *
 * A poll completes once: when something that it asks for is true, when it is canceled, when its
 * socket or the driver's handle is closed.  Its completion stands in the port from then on, whether
 * or not that is true any longer when it is taken.  Nothing here has been compared with Windows.
 */
#include "sys/wait_calls_windows.h"
#include "world.h"

#include <stdlib.h>

struct poll {
    struct vigil__link link;  /* in its port: under way, or done */
    struct vigil__link watch; /* in the file's list, as long as that is open */
    struct sim_file *file;
    uintptr_t afd;
    struct vigil__afd_request *request; /* NULL: a post */
};

struct port {
    struct vigil__link link; /* among all */
    const struct sim_turner *turner;
    int fd;
    uint32_t spared;                    /* polls that begin for sure */
    bool closed;                        /* by the end of its process: it still ends what is asked */
    struct vigil__link under_way, done; /* oldest first */
};

static struct vigil__link all_ports = { &all_ports, &all_ports };

/* One whose process has ended is still there for who has its memory. */
static struct port *port_find(uintptr_t number)
{
    for (struct vigil__link *at = all_ports.prev; at != &all_ports; at = at->prev) {
        struct port *port = VIGIL_OWNER(at, struct port, link);
        if (port->fd == (int)number && port->turner == world.turner && port->closed == world.dead)
            return port;
    }
    return NULL;
}

static struct poll *poll_at(struct vigil__link *link)
{
    return VIGIL_OWNER(link, struct poll, link);
}

/* ---- polls -------------------------------------------------------------------------------- */

static uint32_t bits_now(const struct sim_file *file)
{
    unsigned ready = vigil__sim_ready(file);
    if (file->kind == SIM_LISTENER)
        return (ready & VIGIL_IN) != 0 ? VIGIL__AFD_ACCEPT : 0;
    switch (file->state) {
    case SIM_NEW:
    case SIM_CONNECTING:
        return 0;
    case SIM_BROKEN:
        return VIGIL__AFD_ABORT;
    case SIM_CONNECTED:
        break;
    }
    return (file->in.arrived > file->in.read ? VIGIL__AFD_RECEIVE : 0u) |
           ((ready & VIGIL_RDHUP) != 0 ? VIGIL__AFD_DISCONNECT : 0u) |
           ((ready & VIGIL_OUT) != 0 ? VIGIL__AFD_SEND : 0u);
}

/* What it would tell now; 0: it stays under way. */
static uint32_t told_by(const struct poll *poll)
{
    uint32_t bits = vigil__list_empty(&poll->watch) ? VIGIL__AFD_LOCAL_CLOSE : bits_now(poll->file);
    return bits & poll->request->events;
}

static void complete(struct port *port, struct poll *poll, uint32_t events, int status)
{
    poll->request->events = events;
    poll->request->count = events != 0;
    poll->request->io[0] = (uintptr_t)(intptr_t)status;
    vigil__list_remove(&poll->watch);
    vigil__list_remove(&poll->link);
    vigil__list_append(&port->done, &poll->link);
}

static void complete_true(struct port *port)
{
    struct vigil__link *at = port->under_way.next;
    while (at != &port->under_way) {
        struct poll *poll = poll_at(at);
        at = at->next;
        uint32_t told = told_by(poll);
        if (told != 0 && !world_late())
            complete(port, poll, told, 0);
    }
}

static uint32_t count_of(const struct vigil__link *list)
{
    uint32_t n = 0;
    for (const struct vigil__link *at = list->next; at != list; at = at->next)
        n++;
    return n;
}

/* Somebody else was faster, and there is nothing any more. */
static void complete_spurious(struct port *port)
{
    int which = world_spurious(count_of(&port->under_way));
    struct vigil__link *at = port->under_way.next;
    for (; which > 0; which--)
        at = at->next;
    uint32_t told = which < 0 ? 0 : VIGIL__AFD_RECEIVE | VIGIL__AFD_SEND;
    if (told != 0 && (told & poll_at(at)->request->events) != 0)
        complete(port, poll_at(at), told & poll_at(at)->request->events, 0);
}

/* ---- ports -------------------------------------------------------------------------------- */

static unsigned port_ready(const struct sim_file *file)
{
    struct port *port = file->special_self;
    bool any = !vigil__list_empty(&port->done);
    for (struct vigil__link *at = port->under_way.next; at != &port->under_way && !any;
         at = at->next)
        any = told_by(poll_at(at)) != 0;
    return any ? VIGIL_IN : 0;
}

static void polls_free(struct vigil__link *list)
{
    while (!vigil__list_empty(list)) {
        struct poll *poll = poll_at(list->next);
        vigil__list_remove(&poll->link);
        vigil__list_remove(&poll->watch);
        free(poll);
    }
}

static void port_free(struct port *port)
{
    polls_free(&port->under_way);
    polls_free(&port->done);
    vigil__list_remove(&port->link);
    free(port);
}

static void port_close(struct sim_file *file)
{
    struct port *port = file->special_self;
    port->closed = true;
    if (!file->host->dead)
        port_free(port);
}

static const struct sim_special ports = { .ready = port_ready, .close = port_close };

int vigil__call_port_open(uintptr_t *out)
{
    struct port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return VIGIL_ENOMEM;
    port->turner = world.turner;
    vigil__list_init(&port->link);
    vigil__list_init(&port->under_way);
    vigil__list_init(&port->done);
    int fd = world_open(&ports, port);
    if (fd < 0) {
        free(port);
        return fd;
    }
    port->fd = fd;
    vigil__list_append(&all_ports, &port->link);
    *out = (uintptr_t)fd;
    return 0;
}

static struct poll *poll_new(void)
{
    struct poll *poll = calloc(1, sizeof(*poll));
    if (poll != NULL) {
        vigil__list_init(&poll->link);
        vigil__list_init(&poll->watch);
    }
    return poll;
}

int vigil__call_port_post(uintptr_t number)
{
    struct port *port = port_find(number);
    struct poll *post = port != NULL ? poll_new() : NULL;
    if (post == NULL)
        return VIGIL_ENOMEM;
    vigil__list_append(&port->done, &post->link);
    vigil__sim_moved(world.host->sim);
    return 0;
}

static int take_done(struct port *port, struct vigil__completion *completions, int max)
{
    int n = 0;
    bool many = !world.dead && port->done.next != port->done.prev;
    bool turned = many && world_fault(VIGIL_SIM_REORDER);
    while (n < max && !vigil__list_empty(&port->done)) {
        struct poll *poll = poll_at(turned ? port->done.prev : port->done.next);
        completions[n++].request = poll->request;
        vigil__list_remove(&poll->link);
        free(poll);
    }
    return n;
}

int vigil__call_port_wait(uintptr_t number, struct vigil__completion *completions, int max,
                          vigil_ns timeout_ns)
{
    struct port *port = port_find(number);
    if (port == NULL)
        return VIGIL_EBADF;
    if (world.dead) {
        while (!vigil__list_empty(&port->under_way))
            complete(port, poll_at(port->under_way.next), 0, VIGIL_ECANCELED);
        return take_done(port, completions, max);
    }
    int err = vigil__sim_call(world.host, VIGIL_SIM_CALL_WAIT);
    if (err < 0)
        return err;
    vigil_ns deadline = world_deadline(timeout_ns);
    do {
        if (world.dead)
            return 0;
        bool any = port_ready(world_file((int)number)) != 0;
        complete_true(port);
        if (any)
            complete_spurious(port);
        if (any)
            return take_done(port, completions, max);
    } while (world_waits(deadline, &err));
    return err;
}

/* ---- the driver --------------------------------------------------------------------------- */

/* A handle knows its port. */
static unsigned driver_ready(const struct sim_file *file)
{
    (void)file;
    return 0;
}

static void driver_close(struct sim_file *file)
{
    (void)file;
}

static const struct sim_special drivers = { .ready = driver_ready, .close = driver_close };

int vigil__call_afd_open(uintptr_t number, uintptr_t *afd)
{
    struct port *port = port_find(number);
    int fd = port != NULL ? world_open(&drivers, port) : VIGIL_EBADF;
    *afd = (uintptr_t)fd;
    return fd < 0 ? fd : 0;
}

/* Those of that handle, or that one alone, end: it was closed, or they were canceled. */
static void cancel(struct port *port, uintptr_t afd, const struct vigil__afd_request *request)
{
    struct vigil__link *at = port->under_way.next;
    while (at != &port->under_way) {
        struct poll *poll = poll_at(at);
        at = at->next;
        if (poll->afd != afd || (request != NULL && poll->request != request))
            continue;
        bool lost = told_by(poll) != 0 && world_fault(VIGIL_SIM_CANCEL_LOST);
        if (lost)
            complete(port, poll, told_by(poll), 0);
        else
            complete(port, poll, 0, VIGIL_ECANCELED);
    }
}

void vigil__call_handle_close(uintptr_t handle)
{
    struct port *port = world_special((int)handle, &drivers);
    if (port != NULL)
        cancel(port, handle, NULL);
    else if (world.dead && (port = port_find(handle)) != NULL)
        port_free(port);
    vigil__call_close((int)handle);
}

int vigil__call_afd_base(vigil_fd fd, uintptr_t *base)
{
    const struct sim_file *file = world_file(fd);
    *base = (uintptr_t)fd;
    if (file == NULL)
        return VIGIL_EBADF;
    return file->kind == SIM_SOCKET || file->kind == SIM_LISTENER ? 0 : VIGIL_ENOTSUP;
}

/* A wait that fails serves nobody: the next ones go on, or a shortage that lasts would starve. */
static bool short_of_memory(struct port *port)
{
    enum { SPARED = 64 };
    if (port->spared > 0) {
        port->spared--;
        return false;
    }
    bool is = !world.dead && world_fault(VIGIL_SIM_ENOMEM);
    if (is)
        vigil__sim_hurt(world.host);
    port->spared = is ? SPARED : 0;
    return is;
}

int vigil__call_afd_poll(uintptr_t afd, uintptr_t number, struct vigil__afd_request *request)
{
    struct port *port = port_find(number);
    struct sim_file *file = world_file((int)request->socket);
    if (port == NULL || vigil__sim_call(world.host, VIGIL_SIM_CALL_SET) < 0 ||
        short_of_memory(port))
        return VIGIL_ENOMEM;
    struct poll *poll = poll_new();
    if (poll == NULL)
        return VIGIL_ENOMEM;
    poll->afd = afd;
    poll->request = request;
    poll->file = file;
    vigil__list_append(&port->under_way, &poll->link);
    if (file == NULL) {
        complete(port, poll, 0, VIGIL_EBADF);
        return 0;
    }
    vigil__list_append(&file->watchers, &poll->watch);
    uint32_t told = told_by(poll);
    if (told != 0 && !world_late())
        complete(port, poll, told, 0);
    return 0;
}

void vigil__call_afd_cancel(uintptr_t afd, struct vigil__afd_request *request)
{
    struct port *port = world_special((int)afd, &drivers);
    if (port != NULL)
        cancel(port, afd, request);
}

int vigil__call_afd_result(const struct vigil__afd_request *request)
{
    int status = (int)(intptr_t)request->io[0];
    if (status < 0)
        return status == VIGIL_ECANCELED ? 0 : status;
    return request->count == 0 ? 0 : (int)request->events;
}
