/* SPDX-License-Identifier: MIT
 *
 * frame.c -- fuzz target: finding messages in a stream, against a reader that goes byte by byte.
 *
 * The stream is cut at every place: a message is whole exactly from its last byte on, and what
 * comes behind it changes nothing.
 */
#include "fuzz.h"

#include "vigil.h"

enum { STREAM_MAX = 300 };

/* What a first message is said to be. */
struct message {
    size_t took, at, len;
};

static struct message line_model(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\n')
            continue;
        return (struct message){ i + 1, 0, i > 0 && p[i - 1] == '\r' ? i - 1 : i };
    }
    return (struct message){ 0 };
}

static struct message counted_model(const uint8_t *p, size_t n, size_t header)
{
    uint64_t length = 0;
    for (size_t i = 0; i < header; i++) {
        if (i == n)
            return (struct message){ 0 };
        length = length * 256 + p[i];
    }
    if (length + header > n)
        return (struct message){ 0 };
    return (struct message){ header + (size_t)length, header, (size_t)length };
}

static void compare(const uint8_t *p, size_t n, struct message want, size_t took, const void *body,
                    size_t len)
{
    CHECK(took == want.took, "%zu of %zu bytes, want %zu", took, n, want.took);
    if (want.took == 0) {
        CHECK(body == NULL && len == 99, "a message that is not whole has no body");
        return;
    }
    CHECK((const uint8_t *)body == p + want.at, "the body is elsewhere");
    CHECK(len == want.len, "the body has %zu bytes, want %zu", len, want.len);
}

/* The first message of each kind in exactly these bytes. */
static void take_all(const uint8_t *p, size_t n)
{
    const char *line = NULL;
    size_t len = 99;
    size_t took = vigil_take_line(p, n, &line, &len);
    compare(p, n, line_model(p, n), took, line, len);

    const void *body = NULL;
    len = 99;
    took = vigil_take_u16be(p, n, &body, &len);
    compare(p, n, counted_model(p, n, 2), took, body, len);

    body = NULL;
    len = 99;
    took = vigil_take_u32be(p, n, &body, &len);
    compare(p, n, counted_model(p, n, 4), took, body, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > STREAM_MAX)
        size = STREAM_MAX;
    for (size_t n = 0; n <= size; n++) {
        char *copy = fuzz_text(data, n); /* what is read behind the end is found */
        char *exact = n > 0 ? realloc(copy, n) : copy;
        CHECK(exact != NULL);
        take_all((const uint8_t *)exact, n);
        free(exact);
    }
    return 0;
}
