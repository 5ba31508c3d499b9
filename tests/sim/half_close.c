/* SPDX-License-Identifier: MIT
 *
 * half_close.c -- scenario: the server keeps everything until the client has ended, and only then
 * answers, in pieces; now and then so much of so many that its memory does not suffice.
 */
#include "sim/rig.h"

enum { HELD_MAX = 4000, HEAVY_CLIENTS = 14 };

static size_t keeps(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    struct served *served = ctx;
    end_reads(&served->end);
    (void)loop;
    (void)conn;
    (void)p;
    (void)n;
    return 0; /* it wants more, until there is no more */
}

static void answers(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    const void *p;
    size_t n;
    side_called(served->end.side);
    if (vigil_conn_held(loop, conn, &p, &n) == 0) {
        int err = vigil_send_all(loop, conn, p, n);
        bool for_a_reason = err == 0 || err == VIGIL_ENOMEM || err == VIGIL_EFULL ||
                            err == VIGIL_ECLOSED;
        vigil_sim_always(served->rig->sim, "a send fails for a reason", for_a_reason, "%s",
                         vigil_err_name(err));
        if (err != 0) { /* a part would look like the whole */
            served->end.aborted = true;
            (void)vigil_abort(loop, conn); /* it lives */
            return;
        }
        served->end.side->took += n;
    }
    end_finishes(&served->end);
    (void)vigil_finish(loop, conn); /* it lives */
}

static const vigil_conn_ops ops = { served_open, keeps, answers, NULL, served_close };

/* Who holds memory waits for who has none: some are shed, or run out of patience. */
static void clients_heavy(struct rig *rig)
{
    rig->starves = true;
    for (uint32_t i = 0; i < HEAVY_CLIENTS; i++) {
        struct client *c = rig_client(rig, CLIENT_BYTES_MAX, VIGIL_MS(20));
        c->end.excused = c->crowded = true;
    }
}

void scenario_half_close(vigil_sim *sim)
{
    struct rig rig;
    bool opened = rig_open(&rig, sim);
    bool heavy = vigil_sim_choose(sim, "heavy", 8) == 7;
    rig.out_bound = heavy ? CLIENT_BYTES_MAX : HELD_MAX; /* it sends all that is held, or nothing */
    rig.limits.in_max = 0;                               /* and holds as much */
    if (opened && rig_listen(&rig, &ops, NULL)) {
        uint32_t count = 3 + vigil_sim_choose(sim, "clients", 6);
        if (heavy)
            clients_heavy(&rig);
        for (uint32_t i = 0; i < count && !heavy; i++)
            rig_client(&rig, HELD_MAX, VIGIL_MS(20));
        rig_run(&rig, VIGIL_S(3));
    }
    rig_close(&rig);
}
