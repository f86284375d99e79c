/* SPDX-License-Identifier: MIT */
/*
 * The tasks that every worker of Celery has, under their names:
 *
 *   celery.map(task, it)        the task's results for each of a list of arguments
 *   celery.starmap(task, it)    the same for a list of lists of arguments
 *   celery.accumulate(*args, index=None)   what it is given: the list, or one of it
 *   celery.backend_cleanup()    nothing: in Redis results expire by themselves
 *
 * celery.group, .chain, .chord and .chunks are signatures, which are taken apart by whoever sends
 * them (celery/message/canvas.h), and arrive as messages of that name only where somebody has sent
 * them as if they were tasks. They are then replaced by what they stand for, and their result is
 * that.
 */
#ifndef WFI_CELERY_BUILTIN_H
#define WFI_CELERY_BUILTIN_H

#include <stddef.h>

/* How many there are. The worker asks for it, so that they are linked with it from a static
 * library. */
size_t wfi_builtin_count(void);

#endif
