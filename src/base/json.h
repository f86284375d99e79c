/* SPDX-License-Identifier: MIT */
/*
 * What reader and writer of JSON share.
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

#endif
