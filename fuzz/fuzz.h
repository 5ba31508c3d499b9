/* SPDX-License-Identifier: MIT
 *
 * fuzz.h -- what every fuzz target shares: the input as a stream of choices, and the check that
 * fails.
 *
 * A target is one file with LLVMFuzzerTestOneInput().  libFuzzer and AFL++ bring a main() of their
 * own; replay.c is one for any compiler.  Choices are taken byte by byte in a way that printable
 * text reaches all of them, so that a corpus can be looked at; past the end every choice is 0.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_MAYBE_UNUSED __attribute__((unused))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, loudly, when `fact` is false; what is behind it is a format with its values. */
#define CHECK(fact, ...)                                             \
    do {                                                             \
        if (!(fact))                                                 \
            fuzz_failed(__FILE__, __LINE__, #fact, " " __VA_ARGS__); \
    } while (0)

_Noreturn FUZZ_MAYBE_UNUSED __attribute__((format(__printf__, 4, 5))) static void fuzz_failed(
    const char *file, int line, const char *fact, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    /* Not to stderr itself: a target may have put something else in its place. */
    (void)dprintf(2, "%s:%d: %s is false;", file, line, fact);
    (void)vdprintf(2, format, values);
    (void)dprintf(2, "\n");
    va_end(values);
    abort();
}

struct fuzz_in {
    const uint8_t *p;
    size_t n;
};

FUZZ_MAYBE_UNUSED static uint8_t fuzz_byte(struct fuzz_in *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

/* A choice among `n`, of which there are at most 95, as many as there are printable characters. */
FUZZ_MAYBE_UNUSED static unsigned fuzz_below(struct fuzz_in *in, unsigned n)
{
    return fuzz_byte(in) % n;
}

/* One of a table of numbers. */
#define FUZZ_OF(in, table) ((table)[fuzz_below(in, (unsigned)(sizeof(table) / sizeof(table)[0]))])

/* The next `max` bytes as a text of its own, so that a reader behind its end is found.  The
 * caller frees it. */
FUZZ_MAYBE_UNUSED static char *fuzz_text(const uint8_t *p, size_t n)
{
    char *text = malloc(n + 1);
    CHECK(text != NULL);
    if (n > 0)
        memcpy(text, p, n);
    text[n] = '\0';
    return text;
}

#endif
