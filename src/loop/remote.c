/* SPDX-License-Identifier: MIT
 *
 * remote.c -- calls posted by other threads.  Floor: loop.
 *
 * A stack that posters push on with one compare-and-swap, and that the loop takes whole and turns
 * around.  The loop is woken by the push onto an empty stack only.  Closing puts a mark there that
 * refuses further pushes, and waits until nobody is between its push and its wake any more.  What
 * callbacks of the loop itself post waits in a queue that no other thread sees.
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

/* The block that one thread fills: its next post, or what has no number.  No two threads have one
 * mark at a time; but they may have it after each other, so each leaves this as if for another. */
typedef _Atomic(struct vigil__post *) block_in_use;

struct lane {
    block_in_use block;
    char apart[APART - sizeof(block_in_use)];
};

struct vigil_remote {
    /* The newest post; above it how many were pushed, less those that are known to have run. */
    _Atomic uint64_t head;
    char apart_head[APART - sizeof(uint64_t)];

    /* Written by the thread that turns the loop, read by all. */
    _Atomic(const void *) turner; /* its mark, or NULL: loop->owner, which others may not ask */
    _Atomic uint64_t limit;       /* what `head` stays below: its callbacks' posts count, too */
    vigil_loop *loop;             /* to wake; not followed once closed */
    char apart_turner[APART];

    /* Its own. */
    _Atomic uint32_t ran;       /* pushed posts that have run, not yet taken off the count */
    block_in_use block;         /* for its callbacks' posts */
    struct vigil__post queue;   /* of what they posted: only `next` */
    struct vigil__post *newest; /* in there, or the queue itself */
    char apart_own[APART];

    _Atomic uint32_t refs;
    _Atomic uint32_t wakers; /* threads that may be about to wake the loop */
    char apart_counts[APART];

    _Atomic(const void *) lane_of[LANES]; /* marks of threads: theirs as long as the remote lives */
    char apart_lanes[APART];
    struct lane lanes[LANES];
    struct vigil__post_pool pool;
};

static const uint64_t one_post = (uint64_t)1 << 32;
static const uint64_t count_mask = ~(uint64_t)UINT32_MAX;
static const uint64_t closed_mark = INT64_MAX; /* no post, and beyond every limit */
static struct vigil__post no_post;             /* nobody writes to it */

static int post_anyhow(vigil_remote *remote, const void *me, vigil_post_fn *fn, void *arg);
static int post_push(vigil_remote *remote, uint64_t head, block_in_use *block,
                     struct vigil__post *post);

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
        atomic_init(&remote->limit, VIGIL__POSTS_MAX * one_post);
        atomic_init(&remote->refs, 1); /* the loop's own */
        atomic_init(&remote->block, &no_post);
        for (int i = 0; i < LANES; i++)
            atomic_init(&remote->lanes[i].block, &no_post);
        remote->newest = &remote->queue;
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

/* ---- posting ---- */

/* Whether there may be no room, or the loop is closed. */
static inline bool posts_limited(const vigil_remote *remote, uint64_t head)
{
    return head >= atomic_load_explicit(&remote->limit, memory_order_relaxed);
}

/* Why nothing can be posted while *head is that, or 0.  It is looked at again if that matters.
 * While the loop takes what has run off the count, that is known here twice for a moment: a hundred
 * too many may get in then, but none is refused that has room. */
