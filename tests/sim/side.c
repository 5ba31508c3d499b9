/* SPDX-License-Identifier: MIT
 *
 * side.c -- a loop whose buffers, callbacks and counters are watched.
 */
#include "sim/side.h"

#include <string.h>

/* What a callback may be late by where waits end late: the fault's own bound, twice, as what is due
 * while a wait is late may be followed by another. */
static const vigil_ns oversleep_max = VIGIL_MS(40);

/* A turn for nothing per limit of time whose start has moved meanwhile, of each connection; and few
 * that backends take to put things in order. */
enum { IDLE_TURNS_EACH = 4, IDLE_TURNS_MAX = 8 };

/* ---- memory ---- */

/* Blocks of these sizes are buffers; so is whatever is larger than the largest.  Answers how many
 * bytes one has; 0: it is none. */
static size_t buffer_bytes(size_t size)
{
    static const size_t classes[] = { 256, 1024, 4096, 16384, VIGIL__BUF_READ };
    for (size_t i = 0; i < VIGIL_COUNT(classes); i++)
        if (size == vigil__buf_size(classes[i]))
            return classes[i];
    size_t largest = vigil__buf_size(VIGIL__BUF_READ);
    return size > largest ? size - largest + VIGIL__BUF_READ : 0;
}

/* Three quarters are for input, less what it takes at once: above that somebody may wait, and who
 * stands still be shed. */
static size_t pressed_from(const struct side *side)
{
    size_t input = side->limit - side->limit / 4;
    return input - vigil__min(input, VIGIL__BUF_READ);
}

static void *counted_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    struct side *side = ctx;
    const vigil_allocator *below = &side->host->table.allocator;
    void *p = below->resize(below->ctx, old, old_size, new_size);
    if (p == NULL && new_size > 0)
        return NULL;
    size_t before = side->buffers;
    if (old != NULL)
        side->buffers -= buffer_bytes(old_size);
    side->buffers += buffer_bytes(new_size);
    if (vigil__max(before, side->buffers) >= pressed_from(side))
        side->pressed_at = side->sim->now;
    if (VIGIL_UNLIKELY(side->limit != 0 && side->loop != NULL &&
                       side->buffers > side->limit + side->lent))
        vigil__sim_fail(side->sim, "memory is bounded",
                        "%zu bytes of buffers, where %zu are allowed", side->buffers,
                        side->limit + side->lent);
    return p;
}

/* ---- opening and closing ---- */

static struct world_counts counts_of(const struct sim_host *host)
{
    return (struct world_counts){
        .bytes_in = host->bytes_in,
        .bytes_out = host->bytes_out,
        .receives = host->receives,
        .sends = host->sends,
        .accepts = host->accepts,
        .accept_errors = host->accept_errors,
        .accept_shortages = host->accept_shortages,
        .shortages = host->shortages,
    };
}

static const struct sim_turner *turner_of(const vigil_sim *sim, const vigil_loop *loop)
{
    for (struct vigil__link *at = sim->turners.next; at != &sim->turners; at = at->next)
        if (VIGIL_OWNER(at, struct sim_turner, link)->loop == loop)
            return VIGIL_OWNER(at, struct sim_turner, link);
    return NULL;
}

int side_open(struct side *side, vigil_sim *sim, const vigil_host *host,
              const vigil_loop_options *given)
{
    vigil_loop_options options = given != NULL ? *given : (vigil_loop_options){ 0 };
    *side = (struct side){ .sim = sim,
                           .host = vigil__sim_host_of(host),
                           .limit = options.memory_limit };
    vigil__list_init(&side->ends);
    side->memory = (vigil_allocator){ counted_resize, side };
    vigil__sim_oracle_count(sim, "memory is bounded"); /* at every block of the loop's */
    options.host = host;
    options.allocator = &side->memory;
    int err = vigil_loop_open(&side->loop, &options);
    if (err < 0)
        return err;
    side->native = vigil__op_native(side->loop, VIGIL__OP_RECV);
    side->told_later = strcmp(vigil_loop_backend(side->loop), "io_uring") == 0;
    side->lent = side->buffers;
    if (side->native && side->told_later) /* made when they are first needed: an eighth at most */
        side->lent = vigil__max(side->lent, side->limit / 8);
    side->base = counts_of(side->host);
    side->turner = turner_of(sim, side->loop);
    return 0;
}

void side_close(struct side *side)
{
    side->closing = true;
    vigil_loop_close(side->loop);
    side->loop = NULL;
    if (side->sim != NULL)
        vigil_sim_always(side->sim, "buffers are given back", side->buffers == 0,
                         "%zu bytes are not", side->buffers);
}

/* ---- callbacks ---- */

