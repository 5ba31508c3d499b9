/* SPDX-License-Identifier: MIT
 *
 * commands.h -- the subcommands, one per file cmd_NAME.c.
 *
 * Part of the command `vigil`, on the public header alone.
 */
#ifndef TOOL_COMMANDS_H
#define TOOL_COMMANDS_H

#include "args.h"

extern const struct args_command command_serve;
extern const struct args_command command_send;
extern const struct args_command command_torture; /* not on Windows */
extern const struct args_command command_backends;

#endif /* TOOL_COMMANDS_H */
