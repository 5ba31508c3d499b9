/* SPDX-License-Identifier: MIT
 *
 * couple.c -- one connection's input as another's output, by reference.  Floor: conn.
 */
#include "conn/conn.h"

int vigil_couple(vigil_loop *loop, vigil_conn from, vigil_conn to)
{
    struct vigil__conn *source;
    struct vigil__conn *target;
    int status = vigil__conn_get(loop, from, &source);
    if (status == 0)
        status = vigil__conn_get(loop, to, &target);
    if (status != 0)
        return status;
    if (source->busy->couple_to.v != 0 || target->busy->couple_from.v != 0)
        return VIGIL_EBUSY;
    if (target->end_asked)
        return VIGIL_ECLOSED;
    if (vigil__conn_busy(loop, source) == NULL || vigil__conn_busy(loop, target) == NULL) {
        vigil__conn_rest(loop, source);
        return VIGIL_ENOMEM;
    }
    source->busy->couple_to = to;
    target->busy->couple_from = from;
    vigil__output_later(loop, target); /* it is no idle one any more */
    vigil__input_unblock(source);      /* from now on only `to` holds it up */
    vigil__conn_todo(loop, source, VIGIL__TODO_OFFER | VIGIL__TODO_READ);
    if (source->eof_told || source->finishing)
        return vigil_end(loop, to); /* nothing comes any more */
    return 0;
}

/* How much of what is held fits below the target's mark. */
static size_t couple_room(const vigil_loop *loop, const struct vigil__conn *target, size_t n)
{
    size_t high = vigil__memory_high(loop, target);
    return vigil__min(n, target->busy->queued < high ? high - target->busy->queued : 0);
}

void vigil__couple_offer(vigil_loop *loop, struct vigil__conn *from)
{
    struct vigil__conn *to = vigil__conn_find(loop, from->busy->couple_to);
    if (to == NULL || from->busy->held_len == 0 || vigil__input_waits(from))
        return;
    if (to->end_asked) { /* it takes no more: what comes for it goes nowhere */
        vigil__input_drop(loop, from);
        return;
    }
    size_t n = couple_room(loop, to, from->busy->held_len);
    const uint8_t *p = from->busy->held->data + from->busy->held_at;
    size_t took = n > 0 ? vigil__output_take(loop, to, from->busy->held, p, n) : 0;
    if (took > 0)
        vigil__output_later(loop, to);
    vigil__input_consume(loop, from, took);
    if (took < n) {
        vigil__memory_wait(loop, from);
    } else if (from->busy->held_len > 0) {
        to->wake_at_empty = !to->cut && to->busy->queued <= vigil__conn_limits(loop, to)->out_low;
        to->cut = true;
        vigil__input_block_on(from, to);
    }
    if (from->eof_seen && from->busy->held_len == 0 && !from->eof_told)
        vigil__conn_todo(loop, from, VIGIL__TODO_EOF);
}

void vigil__couple_closed(vigil_loop *loop, struct vigil__conn *c)
{
    struct vigil__conn *to = vigil__conn_find(loop, c->busy->couple_to);
    struct vigil__conn *from = vigil__conn_find(loop, c->busy->couple_from);
    if (c->busy->conn != NULL) {
        c->busy->couple_to = (vigil_conn){ 0 };
        c->busy->couple_from = (vigil_conn){ 0 };
    }
    if (to != NULL && to != c) {
        to->busy->couple_from = (vigil_conn){ 0 };
        vigil__output_later(loop, to); /* where it rests, if that was all */
        if (c->why != VIGIL_OK)
            vigil__conn_reset(loop, to, VIGIL_ECANCELED);
    }
    if (from != NULL && from != c) {
        from->busy->couple_to = (vigil_conn){ 0 };
        vigil__output_later(loop, from);
        if (c->why != VIGIL_OK || (!from->eof_told && !from->finishing))
            vigil__conn_reset(loop, from, VIGIL_ECANCELED);
    }
}
