/* SPDX-License-Identifier: MIT */
/* Content types of files, by the end of their names. */
#ifndef WFI_HTTP_MEDIA_TYPE_H
#define WFI_HTTP_MEDIA_TYPE_H

#include "http/text.h"

struct wfi_media_type {
    const char *suffix; /* in lower case, without the dot; "" for the type of all others */
    const char *type;   /* the value of Content-Type */
    bool compressible;  /* gzip makes it smaller: text, not already compressed */
};

/* Those that are known, sorted by suffix. */
extern const struct wfi_media_type wfi_media_types[];
extern const size_t wfi_media_type_count;

/* `name` is a file's name or path. Never NULL. */
const struct wfi_media_type *wfi_media_type_of(struct wfi_text name);

/* Whether a Content-Type, set by whomever, is of something that gzip makes smaller. */
bool wfi_media_type_is_compressible(struct wfi_text type);

#endif
