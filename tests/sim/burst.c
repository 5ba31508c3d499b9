/* SPDX-License-Identifier: MIT
 *
 * burst.c -- a kind of storm: more connections arrive at one time than a loop may take in one turn,
 * beside clients that are served meanwhile. They are the world's own, without a loop, and say
 * nothing.
 */
#include "sim/rig.h"

enum { KNOCKS_MAX = 100 };

struct knocks {
    struct rig *rig;
    struct sim_host *host;
    uint32_t count;
    vigil_fd fds[KNOCKS_MAX];
};

static void knock(void *arg)
{
    struct knocks *k = arg;
    vigil_addr to;
    (void)vigil_addr_parse(&to, "10.0.0.1:7"); /* it is well-formed */
    for (uint32_t i = 0; i < k->count; i++) {
        struct sim_file *file;
        if (vigil__sim_fd_open(k->host, SIM_SOCKET, &file, &k->fds[i]) < 0)
            k->fds[i] = VIGIL_FD_NONE;
        else
            (void)vigil__sim_connect(file, &to); /* one that fails does not come: no matter */
    }
}

static void leave(void *arg)
{
    struct knocks *k = arg;
    for (uint32_t i = 0; i < k->count; i++) {
        struct sim_file *file = vigil__sim_fd_file(k->host, k->fds[i]);
        if (file != NULL && file->peer != NULL)
            file->peer->fate.peer_excused = true;
        vigil_sim_close_fd(k->rig->sim, &k->host->table, k->fds[i]);
        k->fds[i] = VIGIL_FD_NONE;
    }
}

void scenario_burst(vigil_sim *sim)
{
    struct rig rig;
    struct knocks k = { .rig = &rig };
    bool opened = rig_open(&rig, sim);
    const vigil_host *host = vigil_sim_host(sim, "10.0.0.4",
                                            &(vigil_sim_host_options){ .calm = true });
    k.host = vigil__sim_host_of(host);
    if (opened && rig_listen(&rig, &echo_ops, NULL)) {
        k.count = 70 + vigil_sim_choose(sim, "knocks", KNOCKS_MAX - 70);
        for (uint32_t i = 0; i < k.count; i++)
            k.fds[i] = VIGIL_FD_NONE;
        for (uint32_t i = 0; i < 2; i++)
            rig_client(&rig, 3000, VIGIL_MS(20));
        if (vigil_sim_after(sim, VIGIL_MS(10), knock, &k) == 0 &&
            vigil_sim_after(sim, VIGIL_S(1), leave, &k) == 0)
            rig_run(&rig, VIGIL_S(3));
        leave(&k);
    }
    rig_close(&rig);
}
