/* SPDX-License-Identifier: MIT
 *
 * args_nearest.c -- finds the name that was probably meant, by the number of letters that must be
 * put in, taken out, exchanged or swapped with their neighbour.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include <string.h>

#include "args.h"

#define WORD_MAX 40 /* longer words have no near name */

static size_t distance(const char *a, const char *b);
static size_t least(size_t a, size_t b);

const char *args_nearest(const char *wrong, const char *(*name_at)(const void *arg, size_t i),
                         const void *arg)
{
    const char *best = NULL;
    size_t best_distance = strlen(wrong) / 3 + 1; /* farther than that is a guess */
    const char *name = NULL;
    if (*wrong == '\0' || strlen(wrong) > WORD_MAX)
        return NULL;
    for (size_t i = 0; (name = name_at(arg, i)) != NULL; i++) {
        size_t d = strlen(name) > WORD_MAX ? WORD_MAX : distance(wrong, name);
        if (d <= best_distance) {
            best = name;
            best_distance = d - (d > 0); /* the next must be nearer */
        }
    }
    return best;
}

/* Row by row: row[2][j] is the distance of the first i letters of `a` to the first j of `b`. */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][WORD_MAX + 1] = { { 0 } };
    const size_t a_len = strlen(a);
    const size_t b_len = strlen(b);
    for (size_t j = 0; j <= b_len; j++)
        row[2][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
        row[2][0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[2][j] = least(row[1][j], row[2][j - 1]) + 1;
            row[2][j] = least(row[2][j], row[1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[2][j] = least(row[2][j], row[0][j - 2] + 1);
        }
    }
    return row[2][b_len];
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}
