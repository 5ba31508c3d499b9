/* SPDX-License-Identifier: MIT
 *
 * addr.c -- addresses: their text, the system's form, and what a WHERE stands for.  Floor: sys.
 *
 * A WHERE is "unix:PATH", "unix:@NAME", or "HOST:PORT" with or without "tcp://" before it.  Reading
 * one asks nobody; only vigil__where_addresses() may resolve a name.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#ifdef _WIN32
#include <winsock2.h> /* before all others of Windows */

#include <afunix.h>
#include <iphlpapi.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#endif

#include "sys/addr.h"

enum {
    HOST_NAME_MAX_DNS = 253, /* RFC 1035, in text form */
    PORT_DIGITS_MAX = 5,
    SCOPE_DIGITS_MAX = 10,
    PATH_TEXT_MAX = 4 * sizeof((vigil_addr *)NULL)->path /* each byte as \xNN */
};

/* "HOST:PORT", cut in two. */
struct where_parts {
    char host[HOST_NAME_MAX_DNS + 1]; /* without brackets */
    bool bracketed;
    uint16_t port;
};

static int where_cut(const char *where, struct where_parts *parts);
static int parse_unix(vigil_addr *out, const char *path);
static int parse_host(vigil_addr *out, const struct where_parts *parts);
static size_t format_unix(const vigil_addr *addr, char *text, size_t size);
static size_t format_inet6(const vigil_addr *addr, char *text, size_t size);

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

int vigil_addr_parse(vigil_addr *out, const char *where)
{
    memset(out, 0, sizeof *out);
    if (where == NULL)
        return VIGIL_EADDR;
    if (starts_with(where, "unix:"))
        return parse_unix(out, where + strlen("unix:"));
    struct where_parts parts;
    int err = where_cut(where, &parts);
    return err < 0 ? err : parse_host(out, &parts);
}

size_t vigil_addr_format(const vigil_addr *addr, char *text, size_t size)
{
    switch (addr->family) {
    case VIGIL_FAMILY_INET:
        return (size_t)snprintf(text, size, "%u.%u.%u.%u:%u", addr->ip[0], addr->ip[1], addr->ip[2],
                                addr->ip[3], addr->port);
    case VIGIL_FAMILY_INET6:
        return format_inet6(addr, text, size);
    case VIGIL_FAMILY_UNIX:
        return format_unix(addr, text, size);
    default:
        return (size_t)snprintf(text, size, "unknown"); /* as a peer that has gone too soon */
    }
}

uint16_t vigil_addr_port(const vigil_addr *addr)
{
    bool has_port = addr->family == VIGIL_FAMILY_INET || addr->family == VIGIL_FAMILY_INET6;
    return has_port ? addr->port : 0;
}

int vigil_resolve(const char *where, vigil_addr *out, int max)
{
    return vigil__where_addresses(vigil__host_system(), where, true, out, max);
}

/* ---- what a WHERE stands for -------------------------------------------------------------- */

static vigil_addr loopback6(uint16_t port)
{
    return (vigil_addr){ .family = VIGIL_FAMILY_INET6, .port = port, .ip = { [15] = 1 } };
}

static vigil_addr loopback4(uint16_t port)
{
    return (vigil_addr){ .family = VIGIL_FAMILY_INET, .port = port, .ip = { 127, 0, 0, 1 } };
}

static int localhost_addresses(uint16_t port, vigil_addr *out, int max)
{
    out[0] = loopback6(port);
    if (max < 2)
        return 1;
    out[1] = loopback4(port);
    return 2;
}

int vigil__where_addresses(const vigil_host *host, const char *where, bool may_resolve,
                           vigil_addr *out, int max)
{
    if (max < 1)
        return VIGIL_EINVAL;
    int err = vigil_addr_parse(out, where);
    if (err == 0)
        return 1;
    struct where_parts parts;
    if (err != VIGIL_ENOENT || where_cut(where, &parts) < 0)
        return err;
    if (strcasecmp(parts.host, "localhost") == 0)
        return localhost_addresses(parts.port, out, max);
    return may_resolve ? host->resolve(host->self, parts.host, parts.port, out, max) : err;
}

/* ---- reading ------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Digits and nothing else, at most `digits_max` of them, worth at most `max`. */
static bool parse_number(const char *text, size_t digits_max, uint64_t max, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > digits_max || text[digits] != '\0')
        return false;
    *out = 0;
    for (size_t i = 0; i < digits; i++)
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    return *out <= max;
}

