/* SPDX-License-Identifier: MIT */
/* The tasks of the other subcommands, where the tasks of modules count. */
#ifndef WEFT_CMD_WORKER_OWN_TASKS_H
#define WEFT_CMD_WORKER_OWN_TASKS_H

/*
 * Takes this program's tasks out of the registry, but for those of its libraries: a module may then
 * use their names, and nobody can call them from outside. Before any module is loaded.
 */
void own_tasks_forget(void);

#endif
