/* SPDX-License-Identifier: MIT */
#include "exec/executor.h"

#include <errno.h>
#include <stdio.h>

#include <weft/scope.h>

#include "os/lock.h"
#include "os/sanitizer.h"

/* All executors that live, so that the end of a program can wait for them. */
static struct {
    struct wfi_lock lock;
    struct wfi_list executors;
    uint64_t made;
} all;

void wfi_executor_init(struct wf_executor *on, const struct wfi_executor_ops *ops, const char *name)
{
    on->ops = ops;
    wfi_lock_lock(&all.lock);
    uint64_t number = all.made++;
    on->number = number + 1;
    if (name)
        snprintf(on->name, sizeof on->name, "%s", name);
    else
        snprintf(on->name, sizeof on->name, "%s%llu", ops->engine, (unsigned long long)number);
    wfi_list_push_back(&all.executors, &on->link);
    wfi_lock_unlock(&all.lock);
}

void wfi_executor_fini(struct wf_executor *on)
{
    wfi_lock_lock(&all.lock);
    wfi_list_remove(&on->link);
    wfi_lock_unlock(&all.lock);
}

int wfi_executor_shutdown_all(enum wf_shutdown mode, wf_deadline deadline)
{
    /* At the end of a program, by its main task: nobody makes or destroys executors meanwhile. */
    int err = 0;
    struct wfi_link *link = wfi_list_first(&all.executors);
    for (; link; link = wfi_list_next(&all.executors, link)) {
        struct wf_executor *on = wfi_container_of(link, struct wf_executor, link);
        int failed = on->service ? 0 : wf_executor_shutdown(on, mode, deadline);
        if (failed && !err)
            err = failed;
    }
    return err;
}

WFI_NO_SANITIZE static const struct wf_executor *peek_executor(const struct wf_future *f)
{
    return f->on; /* the block may be in use for another task by now */
}

void wfi_executor_peek(const struct wf_future *f, char *ret_name, size_t room,
                       const char **ret_engine)
{
    const struct wf_executor *on = peek_executor(f);
    ret_name[0] = '\0';
    *ret_engine = on ? "" : "promise";
    if (!on)
        return;
    wfi_lock_lock(&all.lock); /* held by others for a few instructions only */
    struct wfi_link *link = wfi_list_first(&all.executors);
    for (; link; link = wfi_list_next(&all.executors, link))
        if (wfi_container_of(link, struct wf_executor, link) == on) {
            snprintf(ret_name, room, "%s", on->name);
            *ret_engine = on->ops->engine;
        }
    wfi_lock_unlock(&all.lock);
}

size_t wfi_executor_next(uint64_t *number, struct wf_seen_executor *ret_seen, size_t room)
{
    size_t count = 0;
    wfi_lock_lock(&all.lock); /* an executor in the list is not freed meanwhile */
    wfi_tsan_checks_off();
    struct wfi_link *link = wfi_list_first(&all.executors);
    for (; link && count < room; link = wfi_list_next(&all.executors, link)) {
        const struct wf_executor *on = wfi_container_of(link, struct wf_executor, link);
        if (on->number <= *number)
            continue;
        struct wf_seen_executor *seen = &ret_seen[count++];
        *seen = (struct wf_seen_executor){.engine = on->ops->engine};
        snprintf(seen->name, sizeof seen->name, "%s", on->name);
        if (on->ops->look)
            on->ops->look(on, seen);
        else
            seen->workers = on->ops->workers(on);
        *number = on->number;
    }
    wfi_tsan_checks_on();
    wfi_lock_unlock(&all.lock);
    return count;
}

bool wfi_executor_is_mine(const struct wf_executor *on)
{
    for (const struct wf_task *task = wfi_self()->task; task; task = task->outer)
        if (task->on == on)
            return true;
    return false;
}

void wfi_executor_refuse(struct wf_future *f, int code, const struct wf_error *error)
{
    wfi_future_refuse(f, code, error);
    wfi_future_release(f, WFI_FUTURE_ENGINE);
}

void wfi_executor_submit(struct wf_executor *on, struct wf_future *f,
                         const struct wf_submit_options *options)
{
    const struct wf_task_type *type = wfi_future_type(f);
    struct wf_error error;
    static const struct wf_submit_options defaults;
    if (!options)
        options = &defaults;
    int code;
    if (!type->call && !on->ops->foreign)
        code = wf_error_set(&error, -ENOSYS, "task %s is not defined in this program", type->name);
    else if (options->priority < -3 || options->priority > 3)
        code = wf_error_set(&error, -EINVAL, "a priority is -3 to 3, not %d", options->priority);
    else
        code = on->ops->submit(on, f, options, &error);
    if (code)
        wfi_executor_refuse(f, code, &error);
}

int wf_executor_shutdown(struct wf_executor *on, enum wf_shutdown mode, wf_deadline deadline)
{
    if (mode != WF_SHUTDOWN_NO_WAIT && wfi_executor_is_mine(on))
        return -EDEADLK;
    return on->ops->shutdown(on, mode, deadline);
}

void wf_executor_destroy(struct wf_executor *on)
{
    if (!on)
        return;
    wfi_assert(!wfi_executor_is_mine(on), "an executor is not destroyed by a task that runs on it");
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    on->ops->shutdown(on, WF_SHUTDOWN_CANCEL, WF_FOREVER);
    wf_shield_leave(&shield);
    wfi_executor_fini(on);
    on->ops->destroy(on);
}

unsigned wf_executor_workers(const struct wf_executor *on)
{
    return on->ops->workers(on);
}

const char *wf_executor_engine(const struct wf_executor *on)
{
    return on->ops->engine;
}
