/* SPDX-License-Identifier: MIT
 *
 * addr.c -- fuzz target: addresses read, written, and taken to the system's form and back.
 *
 * The input is a WHERE; when it begins with '#', the rest is the bytes of a vigil_addr, and with
 * '$' those of a system's address, which may say anything.
 */
#include "fuzz.h"

#include <sys/socket.h>

#include "sys/addr.h"

static bool same(const vigil_addr *a, const vigil_addr *b)
{
    return a->family == b->family && a->path_len == b->path_len && a->port == b->port &&
           a->scope == b->scope && memcmp(a->ip, b->ip, sizeof a->ip) == 0 &&
           memcmp(a->path, b->path, sizeof a->path) == 0;
}

/* Writes it into memory of exactly `size` bytes, and compares that with the whole. */
static void format_cut(const vigil_addr *addr, const char *whole, size_t length, size_t size)
{
    char *cut = malloc(size + 1); /* none at all is NULL to some */
    CHECK(cut != NULL);
    char *exact = size > 0 ? realloc(cut, size) : cut;
    CHECK(exact != NULL);
    CHECK(vigil_addr_format(addr, exact, size) == length, "cut to %zu", size);
    size_t fits = length < size ? length : size > 0 ? size - 1 : 0;
    CHECK(size == 0 || (exact[fits] == '\0' && memcmp(exact, whole, fits) == 0), "cut to %zu",
          size);
    free(exact);
}

/* Writes an address: one line of printable text that always fits. */
static void format(const vigil_addr *addr, char text[VIGIL_ADDR_TEXT_MAX])
{
    size_t length = vigil_addr_format(addr, text, VIGIL_ADDR_TEXT_MAX);
    CHECK(length < VIGIL_ADDR_TEXT_MAX, "%zu bytes", length);
    CHECK(strlen(text) == length);
    for (size_t i = 0; i < length; i++)
        CHECK(text[i] >= ' ' && text[i] < 0x7f, "byte %zu is not printable", i);
    for (size_t size = 0; size <= length + 1; size += 1 + length / 8)
        format_cut(addr, text, length, size);
    format_cut(addr, text, length, length);
    format_cut(addr, text, length, length + 1);
}

/* The address that the text names is `addr` itself. */
static void reads_back(const vigil_addr *addr)
{
    char text[VIGIL_ADDR_TEXT_MAX];
    vigil_addr back;
    format(addr, text);
    int err = vigil_addr_parse(&back, text);
    CHECK(err == 0, "%s: %d", text, err);
    CHECK(same(addr, &back), "%s names another address", text);
}

static void through_the_system(const vigil_addr *addr)
{
    struct sockaddr_storage system;
    vigil_addr back;
    unsigned length = vigil__addr_to_system(addr, &system);
    CHECK(length > 0 && length <= sizeof system);
    vigil__addr_from_system(&back, &system, length);
    CHECK(same(addr, &back), "another one came back from the system's form");
}

static int resolve_none(void *self, const char *name, uint16_t port, vigil_addr *out, int max)
{
    (void)self;
    (void)port;
    CHECK(max > 0 && out != NULL);
    size_t length = strlen(name);
    CHECK(length > 0 && length <= 253, "a name of %zu bytes is asked for", length);
    CHECK(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
              length,
          "%s is asked for", name);
    return VIGIL_ENOENT;
}

/* Whether the text of such an address can be read: a program may write anything into one. */
static bool well_formed(const vigil_addr *addr)
{
    if (addr->family == VIGIL_FAMILY_INET || addr->family == VIGIL_FAMILY_INET6)
        return true;
    if (addr->family != VIGIL_FAMILY_UNIX || addr->path_len == 0)
        return false;
    if (addr->path[0] == '\0')
        return addr->path_len > 1 && addr->path_len <= sizeof addr->path;
    return addr->path_len < sizeof addr->path && memchr(addr->path, 0, addr->path_len) == NULL;
}

static void parse(const char *where)
{
    static const vigil_host host = { .resolve = resolve_none };
    vigil_addr addr, found[2];
    memset(&addr, 0xa5, sizeof addr); /* whatever was there must not shine through */
    int err = vigil_addr_parse(&addr, where);
    CHECK(err == 0 || err == VIGIL_EADDR || err == VIGIL_ENOENT, "%d is not documented", err);
    int count = vigil__where_addresses(&host, where, true, found, 2);
    if (err == 0) {
        CHECK(well_formed(&addr));
        CHECK(vigil_addr_port(&addr) == addr.port);
        CHECK(count == 1 && same(&found[0], &addr));
        reads_back(&addr);
        through_the_system(&addr);
    } else {
        CHECK(count == err || (err == VIGIL_ENOENT && count == 2), "%d addresses", count);
    }
    for (int i = 0; i < count; i++)
        reads_back(&found[i]);
}

/* What its family does not use is 0, as in one that was parsed. */
static void canonical(vigil_addr *addr)
{
    vigil_addr plain = { .family = addr->family };
    if (addr->family == VIGIL_FAMILY_UNIX) {
        plain.path_len = addr->path_len;
        memcpy(plain.path, addr->path, addr->path_len);
    } else {
        bool six = addr->family == VIGIL_FAMILY_INET6;
        plain.port = addr->port;
        plain.scope = six ? addr->scope : 0;
        memcpy(plain.ip, addr->ip, six ? 16 : 4);
    }
    *addr = plain;
}

static void any_addr(const uint8_t *p, size_t n)
{
    vigil_addr addr = { 0 };
    memcpy(&addr, p, n < sizeof addr ? n : sizeof addr);
    addr.family &= 7; /* printable text reaches them all */
    char text[VIGIL_ADDR_TEXT_MAX];
    struct sockaddr_storage system;
    format(&addr, text);
    unsigned length = vigil__addr_to_system(&addr, &system);
    CHECK(length <= sizeof system);
    if (!well_formed(&addr))
        return;
    canonical(&addr);
    reads_back(&addr);
    through_the_system(&addr);
}

static void any_system(const uint8_t *p, size_t n)
{
    static const uint16_t families[] = { AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC };
    struct sockaddr_storage system = { 0 };
    vigil_addr addr;
    if (n < 2)
        return;
    unsigned length = (p[0] & 0x7f) * 2;
    memcpy(&system, p, n < sizeof system ? n : sizeof system);
    system.ss_family = families[p[1] & 3];
    vigil__addr_from_system(&addr, &system, length);
    char text[VIGIL_ADDR_TEXT_MAX];
    format(&addr, text);
    if (well_formed(&addr))
        reads_back(&addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '#') {
        any_addr(data + 1, size - 1);
    } else if (size > 0 && data[0] == '$') {
        any_system(data + 1, size - 1);
    } else {
        char *where = fuzz_text(data, size);
        parse(where);
        free(where);
    }
    return 0;
}
