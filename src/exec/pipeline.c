/* SPDX-License-Identifier: MIT */
/*
 * The copies of a stage share one record; each gives it up when its arguments are dropped, which
 * happens once whatever becomes of the copy. Who gives it up last closes the output.
 */
#include <weft/pipeline.h>

#include <errno.h>
#include <stdio.h>

#include <weft/channel.h>
#include <weft/queue.h>

#include "base/alloc.h"
#include "base/atomic.h"

struct stage_run {
    struct wf_stage stage;
    WFI_ATOMIC(int) left;
};

WF_TASK(wf_none, wfi_stage, (struct stage_run *, run), (int, copy))

int wfi_stage(struct wf_task *self, struct stage_run *run, int copy, wf_none *ret)
{
    (void)self;
    (void)ret;
    int err = run->stage.work(run->stage.arg, copy);
    return err == -EPIPE ? 0 : err;
}

static void give_up(void *args)
{
    struct stage_run *run = ((struct wfi_stage_args *)args)->run;
    if (wfi_fetch_sub(&run->left, 1) != 1)
        return;
    if (run->stage.out)
        wf_channel_close(run->stage.out, WF_CLOSE_GRACEFUL);
    if (run->stage.out_queue)
        wf_queue_close(run->stage.out_queue, WF_CLOSE_GRACEFUL);
    wfi_free(run);
}
WF_TASK_DEFINE_WITH(wfi_stage, .drop_args = give_up)

int wf_stage_start(struct wf_scope *scope, const struct wf_stage *stage)
{
    if (stage->copies < 0)
        return -EINVAL;
    struct stage_run *run = wfi_zalloc(sizeof *run);
    if (!run)
        return -ENOMEM;
    int copies = stage->copies ? stage->copies : 1, err = 0;
    run->stage = *stage;
    wfi_store(&run->left, copies);
    for (int i = 0; i < copies; i++) {
        char name[48];
        snprintf(name, sizeof name, "%s%d", stage->name ? stage->name : "stage", i);
        struct wfi_stage_args args = {run, i};
        int failed =
            wf_go(scope, &wfi_stage_task, &(struct wf_submit_options){.name = name}, &args);
        if (!err)
            err = failed;
    }
    return err;
}
