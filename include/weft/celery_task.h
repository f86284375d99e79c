/* SPDX-License-Identifier: MIT */
/*
 * What a task says of itself to those who call it from a queue of Celery's, besides its name and
 * its parameters:
 *
 *     WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))
 *     WF_TASK_DEFINE_WITH(add, .celery = &(const struct wf_celery_task){.defaults = "{\"y\": 1}"})
 *
 * Python may now call add.delay(5). Other engines look at none of this: in C all arguments are
 * given.
 */
#ifndef WEFT_CELERY_TASK_H
#define WEFT_CELERY_TASK_H

#include <weft/task.h>

WF_BEGIN_DECLS

/*
 * All of it may be left out. A parameter `rest_args` takes the positional arguments that no other
 * parameter takes, as an array, and `rest_kwargs` the named ones, as an object: Python's *args and
 * **kwargs. A task of these two alone gets everything, as JSON.
 */
struct wf_celery_task {
    const char
        *defaults; /* a JSON object: parameters that may be left out, and what they are then */
    const char *rest_args;   /* the name of a parameter of type const struct wf_json * */
    const char *rest_kwargs; /* and of another */
};

WF_END_DECLS

#endif
