/* SPDX-License-Identifier: MIT
 *
 * posts.c -- calls from other threads: each exactly once and in order, bounded, refused when the
 * loop is gone, and few wake-ups.
 */
#include <stdatomic.h>

#include "loop_rig.h"

enum { THREADS = 4, CROWD = 20, POSTS = 20000, WAITING_MAX = 65536 };

static vigil_remote *open_remote(vigil_loop *loop)
{
    vigil_remote *remote = NULL;
    EQ_INT(0, vigil_remote_open(loop, &remote));
    REQUIRE(remote != NULL);
    return remote;
}

/* ---- order -------------------------------------------------------------------------------- */

struct poster {
    vigil_remote *remote;
    pthread_t thread;
    struct poster *own; /* posts once more in each callback; NULL: nobody does */
    int posts;
    int next, wrong; /* of the loop's thread */
    int full, refused;
    int *done;
};

struct numbered {
    struct poster *poster;
    int number;
};

static void in_order(vigil_loop *loop, void *arg, int status);

static void post_one_more(struct poster *poster)
{
    struct numbered *post = malloc(sizeof(*post));
    *post = (struct numbered){ poster, poster->posts };
    int status = vigil_post(poster->remote, in_order, post);
    poster->posts += status == 0;
    poster->full += status == VIGIL_EFULL;
    poster->refused += status != 0 && status != VIGIL_EFULL;
    if (status != 0)
        free(post);
}

static void in_order(vigil_loop *loop, void *arg, int status)
{
    (void)loop;
    struct numbered *post = arg;
    post->poster->wrong += status != 0 || post->number != post->poster->next++;
    ++*post->poster->done;
    if (post->poster->own != NULL)
        post_one_more(post->poster->own);
    free(post);
}

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < poster->posts; i++) {
        struct numbered *post = malloc(sizeof(*post));
        *post = (struct numbered){ poster, i };
        int status;
        while ((status = vigil_post(poster->remote, in_order, post)) == VIGIL_EFULL) {
            poster->full++;
            sched_yield();
        }
        poster->refused += status != 0;
    }
    vigil_remote_drop(poster->remote);
    return NULL;
}

/* So many threads post at once. */
static void in_order_of(const char *backend, int threads, int posts)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct poster posters[CROWD];
    vigil_remote *remote = open_remote(loop);
    int done = 0;
    posts = posts / (test_time_scale() > 1 ? 10 : 1);
    for (int i = 0; i < threads; i++) {
        posters[i] = (struct poster){ .remote = vigil_remote_keep(remote),
                                      .posts = posts,
                                      .done = &done };
        REQUIRE(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]) == 0);
    }
    vigil_remote_drop(remote);
    turns_until(loop, &done, threads * posts);
    for (int i = 0; i < threads; i++) {
        pthread_join(posters[i].thread, NULL);
        EQ_INT(posts, posters[i].next, "thread %d", i);
        EQ_INT(0, posters[i].wrong, "thread %d", i);
        EQ_INT(0, posters[i].refused, "thread %d", i);
    }
    EQ_INT(threads * posts, stats_of(loop).posts);
    rig_close(&rig);
}

CONFORM(posts_of_each_thread_run_once_and_in_order)
{
    in_order_of(backend, THREADS, POSTS);
}

CONFORM(so_do_those_of_more_threads_than_have_a_block_of_their_own)
{
    in_order_of(backend, CROWD, POSTS / 20);
}

CONFORM(posts_of_callbacks_among_those_of_others_run_once_and_in_order)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct poster posters[THREADS];
    int done = 0, own_done = 0, posts = POSTS / (test_time_scale() > 1 ? 40 : 4);
    struct poster own = { .remote = open_remote(loop), .done = &own_done };
    for (int i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){
            .remote = vigil_remote_keep(own.remote), .own = &own, .posts = posts, .done = &done
        };
        REQUIRE(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]) == 0);
    }
    turns_until(loop, &done, THREADS * posts);
    turns_until(loop, &own_done, own.posts);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        EQ_INT(posts, posters[i].next, "thread %d", i);
        EQ_INT(0, posters[i].wrong + posters[i].refused, "thread %d", i);
    }
    EQ_INT(0, own.wrong + own.refused);
    EQ_INT(own.posts, own.next);
    EQ_INT(THREADS * posts, own.posts + own.full, "one with each callback");
    vigil_remote_drop(own.remote);
    rig_close(&rig);
}

