/* SPDX-License-Identifier: MIT */
/*
 * Pipelines: stages joined by channels or queues, each stage a number of named copies of one
 * function. When the last copy of a stage has ended, the stage's output is closed, so the next one
 * comes to its end when it has worked off what is left.
 *
 *     static int craw(void *arg, int copy)
 *     {
 *         struct crawler *c = arg;
 *         while ((err = urls_pop(c->urls, &url, WF_FOREVER)) == 0)
 *             ... err = pages_push(c->pages, page, WF_FOREVER) ...
 *         return err;
 *     }
 *
 *     WF_SCOPE(scope, on, WF_FOREVER) {
 *         wf_stage_start(scope, &(struct wf_stage){.name = "craw", .copies = 3, .work = craw,
 *                                                  .arg = &c, .out = c.pages.channel});
 *         wf_stage_start(scope, &(struct wf_stage){.name = "parse", .copies = 2, .work = parse,
 *                                                  .arg = &c});
 *         err = wf_scope_join(scope, &error);
 *     }
 *
 * A copy that fails ends the scope, as any child does.
 */
#ifndef WEFT_PIPELINE_H
#define WEFT_PIPELINE_H

#include <weft/scope.h>

WF_BEGIN_DECLS

struct wf_channel;
struct wf_queue;

struct wf_stage {
    const char *name; /* copies are named name0, name1, ... (wf_task_name); copied */
    int copies;       /* 0: 1 */
    /* One copy, `copy` from 0. Returns 0 or -EPIPE (its input is at its end) when it has done its
     * part, else the code it failed with. */
    int (*work)(void *arg, int copy);
    void *arg;
    struct wf_channel *out;     /* closed gracefully by the last copy to end; may be NULL */
    struct wf_queue *out_queue; /* the same for a queue */
};

/*
 * Starts the copies of a stage as children of the scope. The output is closed also when copies are
 * cancelled before they run.
 *
 * Returns 0, or
 *   -EINVAL      a negative number of copies
 *   -ENOMEM      not all copies were started; unless it was the first, the scope has failed with it
 *   -ECANCELED   the scope is cancelled
 * Context: thread or fiber; by the owner of the scope or one of its children.
 */
WF_API int wf_stage_start(struct wf_scope *scope, const struct wf_stage *stage);

WF_END_DECLS

#endif
