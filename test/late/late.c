/* SPDX-License-Identifier: MIT */
/*
 * A task of a module that was loaded after the helper was forked runs in worker processes: they
 * load the module when the first such task comes, or when it is a parameter of another.
 *
 *     late MODULE
 */
#include <dlfcn.h>
#include <stdio.h>

#include <weft/future.h>
#include <weft/processes.h>

#include "module.h"

/* Looks at a task, and finds it registered under its name in its own process. */
WF_TASK(bool, is_there, (wf_task_ref, task), (wf_task_ref, none))
int is_there(struct wf_task *self, wf_task_ref task, wf_task_ref none, bool *ret)
{
    (void)self;
    *ret = !none && task->call && wf_task_find(task->name) == task;
    return 0;
}
WF_TASK_DEFINE(is_there)

/* In a process that has not loaded the module, and in this one's copy. */
static int check_reference(const struct wf_task_type *type, struct wf_error *reterr)
{
    const struct wf_task_type *const types[] = {type, &is_there_task};
    struct wf_executor *on;
    int err = wf_processes_create(&(struct wf_processes_options){.workers = 1}, &on, reterr);
    for (int i = 0; i < 2 && !err; i++) {
        bool there = false;
        is_there_future f = is_there_submit(on, types[i], NULL);
        err = is_there_result(&f, &there, wf_after(WF_SECONDS(60)), reterr);
        if (!err && !there)
            err = wf_error_set(reterr, WF_ETASKFAILED, "%s is not there", types[i]->name);
    }
    wf_executor_destroy(on);
    return err;
}

static int wrong(const char *what, const char *text)
{
    fprintf(stderr, "late: %s: %s\n", what, text);
    return 1;
}

int main(int argc, char **argv)
{
    struct wf_error error = {0};
    struct wf_executor *on;
    if (argc != 2 || wf_processes_init(&error))
        return wrong("init", error.text);
    if (wf_processes_create(&(struct wf_processes_options){.workers = 2}, &on, &error))
        return wrong("create", error.text);
    if (wf_task_find("late_task"))
        return wrong("late_task", "it is here already");
    if (!dlopen(argv[1], RTLD_NOW))
        return wrong(argv[1], dlerror());
    const struct wf_task_type *type = wf_task_find("late_task");
    if (!type)
        return wrong("late_task", "the module does not register it");
    for (int i = 0; i < 20; i++) {
        struct late_task_args args = {"twelve bytes", i};
        struct wf_future *f = wf_submit(on, type, NULL, &args);
        int64_t value = 0;
        if (wf_future_result(&f, &value, wf_after(WF_SECONDS(60)), &error))
            return wrong("result", error.text);
        if (value != 12 + i)
            return wrong("result", "another one");
    }
    wf_executor_destroy(on);
    if (check_reference(type, &error))
        return wrong("a task as a parameter", error.text);
    return 0;
}
