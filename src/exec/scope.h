/* SPDX-License-Identifier: MIT */
/* What a future asks of the scope it belongs to. */
#ifndef WFI_EXEC_SCOPE_H
#define WFI_EXEC_SCOPE_H

#include <weft/scope.h>

#include "exec/future.h"

/* The level of cancellation around the scope's children. */
struct wfi_cancel *wfi_scope_level(struct wf_scope *scope);

/* A child has ended and its list is served. The scope, and a child not held otherwise, may be gone
 * when this returns. */
void wfi_scope_child_ended(struct wf_scope *scope, struct wf_future *child);

#endif
