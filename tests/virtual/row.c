/* SPDX-License-Identifier: MIT
 *
 * row.c -- the world around one row of the conformance suite: made for it, and looked at when it
 * has ended: nothing is open, allocated or written to behind its end.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "virtual/world.h"

enum { STD_FDS = 3 };

struct world world;
int world_stderr = -1;

/* What is this machine for the library: a host of the world, while there is one. */
const vigil_host *__real_vigil__host_system(void);
const vigil_host *__wrap_vigil__host_system(void);
const vigil_host *__wrap_vigil__host_system(void)
{
    return world.table != NULL ? world.table : __real_vigil__host_system();
}

/* Whether a descriptor is open, which pollers ask the system about. */
int __wrap_vigil__call_check_fd(vigil_fd fd);
int __wrap_vigil__call_check_fd(vigil_fd fd)
{
    return vigil__sim_fd_file(world.host, fd) != NULL ? 0 : VIGIL_EBADF;
}

void world_failed(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dprintf(world_stderr >= 0 ? world_stderr : STDERR_FILENO, "# %s\n", text);
    world.failures++;
}

void virtual_skip(const char *reason)
{
    world.leave(reason);
    abort(); /* it does not come back */
}

/* ---- time ---- */

void world_pass(vigil_ns duration)
{
    vigil_ns to = vigil__time_add(world.sim->now, duration);
    while (world.sim->now < to)
        (void)vigil__sim_step(world.sim, NULL,
                              to); /* no loop turns: time passes, at most to `to` */
}

bool world_wait(const struct sim_file *file, unsigned events, vigil_ns deadline)
{
    while ((vigil__sim_ready(file) & (events | VIGIL_ERR | VIGIL_HUP)) == 0) {
        if (world.sim->now >= deadline)
            return false;
        if (!vigil__sim_step(world.sim, NULL, deadline))
            virtual_skip("a call that waits without an end");
    }
    return true;
}

/* ---- loops ---- */

/* A rig that is used again while its loop is open is another's, in the place of one that a function
 * left behind: its loop has lost its memory's owner. */
static void note_loop(vigil_loop *loop, const vigil_allocator *allocator)
{
    int place = -1;
    for (int i = 0; i < WORLD_LOOPS_MAX; i++) {
        if (world.loops[i] == NULL)
            place = place < 0 ? i : place;
        else if (fail_now() && allocator != NULL && world.allocators[i] == allocator)
            world.lost = true;
    }
    if (place < 0)
        return;
    world.loops[place] = loop;
    world.allocators[place] = allocator;
}

/* Whether the rig of the i-th still stands where it was. */
static bool has_rig(int i)
{
    const vigil_allocator *allocator = world.allocators[i];
    return allocator == NULL || allocator->ctx == allocator;
}

int virtual_loop_open(vigil_loop **out, const vigil_loop_options *options)
{
    int err = vigil_loop_open(out, options);
    const vigil_host *host = options != NULL ? options->host : NULL;
    world.other_input = world.other_input || (host != NULL && (host->recv != world.table->recv ||
                                                               host->read != world.table->read));
    if (err == 0)
        note_loop(*out, options != NULL ? options->allocator : NULL);
    return err;
}

/* One that is closed in a callback ends behind the turn. */
static void turned(void)
{
    if (--world.turning > 0)
        return;
    for (int i = 0; i < world.closing_count; i++)
        observe_loop_closed(world.closing[i]);
    world.closing_count = 0;
}

void virtual_loop_close(vigil_loop *loop)
{
    for (int i = 0; i < WORLD_LOOPS_MAX && loop != NULL; i++)
        if (world.loops[i] == loop)
            world.loops[i] = NULL;
    if (loop != NULL && world.closing_count < WORLD_LOOPS_MAX)
        world.closing[world.closing_count++] = loop;
    world.turning++;
    vigil_loop_close(loop);
    turned();
    world_pass(WORLD_CALL_NS);
}

int virtual_adopt(vigil_loop *loop, vigil_fd in, vigil_fd out, const vigil_conn_options *options,
                  vigil_conn *conn)
{
    int err = vigil_adopt(loop, in, out, options, conn);
    if (err == 0 && in != VIGIL_FD_NONE)
        world.fds[in].own = false;
    if (err == 0 && out != VIGIL_FD_NONE)
        world.fds[out].own = false;
    return err;
}

