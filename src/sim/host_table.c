/* SPDX-License-Identifier: MIT
 *
 * host_table.c -- a simulated host as the table that a loop asks: sys/host.h.  Floor: sim.
 */
#include "sim/sim.h"

#include <string.h>

/* The file behind a descriptor, after the call was counted.  NULL: `*err` says why. */
static struct sim_file *called(void *self, vigil_sim_call call, vigil_fd fd, int *err)
{
    struct sim_host *host = self;
    *err = vigil__sim_call(host, call);
    if (*err != 0)
        return NULL;
    struct sim_file *file = vigil__sim_fd_file(host, fd);
    if (file == NULL)
        *err = VIGIL_EBADF;
    return file;
}

static vigil_ns host_now(void *self)
{
    const struct sim_host *host = self;
    return host->sim->now;
}

/* Any file takes an address of any family. */
static int host_socket(void *self, vigil_family family, vigil_fd *out)
{
    struct sim_host *host = self;
    struct sim_file *file;
    (void)family;
    int err = vigil__sim_call(host, VIGIL_SIM_CALL_SOCKET);
    return err != 0 ? err : vigil__sim_fd_open(host, SIM_SOCKET, &file, out);
}

static int host_bind(void *self, vigil_fd fd, const vigil_addr *addr)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_BIND, fd, &err);
    return file != NULL ? vigil__sim_bind(file, addr) : err;
}

static int host_listen(void *self, vigil_fd fd, int backlog)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_LISTEN, fd, &err);
    return file != NULL ? vigil__sim_listen(file, backlog) : err;
}

static int host_accept(void *self, vigil_fd listener, vigil_fd *out)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_ACCEPT, listener, &err);
    return file != NULL ? vigil__sim_accept(file, out) : err;
}

static int host_connect(void *self, vigil_fd fd, const vigil_addr *addr)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_CONNECT, fd, &err);
    if (file != NULL)
        err = file->fate.shortage = vigil__sim_short_of_buffers(self);
    return err != 0 ? err : vigil__sim_connect(file, addr);
}

static int host_socket_error(void *self, vigil_fd fd)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_SOCKET_ERROR, fd, &err);
    if (file == NULL)
        return err;
    err = file->error;
    file->error = 0;
    vigil__sim_story_file(file, "is asked for its error: %s", vigil_strerror(err));
    return err;
}

static int host_recv(void *self, vigil_fd fd, void *p, size_t n)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_RECV, fd, &err);
    return file != NULL ? vigil__sim_read(file, p, n) : err;
}

static int host_sendv(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_SEND, fd, &err);
    return file != NULL ? vigil__sim_writev(file, iov, count) : err;
}

static int host_send(void *self, vigil_fd fd, const void *p, size_t n)
{
    return host_sendv(self, fd, &(vigil_iov){ p, n }, 1);
}

static int host_shutdown(void *self, vigil_fd fd)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_SHUTDOWN, fd, &err);
    return file != NULL ? vigil__sim_shutdown(file) : err;
}

static int host_option(void *self, vigil_fd fd, enum vigil__sockopt option, int value)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_OPTION, fd, &err);
    if (file == NULL)
        return err;
    vigil__sim_option(file, option, value);
    return 0;
}

static int host_local(void *self, vigil_fd fd, vigil_addr *out)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_ADDRESS, fd, &err);
    if (file != NULL)
        *out = file->local;
    return err;
}

static int host_peer(void *self, vigil_fd fd, vigil_addr *out)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_ADDRESS, fd, &err);
    if (file != NULL && file->state != SIM_CONNECTED)
        return VIGIL_ENOTCONN;
    if (file != NULL)
        *out = file->remote;
    return err;
}

/* Here nothing blocks; a machine's call would have, for ever perhaps, on a descriptor that its user
 * made blocking. */
static int unblocked(const struct sim_host *host, vigil_fd fd, int result, int wanted)
{
    const struct sim_file *file = vigil__sim_fd_file(host, fd);
    if (!vigil__sim_fd_blocks(host, fd))
        return result;
    vigil__sim_oracle_count(file->sim, "no call blocks");
    if (result == VIGIL__EAGAIN || (result >= 0 && wanted > result && file->kind != SIM_REGULAR &&
                                    vigil__sim_stream_room(&file->peer->in) == 0))
        vigil__sim_fail(file->sim, "no call blocks",
                        "a blocking descriptor is used that is not ready");
    return result;
}

static int host_read(void *self, vigil_fd fd, void *p, size_t n)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_READ, fd, &err);
    return file != NULL ? unblocked(self, fd, vigil__sim_read(file, p, n), 1) : err;
}

static int host_writev(void *self, vigil_fd fd, const vigil_iov *iov, size_t count)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_WRITE, fd, &err);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += iov[i].len;
    return file != NULL ? unblocked(self, fd, vigil__sim_writev(file, iov, count), (int)n) : err;
}

static int host_pread(void *self, vigil_fd fd, void *p, size_t n, int64_t offset)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_READ, fd, &err);
    if (file == NULL)
        return err;
    if (file->kind != SIM_REGULAR || offset < 0)
        return VIGIL_EINVAL;
    size_t from = vigil__min((size_t)offset, file->in.room);
    n = vigil__min(n, file->in.room - from);
    if (n > 0)
        memcpy(p, file->in.bytes + from, n);
    return (int)n;
}