static void post_third(vigil_loop *loop, void *arg)
{
    (void)loop;
    post_one_more(arg);
}

CONFORM(a_callbacks_post_runs_behind_what_its_thread_posted_before)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int done = 0;
    struct poster poster = { .remote = open_remote(loop), .posts = 2, .done = &done };
    EQ_INT(0, vigil_turn_soon(loop, post_third, &poster));
    (void)vigil_remote_keep(poster.remote);
    (void)post_all(&poster); /* this thread, but not in a callback */
    turns_until(loop, &done, 3);
    EQ_INT(0, poster.wrong);
    EQ_INT(3, poster.next);
    vigil_remote_drop(poster.remote);
    rig_close(&rig);
}

/* ---- bounds and errors -------------------------------------------------------------------- */

CONFORM(full_at_65536)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_remote *remote = open_remote(loop);
    int count = 0, full = test_many(WAITING_MAX, 50);
    for (int round = 1; round <= 2; round++) {
        int taken = 0;
        while (taken < full && vigil_post(remote, count_post, &count) == 0)
            taken++;
        EQ_INT(full, taken);
        for (int i = 0; i < 2 && full == WAITING_MAX; i++)
            EQ_INT(VIGIL_EFULL, vigil_post(remote, count_post, &count));
        turns_now(loop, 1);
        EQ_INT(round * full, count, "the refused ones never run");
    }
    EQ_INT(VIGIL_EINVAL, vigil_post(remote, NULL, &count));
    vigil_remote_drop(remote);
    vigil_remote_drop(NULL);
    rig_close(&rig);
}

/* Some wait of the loop's own callbacks, the others of another thread. */
struct shared_limit {
    vigil_remote *remote;
    int own, others, most, count;
};

static void *post_the_others(void *arg)
{
    struct shared_limit *limit = arg;
    while (limit->own + limit->others < limit->most &&
           vigil_post(limit->remote, count_post, &limit->count) == 0)
        limit->others++;
    bool full = limit->most < WAITING_MAX ||
                vigil_post(limit->remote, count_post, &limit->count) == VIGIL_EFULL;
    return full ? NULL : arg;
}

static void post_own_and_others(vigil_loop *loop, void *arg)
{
    (void)loop;
    struct shared_limit *limit = arg;
    while (limit->own < limit->most / 3 &&
           vigil_post(limit->remote, count_post, &limit->count) == 0)
        limit->own++;
    EQ_PTR(NULL, in_thread(post_the_others, limit));
    if (limit->most == WAITING_MAX)
        EQ_INT(VIGIL_EFULL, vigil_post(limit->remote, count_post, &limit->count));
}

CONFORM(full_at_65536_of_callbacks_and_other_threads_together)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct shared_limit limit = { .remote = open_remote(loop), .most = test_many(WAITING_MAX, 50) };
    for (int round = 1; round <= 3; round++) { /* and each turn makes room for as many */
        limit.own = limit.others = 0;
        EQ_INT(0, vigil_turn_soon(loop, post_own_and_others, &limit));
        turns_until(loop, &limit.count, round * limit.most);
        EQ_INT(limit.most, limit.own + limit.others);
        EQ_INT(round * limit.most, limit.count, "the refused ones never run");
    }
    vigil_remote_drop(limit.remote);
    rig_close(&rig);
}

struct canceled {
    vigil_remote *remote;
    int zero, canceled, other, late;
    vigil_loop *loop;
};

static void note_status(vigil_loop *loop, void *arg, int status)
{
    struct canceled *canceled = arg;
    canceled->zero += status == 0;
    canceled->canceled += status == VIGIL_ECANCELED;
    canceled->other += loop != canceled->loop;
    if (status == VIGIL_ECANCELED)
        canceled->late += vigil_post(canceled->remote, note_status, arg) != VIGIL_ECANCELED;
}

