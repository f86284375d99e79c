/* SPDX-License-Identifier: MIT */
/*
 * The tokenizer underneath the public one (weft/html.h) and the extractor: UTF-8 in, raw tokens
 * out, as slices of the input.
 *
 * 1. What nobody wants is not built. A listener says for each element whether it wants its start
 *    tag (WFI_WANT_START), attributes (WFI_WANT_ATTRS) and end tag (WFI_WANT_END), and for text
 *    and comments whether it wants them at all; the rest is only walked over. It may change its
 *    mind between two tokens.
 * 2. A token is handed over whole: a piece of the input when it lies in one, else out of `carry`,
 *    where the beginning of a token waits for the rest. A token in waiting is looked at again when
 *    its length has doubled (and at the end), so that any chunking costs linear time.
 * 3. No token waits beyond `token_bytes_max`: a longer tag or comment is cut there, and said to be;
 *    what follows up to its end is skipped. Text comes in pieces anyway.
 * 4. Whatever the chunks, the tokens are the same, but for where a text is divided.
 */
#ifndef WFI_WEB_HTML_TOKEN_H
#define WFI_WEB_HTML_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "web/html_tags.h"

enum {
    WFI_HTML_TOKEN_BYTES = 1 << 20, /* the default of token_bytes_max */
    WFI_HTML_TOKEN_BYTES_MIN = 128, /* above WFI_ENTITY_SPAN, which text may hold back */
    WFI_HTML_ATTRS_MAX = 256, /* further attributes of a tag are left out, and it counts as cut */
};

/* Raw bytes of the input; no reference decoded, any case. */
struct wfi_html_attr {
    const uint8_t *name, *value;
    size_t name_len, value_len; /* without a value: 0, and value is where it would be */
};

struct wfi_html_tag {
    struct wfi_tag_name type;
    const uint8_t *name;
    size_t name_len;
    const struct wfi_html_attr *attrs; /* in order, duplicates included: the first counts */
    size_t attr_count;
    bool self_closing; /* ends in "/>" */
    bool foreign;      /* inside svg or math, or one of them */
    bool cut;
};

enum {
    WFI_WANT_START = 1,
    WFI_WANT_ATTRS = 2,
    WFI_WANT_END = 4,
};

/* Each returns 0, or what wfi_html_token_feed is to return; nothing is told after that. */
struct wfi_html_listener {
    int (*start)(void *arg, const struct wfi_html_tag *tag);
    int (*end)(void *arg, const struct wfi_html_tag *tag);
    /* `flags` for wfi_html_text; no piece ends within a character or a reference. `inside` is the
     * element with raw text that it stands in, or WFI_TAG_OTHER. */
    int (*text)(void *arg, const uint8_t *text, size_t len, unsigned flags, unsigned inside);
    int (*comment)(void *arg, const uint8_t *text, size_t len, bool cut);
    int (*doctype)(void *arg, const uint8_t *text, size_t len, bool cut);
};

enum wfi_html_state {
    WFI_HTML_DATA,
    WFI_HTML_RAW,          /* until the end tag of `raw` */
    WFI_HTML_SKIP_TAG,     /* rest of a cut tag; `skip` says where in it */
    WFI_HTML_SKIP_COMMENT, /* until "-->" */
    WFI_HTML_SKIP_BOGUS,   /* until '>' */
    WFI_HTML_SKIP_CDATA,   /* rest of a CDATA section, as text until "]]>" */
};

struct wfi_html_token {
    /* Set by the owner. */
    const struct wfi_html_listener *on;
    void *arg;
    size_t token_bytes_max;
    bool want_text, want_comments;
    uint8_t want[WFI_TAG_COUNT];

    /* Private. */
    int err; /* sticky until reset */
    enum wfi_html_state state;
    uint8_t raw;           /* WFI_HTML_RAW: the element */
    uint8_t script;        /* WFI_HTML_RAW of script: 1 inside "<!--", 2 in a script inside that */
    uint8_t skip;          /* WFI_HTML_SKIP_TAG: enum tag_state */
    uint8_t skip_then_raw; /* the cut tag's element, if raw text follows it */
    uint32_t foreign;      /* open svg and math elements */
    struct wfi_buffer carry; /* a token's beginning */
    size_t tried;            /* its length when last looked at */
    struct wfi_html_attr attrs[WFI_HTML_ATTRS_MAX];
};

/* Begins a new document, keeping memory and what the owner set. */
void wfi_html_token_reset(struct wfi_html_token *t);

/* Returns 0, -ENOMEM, or what a listener returned; then the same until reset. */
int wfi_html_token_feed(struct wfi_html_token *t, const uint8_t *bytes, size_t len);
int wfi_html_token_finish(struct wfi_html_token *t);

/* Frees what it holds; harmless on a zeroed one. */
void wfi_html_token_fini(struct wfi_html_token *t);

#endif
