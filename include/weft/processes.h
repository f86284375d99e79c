/* SPDX-License-Identifier: MIT */
/*
 * Processes: what has to happen before the program's first thread.
 */
#ifndef WEFT_PROCESSES_H
#define WEFT_PROCESSES_H

#include <weft/api.h>
#include <weft/error.h>

WF_BEGIN_DECLS

/*
 * Forks the helper that makes all related processes from then on: the first line of a main that
 * wants processes and does not use wf_main, which does it itself. It has to happen while the
 * program has one thread, so that what the helper copies is at rest; the less memory the program
 * has touched by then, the quicker every process starts. A second call does nothing.
 *
 * Returns 0, or
 *   WF_ESTATE                   the program has more than one thread; or it is a related process
 *   WF_EBROKEN                  the helper has died
 *   WF_EFORKED                  in a child made by fork
 *   -EAGAIN, -ENOMEM, -EMFILE, -ENFILE
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_processes_init(struct wf_error *reterr);

WF_END_DECLS

#endif
