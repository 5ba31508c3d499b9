/* SPDX-License-Identifier: MIT
 *
 * transcript.c -- addresses and payloads as the tutorial's programs print them under Python 3,
 * so that a transcript of ours can be read beside the tutorial's.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "transcript.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef _WIN32
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#endif

static const char *without_scheme(const char *where);

void transcript_name(char out[TRANSCRIPT_NAME_MAX], const vigil_addr *addr, unsigned long number)
{
    char ip[INET6_ADDRSTRLEN] = "unknown";
    switch (addr->family) {
    case VIGIL_FAMILY_INET:
        (void)inet_ntop(AF_INET, addr->ip, ip, sizeof ip); /* cannot fail: there is room */
        (void)snprintf(out, TRANSCRIPT_NAME_MAX, "('%s', %u)", ip, (unsigned)addr->port);
        break;
    case VIGIL_FAMILY_INET6:
        (void)inet_ntop(AF_INET6, addr->ip, ip, sizeof ip);
        (void)snprintf(out, TRANSCRIPT_NAME_MAX, "('%s', %u, 0, %u)", ip, (unsigned)addr->port,
                       (unsigned)addr->scope);
        break;
    case VIGIL_FAMILY_UNIX:
        if (addr->path_len == 0) {
            (void)snprintf(out, TRANSCRIPT_NAME_MAX, "unix client %lu", number);
            break;
        }
        (void)vigil_addr_format(addr, out, TRANSCRIPT_NAME_MAX); /* always fits */
        break;
    default:
        (void)snprintf(out, TRANSCRIPT_NAME_MAX, "unknown");
    }
}

void transcript_endpoint(char out[TRANSCRIPT_NAME_MAX], const char *where, unsigned port)
{
    const char *host = without_scheme(where);
    const char *colon = strrchr(host, ':');
    if (strncmp(where, "unix:", 5) == 0 || !colon) {
        (void)snprintf(out, TRANSCRIPT_NAME_MAX, "%s", where);
        return;
    }
    size_t len = (size_t)(colon - host);
    if (len >= 2 && host[0] == '[') { /* the brackets belong to the WHERE, not to the host */
        host++;
        len -= 2;
    }
    if (port > 0)
        (void)snprintf(out, TRANSCRIPT_NAME_MAX, "%.*s port %u", (int)len, host, port);
    else
        (void)snprintf(out, TRANSCRIPT_NAME_MAX, "%.*s port %s", (int)len, host, colon + 1);
}

void transcript_payload(const char *before, const void *bytes, size_t len, const char *after)
{
    const unsigned char *byte = bytes;
    (void)fprintf(stderr, "%s\"", before); /* nobody is left to tell when stderr is gone */
    for (size_t i = 0; i < len; i++) {
        if (byte[i] >= ' ' && byte[i] <= '~' && byte[i] != '\\')
            (void)putc(byte[i], stderr);
        else
            (void)fprintf(stderr, "\\x%02x", (unsigned)byte[i]);
    }
    (void)fprintf(stderr, "\"%s\n", after);
}

void transcript_line(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    (void)vfprintf(stderr, format, values);
    (void)putc('\n', stderr);
    va_end(values);
}

static const char *without_scheme(const char *where)
{
    return strncmp(where, "tcp://", 6) == 0 ? where + 6 : where;
}
