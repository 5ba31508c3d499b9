/* SPDX-License-Identifier: MIT
 *
 * signals.c -- arriving signals, noted in the sinks of all loops that asked for them.  Floor: sys.
 *
 * Dispositions belong to the process, so this table does too: it is the only state that the loops
 * of a process share.  The handler sets a bit and wakes; a bit cannot overflow, as a pipe of signal
 * numbers can.
 */
#ifndef _WIN32

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "sys/signals.h"

enum { SUBSCRIPTIONS_MAX = 64 }; /* the handler walks them all: a bound on its time */

#if ATOMIC_INT_LOCK_FREE != 2 || ATOMIC_LLONG_LOCK_FREE != 2 || ATOMIC_POINTER_LOCK_FREE != 2
#error "a signal handler may use lock-free atomics only"
#endif

struct subscription {
    struct vigil__signal_sink *_Atomic sink; /* NULL: free; written last, read first */
    _Atomic int signo;
    _Atomic int inside; /* handlers that may be using sink */
};

static struct subscription subscriptions[SUBSCRIPTIONS_MAX];

/* For everything below, and for writing above; the handler does without. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int fork_status = -1; /* 0: the lock is kept whole across fork */
static struct {
    int users;
    struct sigaction found; /* the disposition before ours */
} signals[VIGIL__SIGNAL_MAX];

static int add_locked(int signo, struct vigil__signal_sink *sink);
static void remove_locked(int signo, struct vigil__signal_sink *sink);

int vigil__signal_add(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self;
    if (signo < 1 || signo > VIGIL__SIGNAL_MAX || signo == SIGKILL || signo == SIGSTOP)
        return VIGIL_EINVAL;
    (void)pthread_mutex_lock(&lock); /* a plain mutex, never taken twice: cannot fail */
    int err = add_locked(signo, sink);
    (void)pthread_mutex_unlock(&lock);
    return err;
}

void vigil__signal_remove(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self;
    (void)pthread_mutex_lock(&lock);
    remove_locked(signo, sink);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- the handler -------------------------------------------------------------------------- */

/* All of it is sequentially consistent: either this sees the NULL that a removal wrote, or the
 * removal sees `inside` counted and waits. */
static void note(struct subscription *subscription, int signo)
{
    atomic_fetch_add(&subscription->inside, 1);
    struct vigil__signal_sink *sink = atomic_load(&subscription->sink);
    if (sink != NULL && atomic_load(&subscription->signo) == signo) {
        atomic_fetch_or(&sink->pending, UINT64_C(1) << (signo - 1));
        sink->wake(sink->arg);
    }
    atomic_fetch_sub(&subscription->inside, 1);
}

static void on_signal(int signo)
{
    int saved = errno; /* of the code that was interrupted */
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++)
        note(&subscriptions[i], signo);
    errno = saved;
}

/* ---- dispositions ------------------------------------------------------------------------- */

static int disposition_take(int signo)
{
    /* No other handler runs inside ours: one that jumps out would leave `inside` counted. */
    struct sigaction ours = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK };
    (void)sigfillset(&ours.sa_mask);
    if (sigaction(signo, &ours, &signals[signo - 1].found) < 0)
        return vigil__status_of(errno);
    return 0;
}

/* Puts back what was found, unless somebody has put another in our place meanwhile. */
static void disposition_restore(int signo)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
        now.sa_handler == on_signal)
        (void)sigaction(signo, &signals[signo - 1].found, NULL); /* a signal that exists */
}

/* ---- fork --------------------------------------------------------------------------------- */

static void before_fork(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) /* the threads that were inside are not here */
        atomic_store(&subscriptions[i].inside, 0);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- the table ---------------------------------------------------------------------------- */

static struct subscription *subscription_free(void)
{
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) {
        if (atomic_load(&subscriptions[i].sink) == NULL)
            return &subscriptions[i];
    }
    return NULL;
}

static struct subscription *subscription_find(int signo, const struct vigil__signal_sink *sink)
{
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) {
        if (atomic_load(&subscriptions[i].sink) == sink &&
            atomic_load(&subscriptions[i].signo) == signo)
            return &subscriptions[i];
    }
    return NULL;
}

static int add_locked(int signo, struct vigil__signal_sink *sink)
{
    if (fork_status != 0)
        fork_status = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (fork_status != 0)
        return VIGIL_ENOMEM; /* its only reason */
    struct subscription *subscription = subscription_free();
    if (subscription == NULL)
        return VIGIL_EFULL;
    atomic_store(&subscription->signo, signo);
    atomic_store(&subscription->sink, sink); /* before the handler: so that it misses no signal */
    int err = signals[signo - 1].users == 0 ? disposition_take(signo) : 0;
    if (err < 0)
        atomic_store(&subscription->sink, NULL); /* no handler ran for it yet */
    else
        signals[signo - 1].users++;
    return err;
}

static void remove_locked(int signo, struct vigil__signal_sink *sink)
{
    struct subscription *subscription = subscription_find(signo, sink);
    VIGIL_ASSERT(subscription != NULL);
    if (--signals[signo - 1].users == 0)
        disposition_restore(signo); /* first: so that no signal is taken and noted nowhere */
    atomic_store(&subscription->sink, NULL);
    while (atomic_load(&subscription->inside) != 0)
        vigil__thread_yield(); /* handlers of other threads are in there, and they are short */
}

#endif
