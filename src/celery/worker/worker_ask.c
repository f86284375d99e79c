/* SPDX-License-Identifier: MIT */
#include "celery/worker/worker_ask.h"

const struct wf_json_value *wfi_ask_argument(const struct wfi_ask *ask, const char *name)
{
    return wf_json_get(ask->r->arguments.value, name);
}

const char *wfi_ask_text(const struct wfi_ask *ask, const char *name)
{
    const char *text = wfi_json_c_string(wfi_ask_argument(ask, name));
    return text && text[0] ? text : NULL;
}

/* The texts of an array, or a single one; NULL behind the last. */
const char *wfi_ask_text_at(const struct wf_json_value *value, size_t i)
{
    if (wf_json_type(value) == WF_JSON_ARRAY)
        return i < wf_json_count(value) ? wfi_json_c_string(wf_json_at(value, i)) : NULL;
    return i == 0 ? wfi_json_c_string(value) : NULL;
}

size_t wfi_ask_text_count(const struct wf_json_value *value)
{
    return wf_json_type(value) == WF_JSON_ARRAY ? wf_json_count(value)
                                                : wfi_json_c_string(value) != NULL;
}

/* As Python says it of a function that is called without. */
void wfi_ask_write_missing(struct wfi_ask *ask, const char *name)
{
    wfi_control_write_error(ask->w,
                            "TypeError(\"%s() missing 1 required positional argument: '%s'\")",
                            ask->r->method, name);
}

void wfi_ask_write_no_memory(struct wfi_ask *ask)
{
    wfi_control_write_error(ask->w, "MemoryError()");
}

/* The ids that a request names, for asking whether an id is one of them. Returns 0 or -ENOMEM. */
int wfi_ask_ids(const struct wf_json_value *ids, struct wfi_revoked *ret_set)
{
    int err = 0;
    wfi_revoked_init(ret_set, (uint64_t)wf_now());
    for (size_t i = 0; i < wfi_ask_text_count(ids) && !err; i++)
        if (wfi_ask_text_at(ids, i))
            err = wfi_revoked_add(ret_set, wfi_ask_text_at(ids, i), 0);
    return err;
}