int virtual_listen_fd(vigil_loop *loop, vigil_fd fd, const vigil_listen_options *options,
                      vigil_listener *out)
{
    int err = vigil_listen_fd(loop, fd, options, out);
    if (err == 0)
        world.fds[fd].own = false;
    return err;
}

static void put_remote(vigil_remote *was, vigil_remote *is)
{
    for (int i = 0; i < WORLD_LOOPS_MAX; i++) {
        if (world.remotes[i] == was) {
            world.remotes[i] = is;
            return;
        }
    }
}

int virtual_remote_open(vigil_loop *loop, vigil_remote **out)
{
    int err = vigil_remote_open(loop, out);
    if (err == 0)
        put_remote(NULL, *out);
    else if (fail_now())
        virtual_skip("a row goes on with the remote that it did not get");
    return err;
}

vigil_remote *virtual_remote_keep(vigil_remote *remote)
{
    put_remote(NULL, remote);
    return vigil_remote_keep(remote);
}

void virtual_remote_drop(vigil_remote *remote)
{
    if (remote != NULL)
        put_remote(remote, NULL);
    vigil_remote_drop(remote);
}

int virtual_poller_open(vigil_poller **out, const char *backend)
{
    int err = vigil_poller_open(out, backend);
    for (int i = 0; i < WORLD_LOOPS_MAX && err == 0; i++) {
        if (world.pollers[i] == NULL) {
            world.pollers[i] = *out;
            break;
        }
    }
    return err;
}

void virtual_poller_close(vigil_poller *poller)
{
    for (int i = 0; i < WORLD_LOOPS_MAX; i++)
        if (world.pollers[i] == poller)
            world.pollers[i] = NULL;
    vigil_poller_close(poller);
}

int virtual_poller_wait(vigil_poller *poller, vigil_event *events, int max, vigil_ns timeout_ns)
{
    world_pass(WORLD_CALL_NS);
    return vigil_poller_wait(poller, events, max, timeout_ns);
}

/* A turn that may wait, does not, and calls nobody, was for nothing. */
static void note_idle(vigil_ns before, int answer)
{
    world.idle_turns = answer == 0 && world.sim->now == before ? world.idle_turns + 1 : 0;
    if (world.idle_turns == WORLD_IDLE_MAX)
        world_failed("the loop spins: %d turns for nothing, and no time passes", WORLD_IDLE_MAX);
}

int virtual_loop_turn(vigil_loop *loop, vigil_ns timeout_ns)
{
    world_pass(WORLD_CALL_NS);
    vigil_ns before = world.sim->now;
    world.turning++;
    int answer = vigil_loop_turn(loop, timeout_ns);
    turned();
    if (timeout_ns > 0)
        note_idle(before, answer);
    return answer;
}

int virtual_loop_run(vigil_loop *loop)
{
    world.turning++;
    int answer = vigil_loop_run(loop);
    turned();
    return answer;
}

const char *virtual_backend_name(size_t i)
{
    static const char *const names[] = { "sim-ready", "sim-complete" };
    return i < VIGIL_COUNT(names) ? names[i] : NULL;
}

int virtual_backend_features(const char *name, vigil_feature *out, int max)
{
    if (name == NULL || strncmp(name, "sim-", 4) != 0)
        return vigil_backend_features(name, out, max);
    if (strcmp(name, "sim-complete") != 0)
        return 0;
    if (max > 0)
        *out = (vigil_feature){ "operations", "accepts, receives and sends", true };
    return 1;
}

void *virtual_resize(void *old, size_t old_size, size_t new_size)
{
    return vigil__sim_resize(world.host, old, old_size, new_size);
}

void virtual_note_fds(unsigned char *open_fds, size_t count)
{
    memset(open_fds, 0, count);
    size_t room = world.host != NULL ? vigil__min(world.host->fd_room, count) : 0;
    for (size_t fd = 0; fd < room; fd++)
        open_fds[fd] = vigil__sim_fd_file(world.host, (vigil_fd)fd) != NULL;
}

/* ---- a row ---- */

/* A world has no directories: this machine's stand for them. */
static int (*sim_bind_call)(void *self, vigil_fd fd, const vigil_addr *addr);

