/* SPDX-License-Identifier: MIT
 *
 * where.c -- checks a WHERE of the command line before anything is begun with it, and looks up the
 * names that vigil_connect() leaves to its caller.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#include "where.h"

#include <stdio.h>
#include <string.h>

#include "args.h"
#include "vigil.h"

#define ADDRESSES_MAX 16 /* of one name that are tried */

static const char *fault_of(const char *where);
static bool local_name(const char *where);

bool where_check(const char *name, const char *where)
{
    char quoted[ARGS_QUOTED_MAX];
    vigil_addr addr;
    int err = vigil_addr_parse(&addr, where);
    if (strlen(where) < WHERE_TEXT_MAX && (err == 0 || err == VIGIL_ENOENT)) /* a name is well */
        return true;
    args_complain(name, "%s %s", args_quote(quoted, where), fault_of(where));
    return false;
}

bool where_check_peer(const char *name, const char *where)
{
    static const char any[sizeof((vigil_addr *)NULL)->ip];
    char quoted[ARGS_QUOTED_MAX];
    vigil_addr addr;
    if (!where_check(name, where))
        return false;
    bool numeric = vigil_addr_parse(&addr, where) == 0;
    if (addr.family == VIGIL_FAMILY_UNIX)
        return true;
    const char *port = strrchr(where, ':') + 1; /* where_check() saw to it that there is one */
    if (strspn(port, "0") == strlen(port)) {
        args_complain(name, "%s has port 0, which nobody listens on", args_quote(quoted, where));
        return false;
    }
    if (numeric && memcmp(addr.ip, any, sizeof any) == 0) {
        args_complain(name, "%s is every address, to listen on (try localhost:%s)",
                      args_quote(quoted, where), port);
        return false;
    }
    return true;
}

/* What is wrong with one that is no address, and what would be right. */
static const char *fault_of(const char *where)
{
    const char *scheme = strstr(where, "://");
    if (strncmp(where, "unix:", 5) == 0)
        return strlen(where) < 5 + 2 ? "names no socket (try unix:/path or unix:@name)"
                                     : "is too long (a socket's path has at most 107 bytes)";
    if (scheme != NULL && strncmp(where, "tcp://", 6) != 0)
        return "is no kind of address (take tcp://host:port, unix:/path or unix:@name)";
    const char *host = scheme != NULL ? scheme + 3 : where;
    const char *colon = strrchr(host, ':');
    const char *bracket = strrchr(host, ']');
    if (host[0] != '[' && colon != strchr(host, ':'))
        return "is IPv6 without brackets (try [::1]:10000)";
    if (host[0] != '\0' && (colon == NULL || (bracket != NULL && colon < bracket)))
        return "has no port (try localhost:10000 or [::1]:10000)";
    if (colon != NULL && colon > host && strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return "has a port that is no number (take 0 to 65535)";
    if (colon != NULL && colon > host && (colon[1] == '\0' || strlen(colon + 1) > 4))
        return "has no such port (take 0 to 65535)";
    return "is not an address (try localhost:10000, tcp://[::1]:80 or unix:/path)";
}

int where_resolve(const char *where, char out[][WHERE_TEXT_MAX], int max)
{
    vigil_addr addrs[ADDRESSES_MAX];
    if (vigil_addr_parse(&addrs[0], where) == 0 || local_name(where)) {
        (void)snprintf(out[0], WHERE_TEXT_MAX, "%s", where); /* where_check() measured it */
        return 1;
    }
    int count = vigil_resolve(where, addrs, max < ADDRESSES_MAX ? max : ADDRESSES_MAX);
    for (int i = 0; i < count; i++)
        (void)vigil_addr_format(&addrs[i], out[i], WHERE_TEXT_MAX); /* always fits */
    return count;
}

/* vigil_connect() knows localhost itself, and tries both families under one deadline. */
static bool local_name(const char *where)
{
    const char *host = strncmp(where, "tcp://", 6) == 0 ? where + 6 : where;
    return strncmp(host, "localhost:", 10) == 0;
}
