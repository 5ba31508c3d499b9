/* SPDX-License-Identifier: MIT
 *
 * signals_windows.c -- vigil_on_signal as far as Windows has signals, of which a test can have what
 * the program itself raises.  signals.c has the rows of POSIX.
 */
#include "loop_rig.h"

#ifdef _WIN32

static const int signals[] = { SIGINT, SIGTERM, SIGBREAK };

CONFORM(each_is_told_once_however_often_it_came)
{
    for (size_t i = 0; i < TEST_COUNT(signals); i++) {
        struct rig rig;
        vigil_loop *loop = rig_open(&rig, backend);
        int told = 0, other = 0;
        EQ_INT(0, vigil_on_signal(loop, signals[i], count_signal, &told, NULL));
        EQ_INT(0, vigil_on_signal(loop, signals[(i + 1) % 3], count_signal, &other, NULL));
        for (int times = 0; times < 3; times++) /* the C runtime forgets a handler it has called */
            raise(signals[i]);
        turns_until(loop, &told, 1);
        turns_now(loop, 3);
        EQ_INT(1, told);
        raise(signals[i]);
        turns_until(loop, &told, 2);
        EQ_INT(0, other);
        rig_close(&rig);
    }
}

CONFORM(others_are_refused)
{
    static const int rows[] = { 0, -1, 64, 65, SIGABRT, SIGFPE, SIGSEGV, SIGILL };
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    for (size_t i = 0; i < TEST_COUNT(rows); i++)
        EQ_INT(VIGIL_EINVAL, vigil_on_signal(loop, rows[i], count_signal, &rig, NULL), "%d",
               rows[i]);
    rig_close(&rig);
}

static int found_count;

static void found(int signo)
{
    (void)signo;
    found_count++;
}

CONFORM(the_handler_found_is_put_back)
{
    void (*before)(int) = signal(SIGTERM, found);
    struct rig rig;
    vigil_loop *loop = rig_open(&rig, backend);
    vigil_signal one, two;
    int told = 0;
    EQ_INT(0, vigil_on_signal(loop, SIGTERM, count_signal, &told, &one));
    EQ_INT(0, vigil_on_signal(loop, SIGTERM, count_signal, &told, &two));
    raise(SIGTERM);
    turns_until(loop, &told, 2);
    EQ_INT(0, vigil_signal_cancel(loop, one));
    raise(SIGTERM);
    turns_until(loop, &told, 3);
    EQ_INT(0, vigil_signal_cancel(loop, two));
    found_count = 0;
    raise(SIGTERM);
    turns_now(loop, 2);
    EQ_INT(1, found_count, "ours has gone, and the one found is there");
    EQ_INT(3, told);
    signal(SIGTERM, before);
    rig_close(&rig);
}

CONFORM(the_first_drains_and_the_second_ends)
{
    struct rig rig;
    vigil_loop *loop = rig_open_with(
        &rig, backend, (vigil_loop_options){ .stop_on_signals = true, .keep_running = true });
    raise(SIGINT);
    EQ_INT(0, vigil_loop_run(loop), "nothing is left to drain");
    rig_close(&rig);
}

#else

TEST(signals_of_windows)
{
    SKIP("not Windows: signals.c has the rows of this system");
}

#endif