static int where_cut(const char *where, struct where_parts *parts)
{
    if (starts_with(where, "tcp://"))
        where += strlen("tcp://");
    parts->bracketed = where[0] == '[';
    const char *host = parts->bracketed ? where + 1 : where;
    size_t length = strcspn(host, parts->bracketed ? "]" : ":");
    const char *rest = host + length;
    if (parts->bracketed && *rest == ']')
        rest++;
    uint64_t port;
    if (length == 0 || length > HOST_NAME_MAX_DNS || *rest != ':' ||
        !parse_number(rest + 1, PORT_DIGITS_MAX, UINT16_MAX, &port))
        return VIGIL_EADDR;
    memcpy(parts->host, host, length);
    parts->host[length] = '\0';
    parts->port = (uint16_t)port;
    return 0;
}

/* A number, or the name of an interface of this machine. */
static bool parse_scope(const char *text, uint32_t *out)
{
    uint64_t number;
    if (is_digit(text[0])) {
        bool good = parse_number(text, SCOPE_DIGITS_MAX, UINT32_MAX, &number);
        *out = good ? (uint32_t)number : 0;
        return good;
    }
    *out = text[0] == '\0' ? 0 : if_nametoindex(text);
    return *out != 0;
}

static int parse_inet6(vigil_addr *out, const char *host)
{
    char ip[INET6_ADDRSTRLEN];
    size_t length = strcspn(host, "%");
    if (length >= sizeof ip)
        return VIGIL_EADDR;
    memcpy(ip, host, length);
    ip[length] = '\0';
    if (host[length] == '%' && !parse_scope(host + length + 1, &out->scope))
        return VIGIL_EADDR;
    return inet_pton(AF_INET6, ip, out->ip) == 1 ? 0 : VIGIL_EADDR;
}

/* A name is letters, digits, '-', '_' and dots; one that ends in a number is an IPv4 address that
 * is written wrong, which the resolver would read in surprising ways. */
static int check_name(const char *host)
{
    for (const char *at = host; *at != '\0'; at++) {
        if (!is_letter(*at) && !is_digit(*at) && strchr("-_.", *at) == NULL)
            return VIGIL_EADDR;
    }
    const char *dot = strrchr(host, '.');
    const char *last = dot == NULL ? host : dot + 1;
    bool number = last[strspn(last, "0123456789")] == '\0' && *last != '\0';
    return number || host[0] == '.' ? VIGIL_EADDR : VIGIL_ENOENT;
}

static int parse_inet(vigil_addr *out, const struct where_parts *parts)
{
    if (parts->bracketed || strcmp(parts->host, "*") == 0) {
        out->family = VIGIL_FAMILY_INET6;
        return parts->bracketed ? parse_inet6(out, parts->host) : 0;
    }
    out->family = VIGIL_FAMILY_INET;
    return inet_pton(AF_INET, parts->host, out->ip) == 1 ? 0 : check_name(parts->host);
}

