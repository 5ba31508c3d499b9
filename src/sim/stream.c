/* SPDX-License-Identifier: MIT
 *
 * stream.c -- bytes on their way from one file to another: segments that arrive in order.
 * Floor: sim.
 */
#include "sim/sim.h"

#include <string.h>

enum { BYTES_MIN = 512, SEGMENTS_MIN = 4, JITTER_STEPS = 100 };

static void segment_event(struct sim_event *event);
static void arrive(struct sim_file *file, const struct sim_segment *segment);

static void copy_in(struct sim_stream *in, uint64_t at, const uint8_t *p, size_t n)
{
    size_t from = (size_t)at & (in->room - 1);
    size_t first = vigil__min(n, in->room - from);
    memcpy(in->bytes + from, p, first);
    memcpy(in->bytes, p + first, n - first);
}

static void copy_out(const struct sim_stream *in, uint64_t at, uint8_t *p, size_t n)
{
    size_t from = (size_t)at & (in->room - 1);
    size_t first = vigil__min(n, in->room - from);
    memcpy(p, in->bytes + from, first);
    memcpy(p + first, in->bytes, n - first);
}

static bool bytes_room(vigil_sim *sim, struct sim_stream *in, size_t n)
{
    size_t held = (size_t)(in->written - in->read);
    size_t room = in->room != 0 ? in->room : BYTES_MIN;
    while (room < held + n)
        room *= 2;
    if (room == in->room)
        return true;
    uint8_t *bytes = vigil__alloc(&sim->memory, room);
    if (bytes == NULL)
        return false;
    struct sim_stream grown = *in;
    grown.bytes = bytes;
    grown.room = room;
    for (uint64_t at = in->read; at < in->written;) { /* each piece lies whole in both rings */
        size_t old_left = in->room - ((size_t)at & (in->room - 1));
        size_t piece = vigil__min((size_t)(in->written - at), old_left);
        copy_in(&grown, at, in->bytes + ((size_t)at & (in->room - 1)), piece);
        at += piece;
    }
    vigil__free(&sim->memory, in->bytes, in->room);
    *in = grown;
    return true;
}

static struct sim_segment *segment_at(const struct sim_stream *in, uint32_t i)
{
    return &in->segments[(in->first + i) & (in->segment_room - 1)];
}

static bool segment_room(vigil_sim *sim, struct sim_stream *in)
{
    if (in->count < in->segment_room)
        return true;
    uint32_t room = in->segment_room != 0 ? in->segment_room * 2 : SEGMENTS_MIN;
    struct sim_segment *segments = vigil__alloc(&sim->memory, room * sizeof(*segments));
    if (segments == NULL)
        return false;
    for (uint32_t i = 0; i < in->count; i++)
        segments[i] = *segment_at(in, i);
    vigil__free(&sim->memory, in->segments, in->segment_room * sizeof(*segments));
    in->segments = segments;
    in->segment_room = room;
    in->first = 0;
    return true;
}

static const struct sim_link *link_to(const struct sim_file *file)
{
    const struct sim_host *from = file->peer != NULL ? file->peer->host : file->host;
    return vigil__sim_link_find(file->sim, from, file->host);
}

/* When a segment of `n` bytes that leaves now arrives: never before the one that left before. */
static vigil_ns arrival(struct sim_file *to, size_t n)
{
    vigil_sim *sim = to->sim;
    const vigil_sim_link *link = &link_to(to)->is;
    struct sim_stream *in = &to->in;
    if (in->link_free < sim->now)
        in->link_free = sim->now;
    if (link->bytes_per_second > 0)
        in->link_free += (vigil_ns)(n * (uint64_t)VIGIL_S(1) / link->bytes_per_second);
    vigil_ns at = in->link_free + link->latency_ns;
    if (link->jitter_ns > 0)
        at += link->jitter_ns / JITTER_STEPS *
              (vigil_ns)vigil_sim_choose(sim, "jitter", JITTER_STEPS + 1);
    return at > in->last_at ? at : in->last_at;
}

/* Within a host what is written to a pipe or to a Unix socket is there at once. */
static bool is_immediate(const struct sim_file *to)
{
    return to->kind == SIM_PIPE || to->local.family == VIGIL_FAMILY_UNIX;
}

/* False: no memory. */
static bool segment_send(struct sim_file *to, struct sim_segment segment, size_t n)
{
    struct sim_stream *in = &to->in;
    if (to->vanished)
        return true;
    if (is_immediate(to)) {
        arrive(to, &segment);
        return true;
    }
    if (!segment_room(to->sim, in))
        return false;
    segment.at = arrival(to, n);
    if (in->count == 0 && !vigil__sim_event_at(to->sim, &in->event, segment.at))
        return false;
    in->last_at = segment.at;
    *segment_at(in, in->count++) = segment;
    return true;
}

