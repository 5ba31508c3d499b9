/* SPDX-License-Identifier: MIT
 *
 * remote.c -- calls posted by other threads.  Floor: loop.
 *
 * A stack that posters push on with a compare-and-swap, and that the loop takes whole and turns
 * around.  The loop is woken by the push onto an empty stack only.  Closing swaps in a mark that
 * refuses further pushes, and waits until nobody is between its push and its wake any more.
 * Posts and remotes outlive the loop, so they use the process's allocator, never the loop's.
 */
#include "loop/loop.h"

enum { POSTS_MAX = 65536 }; /* more waiting means that the loop does not keep up: say so */

struct post {
    struct post *next;
    vigil_post_fn *fn;
    void *arg;
};

struct vigil_remote {
    _Atomic(struct post *) head;
    _Atomic uint32_t refs;
    _Atomic uint32_t waiting;
    _Atomic uint32_t posters; /* threads inside vigil_post() */
    vigil_loop *loop;         /* to wake; not followed once closed */
};

static struct post closed_mark;

static struct post *posts_take(vigil_remote *remote, struct post *leave);

/* The process's allocator. */
static const vigil_allocator *process_allocator(void)
{
    return &vigil__host_system()->allocator;
}

static void post_free(struct post *post)
{
    vigil__free(process_allocator(), post, sizeof(*post));
}

int vigil_remote_open(vigil_loop *loop, vigil_remote **out)
{
    int status = vigil__loop_check(loop);
    if (status != 0)
        return status;
    if (loop->remote == NULL) {
        vigil_remote *remote = vigil__alloc(process_allocator(), sizeof(*remote));
        if (remote == NULL)
            return VIGIL_ENOMEM;
        atomic_init(&remote->head, NULL);
        atomic_init(&remote->refs, 1); /* the loop's own */
        atomic_init(&remote->waiting, 0);
        atomic_init(&remote->posters, 0);
        remote->loop = loop;
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
    if (remote != NULL && atomic_fetch_sub(&remote->refs, 1) == 1)
        vigil__free(process_allocator(), remote, sizeof(*remote));
}

static int post_push(vigil_remote *remote, vigil_post_fn *fn, void *arg)
{
    if (atomic_load(&remote->head) == &closed_mark)
        return VIGIL_ECANCELED;
    if (atomic_fetch_add(&remote->waiting, 1) >= POSTS_MAX) {
        atomic_fetch_sub(&remote->waiting, 1);
        return VIGIL_EFULL;
    }
    struct post *post = vigil__alloc(process_allocator(), sizeof(*post));
    if (post == NULL) {
        atomic_fetch_sub(&remote->waiting, 1);
        return VIGIL_ENOMEM;
    }
    *post = (struct post){ .fn = fn, .arg = arg };
    struct post *head = atomic_load(&remote->head);
    do {
        if (head == &closed_mark) {
            post_free(post);
            return VIGIL_ECANCELED;
        }
        post->next = head;
    } while (!atomic_compare_exchange_weak(&remote->head, &head, post));
    /* The loop's own thread looks at the posts before it waits. */
    if (head == NULL && atomic_load(&remote->loop->owner) != vigil__thread_mark())
        (void)remote->loop->backend->wake(remote->loop->backend_self); /* a full waker wakes too */
    return 0;
}

int vigil_post(vigil_remote *remote, vigil_post_fn *fn, void *arg)
{
    if (fn == NULL)
        return VIGIL_EINVAL;
    atomic_fetch_add(&remote->posters, 1);
    int status = post_push(remote, fn, arg);
    atomic_fetch_sub(&remote->posters, 1);
    return status;
}

bool vigil__posts_pending(const vigil_loop *loop)
{
    return loop->remote != NULL && atomic_load(&loop->remote->head) != NULL;
}

void vigil__posts_run(vigil_loop *loop)
{
    if (!vigil__posts_pending(loop))
        return;
    vigil_remote *remote = loop->remote;
    struct post *post = posts_take(remote, NULL);
    while (post != NULL) {
        struct post *next = post->next;
        atomic_fetch_sub(&remote->waiting, 1);
        post->fn(loop, post->arg, loop->closing ? VIGIL_ECANCELED : VIGIL_OK);
        post_free(post);
        vigil__count(&loop->stats.posts, 1);
        vigil__callback_ran(loop, "post");
        post = next;
    }
}

void vigil__posts_close(vigil_loop *loop, bool forked)
{
    vigil_remote *remote = loop->remote;
    if (remote == NULL)
        return;
    struct post *post = posts_take(remote, &closed_mark);
    while (!forked && atomic_load(&remote->posters) != 0)
        vigil__thread_yield(); /* a poster is between its push and its wake: a few instructions */
    while (post != NULL) {
        struct post *next = post->next;
        if (!forked)
            post->fn(loop, post->arg, VIGIL_ECANCELED);
        post_free(post);
        post = next;
    }
    loop->remote = NULL;
    vigil_remote_drop(remote);
}

/* What waits, oldest first; `leave` stays in its place. */
static struct post *posts_take(vigil_remote *remote, struct post *leave)
{
    struct post *post = atomic_exchange(&remote->head, leave);
    struct post *oldest = NULL;
    while (post != NULL) {
        struct post *next = post->next;
        post->next = oldest;
        oldest = post;
        post = next;
    }
    return oldest;
}
