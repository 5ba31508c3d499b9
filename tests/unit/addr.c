/* SPDX-License-Identifier: MIT
 *
 * addr.c -- addresses: reading, writing, there and back, the system's form, and what a WHERE stands
 * for.  All but the two tests that say so ask the system nothing.
 */
#include <stdio.h>
#include <string.h>

#include "sys/addr.h"
#include "test.h"

#define BYTES_10  "0123456789"
#define BYTES_50  BYTES_10 BYTES_10 BYTES_10 BYTES_10 BYTES_10
#define BYTES_100 BYTES_50 BYTES_50

/* Room for a path of which each byte is written as \xNN. */
enum { TEXT_ROOM = 440 };

/* A row without `text` is written as it was read. */
static const struct {
    const char *where;
    int family;
    uint16_t port;
    uint32_t scope;
    const char *text;
} good_rows[] = {
    { "127.0.0.1:80", VIGIL_FAMILY_INET, 80, 0, NULL },
    { "tcp://127.0.0.1:80", VIGIL_FAMILY_INET, 80, 0, "127.0.0.1:80" },
    { "0.0.0.0:0", VIGIL_FAMILY_INET, 0, 0, NULL },
    { "255.255.255.255:65535", VIGIL_FAMILY_INET, 65535, 0, NULL },
    { "1.2.3.4:00080", VIGIL_FAMILY_INET, 80, 0, "1.2.3.4:80" },
    { "[::1]:80", VIGIL_FAMILY_INET6, 80, 0, NULL },
    { "tcp://[::1]:80", VIGIL_FAMILY_INET6, 80, 0, "[::1]:80" },
    { "[::]:0", VIGIL_FAMILY_INET6, 0, 0, NULL },
    { "*:443", VIGIL_FAMILY_INET6, 443, 0, "[::]:443" },
    { "tcp://*:443", VIGIL_FAMILY_INET6, 443, 0, "[::]:443" },
    { "[2001:DB8:0:0:0:0:0:1]:1", VIGIL_FAMILY_INET6, 1, 0, "[2001:db8::1]:1" },
    { "[::ffff:1.2.3.4]:1", VIGIL_FAMILY_INET6, 1, 0, NULL },
    { "[fe80::1%3]:80", VIGIL_FAMILY_INET6, 80, 3, NULL },
    { "[::1%2]:80", VIGIL_FAMILY_INET6, 80, 2, NULL },
    { "[fe80::1%4294967295]:80", VIGIL_FAMILY_INET6, 80, 4294967295, NULL },
    { "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535", VIGIL_FAMILY_INET6, 65535,
      4294967295, NULL },
    { "unix:/run/echo", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:relative", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:@abstract", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:@/a b@c", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:@@", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:a@b", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:\\x40file", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:/a\\b", VIGIL_FAMILY_UNIX, 0, 0, "unix:/a\\x5cb" },
    { "unix:/a\\x5cx41", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:/a\\x4", VIGIL_FAMILY_UNIX, 0, 0, "unix:/a\\x5cx4" },
    { "unix:/a\\x1B\n\xff", VIGIL_FAMILY_UNIX, 0, 0, "unix:/a\\x1b\\x0a\\xff" },
    { "unix:@a\\x00b", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:" BYTES_100 "1234567", VIGIL_FAMILY_UNIX, 0, 0, NULL },
    { "unix:@" BYTES_100 "1234567", VIGIL_FAMILY_UNIX, 0, 0, NULL },
};

static const struct {
    const char *where;
    int want;
} bad_rows[] = {
    { NULL, VIGIL_EADDR },
    { "", VIGIL_EADDR },
    { ":", VIGIL_EADDR },
    { ":80", VIGIL_EADDR },
    { "80", VIGIL_EADDR },
    { "tcp://", VIGIL_EADDR },
    { "tcp://:80", VIGIL_EADDR },
    { "tcp:/1.2.3.4:80", VIGIL_EADDR },
    { "tcp://tcp://1.2.3.4:80", VIGIL_EADDR },
    { "tcp://unix:/path", VIGIL_EADDR },
    { "udp://1.2.3.4:80", VIGIL_EADDR },
    { "127.0.0.1", VIGIL_EADDR }, /* the port is required */
    { "127.0.0.1:", VIGIL_EADDR },
    { "127.0.0.1:65536", VIGIL_EADDR },
    { "127.0.0.1:99999", VIGIL_EADDR },
    { "127.0.0.1:000080", VIGIL_EADDR },
    { "127.0.0.1:18446744073709551616", VIGIL_EADDR },
    { "127.0.0.1:-1", VIGIL_EADDR },
    { "127.0.0.1:+80", VIGIL_EADDR },
    { "127.0.0.1: 80", VIGIL_EADDR },
    { "127.0.0.1:80 ", VIGIL_EADDR },
    { " 127.0.0.1:80", VIGIL_EADDR },
    { "127.0.0.1:0x50", VIGIL_EADDR },
    { "127.0.0.1:http", VIGIL_EADDR },
    { "127.0.0.1:80/", VIGIL_EADDR },
    { "127.0.0.1:80:80", VIGIL_EADDR },
    { "127.0.0.256:80", VIGIL_EADDR },
    { "127.0.0.01:80", VIGIL_EADDR },
    { "127.1:80", VIGIL_EADDR },
    { "2130706433:80", VIGIL_EADDR },
    { "0x7f.1:80", VIGIL_EADDR },
    { "1.2.3.4.5:80", VIGIL_EADDR },
    { ".example.org:80", VIGIL_EADDR },
    { "*", VIGIL_EADDR },
    { "**:80", VIGIL_EADDR },
    { "[*]:80", VIGIL_EADDR },
    { "::1:80", VIGIL_EADDR },
    { "fe80::1:80", VIGIL_EADDR },
    { "[::1]", VIGIL_EADDR },
    { "[::1]80", VIGIL_EADDR },
    { "[::1:443", VIGIL_EADDR },
    { "[]:80", VIGIL_EADDR },
    { "::1]:80", VIGIL_EADDR },
    { "[[::1]]:80", VIGIL_EADDR },
    { "[:::1]:80", VIGIL_EADDR },
    { "[1.2.3.4]:80", VIGIL_EADDR },
    { "[localhost]:80", VIGIL_EADDR },
    { "[1:2:3:4:5:6:7:8:9]:80", VIGIL_EADDR },
    { "[" BYTES_100 "]:80", VIGIL_EADDR },
    { "[::1%]:80", VIGIL_EADDR },
    { "[::1%4294967296]:80", VIGIL_EADDR },
    { "[::1%3x]:80", VIGIL_EADDR },
    { "[%3]:80", VIGIL_EADDR },
    { "[::1%no such one]:80", VIGIL_EADDR }, /* not of this machine */
    { "host name:80", VIGIL_EADDR },
    { "host\n:80", VIGIL_EADDR },
    { "h\xc3\xb6st:80", VIGIL_EADDR },
    { "host/path:80", VIGIL_EADDR },
    { "user@host:80", VIGIL_EADDR },
    { "host:http", VIGIL_EADDR },
    { BYTES_100 BYTES_100 BYTES_50 ".ab:80", VIGIL_ENOENT },
    { BYTES_100 BYTES_100 BYTES_50 ".abc:80", VIGIL_EADDR },
    { "localhost:80", VIGIL_ENOENT },
    { "tcp://localhost:80", VIGIL_ENOENT },
    { "example.org:80", VIGIL_ENOENT },
    { "example.org.:80", VIGIL_ENOENT },
    { "a-b_c:80", VIGIL_ENOENT },
    { "1and1.example:80", VIGIL_ENOENT },
    { "unix", VIGIL_EADDR },
    { "unix:", VIGIL_EADDR },
    { "unix:@", VIGIL_EADDR },
    { "unix:\\x00", VIGIL_EADDR },
    { "unix:/a\\x00b", VIGIL_EADDR },
    { "unix:" BYTES_100 "12345678", VIGIL_EADDR },
    { "unix:@" BYTES_100 "12345678", VIGIL_EADDR },
};

TEST(addr_good)
{
    for (size_t i = 0; i < VIGIL_COUNT(good_rows); i++) {
        vigil_addr addr;
        char text[TEXT_ROOM];
        const char *where = good_rows[i].where;
        EQ_INT(0, vigil_addr_parse(&addr, where), "%s", where);
        EQ_INT(good_rows[i].family, addr.family, "%s", where);
        EQ_INT(good_rows[i].port, vigil_addr_port(&addr), "%s", where);
        EQ_INT(good_rows[i].scope, addr.scope, "%s", where);
        size_t length = vigil_addr_format(&addr, text, sizeof text);
        EQ_STR(good_rows[i].text != NULL ? good_rows[i].text : where, text, "%s", where);
        EQ_INT(strlen(text), length, "%s", where);
    }
}

TEST(addr_there_and_back)
{
    for (size_t i = 0; i < VIGIL_COUNT(good_rows); i++) {
        vigil_addr addr, again;
        char text[TEXT_ROOM];
        EQ_INT(0, vigil_addr_parse(&addr, good_rows[i].where), "%s", good_rows[i].where);
        (void)vigil_addr_format(&addr, text, sizeof text); /* its length is another test's matter */
        EQ_INT(0, vigil_addr_parse(&again, text), "%s", text);
        EQ_INT(0, memcmp(&addr, &again, sizeof addr), "%s", text);
    }
}

TEST(addr_bad)
{
    static const vigil_addr none;
    for (size_t i = 0; i < VIGIL_COUNT(bad_rows); i++) {
        vigil_addr addr;
        memset(&addr, 0xa5, sizeof addr);
        const char *where = bad_rows[i].where;
        EQ_INT(bad_rows[i].want, vigil_addr_parse(&addr, where), "%s", where ? where : "NULL");
        EQ_INT(0, memcmp(&none, &addr, sizeof addr), "%s left something", where ? where : "NULL");
    }
}

TEST(addr_bytes)
{
    vigil_addr addr;
    EQ_INT(0, vigil_addr_parse(&addr, "1.2.3.4:258"), "IPv4");
    EQ_INT(0, memcmp(addr.ip, "\1\2\3\4\0\0\0\0\0\0\0\0\0\0\0\0", 16), "network order");
    EQ_INT(0, vigil_addr_parse(&addr, "[102:304::f]:1"), "IPv6");
    EQ_INT(0, memcmp(addr.ip, "\1\2\3\4\0\0\0\0\0\0\0\0\0\0\0\17", 16), "network order");
    EQ_INT(0, vigil_addr_parse(&addr, "unix:/p"), "a path");
    EQ_INT(2, addr.path_len, "without the final 0");
    EQ_STR("/p", addr.path, "with a final 0 behind it");
    EQ_INT(0, vigil_addr_parse(&addr, "unix:@p"), "an abstract name");
    EQ_INT(2, addr.path_len, "with the leading 0");
    EQ_INT(0, memcmp(addr.path, "\0p", 3), "a leading 0 instead of @");
}

/* What parsing never answers, but the system may. */
TEST(addr_format_only)
{
    char text[TEXT_ROOM];
    vigil_addr addr = { .family = VIGIL_FAMILY_UNIX };
    EQ_INT(5, vigil_addr_format(&addr, text, sizeof text), "unnamed");
    EQ_STR("unix:", text, "unnamed");
    addr = (vigil_addr){ .family = VIGIL_FAMILY_NONE, .port = 7 };
    EQ_INT(7, vigil_addr_format(&addr, text, sizeof text), "none");
    EQ_STR("unknown", text, "none");
    EQ_INT(0, vigil_addr_port(&addr), "none has no port");
    addr = (vigil_addr){ .family = VIGIL_FAMILY_UNIX, .path_len = sizeof addr.path, .port = 7 };
    EQ_INT(0, vigil_addr_port(&addr), "unix has no port");
    memset(addr.path, 1, sizeof addr.path);
    EQ_INT(5 + 4 * sizeof addr.path, vigil_addr_format(&addr, text, sizeof text), "the longest");
    EQ_INT(0, strncmp(text, "unix:\\x01\\x01", 13), "the longest: %s", text);
    addr.path_len = UINT8_MAX;
    EQ_INT(5 + 4 * sizeof addr.path, vigil_addr_format(&addr, text, sizeof text), "a wrong length");
}

TEST(addr_format_cut)
{
    static const char *const rows[] = { "127.0.0.1:80", "[fe80::1%3]:80", "unix:/run/echo" };
    for (size_t i = 0; i < VIGIL_COUNT(rows); i++) {
        vigil_addr addr;
        size_t full = strlen(rows[i]);
        EQ_INT(0, vigil_addr_parse(&addr, rows[i]), "%s", rows[i]);
        EQ_INT(full, vigil_addr_format(&addr, NULL, 0), "%s: only asked", rows[i]);
        for (size_t size = 1; size <= full + 1; size++) {
            char text[64];
            memset(text, '#', sizeof text);
            EQ_INT(full, vigil_addr_format(&addr, text, size), "%s cut to %zu", rows[i], size);
            EQ_INT(size - 1, strlen(text), "%s cut to %zu", rows[i], size);
            EQ_INT(0, strncmp(rows[i], text, size - 1), "%s cut to %zu", rows[i], size);
            EQ_INT('#', text[size], "%s: nothing behind %zu", rows[i], size);
        }
    }
}

/* Asks the system for the name of its first interface. */
TEST(addr_scope_by_name)
{
    char name[IF_NAMESIZE], where[64];
    vigil_addr addr;
    if (if_indextoname(1, name) == NULL)
        SKIP("no interface 1 here");
    (void)snprintf(where, sizeof where, "[fe80::1%%%s]:80", name); /* fits */
    EQ_INT(0, vigil_addr_parse(&addr, where), "%s", where);
    EQ_INT(1, addr.scope, "%s", where);
}

TEST(addr_system_there_and_back)
{
    for (size_t i = 0; i < VIGIL_COUNT(good_rows); i++) {
        vigil_addr addr, again;
        struct sockaddr_storage system;
        memset(&system, 0xa5, sizeof system);
        EQ_INT(0, vigil_addr_parse(&addr, good_rows[i].where), "%s", good_rows[i].where);
        unsigned length = vigil__addr_to_system(&addr, &system);
        OK(length > 0 && length <= sizeof system, "%s: %u bytes", good_rows[i].where, length);
        vigil__addr_from_system(&again, &system, length);
        EQ_INT(0, memcmp(&addr, &again, sizeof addr), "%s", good_rows[i].where);
    }
}

TEST(addr_system_edges)
{
    vigil_addr addr = { .family = VIGIL_FAMILY_NONE };
    struct sockaddr_storage system = { .ss_family = AF_UNIX };
    EQ_INT(0, vigil__addr_to_system(&addr, &system), "none has no form");
    addr.family = VIGIL_FAMILY_UNIX;
    EQ_INT(0, vigil__addr_to_system(&addr, &system), "unnamed has no form");
    system.ss_family = AF_UNIX;
    vigil__addr_from_system(&addr, &system, sizeof system.ss_family);
    EQ_INT(VIGIL_FAMILY_UNIX, addr.family, "unnamed");
    EQ_INT(0, addr.path_len, "unnamed");
    memset((char *)&system + offsetof(struct sockaddr_un, sun_path), 'p', sizeof addr.path);
    vigil__addr_from_system(&addr, &system, sizeof(struct sockaddr_un) + 1);
    EQ_INT(sizeof addr.path, addr.path_len, "a path that fills all, without a final 0");
    vigil__addr_from_system(&addr, &system, 0);
    EQ_INT(VIGIL_FAMILY_NONE, addr.family, "nothing");
    system.ss_family = AF_INET6;
    vigil__addr_from_system(&addr, &system, 16);
    EQ_INT(VIGIL_FAMILY_NONE, addr.family, "cut short");
    system.ss_family = AF_UNSPEC;
    vigil__addr_from_system(&addr, &system, sizeof system);
    EQ_INT(VIGIL_FAMILY_NONE, addr.family, "a family of others");
}

/* A resolver that knows one name, and notes that it was asked. */
static int asked;

static int fake_resolve(void *self, const char *name, uint16_t port, vigil_addr *out, int max)
{
    (void)self;
    asked++;
    if (strcmp(name, "known.example") != 0)
        return VIGIL_ENOENT;
    for (int i = 0; i < max && i < 3; i++) {
        out[i] = (vigil_addr){ .family = VIGIL_FAMILY_INET, .port = port, .ip = { 10 } };
        out[i].ip[3] = (uint8_t)i;
    }
    return max < 3 ? max : 3;
}

static const struct {
    const char *where;
    bool may_resolve;
    int max, want, asked;
    const char *first, *second;
} where_rows[] = {
    { "127.0.0.1:80", true, 4, 1, 0, "127.0.0.1:80", NULL },
    { "unix:/path", true, 4, 1, 0, "unix:/path", NULL },
    { "*:80", true, 4, 1, 0, "[::]:80", NULL },
    { "localhost:80", false, 4, 2, 0, "[::1]:80", "127.0.0.1:80" },
    { "localhost:80", true, 4, 2, 0, "[::1]:80", "127.0.0.1:80" },
    { "tcp://LocalHost:80", true, 4, 2, 0, "[::1]:80", "127.0.0.1:80" },
    { "localhost:80", false, 1, 1, 0, "[::1]:80", NULL },
    { "known.example:80", true, 4, 3, 1, "10.0.0.0:80", "10.0.0.1:80" },
    { "tcp://known.example:80", true, 2, 2, 1, "10.0.0.0:80", "10.0.0.1:80" },
    { "known.example:80", false, 4, VIGIL_ENOENT, 0, NULL, NULL },
    { "unknown.example:80", true, 4, VIGIL_ENOENT, 1, NULL, NULL },
    { "localhost", true, 4, VIGIL_EADDR, 0, NULL, NULL },
    { "known.example:http", true, 4, VIGIL_EADDR, 0, NULL, NULL },
    { "", true, 4, VIGIL_EADDR, 0, NULL, NULL },
    { NULL, true, 4, VIGIL_EADDR, 0, NULL, NULL },
    { "127.0.0.1:80", true, 0, VIGIL_EINVAL, 0, NULL, NULL },
};

TEST(where_addresses)
{
    const vigil_host host = { .resolve = fake_resolve };
    for (size_t i = 0; i < VIGIL_COUNT(where_rows); i++) {
        vigil_addr out[4];
        char text[VIGIL_ADDR_TEXT_MAX];
        const char *where = where_rows[i].where;
        const char *name = where != NULL ? where : "NULL";
        asked = 0;
        int got = vigil__where_addresses(&host, where, where_rows[i].may_resolve, out,
                                         where_rows[i].max);
        EQ_INT(where_rows[i].want, got, "%s", name);
        EQ_INT(where_rows[i].asked, asked, "%s: asked", name);
        const char *const texts[] = { where_rows[i].first, where_rows[i].second };
        for (int k = 0; k < got && k < 2; k++) {
            (void)vigil_addr_format(&out[k], text, sizeof text); /* fits */
            EQ_STR(texts[k], text, "%s: address %d", name, k);
        }
    }
}

/* Asks the system's resolver, but only for what it answers without asking others. */
TEST(resolve)
{
    vigil_addr out[4];
    EQ_INT(1, vigil_resolve("[::1]:80", out, 4), "numeric");
    EQ_INT(2, vigil_resolve("localhost:80", out, 4), "localhost");
    EQ_INT(VIGIL_EADDR, vigil_resolve("nowhere", out, 4), "no port");
    const vigil_host *host = vigil__host_system();
    EQ_INT(1, host->resolve(host->self, "127.0.0.3", 80, out, 4), "the system reads a number");
    EQ_INT(VIGIL_FAMILY_INET, out[0].family, "its family");
    EQ_INT(80, out[0].port, "the port asked for");
    EQ_INT(0, memcmp(out[0].ip, "\177\0\0\3", 4), "its bytes");
    EQ_INT(VIGIL_ENOENT, host->resolve(host->self, "not a name", 80, out, 4), "not a name");
}
