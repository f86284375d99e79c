/* SPDX-License-Identifier: MIT */
/*
 * The registries of task types and of codecs, filled by constructors when a program or module is
 * loaded and emptied by destructors when a module goes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/type.h"

#include "os/lock.h"

static struct wfi_lock lock;
static struct wf_task_entry *tasks; /* under the lock */
static struct wf_wire *wires;       /* under the lock */

/* A module is being loaded, by exec/module.c; all under the lock. */
static bool loading;
static size_t loaded;
static struct wf_error wrong;

/* What is wrong with an entry: 0, or a code and a text. */
static int check_entry(const struct wf_task_entry *entry, struct wf_error *reterr)
{
    const struct wf_task_type *type = entry->type;
    if (type->abi != WF_TASK_ABI)
        return wf_error_set(reterr, -ESTALE,
                            "task %s at %s:%d was compiled for another weft: its ABI is %u, this "
                            "one's is %d",
                            type->name, type->file, type->line, type->abi, WF_TASK_ABI);
    for (struct wf_task_entry *e = tasks; e; e = e->next)
        if (strcmp(e->type->name, type->name) == 0)
            return wf_error_set(reterr, -EEXIST, "task %s is defined twice: at %s:%d and at %s:%d",
                                type->name, e->type->file, e->type->line, type->file, type->line);
    return 0;
}

void wf_task_register(struct wf_task_entry *entry)
{
    struct wf_error error;
    wfi_lock_lock(&lock);
    if (check_entry(entry, &error)) {
        if (!loading) {
            fprintf(stderr, "weft: %s\n", error.text);
            abort();
        }
        if (!wrong.code)
            wrong = error;
    } else {
        entry->next = tasks;
        tasks = entry;
        loaded++;
    }
    wfi_lock_unlock(&lock);
}

void wfi_task_loading_begin(void)
{
    wfi_lock_lock(&lock);
    loading = true;
    loaded = 0;
    wrong = (struct wf_error){0};
    wfi_lock_unlock(&lock);
}

size_t wfi_task_loading_end(struct wf_error *ret)
{
    wfi_lock_lock(&lock);
    const size_t count = loaded;
    loading = false;
    if (wrong.code)
        *ret = wrong;
    wfi_lock_unlock(&lock);
    return count;
}

void wf_task_unregister(struct wf_task_entry *entry)
{
    wfi_lock_lock(&lock);
    for (struct wf_task_entry **at = &tasks; *at; at = &(*at)->next)
        if ((*at)->type == entry->type) {
            *at = (*at)->next;
            break;
        }
    wfi_lock_unlock(&lock);
}

const struct wf_task_type *wf_task_find(const char *name)
{
    const struct wf_task_type *found = NULL;
    wfi_lock_lock(&lock);
    for (struct wf_task_entry *e = tasks; e && !found; e = e->next)
        if (strcmp(e->type->name, name) == 0)
            found = e->type;
    wfi_lock_unlock(&lock);
    return found;
}

const struct wf_task_type *wf_task_next(const struct wf_task_type *type)
{
    wfi_lock_lock(&lock);
    const struct wf_task_entry *e = tasks;
    while (type && e && e->type != type)
        e = e->next;
    if (type && e)
        e = e->next;
    const struct wf_task_type *found = e ? e->type : NULL;
    wfi_lock_unlock(&lock);
    return found;
}

bool wfi_task_is_registered(const struct wf_task_type *type)
{
    bool found = false;
    wfi_lock_lock(&lock);
    for (struct wf_task_entry *e = tasks; e && !found; e = e->next)
        found = e->type == type;
    wfi_lock_unlock(&lock);
    return found;
}

void wf_wire_register(struct wf_wire *wire)
{
    wfi_lock_lock(&lock);
    wire->next = wires;
    wires = wire;
    wfi_lock_unlock(&lock);
}

void wf_wire_unregister(struct wf_wire *wire)
{
    wfi_lock_lock(&lock);
    for (struct wf_wire **at = &wires; *at; at = &(*at)->next)
        if (*at == wire) {
            *at = wire->next;
            break;
        }
    wfi_lock_unlock(&lock);
}

const struct wf_wire *wf_wire_find(const char *type)
{
    const struct wf_wire *found = NULL;
    wfi_lock_lock(&lock);
    for (const struct wf_wire *w = wires; w && !found; w = w->next)
        if (strcmp(w->type, type) == 0)
            found = w;
    wfi_lock_unlock(&lock);
    return found;
}
