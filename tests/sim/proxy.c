/* SPDX-License-Identifier: MIT
 *
 * proxy.c -- scenario: the server forwards each connection to another host, coupled both ways;
 * that one echoes.
 */
#include "sim/rig.h"

static const char origin_where[] = "10.0.0.3:8";

static const vigil_conn_ops forward_ops = { .close = NULL };

static void forward_open(vigil_loop *loop, vigil_conn conn, void *ctx)
{
    struct served *served = ctx;
    served_open(loop, conn, ctx);
    const vigil_conn_options options = { &forward_ops, served, served->rig->limits };
    bool made = vigil_connect(loop, origin_where, &options, &served->other) == 0 &&
                vigil_couple(loop, conn, served->other) == 0 &&
                vigil_couple(loop, served->other, conn) == 0;
    if (!made)
        (void)vigil_abort(loop, conn); /* it lives */
}

static const vigil_conn_ops proxy_ops = { forward_open, NULL, NULL, NULL, served_close };

static size_t origin_echo(vigil_loop *loop, vigil_conn conn, void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return vigil_send(loop, conn, p, n);
}

static const vigil_conn_ops origin_ops = { .data = origin_echo };

void scenario_proxy(vigil_sim *sim)
{
    struct rig rig;
    vigil_loop *origin = NULL;
    bool opened = rig_open(&rig, sim);
    const vigil_host *host = vigil_sim_host(sim, "10.0.0.3", NULL);
    const vigil_listen_options listening = { .ops = &origin_ops, .limits = rig.limits };
    if (opened && vigil_loop_open(&origin, &(vigil_loop_options){ .host = host }) == 0 &&
        vigil_listen(origin, origin_where, &listening, NULL) == 0 &&
        rig_listen(&rig, &proxy_ops, NULL)) {
        uint32_t count = 2 + vigil_sim_choose(sim, "clients", 4);
        for (uint32_t i = 0; i < count; i++)
            rig_client(&rig, CLIENT_BYTES_MAX, VIGIL_MS(20))->far = true;
        rig_run(&rig, VIGIL_S(3));
    }
    vigil_loop_close(origin);
    rig_close(&rig);
}
