/* SPDX-License-Identifier: MIT
 *
 * posts.c -- scenario: calls posted from outside, and signals, while the loop works: each post runs
 * once and in order, and those that are left are cancelled.
 */
#include "sim/rig.h"

enum { POSTS = 60 };

static const vigil_ns woken_within = VIGIL_US(10); /* a turn takes no time here */

struct posted {
    struct world *world;
    uint32_t number;
    bool accepted, ran;
    vigil_ns at; /* when it was posted */
};

struct world {
    vigil_sim *sim;
    const vigil_host *host;
    struct side side;
    vigil_remote *remote;
    struct posted posts[POSTS];
    uint32_t made, next;
    uint32_t signals, signals_seen;
    bool closing;
};

static void runs(vigil_loop *loop, void *arg, int status)
{
    struct posted *p = arg;
    struct world *w = p->world;
    (void)loop;
    side_called(&w->side);
    w->side.posts_run++;
    vigil_sim_always(w->sim, "a post runs once", p->accepted && !p->ran, "post %u", p->number);
    vigil_sim_always(w->sim, "posts run in order", p->number >= w->next, "post %u behind %u",
                     p->number, w->next);
    vigil_sim_always(w->sim, "posts are cancelled by a close alone",
                     (status == VIGIL_ECANCELED) == w->closing, "%s", vigil_err_name(status));
    vigil_sim_always(w->sim, "a post wakes the loop",
                     w->closing || vigil_sim_now(w->sim) - p->at <= woken_within, "after %lld ns",
                     (long long)(vigil_sim_now(w->sim) - p->at));
    p->ran = true;
    w->next = p->number + 1;
}

static void on_signal(vigil_loop *loop, int signo, void *arg)
{
    struct world *w = arg;
    (void)loop;
    (void)signo;
    side_called(&w->side);
    w->signals_seen++;
}

static void post_one(void *arg)
{
    struct world *w = arg;
    struct posted *p = &w->posts[w->made];
    *p = (struct posted){
        .world = w, .number = w->made++, .accepted = true, .at = vigil_sim_now(w->sim)
    };
    int err = vigil_post(w->remote, runs, p);
    p->accepted = err == 0;
    w->side.wakes_max++;
    vigil_sim_always(w->sim, "a post is taken", err == 0, "%s", vigil_err_name(err));
    if (vigil_sim_choose(w->sim, "signal", 4) == 3) {
        w->signals++;
        w->side.wakes_max++;
        vigil_sim_signal(w->sim, w->host, 10);
    }
    if (w->made < POSTS)
        (void)vigil_sim_after(w->sim, VIGIL_US(vigil_sim_choose(w->sim, "post us", 1000)), post_one,
                              w);
}

static bool all_ran(void *arg)
{
    const struct world *w = arg;
    for (uint32_t i = 0; i < w->made; i++)
        if (!w->posts[i].ran)
            return false;
    return w->made == POSTS && (w->signals == 0 || w->signals_seen > 0);
}

static bool world_open(struct world *w, vigil_sim *sim)
{
    *w = (struct world){ .sim = sim, .host = vigil_sim_host(sim, "10.0.0.1", NULL) };
    const vigil_loop_options options = { .keep_running = true };
    return side_open(&w->side, sim, w->host, &options) == 0 &&
           vigil_on_signal(w->side.loop, 10, on_signal, w, NULL) == 0 &&
           vigil_remote_open(w->side.loop, &w->remote) == 0;
}

static void stops(void *arg)
{
    struct world *w = arg;
    w->side.wakes_max++;
    vigil_loop_stop(w->side.loop);
}

/* The loop waits in vigil_loop_run(), so nothing but a wake-up ends its sleep. */
static void run_itself(struct world *w)
{
    vigil_sim_faults(w->sim, false);
    if (vigil_sim_after(w->sim, VIGIL_S(1), stops, w) < 0)
        return;
    w->side.runs_itself = true;
    int status = vigil_loop_run(w->side.loop);
    vigil_sim_always(w->sim, "a stop ends the run", status == 0, "%s", vigil_err_name(status));
    vigil_sim_always(w->sim, "every post runs", all_ran(w), "%u were made", w->made);
}

void scenario_posts(vigil_sim *sim)
{
    struct world w;
    if (world_open(&w, sim) && vigil_sim_after(sim, 0, post_one, &w) == 0) {
        bool early = vigil_sim_choose(sim, "close early", 4) == 3;
        if (early)
            vigil_sim_run(sim, vigil_sim_now(sim) + VIGIL_MS(2));
        else if (vigil_sim_choose(sim, "it runs itself", 2) != 0)
            run_itself(&w);
        else
            vigil_sim_eventually(sim, "every post runs", all_ran, &w, VIGIL_S(10));
    }
    /* Told by now, unless the system lacked what it takes to wait for it. */
    w.side.wakes_min = w.side.posts_run > 0 && w.side.host->shortages == w.side.base.shortages;
    (void)side_compare(&w.side);
    w.closing = true;
    side_close(&w.side);
    for (uint32_t i = 0; i < w.made; i++)
        vigil_sim_always(sim, "no post is lost", w.posts[i].ran, "post %u", i);
    w.made = POSTS; /* what is still to come posts nothing */
    vigil_remote_drop(w.remote);
    vigil_sim_check_balance(sim);
}