vigil_ns side_slack(const struct side *side)
{
    return side->sim->rate[VIGIL_SIM_LATE_TIMER] != 0 ? oversleep_max : 0;
}

void side_called(struct side *side)
{
    side->callbacks++;
    if (side->turner != NULL && side->turn != side->turner->turns + 1) {
        side->turn = side->turner->turns + 1;
        side->turn_accepts = 0;
    }
}

void side_timer(struct side *side, vigil_ns due)
{
    side_called(side);
    side->timers--;
    side->timers_fired++;
    vigil_sim_always(side->sim, "timers are never early", side->sim->now >= due, "%lld ns early",
                     (long long)(due - side->sim->now));
    vigil_sim_always(side->sim, "timers are not late", side->sim->now <= due + side_slack(side),
                     "%lld ns late", (long long)(side->sim->now - due));
}

/* ---- counters ---- */

static void differs(const struct side *side, const char *what, uint64_t is, uint64_t least,
                    uint64_t most)
{
    vigil_sim_always(side->sim, "counters agree", false, "%s is %llu, and should be %llu to %llu",
                     what, (unsigned long long)is, (unsigned long long)least,
                     (unsigned long long)most);
}

/* One that must lie between two bounds; mostly they are the same. */
static void between(const struct side *side, const char *what, uint64_t is, uint64_t least,
                    uint64_t most)
{
    if (VIGIL_UNLIKELY(is < least || is > most))
        differs(side, what, is, least, most);
}

static void same(const struct side *side, const char *what, uint64_t is, uint64_t wanted)
{
    between(side, what, is, wanted, wanted);
}

static void compare_callbacks(const struct side *side, const vigil_stats *s)
{
    same(side, "callbacks", s->callbacks, side->callbacks);
    same(side, "timers_fired", s->timers_fired, side->timers_fired);
    same(side, "timers", s->timers, side->timers);
    same(side, "posts", s->posts, side->posts_run);
    if (side->turner != NULL && !side->runs_itself) {
        same(side, "turns", s->turns, side->turner->turns);
        same(side, "callbacks as turns tell them", side->turner->callbacks, side->callbacks);
    }
    /* Several may come as one, and a fault may tell of one that nobody made; models of kernels may
     * tell of one twice, io_uring's where its watch ends and begins anew, as it does when a
     * completion finds no place, and kqueue wakes itself for what it was short of memory for. */
    const char *backend = vigil_loop_backend(side->loop);
    uint64_t most = side->wakes_max;
    if (strncmp(backend, "sim-", 4) != 0)
        most += side->wakes_max + side->sim->hits[VIGIL_SIM_MULTI_ENDS] +
                side->sim->hits[VIGIL_SIM_OVERFLOW];
    if (strcmp(backend, "kqueue") == 0)
        most += side->host->shortages - side->base.shortages;
    between(side, "wakes", s->wakes, side->wakes_min, most + side->sim->hits[VIGIL_SIM_SPURIOUS]);
    same(side, "stalls", s->stalls, 0); /* no callback takes time here */
    same(side, "stall_max_ns", s->stall_max_ns, 0);
}

static void compare_ends(const struct side *side, const vigil_stats *s)
{
    same(side, "conns", s->conns, side->conns);
    same(side, "accepted", s->accepted, side->accepted);
    same(side, "refused", s->refused, side->refused);
    same(side, "connected", s->connected, side->connected);
    same(side, "connect_failed", s->connect_failed, side->connect_failed);
    same(side, "closed_ok", s->closed_ok, side->ended_ok);
    same(side, "closed_error", s->closed_error, side->ended_badly);
    same(side, "closed_timeout", s->closed_timeout, side->timed_out);
    /* One that is shed is counted when it is, and its `close` may come turns later; and it may be
     * that a call failed because the machine, not the loop, had no memory. */
    between(side, "closed_memory", s->closed_memory, side->shed, side->out_of_memory + side->conns);
    between(side, "conns at once", s->conns, 0,
            side->max_conns != 0 ? side->max_conns : UINT64_MAX);
    between(side, "listeners", s->listeners, side->drains ? 0 : side->listeners, side->listeners);
}

/* A newcomer that the loop had no memory for is turned away, and only the world knows of it; so is
 * one that comes when a drain has ended the listener.  A kernel may have taken one that the loop
 * will hear of. */
