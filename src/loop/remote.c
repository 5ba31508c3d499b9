/* SPDX-License-Identifier: MIT
 *
 * remote.c -- calls posted by other threads.  Floor: loop.
 *
 * A stack that posters push on with one compare-and-swap, and that the loop takes whole and turns
 * around.  The loop is woken by the push onto an empty stack only, and not while it is awake: it
 * looks at the stack before it sleeps.  Closing puts a mark there that refuses further pushes, and
 * waits until nobody is between its push and its wake any more.  What callbacks of the loop itself
 * post waits in a queue that no other thread sees.
 * Posts and remotes outlive the loop, so they use the process's allocator, never the loop's.
 */
#include "loop/loop.h"
#include "loop/post_pool.h"

#include <string.h>

enum {
#ifdef VIGIL_UNDER_SCHEDULER
    LANES = 1, /* the others take blocks from each other */
    RAN_MAX = 2,
#else
    LANES = 8,    /* threads with a block of their own; their marks fill a line of the cache */
    RAN_MAX = 64, /* posts run before the others are told: they all look at that word */
#endif
    APART = 64, /* so far apart lies what different threads write: in different lines */
};

/* Where one thread posts.  No two threads have one mark at a time; but they may have it after each
 * other, so each leaves this as if for another. */
struct lane {
    _Atomic uint32_t number;         /* of its next post; or one that no post has */
    struct vigil__post_block *block; /* where that stands.  It changes while there is none */
};

struct lane_apart {
    struct lane lane;
    char apart[2 * APART - sizeof(struct lane)]; /* it may lie in two lines */
};

struct vigil_remote {
    /* The newest post; above it how many were pushed, less those that are known to have run. */
    _Atomic uint64_t head;
    char apart_head[APART - sizeof(uint64_t)];

    /* Written by the thread that turns the loop, read by all. */
    _Atomic(const void *) turner; /* its mark, or NULL: loop->owner, which others may not ask */
    _Atomic int64_t limit;        /* what `head` stays below: its callbacks' posts count, too; may
                                   * be below nothing, when those were let in for others that ran */
    vigil_loop *loop;             /* to wake; not followed once closed */
    char apart_turner[APART];

    /* Its own. */
    _Atomic uint32_t ran; /* posts that have run, which count or limit do not know yet */
    struct lane own;      /* for its callbacks' posts */
    uint32_t queue;       /* the newest of those */
    char apart_own[APART];

    _Atomic uint32_t refs;
    _Atomic uint32_t wakers; /* threads that may be about to wake the loop */
    _Atomic bool awake;      /* it will look at the stack before it sleeps */
    char apart_counts[APART];

    _Atomic(const void *) lane_of[LANES]; /* marks of threads: theirs as long as the remote lives */
    char apart_lanes[APART];
    struct lane_apart lanes[LANES];
    struct vigil__post_pool pool;
};

static const uint64_t one_post = (uint64_t)1 << 32;
static const uint64_t count_mask = ~(uint64_t)UINT32_MAX;
static const uint64_t closed_mark = INT64_MAX; /* no post, and beyond every limit */

static int post_anyhow(vigil_remote *remote, struct lane *lane, vigil_post_fn *fn, void *arg);
static int post_push(vigil_remote *remote, uint64_t head, struct lane *lane, uint32_t number);

/* ---- remotes ---- */

int vigil_remote_open(vigil_loop *loop, vigil_remote **out)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    if (loop->remote == NULL) {
        const vigil_allocator *allocator = &vigil__host_system()->allocator;
        vigil_remote *remote = vigil__alloc(allocator, sizeof(*remote));
        if (remote == NULL)
            return VIGIL_ENOMEM;
        memset(remote, 0, sizeof(*remote));
        atomic_init(&remote->turner, atomic_load(&loop->owner));
        atomic_init(&remote->limit, (int64_t)(VIGIL__POSTS_MAX * one_post));
        atomic_init(&remote->refs, 1); /* the loop's own */
        remote->loop = loop;
        remote->pool.allocator = allocator;
        loop->remote = remote;
    }
    *out = vigil_remote_keep(loop->remote);
    return 0;
}

vigil_remote *vigil_remote_keep(vigil_remote *remote)
{
    atomic_fetch_add_explicit(&remote->refs, 1, memory_order_relaxed);
    return remote;
}

void vigil_remote_drop(vigil_remote *remote)
{
    /* Both ways: what others did with it comes before it is freed by the last one. */
    if (remote == NULL || atomic_fetch_sub_explicit(&remote->refs, 1, memory_order_acq_rel) != 1)
        return;
    const vigil_allocator *allocator = remote->pool.allocator;
    vigil__post_pool_clear(&remote->pool);
    vigil__free(allocator, remote, sizeof(*remote));
}