static int post_refused(const vigil_remote *remote, uint64_t *head)
{
    while (*head != closed_mark) {
        uint64_t limit = atomic_load_explicit(&remote->limit, memory_order_relaxed);
        /* In a line that the loop keeps writing to, so it is only asked here.  Acquired: if it is
         * from behind a change of the count, that change is seen below. */
        uint32_t ran = atomic_load_explicit(&remote->ran, memory_order_acquire);
        if ((int64_t)(*head - ran * one_post) < (int64_t)limit)
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
static inline void post_queue(vigil_remote *remote, struct vigil__post *post)
{
    post->next = 0;
    remote->newest->next = post->number;
    remote->newest = post;
    uint64_t limit = atomic_load_explicit(&remote->limit, memory_order_relaxed);
    atomic_store_explicit(&remote->limit, limit - one_post, memory_order_relaxed);
}

static inline bool post_try(vigil_remote *remote, uint64_t *head, struct vigil__post *post)
{
    post->next = (uint32_t)*head;
    /* Released: what is in the post. */
    return atomic_compare_exchange_weak_explicit(&remote->head, head,
                                                 (*head & count_mask) + one_post + post->number,
                                                 memory_order_release, memory_order_relaxed);
}

static inline int post_write(vigil_remote *remote, uint64_t head, block_in_use *block,
                             struct vigil__post *post, vigil_post_fn *fn, void *arg)
{
    post->fn = fn;
    post->arg = arg;
    /* Before the push: in a child that is forked between the two, it is not used twice.  Released,
     * as it was acquired: another thread may have this mark one day. */
    atomic_store_explicit(block, post + 1, memory_order_release);
    if (block == &remote->block && (uint32_t)head == 0) {
        post_queue(remote, post);
        return 0;
    }
    if (VIGIL_LIKELY((uint32_t)head != 0) && VIGIL_LIKELY(post_try(remote, &head, post)))
        return 0;
    return post_push(remote, head, block, post);
}

/* Where that thread has a block, NULL: nowhere yet. */
static inline block_in_use *block_find(vigil_remote *remote, const void *me)
{
    /* Nobody but this thread writes its mark there. */
    if (atomic_load_explicit(&remote->turner, memory_order_relaxed) == me)
        return &remote->block;
    for (int i = 0; i < LANES; i++)
        if (atomic_load_explicit(&remote->lane_of[i], memory_order_relaxed) == me)
            return &remote->lanes[i].block;
    return NULL;
}

int vigil_post(vigil_remote *remote, vigil_post_fn *fn, void *arg)
{
    if (fn == NULL)
        return VIGIL_EINVAL;
    const void *me = vigil__thread_mark();
    block_in_use *block = block_find(remote, me);
    uint64_t head = atomic_load_explicit(&remote->head, memory_order_relaxed);
    if (VIGIL_LIKELY(block != NULL && !posts_limited(remote, head))) {
        struct vigil__post *post = atomic_load_explicit(block, memory_order_acquire);
        if (VIGIL_LIKELY(post->number != 0))
            return post_write(remote, head, block, post, fn, arg);
    }
    return post_anyhow(remote, me, fn, arg);
}

/* A lane for that thread; NULL: all are others'. */
static block_in_use *lane_take(vigil_remote *remote, const void *me)
{
    for (int i = 0; i < LANES; i++) {
        const void *nobody = NULL;
        if (atomic_compare_exchange_strong_explicit(&remote->lane_of[i], &nobody, me,
                                                    memory_order_relaxed, memory_order_relaxed))
            return &remote->lanes[i].block;
    }
    return NULL;
}

/* The same when something is missing: a lane, a block, room. */
static VIGIL_COLD int post_anyhow(vigil_remote *remote, const void *me, vigil_post_fn *fn,
                                  void *arg)
{
    uint64_t head = atomic_load_explicit(&remote->head, memory_order_relaxed);
    int status = posts_limited(remote, head) ? post_refused(remote, &head) : 0;
    if (status != 0)
        return status;
    block_in_use passing = &no_post, *block = block_find(remote, me);
    block = block != NULL ? block : lane_take(remote, me);
    block = block != NULL ? block : &passing; /* it goes back at once */
    struct vigil__post *post = atomic_load_explicit(block, memory_order_acquire);
    if (post->number == 0)
        status = vigil__post_pool_get(&remote->pool, &post);
    if (status == 0)
        status = post_write(remote, head, block, post, fn, arg);
    post = passing;
    if (post->number != 0)
        vigil__post_pool_put(&remote->pool, post);
    return status;
}

/* The push onto an empty stack, and its wake.  Who closes takes the stack, and then waits for all
 * who may have found it empty: so they say that before. */
static bool push_first(vigil_remote *remote, uint64_t *head, struct vigil__post *post)
{
    atomic_fetch_add_explicit(&remote->wakers, 1, memory_order_relaxed);
    bool done = post_try(remote, head, post);
    if (done)
        (void)remote->loop->backend->wake(remote->loop->backend_self); /* a full waker wakes too */
    /* Released: when it is seen, this thread has done with the loop. */
    atomic_fetch_sub_explicit(&remote->wakers, 1, memory_order_release);
    return done;
}

/* As soon as it can be pushed; if it is refused meanwhile, the post is the next one again. */
static VIGIL_COLD int post_push(vigil_remote *remote, uint64_t head, block_in_use *block,
                                struct vigil__post *post)
{
    int status;
    while ((status = posts_limited(remote, head) ? post_refused(remote, &head) : 0) == 0)
        if ((uint32_t)head == 0 ? push_first(remote, &head, post) : post_try(remote, &head, post))
            return 0;
    atomic_store_explicit(block, post, memory_order_release);
    return status;
}

/* ---- running them ---- */

bool vigil__posts_pending(const vigil_loop *loop)
{
    const vigil_remote *remote = loop->remote;
    return remote != NULL &&
           (remote->queue.next != 0 ||
            (uint32_t)atomic_load_explicit(&remote->head, memory_order_relaxed) != 0);
}

/* What was on the stack, oldest first.  Mostly a post lies behind the one pushed before it;
 * where it is then does not wait for what is read from the one above. */
static uint32_t posts_turned(const vigil_remote *remote, uint32_t number)
{
    uint32_t before = 0;
    while (number != 0) {
        struct vigil__post *post = vigil__post_at(&remote->pool, number);
        uint32_t next;
        while ((next = post->next) == number - 1 && next != 0) {
            post->next = before;
            before = number;
            number = next;
            post--;
        }
        post->next = before;
        before = number;
        number = next;
    }
    return before;
}

/* One that was pushed, or that a callback posted, does not wait any more. */
static inline void post_counted(vigil_remote *remote, bool queued)
{
    if (queued) {
        uint64_t limit = atomic_load_explicit(&remote->limit, memory_order_relaxed);
        atomic_store_explicit(&remote->limit, limit + one_post, memory_order_relaxed);
    } else {
        uint32_t ran = atomic_load_explicit(&remote->ran, memory_order_relaxed);
        atomic_store_explicit(&remote->ran, ran + 1, memory_order_relaxed);
    }
}

/* So many posts from that one on have run. */
static void block_ran(vigil_remote *remote, uint32_t first, uint32_t count)
{
    struct vigil__post_block *block = vigil__post_block(&remote->pool, first);
    uint32_t ran = atomic_load_explicit(&remote->ran, memory_order_relaxed);
    if (ran >= RAN_MAX) {
        atomic_fetch_sub_explicit(&remote->head, ran * one_post, memory_order_relaxed);
        /* Released: behind that, so that nobody counts what has run among those that wait. */
        atomic_store_explicit(&remote->ran, 0, memory_order_release);
    }
    block->ran += count;
    if (block->ran == VIGIL__POST_BLOCK) {
        block->ran = 0;
        vigil__post_pool_put(&remote->pool, &block->posts[0]);
    }
}

static void posts_call(vigil_loop *loop, uint32_t number, bool queued)
{
    vigil_remote *remote = loop->remote;
    while (number != 0) {
        const struct vigil__post *post = vigil__post_at(&remote->pool, number);
        uint32_t first = number, next = number;
        while (next == number) { /* those that lie behind each other */
            next = post->next;
            post_counted(remote, queued);
            post->fn(loop, post->arg, loop->closing ? VIGIL_ECANCELED : VIGIL_OK);
            vigil__count(&loop->stats.posts, 1);
            vigil__callback_ran(loop, "post");
            post++;
            number++;
        }
        block_ran(remote, first, number - first);
        number = next;
    }
}

void vigil__posts_run(vigil_loop *loop)
{
    if (!vigil__posts_pending(loop))
        return;
    vigil_remote *remote = loop->remote;
    uint32_t queued = remote->queue.next, pushed = 0;
    remote->queue.next = 0;
    remote->newest = &remote->queue;
    /* Acquired: what is in the posts, of all who pushed.  How many there are stays there. */
    if ((uint32_t)atomic_load_explicit(&remote->head, memory_order_relaxed) != 0)
        pushed = (uint32_t)atomic_fetch_and_explicit(&remote->head, count_mask,
                                                     memory_order_acquire);
    posts_call(loop, queued, true); /* posted before what is on the stack */
    posts_call(loop, posts_turned(remote, pushed), false);
}

void vigil__posts_close(vigil_loop *loop, bool forked)
{
    vigil_remote *remote = loop->remote;
    if (remote == NULL)
        return;
    /* Acquired, both: who pushed had said before that it may wake; and when it says that it has
     * woken, it has. */
    uint64_t head = atomic_exchange_explicit(&remote->head, closed_mark, memory_order_acquire);
    while (!forked && atomic_load_explicit(&remote->wakers, memory_order_acquire) != 0)
        vigil__thread_yield(); /* it is between its push and its wake: a few instructions */
    uint32_t lists[] = { remote->queue.next, posts_turned(remote, (uint32_t)head) };
    for (size_t i = 0; i < VIGIL_COUNT(lists) && !forked; i++)
        for (uint32_t number = lists[i]; number != 0;) {
            const struct vigil__post *post = vigil__post_at(&remote->pool, number);
            number = post->next;
            post->fn(loop, post->arg, VIGIL_ECANCELED);
        }
    vigil__posts_turner(loop, NULL);
    loop->remote = NULL;
    vigil_remote_drop(remote);
}