static int host_close(void *self, vigil_fd fd)
{
    return vigil__sim_fd_close(self, fd);
}

static int host_describe(void *self, vigil_fd fd, struct vigil__fd_info *out)
{
    static const enum vigil__fd_kind kinds[] = {
        [SIM_SOCKET] = VIGIL__FD_SOCKET, [SIM_LISTENER] = VIGIL__FD_LISTENER,
        [SIM_PIPE] = VIGIL__FD_PIPE,     [SIM_REGULAR] = VIGIL__FD_FILE,
        [SIM_SPECIAL] = VIGIL__FD_OTHER,
    };
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_DESCRIBE, fd, &err);
    if (file == NULL)
        return err;
    *out = (struct vigil__fd_info){ .kind = kinds[file->kind],
                                    .nonblocking = !vigil__sim_fd_blocks(self, fd) };
    return 0;
}

static bool host_readable(void *self, vigil_fd fd)
{
    const struct sim_file *file = vigil__sim_fd_file(self, fd);
    return file == NULL || (vigil__sim_ready(file) & ~(unsigned)VIGIL_OUT) != 0;
}

static int host_reopen(void *self, vigil_fd fd)
{
    struct sim_host *host = self;
    const struct sim_file *file = vigil__sim_fd_file(host, fd);
    if (file == NULL)
        return VIGIL_EBADF;
    if (file->kind != SIM_PIPE)
        return VIGIL_ENOTSUP;
    host->fds[fd].reopened = true;
    return 0;
}

static int host_file_size(void *self, vigil_fd fd, int64_t *out)
{
    int err;
    struct sim_file *file = called(self, VIGIL_SIM_CALL_DESCRIBE, fd, &err);
    if (file == NULL)
        return err;
    if (file->kind != SIM_REGULAR)
        return VIGIL_EBADF;
    *out = (int64_t)file->in.room;
    return 0;
}

/* ---- names ---- */

static int host_path_identity(void *self, const char *path, uint64_t identity[2])
{
    const struct sim_name *name = vigil__sim_name_find(self, path, strlen(path));
    if (name == NULL)
        return VIGIL_ENOENT;
    identity[0] = 1;
    identity[1] = name->identity;
    return 0;
}

static int host_path_mode(void *self, const char *path, unsigned mode)
{
    struct sim_name *name = vigil__sim_name_find(self, path, strlen(path));
    if (name == NULL)
        return VIGIL_ENOENT;
    name->mode = mode;
    return 0;
}

static int host_unlink(void *self, const char *path)
{
    struct sim_host *host = self;
    int err = vigil__sim_call(host, VIGIL_SIM_CALL_UNLINK);
    if (err != 0)
        return err;
    struct sim_name *name = vigil__sim_name_find(host, path, strlen(path));
    if (name == NULL)
        return VIGIL_ENOENT;
    vigil__list_remove(&name->link);
    vigil__free(&host->sim->memory, name, sizeof(*name));
    return 0;
}

/* There are no names in a world but "localhost", which nobody is asked for. */
static int host_resolve(void *self, const char *name, uint16_t port, vigil_addr *out, int max)
{
    (void)self;
    (void)name;
    (void)port;
    (void)out;
    (void)max;
    return VIGIL_ENOENT;
}

/* ---- signals ---- */

enum { SIG_KILL = 9, SIG_STOP = 19 }; /* which nobody catches */

static int host_signal_add(void *self, int signo, struct vigil__signal_sink *sink)
{
    struct sim_host *host = self;
    if (signo < 1 || signo > VIGIL__SIGNAL_MAX || signo == SIG_KILL || signo == SIG_STOP)
        return VIGIL_EINVAL;
    for (size_t i = 0; i < VIGIL_COUNT(host->sinks); i++) {
        if (host->sinks[i].sink != NULL)
            continue;
        host->sinks[i].sink = sink;
        host->sinks[i].signo = signo;
        return 0;
    }
    return VIGIL_EFULL;
}

static void host_signal_remove(void *self, int signo, struct vigil__signal_sink *sink)
{
    struct sim_host *host = self;
    for (size_t i = 0; i < VIGIL_COUNT(host->sinks); i++)
        if (host->sinks[i].sink == sink && host->sinks[i].signo == signo)
            host->sinks[i].sink = NULL;
}

/* ---- the table ---- */

void vigil__sim_host_table_fill(struct sim_host *host)
{
    host->table = (vigil_host){
        .self = host,
        .backends = vigil__sim_backends(host),
        .allocator = { .resize = vigil__sim_resize, .ctx = host },
        .now = host_now,
        .socket = host_socket,
        .bind = host_bind,
        .listen = host_listen,
        .accept = host_accept,
        .connect = host_connect,
        .socket_error = host_socket_error,
        .recv = host_recv,
        .send = host_send,
        .sendv = host_sendv,
        .shutdown = host_shutdown,
        .option = host_option,
        .local = host_local,
        .peer = host_peer,
        .read = host_read,
        .writev = host_writev,
        .pread = host_pread,
        .close = host_close,
        .describe = host_describe,
        .readable = host_readable,
        .reopen = host_reopen,
        .file_size = host_file_size,
        .path_identity = host_path_identity,
        .path_mode = host_path_mode,
        .unlink = host_unlink,
        .resolve = host_resolve,
        .signal_add = host_signal_add,
        .signal_remove = host_signal_remove,
    };
}