static int parse_host(vigil_addr *out, const struct where_parts *parts)
{
    int err = parse_inet(out, parts);
    if (err < 0)
        memset(out, 0, sizeof *out);
    else
        out->port = parts->port;
    return err;
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads one byte of a path, plain or as \xNN; any other backslash is itself.  Answers what
 * follows. */
static const char *path_byte(const char *text, char *out)
{
    *out = text[0];
    if (text[0] != '\\' || text[1] != 'x' || hex_digit(text[2]) < 0 || hex_digit(text[3]) < 0)
        return text + 1;
    *out = (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
    return text + 4;
}

static int parse_unix(vigil_addr *out, const char *path)
{
    vigil_addr addr = { .family = VIGIL_FAMILY_UNIX };
    bool abstract = path[0] == '@';
    if (abstract) /* its first byte is the 0 that is there already */
        path++;
    size_t length = abstract;
    size_t room = sizeof addr.path - !abstract; /* a path keeps its final 0 */
    while (*path != '\0') {
        char byte;
        path = path_byte(path, &byte);
        if (length == room || (byte == '\0' && !abstract))
            return VIGIL_EADDR;
        addr.path[length++] = byte;
    }
    if (length == (size_t)abstract)
        return VIGIL_EADDR; /* no name at all */
    addr.path_len = (uint8_t)length;
    *out = addr;
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------ */

static size_t format_inet6(const vigil_addr *addr, char *text, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "";
    (void)inet_ntop(AF_INET6, addr->ip, ip, sizeof ip); /* there is room */
    if (addr->scope == 0)
        return (size_t)snprintf(text, size, "[%s]:%u", ip, addr->port);
    return (size_t)snprintf(text, size, "[%s%%%u]:%u", ip, addr->scope, addr->port);
}

/* Whether a byte of a path stands for itself in our text.  A path's first '@' would be read as the
 * mark of an abstract name. */
static bool is_plain(char byte, bool first_of_path)
{
    return byte >= ' ' && byte < 0x7f && byte != '\\' && !(first_of_path && byte == '@');
}

static size_t format_unix(const vigil_addr *addr, char *text, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    char path[PATH_TEXT_MAX + 1];
    size_t at = 0;
    size_t end = vigil__min(addr->path_len, sizeof addr->path);
    bool abstract = end > 0 && addr->path[0] == '\0';
    if (abstract)
        path[at++] = '@';
    for (size_t i = abstract; i < end; i++) {
        char byte = addr->path[i];
        if (is_plain(byte, i == 0)) {
            path[at++] = byte;
            continue;
        }
        path[at++] = '\\';
        path[at++] = 'x';
        path[at++] = hex[(unsigned char)byte >> 4];
        path[at++] = hex[byte & 0xf];
    }
    path[at] = '\0';
    return (size_t)snprintf(text, size, "unix:%s", path);
}

/* ---- the system's form -------------------------------------------------------------------- */

static unsigned inet_to_system(const vigil_addr *addr, struct sockaddr_storage *out)
{
    struct sockaddr_in inet = { .sin_family = AF_INET, .sin_port = htons(addr->port) };
    memcpy(&inet.sin_addr, addr->ip, sizeof inet.sin_addr);
    memcpy(out, &inet, sizeof inet);
    return sizeof inet;
}

static unsigned inet6_to_system(const vigil_addr *addr, struct sockaddr_storage *out)
{
    struct sockaddr_in6 inet6 = { .sin6_family = AF_INET6, .sin6_port = htons(addr->port) };
    inet6.sin6_scope_id = addr->scope;
    memcpy(&inet6.sin6_addr, addr->ip, sizeof inet6.sin6_addr);
    memcpy(out, &inet6, sizeof inet6);
    return sizeof inet6;
}

static unsigned unix_to_system(const vigil_addr *addr, struct sockaddr_storage *out)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    if (addr->path_len == 0 || addr->path_len > sizeof local.sun_path)
        return 0; /* unnamed: there is nothing to bind or connect to */
    memcpy(local.sun_path, addr->path, addr->path_len);
    bool final_0 = addr->path[0] != '\0' && addr->path_len < sizeof local.sun_path;
    memcpy(out, &local, sizeof local);
    return (unsigned)(offsetof(struct sockaddr_un, sun_path) + addr->path_len + final_0);
}

unsigned vigil__addr_to_system(const vigil_addr *addr, struct sockaddr_storage *out)
{
    switch (addr->family) {
    case VIGIL_FAMILY_INET:
        return inet_to_system(addr, out);
    case VIGIL_FAMILY_INET6:
        return inet6_to_system(addr, out);
    case VIGIL_FAMILY_UNIX:
        return unix_to_system(addr, out);
    default:
        return 0;
    }
}

static void inet_from_system(vigil_addr *out, const struct sockaddr_storage *from)
{
    struct sockaddr_in inet;
    memcpy(&inet, from, sizeof inet);
    out->family = VIGIL_FAMILY_INET;
    out->port = ntohs(inet.sin_port);
    memcpy(out->ip, &inet.sin_addr, sizeof inet.sin_addr);
}

static void inet6_from_system(vigil_addr *out, const struct sockaddr_storage *from)
{
    struct sockaddr_in6 inet6;
    memcpy(&inet6, from, sizeof inet6);
    out->family = VIGIL_FAMILY_INET6;
    out->port = ntohs(inet6.sin6_port);
    out->scope = inet6.sin6_scope_id;
    memcpy(out->ip, &inet6.sin6_addr, sizeof inet6.sin6_addr);
}

static void unix_from_system(vigil_addr *out, const struct sockaddr_storage *from, size_t length)
{
    size_t before = offsetof(struct sockaddr_un, sun_path);
    const char *path = (const char *)from + before;
    size_t room = length > before ? vigil__min(length - before, sizeof out->path) : 0;
    bool abstract = room > 0 && path[0] == '\0';
    out->family = VIGIL_FAMILY_UNIX;
    out->path_len = (uint8_t)(abstract ? room : strnlen(path, room));
    memcpy(out->path, path, out->path_len);
}

void vigil__addr_from_system(vigil_addr *out, const struct sockaddr_storage *from, unsigned length)
{
    memset(out, 0, sizeof *out);
    if (length < sizeof from->ss_family)
        return;
    if (from->ss_family == AF_INET && length >= sizeof(struct sockaddr_in))
        inet_from_system(out, from);
    else if (from->ss_family == AF_INET6 && length >= sizeof(struct sockaddr_in6))
        inet6_from_system(out, from);
    else if (from->ss_family == AF_UNIX)
        unix_from_system(out, from, length);
}
