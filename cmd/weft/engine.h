/* SPDX-License-Identifier: MIT */
/* --engine: where a command's tasks run. */
#ifndef WEFT_CMD_ENGINE_H
#define WEFT_CMD_ENGINE_H

#include <weft/executor.h>

enum engine { ENGINE_SINGLE, ENGINE_THREADS, ENGINE_FIBERS, ENGINE_PROCESSES };

extern const char *const engine_names[]; /* NULL at the end */

/*
 * An executor of that engine, whose threads, where it has its own, are named after `command`. NULL
 * in ret_on is the one that wf_main's root task runs on; with
 * processes, it is where a task waits for each of them. Returns 0 or a negative code.
 */
int engine_create(enum engine engine, int concurrency, const char *command,
                  struct wf_executor **ret_on, struct wf_error *reterr);

#endif