static void compare_accepts(const struct side *side, const vigil_stats *s)
{
    const struct sim_host *host = side->host;
    uint64_t accepts = host->accepts - side->base.accepts;
    uint64_t errors = host->accept_errors - side->base.accept_errors;
    uint64_t short_of = host->accept_shortages - side->base.accept_shortages;
    uint64_t shortages = host->shortages - side->base.shortages;
    bool exact = !side->told_later && !side->drains;
    uint64_t served = s->accepted + s->accept_shed;
    between(side, "accepts of the host", accepts, served, exact ? served + shortages : UINT64_MAX);
    /* That of one who was to be shed is not told apart from there being nobody. */
    between(side, "accept_errors", s->accept_errors, exact && !side->sheds ? errors : 0, errors);
    between(side, "accept_shed", s->accept_shed, 0, side->sheds ? short_of : 0);
    bool must_rest = exact && short_of > s->accept_shed && !side->sheds;
    between(side, "accept_rests", s->accept_rests, must_rest, short_of + shortages);
}

/* Bytes are what the host moved.  A kernel that tells later has moved some more, until nothing is
 * under way any more. */
static void compare_bytes(const struct side *side, const vigil_stats *s)
{
    const struct sim_host *host = side->host;
    uint64_t in = host->bytes_in - side->base.bytes_in;
    uint64_t out = host->bytes_out - side->base.bytes_out;
    bool exact = !side->told_later || s->conns == 0;
    between(side, "bytes_in", s->bytes_in, exact ? in : 0, in);
    between(side, "bytes_out", s->bytes_out, exact ? out : 0, out);
    /* Such a kernel may tell several calls at once. */
    uint64_t receives = host->receives - side->base.receives;
    uint64_t sends = host->sends - side->base.sends;
    between(side, "receives", s->receives, side->told_later ? s->bytes_in > 0 : receives, receives);
    between(side, "sends", s->sends, side->told_later ? s->bytes_out > 0 : sends, sends);
}

/* Every byte has gone somewhere: what came in was used, dropped, or is held; or it has moved into
 * another's output, as what callbacks sent; and that was sent, dropped, or is queued. */
static void compare_balance(struct side *side, const vigil_stats *s)
{
    uint64_t held = 0, queued = 0;
    side->queued_most = 0;
    for (struct vigil__link *at = side->ends.next; at != &side->ends; at = at->next) {
        vigil_conn_info info;
        if (vigil_conn_info_get(side->loop, VIGIL_OWNER(at, struct end, link)->conn, &info) != 0)
            continue;
        held += info.held;
        queued += info.queued;
        side->queued_most = vigil__max(side->queued_most, info.queued);
    }
    uint64_t in = side->used + s->dropped_in + held;
    if (!side->coupled)
        same(side, "bytes_in as they were used, dropped or held", in, s->bytes_in);
    uint64_t moved = s->bytes_in - in;
    same(side, "bytes_out, dropped_out and queued", s->bytes_out + s->dropped_out + queued,
         side->took + moved);
}

static void compare_memory(const struct side *side, const vigil_stats *s)
{
    if (s->conns == 0)
        same(side, "memory", s->memory, 0);
    if (!side->told_later) /* its buffers are not the loop's */
        between(side, "memory", s->memory, 0, side->buffers);
    between(side, "memory_max", s->memory_max, s->memory,
            side->limit != 0 ? side->limit : UINT64_MAX);
}

static uint64_t faults_so_far(const vigil_sim *sim)
{
    uint64_t sum = 0;
    for (int i = 0; i < VIGIL_SIM_FAULT_COUNT; i++)
        sum += sim->hits[i];
    return sum;
}

/* A turn is given to a loop that has something to do, or says so.  However much time passes between
 * them, few in a row are for nothing.  A fault may be what one was for. */
static void check_idle(struct side *side, const vigil_stats *s)
{
    const struct sim_host *host = side->host;
    uint64_t moved = s->callbacks + host->bytes_in + host->bytes_out + host->accepts +
                     host->accept_errors + host->accept_shortages + host->shortages +
                     faults_so_far(side->sim);
    bool pressed = side->limit != 0 &&
                   side->buffers >= pressed_from(side); /* it looks for memory */
    side->idle_turns = moved == side->moved && !pressed ? side->idle_turns + 1 : 0;
    side->moved = moved;
    vigil_sim_always(side->sim, "turns are for something",
                     side->idle_turns <= IDLE_TURNS_MAX + IDLE_TURNS_EACH * s->conns,
                     "%u in a row brought nothing", side->idle_turns);
}

bool side_compare(struct side *side)
{
    if (side->loop == NULL || side->dead || side->host->dead)
        return false;
    vigil_stats stats;
    vigil_stats_get(side->loop, &stats);
    if (stats.turns == side->looked_at)
        return false; /* nothing has happened in it */
    side->looked_at = stats.turns;
    vigil__sim_oracle_count(side->sim, "counters agree");
    check_idle(side, &stats);
    compare_callbacks(side, &stats);
    compare_ends(side, &stats);
    compare_accepts(side, &stats);
    compare_bytes(side, &stats);
    compare_balance(side, &stats);
    compare_memory(side, &stats);
    return true;
}
