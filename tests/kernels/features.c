/* SPDX-License-Identifier: MIT
 *
 * features.c -- which backends work on this kernel, and what io_uring found, a line for each: its
 * name, yes or no, and what it is for, with tabs between them.
 */
#include <stdio.h>

#include "vigil.h"

enum { FEATURES_MAX = 64 };

int main(void)
{
    vigil_feature features[FEATURES_MAX];
    int count = vigil_backend_features("io_uring", features, FEATURES_MAX);
    if (count > FEATURES_MAX)
        return 1;
    const char *backend;
    for (size_t i = 0; (backend = vigil_backend_name(i)) != NULL; i++)
        printf("%s\t%s\tthe backend works here\n", backend,
               vigil_backend_try(backend) == 0 ? "yes" : "no");
    for (int i = 0; i < count; i++)
        printf("%s\t%s\t%s\n", features[i].name, features[i].found ? "yes" : "no",
               features[i].what);
    return 0;
}
