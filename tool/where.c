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

static bool local_name(const char *where);

bool where_check(const char *name, const char *where)
{
    char quoted[ARGS_QUOTED_MAX];
    vigil_addr addr;
    int err = vigil_addr_parse(&addr, where);
    if (strlen(where) < WHERE_TEXT_MAX && (err == 0 || err == VIGIL_ENOENT)) /* a name is well */
        return true;
    args_complain(name, "%s is not an address (try localhost:10000, tcp://[::1]:80 or unix:/path)",
                  args_quote(quoted, where));
    return false;
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
