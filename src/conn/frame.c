/* SPDX-License-Identifier: MIT
 *
 * frame.c -- finding messages in a stream: pure functions for use in `data`.  Floor: conn.
 */
#include "base/base.h"

#include <string.h>

size_t vigil_take_line(const void *p, size_t n, const char **line, size_t *len)
{
    const char *begin = p;
    const char *end = n > 0 ? memchr(begin, '\n', n) : NULL;
    if (end == NULL)
        return 0;
    size_t body = (size_t)(end - begin);
    *line = begin;
    *len = body > 0 && begin[body - 1] == '\r' ? body - 1 : body;
    return body + 1;
}

static size_t take_counted(const uint8_t *p, size_t n, size_t header, const void **body,
                           size_t *len)
{
    if (n < header)
        return 0;
    size_t length = 0;
    for (size_t i = 0; i < header; i++)
        length = length << 8 | p[i];
    if (n - header < length)
        return 0;
    *body = p + header;
    *len = length;
    return header + length;
}

size_t vigil_take_u16be(const void *p, size_t n, const void **body, size_t *len)
{
    return take_counted(p, n, 2, body, len);
}

size_t vigil_take_u32be(const void *p, size_t n, const void **body, size_t *len)
{
    return take_counted(p, n, 4, body, len);
}
