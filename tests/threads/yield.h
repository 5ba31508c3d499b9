/* SPDX-License-Identifier: MIT
 *
 * yield.h -- <stdatomic.h> with a place to switch threads in front of every operation.
 *
 * Sources of the library that are included behind this have their real atomics, and between any two
 * of them, whatever a scheduler wants to happen meanwhile.  What has an order of its own (the
 * _explicit forms: counters, mostly) is left alone.
 */
#ifndef THREADS_YIELD_H
#define THREADS_YIELD_H

#include <stdatomic.h>
#include <stdbool.h>

/* May run other threads. */
void switch_point(void);
/* Whether a weak exchange fails for no reason. */
bool weak_fails(void);

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_fetch_or
#undef atomic_fetch_and
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak

#define atomic_load(p)     (switch_point(), atomic_load_explicit((p), memory_order_seq_cst))
#define atomic_store(p, v) (switch_point(), atomic_store_explicit((p), (v), memory_order_seq_cst))
#define atomic_exchange(p, v) \
    (switch_point(), atomic_exchange_explicit((p), (v), memory_order_seq_cst))
#define atomic_fetch_add(p, v) \
    (switch_point(), atomic_fetch_add_explicit((p), (v), memory_order_seq_cst))
#define atomic_fetch_sub(p, v) \
    (switch_point(), atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst))
#define atomic_fetch_or(p, v) \
    (switch_point(), atomic_fetch_or_explicit((p), (v), memory_order_seq_cst))
#define atomic_fetch_and(p, v) \
    (switch_point(), atomic_fetch_and_explicit((p), (v), memory_order_seq_cst))
#define atomic_compare_exchange_strong(p, old, v)             \
    (switch_point(), atomic_compare_exchange_strong_explicit( \
                         (p), (old), (v), memory_order_seq_cst, memory_order_seq_cst))
#define atomic_compare_exchange_weak(p, old, v)                                                  \
    (switch_point(),                                                                             \
     weak_fails() ? (*(old) = atomic_load_explicit((p), memory_order_seq_cst), false)            \
                  : atomic_compare_exchange_weak_explicit((p), (old), (v), memory_order_seq_cst, \
                                                          memory_order_seq_cst))

#endif