bool vigil__sim_stream_send(struct sim_file *to, const void *p, size_t n)
{
    struct sim_stream *in = &to->in;
    if (!bytes_room(to->sim, in, n))
        return false;
    copy_in(in, in->written, p, n);
    in->written += n;
    if (segment_send(to, (struct sim_segment){ .upto = in->written }, n))
        return true;
    in->written -= n;
    return false;
}

size_t vigil__sim_stream_take(struct sim_stream *in, void *p, size_t n)
{
    n = vigil__min(n, (size_t)(in->arrived - in->read));
    copy_out(in, in->read, p, n);
    in->read += n;
    return n;
}

void vigil__sim_stream_end(struct sim_file *to, bool reset)
{
    if (to->sim->tap.ended != NULL && to->peer != NULL)
        to->sim->tap.ended(to->peer, reset);
    const struct sim_host *from = to->peer != NULL ? to->peer->host : to->host;
    to->fate.short_reset |= reset && from->short_at == from->sim->now;
    struct sim_segment segment = { .upto = to->in.written, .fin = !reset, .reset = reset };
    if (!segment_send(to, segment, 0))
        arrive(to, &segment);
}

void vigil__sim_stream_clear(vigil_sim *sim, struct sim_stream *in)
{
    vigil__sim_event_cancel(sim, &in->event);
    vigil__free(&sim->memory, in->bytes, in->room);
    vigil__free(&sim->memory, in->segments, in->segment_room * sizeof(*in->segments));
    in->bytes = NULL;
    in->segments = NULL;
    in->room = 0;
    in->count = in->segment_room = 0;
}

void vigil__sim_vanish(struct sim_file *file)
{
    struct sim_file *ends[] = { file, file->peer };
    for (int i = 0; i < 2; i++) {
        ends[i]->vanished = ends[i]->hurt = true;
        ends[i]->fate.faults |= 1u << VIGIL_SIM_VANISH;
        ends[i]->in.count = 0;
        vigil__sim_event_cancel(file->sim, &ends[i]->in.event);
    }
}

/* ---- arriving ---- */

/* What arrives where nobody is any more is answered by a reset. */
static void arrive_nowhere(struct sim_file *file, const struct sim_segment *segment)
{
    bool data = segment->upto > file->in.arrived;
    file->in.arrived = segment->upto;
    if (data && file->peer != NULL && file->peer->open)
        vigil__sim_stream_end(file->peer, true);
}

static void arrive(struct sim_file *file, const struct sim_segment *segment)
{
    struct sim_stream *in = &file->in;
    vigil__sim_note(file->sim, segment->upto);
    if (!file->open) {
        arrive_nowhere(file, segment);
        return;
    }
    if (file->state == SIM_BROKEN)
        return;
    in->arrived = segment->upto;
    in->fin_arrived = in->fin_arrived || segment->fin;
    file->activity++;
    file->inputs += !segment->fin && !segment->reset;
    vigil__sim_moved(file->sim);
    if (segment->reset)
        vigil__sim_break(file, VIGIL_ECONNRESET);
}

/* Nothing reaches a host that is cut off or dead; what was sent is sent again when it is back. */
static bool is_out_of_reach(const struct sim_file *file)
{
    return file->host->dead || vigil__sim_link_is_cut(link_to(file));
}

static void segment_event(struct sim_event *event)
{
    struct sim_stream *in = VIGIL_OWNER(event, struct sim_stream, event);
    struct sim_file *file = VIGIL_OWNER(in, struct sim_file, in);
    if (is_out_of_reach(file))
        return;
    vigil__sim_note(file->sim, (uint64_t)file->sim->now);
    while (in->count > 0 && segment_at(in, 0)->at <= file->sim->now) {
        struct sim_segment segment = *segment_at(in, 0);
        in->first = (in->first + 1) & (in->segment_room - 1);
        in->count--;
        arrive(file, &segment);
    }
    if (in->count > 0)
        (void)vigil__sim_event_at(file->sim, event,
                                  segment_at(in, 0)->at); /* it has been in: no memory */
}

void vigil__sim_stream_init(struct sim_stream *in)
{
    in->cap = SIM_BUFFER;
    in->event.fn = segment_event;
}

void vigil__sim_healed(vigil_sim *sim)
{
    for (struct vigil__link *at = sim->files.next; at != &sim->files; at = at->next) {
        struct sim_file *file = VIGIL_OWNER(at, struct sim_file, link);
        if (file->in.count > 0 && !is_out_of_reach(file))
            (void)vigil__sim_event_at(sim, &file->in.event, segment_at(&file->in, 0)->at);
    }
    vigil__sim_moved(sim);
}
