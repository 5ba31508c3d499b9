/* SPDX-License-Identifier: MIT
 *
 * process.h -- the server as a process of this machine, seen from outside: memory, descriptors and
 * CPU (proc(5)).  Where it has children, as a server that forks for each client, they are counted
 * with it, and theirs.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vigil.h"

struct process {
    pid_t pid;    /* 0: the server's process is not known */
    bool accepts; /* it itself, not only a child of it (see listener.h) */
};

/* NULL when `pid` can be looked at, else why not. */
const char *process_look(struct process *process, uint64_t pid);

bool process_lives(const struct process *process);

/* Bytes of memory resident, descriptors open, children that were not yet waited for; -1 when it
 * is gone. */
int64_t process_memory(const struct process *process);
int64_t process_descriptors(const struct process *process);
int64_t process_children(const struct process *process);

/* Descriptors of the process alone. */
int64_t process_own_descriptors(const struct process *process);

/* Whether it has a descriptor of the socket with that inode number; whether it or a child has. */
bool process_has_socket(const struct process *process, uint64_t inode);
bool process_family_has_socket(const struct process *process, uint64_t inode);

/* CPU time of all threads so far, and the time for which they waited for a CPU that others had: a
 * server that spins uses all of what it was given, on a busy machine too.  False: the system does
 * not tell. */
bool process_cpu(const struct process *process, vigil_ns *used, vigil_ns *waited);

/* Whether one of its threads has a CPU, or waits for one. */
bool process_runs(const struct process *process);

#endif /* PROCESS_H */
