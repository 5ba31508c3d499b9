/* SPDX-License-Identifier: MIT
 *
 * kernels.c -- the models as a table of calls.
 */
#include "kernels.h"

const struct kernel_calls kernel_modelled = KERNEL_CALLS(vigil__call_, vigil__uring_, vigil__ring_);