void vigil__posts_turner(vigil_loop *loop, const void *mark)
{
    if (loop->remote != NULL)
        atomic_store_explicit(&loop->remote->turner, mark, memory_order_relaxed);
}

void vigil__posts_seen(vigil_remote *remote, bool awake)
{
    /* In one order with the push and the looks at both: either who pushed sees that the loop is not
     * awake any more, or the loop, which looks behind this, sees the push. */
    atomic_store_explicit(&remote->awake, awake, memory_order_seq_cst);
}

/* ---- posting ---- */

/* Whether there may be no room, or the loop is closed. */
static inline bool posts_limited(const vigil_remote *remote, uint64_t head)
{
    return (int64_t)head >= atomic_load_explicit(&remote->limit, memory_order_relaxed);
}

/* Why nothing can be posted while *head is that, or 0.  It is looked at again if that matters.
 * While the loop takes what has run off the count, that is known here twice for a moment: some
 * hundreds too many may get in then, but none is refused that has room. */
static int post_refused(const vigil_remote *remote, uint64_t *head)
{
    while (*head != closed_mark) {
        /* In a line that the loop keeps writing to, so it is only asked here.  Acquired: if it is
         * from behind a change of the count or the limit, that change is seen below. */
        uint32_t ran = atomic_load_explicit(&remote->ran, memory_order_acquire);
        int64_t limit = atomic_load_explicit(&remote->limit, memory_order_relaxed);
        if ((int64_t)(*head - ran * one_post) < limit)
            return 0; /* less than none: it is from in front of that change */
        uint64_t again = atomic_load_explicit(&remote->head, memory_order_relaxed);
        if (again == *head)
            return VIGIL_EFULL;
        *head = again;
    }
    return VIGIL_ECANCELED;
}

/* Of a callback, behind what callbacks posted before, and in front of whatever will be pushed:
 * nothing is on the stack, where what this thread pushed before would be.  The loop looks here
 * before it waits, so nobody has to be woken. */
static inline void post_queue(vigil_remote *remote, uint32_t number)
{
    if (VIGIL_UNLIKELY(remote->queue != number - 1))
        vigil__post_begins(&remote->pool, number, remote->queue);
    remote->queue = number;
    int64_t limit = atomic_load_explicit(&remote->limit, memory_order_relaxed);
    atomic_store_explicit(&remote->limit, limit - (int64_t)one_post, memory_order_relaxed);
}

static inline int post_write(vigil_remote *remote, uint64_t head, struct lane *lane,
                             uint32_t number, vigil_post_fn *fn, void *arg)
{
    struct vigil__post *post = &lane->block->posts[number % VIGIL__POST_NUMBERS];
    post->fn = fn;
    post->arg = arg;
    /* Before the push: in a child that is forked between the two, it is not used twice.  Released,
     * as it was acquired: another thread may have this mark one day. */
    atomic_store_explicit(&lane->number, number + 1, memory_order_release);
    uint32_t newest = (uint32_t)head;
    /* Mostly it is pushed behind the one that lies in front of it.  Then nothing is to be said, and
     * what the head is to be follows from the head: it does not wait for the lane to be read.
     * Released: what is in the post. */
    if (VIGIL_LIKELY(newest == number - 1)) {
        if (VIGIL_LIKELY(
                atomic_compare_exchange_weak_explicit(&remote->head, &head, head + one_post + 1,
                                                      memory_order_release, memory_order_relaxed)))
            return 0;
    } else if (newest == 0 && lane == &remote->own) {
        post_queue(remote, number);
        return 0;
    }
    return post_push(remote, head, lane, number);
}

/* That thread's lane, NULL: it has none yet. */
static inline struct lane *lane_find(vigil_remote *remote, const void *me)
{
    /* Nobody but this thread writes its mark there. */
    if (atomic_load_explicit(&remote->turner, memory_order_relaxed) == me)
        return &remote->own;
    /* Most loops hear from one thread.  Asked by itself, the first lane is in a known place. */
    if (VIGIL_LIKELY(atomic_load_explicit(&remote->lane_of[0], memory_order_relaxed) == me))
        return &remote->lanes[0].lane;
    for (int i = 1; i < LANES; i++)
        if (atomic_load_explicit(&remote->lane_of[i], memory_order_relaxed) == me)
            return &remote->lanes[i].lane;
    return NULL;
}

int vigil_post(vigil_remote *remote, vigil_post_fn *fn, void *arg)
{
    if (fn == NULL)
        return VIGIL_EINVAL;
    struct lane *lane = lane_find(remote, vigil__thread_mark());
    uint64_t head = atomic_load_explicit(&remote->head, memory_order_relaxed);
    if (VIGIL_LIKELY(lane != NULL && !posts_limited(remote, head))) {
        uint32_t number = atomic_load_explicit(&lane->number, memory_order_acquire);
        if (VIGIL_LIKELY(vigil__post_is(number)))
            return post_write(remote, head, lane, number, fn, arg);
    }
    return post_anyhow(remote, lane, fn, arg);
}

