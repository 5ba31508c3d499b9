/* SPDX-License-Identifier: MIT
 *
 * memory_kept_for_reuse.c -- what a loop kept for reuse did not count against memory_limit: with
 * all that in buffers of one size, and others asked for, it took up to 1 MiB more than it was
 * allowed.
 */
#include "test.h"

#include "base/buf.h"

#include <stdlib.h>

enum { LIMIT = 256 << 10 };

static size_t in_use, most; /* bytes of buffers, without their heads */

static size_t bytes_of(size_t size)
{
    static const size_t caps[] = { 65536, 16384, 4096, 1024, 256 };
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
        if (size == vigil__buf_size(caps[i]))
            return caps[i];
    return size;
}

static void *counted(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    in_use += bytes_of(new_size);
    in_use -= old != NULL ? bytes_of(old_size) : 0;
    most = in_use > most ? in_use : most;
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

TEST(what_is_kept_for_reuse_is_within_the_limit)
{
    static const size_t sizes[] = { 65536, 16384, 65536, 1024, 4096 };
    const vigil_allocator allocator = { counted, NULL };
    struct vigil__pool pool;
    vigil__pool_init(&pool, &allocator, LIMIT);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct vigil__buf *first = NULL;
        struct vigil__buf *buf;
        while ((buf = vigil__buf_take(&pool, sizes[i], VIGIL__BUF_OUTPUT)) != NULL) {
            buf->next_free = first;
            first = buf;
        }
        for (; first != NULL; first = buf) {
            buf = first->next_free;
            vigil__buf_drop(&pool, first);
        }
    }
    vigil__pool_clear(&pool);
    EQ_INT(LIMIT, (int)most);
    EQ_INT(0, (int)in_use);
}
