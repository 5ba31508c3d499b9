/* SPDX-License-Identifier: MIT
 *
 * frame.c -- finding messages in a stream: lines, and bodies behind their length.
 */
#include "test.h"

static const struct {
    const char *in;
    size_t n, took;
    const char *line;
} line_rows[] = {
    { "", 0, 0, NULL },         { "a", 1, 0, NULL },
    { "\n", 1, 1, "" },         { "\r\n", 2, 2, "" },
    { "\r", 1, 0, NULL },       { "a\r\nb\n", 5, 3, "a" },
    { "a\rb\n", 4, 4, "a\rb" }, /* only the one before the end goes */
    { "a\r\r\n", 4, 4, "a\r" }, { "whole\nand more", 14, 6, "whole" },
    { "cut\n", 3, 0, NULL }, /* the newline is not there yet */
};

TEST(take_line)
{
    for (size_t i = 0; i < TEST_COUNT(line_rows); i++) {
        const char *line = NULL;
        size_t len = 99;
        EQ_INT(line_rows[i].took, vigil_take_line(line_rows[i].in, line_rows[i].n, &line, &len),
               "row %zu", i);
        if (line_rows[i].took == 0) {
            EQ_PTR(NULL, line, "row %zu", i);
            continue;
        }
        EQ_INT(strlen(line_rows[i].line), len, "row %zu", i);
        EQ_INT(0, memcmp(line, line_rows[i].line, len), "row %zu", i);
    }
}

static const struct {
    const char *in;
    size_t n, took_u16, len_u16, took_u32, len_u32;
} counted_rows[] = {
    { "", 0, 0, 0, 0, 0 },
    { "\0", 1, 0, 0, 0, 0 },
    { "\0\0", 2, 2, 0, 0, 0 },
    { "\0\1", 2, 0, 0, 0, 0 },
    { "\0\1x", 3, 3, 1, 0, 0 },
    { "\0\0\0\0", 4, 2, 0, 4, 0 },
    { "\0\0\0\2xy", 6, 2, 0, 6, 2 },
    { "\0\0\0\2xyz", 7, 2, 0, 6, 2 }, /* what is behind stays */
    { "\0\0\0\2x", 5, 2, 0, 0, 0 },
    { "\1\0x", 3, 0, 0, 0, 0 },                /* 256, big endian */
    { "\377\377\377\377abcd", 8, 0, 0, 0, 0 }, /* four gigabytes do not wrap around */
};

TEST(take_counted)
{
    for (size_t i = 0; i < TEST_COUNT(counted_rows); i++) {
        const char *in = counted_rows[i].in;
        const void *body = NULL;
        size_t len = 0;
        EQ_INT(counted_rows[i].took_u16, vigil_take_u16be(in, counted_rows[i].n, &body, &len),
               "row %zu", i);
        EQ_INT(counted_rows[i].len_u16, len, "row %zu", i);
        EQ_PTR(counted_rows[i].took_u16 != 0 ? in + 2 : NULL, body, "row %zu", i);
        body = NULL;
        len = 0;
        EQ_INT(counted_rows[i].took_u32, vigil_take_u32be(in, counted_rows[i].n, &body, &len),
               "row %zu", i);
        EQ_INT(counted_rows[i].len_u32, len, "row %zu", i);
        EQ_PTR(counted_rows[i].took_u32 != 0 ? in + 4 : NULL, body, "row %zu", i);
    }
}

TEST(the_longest_u16_body)
{
    static uint8_t message[2 + 65535] = { 0xff, 0xff };
    const void *body;
    size_t len;
    EQ_INT(0, vigil_take_u16be(message, sizeof(message) - 1, &body, &len));
    EQ_INT(sizeof(message), vigil_take_u16be(message, sizeof(message), &body, &len));
    EQ_INT(65535, len);
}
