/* SPDX-License-Identifier: MIT */
/* Views of JSON (contract in json.h). Their values stand behind the tree, in its own block. */
#include "base/json.h"

#include "base/alloc.h"

#include <errno.h>

int wfi_json_view(const struct wf_json_value *value, size_t first, struct wf_json **ret_view)
{
    struct wf_json *view = wfi_zalloc(sizeof *view);
    if (!view)
        return -ENOMEM;
    view->root = *value;
    view->root.key = NULL;
    view->root.key_len = 0;
    if (first > 0) {
        view->root.as.items += first;
        view->root.len -= (uint32_t)first;
    }
    *ret_view = view;
    return 0;
}

int wfi_json_view_create(enum wf_json_type type, size_t room, struct wf_json **ret_view)
{
    size_t bytes;
    if (__builtin_mul_overflow(room, sizeof(struct wf_json_value), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct wf_json), &bytes))
        return -ENOMEM;
    struct wf_json *view = wfi_alloc(bytes);
    if (!view)
        return -ENOMEM;
    *view = (struct wf_json){.root = {.type = type, .as.items = view->own}};
    *ret_view = view;
    return 0;
}

void wfi_json_view_add(struct wf_json *view, const struct wf_json_value *value)
{
    view->own[view->root.len++] = *value;
}