/* A lane for that thread; NULL: all are others'. */
static struct lane *lane_take(vigil_remote *remote)
{
    for (int i = 0; i < LANES; i++) {
        const void *nobody = NULL;
        if (atomic_compare_exchange_strong_explicit(&remote->lane_of[i], &nobody,
                                                    vigil__thread_mark(), memory_order_relaxed,
                                                    memory_order_relaxed))
            return &remote->lanes[i].lane;
    }
    return NULL;
}

/* The same when something is missing: a lane, which is NULL then, a block, room. */
static VIGIL_COLD int post_anyhow(vigil_remote *remote, struct lane *lane, vigil_post_fn *fn,
                                  void *arg)
{
    uint64_t head = atomic_load_explicit(&remote->head, memory_order_relaxed);
    int status = posts_limited(remote, head) ? post_refused(remote, &head) : 0;
    if (status != 0)
        return status;
    struct lane passing = { 0 };
    lane = lane != NULL ? lane : lane_take(remote);
    lane = lane != NULL ? lane : &passing; /* its block goes back at once */
    uint32_t number = atomic_load_explicit(&lane->number, memory_order_acquire);
    if (!vigil__post_is(number)) {
        status = vigil__post_pool_get(&remote->pool, &number);
        if (status == 0)
            lane->block = vigil__post_block(&remote->pool, number);
    }
    if (status == 0)
        status = post_write(remote, head, lane, number, fn, arg);
    number = passing.number;
    if (vigil__post_is(number))
        vigil__post_pool_put(&remote->pool, number);
    return status;
}

static bool post_try(vigil_remote *remote, uint64_t *head, uint32_t number)
{
    vigil__post_begins(&remote->pool, number, (uint32_t)*head);
    /* Released: what is in the post; and see vigil__posts_seen(). */
    return atomic_compare_exchange_weak_explicit(&remote->head, head,
                                                 (*head & count_mask) + one_post + number,
                                                 memory_order_seq_cst, memory_order_relaxed);
}

/* The push onto an empty stack, and its wake.  Who closes takes the stack, and then waits for all
 * who may have found it empty: so they say that before. */
static bool push_first(vigil_remote *remote, uint64_t *head, uint32_t number)
{
    atomic_fetch_add_explicit(&remote->wakers, 1, memory_order_relaxed);
    bool done = post_try(remote, head, number);
    if (done && !atomic_load_explicit(&remote->awake, memory_order_seq_cst))
        (void)remote->loop->backend->wake(remote->loop->backend_self); /* a full waker wakes too */
    /* Released: when it is seen, this thread has done with the loop. */
    atomic_fetch_sub_explicit(&remote->wakers, 1, memory_order_release);
    return done;
}

/* As soon as it can be pushed; if it is refused meanwhile, the post is the next one again. */
static VIGIL_COLD int post_push(vigil_remote *remote, uint64_t head, struct lane *lane,
                                uint32_t number)
{
    int status;
    while ((status = posts_limited(remote, head) ? post_refused(remote, &head) : 0) == 0)
        if ((uint32_t)head == 0 ? push_first(remote, &head, number)
                                : post_try(remote, &head, number))
            return 0;
    vigil__post_begins(&remote->pool, number, number - 1); /* as if it did not */
    atomic_store_explicit(&lane->number, number, memory_order_release);
    return status;
}

/* ---- running them ---- */

static inline uint32_t posts_newest(const vigil_remote *remote)
{
    return (uint32_t)atomic_load_explicit(&remote->head, memory_order_seq_cst);
}

bool vigil__posts_pushed(const vigil_remote *remote)
{
    return posts_newest(remote) != 0;
}

bool vigil__posts_wait(const vigil_remote *remote)
{
    return remote->queue != 0 || posts_newest(remote) != 0;
}

/* What was on the stack, or in the queue, oldest first: a list of runs, posts that lie behind each
 * other.  In place of what the first of each waits behind stand the first of the next run and how
 * many more are in this.  The others are not looked at: that is left to who calls them. */
static uint32_t posts_turned(const vigil_remote *remote, uint32_t number)
{
    uint32_t before = 0;
    while (number != 0) {
        uint32_t first = vigil__post_first(&remote->pool, number);
        uint32_t *behind = vigil__post_behind(&remote->pool, first), older = *behind;
        *behind = before + (number - first) * VIGIL__POST_MORE;
        before = first;
        number = older;
    }
    return before;
}

