/* SPDX-License-Identifier: MIT
 *
 * status.c -- the codes' names and texts, and the version.  Floor: base.
 */
#include "base/base.h"

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

const char *vigil_version(void)
{
    return TEXT(VIGIL_VERSION_MAJOR) "." TEXT(VIGIL_VERSION_MINOR) "." TEXT(VIGIL_VERSION_PATCH);
}

const char *vigil_strerror(int status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text) \
    case value:                        \
        return text;
        VIGIL_STATUS_MAP(STATUS_TEXT)
    default:
        return "unknown status";
    }
}

const char *vigil_err_name(int status)
{
    switch (status) {
#define STATUS_NAME(name, value, text) \
    case value:                        \
        return "VIGIL_" #name;
        VIGIL_STATUS_MAP(STATUS_NAME)
    default:
        return "VIGIL_E?";
    }
}
