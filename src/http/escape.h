/* SPDX-License-Identifier: MIT */
/*
 * Escapes (%41) in paths and queries, undone. Nothing is guessed: a % that begins no escape is an
 * error, and so is an escaped NUL, which would end a C string early.
 */
#ifndef WFI_HTTP_ESCAPE_H
#define WFI_HTTP_ESCAPE_H

#include <sys/types.h>

#include "http/text.h"

/*
 * Takes one character, escaped or not, off the front of `text`, which is not empty.
 * Returns it (0..255), or -EINVAL. `ret_escaped` may be NULL.
 */
int wfi_escape_take(struct wfi_text *text, bool *ret_escaped);

/*
 * Undoes the escapes and writes a NUL behind.
 * Returns the length, or -EINVAL, or -E2BIG when it does not fit.
 */
ssize_t wfi_unescape(struct wfi_text text, char *out, size_t size);

/* Whether each segment of a path that begins with a slash is neither . nor .. when its escapes are
 * undone, and those are right. */
bool wfi_path_is_plain(struct wfi_text path);

/*
 * The value of the first parameter of that name in a query (name=value&name=value, a plus being a
 * space), with a NUL behind.
 * Returns its length, 0 also for a name without value, or
 *   -ENOENT   there is none of that name
 *   -EINVAL   the query's escapes are wrong, up to that parameter
 *   -E2BIG    it does not fit
 */
ssize_t wfi_query_value(struct wfi_text query, const char *name, char *out, size_t size);

#endif
