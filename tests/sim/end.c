/* SPDX-License-Identifier: MIT
 *
 * end.c -- one end of a connection: when it may end, for which reasons, and whether those are
 * explained by what befell it.
 */
#include "sim/side.h"

#include <string.h>

enum {
    TURN_READS_MAX = 10,  /* receives from one connection in a turn */
    TURN_ACCEPTS_MAX = 64 /* newcomers in a turn */
};

static const vigil_ns connect_default = VIGIL_S(10);
static const vigil_ns stall_default = VIGIL_S(60);
static const vigil_ns linger_default = VIGIL_S(5);

/* ---- looking at it ---- */

struct sim_file *end_file(const struct end *end)
{
    if (end->side->loop == NULL)
        return NULL;
    return vigil__sim_fd_file(end->side->host, vigil_conn_fd(end->side->loop, end->conn));
}

const struct sim_fate *end_fate(const struct end *end)
{
    const struct sim_file *file = end->closed ? NULL : end_file(end);
    return file != NULL ? &file->fate : &end->fate;
}

struct end *end_peer(const struct end *end)
{
    const struct sim_file *file = end_file(end);
    if (file == NULL || file->peer == NULL || file->peer->fate_out == NULL)
        return NULL;
    return VIGIL_OWNER(file->peer->fate_out, struct end, fate);
}

/* Whether others may have kept it waiting outside for so long: dead ones, whose places are free
 * when their time is over. */
static bool has_waited(const struct end *end, const struct sim_fate *fate)
{
    vigil_ns until = fate->accepted_at != 0 ? fate->accepted_at : end->side->sim->now;
    return end->may_wait && end->opened && end->side->sim->hits[VIGIL_SIM_VANISH] > 0 &&
           until - end->opened_at > end->side->limits.idle_ns / 2;
}

/* ---- its life ---- */

/* A budget is one record's: faults may bring the same one again in a turn.  Of operations that a
 * kernel performs itself, it decides how much it brings at once. */
static uint32_t times_told(const struct side *side)
{
    const uint16_t *rate = side->sim->rate;
    return 1u + (rate[VIGIL_SIM_DUPLICATE] != 0) + (rate[VIGIL_SIM_SPURIOUS] != 0);
}

void end_begin(struct end *end, struct side *side, vigil_conn conn, bool connects)
{
    end->side = side;
    end->conn = conn;
    end->connects = connects;
    end->made_at = side->sim->now;
    struct sim_file *file = end_file(end);
    if (file != NULL)
        file->fate_out = &end->fate;
    vigil__list_append(&side->ends, &end->link);
    side->conns++;
    if (connects)
        return;
    side_called(side); /* its ctx function */
    side->accepted++;
    side->turn_accepts++;
    vigil_sim_always(side->sim, "newcomers leave a turn to others",
                     side->native || side->turn_accepts <= TURN_ACCEPTS_MAX * times_told(side),
                     "%u in one turn", side->turn_accepts);
}

/* Whoever is at the other side may end badly, too. */
static void excuse_peer(const struct end *end)
{
    const struct sim_file *file = end_file(end);
    if (file != NULL && file->peer != NULL)
        file->peer->fate.peer_excused = true;
}

void end_refused(struct end *end)
{
    struct sim_file *file = end_file(end);
    excuse_peer(end);
    if (file != NULL)
        file->fate_out = NULL;
    vigil__list_remove(&end->link);
    end->side->conns--;
    end->side->refused++;
}

void end_opened(struct end *end)
{
    struct side *side = end->side;
    side_called(side);
    vigil_sim_always(side->sim, "open comes once, and first", !end->opened && !end->closed, "of %s",
                     end->connects ? "a client" : "a newcomer");
    end->opened = true;
    end->opened_at = side->sim->now;
    if (end->connects)
        side->connected++;
}

void end_reads(struct end *end)
{
    struct side *side = end->side;
    side_called(side);
    vigil_sim_always(side->sim, "no callback after close", end->opened && !end->closed, "data");
    uint64_t receives = end_fate(end)->receives;
    if (end->turn != side->turn)
        end->turn_from = receives - (receives > 0); /* that brought this */
    end->turn = side->turn;
    uint64_t reads = receives - end->turn_from;
    vigil_sim_always(side->sim, "one connection leaves a turn to others",
                     side->native || reads <= (uint64_t)TURN_READS_MAX * times_told(side),
                     "%llu receives in one turn", (unsigned long long)reads);
}

