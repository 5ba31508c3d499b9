/* SPDX-License-Identifier: MIT
 *
 * observe.c -- what holds of every connection of a row, whatever the row is about and whatever
 * fails: its callbacks come in order, `close` once and last; what is written is a prefix of what
 * was sent, and ends cleanly only behind all of it; what `data` gets is what came.
 */
#include "virtual/observe.h"

#include <stdlib.h>
#include <string.h>

#include "virtual/world.h"

enum { BUCKETS = 1024 };

struct bytes {
    uint8_t *p;
    size_t len, room;
};

struct observed {
    struct observed *next, *next_of_all;
    vigil_loop *loop; /* NULL: closed */
    vigil_conn conn;
    bool made, opened, ended, closed;
    bool opaque_in, opaque_out; /* its bytes go ways of their own: coupled, or of a file */
    bool foreign;               /* its callbacks are not the rig's any more */
    struct bytes sent;          /* what the library took */
    size_t wired;               /* of that, what it wrote */
    struct bytes came;          /* what it read */
    size_t used;                /* of that, by `data` */
};

static struct {
    struct observed *buckets[BUCKETS];
    struct observed *all;
} table;

static struct observed *observed_of(vigil_loop *loop, vigil_conn conn)
{
    struct observed **bucket = &table.buckets[(conn.v ^ conn.v >> 32) % BUCKETS];
    for (struct observed *o = *bucket; o != NULL; o = o->next)
        if (o->loop == loop && o->conn.v == conn.v)
            return o;
    struct observed *o = calloc(1, sizeof(*o));
    if (o == NULL)
        abort();
    o->loop = loop;
    o->conn = conn;
    o->next = *bucket;
    *bucket = o;
    o->next_of_all = table.all;
    table.all = o;
    return o;
}

static void append(struct bytes *bytes, const void *p, size_t n)
{
    if (bytes->len + n > bytes->room) {
        bytes->room = (bytes->len + n) * 2;
        bytes->p = realloc(bytes->p, bytes->room);
        if (bytes->p == NULL)
            abort();
    }
    if (n > 0)
        memcpy(bytes->p + bytes->len, p, n);
    bytes->len += n;
}

/* ---- what passes in the world ---- */

static void tap_wrote(const struct sim_file *file, const vigil_iov *iov, size_t count, size_t n)
{
    struct observed *o = file->watched;
    if (o == NULL || o->opaque_out || world.by_row)
        return;
    for (size_t i = 0; i < count && n > 0; i++) {
        size_t piece = vigil__min(iov[i].len, n);
        if (piece > o->sent.len - o->wired ||
            (piece > 0 && memcmp(o->sent.p + o->wired, iov[i].base, piece) != 0)) {
            world_failed("what is written is not what was sent, at %zu of %zu", o->wired,
                         o->sent.len);
            o->opaque_out = true;
            return;
        }
        o->wired += piece;
        n -= piece;
    }
}

static void tap_read(const struct sim_file *file, const void *p, size_t n)
{
    struct observed *o = file->watched;
    if (o != NULL && !world.by_row && (file->kind != SIM_PIPE || file->readable))
        append(&o->came, p, n);
}

/* Pipes and Unix sockets have no resets; nor has anybody whose resets were made to fail. */
static bool has_resets(const struct sim_file *file)
{
    return file->kind == SIM_SOCKET && file->local.family != VIGIL_FAMILY_UNIX &&
           !world.resets_fail;
}

static void tap_ended(const struct sim_file *file, bool reset)
{
    const struct observed *o = file->watched;
    if (o == NULL || reset || o->opaque_out || !has_resets(file))
        return;
    if (o->wired != o->sent.len)
        world_failed("a clean end behind %zu of %zu bytes", o->wired, o->sent.len);
}

void observe_world(void)
{
    world.sim->tap = (struct sim_tap){ tap_wrote, tap_read, tap_ended };
}

void observe_nothing(void)
{
    while (table.all != NULL) {
        struct observed *o = table.all;
        table.all = o->next_of_all;
        free(o->sent.p);
        free(o->came.p);
        free(o);
    }
    memset(&table, 0, sizeof(table));
}

/* ---- what the row calls ---- */

static void watch(struct observed *o, vigil_fd fd)
{
    struct sim_file *file = vigil__sim_fd_file(world.host, fd);
    if (file != NULL)
        file->watched = o;
}

void observe_made(vigil_loop *loop, vigil_conn conn, vigil_fd out)
{
    struct observed *o = observed_of(loop, conn);
    o->made = true;
    if (out != VIGIL_FD_NONE)
        watch(o, out);
}

size_t virtual_conn_send(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    size_t took = vigil_send(loop, conn, p, n);
    if (took > 0)
        append(&observed_of(loop, conn)->sent, p, took);
    return took;
}