static int bind_in_directory(void *self, vigil_fd fd, const vigil_addr *addr)
{
    char path[sizeof(addr->path) + 1] = "";
    if (addr->family == VIGIL_FAMILY_UNIX && addr->path_len > 0 && addr->path[0] != '\0') {
        memcpy(path, addr->path, addr->path_len);
        char *name = strrchr(path, '/');
        if (name != NULL && name != path) {
            *name = '\0';
            if (access(path, F_OK) != 0)
                return VIGIL_ENOENT;
        }
    }
    return sim_bind_call(self, fd, addr);
}

static void print_story(void *arg, const char *text, size_t len)
{
    (void)arg;
    (void)fwrite(text, 1, len, stderr);
}

void virtual_begin(virtual_leave_fn *leave)
{
    const vigil_sim_options options = { .story = getenv("VIGIL_STORY") ? print_story : NULL };
    memset(&world, 0, offsetof(struct world, fds)); /* the descriptors were left so */
    world.leave = leave;
    bool made = vigil_sim_open(&world.sim, &options) == 0;
    if (made) {
        world.sim->by_hand = true;
        world.table = vigil_sim_host(world.sim, "10.0.0.1",
                                     &(vigil_sim_host_options){ .fd_limit = WORLD_FDS_MAX });
        made = world.table != NULL &&
               vigil_sim_connect_hosts(world.sim, world.table, world.table,
                                       &(vigil_sim_link){ .buffer = WORLD_BUFFER }) == 0;
    }
    if (!made) {
        world_failed("no memory for a world");
        exit(1);
    }
    world.host = vigil__sim_host_of(world.table);
    observe_world();
    sim_bind_call = world.host->table.bind;
    world.host->table.bind = bind_in_directory;
    for (int i = 0; i < STD_FDS; i++) {
        vigil_fd fd;
        (void)vigil_sim_file(world.sim, world.table, NULL, 0, &fd); /* the balance would tell */
    }
    fail_prepare();
}

static void close_own(void)
{
    for (int fd = 0; fd < (int)world.host->fd_room; fd++)
        if (world.fds[fd].own && vigil__sim_fd_file(world.host, fd) != NULL)
            (void)virtual_close(fd);
}

/* A row that did not close its loop, because the callback that does never came, has gone with all
 * that its callbacks use.  What it did not give to the library it kept. */
static void row_ended(void)
{
    for (int i = 0; i < WORLD_LOOPS_MAX; i++)
        world.lost = world.lost || world.loops[i] != NULL || world.pollers[i] != NULL;
    if (!world.lost)
        close_own();
}

/* One that leaves in a callback leaves the library in the midst of a turn. */
void virtual_leaving(bool skipped)
{
    world.left = true;
    for (int i = 0; i < WORLD_LOOPS_MAX; i++)
        world.lost = world.lost || (world.loops[i] != NULL && !has_rig(i));
    world.lost = world.lost || (skipped && !fail_now()) || world.turning > 0 || world.leaving;
    if (world.lost)
        return;
    world.leaving = true;
    for (int i = 0; i < WORLD_LOOPS_MAX; i++)
        if (world.loops[i] != NULL)
            virtual_loop_close(world.loops[i]);
    for (int i = 0; i < WORLD_LOOPS_MAX; i++)
        if (world.pollers[i] != NULL)
            virtual_poller_close(world.pollers[i]);
    for (int i = 0; i < WORLD_LOOPS_MAX; i++)
        virtual_remote_drop(world.remotes[i]);
    close_own();
}

int virtual_end(void)
{
    if (fail_now() && !world.left)
        row_ended();
    for (int i = 0; i < STD_FDS; i++)
        vigil_sim_close_fd(world.sim, world.table, i);
    if (!world.lost)
        vigil_sim_check_balance(world.sim);
    else if (fail_now())
        world_failed(
            "nothing can be said of what it left: it left in a callback, or its loop open");
    if (vigil_sim_failure(world.sim) != NULL)
        world_failed("%s", vigil_sim_failure(world.sim));
    fail_note();
    observe_nothing();
    memset(world.fds, 0, world.host->fd_room * sizeof(world.fds[0]));
    vigil_sim *sim = world.sim;
    world.table = NULL; /* the world's memory is of the real machine */
    vigil_sim_close(sim);
    return world.failures;
}