void end_finishes(struct end *end)
{
    if (end->finished_at == 0)
        end->finished_at = end->side->sim->now;
}

/* ---- time ---- */

static vigil_ns or_default(vigil_ns value, vigil_ns otherwise)
{
    return value != 0 ? value : otherwise;
}

static vigil_ns later(vigil_ns a, vigil_ns b)
{
    return a > b ? a : b;
}

static vigil_ns earlier(vigil_ns a, vigil_ns b)
{
    return a < b ? a : b;
}

/* Limits of time that count for it, VIGIL_FOREVER: it does not. */
struct limits_due {
    vigil_ns connect, idle, stall, linger;
};

static struct limits_due limits_due(const struct end *end, const struct sim_fate *fate)
{
    const vigil_limits *v = &end->side->limits;
    struct limits_due due = { VIGIL_FOREVER, VIGIL_FOREVER, VIGIL_FOREVER, VIGIL_FOREVER };
    if (!end->opened) {
        if (end->connects)
            due.connect = end->made_at + or_default(v->connect_ns, connect_default);
        return due;
    }
    vigil_ns moved = later(end->opened_at, later(fate->read_at, fate->wrote_at));
    if (v->idle_ns != 0)
        due.idle = vigil__time_add(moved, v->idle_ns);
    due.stall = later(end->opened_at, fate->wrote_at) + or_default(v->stall_ns, stall_default);
    vigil_ns ended = later(fate->shut_at, end->finished_at);
    if (ended != 0)
        due.linger = ended + or_default(v->linger_ns, linger_default);
    return due;
}

/* A limit of time ends it when it is up: not much later, whatever ends it in the end. */
static void check_in_time(const struct end *end, const struct sim_fate *fate)
{
    const struct side *side = end->side;
    struct limits_due due = limits_due(end, fate);
    vigil_ns last = earlier(due.connect, due.idle);
    bool finishes = end->finished_at != 0 || side->drains; /* a drain finishes what it ends */
    if (finishes && fate->shut_at != 0)
        last = earlier(last, due.linger);
    vigil_sim_always(side->sim, "limits of time end in time",
                     side->sim->now <= vigil__time_add(last, side_slack(side)), "%.3f ms late",
                     (double)(side->sim->now - last) / (double)VIGIL_MS(1));
}

/* Whether one of them is up: the time of a stall may have begun later than is known here. */
static bool is_time_up(const struct end *end, const struct sim_fate *fate)
{
    struct limits_due due = limits_due(end, fate);
    vigil_ns now = end->side->sim->now;
    return now >= earlier(earlier(due.connect, due.idle), earlier(due.stall, due.linger));
}

/* ---- reasons ---- */

/* Whether the machine was short of something since it was made.  Its end may come much later: one
 * whose output failed is read on until its input ends, and operations are waited for. */
static bool was_short(const struct end *end)
{
    const struct side *side = end->side;
    return side->host->shortages > side->base.shortages && side->host->short_at >= end->made_at;
}

/* The same of the loop's own limit. */
static bool was_pressed(const struct end *end)
{
    const struct side *side = end->side;
    return side->limit != 0 && side->pressed_at != 0 && side->pressed_at >= end->made_at;
}

/* Whether what the world did to it can have that name. */
static bool is_right(const struct end *end, const struct sim_fate *fate, int why)
{
    const struct side *side = end->side;
    switch (why) {
    case VIGIL_OK:
        return fate->told_end && (fate->shut_at != 0 || fate->broken_by != 0);
    case VIGIL_ECONNRESET:
        return fate->broken_by == why;
    case VIGIL_ECONNREFUSED:
        return fate->broken_by == why && !end->opened;
    case VIGIL_ETIMEDOUT:
        return fate->broken_by == why || is_time_up(end, fate);
    case VIGIL_ENOBUFS:
        return fate->shortage == why;
    case VIGIL_EMFILE: /* afd needs a descriptor of its own for more of them */
        return was_short(end) && strcmp(vigil_loop_backend(side->loop), "afd") == 0;
    case VIGIL_ENOMEM:
        return fate->shortage == why || was_short(end) || was_pressed(end);
    case VIGIL_ECANCELED:
        return end->aborted || side->closing || end->coupled != NULL;
    default:
        return false;
    }
}