int virtual_conn_send_all(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    int status = vigil_send_all(loop, conn, p, n);
    if (status == 0)
        append(&observed_of(loop, conn)->sent, p, n);
    return status;
}

int virtual_conn_sendv(vigil_loop *loop, vigil_conn conn, const vigil_iov *iov, size_t count)
{
    int status = vigil_sendv(loop, conn, iov, count);
    for (size_t i = 0; i < count && status == 0; i++)
        append(&observed_of(loop, conn)->sent, iov[i].base, iov[i].len);
    return status;
}

int virtual_conn_send_owned(vigil_loop *loop, vigil_conn conn, const void *p, size_t n,
                            vigil_done_fn *done, void *arg)
{
    int status = vigil_send_owned(loop, conn, p, n, done, arg);
    if (status == 0)
        append(&observed_of(loop, conn)->sent, p, n);
    return status;
}

int virtual_conn_send_file(vigil_loop *loop, vigil_conn conn, vigil_fd file, int64_t offset,
                           int64_t n, vigil_done_fn *done, void *arg)
{
    int status = vigil_send_file(loop, conn, file, offset, n, done, arg);
    if (status == 0)
        observed_of(loop, conn)->opaque_out = true;
    return status;
}

int virtual_couple(vigil_loop *loop, vigil_conn from, vigil_conn to)
{
    int status = vigil_couple(loop, from, to);
    if (status == 0) {
        observed_of(loop, from)->opaque_in = true;
        observed_of(loop, to)->opaque_out = true;
    }
    return status;
}

int virtual_conn_set_ops(vigil_loop *loop, vigil_conn conn, const vigil_conn_ops *ops)
{
    int status = vigil_conn_set_ops(loop, conn, ops);
    if (status == 0)
        observed_of(loop, conn)->foreign = true;
    return status;
}

/* ---- what the callbacks tell ---- */

/* Any but `open`.  NULL: it is wrong, and told. */
static struct observed *called(vigil_loop *loop, vigil_conn conn, const char *name, bool opened)
{
    struct observed *o = observed_of(loop, conn);
    if (o->closed)
        world_failed("%s behind close", name);
    else if (opened && !o->opened)
        world_failed("%s before open", name);
    else
        return o;
    return NULL;
}

void observe_open(vigil_loop *loop, vigil_conn conn)
{
    struct observed *o = observed_of(loop, conn);
    if (o->opened || o->closed)
        world_failed("open %s", o->closed ? "behind close" : "twice");
    o->opened = true;
    watch(o, vigil_conn_fd(loop, conn));
}

void observe_data(vigil_loop *loop, vigil_conn conn, const void *p, size_t n)
{
    struct observed *o = called(loop, conn, "data", true);
    if (o == NULL || o->opaque_in || o->foreign || world.other_input)
        return;
    if (n > o->came.len - o->used || (n > 0 && memcmp(o->came.p + o->used, p, n) != 0)) {
        world_failed("data is not what came, at %zu of %zu", o->used, o->came.len);
        o->opaque_in = true;
    }
}

void observe_used(vigil_loop *loop, vigil_conn conn, size_t used)
{
    observed_of(loop, conn)->used += used;
}

void observe_eof(vigil_loop *loop, vigil_conn conn)
{
    struct observed *o = called(loop, conn, "eof", true);
    const struct sim_file *file = vigil__sim_fd_file(world.host, vigil_conn_fd(loop, conn));
    if (o == NULL || (file != NULL && file->kind == SIM_REGULAR))
        return;
    if (o->ended)
        world_failed("eof twice");
    o->ended = true;
    if (file != NULL && !file->in.fin_arrived)
        world_failed("eof before the peer's end");
    if (file != NULL && file->in.read != file->in.arrived)
        world_failed("eof before all of the input");
}

void observe_writable(vigil_loop *loop, vigil_conn conn)
{
    (void)called(loop, conn, "writable", true); /* there is no more to look at */
}

void observe_close(vigil_loop *loop, vigil_conn conn, int why)
{
    struct observed *o = called(loop, conn, "close", false);
    if (o == NULL)
        return;
    o->closed = true;
    if (why == VIGIL_OK && !o->opaque_out && !o->foreign && o->wired != o->sent.len)
        world_failed("closed well with %zu of %zu bytes written", o->wired, o->sent.len);
}

void observe_loop_closed(vigil_loop *loop)
{
    for (struct observed *o = table.all; o != NULL; o = o->next_of_all) {
        if (o->loop != loop)
            continue;
        o->loop = NULL; /* its address may be another's */
        if ((o->made || o->opened) && !o->closed && !o->foreign)
            world_failed("a connection was never closed");
    }
}
