/* SPDX-License-Identifier: MIT */
/*
 * Types that are not late are remembered in a small table by address, which every submit looks at;
 * the list of loaded objects is walked for those that are not in it.
 *
 * As a parameter (wf_task_ref) a type goes as its address, or, when it is late, as where it is.
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

/* A type that is late has no address in a message, but a path and a name behind, each with its
 * NUL. */
struct reference {
    const struct wf_task_type *type;
    uint64_t path_bytes, name_bytes;
    unsigned char id[WFI_MODULE_ID_BYTES];
};

static ssize_t encode_reference(const void *value, void *buf, size_t capacity)
{
    const struct wf_task_type *type = *(const wf_task_ref *)value;
    struct reference head = {.type = type};
    struct wfi_module module = {0};
    if (type && wfi_module_is_late(type, &module)) {
        head.type = NULL;
        head.path_bytes = strlen(module.path) + 1;
        head.name_bytes = strlen(type->name) + 1;
        memcpy(head.id, module.id, sizeof head.id);
    }
    const size_t bytes = sizeof head + head.path_bytes + head.name_bytes;
    if (bytes > capacity)
        return (ssize_t)bytes;
    unsigned char *to = buf;
    memcpy(to, &head, sizeof head);
    if (head.path_bytes) {
        memcpy(to + sizeof head, module.path, head.path_bytes);
        memcpy(to + sizeof head + head.path_bytes, type->name, head.name_bytes);
    }
    return (ssize_t)bytes;
}

static int decode_reference(void *value, const void *buf, size_t len)
{
    struct reference head;
    if (len < sizeof head)
        return WF_EPROTOCOL;
    memcpy(&head, buf, sizeof head);
    if (head.path_bytes) {
        const char *path = (const char *)buf + sizeof head, *name = path + head.path_bytes;
        if (head.path_bytes > len || head.name_bytes > len || !head.name_bytes ||
            sizeof head + head.path_bytes + head.name_bytes != len || name[-1] ||
            name[head.name_bytes - 1])
            return WF_EPROTOCOL;
        head.type = wfi_module_task(path, head.id, name, NULL);
        if (!head.type)
            return WF_ENOTWIRE;
    }
    memcpy(value, &head.type, sizeof head.type);
    return 0;
}

WF_WIRE(wf_task_ref, encode_reference, decode_reference)
