/* SPDX-License-Identifier: MIT
 *
 * raw_epoll_reads.c -- raw_epoll.c as the library reads: up to four times per wake-up, for as long
 * as each read is full.  System headers only. */
#define READS_MAX 4
#include "raw_epoll.c"
