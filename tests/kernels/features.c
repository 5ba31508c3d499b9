/* SPDX-License-Identifier: MIT
 *
 * features.c -- what the backend io_uring found on this kernel, a line for each feature: its name,
 * yes or no, and what it is for, with tabs between them.
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
    printf("io_uring\t%s\tthe backend works here\n", count < 0 ? "no" : "yes");
    for (int i = 0; i < count; i++)
        printf("%s\t%s\t%s\n", features[i].name, features[i].found ? "yes" : "no",
               features[i].what);
    return 0;
}
