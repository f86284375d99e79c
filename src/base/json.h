/* SPDX-License-Identifier: MIT */
/*
 * What reader and writer of JSON share, and views: trees that are made of values that were read,
 * without copying what these hold.
 */
#ifndef WFI_BASE_JSON_H
#define WFI_BASE_JSON_H

#include <weft/json.h>

/*
 * A value that was read; written once, by the reader. The values of one array or object lie side by
 * side in the order of the text.
 */
struct wf_json_value {
    union {
        const char *text;                  /* string or number, NUL-terminated */
        const struct wf_json_value *items; /* array or object */
        bool boolean;
    } as;
    const char *key; /* NUL-terminated, for a member of an object; else NULL */
    uint32_t len;    /* bytes of text, or how many items */
    uint32_t key_len;
    enum wf_json_type type;
};

struct wfi_json_block; /* of the reader's */

struct wf_json {
    struct wf_json_value root;
    struct wfi_json_block *blocks; /* what the values lie in; a view has none */
    struct wf_json_value own[];    /* of a view that was created with room */
};

/*
 * A tree whose root is a value that was read; of an array without its first `first`, which it has.
 * What the value belongs to has to live as long as the view, which is given to wf_json_destroy.
 * Returns 0 or -ENOMEM.
 */
int wfi_json_view(const struct wf_json_value *value, size_t first, struct wf_json **ret_view);

/*
 * The same for an array or object that is made anew: with room for so many values, each of them
 * then added; into an object with the key that it has. Returns 0 or -ENOMEM.
 */
int wfi_json_view_create(enum wf_json_type type, size_t room, struct wf_json **ret_view);
void wfi_json_view_add(struct wf_json *view, const struct wf_json_value *value);

#endif