/* What of `ran` is to be known by the count, or by the limit, is. */
static void posts_settled(vigil_remote *remote, uint32_t known)
{
    uint32_t ran = atomic_load_explicit(&remote->ran, memory_order_relaxed);
    /* Released: behind that, so that nobody counts what has run among those that wait. */
    atomic_store_explicit(&remote->ran, ran - known, memory_order_release);
}

/* So many posts from that one on have run. */
static void block_ran(vigil_remote *remote, uint32_t first, uint32_t count, bool queued)
{
    struct vigil__post_block *block = vigil__post_block(&remote->pool, first);
    uint32_t ran = atomic_load_explicit(&remote->ran, memory_order_relaxed);
    if (queued) {
        int64_t limit = atomic_load_explicit(&remote->limit, memory_order_relaxed);
        limit += (int64_t)(count * one_post);
        atomic_store_explicit(&remote->limit, limit, memory_order_relaxed);
        posts_settled(remote, count);
    } else if (ran >= RAN_MAX) {
        atomic_fetch_sub_explicit(&remote->head, ran * one_post, memory_order_relaxed);
        posts_settled(remote, ran);
    }
    block->ran += count;
    if (block->ran == VIGIL__POST_BLOCK) {
        block->ran = 0;
        for (int i = 0; i < VIGIL__POST_WORDS; i++)
            atomic_store_explicit(&block->begins[i], 0, memory_order_relaxed);
        vigil__post_pool_put(&remote->pool, first - first % VIGIL__POST_NUMBERS + 1);
    }
}

/* Calls so many that lie behind each other. */
static void run_call(vigil_loop *loop, const struct vigil__post *post, uint32_t count)
{
    vigil_remote *remote = loop->remote;
    int status = loop->closing ? VIGIL_ECANCELED : VIGIL_OK;
    for (const struct vigil__post *end = post + count; post < end; post++) {
        uint32_t ran = atomic_load_explicit(&remote->ran, memory_order_relaxed);
        atomic_store_explicit(&remote->ran, ran + 1, memory_order_relaxed);
        post->fn(loop, post->arg, status);
        vigil__count(&loop->stats.posts, 1);
        vigil__callback_ran(loop, "post");
        if (VIGIL_UNLIKELY(loop->closing))
            status = VIGIL_ECANCELED;
    }
}

static void posts_call(vigil_loop *loop, uint32_t number, bool queued)
{
    vigil_remote *remote = loop->remote;
    while (number != 0) {
        uint32_t run = *vigil__post_behind(&remote->pool, number);
        uint32_t count = run / VIGIL__POST_MORE + 1;
        run_call(loop, vigil__post_at(&remote->pool, number), count);
        block_ran(remote, number, count, queued);
        number = run % VIGIL__POST_MORE;
    }
}

void vigil__posts_run(vigil_loop *loop)
{
    vigil_remote *remote = loop->remote;
    uint32_t queued = remote->queue, pushed = 0;
    remote->queue = 0;
    /* Acquired: what is in the posts, of all who pushed.  How many there are stays there. */
    if (posts_newest(remote) != 0)
        pushed = (uint32_t)atomic_fetch_and_explicit(&remote->head, count_mask,
                                                     memory_order_acquire);
    posts_call(loop, posts_turned(remote, queued), true); /* posted before what is on the stack */
    posts_call(loop, posts_turned(remote, pushed), false);
}

VIGIL_COLD void vigil__posts_close(vigil_loop *loop, bool forked)
{
    vigil_remote *remote = loop->remote;
    if (remote == NULL)
        return;
    /* Acquired, both: who pushed had said before that it may wake; and when it says that it has
     * woken, it has. */
    uint64_t head = atomic_exchange_explicit(&remote->head, closed_mark, memory_order_acquire);
    while (!forked && atomic_load_explicit(&remote->wakers, memory_order_acquire) != 0)
        vigil__thread_yield(); /* it is between its push and its wake: a few instructions */
    uint32_t lists[] = { posts_turned(remote, remote->queue),
                         posts_turned(remote, (uint32_t)head) };
    for (size_t i = 0; i < VIGIL_COUNT(lists) && !forked; i++)
        for (uint32_t number = lists[i]; number != 0;) {
            const struct vigil__post *post = vigil__post_at(&remote->pool, number);
            uint32_t run = *vigil__post_behind(&remote->pool, number);
            for (uint32_t more = 0; more <= run / VIGIL__POST_MORE; more++)
                post[more].fn(loop, post[more].arg, VIGIL_ECANCELED);
            number = run % VIGIL__POST_MORE;
        }
    vigil__posts_turner(loop, NULL);
    loop->remote = NULL;
    vigil_remote_drop(remote);
}
