/* SPDX-License-Identifier: MIT
 *
 * fails.c -- a simulated test that goes wrong in one seed of some, in the way that HOW says; for
 * tests/runner/run.py, which looks at what vigil_sim_main() makes of it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vigil_sim.h"

enum { ORACLES = 100 };

static const char *how;
static unsigned runs;
static pid_t first_process;

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void crash(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

static void write_behind_the_end(void)
{
    char *volatile one = malloc(1);
    one[runs] = 1;
    free(one);
}

static void shift_too_far(void)
{
    volatile int by = 40;
    volatile int one = 1 << by;
    (void)one;
}

static void go_wrong(vigil_sim *sim)
{
    if (strcmp(how, "abort") == 0)
        abort();
    else if (strcmp(how, "segfault") == 0)
        crash();
    else if (strcmp(how, "sanitizer") == 0)
        write_behind_the_end();
    else if (strcmp(how, "undefined") == 0)
        shift_too_far();
    else if (strcmp(how, "exit") == 0)
        exit(0);
    else if (strcmp(how, "endless") == 0)
        for (;;)
            (void)vigil_sim_choose(sim, "again", 1); /* 1 is no choice */
    else if (strcmp(how, "killed") == 0)
        (void)raise(SIGKILL);
    else if (strcmp(how, "stuck") == 0)
        for (;;)
            pause();
    else if (strcmp(how, "oracle") == 0)
        vigil_sim_always(sim, "it holds", false, "in this world");
    else if (strcmp(how, "spins") == 0)
        (void)vigil_sim_eventually(sim, "it comes", never, NULL, VIGIL_S(1));
}

/* False, behind more choices in each run. */
static bool choose_often(vigil_sim *sim)
{
    for (unsigned i = 0; i < runs; i++)
        (void)vigil_sim_choose(sim, "n", 1000);
    return false;
}

/* What depends on more than its world. */
static void go_astray(vigil_sim *sim)
{
    static char names[ORACLES][32];
    if (strcmp(how, "once") == 0)
        vigil_sim_always(sim, "it holds", runs != 10, "the tenth time");
    else if (strcmp(how, "otherwise") == 0)
        vigil_sim_always(sim, runs < 11 ? "the first" : "the second", runs < 10, "now");
    else if (strcmp(how, "another way") == 0 && runs >= 10)
        vigil_sim_always(sim, "it holds", choose_often(sim), "never");
    else if (strcmp(how, "abort once") == 0 && runs == 10)
        abort();
    else if (strcmp(how, "abort at first") == 0 && getpid() != first_process)
        vigil_sim_always(sim, "it holds", false, "elsewhere");
    else if (strcmp(how, "abort at first") == 0 && runs == 10)
        abort();
    else if (strcmp(how, "random") == 0)
        (void)vigil_sim_choose(sim, "n", 2 + runs);
    for (int i = 0; i < ORACLES && strcmp(how, "many oracles") == 0; i++) {
        snprintf(names[i], sizeof(names[i]), "oracle %d", i);
        vigil_sim_always(sim, names[i], true, "of many");
    }
}

static void test(vigil_sim *sim, void *arg)
{
    (void)arg;
    runs++;
    vigil_sim_tell(sim, "this is world %u", runs);
    if (vigil_sim_choose(sim, "goes wrong", 8) == 7)
        go_wrong(sim);
    go_astray(sim);
    for (int i = 0; i < 5; i++)
        (void)vigil_sim_choose(sim, "whatever", 100);
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "HOW", "VIGIL_NOT_SET", NULL };
    first_process = getpid();
    how = getenv("HOW");
    if (how == NULL)
        how = "";
    return vigil_sim_main_env(argc, argv, names, test, NULL);
}
