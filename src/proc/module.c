/* SPDX-License-Identifier: MIT */
/*
 * Types that are not late are remembered in a small table by address, which every submit looks at;
 * the list of loaded objects is walked for those that are not in it.
 */
#include "proc/module.h"

#include <string.h>

#include "base/atomic.h"

enum {
    OBJECTS = 256, /* more than that were loaded at the start: those count as late, and are found
                      by their paths all the same */
    KNOWN = 64,
};

static struct {
    const void *bases[OBJECTS];
    size_t count;
    WFI_ATOMIC(const struct wf_task_type *) known[KNOWN];
} early;

static void note(const void *base, void *arg)
{
    (void)arg;
    if (early.count < OBJECTS)
        early.bases[early.count++] = base;
}

void wfi_module_mark(void)
{
    early.count = 0;
    wfi_module_each(note, NULL);
}

bool wfi_module_is_late(const struct wf_task_type *type, struct wfi_module *ret_module)
{
    WFI_ATOMIC(const struct wf_task_type *) *known =
        &early.known[(uintptr_t)type / _Alignof(struct wf_task_type) % KNOWN];
    if (wfi_load_relaxed(known) == type)
        return false;
    bool late = wfi_module_at(type, ret_module);
    for (size_t i = 0; late && i < early.count; i++)
        late = early.bases[i] != ret_module->base;
    if (!late)
        wfi_store_relaxed(known, type);
    return late;
}

const struct wf_task_type *wfi_module_task(const char *path, const unsigned char *id,
                                           const char *task, struct wf_error *reterr)
{
    char why[256];
    const struct wf_task_type *type = wf_task_find(task);
    if (!type && !wfi_module_load(path, why, sizeof why)) {
        wf_error_set(reterr, WF_ENOTWIRE, "task %s: its module cannot be loaded: %s", task, why);
        return NULL;
    }
    struct wfi_module module;
    if (!type)
        type = wf_task_find(task);
    if (!type || !wfi_module_at(type, &module)) {
        wf_error_set(reterr, WF_ENOTWIRE, "task %s is not in the module %s", task, path);
        return NULL;
    }
    if (memcmp(module.id, id, sizeof module.id) != 0) {
        wf_error_set(reterr, WF_ENOTWIRE, "task %s: the module %s is another build by now", task,
                     path);
        return NULL;
    }
    return type;
}
