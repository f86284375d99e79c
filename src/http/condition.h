/* SPDX-License-Identifier: MIT */
/*
 * Conditional requests (RFC 9110 section 13): what the peer knows of a representation against what
 * it is now. Every condition is looked at, in the order the RFC gives them.
 */
#ifndef WFI_HTTP_CONDITION_H
#define WFI_HTTP_CONDITION_H

#include "http/request.h"

/* What tells one state of a representation from another. */
struct wfi_validator {
    bool exists; /* false: there is no representation now */
    bool has_modified;
    int64_t modified;     /* seconds since 1970 */
    struct wfi_text etag; /* with its quotes, and W/ when weak; len 0: none */
};

enum wfi_condition {
    WFI_CONDITION_HOLDS,        /* go on */
    WFI_CONDITION_NOT_MODIFIED, /* 304 */
    WFI_CONDITION_FAILS,        /* 412 */
};

/* `now` is the time in seconds: dates beyond it are not believed. */
enum wfi_condition wfi_condition(const struct wfi_request_head *head,
                                 const struct wfi_validator *validator, int64_t now);

/* Whether Range is to be looked at: If-Range is not there, or names the present state. */
bool wfi_condition_range(const struct wfi_request_head *head, const struct wfi_validator *validator,
                         int64_t now);

enum { WFI_ETAG_BYTES = 40 };
/* The tag of a file: its size and the time of its last change, quoted; strong, as that time is in
 * nanoseconds. Returns it as a text in `out`. */
struct wfi_text wfi_etag_of_file(char out[WFI_ETAG_BYTES], uint64_t size, int64_t modified_ns);

#endif
