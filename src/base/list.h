/* SPDX-License-Identifier: MIT
 *
 * list.h -- a ring of links that live inside the things they link.  Floor: base.
 *
 * A list is one link whose neighbours are the first and the last; an empty list and a link that is
 * in no list point at themselves, so removing twice is harmless.
 */
#ifndef VIGIL_LIST_H
#define VIGIL_LIST_H

#include "base/base.h"

struct vigil__link {
    struct vigil__link *next, *prev;
};

static inline void vigil__list_init(struct vigil__link *link)
{
    link->next = link;
    link->prev = link;
}

static inline bool vigil__list_empty(const struct vigil__link *list)
{
    return list->next == list;
}

static inline void vigil__list_append(struct vigil__link *list, struct vigil__link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void vigil__list_remove(struct vigil__link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    vigil__list_init(link);
}

/* Moves all of `from` to the empty list `to`: a snapshot to work through. */
static inline void vigil__list_move(struct vigil__link *to, struct vigil__link *from)
{
    if (vigil__list_empty(from)) {
        vigil__list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    vigil__list_init(from);
}

#endif
