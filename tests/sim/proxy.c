/* SPDX-License-Identifier: MIT
 *
 * proxy.c -- scenario: the server forwards each connection to another host, coupled both ways;
 * that one echoes.
 */
#include "sim/rig.h"

static const char origin_where[] = "10.0.0.3:8";

static void forwarded_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    (void)loop;
    (void)conn;
    end_opened(&served->other);
}

static void forwarded_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct served *served = ctx;
    (void)loop;
    (void)conn;
    end_closes(&served->other, why);
    served->used = !served->end.closed;
}

static const vigil_conn_ops forward_ops = { .open = forwarded_open, .close = forwarded_close };

static bool forward(vigil_loop *loop, vigil_conn conn, struct served *served)
{
    const vigil_conn_options options = { &forward_ops, served, served->rig->limits };
    vigil_conn other;
    int err = vigil_connect(loop, origin_where, &options, &other);
    if (err < 0) {
        end_never_began(served->end.side, err);
        return false;
    }
    served->other = (struct end){ .coupled = &served->end };
    served->end.coupled = &served->other;
    end_begin(&served->other, served->end.side, other, true);
    return vigil_couple(loop, conn, other) == 0 && vigil_couple(loop, other, conn) == 0;
}

static void forward_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    served_open(loop, conn, ctx);
    served->end.side->coupled = true;
    if (!forward(loop, conn, served)) {
        served->end.aborted = true;
        (void)vigil_abort(loop, conn); /* it lives */
    }
}

static const vigil_conn_ops proxy_ops = { forward_open, NULL, NULL, NULL, served_close };

struct origin {
    struct rig *rig;
    struct side side;
};

static void *origin_ctx(vigil_loop *loop, vigil_conn conn, void *user)
{
    struct origin *origin = user;
    (void)loop;
    return rig_serve(origin->rig, &origin->side, conn);
}

static void origin_close(vigil_loop *loop, vigil_conn conn, void *ctx, int why)
{
    struct served *served = ctx;
    (void)loop;
    (void)conn;
    end_closes(&served->end, why);
    served->used = false;
}

static const vigil_conn_ops origin_ops = { served_open, served_echo, served_eof, NULL,
                                           origin_close };

static bool origin_holds(void *arg)
{
    struct origin *origin = arg;
    (void)side_compare(&origin->side);
    return true;
}

static bool origin_open(struct origin *origin, struct rig *rig, const vigil_host *host)
{
    const vigil_listen_options listening = {
        .ops = &origin_ops, .ctx = origin_ctx, .user = origin, .limits = rig->limits
    };
    *origin = (struct origin){ .rig = rig };
    if (side_open(&origin->side, rig->sim, host, NULL) < 0)
        return false;
    origin->side.limits = rig->limits;
    if (vigil_listen(origin->side.loop, origin_where, &listening, NULL) < 0)
        return false;
    origin->side.listeners = 1;
    return vigil_sim_invariant(rig->sim, "what the loops say is so", origin_holds, origin) == 0;
}

void scenario_proxy(vigil_sim *sim)
{
    struct rig rig;
    struct origin origin = { 0 };
    bool opened = rig_open(&rig, sim);
    const vigil_host *host = vigil_sim_host(sim, "10.0.0.3", NULL);
    if (opened && origin_open(&origin, &rig, host) && rig_listen(&rig, &proxy_ops, NULL)) {
        uint32_t count = 2 + vigil_sim_choose(sim, "clients", 4);
        for (uint32_t i = 0; i < count; i++)
            rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(20));
        rig_run(&rig, VIGIL_S(3));
    }
    side_close(&origin.side);
    rig_close(&rig);
}