CONFORM(cancelled_inside_close_and_refused_after_it)
{
    struct rig rig;
    struct canceled canceled = { .loop = rig_open(&rig, backend) };
    canceled.remote = open_remote(canceled.loop);
    for (int i = 0; i < 100; i++)
        EQ_INT(0, vigil_post(canceled.remote, note_status, &canceled));
    rig_close(&rig);
    EQ_INT(0, canceled.zero);
    EQ_INT(100, canceled.canceled);
    EQ_INT(0, canceled.other, "calls with another loop");
    EQ_INT(0, canceled.late, "posts taken inside close");
    for (int i = 0; i < 3; i++) /* the remote outlives the loop */
        EQ_INT(VIGIL_ECANCELED, vigil_post(canceled.remote, note_status, &canceled));
    vigil_remote *kept = vigil_remote_keep(canceled.remote);
    EQ_PTR(canceled.remote, kept);
    vigil_remote_drop(kept);
    EQ_INT(VIGIL_ECANCELED, vigil_post(canceled.remote, note_status, &canceled));
    vigil_remote_drop(canceled.remote);
    EQ_INT(100, canceled.canceled);
}

CONFORM(the_loop_outlives_its_remotes)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    int count = 0;
    for (int i = 1; i <= 3; i++) {
        vigil_remote *remote = open_remote(loop);
        EQ_INT(0, vigil_post(remote, count_post, &count));
        vigil_remote_drop(remote);
        turns_until(loop, &count, i);
    }
    rig_close(&rig);
}

/* ---- turns and wake-ups ------------------------------------------------------------------- */

struct chain {
    vigil_remote *remote;
    int ran, left;
};

static void post_again(vigil_loop *loop, void *arg, int status)
{
    (void)loop, (void)status;
    struct chain *chain = arg;
    chain->ran++;
    if (chain->left-- > 0)
        EQ_INT(0, vigil_post(chain->remote, post_again, arg));
}

CONFORM(a_post_from_inside_a_post_waits_for_the_next_turn)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct chain chain = { .remote = open_remote(loop), .left = 50 };
    EQ_INT(0, vigil_post(chain.remote, post_again, &chain));
    for (int turn = 1; turn <= 51; turn++) {
        EQ_INT(1, vigil_loop_turn(loop, VIGIL_FOREVER));
        EQ_INT(turn, chain.ran);
    }
    EQ_INT(0, vigil_loop_turn(loop, VIGIL_NOWAIT));
    chain = (struct chain){ .remote = chain.remote, .left = 500 };
    EQ_INT(0, vigil_post(chain.remote, post_again, &chain));
    EQ_INT(0, vigil_loop_run(loop), "posts keep it running");
    EQ_INT(501, chain.ran);
    vigil_remote_drop(chain.remote);
    rig_close(&rig);
}

static void *post_once(void *arg)
{
    struct chain *chain = arg;
    return vigil_post(chain->remote, post_again, chain) == 0 ? NULL : arg;
}

CONFORM(a_post_wakes_a_wait_without_limit)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct chain chain = { .remote = open_remote(loop) };
    for (int i = 1; i <= 200; i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, post_once, &chain) == 0);
        while (chain.ran < i)
            REQUIRE(vigil_loop_turn(loop, VIGIL_FOREVER) >= 0);
        void *failed;
        pthread_join(thread, &failed);
        EQ_PTR(NULL, failed);
    }
    vigil_remote_drop(chain.remote);
    rig_close(&rig);
}

/* What a thread posts; it answers whose posts failed. */
struct several {
    struct chain *chain;
    int posts;
};

static void *post_several(void *arg)
{
    const struct several *several = arg;
    for (int i = 0; i < several->posts; i++)
        if (vigil_post(several->chain->remote, post_again, several->chain) != 0)
            return arg;
    return NULL;
}

static void others_post(struct chain *chain, int posts)
{
    EQ_PTR(NULL, in_thread(post_several, &(struct several){ chain, posts }));
}

CONFORM(a_thousand_posts_wake_once)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct chain chain = { .remote = open_remote(loop), .left = 0 };
    others_post(&chain, 1000); /* all before the turn */
    EQ_INT(1000, vigil_loop_turn(loop, VIGIL_FOREVER));
    turns_now(loop, 3);
    EQ_INT(1, stats_of(loop).wakes);
    EQ_INT(1000, chain.ran);
    vigil_remote_drop(chain.remote);
    rig_close(&rig);
}

static void post_from_timer(vigil_loop *loop, void *arg)
{
    (void)loop;
    struct chain *chain = arg;
    for (int i = 0; i < 10; i++)
        EQ_INT(0, vigil_post(chain->remote, post_again, chain));
}

