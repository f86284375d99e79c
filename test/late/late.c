/* SPDX-License-Identifier: MIT */
/*
 * A task of a module that was loaded after the helper was forked runs in worker processes: they
 * load the module when the first such task comes.
 *
 *     late MODULE
 */
#include <dlfcn.h>
#include <stdio.h>

#include <weft/future.h>
#include <weft/processes.h>

#include "module.h"

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
    return 0;
}
