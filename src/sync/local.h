/* SPDX-License-Identifier: MIT */
/*
 * Context locals as an engine sees them: a snapshot that a task takes along.
 *
 *     submit:   task->locals = wfi_locals_capture();
 *     run:      outer = wfi_locals_enter(task->locals);      (the task's reference goes along)
 *               ... the task's code ...
 *               wfi_locals_leave(outer);
 *     a task that never runs:   wfi_locals_release(task->locals);
 */
#ifndef WFI_SYNC_LOCAL_H
#define WFI_SYNC_LOCAL_H

#include <weft/local.h>

struct wfi_locals;

/* What the calling party sees, as a reference of its own; NULL when nothing was ever set. */
struct wfi_locals *wfi_locals_capture(void);

/* Gives a reference back; NULL is fine. */
void wfi_locals_release(struct wfi_locals *locals);

/* Makes `locals`, and the reference to it, the calling party's; returns what it had before. */
struct wfi_locals *wfi_locals_enter(struct wfi_locals *locals);

/*
 * A snapshot as bytes, for another process of the same image: how many, where, and a new one made
 * of them with one reference (NULL without memory). Values that are addresses are only copied.
 */
size_t wfi_locals_bytes(const struct wfi_locals *locals);
const void *wfi_locals_data(const struct wfi_locals *locals);
struct wfi_locals *wfi_locals_make(const void *data, size_t bytes);

/* Drops what the party has now and gives it `outer` back. */
void wfi_locals_leave(struct wfi_locals *outer);

#endif
