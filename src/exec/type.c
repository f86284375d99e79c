/* SPDX-License-Identifier: MIT */
/*
 * The registries of task types and of codecs, filled by constructors when a program or module is
 * loaded and emptied by destructors when a module goes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/type.h"

#include "os/lock.h"

static struct wfi_lock lock;
static struct wf_task_entry *tasks; /* under the lock */
static struct wf_wire *wires;       /* under the lock */

void wf_task_register(struct wf_task_entry *entry)
{
    wfi_lock_lock(&lock);
    for (struct wf_task_entry *e = tasks; e; e = e->next) {
        if (strcmp(e->type->name, entry->type->name) != 0)
            continue;
        fprintf(stderr, "weft: task %s is defined twice: at %s:%d and at %s:%d\n",
                entry->type->name, e->type->file, e->type->line, entry->type->file,
                entry->type->line);
        abort();
    }
    entry->next = tasks;
    tasks = entry;
    wfi_lock_unlock(&lock);
}

void wf_task_unregister(struct wf_task_entry *entry)
{
    wfi_lock_lock(&lock);
    for (struct wf_task_entry **at = &tasks; *at; at = &(*at)->next)
        if (*at == entry) {
            *at = entry->next;
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
