/* SPDX-License-Identifier: MIT */
/*
 * From a page's bytes to UTF-8 for the tokenizer. The charset is, first that there is: that of a
 * byte order mark; the one declared with the page (HTTP's Content-Type); that of a <meta> that
 * begins within the first 1,024 bytes, which are held back until they are there; UTF-8.
 *
 * UTF-8 passes through as it is (the text functions mend what is wrong with it). windows-1252, and
 * with it ISO-8859-1 and ASCII as browsers have it, goes by a table; the rest through iconv, with
 * U+FFFD for what it refuses. Names that are not in the list here count as not declared: iconv
 * knows charsets in which no page is, and some (UTF-7) whose only use in pages is an attack.
 */
#ifndef WFI_WEB_HTML_CHARSET_H
#define WFI_WEB_HTML_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "web/html_token.h"

enum { WFI_HTML_HEAD_BYTES = 1024 };

struct wfi_charset; /* a row of the list */

struct wfi_html_input {
    struct wfi_html_token *to;
    const struct wfi_charset *declared; /* by HTTP, or NULL */
    const struct wfi_charset *charset;  /* NULL until decided */
    void *iconv;                        /* open for `iconv_charset`, kept over resets */
    const struct wfi_charset *iconv_charset;
    size_t head_len; /* bytes in head, until decided; then those left for iconv */
    uint8_t head[WFI_HTML_HEAD_BYTES];
};

/* Begins a document. `content_type` is the header's value, or NULL. */
void wfi_html_input_reset(struct wfi_html_input *in, const char *content_type);

/* Each returns what wfi_html_token_feed and _finish return. */
int wfi_html_input_feed(struct wfi_html_input *in, const void *bytes, size_t len);
int wfi_html_input_finish(struct wfi_html_input *in);

/* The name of the charset, "UTF-8" while it is not decided. */
const char *wfi_html_input_charset(const struct wfi_html_input *in);

void wfi_html_input_fini(struct wfi_html_input *in);

#endif