static bool has_fault(const struct sim_fate *fate, vigil_sim_fault fault)
{
    return (fate->faults >> fault & 1) != 0;
}

/* Whether this alone can have ended it so, or the other end. */
static bool explains(const struct sim_fate *fate, bool opened, int why)
{
    switch (why) {
    case VIGIL_ECONNRESET:
        return has_fault(fate, VIGIL_SIM_RESET) || has_fault(fate, VIGIL_SIM_ABORTED) ||
               fate->peer_excused || fate->short_reset;
    case VIGIL_ECONNREFUSED:
        return has_fault(fate, VIGIL_SIM_REFUSED);
    case VIGIL_ETIMEDOUT:
        return has_fault(fate, VIGIL_SIM_VANISH) || has_fault(fate, VIGIL_SIM_BLACK_HOLE) ||
               fate->peer_excused || (fate->lost_syn && !opened);
    default:
        return false;
    }
}

/* Through whoever is coupled it may be another's fate. */
static bool is_explained(const struct end *end, const struct sim_fate *fate, int why)
{
    if (end->excused || end->aborted || why == VIGIL_ENOMEM || why == VIGIL_ENOBUFS ||
        why == VIGIL_EMFILE)
        return true; /* that the machine was short is what is_right() looks at */
    if (explains(fate, end->opened, why))
        return true;
    const struct end *peer = end_peer(end);
    const struct end *far = end->coupled != NULL ? end->coupled
                            : peer != NULL       ? peer->coupled
                                                 : NULL;
    if (far == NULL)
        return false;
    /* Its own end comes in the same turn, before or behind this one, and says what it was. */
    return why == VIGIL_ECANCELED || explains(end_fate(far), far->opened, why) || far->told;
}

static void count_close(struct end *end, int why)
{
    struct side *side = end->side;
    side_called(side);
    side->conns--;
    side->ended_ok += why == VIGIL_OK;
    side->ended_badly += why != VIGIL_OK;
    side->timed_out += why == VIGIL_ETIMEDOUT;
    side->out_of_memory += why == VIGIL_ENOMEM;
    side->shed += why == VIGIL_ENOMEM && !was_short(end);
    /* One that its user, or another's end, gave up before has not failed. */
    side->connect_failed += end->connects && !end->opened && why != VIGIL_ECANCELED;
    vigil__list_remove(&end->link);
}

void end_closes(struct end *end, int why)
{
    struct side *side = end->side;
    const struct sim_fate *fate = end_fate(end);
    vigil_sim_always(side->sim, "close comes once", !end->closed, "%s", vigil_err_name(why));
    count_close(end, why);
    end->why = why;
    if (why != VIGIL_OK && side->closing)
        excuse_peer(end);
    if (!side->closing) {
        check_in_time(end, fate);
        vigil_sim_always(side->sim, "the reason of an end is the right one",
                         is_right(end, fate, why), "%s", vigil_err_name(why));
    }
    if (why != VIGIL_OK && !side->closing) {
        bool waited = why == VIGIL_ETIMEDOUT && has_waited(end, fate);
        end->told = vigil_sim_always(
            side->sim, "every bad end is explained", waited || is_explained(end, fate, why),
            "%s of %s", vigil_err_name(why), end->connects ? "a client" : "a newcomer");
        excuse_peer(end);
    }
    struct sim_file *file = end_file(end);
    if (file != NULL) {
        end->fate = file->fate;
        file->fate_out = NULL;
    }
    end->closed = true;
}

void end_never_began(struct side *side, int err)
{
    bool machine = err == VIGIL_ENOMEM || err == VIGIL_ENOBUFS || err == VIGIL_EMFILE;
    bool is_short = side->host->shortages > 0 && side->host->short_at == side->sim->now;
    vigil_sim_always(side->sim, "every bad end is explained", machine && is_short, "%s",
                     vigil_err_name(err));
}

bool end_hurt(const struct end *end)
{
    const struct sim_fate *fate = end_fate(end);
    const struct end *peer = end->closed ? NULL : end_peer(end);
    bool here = end->excused || fate->faults != 0 || fate->lost_syn || fate->peer_excused ||
                has_waited(end, fate);
    bool far = peer != NULL && peer->coupled != NULL && end_fate(peer->coupled)->faults != 0;
    return here || far;
}