CONFORM(its_own_thread_wakes_nobody)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct chain chain = { .remote = open_remote(loop), .left = 10 };
    EQ_INT(0, vigil_turn_soon(loop, post_from_timer, &chain));
    EQ_INT(0, vigil_loop_run(loop));
    EQ_INT(20, chain.ran);
    EQ_INT(0, stats_of(loop).wakes);
    vigil_remote_drop(chain.remote);
    rig_close(&rig);
}

static void three_from_timer(vigil_loop *loop, void *arg)
{
    (void)loop;
    others_post(arg, 3);
}

CONFORM(a_loop_that_is_awake_is_not_woken)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct chain chain = { .remote = open_remote(loop), .left = 0 };
    EQ_INT(0, vigil_turn_soon(loop, three_from_timer, &chain));
    EQ_INT(4, vigil_loop_turn(loop, VIGIL_FOREVER));
    turns_now(loop, 3);
    EQ_INT(3, chain.ran);
    EQ_INT(0, stats_of(loop).wakes);
    vigil_remote_drop(chain.remote);
    rig_close(&rig);
}

static void three_from_post(vigil_loop *loop, void *arg, int status)
{
    (void)loop;
    EQ_INT(0, status);
    others_post(arg, 3);
}

/* When the turn has run what was posted others post once more: it is over, and nobody looks. */
CONFORM(who_waits_for_the_descriptor_hears_what_was_posted_at_the_end_of_a_turn)
{
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    struct chain chain = { .remote = open_remote(loop), .left = 0 };
    EQ_INT(0, vigil_post(chain.remote, three_from_post, &chain));
    EQ_INT(1, vigil_loop_turn(loop, VIGIL_FOREVER));
    EQ_INT(0, chain.ran);
    int fd = vigil_loop_fd(loop);
    struct pollfd waited = { .events = POLLIN };
    if (fd >= 0) {
        waited.fd = fd;
        EQ_INT(1, poll(&waited, 1, 0), "the loop's descriptor tells of it");
    }
    EQ_INT(3, vigil_loop_turn(loop, VIGIL_FOREVER));
    EQ_INT(3, chain.ran);
    vigil_remote_drop(chain.remote);
    rig_close(&rig);
}

/* ---- closing meanwhile -------------------------------------------------------------------- */

struct racer {
    vigil_remote *remote;
    pthread_t thread;
    int taken;
    _Atomic int *ran;
};

static void count_ran(vigil_loop *loop, void *arg, int status)
{
    (void)loop, (void)status;
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void *post_until_refused(void *arg)
{
    struct racer *racer = arg;
    int status;
    while ((status = vigil_post(racer->remote, count_ran, racer->ran)) != VIGIL_ECANCELED) {
        racer->taken += status == 0;
        if (status != 0)
            sched_yield();
    }
    vigil_remote_drop(racer->remote);
    return NULL;
}

CONFORM(closing_races_with_posters)
{
    for (int round = 0; round < 60; round++) {
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        struct racer racers[THREADS];
        vigil_remote *remote = open_remote(loop);
        _Atomic int ran = 0;
        int taken = 0;
        for (int i = 0; i < THREADS; i++) {
            racers[i] = (struct racer){ .remote = vigil_remote_keep(remote), .ran = &ran };
            REQUIRE(pthread_create(&racers[i].thread, NULL, post_until_refused, &racers[i]) == 0);
        }
        vigil_remote_drop(remote);
        while (round % 2 == 0 && ran < 100)
            REQUIRE(vigil_loop_turn(loop, VIGIL_MS(100)) >= 0);
        rig_close(&rig);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(racers[i].thread, NULL);
            taken += racers[i].taken;
        }
        EQ_INT(taken, ran, "each that was taken ran once");
    }
}

static void close_here(vigil_loop *loop, void *arg, int status)
{
    EQ_INT(0, status);
    count_ran(loop, arg, status);
    vigil_loop_close(loop);
}

CONFORM(closing_inside_a_post_races_with_posters)
{
    for (int round = 0; round < 60; round++) {
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        struct racer racer = { .remote = open_remote(loop) };
        _Atomic int ran = 0;
        racer.ran = &ran;
        EQ_INT(0, vigil_post(racer.remote, close_here, &ran));
        REQUIRE(pthread_create(&racer.thread, NULL, post_until_refused, &racer) == 0);
        EQ_INT(VIGIL_ECANCELED, vigil_loop_run(loop));
        pthread_join(racer.thread, NULL);
        EQ_INT(racer.taken + 1, ran);
        OK_ALLOCATOR_EMPTY(&rig.memory);
    }
}
