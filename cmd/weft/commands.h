/* SPDX-License-Identifier: MIT */
/* The subcommands; each is described and run by the file of its name. */
#ifndef WEFT_CMD_COMMANDS_H
#define WEFT_CMD_COMMANDS_H

#include "options.h"

extern const struct command call_command;
extern const struct command crawl_command;
extern const struct command get_command;
extern const struct command inspect_command;
extern const struct command race_command;
extern const struct command run_command;
extern const struct command serve_command;
extern const struct command site_command;
extern const struct command worker_command;

#endif
