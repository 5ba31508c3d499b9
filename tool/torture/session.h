/* SPDX-License-Identifier: MIT
 *
 * session.h -- one run of `vigil torture`: the server is looked up, the probes that were chosen run
 * one after the other, and whoever wants to know is told.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef SESSION_H
#define SESSION_H

#include "../args.h"
#include "torture.h"

/* What was asked for; strings are the command line's. */
struct session_settings {
    const char *mode_name;
    enum torture_mode mode;
    bool quick;
    bool thorough;
    bool list;
    const char *only;
    const char *skip;
    uint64_t pid;
    const char *signal_name;
    int signal;
    const char *json;
    const char *junit;
    bool owned;
    struct torture_limits limits; /* 0: by --quick and --thorough */
};

/* Whether --only and --skip let it run. */
bool session_chosen(const struct session_settings *settings, const struct probe *probe);

/* Runs the whole, on the one operand.  Answers the exit status. */
int session_run(const struct session_settings *settings, const struct args *args);

#endif /* SESSION_H */
