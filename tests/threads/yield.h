/* SPDX-License-Identifier: MIT
 *
 * yield.h -- <stdatomic.h> with a place to switch threads in front of every operation.
 *
 * Sources of the library that are included behind this have their real atomics, and between any two
 * of them, whatever a scheduler wants to happen meanwhile.  Counters with one writer have their
 * inline functions in loop.h: what is included in front of this is left alone.
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
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit

/* What <stdatomic.h> is made of, by each compiler. */
#ifdef __clang__
#define REAL_LOAD(p, order)        __c11_atomic_load(p, order)
#define REAL_STORE(p, v, order)    __c11_atomic_store(p, v, order)
#define REAL_EXCHANGE(p, v, order) __c11_atomic_exchange(p, v, order)
#define REAL_ADD(p, v, order)      __c11_atomic_fetch_add(p, v, order)
#define REAL_SUB(p, v, order)      __c11_atomic_fetch_sub(p, v, order)
#define REAL_OR(p, v, order)       __c11_atomic_fetch_or(p, v, order)
#define REAL_AND(p, v, order)      __c11_atomic_fetch_and(p, v, order)
#define REAL_CAS(p, old, v, order, otherwise) \
    __c11_atomic_compare_exchange_strong(p, old, v, order, otherwise)
#else
#define REAL_LOAD(p, order)        __atomic_load_n(p, order)
#define REAL_STORE(p, v, order)    __atomic_store_n(p, v, order)
#define REAL_EXCHANGE(p, v, order) __atomic_exchange_n(p, v, order)
#define REAL_ADD(p, v, order)      __atomic_fetch_add(p, v, order)
#define REAL_SUB(p, v, order)      __atomic_fetch_sub(p, v, order)
#define REAL_OR(p, v, order)       __atomic_fetch_or(p, v, order)
#define REAL_AND(p, v, order)      __atomic_fetch_and(p, v, order)
#define REAL_CAS(p, old, v, order, otherwise) \
    __atomic_compare_exchange_n(p, old, v, false, order, otherwise)
#endif

#define atomic_load_explicit(p, order)         (switch_point(), REAL_LOAD(p, order))
#define atomic_store_explicit(p, v, order)     (switch_point(), REAL_STORE(p, v, order))
#define atomic_exchange_explicit(p, v, order)  (switch_point(), REAL_EXCHANGE(p, v, order))
#define atomic_fetch_add_explicit(p, v, order) (switch_point(), REAL_ADD(p, v, order))
#define atomic_fetch_sub_explicit(p, v, order) (switch_point(), REAL_SUB(p, v, order))
#define atomic_fetch_or_explicit(p, v, order)  (switch_point(), REAL_OR(p, v, order))
#define atomic_fetch_and_explicit(p, v, order) (switch_point(), REAL_AND(p, v, order))
#define atomic_compare_exchange_strong_explicit(p, old, v, order, otherwise) \
    (switch_point(), REAL_CAS(p, old, v, order, otherwise))
#define atomic_compare_exchange_weak_explicit(p, old, v, order, otherwise)    \
    (switch_point(), weak_fails() ? (*(old) = REAL_LOAD(p, otherwise), false) \
                                  : REAL_CAS(p, old, v, order, otherwise))

#define atomic_load(p)         atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_store(p, v)     atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange(p, v)  atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_add(p, v) atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_sub(p, v) atomic_fetch_sub_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_or(p, v)  atomic_fetch_or_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_and(p, v) atomic_fetch_and_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_strong(p, old, v) \
    atomic_compare_exchange_strong_explicit(p, old, v, memory_order_seq_cst, memory_order_seq_cst)
#define atomic_compare_exchange_weak(p, old, v) \
    atomic_compare_exchange_weak_explicit(p, old, v, memory_order_seq_cst, memory_order_seq_cst)

#endif
