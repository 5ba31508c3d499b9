/* SPDX-License-Identifier: MIT
 *
 * signals_windows.c -- signals.c's counterpart: as far as Windows has signals.  Floor: sys.
 *
 * SIGINT is Ctrl-C, SIGBREAK is Ctrl-Break, and SIGTERM is the console's window closing, the user
 * logging off or the machine shutting down: these come from SetConsoleCtrlHandler(), on a thread of
 * the system's.  What the program itself raises by raise() comes from the C runtime's signal().
 * Neither interrupts a thread in the middle of a call, so that a lock keeps the table whole.
 */
#ifdef _WIN32

#include <windows.h>

#include <signal.h>

#include "sys/signals.h"

enum {
    SUBSCRIPTIONS_MAX = 64, /* as on POSIX */
    SIGNO_MAX = 22          /* the C runtime's numbers end there, SIGBREAK is 21 */
};

static struct subscription {
    struct vigil__signal_sink *sink; /* NULL: free */
    int signo;
} subscriptions[SUBSCRIPTIONS_MAX];

static struct {
    int users;
    void (*found)(int signo); /* the C runtime's handler before ours */
} signals[SIGNO_MAX + 1];

static int users; /* of all signals */

/* For all of the above: shared by those who note, exclusive for changes. */
static SRWLOCK lock = SRWLOCK_INIT;

static int add_locked(int signo, struct vigil__signal_sink *sink);
static void remove_locked(int signo, const struct vigil__signal_sink *sink);

int vigil__signal_add(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self;
    if (signo != SIGINT && signo != SIGTERM && signo != SIGBREAK)
        return VIGIL_EINVAL;
    AcquireSRWLockExclusive(&lock);
    int err = add_locked(signo, sink);
    ReleaseSRWLockExclusive(&lock);
    return err;
}

void vigil__signal_remove(void *self, int signo, struct vigil__signal_sink *sink)
{
    (void)self;
    AcquireSRWLockExclusive(&lock); /* whoever notes is out when this returns */
    remove_locked(signo, sink);
    ReleaseSRWLockExclusive(&lock);
}

/* ---- the handlers ------------------------------------------------------------------------- */

/* Whether anybody has asked for `signo`. */
static bool note(int signo)
{
    bool noted = false;
    AcquireSRWLockShared(&lock);
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) {
        struct vigil__signal_sink *sink = subscriptions[i].sink;
        if (sink == NULL || subscriptions[i].signo != signo)
            continue;
        atomic_fetch_or(&sink->pending, UINT64_C(1) << (signo - 1));
        sink->wake(sink->arg);
        noted = true;
    }
    ReleaseSRWLockShared(&lock);
    return noted;
}

/* The runtime puts the default back before it calls this. */
static void on_raise(int signo)
{
    (void)signal(signo, on_raise); /* a signal that exists */
    (void)note(signo);             /* one whose last user just left is nobody's */
}

static BOOL WINAPI on_console_event(DWORD event)
{
    if (event == CTRL_C_EVENT)
        return note(SIGINT);
    if (event == CTRL_BREAK_EVENT)
        return note(SIGBREAK);
    if (!note(SIGTERM))
        return FALSE;
    /* The system ends the process when this returns, and after some seconds anyway: until then
     * the loop may end what is under way. */
    Sleep(INFINITE);
    return TRUE;
}

/* ---- the table ---------------------------------------------------------------------------- */

static struct subscription *subscription_find(int signo, const struct vigil__signal_sink *sink)
{
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) {
        if (subscriptions[i].sink == sink && (sink == NULL || subscriptions[i].signo == signo))
            return &subscriptions[i];
    }
    return NULL;
}

static int add_locked(int signo, struct vigil__signal_sink *sink)
{
    struct subscription *subscription = subscription_find(signo, NULL);
    if (subscription == NULL)
        return VIGIL_EFULL;
    if (signals[signo].users == 0) {
        signals[signo].found = signal(signo, on_raise);
        if (signals[signo].found == SIG_ERR)
            return VIGIL_EINVAL;
    }
    /* Behind signal(), so that ours is asked before the runtime's own, and answers for it. */
    if (users == 0 && !SetConsoleCtrlHandler(on_console_event, TRUE)) {
        (void)signal(signo, signals[signo].found); /* as it was */
        return vigil__status_of((int)GetLastError());
    }
    *subscription = (struct subscription){ .sink = sink, .signo = signo };
    signals[signo].users++;
    users++;
    return 0;
}

static void remove_locked(int signo, const struct vigil__signal_sink *sink)
{
    struct subscription *subscription = subscription_find(signo, sink);
    VIGIL_ASSERT(subscription != NULL);
    subscription->sink = NULL;
    if (--users == 0)
        (void)SetConsoleCtrlHandler(on_console_event, FALSE); /* it is there: it cannot fail */
    if (--signals[signo].users > 0)
        return;
    void (*now)(int) = signal(signo, signals[signo].found);
    if (now != on_raise) /* somebody has put another in our place meanwhile */
        (void)signal(signo, now);
}

#endif
