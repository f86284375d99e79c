/* SPDX-License-Identifier: MIT */
/*
 * The man pages: what the option tables know, put where a page written by hand wants it. `weft help
 * --man NAME FILE`, which the build calls, prints the page.
 */
#ifndef WEFT_CMD_MAN_H
#define WEFT_CMD_MAN_H

#include "options.h"

/*
 * Prints the head (name, synopsis) and then the file at `path`, in which a line @OPTIONS@ stands
 * for the command's options and @COMMANDS@ for the list of commands. `command` NULL: weft's own
 * page.
 *
 * Returns EXIT_DONE, or EXIT_FAILED after a line on standard error.
 */
int man_print(const struct command *command, const struct command *const *commands, size_t count,
              const char *version, const char *path, FILE *out);

#endif
